# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session, written in the tags of its Linode: the one truth that every control node sees.

Tags have 3 to 50 characters, and are equal whatever their case: the account may return either spelling. So only
``a-z 0-9 : _ -`` are used, folding the case loses nothing, and whoever compares a tag folds it first.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..core.failure import Failure
from .lease import MIN_IDLE_S, parse_idle
from .name import validate_session_name

MARKER = "linode-coder"
_PREFIX = "lc:"
_MAX = 50
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-")
_CHUNK = _MAX - len("lc:model:0:")


@dataclass(frozen=True)
class SessionTags:
    """What the tags say. Times are seconds since the epoch, ``hourly_micros`` is millionths of a dollar per hour."""

    session: str
    generation: int
    owner: str
    lease_end: int
    hard_cap: int
    idle_minutes: int | None  # None: no idle limit
    hourly_micros: int
    model: str
    host_key: bytes
    next_host_key: bytes | None = None  # only while the key on the VM is being replaced
    doom: int | None = None  # marked for deletion, not before this time
    pause: int | None = None  # healing and idle deletion are paused until this time
    group: str | None = None  # the group that the session is a member of


@dataclass(frozen=True)
class DecodedTags:
    """Tags as found, perhaps not all of them. ``missing`` names what is absent or unreadable, ``doubts`` says in a
    sentence each what people changed and what counts instead.
    """

    ours: bool
    missing: tuple[str, ...]
    session: str | None = None
    generation: int | None = None
    owner: str | None = None
    lease_end: int | None = None
    hard_cap: int | None = None
    idle_minutes: int | None = None
    hourly_micros: int | None = None
    model: str | None = None
    host_key: bytes | None = None
    next_host_key: bytes | None = None
    doom: int | None = None
    pause: int | None = None
    group: str | None = None
    doubts: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return self.ours and not self.missing

    def whole(self) -> SessionTags:
        """The complete set; ValueError when something is missing."""
        if (
            not self.ours
            or self.missing
            or self.session is None
            or self.generation is None
            or self.owner is None
            or self.lease_end is None
            or self.hard_cap is None
            or self.hourly_micros is None
            or self.model is None
            or self.host_key is None
        ):
            raise ValueError("incomplete tags: " + ", ".join(self.missing or ("marker",)))
        return SessionTags(
            self.session,
            self.generation,
            self.owner,
            self.lease_end,
            self.hard_cap,
            self.idle_minutes,
            self.hourly_micros,
            self.model,
            self.host_key,
            self.next_host_key,
            self.doom,
            self.pause,
            self.group,
        )


def escape(text: str) -> str:
    """``a-z 0-9 -`` as they are, every other byte as ``_hh``."""
    return "".join(chr(byte) if byte in _PLAIN else f"_{byte:02x}" for byte in text.encode())


def unescape(text: str) -> str:
    """The inverse of escape; ValueError when ``text`` was not made by it."""
    raw = re.sub(r"_([0-9a-f]{2})", lambda match: chr(int(match.group(1), 16)), text)
    decoded = raw.encode("latin-1").decode()
    if escape(decoded) != text:
        raise ValueError("not an escaped text")
    return decoded


def owner_slug(name: str) -> str:
    """A user name as it can stand in a tag."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return slug[: _MAX - len("lc:owner:")].strip("-") or "unknown"


def _key_tags(name: str, key: bytes) -> list[str]:
    text = base64.b32encode(key).decode().rstrip("=").lower()
    return [f"lc:{name}0:{text[:26]}", f"lc:{name}1:{text[26:]}"]


def encode(tags: SessionTags) -> list[str]:
    """The tags of a session, marker first."""
    model = escape(tags.model)
    chunks = [model[start : start + _CHUNK] for start in range(0, len(model), _CHUNK)]
    if not chunks or len(chunks) > 10:
        raise ValueError("a model id has between 1 byte and what fits into ten tags")
    encoded = [
        MARKER,
        f"lc:session:{tags.session}",
        f"lc:gen:{tags.generation}",
        f"lc:owner:{tags.owner}",
        f"lc:lease:{tags.lease_end}",
        f"lc:cap:{tags.hard_cap}",
        f"lc:idle:{'off' if tags.idle_minutes is None else tags.idle_minutes}",
        f"lc:rate:{tags.hourly_micros}",
        *(f"lc:model:{index}:{chunk}" for index, chunk in enumerate(chunks)),
        *_key_tags("hk", tags.host_key),
    ]
    if tags.next_host_key is not None:
        encoded += _key_tags("nk", tags.next_host_key)
    if tags.doom is not None:
        encoded.append(f"lc:doom:{tags.doom}")
    if tags.pause is not None:
        encoded.append(f"lc:pause:{tags.pause}")
    if tags.group is not None:
        encoded.append(f"lc:group:{tags.group}")
    return encoded


# What counts where people made several of one.
_OF_SEVERAL = {
    "lease": "the later one within the hard cap",
    "cap": "the earlier one",
    "idle": "the longer one",
    "rate": "the dearer one",
    "gen": "the higher one",
    "session": "the last one",
    "owner": "the last one",
    "group": "the last one",
}

# The end of the year 9999: later times cannot be shown.
_MAX_NUMBER = 253_402_300_799


def _number(text: str) -> int | None:
    # Python refuses to read thousands of digits.
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
    return number if number is None or number <= _MAX_NUMBER else None


def _session(text: str | None) -> str | None:
    try:
        return validate_session_name(text)
    except Failure:
        return None


def _key(first: str | None, second: str | None) -> bytes | None:
    if first is None or second is None:
        return None
    try:
        key = base64.b32decode((first + second).upper() + "====")
    except ValueError:
        return None
    return key if len(key) == 32 else None


def folded(tags: Iterable[str] | None) -> list[str]:
    """``tags`` as they are compared."""
    return [str(tag).lower() for tag in tags or ()]


def is_ours(tags: Iterable[str] | None) -> bool:
    """Whether what carries these tags, a Linode or a firewall, is ours."""
    return MARKER in folded(tags)


def _values(lower: list[str]) -> dict[str, list[str]]:
    """Every name with its values, each value once, in the order of the tags."""
    found: dict[str, list[str]] = {}
    for tag in lower:
        if tag.startswith(_PREFIX):
            name, _sep, value = tag[len(_PREFIX) :].rpartition(":")
            if value not in found.setdefault(name, []):
                found[name].append(value)
    return found


def _numbers(values: list[str]) -> list[int]:
    return [number for number in map(_number, values) if number is not None]


def _within(leases: list[int], cap: int | None) -> int:
    """Of several ends of the lease the later one within the cap: whoever extended it meant it."""
    allowed = [end for end in leases if cap is None or end <= cap]
    return max(allowed) if allowed else min(leases)


def _idle(values: list[str]) -> tuple[bool, int | None, list[str]]:
    """Whether a limit can be read, its minutes (None: no limit), and doubts. What is refused as input is no limit given."""
    if "off" in values:
        return True, None, []
    minutes = _numbers(values)
    if not minutes:
        return False, None, []
    limit, least, usual = max(minutes), MIN_IDLE_S // 60, parse_idle(None)
    if limit >= least:
        return True, limit, []
    return True, usual, [f"lc:idle:{limit} is less than {least} minutes, so the default of {usual} counts"]


def decode(tags: list[str]) -> DecodedTags:
    """Read the tags of a Linode, whatever else it carries, and whatever people made of ours.

    What they wrote twice or took away never ends a VM earlier than what is left says, and is among the ``doubts``.
    """
    lower = folded(tags)
    several = _values(lower)
    values = {name: given[-1] for name, given in several.items()}
    chunks = [values[f"model:{index}"] for index in range(10) if f"model:{index}" in values]
    model = None
    if chunks and all(f"model:{index}" in values for index in range(len(chunks))):
        try:
            model = unescape("".join(chunks))
        except ValueError:
            model = None
    numbers = {name: _numbers(several.get(name, [])) for name in ("gen", "lease", "cap", "rate", "doom", "pause")}
    # 0 is refused as input too: every session ends.
    leases, caps = ([end for end in numbers[name] if end] for name in ("lease", "cap"))
    cap = min(caps, default=None)
    lease = _within(leases, cap) if leases else cap
    idle_known, idle_minutes, doubts = _idle(several.get("idle", []))
    if not leases and cap is not None:
        doubts.append("lc:lease is missing or unreadable, so the hard cap counts as the end of the lease")
    doubts += [
        f"there are several lc:{name}, and {which} counts"
        for name, which in _OF_SEVERAL.items()
        if len(several.get(name, [])) > 1
    ]
    found: dict[str, object] = {
        "session": _session(values.get("session")),
        "generation": max(numbers["gen"], default=None),
        "owner": values.get("owner") or None,
        "lease_end": lease,
        "hard_cap": cap,
        "hourly_micros": max(numbers["rate"], default=None),
        "model": model,
        "host_key": _key(values.get("hk0"), values.get("hk1")),
    }
    missing = [name for name, value in found.items() if value is None]
    if not idle_known:
        missing.append("idle_minutes")
    return DecodedTags(
        ours=is_ours(lower),
        missing=tuple(missing),
        idle_minutes=idle_minutes,
        next_host_key=_key(values.get("nk0"), values.get("nk1")),
        doom=max(numbers["doom"], default=None),
        pause=max(numbers["pause"], default=None),
        group=_session(values.get("group")),
        doubts=tuple(doubts),
        **found,  # type: ignore[arg-type]
    )


def merge(existing: list[str], tags: SessionTags) -> list[str]:
    """``existing`` with our part replaced: the tags that other people put on the Linode stay."""
    foreign = [tag for tag in existing if tag.lower() != MARKER and not tag.lower().startswith(_PREFIX)]
    return encode(tags) + foreign


def with_doom(existing: list[str], doom: int | None) -> list[str]:
    """``existing`` marked for deletion at ``doom``, or without a mark; works on incomplete tags too."""
    kept = [tag for tag in existing if not tag.lower().startswith("lc:doom:")]
    return kept if doom is None else [*kept, f"lc:doom:{doom}"]


# The clocks, also as an extension notes them on the firewall. When a rung was tried stays: the note on the VM has it too.
_CLOCK = re.compile(r"lc:(?:lease|cap|doom|pause|lease-note|pause-note)(?::[0-9]+)+", re.IGNORECASE)


def moved(existing: list[str], seconds: int) -> list[str]:
    """``existing`` of a Linode or a firewall with all of the session's clocks ``seconds`` later."""
    return [
        re.sub("[0-9]+", lambda number: str(int(number.group()) + seconds), tag) if _CLOCK.fullmatch(tag) else tag
        for tag in existing
    ]


def with_changes(tags: SessionTags, **changes: object) -> SessionTags:
    return replace(tags, **changes)  # type: ignore[arg-type]
