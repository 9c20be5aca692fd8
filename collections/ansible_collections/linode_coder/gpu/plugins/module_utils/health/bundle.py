# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle: what a look at a host collected, as one archive or directory, ours or somebody else's."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from ..core.failure import Failure
from .collected import FILES

# What a look collects is far smaller; more of one file, and more files, are no bundle.
_FILE_LIMIT = 32_000_000
_MEMBERS = 2000


def _damaged(path: Path, why: str) -> Failure:
    return Failure("usage", f"{path} is not a readable bundle.", cause=why, remedy="Collect it again.", field="bundle")


def _unsafe(path: Path, member: str, why: str) -> Failure:
    return Failure(
        "refused",
        f"The {'directory' if path.is_dir() else 'archive'} {path} holds {member!r}, {why}.",
        remedy="Do not trust a bundle like this one; ask for another.",
        field="bundle",
        value=str(path),
    )


def _too_large(path: Path, name: str) -> Failure:
    return Failure(
        "usage",
        f"{path} holds {name!r}, which is larger than {_FILE_LIMIT // 1_000_000} MB.",
        remedy="Cut it down to its newest part, or collect it again: linode-coder collect.",
        field="bundle",
        value=str(path),
    )


def _from_directory(path: Path) -> dict[str, str]:
    texts = {}
    for name in FILES:
        text = _own_file(path, name)
        if text is not None:
            texts[name] = text
    return texts


def _own_file(path: Path, name: str) -> str | None:
    """A regular file that lies in the directory itself; a link would show another file of this machine."""
    try:
        descriptor = os.open(path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _unsafe(path, name, "which is a link") from error
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _unsafe(path, name, "which is no regular file")
        if found.st_size > _FILE_LIMIT:
            raise _too_large(path, name)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(_FILE_LIMIT).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


def _from_archive(path: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    with tarfile.open(path, "r:*") as archive:
        for number, member in enumerate(archive):
            if number >= _MEMBERS:
                raise _unsafe(path, member.name, f"more than {_MEMBERS} files")
            place = PurePosixPath(member.name)
            if place.is_absolute() or ".." in place.parts:
                raise _unsafe(path, member.name, "which lies outside of it")
            if not (member.isfile() or member.isdir()):
                raise _unsafe(path, member.name, "which is a link or a device")
            # What is not wanted has to be unpacked too, to get past it.
            if member.size > _FILE_LIMIT:
                raise _too_large(path, member.name)
            if member.isfile() and place.name in FILES and place.name not in texts:
                opened = archive.extractfile(member)
                texts[place.name] = opened.read().decode("utf-8", "replace") if opened else ""
    return texts


def read_bundle(path: Path) -> dict[str, str]:
    """The texts of a bundle by file name. Nothing is ever unpacked to the disk."""
    if not path.exists():
        raise Failure(
            "usage", f"There is no {path}.", remedy="Name an archive or a directory.", field="bundle", value=str(path)
        )
    if not path.is_dir() and not path.is_file():
        raise Failure(
            "usage",
            f"{path} is neither a file nor a directory.",
            remedy="Name an archive or a directory.",
            field="bundle",
            value=str(path),
        )
    try:
        texts = _from_directory(path) if path.is_dir() else _from_archive(path)
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError, UnicodeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if not texts:
        raise _damaged(path, f"None of {', '.join(FILES)} is in it.")
    return texts


def write_bundle(path: Path, texts: dict[str, str]) -> None:
    """One archive, readable by its owner only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name in FILES:
            if name in texts:
                data = texts[name].encode("utf-8", "replace")
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(data), 0o600
                archive.addfile(member, io.BytesIO(data))
