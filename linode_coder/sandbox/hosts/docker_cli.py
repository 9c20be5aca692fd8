"""The machine's Docker Engine through its own command, and what has to be there before hosts can be containers."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from .base import SandboxError

_PACKAGES = {
    "docker": "docker.io",
    "mmdebstrap": "mmdebstrap",
    "dpkg-deb": "dpkg",
    "gpg": "gnupg",
}


class DockerError(SandboxError):
    """A docker command that failed, with the engine's own words."""


class DockerCli:
    """`run` gives what a docker command prints."""

    def __init__(self) -> None:
        self._docker = shutil.which("docker") or "docker"

    async def run(self, *arguments: str, given: bytes | None = None) -> str:
        """Output of ``docker ARGUMENTS``, fed with `given`; raises `DockerError`."""
        code, out, err = await self.attempt(*arguments, given=given)
        if code:
            said = err.strip().removeprefix("Error response from daemon: ") or out.strip()
            raise DockerError(f"docker {arguments[0]} failed: {said}", "See the server's log and: docker info")
        return out

    async def attempt(self, *arguments: str, given: bytes | None = None) -> tuple[int, str, str]:
        """Exit code, output and errors of ``docker ARGUMENTS``."""
        process = await asyncio.create_subprocess_exec(
            self._docker,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await process.communicate(given)
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        return process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")

    async def lines(self, *arguments: str) -> AsyncIterator[str]:
        """What a docker command that does not end prints, line by line."""
        process = await asyncio.create_subprocess_exec(
            self._docker, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                yield line.decode(errors="replace").strip()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def labelled(self, kind: str, label: str) -> list[str]:
        """Names of the containers or volumes with this label, running or not."""
        template = "{{.Names}}" if kind == "container" else "{{.Name}}"
        everything = ("--all",) if kind == "container" else ()
        return (await self.run(kind, "ls", *everything, "--filter", f"label={label}", "--format", template)).split()


# Settings of its own for every network, which a kernel without it does not have.
_IPV6 = Path("/proc/sys/net/ipv6")


async def check_machine(docker: DockerCli, tools: Sequence[str]) -> None:
    """Raise a `SandboxError` that says what is missing here, in one sentence, and how to get it."""
    if not sys.platform.startswith("linux"):
        raise SandboxError(
            f"Docker hosts need Linux, and this is {sys.platform}.", "Use simulated hosts on a Linux machine, or a VM."
        )
    if os.geteuid() != 0:
        raise SandboxError(
            "Docker hosts need root: their root file system holds devices and files of other owners.",
            "Start the sandbox as root, or use --hosts simulated, which needs none.",
        )
    if not _IPV6.exists():
        raise SandboxError(
            "Docker hosts need a kernel that knows IPv6: their metadata service is asked by it first.",
            "Start the kernel without ipv6.disable=1, or load its module: modprobe ipv6. Simulated hosts need none.",
        )
    missing = [tool for tool in ("docker", *tools) if shutil.which(tool) is None]
    if missing:
        packages = " ".join(sorted({_PACKAGES[tool] for tool in missing}))
        raise SandboxError(
            f"Docker hosts need {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.",
            f"Install: apt-get install {packages}",
        )
    endpoint = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not endpoint.startswith("unix://"):
        raise SandboxError(
            f"Docker hosts need an engine of this machine, and DOCKER_HOST is {endpoint}.", "Unset DOCKER_HOST."
        )
    code, _out, err = await docker.attempt("version", "--format", "{{.Server.Version}}")
    if code:
        how = (
            "Start it: systemctl start docker (without systemd, as root: dockerd &)."
            if shutil.which("dockerd")
            else "Install and start it: apt-get install docker.io"
        )
        raise SandboxError(f"No Docker Engine answers on this machine: {err.strip()}", how)
