"""Simulated hosts: private roots, processes and networks on this machine, reached by real SSH."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import resource
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from . import messages
from .addresses import Addresses
from .base import SSH_FAULTS, HostSpec, SandboxError, survives
from .guest_init import METADATA_ADDRESS
from .guest_link import GuestLink
from .image import Image, firmware, guest_argv, remove_tree
from .keeper import VOLATILE
from .namespaces import Namespaces
from .ssh_listener import SshListener
from .volumes import Volumes

_LOG = logging.getLogger("linode_coder.sandbox.hosts")
MetadataApp = Callable[[int], web.Application]
FAULTS_FILE = "/run/sandbox/faults.json"
_BOOT_SECONDS = 60.0
_BOOTS_AT_ONCE = 4
_LASSIE_SECONDS = 1.0
# From the other side of the world.
_FAR_S = 0.3


class _Running:
    """One boot of one host."""

    def __init__(self, link: GuestLink) -> None:
        self.link = link
        self.ssh: SshListener | None = None
        self.metadata: web.AppRunner | None = None


class _Host:
    def __init__(self, spec: HostSpec, home: Path) -> None:
        self.spec = spec
        self.home = home
        self.lock = asyncio.Lock()
        self.running: _Running | None = None
        self.wanted = False
        self.faults: list[dict[str, Any]] = []
        self.off = False  # powered off since the last boot


class SimulatedHosts:
    """The `HostBackend` whose hosts are namespaces of this machine.

    `root` is the directory for their files, `metadata_app` gives the metadata service of an instance, `engine` is the
    content of the hosts' /etc/sandbox/engine.json and `binds` what the engine needs from this machine, read-only
    (machine path -> path in the host).
    """

    name = "simulated"

    def __init__(
        self, root: Path, metadata_app: MetadataApp, engine: dict[str, Any], binds: dict[str, str] | None = None
    ) -> None:
        self.ssh_port = 22
        self._root = root.absolute()
        self._metadata_app = metadata_app
        self._engine = engine
        self._binds = binds or {}
        self._hosts: dict[int, _Host] = {}
        self._namespaces = Namespaces(self._root)
        self._image = Image(self._root)
        self._volumes = Volumes(self._root)
        self._addresses: Addresses | None = None
        self._boots = asyncio.Semaphore(_BOOTS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def start(self) -> None:
        """Take the directory over (waiting for what a killed server left to be gone) and try what hosts need."""
        _raise_file_limit()
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._namespaces.start()
        try:
            await asyncio.to_thread(self._image.build)
            await asyncio.to_thread(remove_tree, self._trash)
            self._addresses = Addresses(self._root / "addresses.json")
            self.ssh_port = self._addresses.ssh_port()
        except BaseException:
            await self._namespaces.close()
            raise

    @property
    def _trash(self) -> Path:
        return self._root / "trash"

    def allocate_address(self) -> str:
        """A loopback address of its own for a new instance."""
        if self._addresses is None:
            raise SandboxError("The hosts are not started.", "Start the sandbox.")
        return self._addresses.allocate()

    async def create(self, spec: HostSpec) -> None:
        """Write the host's files."""
        home = self._root / str(spec.instance_id)
        host = _Host(spec, home)
        self._hosts[spec.instance_id] = host
        async with host.lock:
            await self._discard(home)
            new = self._root / f"{spec.instance_id}.new"
            await asyncio.to_thread(remove_tree, new)
            await asyncio.to_thread(self._image.create, spec, new, self._engine)
            new.rename(home)

    async def boot(self, instance_id: int) -> None:
        """Processes up, cloud-init and the hooks done, SSH answering; does nothing for a host that is up."""
        host = self._host(instance_id)
        host.wanted = True
        async with host.lock:
            if host.running is None:
                await self._boot(host)

    async def shutdown(self, instance_id: int) -> None:
        """End the host's processes; its files stay."""
        host = self._host(instance_id)
        host.wanted = False
        async with host.lock:
            await self._halt(host)
            host.off = True

    async def reboot(self, instance_id: int) -> None:
        """Shut down and boot."""
        host = self._host(instance_id)
        host.wanted = True
        async with host.lock:
            await self._halt(host)
            await self._boot(host)

    async def delete(self, instance_id: int) -> None:
        """End everything of the host and remove its files. An unknown host is already gone."""
        host = self._hosts.pop(instance_id, None)
        if host is None:
            return
        host.wanted = False
        async with host.lock:
            await self._halt(host)
            await self._discard(host.home)

    async def restore(self, specs: list[HostSpec], running: set[int]) -> None:
        """Take kept hosts back, make what is missing anew, forget the rest, boot those in `running`."""
        for spec in specs:
            home = self._root / str(spec.instance_id)
            if home.is_dir():
                self._hosts[spec.instance_id] = _Host(spec, home)
            else:
                await self.create(spec)
        known = {str(spec.instance_id) for spec in specs}
        for leftover in [path for path in self._root.iterdir() if path.name.split(".")[0].isdigit()]:
            if leftover.name not in known:
                await self._discard(leftover)
        results = await asyncio.gather(*(self.boot(instance_id) for instance_id in running), return_exceptions=True)
        for instance_id, result in zip(running, results, strict=True):
            if isinstance(result, SandboxError):
                _LOG.error("host %s does not come back: %s", instance_id, result.message)
            elif isinstance(result, BaseException):
                raise result

    async def fault(self, instance_id: int, fault: dict[str, Any]) -> None:
        """Break something. `kind` wrong_host_key and ssh_down act on SSH, clear mends everything; what else there is
        is for the host's own tools, which find it in /run/sandbox/faults.json until the next boot (`persistent`:
        also after it; `until`: until that was done)."""
        host = self._host(instance_id)
        kind = str(fault.get("kind") or "")
        if not kind:
            raise SandboxError("A fault needs a kind.", 'For example {"kind": "gpu_lost", "gpu": 0}.')
        async with host.lock:
            if kind == "clear":
                host.faults = []
            else:
                host.faults = [*host.faults, {"at": time.time(), **fault}]
            if host.running is not None:
                await self._write_faults(host, host.running)
                await self._apply_ssh_faults(host, host.running)

    async def set_volumes(self, instance_id: int, volumes: list[dict[str, Any]]) -> None:
        """Attach these and detach all others; a host that runs sees devices come and go. Nothing for an unknown host."""
        host = self._hosts.get(instance_id)
        if host is None:
            return
        async with host.lock:
            wanted = {volume["id"]: volume for volume in volumes}
            for gone in set(self._volumes.attached(host.home)) - set(wanted):
                self._volumes.detach(host.home, gone)
            for volume in wanted.values():
                self._volumes.attach(host.home, volume)
            if host.running is not None:
                await host.running.link.set_devices(self._devices(host))

    def _devices(self, host: _Host) -> list[dict[str, Any]]:
        return [{"id": number, **disk} for number, disk in self._volumes.attached(host.home).items()]

    async def damage_volume(self, volume_id: int) -> None:
        """Another bit in its largest file."""
        self._volumes.damage(volume_id)

    async def drop_volume(self, volume_id: int) -> None:
        """Delete what it holds."""
        await asyncio.to_thread(self._volumes.drop, volume_id)

    async def close(self) -> None:
        """End every process, keep every file."""
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

        async def halt(host: _Host) -> None:
            async with host.lock:
                await self._halt(host)

        await asyncio.gather(*(halt(host) for host in self._hosts.values()))
        await self._namespaces.close()

    # -- one host

    def _host(self, instance_id: int) -> _Host:
        host = self._hosts.get(instance_id)
        if host is None:
            raise SandboxError(f"There is no host for instance {instance_id}.", "Create it first.")
        return host

    async def _boot(self, host: _Host) -> None:
        async with self._boots:
            try:
                await asyncio.wait_for(self._boot_now(host), _BOOT_SECONDS)
            except TimeoutError as error:
                await self._halt(host)
                raise SandboxError(
                    f"Host {host.spec.label} did not boot within {_BOOT_SECONDS:.0f} s.", "See the server's log."
                ) from error
            except BaseException:
                await self._halt(host)
                raise

    async def _boot_now(self, host: _Host) -> None:
        spec = host.spec
        host.faults = [fault for fault in host.faults if survives(fault, host.off)]
        host.off = False
        link = await GuestLink.boot(
            self._namespaces,
            spec.instance_id,
            self._boot_config(host),
            lambda request, message: self._from_guest(host, request, message),
            lambda: self._went_down(host),
        )
        running = host.running = _Running(link)
        running.ssh = SshListener(link, spec.address, self.ssh_port)
        running.metadata = web.AppRunner(
            self._metadata_app(spec.instance_id), access_log=None, handle_signals=False, shutdown_timeout=0.1
        )
        await running.metadata.setup()
        await web.SockSite(running.metadata, await link.listen(METADATA_ADDRESS, 80)).start()
        await self._write_faults(host, running)
        await self._run_at_boot(link, spec, "system.cloud_init", "boot")
        await self._run_at_boot(link, spec, "system.volumes mount", "-a")
        await self._ssh_unit(host, running, "start")
        await self._run_at_boot(link, spec, "docker.docker", "boot")

    @staticmethod
    async def _run_at_boot(link: GuestLink, spec: HostSpec, program: str, *arguments: str) -> None:
        code, output = await link.run([*guest_argv(program), *arguments])
        if output:
            _LOG.warning("%s: %s", spec.label, output.rstrip())
        if code != 0:
            raise SandboxError(f"Host {spec.label} failed to boot: {output.strip()}", "See the server's log.")

    def _boot_config(self, host: _Host) -> dict[str, Any]:
        volatile = self._root / VOLATILE if self._namespaces.volatile else None
        mounts = self._image.mounts(host.home, volatile)
        mounts["binds"] += [{"source": here, "target": there, "readonly": True} for here, there in self._binds.items()]
        config = {
            **mounts,
            "hostname": (host.home / "root/etc/hostname").read_text().strip(),
            "root": str(host.home / "root"),
            "boot_id": str(uuid.uuid4()),
            "run_dirs": ["/run/lock", "/run/systemd/system", "/run/user", "/run/sshd"],
            "remove": self._image.first_boot_removals(),
            "files": self._image.driver_files(host.home),
            "dmi": firmware(host.spec),
            "devices": self._devices(host),
        }
        first = host.home / "booted"
        if first.exists() and volatile is None:
            config["remove"], config["files"] = [], {}
        first.touch()
        return config

    async def _halt(self, host: _Host) -> None:
        running, host.running = host.running, None
        if running is None:
            return
        if running.ssh is not None:
            await running.ssh.stop(drop=True)
        if running.metadata is not None:
            await running.metadata.cleanup()
        await running.link.halt()

    async def _discard(self, path: Path) -> None:
        """Out of the way at once, then deleted; a killed server's rest is swept at the next start."""
        if not path.exists():
            return
        self._volumes.detach_all(path)
        self._trash.mkdir(exist_ok=True)
        grave = self._trash / uuid.uuid4().hex
        path.rename(grave)
        await asyncio.to_thread(remove_tree, grave)

    # -- what happens inside

    def _went_down(self, host: _Host) -> None:
        """Its first process ended without us (something killed it): like a power failure, it comes back."""
        if host.running is not None and not self._closing:
            self._later(self._power(host, "reboot"))

    def _from_guest(self, host: _Host, request: int, message: dict[str, Any]) -> None:
        self._later(self._serve_guest(host, request, message))

    async def _serve_guest(self, host: _Host, request: int, message: dict[str, Any]) -> None:
        running = host.running
        if running is None or running.ssh is None:
            return
        answer: dict[str, Any] = {}
        operation = message.get("op")
        try:
            if operation == "ssh":
                await self._ssh_unit(host, running, str(message.get("action")))
            elif operation == "hostname":
                await running.link.set_hostname(str(message["name"]))
            elif operation in ("reboot", "poweroff"):
                self._later(self._power(host, operation))
            else:
                answer["error"] = f"unknown request {operation}"
        except SandboxError as error:
            answer["error"] = error.message
        if host.running is running:
            with contextlib.suppress(SandboxError):
                running.link.answer_tool(request, answer)

    async def _ssh_unit(self, host: _Host, running: _Running, action: str) -> None:
        ssh = running.ssh
        if ssh is None:
            return
        if action == "stop":
            await ssh.stop(drop=False)
        elif action == "start":
            if any(fault["kind"] == "ssh_down" for fault in host.faults):
                return
            ssh.foreign_key = any(fault["kind"] == "wrong_host_key" for fault in host.faults)
            ssh.delay = _way_s(host)
            await ssh.start()
        else:
            await ssh.reload()

    async def _apply_ssh_faults(self, host: _Host, running: _Running) -> None:
        if running.ssh is None:
            return
        kinds = {fault["kind"] for fault in host.faults}
        foreign = "wrong_host_key" in kinds
        if foreign and not running.ssh.foreign_key:
            # Whoever has the other key knows nothing of the connections that there are.
            await running.ssh.stop(drop=True)
        running.ssh.foreign_key = foreign
        running.ssh.stalls = "ssh_stalls" in kinds
        running.ssh.delay = _way_s(host)
        if "ssh_down" in kinds:
            await running.ssh.stop(drop=True)
        else:
            await running.ssh.start()
            await running.ssh.reload()

    async def _write_faults(self, host: _Host, running: _Running) -> None:
        text = json.dumps([fault for fault in host.faults if not _acts_on_ssh(fault)], indent=1) + "\n"
        if len(text) > messages.MESSAGE_LIMIT // 2:
            raise SandboxError("Too many faults on one host.", "Clear them first.")
        await running.link.write_file(FAULTS_FILE, text.encode())

    async def _power(self, host: _Host, kind: str) -> None:
        """A reboot from inside; a power-off from inside too, since Linode's watchdog boots what powered itself off."""
        await asyncio.sleep(0.05)  # the tool's answer goes out first
        async with host.lock:
            await self._halt(host)
            if kind == "poweroff":
                await asyncio.sleep(_LASSIE_SECONDS)
            if host.wanted and not self._closing:
                try:
                    await self._boot(host)
                except SandboxError as error:
                    _LOG.error("%s does not come back: %s", host.spec.label, error.message)

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _way_s(host: _Host) -> float:
    """Seconds there and back."""
    delays = [float(fault.get("delay") or _FAR_S) for fault in host.faults if fault["kind"] == "network_slow"]
    return max(delays, default=0.0)


def _acts_on_ssh(fault: dict[str, Any]) -> bool:
    return fault["kind"] in SSH_FAULTS


def _raise_file_limit() -> None:
    """Fifty hosts with their connections are more than the usual 1024 open files."""
    if sys.platform.startswith("linux"):
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < 65536 else 65536, hard))
