# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.budget import (
    first_unpaid,
    new_volume_adds,
    refuse_beyond,
    spending,
    volumes_cost,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.offers import Offer
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.warm import (
    gb_month,
    prefer_warm,
    size_gb,
    warm_quote,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.warm_volume import warm_label, warm_tags

NOW = 1_794_400_000  # 2026-11-11
MODEL = "org/Coder-7B"
TYPES = [
    {"id": "volume", "price": {"monthly": 0.1}, "region_prices": [{"id": "br-gru", "monthly": 0.14}]},
]
REGIONS = [{"id": name, "capabilities": ["Block Storage"]} for name in ("us-ord", "us-sea", "br-gru")]


def volume(region: str = "us-ord", **changes: Any) -> dict[str, Any]:
    tags = warm_tags(MODEL, "ada", 0.1, NOW, NOW, "0f" * 20)
    made = {"id": 1, "label": warm_label(MODEL, region), "region": region, "size": 100, "tags": tags}
    made |= {"created": "2026-10-01T00:00:00", "linode_id": None, "linode_label": None, "status": "active"}
    return made | changes


def offer(region: str, hourly: float = 0.5, plan: str = "small") -> Offer:
    return Offer(plan, region, hourly, 1, None, 24, True)


def test_the_price_is_that_of_the_region() -> None:
    assert (gb_month(TYPES, "us-ord"), gb_month(TYPES, "br-gru")) == (0.1, 0.14)
    for nothing in ([], [{"id": "volume", "price": {"monthly": None}}]):
        with pytest.raises(Failure, match="names no price"):
            gb_month(nothing, "us-ord")


def test_a_size_is_never_guessed() -> None:
    assert size_gb(13.0) == 75
    with pytest.raises(Failure, match="not known"):
        size_gb(None)


def test_a_warm_region_comes_first_at_equal_price_only() -> None:
    offers = [offer("us-sea"), offer("us-ord"), offer("br-gru", 0.6)]
    models = {"small": MODEL}
    assert [row.region for row in prefer_warm(offers, [volume()], models, False)] == ["us-ord", "us-sea", "br-gru"]
    assert prefer_warm(offers, [volume("br-gru")], models, False) == offers
    for nothing in (
        volume(linode_id=7),
        volume(tags=warm_tags(MODEL, "ada", 0.1, NOW)),
        volume(tags=warm_tags("org/Other", "ada", 0.1, NOW, NOW, "0f" * 20)),
        volume(tags=["linode-coder"]),
    ):
        assert prefer_warm(offers, [nothing], models, False) == offers
    plans = [offer("us-sea", 0.5, "first"), offer("us-ord", 0.5, "second")]
    both = {"first": MODEL, "second": MODEL}
    assert prefer_warm(plans, [volume()], both, True) == plans


def test_what_a_quote_says() -> None:
    def quote(rows: list[dict[str, Any]], keep: bool, places: list[str]) -> Any:
        return warm_quote(rows, TYPES, REGIONS, places, MODEL, 13.0, keep)

    assert quote([], False, ["us-ord"]) is None
    new = quote([], True, ["us-ord", "br-gru"])
    # Where it falls back to may be dearer.
    assert (new["new"], new["size_gb"], new["monthly"]) == (True, 75, 10.5)
    there = quote([volume()], True, ["us-ord"])
    assert (there["new"], there["state"], there["monthly"], there["filled"]) == (False, "free", 10.0, True)
    foreign = quote([volume(tags=[])], True, ["us-ord"])
    assert (foreign["new"], foreign["state"]) == (False, "foreign") and foreign["sentence"]
    with pytest.raises(Failure, match="no Block Storage"):
        quote([], True, ["nowhere"])


def test_a_kept_volume_is_spent_and_promised_within_its_month() -> None:
    so_far, ahead, unseen = volumes_cost(NOW, [volume(), volume(tags=["linode-coder"])])
    assert so_far == pytest.approx(10.0 * 250 / (2000 / 3), abs=0.1)
    assert (round(so_far + ahead, 4), unseen) == (10.0, [])
    broken = volume(tags=[tag for tag in volume()["tags"] if not tag.startswith("lc:month")])
    assert volumes_cost(NOW, [broken])[:2] == (0.0, 0.0) and volumes_cost(NOW, [broken])[2]
    seen = spending(NOW, [], [], {"euuid": "A"}, volumes=[volume()])
    assert seen.spent == pytest.approx(so_far, abs=0.001) and seen.volumes == seen.committed
    with pytest.raises(Failure, match="warm volumes"):
        refuse_beyond(seen, 10.5, 1.0, 0.5, "this")
    refuse_beyond(seen, 11.5, 1.0, 0.5, "this")
    assert first_unpaid(seen, 20.0) == {}
    assert "volumes:read_only" in spending(NOW, [], [], {"euuid": "A"}, volumes=None).unseen[0]
    # The account's own total has them in it.
    blind = spending(NOW, [], None, {"euuid": "A", "balance_uninvoiced": 40.0}, volumes=[volume()])
    assert blind.spent == 40.0


def test_a_new_volume_is_paid_to_the_end_of_the_month() -> None:
    assert 0 < new_volume_adds(NOW, 10.0) < 10.0
