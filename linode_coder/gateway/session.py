"""One session behind the gateway: made ready once, whoever and how many wait for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import api_key_path
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.lease import DEFAULT_CAP

from ..endpoint.api_key import kept_key
from ..local import wake
from ..local.lock import describe, worker
from . import wakes
from .command import Command, up_words
from .known import Directory, served
from .limits import Limits, check, lease_of
from .progress import Progress
from .upstream import Endpoint, healthy

# Seconds. A proof that an engine lives is good for so long, by the clock that goes on while the machine sleeps.
_FRESH_S = 5.0
# Who asks again that soon gets the same answer, if no `up` or `down` came between: clients repeat what failed at once.
_SAME_S = 5.0
# An engine that is silent, on a VM on which nobody works, is left to a watcher for so long; then `up` verifies it.
_SILENT_S = 180.0
_LOOK_S = 3.0
# `up` is started so often for one request.
_MOST_UPS = 2
_LAST_WORDS = 4
# What may pass while a VM boots or is healed.
_NOT_YET = ("unhealthy", "unreachable")


@dataclass(frozen=True)
class House:
    """What all sessions share. ``tell`` takes a line for people and, for programs, an event with its data."""

    command: Command
    client: aiohttp.ClientSession
    directory: Directory
    limits: Limits
    cap: str
    tell: Callable[[str, dict[str, Any]], None]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    look_s: float = _LOOK_S
    silent_s: float = _SILENT_S
    same_s: float = _SAME_S


class Session:
    """``progress`` is None while nothing has to be done for it."""

    def __init__(self, name: str, house: House) -> None:
        self.name, self._house = name, house
        self.endpoint: Endpoint | None = None
        self.progress: Progress | None = None
        self.failure: Failure | None = None
        self._failed_at = 0.0
        self._failed_with: wake.Settings | None = None
        self._proven = 0.0
        self._making: asyncio.Task[Endpoint] | None = None

    def ready(self) -> asyncio.Task[Endpoint]:
        """The way to its engine, once that answers; Failure when it will not. All who ask meanwhile get the same task."""
        if self._making is None or self._making.done():
            self._making = asyncio.ensure_future(self._make())
            # Whoever asked may be gone by then.
            self._making.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._making

    def doubt(self, wrong_key: bool = False) -> None:
        """A request did not get through: nothing is taken for granted. ``wrong_key``: this machine has that of an earlier VM."""
        self.endpoint, self._proven = None, 0.0
        if wrong_key:
            api_key_path(self.name).unlink(missing_ok=True)

    async def _make(self) -> Endpoint:
        now = time.time()
        if self.endpoint is not None and 0 <= now - self._proven < _FRESH_S:
            return self.endpoint
        if self.endpoint is not None and await healthy(self._house.client, self.endpoint):
            self._proven = time.time()
            return self.endpoint
        settings = wake.read(self.name)
        same = settings == self._failed_with and 0 <= now - self._failed_at < self._house.same_s
        if self.failure is not None and same:
            raise self.failure
        self.endpoint, self.failure, self.progress = None, None, Progress(self.name)
        try:
            self.endpoint = await self._bring()
        except Failure as failure:
            self.failure, self._failed_at, self._failed_with = failure, time.time(), settings
            self._house.tell(f"{self.name}: {failure.message}", {"event": "refused", "error": failure.as_dict()})
            raise
        finally:
            self.progress = None
        self._proven = time.time()
        self._house.directory.serves(self.name, self.endpoint.names)
        return self.endpoint

    async def _bring(self) -> Endpoint:
        assert self.progress is not None
        ups, silent_since = 0, time.monotonic()
        while True:
            if self._house.stopping.is_set():
                raise Failure("unhealthy", "The gateway is stopping.", remedy="Start it again: linode-coder gateway")
            why: Failure
            try:
                return await self._reach()
            except Failure as failure:
                if failure.kind not in (*_NOT_YET, "not_found"):
                    raise
                why = failure
            at_work = worker(self.name)
            if at_work is not None and at_work.runs:
                # Another terminal, or a watcher: what comes of it is looked at again.
                while at_work is not None and at_work.runs:
                    self.progress.waits_for(describe(at_work))
                    await asyncio.sleep(self._house.look_s)
                    at_work = worker(self.name)
                silent_since = time.monotonic()
                continue
            if (
                why.kind == "not_found"
                or at_work is not None  # a command that was killed at it
                or time.monotonic() - silent_since > self._house.silent_s
            ):
                if ups == _MOST_UPS:
                    raise why
                ups += await self._up(gone=why.kind == "not_found")
                silent_since = time.monotonic()
            else:
                self.progress.waits_for(why.message)
            await asyncio.sleep(self._house.look_s)

    async def _reach(self) -> Endpoint:
        """By the way of `use`, which also lets this machine in again where its address has changed."""
        outcome = await self._house.command.run(["use", "--json", "--keep-current", "--", self.name])
        if outcome.code:
            raise outcome.failure()
        said = outcome.said
        names, url = served(said.get("models")), said.get("endpoint")
        port = urlsplit(url).port if isinstance(url, str) else None
        key = await asyncio.to_thread(kept_key, self.name)
        if said.get("engine") != "healthy" or not names or port is None or key is None:
            raise Failure(
                "unhealthy",
                f"The engine of session {self.name!r} does not answer.",
                remedy=f"Look at it: linode-coder logs {self.name}. Verify it: linode-coder up {self.name}",
            )
        return Endpoint(self.name, port, key, tuple(names))

    async def _up(self, gone: bool) -> int:
        """1 when it was run to its end, 0 when somebody else was at it first. ``gone``: there is no VM, so one is made."""
        house, progress = self._house, self.progress
        assert progress is not None
        words = ["up", "--yes", "--json", "--", self.name]
        if gone:
            settings = house.directory.may_wake(self.name)
            now = time.time()
            check(house.limits, self.name, time.localtime(now), len(wakes.today(now)))
            words = up_words(
                self.name,
                settings.options,
                lease_of(house.limits, settings.options.get("cap") or house.cap or DEFAULT_CAP),
            )
        house.tell(
            f"{self.name}: {'started again' if gone else 'verified and finished'} by `up`",
            {"event": "wake", "new": gone},
        )

        counted = not gone

        def count() -> None:
            nonlocal counted
            if not counted:
                wakes.count(time.time())
            counted = True

        def take(event: Any) -> None:
            line = progress.take(event)
            if progress.made:
                count()
            if line:
                house.tell(line, {"event": "progress", **progress.as_dict()})

        outcome = await house.command.run(words, take)
        if outcome.code == 0:
            count()
        if outcome.code == 10:
            # Another command has the session: it is waited for.
            progress.waits_for(outcome.failure().message)
            return 0
        if outcome.code in (130, 143):
            # Its last words are what still bills, and how to go on.
            for line in outcome.told[-_LAST_WORDS:]:
                house.tell(line, {"event": "note", "text": line})
        if outcome.code:
            raise outcome.failure()
        house.tell(f"{self.name}: up after {progress.summary()}", {"event": "awake", **progress.as_dict()})
        return 1
