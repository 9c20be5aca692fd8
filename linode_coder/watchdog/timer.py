"""A timer of this user that watches: systemd or cron. The token is in a file that only its owner can read."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import config_dir, state_dir

UNIT = "linode-coder-watchdog"
BEGIN, END = "# linode-coder watchdog: begin", "# linode-coder watchdog: end"
# What a watcher may need of the environment in which it is installed.
VARIABLES = (
    "LINODE_TOKEN",
    "LINODE_API_URL",
    "LINODE_CA",
    "LINODE_CODER_HOME",
    "LINODE_CODER_SSH_PORT",
    "LINODE_CODER_NOTIFY_URL",
    "LINODE_CODER_HISTORY_URL",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "LINODE_CODER_HEAL",
    "LINODE_CODER_BUDGET",
    "LINODE_CODER_BUDGET_ACTION",
    "XDG_STATE_HOME",
    "XDG_CONFIG_HOME",
)
# A token and the place that it is for are replaced together.
_ACCOUNT = ("LINODE_TOKEN", "LINODE_API_URL", "LINODE_CA")


def environment_file() -> Path:
    return config_dir() / "watchdog.env"


def _refuse_open(path: Path) -> None:
    about = path.stat()
    if about.st_uid != os.getuid() or stat.S_IMODE(about.st_mode) & 0o077:
        raise Failure(
            "config",
            f"{path} can be read by others, and it holds a token.",
            remedy=f"chmod 600 {shlex.quote(str(path))}; if others had access, make a new token.",
            field="env_file",
            value=str(path),
        )


def _read_environment(path: Path) -> dict[str, str]:
    """The lines of NAME=value."""
    found = {}
    for line in path.read_text().splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            found[name.strip()] = value.strip()
    return found


def load_environment(path: Path) -> None:
    """Take over the variables in ``path``."""
    try:
        found = _read_environment(path)
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            "config",
            f"{path} cannot be read.",
            cause=getattr(error, "strerror", None) or "it is no text",
            remedy="Make it: linode-coder watchdog install, or linode-coder gateway --install",
            field="env_file",
            value=str(path),
        ) from error
    _refuse_open(path)
    os.environ.update(found)


def write_environment(path: Path | None = None, more: Iterable[str] = ()) -> str:
    """made, changed or kept: the file has what this environment says, and what it said before of the rest. ``more`` are variables
    beside those that a watcher may need."""
    path = path or environment_file()
    before: dict[str, str] = {}
    if path.exists():
        _refuse_open(path)
        before = _read_environment(path)
    wanted = {**before, **{name: os.environ[name] for name in (*VARIABLES, *more) if os.environ.get(name)}}
    if os.environ.get("LINODE_TOKEN"):
        wanted = {name: value for name, value in wanted.items() if name not in _ACCOUNT or os.environ.get(name)}
    if not wanted.get("LINODE_TOKEN"):
        raise Failure(
            "auth",
            f"There is no Linode token, neither in the configuration nor in {path}.",
            remedy="Export LINODE_TOKEN for this one command; it is read from that file from then on.",
            field="api_token",
        )
    if wanted == before:
        return "kept"
    lines = ["# Read with --env-file. Holds a token: keep the mode 0600."]
    lines += [f"{name}={value}" for name, value in wanted.items()]
    replace_file(path, "\n".join(lines) + "\n", parents=True)
    return "changed" if before else "made"


def program() -> list[str]:
    found = Path(sys.executable).parent / "linode-coder"
    return [str(found)] if found.exists() else [sys.executable, "-m", "linode_coder"]


def command(interval: int) -> list[str]:
    return [
        *program(),
        "--quiet",
        "watchdog",
        "--once",
        "--interval",
        f"{interval}s",
        "--env-file",
        str(environment_file()),
    ]


# -- systemd ---------------------------------------------------------------------------------------------------------


def unit_directory() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "systemd" / "user"


def exec_start(words: list[str]) -> str:
    """A command as a unit has it. systemd has its own quoting: percent and dollar signs are doubled."""
    doubled = [word.replace("%", "%%").replace("$", "$$") for word in words]
    return " ".join(f'"{word}"' if " " in word else word for word in doubled)


def systemd_units(interval: int) -> dict[str, str]:
    """File name and text of the units."""
    return {
        f"{UNIT}.service": (
            "[Unit]\nDescription=Watch the linode-coder sessions\nWants=network-online.target\nAfter=network-online.target\n\n"
            f"[Service]\nType=oneshot\nExecStart={exec_start(command(interval))}\nTimeoutStartSec=30min\n"
        ),
        f"{UNIT}.timer": (
            f"[Unit]\nDescription=Watch the linode-coder sessions every {interval} s\n\n"
            f"[Timer]\nOnActiveSec=30s\nOnUnitActiveSec={interval}s\nAccuracySec=15s\n\n[Install]\nWantedBy=timers.target\n"
        ),
    }


def systemctl(*arguments: str) -> None:
    """Of this user. Failure(config) where there is none, or it does not do it."""
    try:
        done = subprocess.run(["systemctl", "--user", *arguments], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(
            "config", "systemctl could not be run.", cause=str(error), remedy="Use --cron instead, or AWX."
        ) from error
    if done.returncode:
        raise Failure(
            "config",
            "systemd of this user does not do it.",
            cause=(done.stderr.strip().splitlines() or ["no reason given"])[-1],
            remedy="Log in with a session of its own (not through su), or use --cron instead.",
        )


def unit_is(state: str, unit: str) -> bool:
    """Whether a unit of this user is ``enabled``, or ``active``."""
    done = subprocess.run(["systemctl", "--user", f"is-{state}", "--quiet", unit], timeout=60)
    return done.returncode == 0


def check(kind: str) -> None:
    """Failure(config) when there is no such timer here, before anything is written."""
    if kind == "cron":
        _crontab()
    else:
        systemctl("show-environment")


def write_units(units: dict[str, str]) -> bool:
    """Texts by file names; whether any had to be changed."""
    directory = unit_directory()
    directory.mkdir(parents=True, exist_ok=True)
    changed = False
    for name, text in units.items():
        path = directory / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            changed = True
    return changed


def install_systemd(interval: int) -> bool:
    """Whether anything had to be changed."""
    changed = write_units(systemd_units(interval))
    if changed:
        systemctl("daemon-reload")
    if changed or not all(unit_is(state, f"{UNIT}.timer") for state in ("enabled", "active")):
        systemctl("enable", f"{UNIT}.timer")
        # Also one that runs takes the new interval only now.
        systemctl("restart", f"{UNIT}.timer")
        changed = True
    return changed


def uninstall_systemd() -> bool:
    """Whether there was one."""
    files = [unit_directory() / f"{UNIT}.{kind}" for kind in ("timer", "service")]
    if not any(path.exists() for path in files):
        return False
    systemctl("disable", "--now", f"{UNIT}.timer")
    for path in files:
        path.unlink(missing_ok=True)
    systemctl("daemon-reload")
    return True


# -- cron ------------------------------------------------------------------------------------------------------------


def cron_lines(interval: int) -> str:
    minutes, rest = divmod(interval, 60)
    if rest or 60 % minutes:
        raise Failure(
            "usage",
            f"cron cannot run every {interval} s.",
            remedy="Use whole minutes that divide an hour: 1m, 5m, 10m, 15m, 30m, 1h.",
            field="interval",
            value=interval,
        )
    when = "0 * * * *" if minutes == 60 else f"*/{minutes} * * * *"
    log = state_dir() / "watchdog.log"
    # In a crontab a percent sign ends the command.
    words = " ".join(shlex.quote(word) for word in command(interval)).replace("%", "\\%")
    return f"{BEGIN}\n{when} {words} >> {shlex.quote(str(log))} 2>&1\n{END}\n"


def _crontab(text: str | None = None) -> str:
    """The user's crontab, or with ``text`` the new one."""
    program = shutil.which("crontab")
    if program is None:
        raise Failure("config", "There is no cron here.", remedy="Use --systemd instead, or AWX.")
    arguments = [program, "-l"] if text is None else [program, "-"]
    done = subprocess.run(arguments, input=text, capture_output=True, text=True, timeout=60)
    if done.returncode and not (text is None and "no crontab" in done.stderr.lower()):
        raise Failure(
            "config",
            "The crontab could not be " + ("read." if text is None else "written."),
            cause=done.stderr.strip(),
            remedy="See: crontab -l",
        )
    return done.stdout if not done.returncode else ""


def _without_ours(crontab: str) -> str:
    kept, ours = [], False
    for line in crontab.splitlines(keepends=True):
        ours = ours or line.strip() == BEGIN
        if not ours:
            kept.append(line)
        ours = ours and line.strip() != END
    return "".join(kept)


def install_cron(interval: int) -> bool:
    """Whether anything had to be changed."""
    lines = cron_lines(interval)
    state_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
    before = _crontab()
    if lines in before:
        return False
    others = _without_ours(before)
    _crontab(others + ("\n" if others and not others.endswith("\n") else "") + lines)
    return True


def uninstall_cron() -> bool:
    """Whether there was one."""
    if shutil.which("crontab") is None:
        return False
    before = _crontab()
    after = _without_ours(before)
    if after == before:
        return False
    _crontab(after)
    return True
