# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of load that a performance run makes, as data.

All of it comes from our own generator: so many streams, each of which sends its next request when the last one has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..core.failure import Failure

MOST_STREAMS = 256
LEAST_TOKENS, MOST_TOKENS = 8, 4096
# Of a level: percentiles of fewer say nothing.
LEAST_REQUESTS = 4
# A doubling of the streams that brings less than this share of tokens/s more is one too many.
GROWS = 0.05


@dataclass(frozen=True)
class Profile:
    """``input_tokens`` of a prompt, of which ``shared_tokens`` are the same in all of them; ``output_tokens`` that each request
    generates; ``requests`` of each stream, at least LEAST_REQUESTS of a level. With ``until_saturated`` the streams are doubled after the last level.
    """

    name: str
    summary: str
    streams: tuple[int, ...]
    input_tokens: int
    output_tokens: int
    requests: int
    shared_tokens: int = 0
    until_saturated: bool = False

    @property
    def prefix_cache(self) -> str:
        if self.shared_tokens:
            return f"declared: {self.shared_tokens} of {self.input_tokens} tokens of a prompt are the same in all"
        return "neutralised: every prompt begins differently"


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("quick", "an answer in a minute", (1, 8, 32), 256, 128, 2),
        Profile("chat", "questions with some code, answers of a page", (1, 4, 16, 32), 1000, 300, 3),
        Profile("autocomplete", "the surroundings of the cursor, a line or two", (1, 4, 16), 1500, 24, 6),
        Profile("agent", "long conversations that begin alike", (1, 2, 4, 8), 10000, 400, 3, shared_tokens=7000),
        Profile("saturation", "twice the streams until nothing is gained", (1,), 512, 128, 2, until_saturated=True),
    )
}


def profile_for(name: str, streams: Sequence[int] | None = None, tokens: int | None = None) -> Profile:
    """The profile, for quick with other ``streams`` and output ``tokens``. Failure(usage) for what cannot be measured."""
    profile = PROFILES.get(name)
    if profile is None:
        raise Failure(
            "usage",
            f"There is no profile {name!r}.",
            remedy=f"One of {', '.join(PROFILES)}.",
            field="profile",
            value=name,
        )
    if name != "quick" and (streams is not None or tokens is not None):
        field = "concurrency" if streams is not None else "tokens"
        raise Failure(
            "usage",
            f"The profile {name} has its own {field}, so that its runs can be compared.",
            remedy=f"Leave --{field} out, or use --profile quick.",
            field=field,
            value=streams if streams is not None else tokens,
        )
    if streams is not None and (not streams or not all(1 <= count <= MOST_STREAMS for count in streams)):
        raise Failure(
            "usage",
            f"concurrency {', '.join(map(str, streams)) or 'of nothing'} is not a list of numbers from 1 to {MOST_STREAMS}.",
            remedy="For example 1,4,16.",
            field="concurrency",
            value=list(streams),
        )
    if tokens is not None and not LEAST_TOKENS <= tokens <= MOST_TOKENS:
        raise Failure(
            "usage",
            f"tokens {tokens} is not a number from {LEAST_TOKENS} to {MOST_TOKENS}.",
            remedy=f"Leave it out for {profile.output_tokens}.",
            field="tokens",
            value=tokens,
        )
    # A stream count that is asked for twice would be two levels of which nobody knows which counts.
    levels = profile.streams if streams is None else tuple(dict.fromkeys(streams))
    return replace(profile, streams=levels, output_tokens=profile.output_tokens if tokens is None else tokens)


def next_level(profile: Profile, done: Sequence[tuple[int, float | None]]) -> int | None:
    """How many streams come next after the levels that are ``done``, each with its tokens/s; None at the end."""
    if len(done) < len(profile.streams):
        return profile.streams[len(done)]
    streams = done[-1][0] * 2
    if not profile.until_saturated or streams > MOST_STREAMS:
        return None
    speeds = [speed for _count, speed in done[-2:]]
    if None in speeds or (len(speeds) == 2 and float(speeds[1] or 0) < float(speeds[0] or 0) * (1 + GROWS)):
        return None
    return streams
