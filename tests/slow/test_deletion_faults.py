# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way to delete a VM against every way in which the API can fail meanwhile: nothing leaked, nothing doubled, nothing
deleted that should live, and nothing called gone that is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core import retry
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.client import LinodeApi
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, decode, encode
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.idle_clock import IdleClock
from ansible_collections.linode_coder.gpu.plugins.modules import (
    linode_gpu_cleanup,
    linode_gpu_instance,
    linode_gpu_session_tags,
    linode_gpu_watch,
)

from tests.sandbox_fixture import RETRY_SCALE, RunningSandbox, start_sandbox

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"
LABEL = "lc-target-1"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(
        tmp_path_factory.mktemp("deletions"), timing="instant", rate_limits="off", plants_vms=True
    ) as running:
        yield running


@pytest.fixture(scope="module")
def around(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    """What must still be there afterwards: another session, and three Linodes that only look as if they were ours."""
    return [
        make(sandbox, "lc-kept-1", session_tags("kept", lease=7200)),
        make(sandbox, "lc-target-2", ["team-red"]),
        make(sandbox, "lc-target", []),
        make(sandbox, "database", ["linode-coder"]),
    ]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(retry.VARIABLE, RETRY_SCALE)
    monkeypatch.setattr(linode_gpu_watch, "POLL_S", 0.1)


def client(sandbox: RunningSandbox, timeout: float = 30) -> LinodeApi:
    return LinodeApi(sandbox.env["LINODE_TOKEN"], sandbox.url, None, timeout, "v4beta")


def session_tags(name: str, lease: float, doom: float | None = None) -> list[str]:
    now = int(time.time())
    when = None if doom is None else int(now + doom)
    return encode(SessionTags(name, 1, "ada", int(now + lease), now + 86400, 45, 520_000, "o/M", bytes(32), doom=when))


def make(sandbox: RunningSandbox, label: str, tags: list[str]) -> dict[str, Any]:
    body = {
        "label": label,
        "type": "g2-gpu-rtx4000a1-s",
        "region": "us-ord",
        "image": "linode/ubuntu24.04",
        "authorized_keys": [KEY],
        "tags": tags,
    }
    return dict(client(sandbox).post("linode/instances", body))


def module_with(spec: dict[str, Any], **params: Any) -> Any:
    return SimpleNamespace(check_mode=False, warn=lambda _text: None, params={**spec, **params})


def down(api: LinodeApi) -> bool:
    unset = dict.fromkeys(("generation", "predecessor", "account", "wait_for_capacity"))
    module = module_with(unset, session="target", state="absent", wait=True, wait_timeout=60)
    result: dict[str, Any] = {"changed": False}
    linode_gpu_instance.work(module, api, result)
    return "deleted" in result and bool(result["deleted"]["label"] == LABEL)


def watch(api: LinodeApi, clocks: dict[str, Any] | None = None) -> bool:
    """A pass as the playbook does it: decide, and then delete what is due."""
    result: dict[str, Any] = {"due": []}
    for _look in range(2):
        looks = {label: {"clock": clock} for label, clock in (clocks or {}).items()}
        spec = {"observations": looks, "session": None, "interval": 300, "max_deletions": None, "account": None}
        module = module_with(spec, wait_timeout=60, delete=result["due"])
        result = {"changed": False}
        linode_gpu_watch.work(module, api, result)
        for failed in result["failures"].values():
            failure = Failure.from_dict(failed)
            assert failure.billing
            raise failure
    return LABEL in [row["label"] for row in result["deleted"]]


def cleanup(api: LinodeApi) -> bool:
    result: dict[str, Any] = {"changed": False}
    linode_gpu_cleanup.work(module_with({}, remove=[LABEL], wait_timeout=60), api, result)
    return bool(result["removed"] == [LABEL])


WAYS: dict[str, tuple[Callable[[LinodeApi], bool], Callable[[], list[str]]]] = {
    "down": (down, lambda: session_tags("target", lease=7200)),
    "watchdog": (watch, lambda: session_tags("target", lease=-900, doom=-5)),
    "cleanup": (cleanup, lambda: ["linode-coder", "lc:session:target"]),
}
ONE = "/linode/instances/{id}"
HARMLESS: dict[str, dict[str, Any]] = {
    "429": {"kind": "rate_limited", "on": f"DELETE {ONE}", "retry_after": 1},
    "429 on reading": {"kind": "rate_limited", "on": "GET /linode/instances", "retry_after": 1},
    "busy": {"kind": "busy", "on": f"DELETE {ONE}", "count": 2},
    "500 before": {"kind": "error", "on": f"DELETE {ONE}", "status": 500},
    "503 before": {"kind": "error", "on": f"DELETE {ONE}", "status": 503},
    "408 before": {"kind": "error", "on": f"DELETE {ONE}", "status": 408},
    "reset before": {"kind": "reset", "on": f"DELETE {ONE}"},
    "500 after": {"kind": "error_after_commit", "on": f"DELETE {ONE}", "status": 500},
    "504 after": {"kind": "error_after_commit", "on": f"DELETE {ONE}", "status": 504},
    "reset after": {"kind": "reset_after_commit", "on": f"DELETE {ONE}"},
    "no answer in time": {"kind": "delay", "on": f"DELETE {ONE}", "delay": 3},
    "502 while waiting": {"kind": "error", "on": f"GET {ONE}", "count": 2},
    "the edge's 200 before": {"kind": "edge", "on": f"DELETE {ONE}", "status": 200},
    "the edge's 400 before": {"kind": "edge", "on": f"DELETE {ONE}", "status": 400},
    "the edge's 404 before": {"kind": "edge", "on": f"DELETE {ONE}", "status": 404},
    "the edge's 502 after": {"kind": "edge_after_commit", "on": f"DELETE {ONE}"},
    "the edge's 404 while waiting": {"kind": "edge", "on": f"GET {ONE}", "status": 404, "count": 2},
    "maintenance": {"kind": "maintenance", "on": f"DELETE {ONE}"},
}


def deletions(sandbox: RunningSandbox, number: int) -> int:
    events = client(sandbox).list("account/events", {"entity.id": number, "action": "linode_delete"})
    return len(events)


def exists(sandbox: RunningSandbox, number: int) -> bool:
    return any(row["id"] == number for row in client(sandbox).list("linode/instances"))


def target(sandbox: RunningSandbox, way: str) -> int:
    number = int(make(sandbox, LABEL, WAYS[way][1]())["id"])
    sandbox.age(LABEL, 1800)
    return number


def nothing_else_happened(sandbox: RunningSandbox, around: list[dict[str, Any]]) -> None:
    now = {row["id"]: row["tags"] for row in client(sandbox).list("linode/instances")}
    assert now == {row["id"]: row["tags"] for row in around}


@pytest.mark.parametrize("fault", HARMLESS)
@pytest.mark.parametrize("way", WAYS)
def test_deleted_once_whatever_the_api_answers(
    sandbox: RunningSandbox, around: list[dict[str, Any]], way: str, fault: str
) -> None:
    number = target(sandbox, way)
    sandbox.fault(**HARMLESS[fault])
    try:
        assert WAYS[way][0](client(sandbox, 1 if "delay" in HARMLESS[fault] else 30))
    finally:
        sandbox.clear_faults()
    assert not exists(sandbox, number)
    assert deletions(sandbox, number) == 1
    nothing_else_happened(sandbox, around)


# What nobody can get around: reported, with the VM there or its end not known, and finished by the next try.
HOPELESS: dict[str, tuple[dict[str, Any], bool | None]] = {
    "401 on deleting": ({"kind": "unauthorized", "on": f"DELETE {ONE}"}, True),
    "403 on deleting": ({"kind": "forbidden", "on": f"DELETE {ONE}"}, True),
    "no list": ({"kind": "error", "on": "GET /linode/instances", "status": 503, "count": None}, True),
    "no network": ({"kind": "reset", "on": "* /**", "count": None}, True),
    "401 on everything": ({"kind": "unauthorized", "on": "* /**", "count": None}, True),
    "401 while waiting": ({"kind": "unauthorized", "on": f"GET {ONE}", "count": None}, None),
}


@pytest.mark.parametrize("fault", HOPELESS)
@pytest.mark.parametrize("way", WAYS)
def test_what_failed_is_not_called_gone_and_is_finished_later(
    sandbox: RunningSandbox, around: list[dict[str, Any]], way: str, fault: str
) -> None:
    number = target(sandbox, way)
    spec, there = HOPELESS[fault]
    sandbox.fault(**spec, skip=1 if there is None and way == "watchdog" else 0)
    try:
        with pytest.raises(Failure) as caught:
            WAYS[way][0](client(sandbox))
    finally:
        sandbox.clear_faults()
    assert caught.value.kind in ("auth", "scope", "transient"), caught.value
    assert there is None or exists(sandbox, number) is there
    if exists(sandbox, number):
        # One whose deletion was asked for before may be gone when this looks.
        assert WAYS[way][0](client(sandbox)) or there is None
    assert not exists(sandbox, number)
    assert deletions(sandbox, number) == 1
    nothing_else_happened(sandbox, around)


def test_a_laptop_that_slept_marks_anew_and_deletes_nothing(sandbox: RunningSandbox) -> None:
    """The mark is of before the sleep: who was warned then is warned again."""
    vm = make(sandbox, LABEL, session_tags("target", lease=-900, doom=-8000))
    api = client(sandbox)
    assert not watch(api)
    doom = decode(api.get(f"linode/instances/{vm['id']}")["tags"]).doom
    assert doom is not None and doom >= time.time() + 500
    api.delete(f"linode/instances/{vm['id']}")


def test_an_old_vm_stays_until_its_replacement_is_seen_to_serve(sandbox: RunningSandbox) -> None:
    old = make(sandbox, LABEL, session_tags("target", lease=7200, doom=-5))
    new_tags = [tag for tag in session_tags("target", lease=7200) if not tag.startswith("lc:gen:")]
    new = make(sandbox, "lc-target-x2", [*new_tags, "lc:gen:2"])
    for label in (LABEL, "lc-target-x2"):
        sandbox.age(label, 7000)
    api = client(sandbox)
    unreadable = IdleClock(started=True, idle_s=60).as_dict()
    for clock in (None, IdleClock(readable=True).as_dict(), unreadable):
        assert not watch(api, {"lc-target-x2": clock})
        assert exists(sandbox, old["id"])
    api.put(f"linode/instances/{old['id']}", {"tags": session_tags("target", lease=7200, doom=-5)})
    serving = IdleClock(started=True, readable=True).as_dict()
    assert watch(api, {"lc-target-x2": serving})
    assert (exists(sandbox, old["id"]), exists(sandbox, new["id"])) == (False, True)
    api.delete(f"linode/instances/{new['id']}")


def test_an_extension_that_was_written_over_is_put_back_before_anything_is_deleted(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VERIFY_S", "IN_FLIGHT_S"):
        monkeypatch.setattr(linode_gpu_session_tags, name, 0.2)
    api = client(sandbox)
    rules = {"inbound_policy": "DROP", "outbound_policy": "ACCEPT"}
    wall = api.post("networking/firewalls", {"label": "lc-target", "tags": ["linode-coder"], "rules": rules})
    vm = f"linode/instances/{make(sandbox, LABEL, session_tags('target', lease=-900, doom=-5))['id']}"
    stale = {"tags": api.get(vm)["tags"]}
    unset = dict.fromkeys(("host_key", "next_host_key", "model", "idle", "extend_until", "pause"))
    linode_gpu_session_tags.work(module_with(unset, session="target", extend="2h"), api, {"changed": False})
    extended = decode(api.get(vm)["tags"])
    assert (extended.lease_end or 0) > time.time() + 7000
    # A watcher that had read the tags before writes them now.
    api.put(vm, stale)
    assert not watch(api)
    found = decode(api.get(vm)["tags"])
    assert (found.lease_end, found.doom) == (extended.lease_end, None)
    # The second copy is all that tells: without it the tags are the truth.
    api.put(vm, stale)
    api.delete(f"networking/firewalls/{wall['id']}")
    assert watch(api)
