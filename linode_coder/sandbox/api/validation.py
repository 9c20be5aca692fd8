"""Checks that several endpoints share. Each adds what is wrong to `Problems`, with the field it is about."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any

from .envelope import Json, Problems, fail

_LABEL = re.compile(r"[a-zA-Z]((?!--|__|\.\.)[a-zA-Z0-9\-_.])+")
_VOLUME_LABEL = re.compile(r"[a-zA-Z]((?!--|__)[a-zA-Z0-9\-_])*")
_KEY_KINDS = ("ssh-dss", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
              "ssh-ed25519", "sk-ecdsa-sha2-nistp256@openssh.com", "sk-ssh-ed25519@openssh.com")  # fmt: skip
USER_DATA_LIMIT = 65_535


def check_label(
    problems: Problems, value: Any, *, low: int = 3, high: int = 64, field: str = "label", volume: bool = False
) -> None:
    """A label: length, alphabet, no doubled punctuation, a letter first and a letter or digit last."""
    if not isinstance(value, str):
        problems.add("Must be a string", field)
    elif not low <= len(value) <= high:
        problems.add(f"Length must be {low}-{high} characters", field)
    elif volume:
        if not _VOLUME_LABEL.fullmatch(value):
            problems.add(
                "Must only use ASCII letters, numbers, underscores, and dashes, beginning with a letter", field
            )
    elif not _LABEL.fullmatch(value) or not value[-1].isalnum():
        problems.add(
            "Must begin with a letter, end with a letter or number, and only use ASCII letters, numbers, underscores,"
            " periods, and dashes without two of the last three in a row",
            field,
        )


def unlike_in_case(tags: list[str]) -> list[str]:
    """``tags`` without those that an earlier one equals: tags are equal whatever their case."""
    found: dict[str, str] = {}
    for tag in tags:
        found.setdefault(tag.lower(), tag)
    return list(found.values())


def check_tags(problems: Problems, value: Any, known: Iterable[str] = ()) -> list[str]:
    """Tags as they are stored: 3 to 50 characters each, order kept, and of those that differ by case alone the first. One that the
    account has is written as that one of ``known``: other clients have to expect either case; that it is always so is unverified.
    """
    field = "tags"
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        problems.add("Must be a list of strings", field)
        return []
    if any(not 3 <= len(tag) <= 50 for tag in value):
        problems.add("Length must be 3-50 characters", field)
    as_known = {tag.lower(): tag for tag in known}
    return [as_known.get(tag.lower(), tag) for tag in unlike_in_case(value)]


def check_password(problems: Problems, value: Any, field: str = "root_pass") -> None:
    """How the API counts a password's strength is unverified: what passes here is what old and new forms of it took."""
    if not isinstance(value, str):
        problems.add("Must be a string", field)
        return
    if not 7 <= len(value) <= 128:
        problems.add("Length must be 7-128 characters", field)
        return
    kinds = sum(bool(re.search(kind, value)) for kind in ("[a-z]", "[A-Z]", "[0-9]", "[^a-zA-Z0-9]"))
    if kinds < 2 or len(set(value)) < 5 or len(value) < 11:
        problems.add("Password does not meet strength requirement", field)


def check_ssh_key(value: Any) -> bool:
    """Whether it is one line of a kind of public key that the API accepts."""
    if not isinstance(value, str) or "\n" in value.strip():
        return False
    kind, _, rest = value.strip().partition(" ")
    encoded = rest.split(" ")[0]
    if kind not in _KEY_KINDS or not encoded:
        return False
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    size = int.from_bytes(blob[:4], "big")
    return blob[4 : 4 + size] == kind.encode()


def check_user_data(problems: Problems, metadata: Any) -> str | None:
    """``metadata.user_data`` as it came: base64 of at most 65,535 bytes. None when there is none."""
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        problems.add("Must be an object", "metadata")
        return None
    text = metadata.get("user_data")
    if text is None:
        return None
    field = "metadata.user_data"
    if not isinstance(text, str):
        problems.add("Must be a string", field)
        return None
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        problems.add("user_data must be valid base64", field)
        return None
    if len(decoded) > USER_DATA_LIMIT:
        problems.add(f"user_data must be at most {USER_DATA_LIMIT} bytes when decoded", field)
        return None
    return text or None


def flag(problems: Problems, body: Json, field: str, default: bool) -> bool:
    value = body.get(field)
    if value is None:
        return default
    if not isinstance(value, bool):
        problems.add("Must be a boolean", field)
        return default
    return value


def whole(problems: Problems, body: Json, field: str, *, low: int, high: int | None = None) -> int | None:
    """An integer in a range; None when it is missing or wrong."""
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        problems.add("Must be an integer", field)
        return None
    if value < low or (high is not None and value > high):
        problems.add(f"Must be {low}-{high}" if high is not None else f"Must be {low} or greater", field)
        return None
    return value


def check_legacy(record: Json, what: str, field: str | None = None) -> None:
    """Refuse what a Linode with the new interfaces does not have. The reference says that it is refused; the text is unverified."""
    if record["api"]["interface_generation"] == "linode":
        raise fail(f"{what} is only for Linodes whose interface_generation is legacy_config", field)


def require(problems: Problems, body: Json, *fields: str) -> None:
    for field in fields:
        if body.get(field) is None:
            problems.add(f"{field} is required", field)
