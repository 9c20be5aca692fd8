# SPDX-License-Identifier: GPL-3.0-or-later
"""One watcher and the time: an API that is away when a lease ends, and VMs that nobody looks after."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, decode, encode
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.decision import GRACE_S, ORPHAN_GRACE_S
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.notices import notices_of
from ansible_collections.linode_coder.gpu.plugins.modules import linode_gpu_watch

CREATED = 1_800_000_000
LEASE_END = CREATED + 2 * 3600 + 1800
INTERVAL = 300


class Account:
    """Linodes, the time, and whether the API answers."""

    skew = 0.0

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *rows: dict[str, Any]) -> None:
        self.rows = {row["id"]: row for row in rows}
        self.now = CREATED
        self.down: Callable[[int], bool] = lambda _now: False
        self.deletions: list[tuple[int, int]] = []
        self.warnings: list[str] = []
        self.options: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        clock = SimpleNamespace(time=lambda: self.now, monotonic=lambda: 0.0, sleep=lambda _seconds: None)
        monkeypatch.setattr(linode_gpu_watch, "time", clock)

    def answer(self) -> None:
        if self.down(self.now):
            raise Failure("transient", "The API does not answer.", cause="503")

    def one(self, path: str) -> dict[str, Any]:
        self.answer()
        number = int(path.rpartition("/")[2])
        if number not in self.rows:
            raise Failure("not_found", "The API does not know this object.")
        return self.rows[number]

    def list(self, path: str, _filter: object = None) -> list[dict[str, Any]]:
        self.answer()
        if path == "account/events":
            return self.events
        return [dict(row) for row in self.rows.values()]

    def get(self, path: str) -> dict[str, Any]:
        if path == "account":
            self.answer()
            return {"euuid": "E1"}
        return dict(self.one(path))

    def put(self, path: str, body: dict[str, Any]) -> None:
        self.one(path).update(body)

    def delete(self, path: str) -> None:
        number = self.one(path)["id"]
        gone = self.rows.pop(number)
        entity = {"id": number, "type": "linode", "label": gone["label"]}
        for action, at in (("linode_create", gone["created"]), ("linode_delete", format_time(self.now))):
            self.events.append({"action": action, "status": "finished", "created": at, "entity": entity})
        self.deletions.append((number, self.now))

    def when_free(self, action: Callable[[], Any]) -> Any:
        return action()

    def pass_(self) -> dict[str, Any]:
        """What the playbook does: decide, then delete what is due."""
        result: dict[str, Any] = {"due": []}
        for second in (False, True):
            params = {"observations": {}, "session": None, "interval": INTERVAL, "max_deletions": None, "account": None}
            params.update(self.options)
            params.update(wait_timeout=300, delete=result["due"] if second else [])
            module = SimpleNamespace(check_mode=False, warn=self.warnings.append, params=params)
            result = {"changed": False}
            linode_gpu_watch.Watch(module, self, result).sweep()
        return result

    def watch(self, start: int, end: int) -> list[dict[str, Any]]:
        """Passes from ``start`` to ``end``; those that failed as {}."""
        results = []
        for self.now in range(start, end, INTERVAL):
            try:
                results.append(self.pass_())
            except Failure as failure:
                assert failure.kind == "transient"
                results.append({})
        return results


def row(number: int, label: str, tags: list[str], created: int = CREATED) -> dict[str, Any]:
    about = {"id": number, "label": label, "status": "running", "created": format_time(created), "locks": []}
    return {**about, "ipv4": ["192.0.2.1"], "tags": tags}


def session(number: int, name: str, lease_end: int, generation: int = 1, created: int = CREATED) -> dict[str, Any]:
    tags = SessionTags(name, generation, "ada", lease_end, CREATED + 999999, None, 520_000, "o/M", bytes(32))
    return row(number, f"lc-{name}-{generation}", encode(tags), created)


@pytest.mark.parametrize("away", [(-3600, 600), (-60, 540), (-1200, 1200), (0, 3000)])
def test_a_lease_that_ends_while_the_api_is_away_ends_once_it_is_back(
    away: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Account(monkeypatch, session(1, "over", LEASE_END), session(2, "kept", LEASE_END + 90000))
    account.down = lambda now: LEASE_END + away[0] <= now < LEASE_END + away[1]
    results = account.watch(CREATED, LEASE_END + 6000)
    gone = [deleted for result in results for deleted in result.get("deleted", [])]
    assert list(account.rows) == [2]
    ((number, at),) = account.deletions
    back = LEASE_END + away[1]
    assert number == 1 and LEASE_END <= at <= back + GRACE_S + 2 * INTERVAL + 60
    hours = -(-(at - CREATED) // 3600)
    assert [(row["hours"], row["cost"]) for row in gone] == [(hours, round(hours * 0.52, 2))]


def test_what_nobody_looks_after_is_marked_and_goes_after_its_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    halves = row(1, "lc-half-1", ["Linode-Coder", "LC:SESSION:half"])
    bare = row(2, "lc-bare-1", ["linode-coder"])
    theirs = row(3, "database", ["linode-coder", "theirs"])
    served = session(4, "served", LEASE_END + 90000)
    account = Account(monkeypatch, halves, bare, theirs, served)
    assert all(result["marked"] == {} for result in account.watch(CREATED, CREATED + 600))
    account.watch(CREATED + 600, CREATED + 4 * 3600)
    # One sighting marks, and at the earliest the grace after it another one deletes.
    assert sorted(number for number, _at in account.deletions) == [1, 2]
    assert all(at >= CREATED + 600 + ORPHAN_GRACE_S for _number, at in account.deletions)
    assert sorted(account.rows) == [3, 4]
    assert account.rows[3]["tags"] == ["linode-coder", "theirs"] and decode(account.rows[4]["tags"]).doom is None


def test_a_note_on_a_firewall_counts_in_whatever_case(monkeypatch: pytest.MonkeyPatch) -> None:
    extended = LEASE_END + 4 * 3600
    cap = CREATED + 999999
    account = Account(monkeypatch, session(1, "demo", LEASE_END))
    wall = {"label": "lc-demo", "tags": ["LINODE-CODER", f"LC:LEASE-NOTE:{cap}:{extended}"]}
    linodes = account.list
    monkeypatch.setattr(
        account, "list", lambda path, _filter=None: [wall] if path == "networking/firewalls" else linodes(path)
    )
    account.now = LEASE_END - 600
    account.pass_()
    assert decode(account.rows[1]["tags"]).lease_end == extended


def test_a_lease_tag_that_somebody_removed_leaves_the_vm_to_its_cap_and_people_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = session(1, "demo", LEASE_END)
    cap = CREATED + 999999
    kept["tags"] = [tag for tag in kept["tags"] if not tag.startswith("lc:lease:")]
    over = session(2, "twice", LEASE_END)
    over["tags"] = [*over["tags"], f"lc:lease:{CREATED + 60}"]
    account = Account(monkeypatch, kept, over)
    seen = account.watch(CREATED, LEASE_END - 3600)[-1]
    assert account.deletions == [] and seen["marked"] == {}
    assert {notice.kind for notice in notices_of(seen)} == {"tags"}
    assert "lc-demo-1: somebody changed its tags: lc:lease is missing" in " ".join(account.warnings)
    account.watch(LEASE_END - 3600, LEASE_END + 3600)
    assert [number for number, _at in account.deletions] == [2]
    assert all(at >= LEASE_END - 600 for _number, at in account.deletions)
    account.watch(cap - 3600, cap + 3600)
    assert not account.rows


@pytest.mark.parametrize("action", ["warn", "end"])
@pytest.mark.parametrize("budget", [2.0, 3.2])
def test_sessions_end_before_the_first_hour_that_the_budget_does_not_pay(
    monkeypatch: pytest.MonkeyPatch, action: str, budget: float
) -> None:
    account = Account(
        monkeypatch,
        session(1, "one", CREATED + 9 * 3600),
        session(2, "two", CREATED + 9 * 3600, created=CREATED + 1200),
    )
    account.options = {"budget": budget, "budget_records": [], "budget_action": action}
    results = account.watch(CREATED + 1200, CREATED + 8 * 3600)
    assert any(notice.kind == "budget" for result in results for notice in notices_of(result))
    if action == "warn":
        assert account.deletions == []
        return
    assert {number for number, _at in account.deletions} == {1, 2}
    begun = {1: CREATED, 2: CREATED + 1200}
    paid = sum(0.52 * -(-(at - begun[number]) // 3600) for number, at in account.deletions)
    assert budget - 0.52 < paid <= budget
    gone = [deleted for result in results for deleted in result.get("deleted", [])]
    assert {row["cause"] for row in gone} == {"budget"}
    assert min(at for _number, at in account.deletions) >= CREATED + 1200 + GRACE_S
