# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions by the names that people have for places, and which of them is nearer.

What a region is called and its country are the API's; here is only what countries are called and where they lie.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..core.did_you_mean import did_you_mean, nearest
from ..core.failure import Failure

# Country code: continent, and what the country is called.
COUNTRIES: dict[str, tuple[str, ...]] = {
    "au": ("oceania", "australia"),
    "br": ("south america", "brazil", "brasil"),
    "ca": ("north america", "canada"),
    "cl": ("south america", "chile"),
    "co": ("south america", "colombia"),
    "cz": ("europe", "czechia", "czech republic"),
    "de": ("europe", "germany", "deutschland"),
    "es": ("europe", "spain"),
    "fr": ("europe", "france"),
    "gb": ("europe", "united kingdom", "uk", "england", "great britain"),
    "id": ("asia", "indonesia"),
    "in": ("asia", "india"),
    "it": ("europe", "italy"),
    "jp": ("asia", "japan"),
    "mx": ("north america", "mexico"),
    "my": ("asia", "malaysia"),
    "nl": ("europe", "netherlands", "holland"),
    "no": ("europe", "norway"),
    "nz": ("oceania", "new zealand"),
    "pl": ("europe", "poland"),
    "se": ("europe", "sweden"),
    "sg": ("asia", "singapore"),
    "us": ("north america", "united states", "usa", "america"),
    "za": ("africa", "south africa"),
}
CONTINENTS = tuple(sorted({names[0] for names in COUNTRIES.values()}))
Region = dict[str, Any]


def _plain(name: str) -> str:
    return " ".join(re.split(r"[\s,_-]+", name.strip().lower())).strip()


def _country(region: Region) -> str:
    return str(region.get("country") or "").lower()


def _city(region: Region) -> str:
    """Without the number that tells two data centers of one place apart."""
    return re.sub(r" \d+$", "", _plain(str(region.get("label") or "").partition(",")[0]))


def names_of(region: Region) -> set[str]:
    """All that this region may be called, in lower case, words apart by one space."""
    _label, _comma, state = str(region.get("label") or "").partition(",")
    city, country = _city(region), _country(region)
    continent, *called = COUNTRIES.get(country, ("",))
    within = {_plain(f"{city} {part}") for part in (state, country, *called) if city and part}
    # As the API writes it, also with the number of a second data center there.
    label = {_plain(str(region.get("label") or ""))}
    return {name for name in (city, country, continent, *called, *within, *label) if name}


def regions_at(name: str, regions: Sequence[Region]) -> list[str]:
    """Ids of the regions with GPUs at the place called ``name``; those that are named after their country and city come first:
    they are the newer data centers."""
    wanted = _plain(name)
    found = [row for row in regions if wanted in names_of(row) and "GPU Linodes" in (row.get("capabilities") or [])]
    newer = [str(row["id"]) for row in found if str(row["id"]).startswith(_country(row) + "-")]
    return newer + [str(row["id"]) for row in found if str(row["id"]) not in newer]


def _whole(wanted: Sequence[str], regions: Sequence[Region]) -> list[str]:
    """A list that was separated by commas, with names such as ``Chicago, IL`` in one piece again."""
    known = {str(row["id"]) for row in regions}
    found: list[str] = []
    for name in wanted:
        both = f"{found[-1]}, {name}" if found else ""
        if both and found[-1] not in known and regions_at(both, regions):
            found[-1] = both
        else:
            found.append(name)
    return found


def with_places(wanted: Sequence[str], regions: Sequence[Region]) -> list[str]:
    """The ids that are meant by ids and names of places, each once, in that order. What is neither stays as it is.

    A city that its state or country follows is one place: a list is split at commas before anybody knows the regions.
    """
    known = {str(row["id"]) for row in regions}
    found: list[str] = []
    for name in _whole(wanted, regions):
        found += [name] if name in known else regions_at(name, regions) or [name]
    return list(dict.fromkeys(found))


def meant(wanted: Sequence[str], regions: Sequence[Region]) -> dict[str, list[str]]:
    """What the names of places among ``wanted`` stand for."""
    known = {str(row["id"]) for row in regions}
    return {
        name: found for name in _whole(wanted, regions) if name not in known and (found := regions_at(name, regions))
    }


def distance(near: str | None, region: Region, regions: Sequence[Region]) -> int:
    """How far a region is from the place or region ``near``: 0 there, 1 in its country, 2 on its continent, 3 elsewhere; 0 without
    ``near``."""
    if not near:
        return 0
    if str(region["id"]) == near or _plain(near) in names_of(region) - {
        _country(region),
        *COUNTRIES.get(_country(region), ()),
    }:
        return 0
    countries = {_country(row) for row in regions if str(row["id"]) == near or _plain(near) in names_of(row)}
    if _plain(near) in CONTINENTS:
        return 2 if COUNTRIES.get(_country(region), ("",))[0] == _plain(near) else 3
    if _country(region) in countries:
        return 1
    continents = {COUNTRIES[code][0] for code in countries if code in COUNTRIES}
    return 2 if COUNTRIES.get(_country(region), ("",))[0] in continents else 3


def check_near(near: str | None, regions: Sequence[Region]) -> None:
    """Failure(usage) for a ``near`` that is no region, no place and no continent."""
    if not near or _plain(near) in CONTINENTS:
        return
    known = {str(row["id"]) for row in regions} | {name for row in regions for name in names_of(row)}
    if near in known or _plain(near) in known:
        return
    raise Failure(
        "usage",
        f"near {near!r} is no region and no place that is known.",
        remedy=did_you_mean(
            nearest(_plain(near), known, at_most=1),
            f"Name a region, a city, a country, or one of {', '.join(CONTINENTS)}.",
        ),
        field="near",
        value=near,
    )
