# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of a VM with one trouble, in an account in which another VM can take its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.idle_clock import IdleClock
from ansible_collections.linode_coder.gpu.plugins.modules import linode_gpu_instance, linode_gpu_watch

from tests.unit.heal.interleaving import Run, Watcher
from tests.unit.heal.model import LINODE, Model, ModelApi

PLACE = {"plan": "g2-gpu-rtx4000a1-s", "region": "us-sea", "hourly": 0.52}
BOOT_S, GONE_S = 12.0, 3.0
_mine = threading.local()


class Account(Model):
    def __init__(self, run: Run, trouble: Sequence[Finding], reachable: bool = True) -> None:
        super().__init__(run, trouble, (), reachable)
        lease = int(run.now) + 20000
        tags = SessionTags("demo", 1, "ada", lease, lease + 9999, 45, 520_000, "org/M", bytes(32))
        self.tags = encode(tags)
        self.old: float | None = None  # until when it is there
        self.new: list[dict[str, Any]] = []
        self.serves = False
        self.created: list[str] = []
        self.deleted: list[str] = []

    def api(self, watcher: Watcher) -> AccountApi:
        return AccountApi(self, watcher)

    def replace(self, watcher: Watcher, seen: dict[str, Any]) -> str:
        return replace_vm(self, self.api(watcher), watcher, seen)

    def rows(self) -> list[dict[str, Any]]:
        """The Linodes that exist."""
        self.advance()
        found = []
        if self.old is None or self.run.now < self.old:
            status = self.status if self.old is None else "deleting"
            found.append({**self.instance(), "status": status, "ipv4": ["192.0.2.1"], "locks": []})
        for row in self.new:
            running = self.run.now >= row["boots"]
            found.append({**row, "status": "running" if running else "booting", "tags": list(row["tags"])})
        return found

    def one(self, path: str) -> dict[str, Any]:
        number = int(path.rpartition("/")[2])
        for row in self.rows():
            if row["id"] == number:
                return row
        raise Failure("not_found", "There is no such Linode.")

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        if any(row["label"] == body["label"] for row in self.rows()):
            raise Failure("conflict", "Label must be unique among your linodes")
        self.created.append(body["label"])
        row = {
            **{"id": 100 + len(self.new), "label": body["label"], "type": body["type"], "region": body["region"]},
            "created": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.run.now)),
            **{"ipv4": ["192.0.2.2"], "locks": [], "tags": list(body["tags"]), "boots": self.run.now + BOOT_S},
        }
        self.new.append(row)
        return {**row, "status": "provisioning"}

    def delete(self, path: str) -> None:
        row = self.one(path)
        if row["status"] == "deleting":
            return
        self.deleted.append(row["label"])
        assert row["id"] == LINODE, "the new VM was deleted"
        assert self.serves, "the old VM was deleted before the new one served"
        self.old = self.run.now + GONE_S

    def retag(self, path: str, tags: list[str]) -> None:
        number = self.one(path)["id"]
        if number == LINODE:
            self.tags = list(tags)
        else:
            next(row for row in self.new if row["id"] == number)["tags"] = list(tags)

    def up(self) -> bool:
        return super().up() and (self.old is None or self.run.now < self.old)


class AccountApi(ModelApi):
    model: Account
    skew = 0.0

    def get(self, path: str, x_filter: dict[str, Any] | None = None) -> Any:
        if path.startswith("account/events"):
            self._step()
            old = (x_filter or {}).get("entity.id", LINODE) == LINODE
            return {"data": [dict(one) for one in reversed(self.model.events) if old]}
        if path.startswith(("account", "images")):  # read once, and the same for everybody
            return {"euuid": "E1", "data": []}
        self._step()
        return self.model.one(path)

    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        self._step()
        if path != "linode/instances":
            return []
        label = (x_filter or {}).get("label")
        return [row for row in self.model.rows() if label in (None, row["label"])]

    def post(self, path: str, data: dict[str, Any] | None = None) -> Any:
        if path != "linode/instances":
            return super().post(path, data)
        made: list[dict[str, Any]] = []
        self._write("create", lambda: made.append(self.model.create(data or {})))
        return made[0]

    def put(self, path: str, data: dict[str, Any]) -> Any:
        return self._write("PUT", lambda: self.model.retag(path, data["tags"]))

    def delete(self, path: str) -> Any:
        return self._write("delete", lambda: self.model.delete(path))

    def when_free(self, action: Callable[[], Any]) -> Any:
        while True:
            try:
                return action()
            except Failure as failure:
                if failure.kind not in ("busy", "rate_limited"):
                    raise
                self.sleep(failure.retry_after or 1.0)


def virtual_time() -> SimpleNamespace:
    """The module ``time`` for code that runs in a watcher's thread."""
    return SimpleNamespace(
        time=lambda: _mine.watcher.now(),
        monotonic=lambda: _mine.watcher.now(),
        sleep=lambda seconds: _mine.watcher.sleep(seconds),
    )


def replace_vm(model: Account, api: AccountApi, watcher: Watcher, seen: dict[str, Any]) -> str:
    """What playbooks/replace.yml does, in its order: create or adopt, make it serve, prove it, delete the old one."""
    _mine.watcher = watcher
    generation = int(seen["generation"]) + 1
    instance(api, state="present", generation=generation, predecessor=seen["label"])
    watcher.step()
    model.serves = True
    watcher.step()
    if not model.serves:
        return "both stay"
    instance(api, state="absent", generation=generation - 1)
    return "replaced"


def instance(api: AccountApi, **given: Any) -> dict[str, Any]:
    """The module that creates and deletes VMs."""
    params: dict[str, Any] = {
        **{"session": "demo", "offers": [PLACE], "model": "org/M", "image": "linode/ubuntu24.04", "bad_gpus": []},
        **{
            "authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"],
            "firewall_id": None,
            "account": None,
            "wait": True,
        },
        **{"wait_timeout": 600, "wait_for_capacity": None, "predecessor": None},
        **given,
    }
    module = SimpleNamespace(params=params, check_mode=False, warn=lambda _text: None)
    result: dict[str, Any] = {"changed": False}
    linode_gpu_instance.work(module, api, result)
    return result


def watch_pass(model: Account, watcher: Watcher) -> str:
    """What playbooks/watchdog.yml does with what is idle or over: look, decide, look again, delete."""
    _mine.watcher = watcher
    due: list[str] = []
    for _look in range(2):
        watcher.step()
        serving = IdleClock(started=True, readable=True).as_dict() if model.serves else None
        looks = {"lc-demo-2": {"clock": serving}}
        params = {"observations": looks, "session": None, "interval": 300, "max_deletions": None, "account": None}
        module = SimpleNamespace(
            check_mode=False, warn=lambda _text: None, params={**params, "wait_timeout": 300, "delete": due}
        )
        result: dict[str, Any] = {"changed": False}
        linode_gpu_watch.Watch(module, model.api(watcher), result).sweep()
        assert result["failures"] == {}
        due = result["due"]
        if not due:
            break
    return "watched"
