"""The sandbox account as one object: what it is, and what happens to it over time."""

from __future__ import annotations

from pathlib import Path

from ..hosts.base import HostBackend
from .lifecycle import Lifecycle
from .state import State


class Sandbox(State):
    """Everything a handler can reach."""

    def __init__(
        self,
        backend: HostBackend | None = None,
        *,
        path: Path | None = None,
        profile: str = "quick",
        rate_limits: str = "recorded",
        timings: dict[str, float] | None = None,
    ) -> None:
        super().__init__(backend, path=path, profile=profile, rate_limits=rate_limits, timings=timings)
        self.lifecycle = Lifecycle(self)

    async def reset(self) -> None:
        """Back to an empty account: every host deleted, every object forgotten."""
        await self.lifecycle.stop()
        for record in self.instances():
            if record["on_host"]:
                await self.backend.delete(record["api"]["id"])
        self.forget()
