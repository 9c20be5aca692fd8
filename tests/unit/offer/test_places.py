# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions by the names of places, and which is nearer; with the regions as the API was recorded to list them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.offers import build_offers
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.places import (
    COUNTRIES,
    check_near,
    distance,
    meant,
    regions_at,
    with_places,
)

DATA = Path(__file__).parents[3] / "linode_coder/sandbox/api/data"
READ = json.loads((DATA / "regions.json").read_text())
REGIONS: list[dict[str, Any]] = READ["data"] if isinstance(READ, dict) else READ
TYPES = [
    {"id": "g2-gpu-rtx4000a1-s", "class": "gpu", "gpus": 1, "price": {"hourly": 0.52}, "region_prices": []},
]


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("frankfurt", ["de-fra-2", "eu-central"]),
        ("Frankfurt", ["de-fra-2", "eu-central"]),
        ("germany", ["de-fra-2", "eu-central"]),
        ("de", ["de-fra-2", "eu-central"]),
        ("frankfurt de", ["de-fra-2", "eu-central"]),
        ("chicago", ["us-ord"]),
        ("Chicago IL", ["us-ord"]),
        ("singapore", ["sg-sin-2", "ap-south"]),
        ("los_angeles", ["us-lax"]),
        ("uk", ["gb-lon"]),
        ("tokyo", ["jp-tyo-3"]),
        # No GPUs there.
        ("madrid", []),
        ("fra", []),
        ("", []),
    ],
)
def test_a_place_is_its_regions_with_gpus(name: str, ids: list[str]) -> None:
    assert regions_at(name, REGIONS) == ids


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (["Chicago", "IL"], ["us-ord"]),
        (["us-sea", "Chicago", "IL", "de-fra-2"], ["us-sea", "us-ord", "de-fra-2"]),
        # By itself the second is a place too: here it says where the first one is.
        (["Seattle", "WA"], ["us-sea"]),
        (["Seattle", "US"], ["us-sea"]),
        (["Frankfurt 2", "DE"], ["de-fra-2"]),
        # Two places, and what is neither.
        (["chicago", "frankfurt"], ["us-ord", "de-fra-2", "eu-central"]),
        (["us-ord", "de"], ["us-ord", "de-fra-2", "eu-central"]),
        (["nowhere", "IL"], ["nowhere", "IL"]),
    ],
)
def test_a_list_split_at_commas_keeps_a_place_whose_name_has_one(wanted: list[str], ids: list[str]) -> None:
    assert with_places(wanted, REGIONS) == ids


def test_what_a_place_with_a_comma_stands_for_is_told_by_its_whole_name() -> None:
    assert meant(["Chicago", "IL", "us-sea"], REGIONS) == {"Chicago, IL": ["us-ord"]}


def test_every_country_of_the_api_is_known() -> None:
    assert {region["country"] for region in REGIONS} <= set(COUNTRIES)


def test_ids_and_places_stay_in_their_order_each_once() -> None:
    assert with_places(["us-sea", "frankfurt", "de-fra-2", "nowhere"], REGIONS) == [
        *("us-sea", "de-fra-2", "eu-central", "nowhere")
    ]
    assert meant(["us-sea", "frankfurt", "nowhere"], REGIONS) == {"frankfurt": ["de-fra-2", "eu-central"]}


def places(regions: list[str], near: str | None = None) -> list[str]:
    return [offer.region for offer in build_offers(TYPES, REGIONS, [], [], regions, close_to=near)]


def test_offers_are_made_where_a_place_is() -> None:
    assert places(["chicago", "germany"]) == ["us-ord", "de-fra-2", "eu-central"]


@pytest.mark.parametrize(("name", "likely"), [("frankfort", "frankfurt"), ("chicgo", "chicago"), ("us-orb", "us-ord")])
def test_what_is_nearly_a_place_is_suggested(name: str, likely: str) -> None:
    with pytest.raises(Failure, match="is not known") as refused:
        places([name])
    assert likely in str(refused.value.remedy)


@pytest.mark.parametrize(
    ("near", "first", "last"),
    [
        ("de-fra-2", {"de-fra-2"}, "us"),
        ("frankfurt", {"de-fra-2", "eu-central"}, "us"),
        ("germany", {"de-fra-2", "eu-central"}, "us"),
        ("Europe", {"de-fra-2", "eu-central", "fr-par", "fr-par-2", "gb-lon", "nl-ams", "se-sto"}, "us"),
        ("sydney", {"ap-south", "us-ord", "us-sea"}, ""),
    ],
)
def test_near_regions_come_first_at_the_same_price(near: str, first: set[str], last: str) -> None:
    found = places([], near)
    if near == "sydney":  # nothing is on that continent: all are as far
        assert found == places([])
        return
    assert set(found[: len(first)]) == first and found[-1].startswith(last)
    # What the user named stays in the user's order.
    assert places(["us-ord", "de-fra-2"], near) == ["us-ord", "de-fra-2"]


def test_a_country_is_nearer_than_its_continent() -> None:
    by_id = {region["id"]: region for region in REGIONS}
    far = [distance("fr-par", by_id[name], REGIONS) for name in ("fr-par", "fr-par-2", "de-fra-2", "us-ord")]
    assert far == [0, 1, 2, 3] and distance(None, by_id["us-ord"], REGIONS) == 0


def test_a_dearer_place_is_never_taken_for_being_near() -> None:
    dear = [{**TYPES[0], "region_prices": [{"id": "de-fra-2", "hourly": 0.6}]}]
    assert "de-fra-2" not in [offer.region for offer in build_offers(dear, REGIONS, [], [], [], close_to="de-fra-2")]


def test_near_what_nobody_knows_is_refused() -> None:
    for name in (None, "", "europe", "Frankfurt", "us", "eu-central"):
        check_near(name, REGIONS)
    with pytest.raises(Failure, match="no region and no place") as refused:
        check_near("frankfort", REGIONS)
    assert (refused.value.field, refused.value.remedy) == ("near", "Did you mean frankfurt?")
