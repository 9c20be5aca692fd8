# SPDX-License-Identifier: GPL-3.0-or-later
"""Several watchers of one account, interleaved at every call of the API, killed at every call, answers lost at every call."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import (
    SessionTags,
    decode,
    encode,
    with_doom,
)
from ansible_collections.linode_coder.gpu.plugins.modules import linode_gpu_watch

NOW = 1_800_000_000


class Killed(BaseException):
    """The watcher is gone, at this moment."""


def vm(number: int, name: str, lease_end: int, doom: int | None = None) -> dict[str, Any]:
    tags = SessionTags(name, 1, "ada", lease_end, NOW + 99999, 45, 520_000, "o/M", bytes(32), doom=doom)
    return {
        "id": number,
        "label": f"lc-{name}-1",
        "status": "running",
        "created": format_time(NOW - 5000),
        "ipv4": ["192.0.2.1"],
        "locks": [],
        "tags": ["theirs", *encode(tags)],
    }


class World:
    """The account. Every call of every watcher waits for its turn."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = {row["id"]: row for row in rows}
        self.deleted: list[int] = []
        self.calls = 0
        self.before: Callable[[str], None] = lambda _what: None
        self.after: Callable[[str], None] = lambda _what: None

    def call(self, what: str, action: Callable[[], Any]) -> Any:
        self.before(what)
        self.calls += 1
        answer = action()
        self.after(what)
        return answer

    def one(self, path: str) -> dict[str, Any]:
        number = int(path.rpartition("/")[2])
        if number not in self.rows:
            raise Failure("not_found", "The API does not know this object.")
        return self.rows[number]


class Api:
    skew = 0.0

    def __init__(self, world: World) -> None:
        self.world = world

    def list(self, path: str, _filter: object = None) -> list[dict[str, Any]]:
        rows = self.world.rows if path == "linode/instances" else {}
        return self.world.call("list", lambda: [dict(row) for row in rows.values()])  # type: ignore[no-any-return]

    def get(self, path: str) -> dict[str, Any]:
        if path == "account":
            return {"euuid": "E1"}
        return self.world.call("get", lambda: dict(self.world.one(path)))  # type: ignore[no-any-return]

    def put(self, path: str, body: dict[str, Any]) -> Any:
        return self.world.call("put", lambda: self.world.one(path).update(body))

    def delete(self, path: str) -> Any:
        def gone() -> None:
            number = self.world.one(path)["id"]
            del self.world.rows[number]
            self.world.deleted.append(number)

        return self.world.call("delete", gone)

    def when_free(self, action: Callable[[], Any]) -> Any:
        return action()


@pytest.fixture(autouse=True)
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(time=lambda: NOW, monotonic=itertools.count().__next__, sleep=lambda _seconds: None)
    monkeypatch.setattr(linode_gpu_watch, "time", fake)


def one_pass(world: World) -> dict[str, Any]:
    """What the playbook does: decide, then delete what is due."""
    return sweep(world, sweep(world, [])["due"])


def sweep(world: World, delete: list[str]) -> dict[str, Any]:
    params = {"observations": {}, "session": None, "interval": 300, "max_deletions": None, "account": None}
    params.update(wait_timeout=300, delete=delete)
    module = SimpleNamespace(check_mode=False, warn=lambda _text: None, params=params)
    result: dict[str, Any] = {"changed": False}
    linode_gpu_watch.Watch(module, Api(world), result).sweep()
    return result


def interleave(
    make: Callable[[], World], order: tuple[int, ...], kill: tuple[int, int] | None = None
) -> tuple[World, list[dict[str, Any]]]:
    """Watchers as threads, of which only the one whose turn it is goes on to its next call; then they all finish.

    ``kill``: which of them dies, at which of its calls.
    """
    world = make()
    count = max(order) + 1
    turns = [threading.Semaphore(0) for _ in range(count)]
    waiting = threading.Semaphore(0)
    done: list[dict[str, Any]] = [{} for _ in range(count)]
    mine = threading.local()

    def before(_what: str) -> None:
        waiting.release()
        turns[mine.number].acquire()
        mine.calls += 1
        if (mine.number, mine.calls) == kill:
            raise Killed

    world.before = before

    def watcher(number: int) -> None:
        mine.number, mine.calls = number, 0
        try:
            done[number] = one_pass(world)
        except Killed:
            done[number] = {"failures": {}}
        finally:
            done[number].setdefault("ended", True)
            waiting.release()

    threads = [threading.Thread(target=watcher, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
        waiting.acquire(timeout=10)
    rest: Iterator[int] = itertools.chain(order, itertools.cycle(range(count)))
    while any(not row for row in done):
        number = next(rest)
        if not done[number]:
            turns[number].release()
            waiting.acquire(timeout=10)
    for thread in threads:
        thread.join(10)
    return world, done


def orders(watchers: int, steps: int) -> list[tuple[int, ...]]:
    """Every order in which the first calls of the watchers can come."""
    return [order for order in itertools.product(range(watchers), repeat=steps) if max(order) == watchers - 1]


def over_and_due() -> World:
    return World(vm(1, "over", NOW - 900, doom=NOW - 60), vm(2, "kept", NOW + 50000))


def over_unmarked() -> World:
    return World(vm(1, "over", NOW - 900), vm(2, "kept", NOW + 50000))


@pytest.mark.parametrize(("watchers", "steps"), [(2, 9), (3, 5)])
def test_one_deletion_whatever_the_order(watchers: int, steps: int) -> None:
    for order in orders(watchers, steps):
        world, done = interleave(over_and_due, order)
        assert world.deleted == [1], order
        assert list(world.rows) == [2] and decode(world.rows[2]["tags"]).doom is None, order
        assert all(row["failures"] == {} for row in done), order


def some_order(watchers: int, seed: int) -> tuple[int, ...]:
    """Any order of the first calls, by chance."""
    source = random.Random(seed)
    return (*range(watchers), *(source.randrange(watchers) for _call in range(12 * watchers)))


@pytest.mark.parametrize("make", [over_and_due, over_unmarked])
def test_five_watchers_of_which_one_dies_delete_and_mark_once(make: Callable[[], World]) -> None:
    for seed in range(150):
        kill = (seed % 5, 1 + seed // 5 % 8) if seed % 2 else None
        world, done = interleave(make, some_order(5, seed), kill)
        assert world.deleted == ([1] if make is over_and_due else []), seed
        doom = [tag for row in world.rows.values() for tag in row["tags"] if tag.startswith("lc:doom:")]
        assert len(doom) == (0 if make is over_and_due else 1), seed
        assert all(row["failures"] == {} for row in done), seed


def test_a_pass_that_only_decides_deletes_nothing() -> None:
    world = over_and_due()
    result = sweep(world, [])
    assert result["due"] == ["lc-over-1"] and world.deleted == [] and not result["changed"]


def test_whoever_extends_before_the_last_look_keeps_the_vm() -> None:
    clean, calls = over_and_due(), []
    clean.before = calls.append
    one_pass(clean)
    last_look = max(number for number, what in enumerate(calls) if what == "get" and "delete" in calls[number:])
    for moment in range(last_look + 1):
        world, count = over_and_due(), itertools.count()

        def extend(_what: str, world: World = world, count: Iterator[int] = count, moment: int = moment) -> None:
            if next(count) == moment:
                world.rows[1]["tags"] = vm(1, "over", NOW + 7200)["tags"]

        world.before = extend
        one_pass(world)
        assert world.deleted == [], f"extended before call {moment} ({calls[moment]})"
        assert not [tag for tag in world.rows[1]["tags"] if tag.startswith("lc:doom:")]


def test_a_deletion_whose_request_was_lost_is_asked_for_again_by_the_same_pass() -> None:
    world, strikes = over_and_due(), iter([True])

    def strike(what: str) -> None:
        if what == "delete" and next(strikes, False):
            raise Failure("ambiguous", "No answer.", cause="test")

    world.before = strike
    result = one_pass(world)
    assert world.deleted == [1] and result["failures"] == {}


def test_one_mark_whatever_the_order_and_no_deletion_in_the_same_pass() -> None:
    for order in orders(2, 8):
        world, done = interleave(over_unmarked, order)
        assert world.deleted == [], order
        marks = [tag for tag in world.rows[1]["tags"] if tag.startswith("lc:doom:")]
        assert len(marks) == 1 and "theirs" in world.rows[1]["tags"], order
        assert decode(world.rows[1]["tags"]).doom >= NOW + 600, order  # type: ignore[operator]
        assert all(row["failures"] == {} for row in done), order


@pytest.mark.parametrize("make", [over_and_due, over_unmarked])
@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("how", [Killed(), "ambiguous", "transient", "auth"])
def test_killed_or_failed_at_every_call_the_next_pass_finishes(
    make: Callable[[], World], where: str, how: BaseException | str
) -> None:
    clean = make()
    one_pass(clean)
    for step in range(clean.calls):
        world = make()
        count = itertools.count()

        def strike(what: str, step: int = step, count: Iterator[int] = count) -> None:
            if next(count) == step:
                kind = "transient" if how == "ambiguous" and what in ("list", "get") else how
                raise how if isinstance(how, BaseException) else Failure(str(kind), "No answer.", cause="test")

        setattr(world, where, strike)
        try:
            one_pass(world)
        except (Killed, Failure):
            pass
        assert 2 in world.rows and world.deleted in ([], [1])
        world.before = world.after = lambda _what: None
        one_pass(world)
        if make is over_and_due:
            assert world.deleted == [1]
        else:
            assert world.deleted == [] and decode(world.rows[1]["tags"]).doom is not None
            marks = world.rows[1]["tags"]
            world.rows[1]["tags"] = with_doom(marks, NOW - 60)  # time goes on
            one_pass(world)
            assert world.deleted == [1]
        assert list(world.rows) == [2]
