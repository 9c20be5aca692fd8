"""The formats in which user-data comes, down to the parts that cloud-init handles one after the other."""

from __future__ import annotations

import email
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

# What a text begins with -> its type, longest first as cloud-init looks for them.
_BEGINNINGS = {
    b"#cloud-config-archive": "text/cloud-config-archive",
    b"#cloud-config-jsonp": "text/cloud-config-jsonp",
    b"## template: jinja": "text/jinja2",
    b"#cloud-boothook": "text/cloud-boothook",
    b"#include-once": "text/x-include-once-url",
    b"#cloud-config": "text/cloud-config",
    b"#part-handler": "text/part-handler",
    b"#include": "text/x-include-url",
    b"#!": "text/x-shellscript",
}
_LEFT_TO_THE_TEXT = ("text/plain", "text/x-not-multipart", "text/x-shellscript")
_COMPRESSED = b"\x1f\x8b"
CONFIG = "text/cloud-config"
BOOTHOOK = "text/cloud-boothook"
SCRIPTS = {
    "text/x-shellscript": "user",
    "text/x-shellscript-per-instance": "per-instance",
    "text/x-shellscript-per-once": "per-once",
    "text/x-shellscript-per-boot": "per-boot",
}


@dataclass(frozen=True)
class Part:
    """One part: its type, its file name (the sender's, or part-001 and so on) and what it says."""

    kind: str
    name: str
    body: bytes


def read_parts(data: bytes) -> tuple[list[Part], list[str]]:
    """The parts of user-data that the sandbox's cloud-init handles, and a phrase for each that it leaves out."""
    parts: list[Part] = []
    left_out: list[str] = []
    for number, (kind, name, body) in enumerate(_raw_parts(data, left_out), 1):
        part = Part(kind, (name or "").replace("/", "_") or f"part-{number:03d}", body)
        if kind in (CONFIG, BOOTHOOK, *SCRIPTS):
            parts.append(part)
        else:
            beginning = body[:40].decode(errors="replace").partition("\n")[0]
            left_out.append(f"{part.name} of the user-data, {kind}, which begins with {beginning!r}")
    return parts, left_out


def _raw_parts(data: bytes, left_out: list[str]) -> Iterator[tuple[str, str | None, bytes]]:
    data = _unpacked(data, left_out)
    if b"mime-version:" not in data[:4096].lower():
        if data:
            yield from _typed("text/x-not-multipart", None, data, left_out)
        return
    for message in email.message_from_bytes(data).walk():
        if message.get_content_maintype() != "multipart":
            payload = message.get_payload(decode=True)
            body = payload if isinstance(payload, bytes) else b""
            yield from _typed(message.get_content_type(), message.get_filename(), body, left_out)


def _typed(kind: str, name: str | None, body: bytes, left_out: list[str]) -> Iterator[tuple[str, str | None, bytes]]:
    if body.startswith(_COMPRESSED):
        kind, body = "text/plain", _unpacked(body, left_out)
    if kind in _LEFT_TO_THE_TEXT:
        kind = _by_its_beginning(body, kind)
    if kind != "text/cloud-config-archive":
        yield kind, name, body
        return
    try:
        entries = _load(body)
    except ValueError as error:
        left_out.append(f"a cloud-config-archive that is not YAML: {error}")
        return
    for entry in entries if isinstance(entries, list) else []:
        given = entry if isinstance(entry, dict) else {"content": entry}
        content = given.get("content", "")
        content = content if isinstance(content, bytes) else str(content).encode()
        yield str(given.get("type") or _by_its_beginning(content, CONFIG)), given.get("filename"), content


def _by_its_beginning(body: bytes, otherwise: str) -> str:
    beginning = body.lstrip()[:40].lower()
    return next((kind for text, kind in _BEGINNINGS.items() if beginning.startswith(text)), otherwise)


def _unpacked(data: bytes, left_out: list[str]) -> bytes:
    if not data.startswith(_COMPRESSED):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        left_out.append(f"user-data that is damaged: {error}")
        return b""


def read_config(parts: list[Part]) -> tuple[dict[str, object], list[str]]:
    """All cloud-config as one mapping, a later part's keys in place of an earlier one's; and what could not be read."""
    config: dict[str, object] = {}
    left_out: list[str] = []
    for part in parts:
        if part.kind != CONFIG:
            continue
        try:
            document = _load(part.body)
        except ValueError as error:
            left_out.append(f"{part.name}, whose cloud-config is not YAML: {error}")
            continue
        if isinstance(document, dict):
            config |= document
        elif document is not None:
            left_out.append(f"{part.name}, whose cloud-config is not a mapping")
    return config, left_out


def _load(text: bytes) -> object:
    """The YAML document; `ValueError` says in one line why there is none."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error
