# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies on a warm volume, and whether it is still what was put there.

    weights/     the files of one model, as the hub's library keeps them
    cache/       what the engine compiled
    images/      an archive of each container image, as `docker image save` writes it
    holds.json   sizes and checksums of all that

The list alone says what is good. It is itself held to a digest that the control node keeps, so that whatever wrote here later is
found out. No name in it is ever opened: the tree is walked and each file looked up in the list.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from typing import Any

from ..core.atomic_file import replace_file

LIST = "holds.json"
WEIGHTS, CACHE, IMAGES = "weights", "cache", "images"
FORMAT = 1
_PIECE = 4 << 20
# At most so much of a list is read: a model has some hundred files, and what is compiled some thousand.
_LIST_BYTES = 64 << 20


def archive_of(name: str) -> str:
    """The file of an image's archive."""
    return hashlib.sha256(name.encode()).hexdigest()[:24] + ".tar"


def _regular(path: str) -> Any:
    """An open regular file; OSError for a link, a pipe or a device."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(22, "not a regular file", path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def checksum(path: str, read: Callable[[int], None] = lambda _number: None) -> str:
    """SHA-256 of a regular file; ``read`` hears of every piece how many bytes it has."""
    found = hashlib.sha256()
    with _regular(path) as file:
        for piece in iter(lambda: file.read(_PIECE), b""):
            found.update(piece)
            read(len(piece))
    return found.hexdigest()


def digest_of(text: bytes) -> str:
    """How the control node remembers a list: it has to go into a tag."""
    return hashlib.sha256(text).hexdigest()[:40]


def load(root: str, digest: str) -> dict[str, Any] | None:
    """The list, if it is the one with this digest; None for any other, and for none."""
    try:
        with _regular(os.path.join(root, LIST)) as file:
            text = file.read(_LIST_BYTES)
        found = json.loads(text) if digest_of(text) == digest else None
    except (OSError, ValueError, RecursionError):
        return None
    # Whoever wrote it was we: the digest says so.
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def walk(root: str, part: str) -> Iterator[tuple[str, str]]:
    """Name below ``root`` and path of everything in ``part`` that is no directory. Follows no link."""
    for directory, names, files in os.walk(os.path.join(root, part)):
        links = [name for name in names if os.path.islink(os.path.join(directory, name))]
        for name in sorted([*files, *links]):
            path = os.path.join(directory, name)
            yield os.path.relpath(path, root), path


def make_list(
    root: str, model: str, images: dict[str, dict[str, Any]], before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The list of what lies there. What ``before`` lists with the same size and time of change is not read again."""
    old = (before or {}).get("files") or {}
    files: dict[str, Any] = {}
    links: dict[str, str] = {}
    for part in (WEIGHTS, CACHE):
        for name, path in walk(root, part):
            info = os.lstat(path)
            if stat.S_ISLNK(info.st_mode):
                links[name] = os.readlink(path)
            elif stat.S_ISREG(info.st_mode) and not name.endswith((".incomplete", ".lock")):
                seen = {"size": info.st_size, "changed": info.st_mtime_ns}
                known = old.get(name)
                same = known is not None and {key: known[key] for key in seen} == seen
                files[name] = known if same else {**seen, "sha256": checksum(path)}
    return {"format": FORMAT, "model": model, "files": files, "links": links, "images": images}


def write_list(root: str, listed: dict[str, Any]) -> str:
    """Its digest, once it is on the disk, after all that it lists."""
    os.sync()
    text = (json.dumps(listed, sort_keys=True) + "\n").encode()
    replace_file(os.path.join(root, LIST), text, 0o644, durable=True)
    return digest_of(text)


def empty(root: str) -> None:
    """All that lies there goes."""
    for name in (LIST, WEIGHTS, CACHE, IMAGES):
        path = os.path.join(root, name)
        if os.path.isdir(path) and not os.path.islink(path):
            for inner in os.listdir(path):
                _remove(os.path.join(path, inner))
        elif os.path.lexists(path):
            os.unlink(path)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _as_listed(path: str, name: str, listed: dict[str, Any], read: Callable[[int], None]) -> bool:
    try:
        if os.path.islink(path):
            return bool(listed["links"].get(name) == os.readlink(path))
        known = listed["files"].get(name)
        return bool(known and os.path.getsize(path) == known["size"] and checksum(path, read) == known["sha256"])
    except OSError:
        return False


def verify(
    root: str, listed: dict[str, Any], part: str, read: Callable[[int], None] = lambda _number: None
) -> list[str]:
    """Names of what is not as listed any more, or gone. What is there and not as listed is removed."""
    wrong, seen = [], set()
    for name, path in list(walk(root, part)):
        if _as_listed(path, name, listed, read):
            seen.add(name)
        else:
            # What nobody listed came after the list; that alone is no damage.
            if name in listed["files"] or name in listed["links"]:
                wrong.append(name)
            os.unlink(path)
    gone = {name for kind in ("files", "links") for name in listed[kind] if name.startswith(part + "/")} - seen
    return sorted({*wrong, *gone})


def total(listed: dict[str, Any]) -> int:
    """Bytes that are read to verify all of it."""
    return sum(row["size"] for row in [*listed["files"].values(), *listed["images"].values()])
