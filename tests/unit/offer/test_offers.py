# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import card_of, hourly_price
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.offers import (
    MAX_OFFERS,
    Offer,
    all_offers,
    build_offers,
    near,
    shortlist,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.wanted import as_list


def plan(name: str, gpus: int, hourly: float | None, **regions: float | None) -> dict[str, Any]:
    prices = [{"id": region.replace("_", "-"), "hourly": price, "monthly": None} for region, price in regions.items()]
    kind = "gpu" if gpus else "standard"
    return {"id": name, "class": kind, "gpus": gpus, "price": {"hourly": hourly}, "region_prices": prices}


def region(name: str, gpu: bool = True) -> dict[str, Any]:
    return {"id": name, "capabilities": ["Linodes", "GPU Linodes"] if gpu else ["Linodes"]}


TYPES = [
    plan("g6-nanode-1", 0, 0.0075),
    plan("g1-gpu-rtx6000-1", 1, 1.5),
    plan("g2-gpu-rtx4000a1-s", 1, 0.52, id_cgk=0.624),
    plan("g2-gpu-rtx4000a2-s", 2, 1.05),
    plan("g3-gpu-rtxpro6000-blackwell-1", 1, None, us_ord=3.0),
    plan("g9-gpu-unheard-of-1", 1, 0.01),
]
REGIONS = [region("us-ord"), region("us-sea"), region("id-cgk"), region("nl-ams", gpu=False)]


def places(**wishes: Any) -> list[tuple[str, str, float]]:
    plans, regions, stock = wishes.get("plans", []), wishes.get("regions", []), wishes.get("stock", [])
    offers = build_offers(TYPES, REGIONS, stock, plans, regions, wishes.get("min_vram_gb", 16))
    return [(offer.plan, offer.region, offer.hourly) for offer in offers]


def test_the_price_is_that_of_the_region() -> None:
    assert hourly_price(TYPES[2], "us-ord") == 0.52
    assert hourly_price(TYPES[2], "id-cgk") == 0.624
    assert hourly_price(TYPES[4], "us-sea") is None
    assert hourly_price(plan("p", 1, 0), "us-ord") is None


def test_without_wishes_the_cheapest_known_card_at_one_price() -> None:
    assert places() == [("g2-gpu-rtx4000a1-s", "us-ord", 0.52), ("g2-gpu-rtx4000a1-s", "us-sea", 0.52)]


def test_more_memory_means_a_plan_that_has_it() -> None:
    assert {name for name, _region, _price in places(min_vram_gb=40)} == {"g2-gpu-rtx4000a2-s"}
    assert places(min_vram_gb=90) == [("g3-gpu-rtxpro6000-blackwell-1", "us-ord", 3.0)]


def test_named_plans_and_regions_keep_their_order() -> None:
    found = places(plans=["g1-gpu-rtx6000-1", "g2-gpu-rtx4000a1-s"], regions=["us-sea", "us-ord"])
    assert [row[:2] for row in found] == [
        ("g1-gpu-rtx6000-1", "us-sea"),
        ("g1-gpu-rtx6000-1", "us-ord"),
        ("g2-gpu-rtx4000a1-s", "us-sea"),
        ("g2-gpu-rtx4000a1-s", "us-ord"),
    ]


def test_stock_is_advice_only() -> None:
    rows = [
        {"plan": "g2-gpu-rtx4000a1-s", "region": name, "available": name == "us-sea"} for name in ("us-ord", "us-sea")
    ]
    assert [row[1] for row in places(stock=rows)] == ["us-sea", "us-ord"]
    # What nobody advertises comes before what is said to be sold out.
    assert [row[1] for row in places(stock=rows[:1])] == ["us-sea", "us-ord"]
    assert [row[1] for row in places(stock=rows, regions=["us-ord", "us-sea"])] == ["us-ord", "us-sea"]
    assert [row[2] for row in places(stock=rows, plans=["g2-gpu-rtx4000a2-s", "g2-gpu-rtx4000a1-s"])][:3] == [1.05] * 3


def test_an_offer_in_full() -> None:
    stock = [{"plan": "g2-gpu-rtx4000a2-s", "region": "us-ord", "available": False}]
    (two,) = all_offers(TYPES, REGIONS, stock, ["g2-gpu-rtx4000a2-s"], ["us-ord"])
    assert two == Offer("g2-gpu-rtx4000a2-s", "us-ord", 1.05, 2, "NVIDIA RTX 4000 Ada Generation", 40, False)
    (unknown,) = all_offers(TYPES, REGIONS, [], ["g9-gpu-unheard-of-1"], ["us-ord"])
    assert unknown == Offer("g9-gpu-unheard-of-1", "us-ord", 0.01, 1, None, None, None)


def test_of_plans_that_nobody_named_only_those_that_suit() -> None:
    assert {row.plan for row in all_offers(TYPES, REGIONS, [], [], [], 20)} == {
        "g1-gpu-rtx6000-1",
        "g2-gpu-rtx4000a1-s",
        "g2-gpu-rtx4000a2-s",
        "g3-gpu-rtxpro6000-blackwell-1",
    }
    larger = {row.plan for row in all_offers(TYPES, REGIONS, [], [], [], 21)}
    assert "g2-gpu-rtx4000a1-s" not in larger and len(larger) == 3
    suits = {"g1-gpu-rtx6000-1", "g2-gpu-rtx4000a1-s"}.__contains__
    assert {row.plan for row in all_offers(TYPES, REGIONS, [], [], [], 21, suits)} == {"g1-gpu-rtx6000-1"}
    named = all_offers(TYPES, REGIONS, [], ["g2-gpu-rtx4000a2-s"], [], 99, suits)
    assert {row.plan for row in named} == {"g2-gpu-rtx4000a2-s"}


@pytest.mark.parametrize("name", ["g6-nanode-1", "g6-nanode-2"])
def test_no_plan_without_a_gpu_is_proposed(name: str) -> None:
    with pytest.raises(Failure) as caught:
        places(plans=[name])
    assert "g2-gpu-rtx4000a1-s" in str(caught.value.remedy) and "nanode" not in str(caught.value.remedy)


def test_what_a_name_may_have_been_meant_to_be() -> None:
    close = [f"us-or{letter}" for letter in "abcdef"]
    assert near("us-ord", close).count("us-or") == 3
    assert near("us-rod", ["us-ord", "nl-ams"]) == "Did you mean us-ord?"
    assert near("zzz", ["us-ord", "nl-ams"]) == "Known are nl-ams, us-ord."


def test_the_list_stays_short() -> None:
    regions = [region(f"r-{number}") for number in range(40)]
    assert len(shortlist(build_offers(TYPES, regions, [], [], []))) == MAX_OFFERS


def test_a_short_list_keeps_the_order_and_something_of_every_plan() -> None:
    regions = [region(f"r-{number:02}") for number in range(20)]
    dear, cheap = "g2-gpu-rtx4000a2-s", "g2-gpu-rtx4000a1-s"
    offers = build_offers(TYPES, regions, [], [dear, cheap], [])
    kept = shortlist(offers)
    assert len(offers) == 40 and len(kept) == MAX_OFFERS
    assert [offer.plan for offer in kept] == [dear] * 6 + [cheap] * 6
    assert kept == [offer for offer in offers if offer in kept]
    few = [offer for offer in offers if offer.plan == cheap][:2]
    assert shortlist([*few, *(offer for offer in offers if offer.plan == dear)]).count(few[0]) == 1
    assert [offer.plan for offer in shortlist([*(offer for offer in offers if offer.plan == dear), *few])] == (
        [dear] * 10 + [cheap] * 2
    )
    many = [few[0]._replace(plan=f"p-{number}") for number in range(15) for _again in range(2)]
    assert [offer.plan for offer in shortlist(many)] == [f"p-{number}" for number in range(15)]
    assert shortlist([]) == []


@pytest.mark.parametrize(
    ("wishes", "kind", "value"),
    [
        ({"plans": ["g2-gpu-rtx4000a1-x"]}, "usage", "g2-gpu-rtx4000a1-x"),
        ({"plans": ["g6-nanode-1"]}, "usage", "g6-nanode-1"),
        ({"regions": ["nl-ams"]}, "usage", "nl-ams"),
        ({"regions": ["mars"]}, "usage", "mars"),
        ({"plans": ["g3-gpu-rtxpro6000-blackwell-1"], "regions": ["us-sea"]}, "capacity", None),
    ],
)
def test_refusals(wishes: dict[str, Any], kind: str, value: str | None) -> None:
    with pytest.raises(Failure) as caught:
        places(**wishes)
    assert (caught.value.kind, caught.value.value) == (kind, value)
    assert ("is not known" in caught.value.message) is (value in ("g2-gpu-rtx4000a1-x", "mars"))


@pytest.mark.parametrize(
    ("name", "vram", "capability"),
    [
        ("g1-gpu-rtx6000-1", 24, "7.5"),
        ("g2-gpu-rtx4000a4-m", 20, "8.9"),
        ("g3-gpu-rtxpro6000-blackwell-2", 96, "12.0"),
    ],
)
def test_cards(name: str, vram: int, capability: str) -> None:
    card = card_of(name)
    assert card is not None
    assert (card.vram_gb, card.compute_capability) == (vram, capability)
    assert card_of("g6-nanode-1") is None


@pytest.mark.parametrize(
    ("value", "items"),
    [(None, []), ("", []), ("a, b,,", ["a", "b"]), (["a ", " ", "b"], ["a", "b"]), (("a",), ["a"])],
)
def test_lists_as_people_write_them(value: Any, items: list[str]) -> None:
    assert as_list(value) == items
