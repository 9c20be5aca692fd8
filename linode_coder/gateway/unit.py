"""The gateway as a service of this user's systemd, with the token in a file that only its owner can read."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import config_dir

from ..settings.config import BY_VARIABLE
from ..watchdog import timer

UNIT = "linode-coder-gateway.service"


def environment_file() -> Path:
    return config_dir() / "gateway.env"


def unit_text(port: int) -> str:
    """The service; a stop gives an `up` that it interrupts the time to say what still bills."""
    words = [*timer.program(), "gateway", "--port", str(port), "--env-file", str(environment_file())]
    return (
        "[Unit]\nDescription=Endpoint that starts linode-coder sessions on request\nWants=network-online.target\n"
        "After=network-online.target\n\n"
        f"[Service]\nType=exec\nExecStart={timer.exec_start(words)}\nRestart=on-failure\nRestartSec=10s\n"
        "TimeoutStopSec=90s\nKillMode=mixed\n\n"
        "[Install]\nWantedBy=default.target\n"
    )


def install(port: int) -> bool:
    """Whether anything had to be changed; it runs afterwards."""
    try:
        timer.check("systemd")
    except Failure as failure:
        failure.remedy = (
            "Log in with a session of its own (not through su), or run it in a terminal: linode-coder gateway"
        )
        raise
    wrote = timer.write_environment(environment_file(), BY_VARIABLE)  # whatever `up` may need
    changed = timer.write_units({UNIT: unit_text(port)})
    if changed:
        timer.systemctl("daemon-reload")
    changed = changed or wrote != "kept"
    if changed or not all(timer.unit_is(state, UNIT) for state in ("enabled", "active")):
        timer.systemctl("enable", UNIT)
        timer.systemctl("restart", UNIT)
        return True
    return False


def uninstall() -> bool:
    """Whether there was one. Its key stays, so that clients need no other one."""
    path = timer.unit_directory() / UNIT
    had = path.exists()
    if had:
        timer.systemctl("disable", "--now", UNIT)
        path.unlink(missing_ok=True)
        timer.systemctl("daemon-reload")
    environment_file().unlink(missing_ok=True)
    return had
