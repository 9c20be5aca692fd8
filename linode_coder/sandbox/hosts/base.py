"""What the sandbox server needs from whatever runs its hosts, as plain types.

The API half of the sandbox decides *when* an instance boots, reboots or goes away; a `HostBackend` makes that true.
Nothing here imports asyncssh or aiohttp, so that commands which only read stay light.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import SandboxError

__all__ = ["SSH_FAULTS", "HostBackend", "HostSpec", "SandboxError", "survives"]

# Where volumes that no host has lie, beside the hosts.
VOLUMES = "volumes"
# Host faults that the backend acts on itself; all others are for the host's own tools.
SSH_FAULTS = ("wrong_host_key", "ssh_down", "ssh_stalls", "network_slow")


def survives(fault: dict[str, Any], off: bool) -> bool:
    """Whether a fault is still there after a boot; ``off``: the machine was powered off before it, not only rebooted."""
    until = fault.get("until")
    if until is not None:
        return until == "recreate_vm" or (until == "power_cycle" and not off)
    return bool(fault.get("persistent")) or fault["kind"] in SSH_FAULTS


@dataclass(frozen=True)
class HostSpec:
    """One instance as its host sees it. `plan` is the API's type object; `user_data` is decoded, not base64."""

    instance_id: int
    label: str
    address: str
    plan: dict[str, Any]
    gpus: int
    region: str
    image: str | None
    authorized_keys: tuple[str, ...]
    user_data: bytes | None
    tags: tuple[str, ...]
    host_uuid: str


class HostBackend(Protocol):
    """Runs hosts. Every method that names an instance unknown to the backend raises `SandboxError`."""

    name: str
    ssh_port: int

    async def start(self) -> None:
        """Sweep what a killed server left and learn what the machine can do; raises `SandboxError`."""

    def allocate_address(self) -> str:
        """A free address for a new instance, not reused soon."""
        ...

    async def create(self, spec: HostSpec) -> None:
        """Prepare the private root; nothing runs yet."""

    async def boot(self, instance_id: int) -> None:
        """Processes up, cloud-init done (first boot), SSH answering."""

    async def shutdown(self, instance_id: int) -> None:
        """Stop every process of the host; files stay."""

    async def reboot(self, instance_id: int) -> None:
        """Files stay; processes, /run and /tmp go; a new boot id."""

    async def delete(self, instance_id: int) -> None:
        """Everything of the host is gone afterwards."""

    async def restore(self, specs: list[HostSpec], running: set[int]) -> None:
        """After a restart of the server: take the kept private roots back and boot those in `running`."""

    async def fault(self, instance_id: int, fault: dict[str, Any]) -> None:
        """Break something on the host (or mend it again); `fault["kind"]` says what."""

    async def set_volumes(self, instance_id: int, volumes: list[dict[str, Any]]) -> None:
        """These block storage volumes (id, label, size) and no others are attached to the host from now on."""

    async def damage_volume(self, volume_id: int) -> None:
        """What a volume holds is not what was written any more."""

    async def drop_volume(self, volume_id: int) -> None:
        """A volume, attached to no host, is gone with what it holds."""

    async def close(self) -> None:
        """Stop every process, keep files."""
