"""When the gateway may start a session by itself, and for how long. What it may cost is decided by `up`."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import parse_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..settings.config import Config
from ..settings.hours import parse_hours, within


@dataclass(frozen=True)
class Limits:
    """``hours`` and ``lease`` as they are written in the configuration."""

    hours: str | None
    wakes: int
    lease: str | None

    @classmethod
    def of(cls, config: Config) -> Limits:
        return cls(config.gateway_hours, config.gateway_wakes, config.gateway_lease)


def check(limits: Limits, name: str, now: time.struct_time, wakes_today: int) -> None:
    """Failure(refused) when the session may not be started at this local time."""
    up = f"Start it yourself: linode-coder up {name}"
    if limits.hours is not None and not within(parse_hours(limits.hours), now.tm_hour * 60 + now.tm_min):
        raise Failure(
            "refused",
            f"Session {name!r} is gone, and the gateway starts sessions only at {limits.hours}; it is {now.tm_hour:02}:{now.tm_min:02}.",
            remedy=f"{up}. Or change `hours` under [gateway] in config.toml.",
            field="gateway_hours",
            value=limits.hours,
        )
    if wakes_today >= limits.wakes:
        raise Failure(
            "refused",
            f"Session {name!r} is gone, and the gateway has started {wakes_today} session(s) today, of {limits.wakes} that it may.",
            remedy=f"{up}. Or raise `wakes` under [gateway] in config.toml.",
            field="gateway_wakes",
            value=limits.wakes,
        )


def lease_of(limits: Limits, cap: str) -> str | None:
    """The lease of a session that is started by the gateway, not beyond its cap; None for that of its settings."""
    if limits.lease is None:
        return None
    return cap if parse_duration(limits.lease, "lease") > parse_duration(cap, "cap") else limits.lease
