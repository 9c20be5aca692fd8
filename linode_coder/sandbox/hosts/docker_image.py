"""The two root file systems of docker hosts: the host's own, and the one of the engine's image inside it.

Both are made with mmdebstrap from Debian 13 and named after what went into them: one build serves every sandbox of the
machine until that changes. The first is kept as an image of the machine's Docker Engine, the second as a file. An
interrupted build leaves neither, only a directory that the next build removes.
"""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .base import SandboxError
from .docker_cli import DockerCli
from .registry import Layer

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
        "cloud-init",
    ),
    (
        # What a team's gateway installs, as a repository that lies on the host and is in use where somebody names it.
        'rm -f "$1"/var/cache/apt/archives/*.deb',
        'chroot "$1" apt-get --yes --quiet --download-only --no-install-recommends install nginx libnginx-mod-http-js logrotate',
        'mkdir -p "$1/usr/share/sandbox-debian" && mv "$1"/var/cache/apt/archives/*.deb "$1/usr/share/sandbox-debian"',
        'cd "$1/usr/share/sandbox-debian" && for deb in *.deb; do dpkg-deb --field "$deb"; echo "Filename: ./$deb"; '
        'echo "Size: $(stat --format %s "$deb")"; echo "SHA256: $(sha256sum < "$deb" | cut -c 1-64)"; echo; done > Packages',
        # Keys come from user-data, sources from whoever needs them; a host never depends on the outside.
        'rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*',
        'mkdir -p "$1/var/log/journal" "$1/etc/sandbox" "$1/usr/lib/linode-coder-sandbox"',
        'systemctl --root="$1" --quiet disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer dpkg-db-backup.timer',
        'systemctl --root="$1" --quiet mask getty@tty1.service console-getty.service systemd-udevd.service '
        "systemd-networkd.service systemd-resolved.service systemd-timesyncd.service",
    ),
)
ENGINE = Recipe(
    "engine",
    ("python3", "libnuma1", "libgomp1", "ca-certificates", "nginx"),
    (
        # As nginx's own image has it: its user, no site, logs where `docker logs` finds them.
        'chroot "$1" useradd --system --no-create-home --shell /usr/sbin/nologin nginx',
        'rm -f "$1/etc/nginx/sites-enabled/default"',
        'ln -sf /dev/stdout "$1/var/log/nginx/access.log"; ln -sf /dev/stderr "$1/var/log/nginx/error.log"',
        'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*',
    ),
)


async def ensure_image(docker: DockerCli, recipe: Recipe) -> str:
    """The name of the engine's image for `recipe`, which is built when it is not there."""

    async def there() -> bool:
        code, _out, _err = await docker.attempt("image", "inspect", "--format", "{{.Id}}", recipe.tag)
        return code == 0

    async def keep(root: Path) -> None:
        await docker.run("import", "--change", 'CMD ["/sbin/init"]', str(root), recipe.tag)
        for tag in (await docker.run("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", recipe.repository)).split():
            if tag != recipe.tag:
                await docker.attempt("image", "rm", tag)  # an older one that a container still uses stays

    await _ensure(recipe, there, keep)
    return recipe.tag


async def ensure_layer(recipe: Recipe) -> Layer:
    """The file of an image's layer for `recipe`, which is built when it is not there."""
    name = recipe.tag.replace(":", "-")
    layer, facts = _WORK / f"{name}.tar.gz", _WORK / f"{name}.json"

    async def there() -> bool:
        return facts.exists()

    async def keep(root: Path) -> None:
        for old in _WORK.glob(f"{recipe.repository}-*"):
            old.unlink()
        found = await asyncio.to_thread(_compress, root, layer)
        facts.with_suffix(".new").write_text(json.dumps(found))
        facts.with_suffix(".new").replace(facts)

    await _ensure(recipe, there, keep)
    return Layer(layer, **json.loads(facts.read_text()))


def _compress(plain: Path, packed: Path) -> dict[str, Any]:
    diff = hashlib.sha256()
    with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
        while block := source.read(1 << 20):
            diff.update(block)
            target.write(block)
    with packed.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"digest": f"sha256:{digest}", "diff_id": f"sha256:{diff.hexdigest()}", "size": packed.stat().st_size}


async def _ensure(
    recipe: Recipe, there: Callable[[], Awaitable[bool]], keep: Callable[[Path], Awaitable[None]]
) -> None:
    """Build unless it is there, and hand the result to `keep`. Two builders at once wait for each other."""
    if await there():
        return
    _WORK.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Inherited by mmdebstrap: when we are killed, the next builder waits for what is left of this one.
    lock = await asyncio.to_thread(_lock, _WORK / f"{recipe.name}.lock")
    try:
        if not await there():
            directory = _WORK / f"{recipe.name}.build"
            await asyncio.to_thread(shutil.rmtree, directory, True)
            directory.mkdir()
            try:
                await keep(await _build(recipe, directory, lock))
            finally:
                await asyncio.to_thread(shutil.rmtree, directory, True)
    finally:
        os.close(lock)


def _lock(path: Path) -> int:
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


async def _build(recipe: Recipe, directory: Path, lock: int) -> Path:
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
    return root
