# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ed25519 host keys, as their 32 raw bytes: how OpenSSH writes them, and their fingerprint."""

from __future__ import annotations

import base64
import hashlib

_PREFIX = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"
KEY_BYTES = 32


def to_openssh(key: bytes) -> str:
    """'ssh-ed25519 AAAA...' of the 32 raw bytes."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"an ed25519 public key has {KEY_BYTES} bytes, not {len(key)}")
    return "ssh-ed25519 " + base64.b64encode(_PREFIX + key).decode()


def from_openssh(line: str) -> bytes:
    """The 32 raw bytes of an OpenSSH public key line; ValueError for anything else."""
    fields = line.split()
    if len(fields) < 2 or fields[0] != "ssh-ed25519":
        raise ValueError("not an ssh-ed25519 public key")
    blob = base64.b64decode(fields[1], validate=True)
    if len(blob) != len(_PREFIX) + KEY_BYTES or not blob.startswith(_PREFIX):
        raise ValueError("not an ssh-ed25519 public key")
    return blob[len(_PREFIX) :]


def fingerprint(key: bytes) -> str:
    digest = hashlib.sha256(_PREFIX + key).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
