"""A sandbox API over real HTTP, with hosts that remember what they were told and fail when asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from linode_coder.sandbox.api.app import new_app, serve_api
from linode_coder.sandbox.api.sandbox import Sandbox
from linode_coder.sandbox.errors import SandboxError
from linode_coder.sandbox.hosts.base import HostSpec
from linode_coder.sandbox.own_token import TOKEN

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
CREATE = {
    "type": "g2-gpu-rtx4000a1-s",
    "region": "us-ord",
    "label": "lc-demo-1",
    "image": "linode/ubuntu24.04",
    "root_pass": "Correct-Horse-42",
    "tags": ["linode-coder"],
}


class FakeHosts:
    name = "fake"
    ssh_port = 22

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.fail = ""
        self.gate = asyncio.Event()
        self.gate.set()
        self.restored: tuple[list[HostSpec], set[int]] = ([], set())
        self._last = 0

    def allocate_address(self) -> str:
        self._last += 1
        return f"127.9.0.{self._last}"

    async def _call(self, what: str, number: int) -> None:
        await self.gate.wait()
        self.calls.append((what, number))
        if what == self.fail:
            raise SandboxError(f"{what} broke", "mend it")

    async def start(self) -> None: ...

    async def create(self, spec: HostSpec) -> None:
        await self._call("create", spec.instance_id)

    async def boot(self, instance_id: int) -> None:
        await self._call("boot", instance_id)

    async def shutdown(self, instance_id: int) -> None:
        await self._call("shutdown", instance_id)

    async def reboot(self, instance_id: int) -> None:
        await self._call("reboot", instance_id)

    async def delete(self, instance_id: int) -> None:
        await self._call("delete", instance_id)

    async def restore(self, specs: list[HostSpec], running: set[int]) -> None:
        self.restored = (specs, running)

    async def fault(self, instance_id: int, fault: dict[str, Any]) -> None: ...

    async def set_volumes(self, instance_id: int, volumes: list[dict[str, Any]]) -> None: ...

    async def damage_volume(self, volume_id: int) -> None: ...

    async def drop_volume(self, volume_id: int) -> None: ...

    async def close(self) -> None: ...


class Api:
    """A client of one sandbox: `await api("GET", path)` gives (status, body)."""

    def __init__(self, client: TestClient[Any, Any], sandbox: Sandbox, hosts: FakeHosts) -> None:
        self.client, self.sandbox, self.hosts = client, sandbox, hosts

    async def __call__(self, method: str, path: str, body: Any = None, version: str = "v4") -> tuple[int, Any]:
        answer = await self.client.request(method, f"/{version}{path}", json=body, headers=AUTHORIZED)
        return answer.status, await answer.json()

    async def settled(self, number: int) -> str:
        """Status of the instance once it is free, ``gone`` when it is."""
        while self.sandbox.events.open_for(number):
            await asyncio.sleep(0.005)
        status, body = await self("GET", f"/linode/instances/{number}")
        return str(body["status"]) if status == 200 else "gone"

    async def actions(self) -> list[tuple[str, str]]:
        _, body = await self("GET", "/account/events")
        return [(event["action"], event["status"]) for event in reversed(body["data"])]


def with_api(check: Callable[[Api], Awaitable[None]], path: Path | None = None, profile: str = "instant") -> None:
    async def run() -> None:
        hosts = FakeHosts()
        sandbox = Sandbox(hosts, path=path, profile=profile)
        app = new_app()
        serve_api(app, sandbox)
        async with TestClient(TestServer(app)) as client:
            await sandbox.lifecycle.resume()
            await check(Api(client, sandbox, hosts))
        await sandbox.lifecycle.stop()
        sandbox.store.close()

    asyncio.run(run())
