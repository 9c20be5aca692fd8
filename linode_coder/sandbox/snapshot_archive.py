"""A snapshot as a file: one compressed tar, written by the kinds of files that hosts have and read without trusting it."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

MANIFEST = "manifest.json"
# What the kernel's overlays note at a directory that hides the one below it.
_OPAQUE = "user.overlay.opaque"
_XATTR = "SCHILY.xattr."
_CHUNK = 1 << 20
_T = TypeVar("_T")


class DamagedError(Exception):
    """It is no snapshot, or not a whole one."""


def write(path: Path, manifest: dict[str, Any], root: Path, files: Iterable[Path]) -> int:
    """Write `files`, which lie below `root`, as `path`, which must not exist; how large it is."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        os.fdopen(number, "wb") as raw,
        gzip.GzipFile("", "wb", 1, raw) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        _add_manifest(tar, manifest)
        for file in files:
            _add(tar, root, file)
    return path.stat().st_size


def _add_manifest(tar: tarfile.TarFile, manifest: dict[str, Any]) -> None:
    data = json.dumps(manifest).encode()
    info = tarfile.TarInfo(MANIFEST)
    info.size, info.mode = len(data), 0o600
    tar.addfile(info, io.BytesIO(data))


def _add(tar: tarfile.TarFile, root: Path, path: Path) -> None:
    info = tar.gettarinfo(path, str(path.relative_to(root)))
    if info is None:  # a socket: nobody listens at it any more
        return
    info.uname = info.gname = ""
    if info.isdir() and _OPAQUE in os.listxattr(path, follow_symlinks=False):
        info.pax_headers = {_XATTR + _OPAQUE: os.getxattr(path, _OPAQUE).decode()}
    if info.isreg():
        with path.open("rb") as file:
            tar.addfile(info, file)
    elif info.isdir() or info.issym() or info.islnk() or _whiteout(info):
        tar.addfile(info)


def _whiteout(info: tarfile.TarInfo) -> bool:
    """How an overlay notes that a file of the layer below is gone."""
    return info.ischr() and (info.devmajor, info.devminor) == (0, 0)


class Reader:
    """The archive at `path`; `manifest` is read at once, the files by `extract`. Raises `DamagedError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with gzip.open(path) as packed:
            self.manifest = _guarded(lambda: self._manifest(packed))

    @staticmethod
    def _manifest(packed: gzip.GzipFile) -> dict[str, Any]:
        with tarfile.open(fileobj=packed, mode="r|") as tar:
            first = tar.next()
            if first is None or first.name != MANIFEST or not first.isreg() or first.size > _CHUNK:
                raise DamagedError("its manifest is missing")
            return dict(json.loads(_content(tar, first)))

    def extract(self, target: Path) -> None:
        """Write the files below `target`, a new directory; nothing is written through a link."""
        _guarded(lambda: self._extract(target))

    def _extract(self, target: Path) -> None:
        made = _Made(target)
        with gzip.open(self._path) as packed:
            with tarfile.open(fileobj=packed, mode="r|") as tar:
                tar.next()
                while (info := tar.next()) is not None:
                    made.add(tar, info)
            # Only at its very end are the check sums compared.
            while packed.read(_CHUNK):
                pass
        made.finish()


def _guarded(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, ValueError, TypeError, KeyError) as error:
        raise DamagedError(str(error) or type(error).__name__) from error


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    if file is None:
        raise DamagedError(f"{info.name} is no file")
    return file.read()


class _Made:
    """What was written so far. A file may only lie in a directory that came before it, and is never written over."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._directories: dict[str, int] = {".": 0o700}
        self._others: set[str] = set()
        self._owners = os.geteuid() == 0

    def add(self, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        name = PurePosixPath(info.name)
        if name.is_absolute() or ".." in name.parts or str(name) != info.name or "\0" in info.name:
            raise DamagedError(f"{info.name!r} leads out of it")
        if str(name.parent) not in self._directories or info.name in self._others or info.name in self._directories:
            raise DamagedError(f"{info.name!r} is where no file can be")
        path = self._target / name
        if info.isdir():
            path.mkdir(mode=0o700)
            self._directories[info.name] = info.mode & 0o1777
            if info.pax_headers.get(_XATTR + _OPAQUE) == "y":
                os.setxattr(path, _OPAQUE, b"y")
        else:
            self._others.add(info.name)
            self._write(tar, info, path)
        if self._owners:
            os.chown(path, info.uid, info.gid, follow_symlinks=False)

    def _write(self, tar: tarfile.TarFile, info: tarfile.TarInfo, path: Path) -> None:
        if info.issym():
            path.symlink_to(info.linkname)
        elif info.islnk():
            if info.linkname not in self._others or (self._target / info.linkname).is_symlink():
                raise DamagedError(f"{info.name!r} is a link to nothing")
            path.hardlink_to(self._target / info.linkname)
        elif _whiteout(info):
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(0, 0))
        elif info.isreg():
            source = tar.extractfile(info)
            if source is None:
                raise DamagedError(f"{info.name} is no file")
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(number, "wb") as file:
                left = info.size
                while left:
                    data = source.read(min(left, _CHUNK))
                    if not data:
                        raise DamagedError(f"{info.name} ends early")
                    file.write(data)
                    left -= len(data)
                os.fchmod(file.fileno(), info.mode & 0o1777)
            os.utime(path, (info.mtime, info.mtime))
        else:
            raise DamagedError(f"{info.name!r} is no file of a host")

    def finish(self) -> None:
        """Directories get their modes last: one that nobody may write to has content too."""
        for name, mode in reversed(self._directories.items()):
            (self._target / name).chmod(mode)
