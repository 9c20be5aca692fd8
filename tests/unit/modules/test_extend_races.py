# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody extends a lease while a watcher marks or deletes, one of them cut into at any two of its calls of the API.

The API replaces tags as a whole and compares nothing, so each can write over what the other wrote.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, decode, encode
from ansible_collections.linode_coder.gpu.plugins.modules import linode_gpu_session_tags, linode_gpu_watch

NOW = 1_800_000_000
EXTENDED = NOW + 7200
WATCHER, PERSON = 0, 1


class Account:
    """One session's VM and firewall; every call waits for its caller's turn in ``order``, then the rest go one by one."""

    def __init__(self, lease_end: int, doom: int | None, order: list[int]) -> None:
        tags = SessionTags("demo", 1, "ada", lease_end, NOW + 99999, None, 520_000, "o/M", bytes(32), doom=doom)
        self.vm: dict[str, Any] | None = {
            "id": 1,
            "label": "lc-demo-1",
            "status": "running",
            "created": format_time(NOW - 5000),
            "ipv4": ["192.0.2.1"],
            "locks": [],
            "tags": ["theirs", *encode(tags)],
        }
        self.wall = {"id": 9, "label": "lc-demo", "tags": ["linode-coder", "lc:session:demo"]}
        self.order = iter(order)
        self.turn = next(self.order, None)
        self.pending: dict[int, str] = {}
        self.done: set[int] = set()
        self.lock = threading.Condition()

    def _next(self) -> None:
        self.turn = next(self.order, None)
        while self.turn in self.done:
            self.turn = next(self.order, None)
        self.lock.notify_all()

    def call(self, who: int, what: str, action: Callable[[], Any]) -> Any:
        with self.lock:
            self.pending[who] = what
            self.lock.notify_all()
            assert self.lock.wait_for(lambda: self.turn in (who, None), 20)
            del self.pending[who]
            try:
                return action()
            finally:
                self._next()

    def end(self, who: int) -> None:
        with self.lock:
            self.done.add(who)
            self.lock.notify_all()
            if self.turn == who:
                self._next()

    def one(self) -> dict[str, Any]:
        if self.vm is None:
            raise Failure("not_found", "The API does not know this object.")
        return self.vm


class Api:
    skew = 0.0

    def __init__(self, account: Account, who: int) -> None:
        self.account = account
        self.who = who

    def list(self, path: str, _filter: object = None) -> list[dict[str, Any]]:
        rows = [self.account.vm] if path == "linode/instances" else [self.account.wall]
        return self.account.call(self.who, "list", lambda: [dict(row) for row in rows if row])  # type: ignore[no-any-return]

    def get(self, path: str) -> dict[str, Any]:
        if path == "account":
            return {"euuid": "E1"}
        return self.account.call(self.who, "get", lambda: dict(self.account.one()))  # type: ignore[no-any-return]

    def put(self, path: str, body: dict[str, Any]) -> Any:
        def write() -> dict[str, Any]:
            row = self.account.wall if "firewalls" in path else self.account.one()
            row.update(body)
            return dict(row)

        return self.account.call(self.who, "put", write)

    def delete(self, _path: str) -> Any:
        def gone() -> None:
            self.account.one()
            self.account.vm = None

        return self.account.call(self.who, "delete", gone)

    def when_free(self, action: Callable[[], Any]) -> Any:
        return action()

    def sleep(self, seconds: float) -> None:
        """A deletion that was on its way arrives during the long pause. Nothing is promised of writes."""
        account = self.account
        with account.lock:
            # Whatever the watcher's thread is at between two calls takes no time.
            assert account.lock.wait_for(lambda: WATCHER in account.pending or WATCHER in account.done, 20)
            if seconds >= linode_gpu_session_tags.IN_FLIGHT_S and account.pending.get(WATCHER) == "delete":
                account.turn = WATCHER
                account.lock.notify_all()
                assert account.lock.wait_for(lambda: account.pending.get(WATCHER) != "delete", 20)


def one_pass(api: Api) -> dict[str, Any]:
    """What the playbook does: decide, then delete what is due."""
    result: dict[str, Any] = {}
    for due in (False, True):
        params = {"observations": {}, "session": None, "interval": 300, "max_deletions": None, "account": None}
        params.update(wait_timeout=300, delete=result["due"] if due else [])
        module = SimpleNamespace(check_mode=False, warn=lambda _text: None, params=params)
        result = {"changed": False}
        linode_gpu_watch.Watch(module, api, result).sweep()
    assert result["failures"] == {}
    return result


def extend(api: Api) -> str:
    """What `extend` does: 'extended', or the kind of its failure."""
    params = dict.fromkeys(("host_key", "next_host_key", "model", "idle", "extend", "pause"))
    params.update(session="demo", extend_until=format_time(EXTENDED))
    module = SimpleNamespace(check_mode=False, warn=lambda _text: None, params=params)
    try:
        linode_gpu_session_tags.work(module, api, {})
    except Failure as failure:
        return failure.kind
    return "extended"


@pytest.fixture(autouse=True)
def no_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    person = threading.local()
    fake = SimpleNamespace(time=lambda: NOW, monotonic=lambda: 0.0, sleep=lambda seconds: person.api.sleep(seconds))
    monkeypatch.setattr(linode_gpu_session_tags, "time", fake)
    monkeypatch.setattr(linode_gpu_watch, "time", SimpleNamespace(time=lambda: NOW, monotonic=lambda: 0.0))
    monkeypatch.setattr(Api, "here", lambda api: setattr(person, "api", api), raising=False)
    yield


def race(lease_end: int, doom: int | None, order: list[int]) -> tuple[Account, str]:
    """The account after both are through and a watcher looked once more, and what the person was told."""
    account = Account(lease_end, doom, order)
    told: list[str] = []

    def person() -> None:
        api = Api(account, PERSON)
        api.here()  # type: ignore[attr-defined]
        try:
            told.append(extend(api))
        finally:
            account.end(PERSON)

    def watcher() -> None:
        try:
            one_pass(Api(account, WATCHER))
        finally:
            account.end(WATCHER)

    threads = [threading.Thread(target=work) for work in (watcher, person)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    one_pass(Api(account, WATCHER))
    return account, told[0]


def orders() -> list[list[int]]:
    """The person begins after some calls of the watcher and is cut into once: every way to do that."""
    return [
        [WATCHER] * first + [PERSON] * begun + [WATCHER] * between + [PERSON] * 20
        for first in range(13)
        for begun in range(8)
        for between in range(13 if begun else 1)
    ]


SCENES = {
    "about to be marked": (NOW + 500, None),
    "marked": (NOW + 500, NOW + 600),
    "due": (NOW - 900, NOW - 60),
}


def broken(account: Account, told: str) -> bool:
    """Whether a person was told something that is not so."""
    if told != "extended":
        return account.vm is not None
    if account.vm is None:
        return True
    tags = decode(account.vm["tags"])
    return (tags.lease_end, tags.doom) != (EXTENDED, None) or "theirs" not in account.vm["tags"]


@pytest.mark.parametrize("scene", SCENES)
def test_an_extension_holds_or_is_refused(scene: str) -> None:
    ends = set()
    for order in orders():
        account, told = race(*SCENES[scene], order)
        assert not broken(account, told), (order, told, account.vm)
        ends.add(told)
    assert "extended" in ends
    assert (len(ends) > 1) is (scene == "due")


# What it takes, one after the other taken away: the exploration has to notice.
@pytest.mark.parametrize(
    ("scene", "module", "name", "without"),
    [
        ("about to be marked", linode_gpu_watch, "lost", lambda *_: {}),
        ("about to be marked", linode_gpu_session_tags, "write_note", lambda *_: None),
        ("due", linode_gpu_session_tags, "IN_FLIGHT_S", 1e9),
    ],
)
def test_the_exploration_notices_a_missing_safeguard(
    scene: str, module: Any, name: str, without: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "IN_FLIGHT_S":
        monkeypatch.setattr(Api, "sleep", lambda _api, _seconds: None)
    else:
        monkeypatch.setattr(module, name, without)
    assert any(broken(*race(*SCENES[scene], order)) for order in orders())
