"""A sandbox for tests: its own home and port, and the certainty that its process is gone afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linode_coder.sandbox import control


@dataclass
class RunningSandbox:
    """`env` is a whole environment for subprocesses, `url` ends with a slash, `home` is LINODE_CODER_HOME."""

    env: dict[str, str]
    url: str
    home: Path
    facts: dict[str, Any]

    def fault(self, **spec: Any) -> dict[str, Any]:
        """Arm a fault, fields as `sandbox fault add` has options."""
        with _home(self.home):
            return control.call("POST", "faults", spec)

    def clear_faults(self) -> None:
        with _home(self.home):
            control.call("DELETE", "faults")


@contextmanager
def _home(home: Path) -> Iterator[None]:
    before = os.environ.get("LINODE_CODER_HOME")
    os.environ["LINODE_CODER_HOME"] = str(home)
    try:
        yield
    finally:
        if before is None:
            del os.environ["LINODE_CODER_HOME"]
        else:
            os.environ["LINODE_CODER_HOME"] = before


@contextmanager
def start_sandbox(tmp_path: Path, hosts: str = "none", **options: Any) -> Iterator[RunningSandbox]:
    """Start one in `tmp_path`/home (kept when it exists), stop it, and check that its process is gone.

    `options` are those of `control.start`: engine, port, seed_instances, timing, rate_limits.
    """
    home = tmp_path / "home"
    with _home(home):
        facts, started = control.start(hosts, options.pop("engine", "standin"), **options)
        assert started
        env = {**os.environ, **control.environment(facts), "LINODE_CODER_HOME": str(home)}
        env["LINODE_CLI_CONFIG"] = str(tmp_path / "linode-cli.ini")
    try:
        yield RunningSandbox(env, facts["url"], home, facts)
    finally:
        with _home(home):
            control.stop()
        assert not Path(f"/proc/{facts['pid']}").exists() or b"linode_coder.sandbox.server" not in (
            Path(f"/proc/{facts['pid']}/cmdline").read_bytes()
        )
