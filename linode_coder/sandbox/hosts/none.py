"""A backend without hosts: the account, its API and its events work, nothing answers SSH."""

from __future__ import annotations

import itertools
from typing import Any

from .base import HostSpec

# RFC 5737 documentation ranges: an address from them never reaches anyone.
_RANGES = ("192.0.2", "198.51.100", "203.0.113")


class NoHosts:
    """Implements `HostBackend` by doing nothing; addresses come from the documentation ranges."""

    name = "none"
    ssh_port = 22

    def __init__(self) -> None:
        self._addresses = itertools.cycle(f"{prefix}.{last}" for prefix in _RANGES for last in range(1, 255))

    async def start(self) -> None:
        """Nothing to prepare."""

    def allocate_address(self) -> str:
        """The next documentation address; repeats after 762."""
        return next(self._addresses)

    async def create(self, spec: HostSpec) -> None:
        """No host to create."""

    async def boot(self, instance_id: int) -> None:
        """No host to boot."""

    async def shutdown(self, instance_id: int) -> None:
        """No host to stop."""

    async def reboot(self, instance_id: int) -> None:
        """No host to reboot."""

    async def delete(self, instance_id: int) -> None:
        """No host to delete."""

    async def restore(self, specs: list[HostSpec], running: set[int]) -> None:
        """No host to restore."""

    async def fault(self, instance_id: int, fault: dict[str, Any]) -> None:
        """No host to break."""

    async def set_volumes(self, instance_id: int, volumes: list[dict[str, Any]]) -> None:
        """No host to attach them to."""

    async def damage_volume(self, volume_id: int) -> None:
        """They hold nothing."""

    async def drop_volume(self, volume_id: int) -> None:
        """They hold nothing."""

    async def close(self) -> None:
        """Nothing to stop."""
