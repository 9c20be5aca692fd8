# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public keys of people and machines that log in to VMs: what is one, and the lines of authorized_keys that hold them.

Whoever wrote a key is somebody else, so it is data: read into its parts, and written from them again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..core.failure import Failure

# Of an RSA key that may come in, in bits.
_RSA_BITS = 3072
_KINDS = (
    *("ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ssh-rsa", "sk-ecdsa-sha2-nistp256@openssh.com"),
    *("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
)
_LINE = re.compile(
    rf"({'|'.join(map(re.escape, _KINDS))})[ \t]+([A-Za-z0-9+/]{{40,4000}}={{0,2}})(?:[ \t]+([^\r\n]*))?"
)
_COMMENT = 200
_REMEDY = "Name a file such as ~/.ssh/id_ed25519.pub, with one line: the kind, the key, and whose it is."


@dataclass(frozen=True)
class ClientKey:
    """``blob`` is the key in base64, ``comment`` whose it is, as they say."""

    kind: str
    blob: str
    comment: str = ""

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def line(self) -> str:
        return f"{self.kind} {self.blob} {self.comment}".rstrip()

    def as_dict(self) -> dict[str, str]:
        return {"kind": self.kind, "comment": self.comment, "fingerprint": self.fingerprint, "line": self.line}


def _fields(blob: bytes) -> list[bytes]:
    """The strings of a key in the wire format; ValueError where they do not fill it."""
    fields = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            raise ValueError("it is cut short")
        fields.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return fields


def _refused(field: str, why: str, remedy: str = _REMEDY) -> Failure:
    return Failure("usage", f"{field}: {why}", remedy=remedy, field=field)


def parse_key(text: str, field: str = "authorized_keys") -> ClientKey:
    """The key that a file or a line holds; Failure(usage) of ``field``, which quotes nothing of it, for what may not come in."""
    line = text.strip()
    if "PRIVATE KEY" in line:
        raise _refused(
            field, "this is a private key.", "It stays where it is. Name the file beside it that ends in .pub."
        )
    if not line or "\n" in line or "\r" in line:
        raise _refused(field, "this is not one public key.")
    found = _LINE.fullmatch(line)
    if found is None:
        if any(f" {kind} " in line for kind in _KINDS):
            raise _refused(
                field,
                "the key has options before it, such as command= or from=.",
                "Give the key alone. Lines with options are yours to write on the VM, and stay as they are.",
            )
        raise _refused(field, "this is not a public key in OpenSSH's form.")
    kind, blob, comment = found.groups()
    try:
        fields = _fields(base64.b64decode(blob, validate=True))
    except (binascii.Error, ValueError) as error:
        raise _refused(field, "the key is damaged.") from error
    if len(fields) < 2 or fields[0] != kind.encode() or (kind == "ssh-ed25519" and list(map(len, fields[1:])) != [32]):
        raise _refused(field, "the key is damaged.")
    if kind == "ssh-rsa" and (len(fields) != 3 or int.from_bytes(fields[2], "big").bit_length() < _RSA_BITS):
        raise _refused(field, f"an RSA key needs {_RSA_BITS} bits or more.", "Make another: ssh-keygen -t ed25519")
    return ClientKey(kind, blob, "".join(c for c in (comment or "").strip() if c.isprintable())[:_COMMENT])


def plain_keys(text: str) -> list[ClientKey]:
    """The keys of an authorized_keys file, each once. What else its lines say, options among it, is not ours."""
    found: dict[str, ClientKey] = {}
    # By what sshd takes for the end of a line, and nothing else.
    for line in text.split("\n"):
        try:
            key = parse_key(line)
        except Failure:
            continue
        found.setdefault(key.blob, key)
    return list(found.values())


def with_keys(text: str, keys: Iterable[ClientKey]) -> str:
    """The file with these keys, each once; every line that was there stays as it is."""
    known = {key.blob for key in plain_keys(text)}
    added = {key.blob: key for key in keys if key.blob not in known}
    if not added:
        return text
    start = text if not text or text.endswith("\n") else text + "\n"
    return start + "".join(f"{key.line}\n" for key in added.values())


def chosen(keys: Iterable[ClientKey], wanted: Iterable[str]) -> list[ClientKey]:
    """The keys that ``wanted`` means, each of which is a fingerprint or a whole comment.

    One that means no key is over already. Failure(usage) for a comment that several keys have.
    """
    keys, found = list(keys), []
    for word in wanted:
        meant = [key for key in keys if word in (key.fingerprint, key.comment)]
        if len(meant) > 1:
            raise Failure(
                "usage",
                f"{len(meant)} keys say that they are {word!r}.",
                remedy=f"Name one by its fingerprint: {', '.join(key.fingerprint for key in meant)}.",
                field="absent",
                value=word,
            )
        found += meant
    return found


def without_keys(text: str, gone: Iterable[ClientKey]) -> str:
    """The file without the plain lines of these keys; every other line stays as it is."""
    blobs = {key.blob for key in gone}
    return "".join(
        line for line in re.findall(r"[^\n]*\n|[^\n]+", text) if not any(key.blob in blobs for key in plain_keys(line))
    )


def changed_keys(
    text: str, present: Iterable[str], absent: Iterable[str], own: str | None, lock_out: bool = False
) -> tuple[str, list[ClientKey], list[ClientKey]]:
    """The file as it is wanted, the keys that come and those that go.

    :param present: public keys; :param absent: fingerprints or comments; :param own: public key of the control node that
        asks, which only goes with ``lock_out``, and the last key never.
    """
    before = plain_keys(text)
    after = without_keys(with_keys(text, map(parse_key, present)), chosen(before, absent))
    left = {key.blob for key in plain_keys(after)}
    gone = [key for key in before if key.blob not in left]
    if gone and not left:
        raise Failure(
            "refused",
            "That is the last key that the VM knows: nobody could log in any more.",
            remedy="Add another first: linode-coder keys add FILE NAME",
            field="absent",
        )
    if own and not lock_out and any(key.blob == parse_key(own).blob for key in gone):
        raise Failure(
            "refused",
            "That is the key of this machine, which could not reach the VM any more.",
            remedy="Remove it from another machine, or insist: linode-coder keys remove WHO NAME --lock-out",
            field="absent",
        )
    return after, [key for key in plain_keys(after) if key.blob not in {one.blob for one in before}], gone
