"""Hosts of the sandbox without its API, with the real OpenSSH client: what a person or Ansible relies on."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from linode_coder.sandbox.hosts.base import HostSpec
from linode_coder.sandbox.hosts.docker_hosts import DockerHosts
from linode_coder.sandbox.hosts.simulated import SimulatedHosts


def keygen(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path.with_suffix(".pub").read_text().strip()


class Sandbox:
    """One backend and its client's key; user-data gives every host the key `host_key`."""

    def __init__(self, home: Path, backend: type[SimulatedHosts] | type[DockerHosts] = SimulatedHosts) -> None:
        self.home = home
        self.client = home / "client"
        if not self.client.exists():
            keygen(self.client)
            keygen(home / "host_key")
        self.host_key = (home / "host_key.pub").read_text().strip()
        keys = {"ed25519_private": (home / "host_key").read_text(), "ed25519_public": self.host_key}
        self.user_data = b"#cloud-config\n" + json.dumps({"ssh_keys": keys}).encode()
        self.hosts = backend(home / "hosts", self.metadata, {"engine": "standin", "env": {}}, {})

    def metadata(self, instance_id: int) -> web.Application:
        async def token(request: web.Request) -> web.Response:
            return web.Response(text="token")

        async def user_data(request: web.Request) -> web.Response:
            return web.Response(text=base64.b64encode(self.user_data).decode())

        async def instance(request: web.Request) -> web.Response:
            return web.json_response({"id": instance_id, "label": f"lc-test-{instance_id}", "region": "us-ord"})

        app = web.Application()
        app.router.add_put("/v1/token", token)
        app.router.add_get("/v1/user-data", user_data)
        app.router.add_get("/v1/instance", instance)
        return app

    async def add(self, number: int) -> HostSpec:
        spec = HostSpec(
            instance_id=number,
            label=f"lc-test-{number}",
            address=self.hosts.allocate_address(),
            plan={"id": "g2-gpu-rtx4000a1-s"},
            gpus=1,
            region="us-ord",
            image="linode/ubuntu24.04-nvidia",
            authorized_keys=(self.client.with_suffix(".pub").read_text(),),
            user_data=None,
            tags=(),
            host_uuid="0123456789abcdef0123456789abcdef",
        )
        await self.hosts.create(spec)
        await self.hosts.boot(number)
        return spec

    def options(self, spec: HostSpec, key: str | None = None) -> list[str]:
        known = self.home / f"known-{spec.instance_id}"
        name = spec.address if self.hosts.ssh_port == 22 else f"[{spec.address}]:{self.hosts.ssh_port}"
        known.write_text(f"{name} {key or self.host_key}\n")
        pairs = (
            f"UserKnownHostsFile={known}",
            "StrictHostKeyChecking=yes",
            "BatchMode=yes",
            f"IdentityFile={self.client}",
            # A host that reboots in the middle of a question may never answer it, nor end the connection.
            "ConnectTimeout=20",
            "ServerAliveInterval=5",
            "ServerAliveCountMax=3",
        )
        return [part for pair in pairs for part in ("-o", pair)]

    async def ssh(
        self, spec: HostSpec, *command: str, stdin: bytes = b"", key: str | None = None
    ) -> tuple[int, bytes, bytes]:
        argv = ["ssh", "-p", str(self.hosts.ssh_port), *self.options(spec, key), f"root@{spec.address}", *command]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe)
        out, err = await asyncio.wait_for(process.communicate(stdin), 60)
        assert process.returncode is not None
        return process.returncode, out, err

    async def say(self, spec: HostSpec, command: str) -> str:
        code, out, err = await self.ssh(spec, command)
        assert code == 0, err
        return out.decode().strip()


@asynccontextmanager
async def sandbox(
    home: Path, backend: type[SimulatedHosts] | type[DockerHosts] = SimulatedHosts
) -> AsyncIterator[Sandbox]:
    made = Sandbox(home, backend)
    await made.hosts.start()
    try:
        yield made
    finally:
        await made.hosts.close()
