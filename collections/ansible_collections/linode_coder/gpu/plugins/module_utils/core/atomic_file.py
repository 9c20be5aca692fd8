# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a file so that whoever reads it finds the old content or the new one, whenever the writer or the machine stops."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def replace_file(
    path: str | Path,
    content: str | bytes,
    mode: int = 0o600,
    owner: tuple[int, int] | None = None,
    parents: bool = False,
    durable: bool = False,
) -> None:
    """Put ``content`` in place of what is at ``path``; an OSError leaves that as it was. A link is replaced, not followed.

    The file has ``mode``, whatever the umask, and the ``owner`` (user and group) from its first byte on. With ``parents`` a
    directory that is missing is made, for the owner alone where the file is. With ``durable`` it is on the disk on return.
    """
    import tempfile  # not for those who only read

    directory, name = os.path.split(os.path.abspath(path))
    if parents:
        os.makedirs(directory, mode=0o755 if mode & 0o077 else 0o700, exist_ok=True)
    # In the same directory, for its owner alone, and new whatever others left there.
    descriptor, draft = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
    try:
        with open(descriptor, "wb") as file:
            if owner is not None:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(descriptor)
        move(draft, path, durable)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise


def move(source: str | Path, target: str | Path, durable: bool = False) -> None:
    """Rename within a file system, over what is there. With ``durable`` it is on the disk on return."""
    os.replace(source, target)
    if durable:
        directory = os.open(os.path.dirname(os.path.abspath(target)), os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
