"""Docker hosts: every instance is a container with systemd, sshd and a Docker Engine of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import logging
import os
import shutil
import socket
import ssl
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from . import docker_image, played_repositories
from .addresses import Addresses
from .base import SSH_FAULTS, HostSpec, SandboxError, survives
from .docker_cli import DockerCli, check_machine
from .image import GUEST, GUEST_PACKAGE, NVIDIA_IMAGE, authorized_keys, firmware, guest_command, sandbox_files
from .played_internet import ADDRESS, NAMES, certificate, internet_app
from .played_repositories import DRIVER_FILES
from .registry import Registry

_LOG = logging.getLogger("linode_coder.sandbox.hosts")
MetadataApp = Callable[[int], web.Application]
LABEL = "io.linode-coder.sandbox"  # its value is the directory of the sandbox that a container or volume belongs to
_BOOT_SECONDS = 180.0
_STOP_SECONDS = 30
_LASSIE_SECONDS = 1.0
_BOOTS_AT_ONCE = 4
_MACHINE = GUEST / "machine"
_WANTED_BY = {
    "sandbox-metadata.socket": "cloud-init-local.service",
    "sandbox-internet.socket": "sockets.target",
}
# What systemd and a Docker Engine need inside; --privileged asks for CAP_SYS_RESOURCE too, which not every machine has.
_LIKE_A_MACHINE = (
    *("--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"),
    *("--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"),
    *("--stop-signal", "SIGRTMIN+3", "--shm-size", "2g"),
    *("--sysctl", "net.ipv6.conf.lo.disable_ipv6=0"),  # the metadata service is asked by IPv6 first
)


class _Host:
    def __init__(self, spec: HostSpec, name: str, control: Path) -> None:
        self.spec = spec
        self.name = name
        self.control = control
        """Directory behind the host's /run/sandbox."""
        self.lock = asyncio.Lock()
        self.metadata: web.AppRunner | None = None
        self.internet: web.SockSite | None = None
        self.wanted = False
        self.up = False
        self.faults: list[dict[str, Any]] = []
        self.off = False  # powered off since the last boot


class DockerHosts:
    """The `HostBackend` whose hosts are containers of this machine's Docker Engine.

    `root` is the directory for what the server shares with them, `metadata_app` gives the metadata service of an
    instance, `engine` is the content of the hosts' /etc/sandbox/engine.json and `binds` what the engine needs from this
    machine, read-only (machine path -> path in the host).
    """

    name = "docker"

    def __init__(
        self, root: Path, metadata_app: MetadataApp, engine: dict[str, Any], binds: dict[str, str] | None = None
    ) -> None:
        self.ssh_port = 22
        self._root = root.absolute()
        self._metadata_app = metadata_app
        self._engine = engine
        # Containers have a /sys of their own.
        self._binds = {here: there for here, there in (binds or {}).items() if not there.startswith("/sys/")}
        self._docker = DockerCli()
        self._hosts: dict[int, _Host] = {}
        self._addresses: Addresses | None = None
        self._image = ""
        self._internet: web.AppRunner | None = None
        self._tls: ssl.SSLContext | None = None
        self._authority = b""
        self._boots = asyncio.Semaphore(_BOOTS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def _label(self) -> str:
        return f"{LABEL}={self._root}"

    @property
    def _models(self) -> Path | None:
        """The real engine's models on this machine, which the weights' download has in its image."""
        return next((Path(here) for here, there in self._binds.items() if there == self._engine.get("models")), None)

    async def start(self) -> None:
        """See what the machine has, build what is missing, stop what a killed server left running."""
        await check_machine(self._docker, docker_image.TOOLS)
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._addresses = Addresses(self._root / "addresses.json")
        self.ssh_port = self._addresses.ssh_port()
        self._image, layer = await asyncio.gather(
            docker_image.ensure_image(self._docker, docker_image.HOST), docker_image.ensure_layer(docker_image.ENGINE)
        )
        await asyncio.to_thread(played_repositories.build, self._root / "internet")
        self._internet = web.AppRunner(
            internet_app(self._root / "internet", Registry(layer, self._engine, self._models)),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=0.1,
        )
        await self._internet.setup()
        self._tls, self._authority = certificate(self._root / "tls")
        await stop_leftovers(self._root)
        self._later(self._watch())

    def allocate_address(self) -> str:
        """A loopback address of its own for a new instance."""
        if self._addresses is None:
            raise SandboxError("The hosts are not started.", "Start the sandbox.")
        return self._addresses.allocate()

    async def create(self, spec: HostSpec) -> None:
        """Make the container with its files; nothing runs yet."""
        host = self._new_host(spec)
        async with host.lock:
            await self._remove(host)
            host.control.mkdir(mode=0o755)
            await self._docker.run("volume", "create", "--label", self._label, host.name)
            binds = {str(host.control): "/run/sandbox:rw", str(GUEST): f"{GUEST_PACKAGE}:ro"}
            binds |= {here: f"{there}:ro" for here, there in self._binds.items()}
            await self._docker.run(
                "create",
                *("--name", host.name, "--label", self._label, "--hostname", spec.label),
                *_LIKE_A_MACHINE,
                *("--volume", f"{host.name}:/var/lib/docker"),
                *(part for here, there in binds.items() for part in ("--volume", f"{here}:{there}")),
                *("--publish", f"{spec.address}:{self.ssh_port}:22", "--device-cgroup-rule", "c 195:* rwm"),
                *(part for name in NAMES for part in ("--add-host", f"{name}:{ADDRESS}")),
                *("--dns", ADDRESS),  # nobody answers there: other names are unknown at once
                *(self._image, "/bin/sh", f"{GUEST_PACKAGE}/machine/boot.sh"),
            )
            files = _files(spec, self._engine, self._authority, sorted(self._binds.values()))
            await self._docker.run("cp", "-", f"{host.name}:/", given=files)

    async def boot(self, instance_id: int) -> None:
        """Units up, cloud-init done, SSH answering; does nothing for a host that is up."""
        host = self._host(instance_id)
        host.wanted = True
        async with host.lock:
            if not host.up:
                await self._boot(host)

    async def shutdown(self, instance_id: int) -> None:
        """Stop the container; its files stay."""
        host = self._host(instance_id)
        host.wanted = False
        async with host.lock:
            await self._halt(host)
            host.off = True

    async def reboot(self, instance_id: int) -> None:
        """Stop the container and start it again."""
        host = self._host(instance_id)
        host.wanted = True
        async with host.lock:
            await self._halt(host)
            await self._boot(host)

    async def delete(self, instance_id: int) -> None:
        """Remove the container and its volume. An unknown host is already gone."""
        host = self._hosts.pop(instance_id, None)
        if host is None:
            return
        host.wanted = host.up = False
        async with host.lock:
            await self._stop_serving(host)
            await self._remove(host)

    async def restore(self, specs: list[HostSpec], running: set[int]) -> None:
        """Take kept containers back, make what is missing anew, remove the rest, boot those in `running`."""
        kept = await self._docker.labelled("container", self._label)
        for spec in specs:
            if self._name(spec.instance_id) in kept:
                self._new_host(spec)
            else:
                await self.create(spec)
        known = {host.name for host in self._hosts.values()}
        await _remove(self._docker, self._label, lambda name: name not in known)
        results = await asyncio.gather(*(self.boot(instance_id) for instance_id in running), return_exceptions=True)
        for instance_id, result in zip(running, results, strict=True):
            if isinstance(result, SandboxError):
                _LOG.error("host %s does not come back: %s", instance_id, result.message)
            elif isinstance(result, BaseException):
                raise result

    async def fault(self, instance_id: int, fault: dict[str, Any]) -> None:
        """Break something, as `SimulatedHosts.fault` does."""
        host = self._host(instance_id)
        kind = str(fault.get("kind") or "")
        if not kind:
            raise SandboxError("A fault needs a kind.", 'For example {"kind": "gpu_lost", "gpu": 0}.')
        if kind == "network_slow":
            raise SandboxError("The way to a host of Docker is never slow.", "Take simulated hosts for this fault.")
        async with host.lock:
            host.faults = [] if kind == "clear" else [*host.faults, {"at": time.time(), **fault}]
            self._write_faults(host)
            if host.up and (kind == "clear" or kind in SSH_FAULTS):
                await self._apply_ssh_faults(host)

    async def set_volumes(self, instance_id: int, volumes: list[dict[str, Any]]) -> None:
        """Containers see no block devices come and go: the device never appears."""

    async def damage_volume(self, volume_id: int) -> None:
        """They hold nothing here."""

    async def drop_volume(self, volume_id: int) -> None:
        """They hold nothing here."""

    async def close(self) -> None:
        """Stop every container, keep them and their volumes."""
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

        async def halt(host: _Host) -> None:
            async with host.lock:
                await self._halt(host)

        await asyncio.gather(*(halt(host) for host in self._hosts.values()))
        if self._internet is not None:
            await self._internet.cleanup()

    # -- one host

    def _name(self, instance_id: int) -> str:
        return f"lc-{hashlib.sha256(str(self._root).encode()).hexdigest()[:10]}-{instance_id}"

    def _new_host(self, spec: HostSpec) -> _Host:
        host = _Host(spec, self._name(spec.instance_id), self._root / str(spec.instance_id))
        self._hosts[spec.instance_id] = host
        return host

    def _host(self, instance_id: int) -> _Host:
        host = self._hosts.get(instance_id)
        if host is None:
            raise SandboxError(f"There is no host for instance {instance_id}.", "Create it first.")
        return host

    async def _boot(self, host: _Host) -> None:
        host.faults = [fault for fault in host.faults if survives(fault, host.off)]
        host.off = False
        async with self._boots:
            self._write_faults(host)
            (host.control / "struck.json").unlink(missing_ok=True)
            try:
                await self._serve(host)
                await self._docker.run("start", host.name)
                await asyncio.wait_for(self._answering(host), _BOOT_SECONDS)
            except TimeoutError as error:
                _code, journal, _err = await self._docker.attempt(
                    "exec", host.name, "journalctl", "--boot", "--no-pager", "--lines=40"
                )
                _LOG.error("%s did not boot; its journal ends with:\n%s", host.spec.label, journal)
                await self._halt(host)
                raise SandboxError(
                    f"Host {host.spec.label} did not boot within {_BOOT_SECONDS:.0f} s.", "See the server's log."
                ) from error
            except BaseException:
                await self._halt(host)
                raise
            host.up = True
            if any(fault["kind"] in SSH_FAULTS for fault in host.faults):
                await self._apply_ssh_faults(host)

    async def _answering(self, host: _Host) -> None:
        """Wait for sshd's greeting. The published port accepts before anybody listens behind it."""
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                reader, writer = await asyncio.open_connection(host.spec.address, self.ssh_port)
                try:
                    if (await asyncio.wait_for(reader.read(4), 5)) == b"SSH-":
                        return
                finally:
                    writer.close()
            await asyncio.sleep(0.1)

    async def _halt(self, host: _Host) -> None:
        host.up = False
        await self._stop_serving(host)
        await self._docker.run("stop", "--time", str(_STOP_SECONDS), host.name)

    async def _remove(self, host: _Host) -> None:
        await self._docker.attempt("rm", "--force", "--volumes", host.name)
        await self._docker.attempt("volume", "rm", "--force", host.name)
        await asyncio.to_thread(shutil.rmtree, host.control, True)

    async def _serve(self, host: _Host) -> None:
        host.metadata = web.AppRunner(
            self._metadata_app(host.spec.instance_id), access_log=None, handle_signals=False, shutdown_timeout=0.1
        )
        await host.metadata.setup()
        await web.SockSite(host.metadata, _unix_socket(host.control, "metadata.sock")).start()
        assert self._internet is not None
        host.internet = web.SockSite(self._internet, _unix_socket(host.control, "internet.sock"), ssl_context=self._tls)
        await host.internet.start()

    @staticmethod
    async def _stop_serving(host: _Host) -> None:
        metadata, host.metadata = host.metadata, None
        if metadata is not None:
            await metadata.cleanup()
        internet, host.internet = host.internet, None
        if internet is not None:
            await internet.stop()

    def _write_faults(self, host: _Host) -> None:
        text = json.dumps([fault for fault in host.faults if fault["kind"] not in SSH_FAULTS], indent=1) + "\n"
        new = host.control / "faults.new"
        new.write_text(text)
        new.replace(host.control / "faults.json")

    async def _apply_ssh_faults(self, host: _Host) -> None:
        kinds = {fault["kind"] for fault in host.faults}
        foreign = "foreign" if "wrong_host_key" in kinds else "own"
        await self._docker.run(
            "exec",
            host.name,
            "/bin/sh",
            f"{GUEST_PACKAGE}/machine/ssh_fault.sh",
            foreign,
            "down" if "ssh_down" in kinds else "stalled" if "ssh_stalls" in kinds else "up",
        )

    # -- what happens inside

    async def _watch(self) -> None:
        """A host that goes down without us (a reboot or power-off from inside) comes back, as Linode's watchdog does."""
        template = "{{.Actor.Attributes.name}}"
        filters = ("--filter", f"label={self._label}", "--filter", "event=die")
        async for name in self._docker.lines("events", *filters, "--format", template):
            for host in self._hosts.values():
                if host.name == name and host.up:
                    self._later(self._come_back(host))

    async def _come_back(self, host: _Host) -> None:
        await asyncio.sleep(_LASSIE_SECONDS)
        async with host.lock:
            if not (host.up and host.wanted) or self._closing or await self._running(host):
                return
            await self._stop_serving(host)
            host.up = False
            try:
                await self._boot(host)
            except SandboxError as error:
                _LOG.error("%s does not come back: %s", host.spec.label, error.message)

    async def _running(self, host: _Host) -> bool:
        code, out, _err = await self._docker.attempt("inspect", "--format", "{{.State.Running}}", host.name)
        return code == 0 and out.strip() == "true"

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def stop_leftovers(root: Path) -> bool:
    """Stop what runs for the sandbox with this directory though no server does, and say whether there was any."""
    docker = DockerCli()
    await _remove_orphans(docker)
    running = (await docker.run("ps", "--quiet", "--filter", f"label={LABEL}={root.absolute()}")).split()
    if running:
        await docker.run("kill", *running)
    return bool(running)


async def _remove_orphans(docker: DockerCli) -> None:
    """Remove the containers and volumes of sandboxes whose directory is gone."""
    for kind, removal in (("container", ("rm", "--force", "--volumes")), ("volume", ("volume", "rm", "--force"))):
        names = await docker.labelled(kind, LABEL)
        if not names:
            continue
        labels = "Config.Labels" if kind == "container" else "Labels"
        template = "{{.Name}} {{index ." + labels + ' "' + LABEL + '"}}'
        for line in (await docker.run(kind, "inspect", "--format", template, *names)).splitlines():
            name, _, directory = line.partition(" ")
            if not Path(directory).is_dir():
                await docker.attempt(*removal, name.removeprefix("/"))


async def remove_all(docker: DockerCli, root: Path) -> None:
    """Remove every container and volume of the sandbox with this directory."""
    await _remove(docker, f"{LABEL}={root.absolute()}", lambda name: True)


async def _remove(docker: DockerCli, label: str, which: Callable[[str], bool]) -> None:
    for kind, removal in (("container", ("rm", "--force", "--volumes")), ("volume", ("volume", "rm", "--force"))):
        names = [name for name in await docker.labelled(kind, label) if which(name)]
        if names:
            await docker.run(*removal, *names)


def _unix_socket(directory: Path, name: str) -> socket.socket:
    """A listening socket in `directory`, whose path may be longer than a socket's address."""
    (directory / name).unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sock.bind(f"/proc/self/fd/{fd}/{name}")
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(fd)
    sock.listen(64)
    sock.setblocking(False)
    return sock


def _files(spec: HostSpec, engine: dict[str, Any], authority: bytes, binds: list[str]) -> bytes:
    """What makes a fresh container this instance, as a tar archive for its root."""
    files = {f"etc/{name}": (text, 0o644) for name, text in sandbox_files(spec, engine).items()}
    files["etc/sandbox/binds.json"] = (json.dumps(binds) + "\n", 0o644)
    files["etc/sandbox/devices"] = ("", 0o644)
    files["usr/local/share/ca-certificates/sandbox.crt"] = (authority.decode(), 0o644)
    for name in ("modprobe", "lsmod"):
        files[f"usr/local/sbin/{name}"] = (guest_command(f"gpu.{name}"), 0o755)
    for name, text in firmware(spec).items():
        files[f"etc/sandbox/firmware/dmi/id/{name}"] = (text + "\n", 0o444)
    files["etc/cloud/cloud.cfg.d/90-sandbox.cfg"] = ((_MACHINE / "cloud.cfg").read_text(), 0o644)
    files["usr/local/bin/systemd-detect-virt"] = ((_MACHINE / "detect_virt.sh").read_text(), 0o755)
    if spec.image == NVIDIA_IMAGE:
        files |= {path: (text, 0o755 if "/bin/" in path else 0o644) for path, text in DRIVER_FILES.items()}
    files["etc/machine-id"] = (spec.host_uuid.replace("-", "")[:32].ljust(32, "0") + "\n", 0o444)
    files["root/.ssh/authorized_keys"] = (authorized_keys(spec), 0o600)
    for path in (_MACHINE / "units").rglob("*.*"):
        if path.is_file():
            files[f"etc/systemd/system/{path.relative_to(_MACHINE / 'units')}"] = (path.read_text(), 0o644)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, mode in (("root/.ssh", 0o700),):
            _add(tar, name, tarfile.DIRTYPE, mode)
        for name, (text, mode) in files.items():
            _add(tar, name, tarfile.REGTYPE, mode, text.encode())
        for unit, target in _WANTED_BY.items():
            _add(tar, f"etc/systemd/system/{target}.wants/{unit}", tarfile.SYMTYPE, 0o777, link=f"../{unit}")
    return raw.getvalue()


def _add(tar: tarfile.TarFile, name: str, kind: bytes, mode: int, data: bytes = b"", link: str = "") -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.linkname, info.mtime = kind, mode, len(data), link, int(time.time())
    tar.addfile(info, io.BytesIO(data))
