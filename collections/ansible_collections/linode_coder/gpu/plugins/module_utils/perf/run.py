# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One performance run: its document from the first request to the last.

The document is plain data: what was measured (``session``, ``model``, ``plan``, ``region``, ``gpus``, ``flags``, ``engine``), how
(``profile``, ``where``, ``generator``, ``prefix_cache``), the ``levels`` (see figures), the ``gpu_samples``, and whether it came to
its end (``complete``, ``why_partial``). Times are seconds, sizes MiB. Before the load: how long the way through the tunnel takes
(``round_trip``), what the disk reads (``disk_read``, bytes a second), what the engine had to do already (``requests_before``).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ..core.cost import format_time
from ..core.failure import Failure
from ..engine.client import EngineClient, EngineSilent
from ..linode.gpu_plans import known_plan
from . import engine_counters, gpu_samples, load, surroundings
from .figures import is_good, level_of
from .profiles import LEAST_REQUESTS, Profile, next_level
from .sampler import Sampler

SCHEMA = 1
_VERSION_LIMIT_S = 10.0
_WARM_UP_TOKENS = 16


def is_sandbox(api_url: str | None) -> bool:
    """Whether the API is one on this machine."""
    host = urlsplit(api_url or "").hostname or ""
    return host == "localhost" or host.startswith("127.")


def begin(profile: Profile, where: str, session: str, quote: dict[str, Any], sandbox: bool) -> dict[str, Any]:
    """The document of a run that begins now.

    :param where: vm, or here for through the tunnel.
    :param quote: what quote.make_quote says of the session.
    """
    now = time.time()
    view, engine = quote.get("existing") or {}, quote.get("engine") or {}
    fit, plan = engine.get("fit") or {}, known_plan(str(view.get("plan")))
    return {
        "schema": SCHEMA,
        "id": f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}-{secrets.token_hex(2)}",
        "session": session,
        "model": view.get("model") or quote.get("model"),
        "plan": view.get("plan"),
        "region": view.get("region"),
        "gpus": plan.gpus if plan else None,
        "flags": engine.get("flags") or {},
        "engine": None,
        "profile": profile.name,
        "where": where,
        "generator": {"name": load.NAME, "version": load.VERSION},
        "started": format_time(int(now)),
        "seconds": 0.0,
        "complete": False,
        "why_partial": None,
        "price_hour": view.get("hourly"),
        "sandbox": sandbox,
        "expected_tps": fit.get("decode_tps") or None,
        "prefix_cache": profile.prefix_cache,
        "levels": [],
        "gpu_samples": [],
        **{"round_trip": None, "disk_read": None, "requests_before": None},
        "verdict": None,
    }


def served_model(client: EngineClient, session: str, profile: Profile) -> str:
    """The name under which the endpoint serves; Failure when it does not, or when the profile's prompts do not fit."""
    try:
        card = client.served()[0]
    except EngineSilent as silent:
        raise Failure(
            "unhealthy",
            f"Session {session!r} serves nothing that could be measured.",
            cause=str(silent),
            remedy=f"See what is wrong: linode-coder validate {session}",
        ) from silent
    room, needed = card.get("max_model_len"), profile.input_tokens + profile.output_tokens
    if isinstance(room, int) and room < needed:
        raise Failure(
            "usage",
            f"The profile {profile.name} needs {needed} tokens of context; session {session!r} serves {room}.",
            remedy="Use a smaller one: --profile quick.",
            field="profile",
            value=profile.name,
        )
    return str(card["id"])


def _engine_version(client: EngineClient) -> str | None:
    try:
        status, said = client.ask("GET", "/version", timeout=_VERSION_LIMIT_S)
    except EngineSilent:
        return None
    version = said.get("version") if status == 200 and isinstance(said, dict) else None
    return version[:40] if isinstance(version, str) else None


class Measurement:
    """Fills the document of a run. ``tell`` gets a line for each level before it begins."""

    def __init__(
        self, client: EngineClient, model: str, profile: Profile, run: dict[str, Any], tell: Callable[[str], None]
    ) -> None:
        self.client, self.model, self.profile, self.run, self.tell = client, model, profile, run, tell
        # No two runs have a prompt in common.
        self.prompts = load.Prompts(run["id"], profile.input_tokens, profile.shared_tokens)

    def _bodies(self, what: str, count: int, tokens: int) -> list[dict[str, Any]]:
        return [load.body(self.model, self.prompts.prompt(f"{what}-{each}"), tokens) for each in range(count)]

    def _fit_prompts(self) -> None:
        """One request tells how many tokens the model makes of our words. It is part of the warm-up."""
        stream = load.ask(self.client, self._bodies("fit", 1, _WARM_UP_TOKENS)[0])
        words = self.prompts.prompt("fit-0").count(" ")
        if is_good(stream) and stream.prompt_tokens and words:
            per_word = max(0.5, min(4.0, stream.prompt_tokens / words))
            self.prompts = load.Prompts(self.run["id"], self.profile.input_tokens, self.profile.shared_tokens, per_word)

    def _level(self, streams: int) -> dict[str, Any]:
        # As many at once as will be measured: an engine prepares itself for each size of batch that it meets.
        load.drive(self.client, self._bodies(f"warm-{streams}", streams, _WARM_UP_TOKENS), streams)
        count = max(streams * self.profile.requests, LEAST_REQUESTS)
        wanted = self._bodies(f"{streams}", count, self.profile.output_tokens)
        counters = engine_counters.EngineCounters(self.client)
        counters.look()
        with Sampler(counters.look, engine_counters.PERIOD_S):
            found = load.drive(self.client, wanted, streams)
        counters.look()
        return level_of(streams, found.streams, found.seconds, found.lags, counters.summary())

    def levels(self) -> None:
        """All of them, as long as something is answered."""
        self._fit_prompts()
        done: list[dict[str, Any]] = self.run["levels"]
        while True:
            streams = next_level(self.profile, [(one["concurrency"], one["output_tps"]) for one in done])
            if streams is None:
                self.run["complete"] = True
                return
            self.tell(f"{streams} streams ..." if streams > 1 else "1 stream ...")
            level = self._level(streams)
            done.append(level)
            if level["failed"] == level["requests"]:
                self.run["why_partial"] = f"no request was answered with {streams} streams at once"
                return


def measure(
    client: EngineClient,
    profile: Profile,
    run: dict[str, Any],
    model: str,
    tell: Callable[[str], None] = lambda line: None,
    ask: Callable[[list[str]], str] = gpu_samples.of_this_machine,
) -> None:
    """Measure into the document ``run``, which holds what was done so far at any time. ``ask`` says what nvidia-smi prints
    where the cards are.

    What interrupts it goes on to the caller, after the document says that it is not complete.
    """
    began = time.monotonic()
    run["engine"] = _engine_version(client)
    gpus = gpu_samples.GpuSamples(began, ask)
    try:
        # Between them the cards are looked at: who works on them now is not us.
        run["requests_before"] = surroundings.requests_before(client)
        gpus.look()
        run["disk_read"] = surroundings.disk_read(ask)
        gpus.look()
        if run["where"] == "here":
            run["round_trip"] = surroundings.round_trip(client)
        gpus.begin()
        run["gpu_samples"] = gpus.samples
        with Sampler(gpus.look, gpu_samples.PERIOD_S):
            Measurement(client, model, profile, run, tell).levels()
    except BaseException:
        run["why_partial"] = "interrupted"
        raise
    finally:
        run["gpu_samples"] = list(gpus.samples)
        run["seconds"] = time.monotonic() - began


def too_slow(run: dict[str, Any]) -> Failure | None:
    """The failure that a verdict means, for who waits for an exit code."""
    verdict = run["verdict"] or {}
    if verdict.get("severity") != "fail":
        return None
    return Failure(
        "unhealthy",
        verdict["summary"],
        remedy=f"See what else the VM does: linode-coder check {run['session']}",
        field="speed",
        value=verdict["measured"],
    )
