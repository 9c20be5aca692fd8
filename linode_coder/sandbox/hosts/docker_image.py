"""The two root file systems of docker hosts: the host's own, and the one of the engine's image inside it.

Both are made with mmdebstrap from Debian 13 and kept as images of the machine's Docker Engine, named after what went
into them: one build serves every sandbox of the machine until that changes. An interrupted build leaves no image, only
a directory that the next build removes.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from .base import SandboxError
from .docker_cli import DockerCli

_LOG = logging.getLogger("linode_coder.sandbox.hosts")
_WORK = Path("/var/cache/linode-coder-sandbox")
_SUITE = "trixie"
_MIRROR = "http://deb.debian.org/debian"
_MINUTES = 20
TOOLS = ("mmdebstrap", "dpkg-deb", "gpg")


@dataclass(frozen=True)
class Recipe:
    """What a root file system is made of."""

    name: str
    packages: tuple[str, ...]
    commands: tuple[str, ...]  # run by a shell, $1 is the root

    @property
    def repository(self) -> str:
        return f"linode-coder-sandbox-{self.name}"

    @property
    def tag(self) -> str:
        """The image's name: another recipe has another one."""
        digest = hashlib.sha256(json.dumps([self.packages, self.commands, _SUITE]).encode()).hexdigest()
        return f"{self.repository}:{digest[:12]}"


HOST = Recipe(
    "host",
    (
        *("systemd", "systemd-sysv", "dbus", "openssh-server", "docker.io", "docker-cli", "docker-compose"),
        *("ca-certificates", "curl", "iproute2", "iptables", "kmod", "less", "procps", "python3", "python3-apt"),
    ),
    (
        # Keys come from user-data, sources from whoever needs them; a host never depends on the outside.
        'rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*',
        'mkdir -p "$1/var/log/journal" "$1/etc/sandbox" "$1/usr/lib/linode-coder-sandbox"',
        'systemctl --root="$1" --quiet disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer dpkg-db-backup.timer',
        'systemctl --root="$1" --quiet mask getty@tty1.service console-getty.service systemd-udevd.service '
        "systemd-networkd.service systemd-resolved.service systemd-timesyncd.service",
    ),
)
ENGINE = Recipe("engine", ("python3", "libnuma1", "libgomp1", "ca-certificates"), ())


async def ensure(docker: DockerCli, recipe: Recipe) -> str:
    """The image's name; builds it when the engine does not have it. Two builders at once wait for each other."""
    if await _exists(docker, recipe):
        return recipe.tag
    _WORK.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Inherited by mmdebstrap: when we are killed, the next builder waits for what is left of this one.
    lock = await asyncio.to_thread(_lock, _WORK / f"{recipe.name}.lock")
    try:
        if not await _exists(docker, recipe):
            directory = _WORK / f"{recipe.name}.build"
            await asyncio.to_thread(shutil.rmtree, directory, True)
            directory.mkdir()
            try:
                await _build(docker, recipe, directory, lock)
            finally:
                await asyncio.to_thread(shutil.rmtree, directory, True)
    finally:
        os.close(lock)
    return recipe.tag


async def _exists(docker: DockerCli, recipe: Recipe) -> bool:
    code, _out, _err = await docker.attempt("image", "inspect", "--format", "{{.Id}}", recipe.tag)
    return code == 0


def _lock(path: Path) -> int:
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


async def _build(docker: DockerCli, recipe: Recipe, directory: Path, lock: int) -> None:
    _LOG.info("building %s", recipe.tag)
    root = directory / "root.tar"
    options = ["--variant=minbase", "--mode=root", "--quiet", '--aptopt=Acquire::Languages "none"']
    options += [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")]
    options += [f"--customize-hook={command}" for command in recipe.commands]
    options.append(f"--include={','.join(recipe.packages)}")
    process = await asyncio.create_subprocess_exec(
        "mmdebstrap",
        *options,
        _SUITE,
        str(root),
        _MIRROR,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(directory)},
        pass_fds=(lock,),
    )
    try:
        out, _none = await asyncio.wait_for(process.communicate(), _MINUTES * 60)
    except (TimeoutError, asyncio.CancelledError):
        process.terminate()
        await process.wait()
        raise
    said = out.decode(errors="replace").strip()
    if process.returncode:
        raise SandboxError(
            f"The root file system of docker hosts could not be built: {said[-600:]}",
            f"mmdebstrap fetches Debian {_SUITE} from {_MIRROR}: see whether this machine reaches it, then start again.",
        )
    await docker.run("import", "--change", 'CMD ["/sbin/init"]', str(root), recipe.tag)
    for line in (await docker.run("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", recipe.repository)).split():
        if line != recipe.tag:
            await docker.attempt("image", "rm", line)  # an older one that a container still uses stays
