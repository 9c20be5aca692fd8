# SPDX-License-Identifier: GPL-3.0-or-later
"""`watchdog install` on a machine with a real systemd and a real cron: the timer fires, and the pass does its work."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, decode, encode

from linode_coder.sandbox.hosts.docker_cli import DockerCli
from linode_coder.sandbox.hosts.docker_image import Recipe, ensure_image
from tests.api_proxy import api_at, gateway_of
from tests.sandbox_fixture import RunningSandbox, start_sandbox

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
# A person's machine: their own systemd, and cron. Python is this one's.
RECIPE = Recipe(
    "timers",
    (
        *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "cron", "openssh-client", "ca-certificates"),
        *("python3", "procps"),
    ),
    (
        'systemctl --root="$1" --quiet mask getty@tty1.service console-getty.service systemd-udevd.service '
        "systemd-networkd.service systemd-resolved.service systemd-timesyncd.service",
    ),
)
_LIKE_A_MACHINE = (
    *("--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"),
    *("--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--env", "container=docker"),
    *("--stop-signal", "SIGRTMIN+3"),
)


def python_paths() -> set[Path]:
    """What this Python consists of, beside the system's libraries."""
    base = Path(sys.base_prefix)
    own = {base} if base != Path("/usr") else {Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))}
    return own | {Path(sys.prefix), ROOT}


class Machine:
    def __init__(self, name: str, environment: dict[str, str]) -> None:
        self.name = name
        self.environment = environment

    def run(self, *command: str, code: int = 0, bare: bool = False) -> str:
        """A command of the logged-in user; ``bare``: without the variables of the account."""
        given = {"XDG_RUNTIME_DIR": "/run/user/0", **({} if bare else self.environment)}
        names = [part for name in given for part in ("--env", name)]
        done = subprocess.run(
            ["docker", "exec", *names, self.name, *command],
            env={**os.environ, **given},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def coder(self, *arguments: str, code: int = 0, bare: bool = False) -> dict[str, Any]:
        out = self.run(str(BIN / "linode-coder"), *arguments, "--json", code=code, bare=bare)
        return dict(json.loads(out.splitlines()[-1]))


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("timers"), timing="instant") as running:
        yield running


@pytest.fixture(scope="module")
def machine(sandbox: RunningSandbox) -> Iterator[Machine]:
    image = asyncio.run(ensure_image(DockerCli(), RECIPE))
    mounts = [part for path in sorted(python_paths()) for part in ("--volume", f"{path}:{path}:ro")]
    command = ["docker", "run", "--detach", "--hostname", "desk", *_LIKE_A_MACHINE, *mounts, image, "/sbin/init"]
    name = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()
    try:
        with api_at(gateway_of(name), sandbox) as url:
            made = Machine(name, {"LINODE_TOKEN": sandbox.env["LINODE_TOKEN"], "LINODE_API_URL": url})
            # degraded: kernel modules cannot be loaded from inside.
            wait(lambda: made.run("sh", "-c", "systemctl is-system-running || true").strip() in ("running", "degraded"))
            made.run("loginctl", "enable-linger", "root")
            wait(lambda: made.run("sh", "-c", "systemctl --user is-active default.target || true").strip() == "active")
            yield made
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, timeout=120)


def wait(done: Callable[[], bool], seconds: int = 300) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(1)


def overdue(sandbox: RunningSandbox, name: str) -> int:
    """A VM whose lease is over: the first pass marks it."""
    now = int(time.time())
    tags = SessionTags(name, 1, "ada", now - 60, now + 86400, 45, 520_000, "org/M", bytes(range(32)))
    body = {
        "label": f"lc-{name}-1",
        "type": "g2-gpu-rtx4000a1-s",
        "region": "us-ord",
        "image": "linode/ubuntu24.04",
        "authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"],
        "tags": encode(tags),
    }
    return int(sandbox.api("POST", "linode/instances", body)["id"])


def marked(sandbox: RunningSandbox, instance: int) -> bool:
    return decode(sandbox.api("GET", f"linode/instances/{instance}")["tags"]).doom is not None


def watched_by(machine: Machine) -> str:
    """What `up` says of watchers before it asks for money."""
    out = machine.run(str(BIN / "linode-coder"), "up", "next", "--dry-run")
    return next(line for line in out.splitlines() if line.startswith("watcher"))


@pytest.mark.timeout(2400)
def test_a_systemd_timer_watches(sandbox: RunningSandbox, machine: Machine) -> None:
    assert "none is known: nothing deletes this VM by itself" in watched_by(machine)
    refused = machine.coder("watchdog", "install", "--systemd", code=4, bare=True)
    assert refused["error"]["kind"] == "auth"
    machine.run("sh", "-c", "test ! -e /root/.config/linode-coder/watchdog.env && test ! -e /root/.config/systemd/user")
    for wrong in (["--systemd", "--interval", "10s"], ["--systemd", "--cron"], ["--cron", "--interval", "7m"]):
        assert machine.coder("watchdog", "install", *wrong, code=2)["error"]["exit_code"] == 2

    vm = overdue(sandbox, "timed")
    first = machine.coder("watchdog", "install", "--systemd", "--interval", "60s")
    assert (first["changed"], first["env"]) == (True, "made")
    again = machine.coder("watchdog", "install", "--systemd", "--interval", "60s", bare=True)
    assert (again["changed"], again["env"]) == (False, "kept")
    unit = "linode-coder-watchdog"
    written = machine.run("systemctl", "--user", "cat", f"{unit}.service", f"{unit}.timer")
    assert (
        sandbox.env["LINODE_TOKEN"] not in written and "--env-file /root/.config/linode-coder/watchdog.env" in written
    )
    assert machine.run("stat", "--format", "%a", first["env_file"]).strip() == "600"
    verify = machine.run("systemd-analyze", "--user", "verify", f"/root/.config/systemd/user/{unit}.timer")
    assert verify == ""

    wait(lambda: marked(sandbox, vm))
    state = machine.run("systemctl", "--user", "show", f"{unit}.service", "--property", "Result,ExecMainStatus")
    assert "Result=success" in state and "ExecMainStatus=0" in state
    wait(lambda: "none is known" not in watched_by(machine))
    assert "root@desk looked" in watched_by(machine) and "every 1 min" in watched_by(machine)

    assert machine.coder("watchdog", "install", "--systemd", "--interval", "10m", bare=True)["changed"] is True
    timers = machine.run("systemctl", "--user", "show", f"{unit}.timer", "--property", "TimersMonotonic")
    assert "OnUnitActiveUSec=10min" in timers
    gone = machine.coder("watchdog", "uninstall")
    assert (gone["removed"], gone["env_file_removed"]) == (["systemd"], True)
    assert unit not in machine.run("systemctl", "--user", "list-timers", "--all", "--no-pager")
    machine.run("sh", "-c", "! ls /root/.config/systemd/user/linode-coder* /root/.config/linode-coder/watchdog.env")
    assert machine.coder("watchdog", "uninstall")["removed"] == []
    sandbox.api("DELETE", f"linode/instances/{vm}")


@pytest.mark.timeout(2400)
def test_a_cron_entry_watches(sandbox: RunningSandbox, machine: Machine) -> None:
    machine.run("sh", "-c", "echo '5 4 * * * true' | crontab -")
    vm = overdue(sandbox, "crond")
    assert machine.coder("watchdog", "install", "--cron", "--interval", "1m")["changed"] is True
    assert machine.coder("watchdog", "install", "--cron", "--interval", "1m", bare=True)["changed"] is False
    table = machine.run("crontab", "-l")
    assert table.startswith("5 4 * * * true\n") and table.count("--once") == 1
    assert sandbox.env["LINODE_TOKEN"] not in table
    wait(lambda: marked(sandbox, vm))
    assert machine.coder("watchdog", "uninstall")["removed"] == ["cron"]
    assert machine.run("crontab", "-l") == "5 4 * * * true\n"
    sandbox.api("DELETE", f"linode/instances/{vm}")
