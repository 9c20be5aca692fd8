# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a volume to start warm from costs, where there is one, and which region that makes the better one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ..core.failure import Failure
from ..session.tags import MARKER
from ..session.warm_volume import WarmVolume, look_for, warm_label, warm_volumes
from .budget import against_budget, new_volume_adds
from .budget_look import Reader, look
from .offers import Offer

# Archives of the engine's, the proxy's and the web UI's images, what was compiled, and room for the next version of the engine.
IMAGES_GB = 60
_ROOM = 1.15
_LEAST_GB, _MOST_GB = 10, 16384
STORAGE, ENCRYPTION = "Block Storage", "Block Storage Encryption"


def size_gb(weights_gb: float | None) -> int:
    """Of a volume for a model whose files have so many GB. Failure(refused) when nobody knows how many."""
    if weights_gb is None:
        raise Failure(
            "refused",
            "keep_warm: how large the weights are is not known, so neither is how large their volume has to be.",
            remedy="Leave keep_warm out, or serve a model of the catalogue.",
            field="keep_warm",
        )
    return min(_MOST_GB, max(_LEAST_GB, math.ceil(weights_gb * _ROOM) + IMAGES_GB))


def gb_month(types: Iterable[Mapping[str, Any]], region: str) -> float:
    """Dollars for a GB and a month there. Failure(cloud) when the API names no price: nothing is bought blindly."""
    for row in types:
        prices = {price.get("id"): price for price in row.get("region_prices") or []}
        price = prices.get(region, row.get("price") or {}).get("monthly")
        if row.get("id") == "volume" and isinstance(price, int | float) and price >= 0:
            return float(price)
    raise Failure(
        "cloud",
        f"The API names no price of Block Storage in {region}.",
        remedy="Leave keep_warm out, or try again later.",
        field="keep_warm",
    )


def may_hold(region: Mapping[str, Any]) -> bool:
    return STORAGE in (region.get("capabilities") or [])


def may_encrypt(region: Mapping[str, Any]) -> bool:
    return ENCRYPTION in (region.get("capabilities") or [])


def volume_budget(
    reader: Reader, now: int, budget: float, records: Iterable[Mapping[str, Any]], monthly: float, what: str
) -> dict[str, Any]:
    """What the budget says of a new volume; Failure(refused) when it does not go into it any more."""
    seen = look(reader, now, reader.list("linode/instances", {"tags": MARKER}), records)
    return against_budget(seen, budget, new_volume_adds(now, monthly), None, what)


def usable(rows: Iterable[Mapping[str, Any]], model: str) -> list[WarmVolume]:
    """Volumes that hold ``model``, whole, and that nobody has."""
    found = warm_volumes(rows)
    return [row for row in found if row.model == model and row.filled and row.digest and row.linode_id is None]


def prefer_warm(
    offers: list[Offer], rows: Iterable[Mapping[str, Any]], models: Mapping[str, str], named_plans: bool
) -> list[Offer]:
    """``offers`` with those first, at equal price, whose region has a warm volume. ``models``: what would be served, by plan."""
    rows = list(rows)
    warm = {model: {volume.region for volume in usable(rows, model)} for model in set(models.values())}
    rank: dict[tuple[Any, ...], int] = {}

    def key(offer: Offer) -> tuple[int, bool]:
        group = (offer.plan if named_plans else None, offer.hourly)
        return rank.setdefault(group, len(rank)), offer.region not in warm.get(models.get(offer.plan, ""), set())

    return sorted(offers, key=key)


def warm_quote(
    rows: Iterable[Mapping[str, Any]],
    types: Iterable[Mapping[str, Any]] | None,
    regions: Iterable[Mapping[str, Any]],
    places: list[str],
    model: str,
    weights_gb: float | None,
    keep: bool,
    linode_id: int | None = None,
) -> dict[str, Any] | None:
    """What there is of it at the first of ``places``, and what keeping costs; None without a volume where none is wanted.

    ``state`` is as of ``look_for``, for the VM ``linode_id`` where there is one; ``monthly`` is that of the volume that is
    there, else of the dearest one that might be made.
    """
    first = places[0]
    looked = look_for(rows, model, first, linode_id)
    if looked.state == "missing" and not keep:
        return None
    answer = {
        "state": looked.state,
        "keep": keep,
        "name": warm_label(model, first),
        "region": first,
        "size_gb": looked.volume.size_gb if looked.volume else None,
        "monthly": looked.volume.monthly if looked.volume else None,
        "filled": bool(looked.volume and looked.volume.filled),
        "sentence": looked.sentence,
        "new": False,
    }
    if keep and looked.volume is None:
        size, known = size_gb(weights_gb), {region["id"]: region for region in regions}
        possible = [place for place in places if may_hold(known.get(place, {}))]
        if first not in possible:
            raise Failure(
                "refused",
                f"keep_warm: the region {first} has no Block Storage.",
                remedy="Choose another region, or leave keep_warm out.",
                field="keep_warm",
                value=first,
            )
        monthly = max(round(gb_month(types or (), place) * size, 4) for place in possible)
        answer.update(size_gb=size, monthly=monthly, new=looked.state == "missing")
    return answer
