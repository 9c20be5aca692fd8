"""A sandbox for tests: its own home, port and token, and what has to hold after every test that used one."""

from __future__ import annotations

import json
import os
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linode_coder.sandbox import control
from linode_coder.sandbox import snapshot as snapshots
from linode_coder.sandbox.own_token import TOKEN
from tests import leftovers

# The token of every test, the sandbox's own: it must not be found in any file afterwards.
PLANTED = TOKEN

# The sandbox is as quick as it is asked to be: what lets the real API rest is a tenth here.
RETRY_SCALE = "0.1"


@dataclass
class RunningSandbox:
    """`env` is a whole environment for subprocesses, `url` ends with a slash, `home` is LINODE_CODER_HOME."""

    env: dict[str, str]
    url: str
    home: Path
    facts: dict[str, Any]

    def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """What its API answers to the test's token; urllib.error.HTTPError for what it refuses."""
        request = urllib.request.Request(
            f"{self.url}v4beta/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.env['LINODE_TOKEN']}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    @property
    def inventory(self) -> str:
        """A file that names our inventory plugin and no more."""
        path = self.home.parent / "gpu.linode.yml"
        path.write_text("plugin: linode_coder.gpu.linode_gpu\n")
        return str(path)

    def fault(self, **spec: Any) -> dict[str, Any]:
        """Arm a fault, fields as `sandbox fault add` has options."""
        with _home(self.home):
            return control.call("POST", "faults", spec)

    def age(self, name: str, seconds: float) -> None:
        """Make an instance or a firewall (label or id) older than it is."""
        with _home(self.home):
            control.call("POST", "age", {"name": name, "seconds": seconds})

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
def start_sandbox(
    tmp_path: Path, hosts: str = "none", plants_vms: bool = False, snapshot: Path | None = None, **options: Any
) -> Iterator[RunningSandbox]:
    """Start one in `tmp_path`/home (kept when it exists), and stop it. With a `snapshot` it goes on as that was saved.

    When what ran in between succeeded, nothing may be left: no VM of ours with half of its tags, no token in a file, no
    process, namespace or mount.

    A test that makes VMs itself, with half of the tags or foreign ones, says so with `plants_vms`.
    `options` are those of `control.start`: engine, port, seed_instances, timing, rate_limits.
    """
    home = tmp_path / "home"
    # Of its own, so that what other tests run at the same moment is not taken for a leftover. Short, for sockets.
    with tempfile.TemporaryDirectory(prefix="lc-", dir="/dev/shm") as runtime:
        with _home(home):
            if snapshot is not None:
                facts = snapshots.start(snapshot)
            else:
                facts, started = control.start(hosts, options.pop("engine", "standin"), **options)
                assert started
            env = {**os.environ, **control.environment(facts), "LINODE_CODER_HOME": str(home)}
        env["LINODE_CLI_CONFIG"] = str(tmp_path / "linode-cli.ini")
        # No ansible.cfg is there, as with a collection that was just installed: results as our pages show them.
        env["ANSIBLE_CALLBACK_RESULT_FORMAT"] = "yaml"
        env["XDG_RUNTIME_DIR"] = runtime
        env["LINODE_CODER_RETRY_SCALE"] = RETRY_SCALE
        processes = leftovers.Processes(home)
        try:
            running = RunningSandbox(env, facts["url"], home, facts)
            yield running
            with _home(home):
                server = control.record()  # none when the test killed it, another one when it started it again
            if server is not None:
                running.clear_faults()
                if not plants_vms:
                    leftovers.assert_tags_complete(facts["url"], PLANTED)
                processes.remember(server["pid"])
        finally:
            with _home(home):
                control.stop()
        processes.assert_gone()
        leftovers.assert_secret_nowhere(PLANTED, tmp_path, Path(runtime))
