# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM with one trouble and the API in front of it, as far as healing sees them, in virtual time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.state import EMPTY
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER

from tests.unit.heal.cases import finding
from tests.unit.heal.interleaving import Killed, Run, Watcher

LINODE = 7
# How long the network holds up a request, which is longer than a job takes.
LATE_S = 25.0
JOB_S = {"reboot": 20.0, "shutdown": 8.0, "boot": 12.0}


class Gone(Exception):
    """The VM does not answer, or took the process with it."""


class Model:
    """``trouble`` is what fails, ``cure`` the rungs that end it (any of them)."""

    def __init__(self, run: Run, trouble: Sequence[Finding], cure: Sequence[str], reachable: bool = True) -> None:
        self.run = run
        self.trouble = tuple(trouble)
        self.cure = tuple(cure)
        self.ssh = reachable
        self.record = b""
        self.lock = ""
        self.boot = 1
        self.status = "running"
        self.tags = [MARKER, "lc:session:demo", "lc:gen:1"]
        self.events: list[dict[str, Any]] = []
        self.job: tuple[str, float] | None = None
        self.lag = 0.0
        self.faults: list[tuple[str, str]] = []
        self.held_up: list[tuple[float, Callable[[], None]]] = []
        self.asked: list[str] = []
        self.made: list[str] = []
        self.inside = 0

    def healed(self, rung: str) -> None:
        self.made.append(rung)
        if rung in self.cure:
            self.trouble = ()
            self.ssh = True

    def api(self, watcher: Watcher) -> ModelApi:
        return ModelApi(self, watcher)

    def replace(self, watcher: Watcher, seen: dict[str, Any]) -> str:
        raise AssertionError("no other VM here")

    # -- the API's side

    def advance(self) -> None:
        for arrives, change in [one for one in self.held_up if one[0] <= self.run.now]:
            self.held_up.remove((arrives, change))
            with contextlib.suppress(Failure):
                change()
        if self.job is None or self.run.now < self.job[1]:
            return
        action, _ends = self.job
        self.job = None
        self.events[-1] |= {"status": "finished"}
        self.status = "offline" if action == "shutdown" else "running"
        if action != "shutdown":
            self.boot += 1
            self.lock = ""
            cycled = any(event["action"] == "linode_shutdown" for event in self.events)
            self.healed("power_cycle" if action == "boot" and cycled else "reboot")

    def start(self, action: str) -> None:
        if self.job is not None:
            raise Failure("busy", "Linode busy.")
        if (action == "boot") == (self.status == "running"):
            raise Failure("cloud", f"The VM is {self.status}.")
        self.asked.append(action)
        self.job = (action, self.run.now + JOB_S[action])
        self.status = {"reboot": "rebooting", "shutdown": "shutting_down", "boot": "booting"}[action]
        self.events.append(
            {
                "id": len(self.events) + 1,
                "action": f"linode_{action}",
                "status": "started",
                "created": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.run.now)),
                "username": "watcher",
                "seen": self.run.now + self.lag,
            }
        )

    def instance(self) -> dict[str, Any]:
        return {
            "id": LINODE,
            "label": "lc-demo-1",
            "status": self.status,
            "type": "g2-gpu-rtx4000a1-s",
            "region": "us-ord",
            "created": "2026-01-01T00:00:00",
            "tags": list(self.tags),
        }

    # -- the VM's side

    def up(self) -> bool:
        self.advance()
        return self.ssh and self.status == "running"

    def findings(self) -> tuple[Finding, ...]:
        if not self.up():
            if self.status != "running":
                return (finding("vm.status"),)
            return self.trouble if self.trouble[0].id == "vm.ssh" else (finding("vm.ssh"),)
        return self.trouble or (finding("vllm.gen", "pass"),)


class ModelApi:
    """One watcher's client of the API."""

    def __init__(self, model: Model, watcher: Watcher) -> None:
        self.model = model
        self.watcher = watcher

    def now(self) -> float:
        return self.watcher.now()

    def sleep(self, seconds: float) -> None:
        self.watcher.sleep(seconds)

    def _step(self) -> None:
        self.watcher.step()
        self.model.advance()

    def get(self, path: str, x_filter: dict[str, Any] | None = None) -> Any:
        self._step()
        if path.startswith("account/events"):
            seen = [event for event in self.model.events if event["seen"] <= self.model.run.now]
            return {"data": [dict(event) for event in reversed(seen)]}
        return self.model.instance()

    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        self._step()
        return [self.model.instance()]

    def post(self, path: str, data: dict[str, Any] | None = None) -> Any:
        return self._write(path, lambda: self.model.start(path.rsplit("/", 1)[1]))

    def put(self, path: str, data: dict[str, Any]) -> Any:
        def change() -> None:
            self.model.tags = list(data["tags"])

        return self._write("PUT", change)

    def _write(self, what: str, change: Callable[[], None]) -> None:
        self._step()
        fault = next((fault for fault in self.model.faults if fault[0] in what), None)
        if fault is None:
            change()
            return
        self.model.faults.remove(fault)
        kind = fault[1]
        if kind == "429":
            raise Failure("rate_limited", "Too many.", retry_after=1.0)
        if kind == "after":
            change()
        elif kind == "late":
            self.model.held_up.append((self.model.run.now + LATE_S, change))
        raise Failure("ambiguous", "No answer.")


class ModelGuest:
    """One watcher's process on the VM: it ends with the boot that it began in."""

    def __init__(self, model: Model, watcher: Watcher) -> None:
        self.model = model
        self.watcher = watcher
        watcher.step()
        if not model.up():
            raise Gone
        self.boot = model.boot

    def _step(self) -> None:
        self.watcher.step()
        if not self.model.up() or self.model.boot != self.boot:
            raise Gone

    def now(self) -> int:
        return int(self.watcher.now())

    def boot_id(self) -> str:
        return f"boot-{self.boot}"

    def read_record(self) -> str:
        self._step()
        return self.model.record.decode()

    def write_record(self, text: str, keep: int) -> None:
        self._step()
        half = self.model.record[:keep] + text.encode()[: len(text) // 2]
        self.model.record = half
        self._step()  # a crash here leaves half a line
        self.model.record = half[:keep] + text.encode()

    def set_record_aside(self) -> None:
        self.model.record = b""

    def swap_lock(self, change: Callable[[str], str | None]) -> None:
        self._step()
        text = change(self.model.lock)
        if text is not None:
            self.model.lock = text

    def identity(self) -> dict[str, Any]:
        return {"pid": self.watcher.number}

    def alive(self, holder: dict[str, Any]) -> bool:
        other = self.model.run.watchers[holder["pid"]]
        return not other.dead and not other.done

    def read_config(self) -> str | None:
        return None

    def write_config(self, text: str) -> None:
        raise AssertionError("no parameter changes here")

    def engine_state(self) -> dict[str, Any]:
        return dict(EMPTY)

    def run(self, argv: Sequence[str], timeout: float) -> tuple[int, str]:
        self._step()
        self.model.inside += 1
        assert self.model.inside == 1, "two commands at once"
        try:
            self._step()
            if "restart" in argv:
                self.model.healed("restart_container")
            elif "--force-recreate" in argv:
                self.model.healed("recreate_container")
        except (Killed, Gone):
            # The program that a dead watcher started goes on.
            if self.model.up() and self.model.boot == self.boot:
                self.model.healed("restart_container" if "restart" in argv else "recreate_container")
            raise
        finally:
            self.model.inside -= 1
        return 0, ""
