"""The files that settings can come from, read into raw values with the line each one stands on."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import config_dir


@dataclass(frozen=True)
class Problem:
    """What is wrong with the configuration, and where: a file with a line, or a variable of the environment."""

    where: str
    message: str
    remedy: str
    severity: str = "error"  # or "warning": worth saying, harmless to go on with
    key: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "where": self.where,
            "severity": self.severity,
            "key": self.key,
            "message": self.message,
            "remedy": self.remedy,
        }


@dataclass(frozen=True)
class Raw:
    """A value as written, and where it stands."""

    value: Any
    where: str


_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_TOML_LINE = re.compile(r"\(at line (\d+),")


def toml_path() -> Path:
    return config_dir() / "config.toml"


def dotenv_path() -> Path:
    """In the project directory, which is the working directory. Relative, as people call it."""
    return Path(".env")


def _unquoted(text: str) -> str | None:
    """The value that a shell would read; None when a quote is not closed or something follows it."""
    quote = text[:1]
    if quote not in ("'", '"'):
        return re.split(r"\s#", text, maxsplit=1)[0].strip()
    value, position = [], 1
    while position < len(text) and text[position] != quote:
        if quote == '"' and text[position] == "\\" and position + 1 < len(text):
            position += 1
            value.append(_ESCAPES.get(text[position], text[position]))
        else:
            value.append(text[position])
        position += 1
    rest = text[position + 1 :].strip()
    if position >= len(text) or (rest and not rest.startswith("#")):
        return None
    return "".join(value)


def _text(path: Path) -> tuple[str | None, list[Problem]]:
    """A file's text; no text and no problem when there is no such file."""
    try:
        return path.read_text(encoding="utf-8-sig"), []
    except (FileNotFoundError, NotADirectoryError):
        return None, []
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return None, [Problem(f"{path}:{line}", "The file is not UTF-8 text.", "Save it as UTF-8.")]
    except OSError as error:
        return None, [
            Problem(str(path), f"The file cannot be read: {error.strerror}.", "Make it readable, or remove it.")
        ]


def read_dotenv(path: Path) -> tuple[dict[str, Raw], list[Problem]]:
    """Variables by name. The last assignment of a name holds, as in a shell."""
    text, problems = _text(path)
    values: dict[str, Raw] = {}
    for number, line in enumerate((text or "").splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        where = f"{path}:{number}"
        match = _ASSIGNMENT.fullmatch(stripped)
        value = _unquoted(match[2]) if match else None
        if match is None:
            # The line itself is not repeated: it may hold a secret.
            problems.append(
                Problem(where, "The line is not of the form NAME=value.", "Correct it, or put # before it.")
            )
        elif value is None:
            problems.append(
                Problem(
                    where,
                    f"The quotes of {match[1]} do not match.",
                    "Close the quote on the same line, with nothing but a comment after it.",
                    key=match[1],
                )
            )
        else:
            values[match[1]] = Raw(value, where)
    return values, problems


def _key_line(text: str, key: str, after: int = 0, otherwise: int = 1) -> int:
    """The line after line ``after`` on which a key or table begins; ``otherwise`` when it is written in a way this does not see."""
    name = re.escape(key)
    pattern = re.compile(rf"""\s*(?:\[\[?\s*)?(?:"{name}"|'{name}'|{name})\s*(?:[=.\]].*)?""")
    lines = text.splitlines()
    found = (number for number, line in enumerate(lines, 1) if number > after and pattern.fullmatch(line))
    return next(found, otherwise)


def read_toml(path: Path, tables: Collection[str] = ()) -> tuple[dict[str, Raw], list[Problem]]:
    """Top-level keys. The value of one of ``tables`` is a dict of Raw values, each with its own line."""
    text, problems = _text(path)
    if text is None:
        return {}, problems
    import tomllib

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _TOML_LINE.search(str(error))
        line = int(at[1]) if at else len(text.splitlines()) or 1
        said = str(error).partition(" (at ")[0]
        return {}, [Problem(f"{path}:{line}", f"The file is not TOML: {said}.", "Write settings as: name = value")]
    found = {}
    for key, value in table.items():
        line = _key_line(text, key)
        if key in tables and isinstance(value, dict):
            value = {name: Raw(one, f"{path}:{_key_line(text, name, line, line)}") for name, one in value.items()}
        found[key] = Raw(value, f"{path}:{line}")
    return found, problems


def loose_mode(path: Path) -> str | None:
    """The file's mode in octal when others than its owner may read it."""
    mode = path.stat().st_mode & 0o777
    return f"{mode:04o}" if mode & 0o077 else None


def linode_cli_token() -> tuple[Raw | None, list[Problem]]:
    """The token of linode-cli's default user."""
    import configparser

    override = os.environ.get("LINODE_CLI_CONFIG")
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    path = Path(override).expanduser() if override else base / "linode-cli"
    text, problems = _text(path)
    if text is None:
        return None, problems
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text, source=str(path))
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or (getattr(error, "errors", None) or [(1, "")])[0][0]
        problem = Problem(
            f"{path}:{line}", "linode-cli's configuration cannot be read.", "Repair it: linode-cli configure", "warning"
        )
        return None, [problem]
    user = parser.defaults().get("default-user")
    if not user or not parser.has_section(user):
        return None, []
    token = parser.get(user, "token", fallback="").strip()
    host = parser.get(user, "api_host", fallback="api.linode.com").strip()
    if not token or host != "api.linode.com":
        return None, []
    lines = text.splitlines()
    section = next((number for number, line in enumerate(lines) if line.strip() == f"[{user}]"), 0)
    number = next(
        (n for n in range(section, len(lines)) if re.match(r"\s*token\s*[=:]", lines[n])),
        section,
    )
    return Raw(token, f"{path}:{number + 1}"), []


def token_file(path: Path) -> Raw | None:
    """The token that is all of a file."""
    text, _problems = _text(path)
    return Raw(text.strip(), str(path)) if text and text.strip() else None
