"""Simulated hosts: private roots, processes and networks on this machine, reached by real SSH."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import platform
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from ..errors import SandboxError
from .base import HostSpec
from .host import Host
from .root_files import GUEST_LIB, guest_python, make_root
from .ssh_server import SshListener

MetadataApp = Callable[[int], web.Application]


class _Machine:
    """What one instance has while it runs."""

    def __init__(self, host: Host, ssh: SshListener, metadata: web.AppRunner) -> None:
        self.host = host
        self.ssh = ssh
        self.metadata = metadata


class SimulatedHosts:
    name = "simulated"

    def __init__(
        self, directory: Path, metadata_app: MetadataApp, engine: dict[str, object], binds: dict[str, str]
    ) -> None:
        self.directory = directory
        self.ssh_port = 22
        self._metadata_app = metadata_app
        self._engine = engine
        self._binds = binds
        self._specs: dict[int, HostSpec] = {}
        self._running: dict[int, _Machine] = {}
        # A sandbox's own block of loopback addresses, so that several on one machine do not meet.
        self._next = int(ipaddress.IPv4Address(f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}.1"))

    async def start(self) -> None:
        if platform.system() != "Linux":
            raise SandboxError("Simulated hosts need Linux namespaces.", "Use `sandbox start --hosts none` here.")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ssh_port = next((port for port in (22, *range(2222, 2322)) if self._can_listen(port)), 0)
        if not self.ssh_port:
            raise SandboxError("No port from 2222 to 2321 is free for SSH.", "Stop what listens there.")

    def _can_listen(self, port: int) -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((str(ipaddress.IPv4Address(self._next)), port))
            except OSError:
                return False
            return True

    def allocate_address(self) -> str:
        self._next += 1
        return str(ipaddress.IPv4Address(self._next))

    def _home(self, instance_id: int) -> Path:
        return self.directory / str(instance_id)

    async def create(self, spec: HostSpec) -> None:
        self._specs[spec.instance_id] = spec
        home = self._home(spec.instance_id)
        home.mkdir(mode=0o700, exist_ok=True)
        await asyncio.to_thread(make_root, home, spec, self._engine, self._binds)

    async def boot(self, instance_id: int) -> None:
        if instance_id in self._running:
            return
        spec = self._specs[instance_id]
        host = Host(self._home(instance_id))
        await host.boot()
        runner = web.AppRunner(self._metadata_app(instance_id), access_log=None)
        try:
            await runner.setup()
            await web.SockSite(runner, await host.socket(("169.254.169.254", 80))).start()
            python, _ = guest_python()
            code, output = await host.run([python, "-I", "-S", f"{GUEST_LIB}/cloud_init.py", "boot"])
            if code:
                raise SandboxError(f"cloud-init failed on {spec.label}: {output.strip()}", "See the sandbox's log.")
            ssh = SshListener(host, spec.address, self.ssh_port)
            await ssh.start()
            await host.run([python, "-I", "-S", f"{GUEST_LIB}/docker.py", "boot"])
        except BaseException:
            await runner.cleanup()
            await host.stop()
            raise
        self._running[instance_id] = _Machine(host, ssh, runner)

    async def shutdown(self, instance_id: int) -> None:
        machine = self._running.pop(instance_id, None)
        if machine is not None:
            await machine.ssh.stop()
            await machine.metadata.cleanup()
            await machine.host.stop()

    async def delete(self, instance_id: int) -> None:
        await self.shutdown(instance_id)
        self._specs.pop(instance_id, None)
        await asyncio.to_thread(shutil.rmtree, self._home(instance_id), True)

    async def restore(self, specs: list[HostSpec], running: set[int]) -> None:
        for spec in specs:
            self._specs[spec.instance_id] = spec
            self._next = max(self._next, int(ipaddress.IPv4Address(spec.address)))
        known = {str(spec.instance_id) for spec in specs}
        for leftover in self.directory.iterdir():
            if leftover.name not in known:
                await asyncio.to_thread(shutil.rmtree, leftover, True)
        for spec in specs:
            if spec.instance_id in running and (self._home(spec.instance_id) / "init.json").exists():
                await self.boot(spec.instance_id)

    async def fault(self, instance_id: int, fault: dict[str, Any]) -> None:
        """wrong_host_key and clear act on SSH; the rest is written where the stand-ins inside read it."""
        machine = self._running.get(instance_id)
        if machine is None:
            raise SandboxError("The instance is not running.", "Boot it before breaking it.")
        if fault["kind"] in ("wrong_host_key", "clear"):
            machine.ssh.wrong_key = fault["kind"] == "wrong_host_key"
            machine.ssh.reload()
        path = self._home(instance_id) / "root/var/lib/sandbox/faults.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        active = json.loads(path.read_text()) if path.exists() else []
        path.write_text(json.dumps([] if fault["kind"] == "clear" else [*active, fault]))

    async def close(self) -> None:
        await asyncio.gather(*(self.shutdown(instance_id) for instance_id in list(self._running)))
