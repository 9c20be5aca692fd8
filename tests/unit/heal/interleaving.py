# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs several watchers in one process, one step at a time, in every order that matters.

A step is one read or write of the outside world. Between two steps of one watcher any number of steps of the others may
happen, any time may pass, or the watcher may be killed. Time is virtual.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

# (who can go, who sleeps, who went last) -> who goes
Choose = Callable[[list[int], list[int], int], int]


class Killed(BaseException):
    """kill -9: not an Exception, so that nothing handles it, and nothing that a dead watcher does has an effect."""


class Watcher:
    def __init__(self, number: int, work: Callable[[Watcher], Any], run: Run) -> None:
        self.number = number
        self.run = run
        self.go = threading.Semaphore(0)
        self.wake = 0.0
        self.steps = 0
        self.kill_at: int | None = None
        self.dead = self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._main, args=(work,), daemon=True)

    def _main(self, work: Callable[[Watcher], Any]) -> None:
        self.go.acquire()
        try:
            self.result = work(self)
        except Killed:
            self.dead = True
        except BaseException as error:  # noqa: BLE001 - told to the test, whatever it is
            self.error = error
        self.done = True
        self.run.turn.release()

    def step(self) -> None:
        """Called before every read and write: here others may go first."""
        if self.dead:
            raise Killed
        self.run.turn.release()
        self.go.acquire()
        self.steps += 1
        if self.kill_at is not None and self.steps >= self.kill_at:
            self.dead = True
            raise Killed

    def sleep(self, seconds: float) -> None:
        self.wake = self.run.now + seconds
        self.step()

    def now(self) -> float:
        return self.run.now


class Run:
    """One order of events. ``choose`` picks who goes next: given are those who can, those who sleep (choosing one of them
    lets time pass until it wakes), and who went last."""

    def __init__(self, choose: Choose, step_s: float = 0.2) -> None:
        self.choose = choose
        self.now = 1_800_000_000.0
        self.step_s = step_s
        self.turn = threading.Semaphore(0)
        self.watchers: list[Watcher] = []
        self.trace: list[int] = []

    def add(self, work: Callable[[Watcher], Any], kill_at: int | None = None) -> Watcher:
        watcher = Watcher(len(self.watchers), work, self)
        watcher.kill_at = kill_at
        self.watchers.append(watcher)
        return watcher

    def finish(self) -> None:
        """Until all watchers ended."""
        for watcher in self.watchers:
            watcher.thread.start()
        last = -1
        while living := [one for one in self.watchers if not one.done]:
            ready = [one.number for one in living if one.wake <= self.now]
            asleep = sorted((one for one in living if one.wake > self.now), key=lambda one: one.wake)
            last = self.choose(ready, [one.number for one in asleep], last)
            self.trace.append(last)
            self.now = max(self.now, self.watchers[last].wake) + self.step_s
            self.watchers[last].go.release()
            self.turn.acquire()
        for watcher in self.watchers:
            watcher.thread.join()
            if watcher.error is not None:
                raise watcher.error


class _Order:
    """Follows ``path``, which says at each choice which alternative of how many is taken, and prolongs it."""

    def __init__(self, path: list[tuple[int, int]], preemptions: int) -> None:
        self.path = path
        self.position = 0
        self.left = preemptions
        self.aside: set[int] = set()

    def __call__(self, ready: list[int], asleep: list[int], last: int) -> int:
        if self.aside.issuperset((*ready, *asleep)):
            self.aside.clear()
        can = [one for one in ready if one not in self.aside]
        wait = [one for one in asleep if one not in self.aside]
        free = [last] if last in can else can or wait[:1]
        order = [(one, False) for one in free]
        if self.left:
            order += [(one, False) for one in (*can, *wait) if one not in free]
            # Made to wait until all others are done.
            order += [(one, True) for one in (*can, *wait) if last in can and one != last]
        if len(order) == 1:
            return order[0][0]
        if self.position == len(self.path):
            self.path.append((0, len(order)))
        taken, count = self.path[self.position]
        assert count == len(order), "the run is not the same when it is repeated"
        self.position += 1
        chosen, long = order[taken]
        if chosen not in free:
            self.left -= 1
        if long:
            self.aside.add(last)
        return chosen


def schedules(preemptions: int) -> Iterator[Choose]:
    """Every order of events in which a watcher that could go on is made to wait at most ``preemptions`` times, for a
    moment or until the others are done.

    A depth-first search by replay: each yielded function drives one run, which has to be finished before the next.
    """
    path: list[tuple[int, int]] = []
    while True:
        order = _Order(path, preemptions)
        yield order
        del path[order.position :]
        while path and path[-1][0] + 1 == path[-1][1]:
            path.pop()
        if not path:
            return
        path[-1] = (path[-1][0] + 1, path[-1][1])


def chance(seed: int) -> Choose:
    """Any order, by chance."""
    source = random.Random(seed)

    def choose(ready: list[int], asleep: list[int], _last: int) -> int:
        return source.choice(ready if ready and source.random() < 0.9 else ready + asleep)

    return choose


def one_after_another(ready: list[int], asleep: list[int], last: int) -> int:
    return last if last in ready else (ready or asleep)[0]
