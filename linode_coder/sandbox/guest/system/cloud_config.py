"""What the sandbox's cloud-init does for each key of a cloud-config, in the order and stages of the real one."""

from __future__ import annotations

import base64
import gzip
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

from ..json_types import Any, Json
from .power import tell_server

SSH = Path("/etc/ssh")
HOST_KEY = SSH / "ssh_host_ed25519_key"
AUTHORIZED_KEYS = Path("/root/.ssh/authorized_keys")
SCRIPTS = Path("/var/lib/cloud/instance/scripts")
_KEY_FILES = {"private": ("", 0o600), "public": (".pub", 0o644), "certificate": ("-cert.pub", 0o644)}
_PACKED = {"gz", "gzip", "gz+base64", "gzip+base64", "gz+b64", "gzip+b64"}
_BASE64 = {"b64", "base64", "gz+base64", "gzip+base64", "gz+b64", "gzip+b64"}
_LATER = ("runcmd", "packages", "package_update", "final_message")
Step = tuple[str, Callable[[], None]]
# What a cloud-config of the wrong shape, or a command of it, ends in.
_FAILURES = (
    *(OSError, ValueError, TypeError, LookupError, AttributeError, EOFError, zlib.error),
    subprocess.SubprocessError,
)
_DONE = {
    *(
        "bootcmd",
        "disable_root",
        "final_message",
        "hostname",
        "package_update",
        "packages",
        "runcmd",
        "ssh_authorized_keys",
    ),
    *("ssh_deletekeys", "ssh_genkeytypes", "ssh_keys", "ssh_pwauth", "users", "write_files"),
}


def left_out(config: Json) -> list[str]:
    """What this cloud-config asks for and a simulated host does not do."""
    found = [f"{key} of the cloud-config" for key in config if key not in _DONE]
    if config.get("users") not in (None, [], ["default"]):
        found.append("users of the cloud-config: a simulated host has root alone")
    if config.get("disable_root") is True:
        found.append("disable_root: root is who logs in")
    if config.get("ssh_pwauth") in (True, "yes", "true"):
        found.append("ssh_pwauth: nobody has a password")
    kinds = {str(key).partition("_")[0] for key in _mapping(config, "ssh_keys")} or set(
        _list(config, "ssh_genkeytypes")
    )
    if kinds - {"ed25519"}:
        found.append(f"host keys of {', '.join(sorted(kinds - {'ed25519'}))}: SSH shows the ed25519 one alone")
    found += [
        f"the source of {file.get('path')}: a sandbox host reaches nothing but itself"
        for file in _list(config, "write_files")
        if isinstance(file, dict) and file.get("source")
    ]
    return found


def run(steps: list[Step]) -> list[str]:
    """Take steps one after the other whatever becomes of the others; a sentence for each that failed."""
    failures = []
    for name, step in steps:
        try:
            step()
        except _FAILURES as error:
            failures.append(plain(f"{name} failed: {type(error).__name__}: {error}"))
    return failures


def plain(text: str) -> str:
    """One line without control characters: part of it was written by whoever wrote the user-data."""
    return text.encode("unicode_escape").decode()


def init_steps(config: Json) -> list[Step]:
    """What a first boot does before SSH answers."""
    return [
        ("write_files", lambda: write_files(config, deferred=False)),
        ("hostname", lambda: set_hostname(config)),
        ("ssh", lambda: set_keys(config)),
    ]


def asks_for_more(config: Json) -> bool:
    """Whether anything of it is done after SSH answers."""
    return any(config.get(key) for key in _LATER) or any(
        isinstance(file, dict) and file.get("defer") for file in _list(config, "write_files")
    )


def final_steps(config: Json) -> list[Step]:
    """What a first boot does when the machine is up, before the scripts."""
    return [
        ("runcmd", lambda: keep_runcmd(config)),
        ("packages", lambda: install(config)),
        ("write_files", lambda: write_files(config, deferred=True)),
    ]


def set_keys(config: Json) -> None:
    """Host keys as given, else one that is made: without it nobody gets in. And root's keys."""
    SSH.mkdir(parents=True, exist_ok=True)
    if config.get("ssh_deletekeys", True):
        for path in SSH.glob("ssh_host_*key*"):
            path.unlink()
    for name, text in _mapping(config, "ssh_keys").items():
        kind, _, what = name.partition("_")
        ending, mode = _KEY_FILES[what]
        path = SSH / f"ssh_host_{kind}_key{ending}"
        path.write_text(text.rstrip("\n") + "\n")
        path.chmod(mode)
    if not HOST_KEY.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(HOST_KEY)], check=True)
    if not (public := HOST_KEY.with_suffix(".pub")).exists():
        public.write_bytes(
            subprocess.run(["ssh-keygen", "-y", "-f", str(HOST_KEY)], check=True, capture_output=True).stdout
        )
    wanted = [str(key).strip() for key in _list(config, "ssh_authorized_keys")]
    if wanted:
        AUTHORIZED_KEYS.parent.mkdir(mode=0o700, exist_ok=True)
        there = AUTHORIZED_KEYS.read_text().splitlines() if AUTHORIZED_KEYS.exists() else []
        AUTHORIZED_KEYS.write_text("".join(f"{line}\n" for line in dict.fromkeys([*there, *wanted])))
        AUTHORIZED_KEYS.chmod(0o600)


def write_files(config: Json, *, deferred: bool) -> None:
    for file in _list(config, "write_files"):
        if bool(file.get("defer")) == deferred:
            _write_file(file)


def _write_file(file: Json) -> None:
    path, content = Path(file["path"]), file.get("content")
    if content is None and file.get("source"):
        return
    encoding = str(file.get("encoding") or "").lower().strip()
    data = content if isinstance(content, bytes) else str("" if content is None else content).encode()
    if encoding in _BASE64:
        data = base64.b64decode(data)
    if encoding in _PACKED:
        data = gzip.decompress(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab" if file.get("append") else "wb") as target:
        target.write(data)
    mode = file.get("permissions")
    path.chmod(0o644 if mode is None else mode if isinstance(mode, int) else int(str(mode), 8))
    user, _, group = str(file.get("owner") or "root:root").partition(":")
    if (user, group or "root") != ("root", "root"):
        shutil.chown(path, user, group or None)


def set_hostname(config: Json) -> None:
    name = config.get("hostname")
    if name is None:
        return
    Path("/etc/hostname").write_text(f"{name}\n")
    complaint = tell_server({"op": "hostname", "name": str(name)})
    if complaint:
        raise ValueError(complaint)


def boot_commands(config: Json) -> None:
    """`bootcmd`, at each boot."""
    commands = _list(config, "bootcmd")
    if commands:
        subprocess.run(["/bin/sh", "-c", shell_script(commands)], check=True)


def keep_runcmd(config: Json) -> None:
    """`runcmd` becomes one of the scripts, as its commands are one shell's: a `cd` holds for the next one."""
    commands = _list(config, "runcmd")
    if commands:
        keep_script(SCRIPTS / "runcmd", shell_script(commands).encode())


def keep_script(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    path.chmod(0o700)


def run_scripts(directory: Path) -> None:
    """Every script there, by name; one that fails does not keep the next from running."""
    failed = []
    for path in sorted(directory.iterdir()) if directory.is_dir() else []:
        if path.is_file() and os.access(path, os.X_OK):
            try:
                code = subprocess.run([str(path)], check=False).returncode
            except OSError as error:
                failed.append(f"{path.name}: {error.strerror}")
            else:
                failed += [f"{path.name}: exit code {code}"] if code else []
    if failed:
        raise ValueError(", ".join(failed))


def install(config: Json) -> None:
    """`package_update` and `packages`, by the host's own apt-get."""
    names = ["=".join(map(str, item)) if isinstance(item, list) else str(item) for item in _list(config, "packages")]
    if names or config.get("package_update"):
        subprocess.run(["apt-get", "update"], check=True)
    if names:
        subprocess.run(["apt-get", "install", "-y", *names], check=True)


def shell_script(commands: list[Any]) -> str:
    """A text is a line of the shell, a list is a command with its arguments."""
    lines = ["#!/bin/sh"]
    for command in commands:
        if isinstance(command, list):
            lines.append(" ".join("'" + str(word).replace("'", "'\\''") + "'" for word in command))
        elif isinstance(command, str):
            lines.append(command)
        elif command is not None:
            raise TypeError(f"a command is a text or a list, not {command!r}")
    return "\n".join(lines) + "\n"


def _list(config: Json, key: str) -> list[Any]:
    value = config.get(key)
    return value if isinstance(value, list) else []


def _mapping(config: Json, key: str) -> Json:
    value = config.get(key)
    return value if isinstance(value, dict) else {}
