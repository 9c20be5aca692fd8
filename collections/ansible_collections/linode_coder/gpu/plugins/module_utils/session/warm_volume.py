# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Warm volumes: which Block Storage volume is ours, what it holds, and whether a session may have it.

The label is the same for everybody who means this model in this region, and labels are unique in an account. All else is in the tags
of the volume, in the alphabet of a session's tags.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.cost import format_time, parse_time
from .tags import MARKER, decode, escape, folded, is_ours

KIND = "lc:warm:1"
_MICROS = 1_000_000
_CHUNK = 50 - len("lc:model:0:")
# Dollars of a month in dollars of an hour, as the API's prices have it: $0.10 a month is $0.00015 an hour.
HOURS_OF_A_MONTH = 0.1 / 0.00015
# A volume that nobody used for so long is proposed for deletion.
LONG_UNUSED_S = 30 * 86400
# One that was never filled may still be being filled.
NEVER_FILLED_S = 3 * 3600


@dataclass(frozen=True)
class WarmVolume:
    """``gb_month`` is in dollars. Times are seconds since the epoch; ``filled`` None: never whole. ``digest`` is of the list of what
    it holds, as the control node saw it, 40 hexadecimal digits. ``region`` and ``linode_id`` are as the API says.
    """

    id: int
    label: str
    region: str
    size_gb: int
    created: int
    linode_id: int | None
    linode_label: str | None
    encrypted: bool
    ready: bool
    model: str | None
    owner: str | None
    gb_month: float | None
    used: int | None
    filled: int | None
    digest: str | None

    @property
    def monthly(self) -> float | None:
        return None if self.gb_month is None else round(self.gb_month * self.size_gb, 4)

    @property
    def device(self) -> str:
        return f"/dev/disk/by-id/scsi-0Linode_Volume_{self.label}"

    def as_dict(self) -> dict[str, Any]:
        """As `list`, `warm list` and the modules show it."""
        return {
            "name": self.label,
            "id": self.id,
            "model": self.model,
            "region": self.region,
            "owner": self.owner,
            "size_gb": self.size_gb,
            "monthly": self.monthly,
            "created": format_time(self.created),
            "last_used": None if self.used is None else format_time(self.used),
            "filled": None if self.filled is None else format_time(self.filled),
            "attached_to": self.linode_label,
            "encrypted": self.encrypted,
        }


def month_cost(monthly: float, hours: float) -> float:
    """Dollars of so many hours within one month, which never cost more than the month."""
    return min(monthly, hours * monthly / HOURS_OF_A_MONTH)


def warm_label(model: str, region: str) -> str:
    """At most 32 characters, of which a person can read some, and 36 bits tell models and regions apart. It is no VM's label."""
    slug = re.sub(r"[^a-z0-9]+", "-", model.rpartition("/")[2].lower()).strip("-")[:13].strip("-") or "model"
    return f"lc-warm-{slug}-v{hashlib.sha256(f'{model} {region}'.encode(errors='surrogatepass')).hexdigest()[:9]}"


def warm_tags(
    model: str, owner: str, gb_month: float, used: int, filled: int | None = None, digest: str | None = None
) -> list[str]:
    """The tags of a volume, marker first. ValueError for a model whose name fits into no ten tags."""
    escaped = escape(model)
    chunks = [escaped[start : start + _CHUNK] for start in range(0, len(escaped), _CHUNK)]
    if not chunks or len(chunks) > 10:
        raise ValueError("a model id has between 1 byte and what fits into ten tags")
    return [
        MARKER,
        KIND,
        f"lc:owner:{owner}",
        f"lc:month:{round(gb_month * _MICROS)}",
        f"lc:used:{used}",
        *(f"lc:model:{index}:{chunk}" for index, chunk in enumerate(chunks)),
        *([f"lc:filled:{filled}"] if filled is not None else []),
        *([f"lc:sum:{digest}"] if digest is not None else []),
    ]


def changed_tags(existing: Iterable[str], **numbers: int | str) -> list[str]:
    """``existing`` with these of ours in place of what they were; what others put there stays."""
    kept = [tag for tag in existing if not any(tag.lower().startswith(f"lc:{name}:") for name in numbers)]
    return [*kept, *(f"lc:{name}:{value}" for name, value in numbers.items())]


def is_warm(row: Mapping[str, Any]) -> bool:
    """Whether a volume of the API is a warm one of ours."""
    return is_ours(row.get("tags")) and KIND in folded(row.get("tags"))


def _number(values: Mapping[str, str], name: str) -> int | None:
    text = values.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def warm_volume(row: Mapping[str, Any]) -> WarmVolume:
    """A volume of the API as its tags say, whatever people made of them: what cannot be read is None."""
    tags = decode(list(row.get("tags") or []))
    values = dict(tag[3:].split(":", 1) for tag in folded(row.get("tags")) if re.match(r"lc:[a-z]+:", tag))
    rate = _number(values, "month")
    digest = values.get("sum", "")
    return WarmVolume(
        id=int(row["id"]),
        label=str(row["label"]),
        region=str(row["region"]),
        size_gb=int(row["size"]),
        created=parse_time(row["created"]),
        linode_id=row.get("linode_id"),
        linode_label=row.get("linode_label"),
        encrypted=row.get("encryption") == "enabled",
        ready=row.get("status") == "active",
        model=tags.model,
        owner=tags.owner,
        gb_month=None if rate is None else rate / _MICROS,
        used=_number(values, "used"),
        filled=_number(values, "filled"),
        digest=digest if re.fullmatch("[0-9a-f]{40}", digest) else None,
    )


def warm_volumes(rows: Iterable[Mapping[str, Any]]) -> list[WarmVolume]:
    """The warm ones among the volumes of an account, the dearest first."""
    found = [warm_volume(row) for row in rows if is_warm(row)]
    return sorted(found, key=lambda volume: (-(volume.monthly or 0.0), volume.label))


@dataclass(frozen=True)
class Looked:
    """``state``: missing, foreign, busy, free, or attached to the VM that was asked for. ``sentence``: why a session has to go
    cold, when it has to; ``volume`` is None for one that is not ours or not there.
    """

    state: str
    volume: WarmVolume | None = None
    sentence: str | None = None


def look_for(rows: Iterable[Mapping[str, Any]], model: str, region: str, linode_id: int | None = None) -> Looked:
    """What became of the volume of ``model`` in ``region`` among ``rows``, the account's volumes."""
    label = warm_label(model, region)
    row = next((one for one in rows if one["label"] == label), None)
    if row is None:
        return Looked("missing")
    # Another model under this label is one chance in 10^10, or somebody's tags.
    if not is_warm(row) or row["region"] != region or warm_volume(row).model != model:
        return Looked(
            "foreign",
            sentence=f"The account has a volume {label} that is not ours; it is left alone, and nothing is kept warm.",
        )
    volume = warm_volume(row)
    if volume.linode_id is None:
        return Looked("free", volume)
    if volume.linode_id == linode_id:
        return Looked("attached", volume)
    return Looked(
        "busy",
        volume,
        f"The warm volume {label} is in use by {volume.linode_label or 'another VM'}, so this session fetches everything itself.",
    )


def proposed(volume: WarmVolume, now: int) -> str | None:
    """Why a volume may be deleted, for `cleanup` to propose; None for one that is in use or was not long ago."""
    if volume.linode_id is not None:
        return None
    last = max(volume.used or 0, volume.created)
    if volume.filled is None and now - last > NEVER_FILLED_S:
        return "it was never filled"
    if now - last > LONG_UNUSED_S:
        return f"nobody used it for {(now - last) // 86400} days"
    return None
