# SPDX-License-Identifier: GPL-3.0-or-later
"""What a quote says: of a new session, of one that exists, and of another model on its VM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time, parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import known_plan
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue_data import DEFAULT_MODEL
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer import quote as quote_module
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.offers import Offer
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.quote import (
    affordable,
    find_session,
    make_quote,
    quote_switch,
    within_budget,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.wanted import Wanted
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode

ADA_S, ADA_M, ADA_2, ADA_4 = "g2-gpu-rtx4000a1-s", "g2-gpu-rtx4000a1-m", "g2-gpu-rtx4000a2-s", "g2-gpu-rtx4000a4-s"
PRO_4 = "g3-gpu-rtxpro6000-blackwell-4"
TURING_3, NEW = "g1-gpu-rtx6000-3", "g9-gpu-new-1"
PRICES = {ADA_S: 0.52, ADA_M: 0.67, ADA_2: 1.05, ADA_4: 2.96}
NOW = parse_time("2026-11-29T12:00:00")
HOUR = 3600
LARGE = "Qwen/Qwen3.6-27B"
SMALL = "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"


def plan_row(name: str, hourly: float | None, **changes: Any) -> dict[str, Any]:
    plan = known_plan(name)
    row = {"id": name, "class": "gpu", "price": {"hourly": hourly}, "region_prices": []}
    if plan is not None:
        row |= {"gpus": plan.gpus, "vcpus": plan.vcpus, "memory": plan.memory_mb, "disk": plan.disk_mb}
    return row | changes


class Account:
    """The reads of an account with one region, and which of them were made."""

    def __init__(self, *instances: dict[str, Any]) -> None:
        self.asked: list[str] = []
        self.rows: dict[str, list[dict[str, Any]]] = {
            "linode/instances": list(instances),
            "linode/types": [plan_row(name, hourly) for name, hourly in PRICES.items()],
            "regions": [{"id": "us-ord", "capabilities": ["GPU Linodes"]}],
            "regions/availability": [],
            "volumes": [],
            "account/events": [],
        }

    def get(self, path: str) -> dict[str, Any]:
        self.asked.append(path)
        return {"euuid": "E1", "balance_uninvoiced": 0.0}

    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        self.asked.append(path)
        return self.rows[path]


def vm(
    generation: int = 1, *, age: int = 90 * 60, left: int = 2 * HOUR, model: str = SMALL, **changes: Any
) -> dict[str, Any]:
    tags = SessionTags(
        "demo", generation, "ada", NOW + left, NOW - age + 24 * HOUR, 45, 520_000, model, bytes(range(32))
    )
    row = {"id": generation, "label": f"lc-demo-{generation}", "status": "running", "type": ADA_S, "region": "us-ord"}
    return {**row, "ipv4": ["192.0.2.9"], "created": format_time(NOW - age), "tags": encode(tags), **changes}


def quoted(account: Account, /, *, plans: Sequence[str] = (), **asked: Any) -> dict[str, Any]:
    """The quote for a session called demo; what is not asked of it is an option of the quote."""
    options = {
        name: asked.pop(name)
        for name in ("owner", "generation", "access", "has_hub_token", "instances")
        if name in asked
    }
    return make_quote(account, "demo", Wanted(plans=tuple(plans), **asked), now=NOW, **options)


def refused(account: Account, **asked: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        quoted(account, **asked)
    return caught.value


# -- offers and money --------------------------------------------------------------------------------------------------


DEAR, CHEAP = (Offer("p", "r", hourly, 1, None, None, None) for hourly in (2.0, 0.5))


@pytest.mark.parametrize(
    ("max_cost", "left"),
    [(None, [DEAR, CHEAP]), (4.0, [DEAR, CHEAP]), (3.99, [CHEAP]), (1.0, [CHEAP])],
)
def test_what_the_lease_may_cost(max_cost: float | None, left: list[Offer]) -> None:
    assert affordable([DEAR, CHEAP], max_cost, NOW, NOW + 2 * HOUR) == left


@pytest.mark.parametrize(
    ("max_cost", "said"), [(0.49, "does not even pay one hour at $0.50"), (0.5, "would cost $1.00"), (0.99, "$1.00")]
)
def test_what_no_offer_is_cheap_enough_for(max_cost: float, said: str) -> None:
    with pytest.raises(Failure, match="max_cost") as caught:
        affordable([DEAR, CHEAP], max_cost, NOW, NOW + 2 * HOUR)
    assert said in caught.value.message


@pytest.mark.parametrize(("room", "left"), [(4.0, [DEAR, CHEAP]), (3.99, [CHEAP]), (1.0, [CHEAP]), (0.1, [CHEAP])])
def test_what_a_budget_has_room_for(room: float, left: list[Offer]) -> None:
    assert within_budget([DEAR, CHEAP], room, NOW, NOW + 2 * HOUR) == left


# -- a new session -----------------------------------------------------------------------------------------------------


def test_a_cheaper_plan_is_offered_however_many_regions_the_dearer_one_has() -> None:
    account = Account()
    account.rows["regions"] = [{"id": f"r-{number}", "capabilities": ["GPU Linodes"]} for number in range(20)]
    found = quoted(account, plans=[ADA_2, ADA_M], model=SMALL, lease="2h")
    assert [row["plan"] for row in found["offers"]] == [ADA_2] * 6 + [ADA_M] * 6
    assert list(found["engines"]) == [ADA_2, ADA_M]
    # Only the cheaper one is within the limit; all of its regions are, then.
    limited = quoted(account, plans=[ADA_2, ADA_M], model=SMALL, lease="2h", max_cost=1.5)
    assert [row["plan"] for row in limited["offers"]] == [ADA_M] * 12
    assert limited["hourly_max"] == PRICES[ADA_M]


def test_a_new_session_in_full() -> None:
    found = quoted(Account(), plans=[ADA_M, ADA_2], model="gpt-oss-20b", lease="90m", cap="3h", owner="Ada L")
    engines = found.pop("engines")
    offers = found.pop("offers")
    assert list(engines) == [ADA_M, ADA_2]
    assert [(row["plan"], row["region"], row["hourly"]) for row in offers] == [
        (ADA_M, "us-ord", 0.67),
        (ADA_2, "us-ord", 1.05),
    ]
    assert found == {
        "session": "demo",
        "label": "lc-demo-1",
        "generation": 1,
        "owner": "ada-l",
        "lease_end": "2026-11-29T13:30:00Z",
        "lease_end_epoch": NOW + 5400,
        "hard_cap": "2026-11-29T15:00:00Z",
        "hard_cap_epoch": NOW + 3 * HOUR,
        "idle_minutes": 45,
        "existing": None,
        "changes": {},
        "kept": [],
        "aliases": None,
        "traces": None,
        "places": {},
        "left_out": [],
        "budget": None,
        "engine": engines[ADA_M],
        "model": "openai/gpt-oss-20b",
        "plan": ADA_M,
        "gpus": 1,
        "gpu": "NVIDIA RTX 4000 Ada Generation",
        "sources": {"plan": "input", "gpus": "API", "gpu": "packaged", "hourly": "API", "budget": None},
        "hourly": 0.67,
        "hourly_max": 1.05,
        # The dearest offer is what may have to be paid.
        "cost_to_lease_end": 2.1,
        "cost_to_cap": 3.15,
        "paid_until": "2026-11-29T13:00:00Z",
        "warm": None,
    }


def test_what_is_left_open_has_its_defaults() -> None:
    found = quoted(Account(), generation=3)
    assert (found["owner"], found["label"], found["generation"]) == ("unknown", "lc-demo-3", 3)
    assert (found["lease_end_epoch"], found["hard_cap_epoch"]) == (NOW + 8 * HOUR, NOW + 24 * HOUR)
    # ADA_S has fewer processors than the engine asks for.
    assert ([row["plan"] for row in found["offers"]], found["model"]) == ([ADA_M], "openai/gpt-oss-20b")
    assert found["engine"]["fit"]["fits"] is True
    # A plan that was named has its own default, and where no other is left it does too.
    assert quoted(Account(), plans=[ADA_S])["model"] == SMALL
    assert quoted(Account(), budget=9.0)["sources"] | {"gpu": None} == {
        **{"plan": "cheapest", "gpus": "API", "gpu": None, "hourly": "API"},
        "budget": "input",
    }
    slow = Account()
    slow.rows["linode/types"] = [plan_row(ADA_S, 0.52), plan_row(NEW, 0.1, gpus=1)]
    found = quoted(slow)
    assert ([row["plan"] for row in found["offers"]], found["model"]) == ([ADA_S], DEFAULT_MODEL)
    found = quoted(slow, plans=[NEW])
    assert ([row["plan"] for row in found["offers"]], found["model"]) == ([NEW], DEFAULT_MODEL)


def test_a_new_session_within_a_budget() -> None:
    running = vm(age=90 * 60, left=HOUR, tags=["linode-coder", "lc:session:other", "lc:rate:500000"])
    found = quoted(Account(running), plans=[ADA_M, ADA_2], model="gpt-oss-20b", lease="2h", budget=4.0)
    # Two hours of the other one are spent, so 3 dollars are left: both offers go into it.
    assert [row["plan"] for row in found["offers"]] == [ADA_M, ADA_2]
    told = {name: found["budget"][name] for name in ("budget", "spent", "adds", "left")}
    assert told == {"budget": 4.0, "spent": 1.0, "adds": 2.1, "left": pytest.approx(0.9)}
    tight = quoted(Account(running), plans=[ADA_M, ADA_2], model="gpt-oss-20b", lease="2h", budget=2.5)
    assert ([row["plan"] for row in tight["offers"]], tight["budget"]["adds"]) == ([ADA_M], 1.34)
    assert "the session demo" in refused(Account(running), plans=[ADA_M], lease="2h", budget=2.3).message
    known = {"linode_id": 9, "account": "E1", "created": format_time(NOW - HOUR), "ended": format_time(NOW)}
    spent = quoted(Account(), plans=[ADA_M], lease="1h", budget=9.0, records=({**known, "hourly": 2.5},))
    assert spent["budget"]["spent"] == 2.5
    # A running VM whose price nobody knows is taken as the dearest offer.
    unpriced = vm(age=30 * 60, left=HOUR, tags=["linode-coder", "lc:session:other"])
    assert quoted(Account(unpriced), plans=[ADA_M, ADA_2], budget=99.0)["budget"]["spent"] == 1.05


def test_plans_that_were_named_and_are_not_offered_are_told() -> None:
    found = quoted(Account(), model="qwen3.8-27b", plans=[ADA_M, ADA_2])
    assert [row["plan"] for row in found["offers"]] == [ADA_2]
    (out,) = found["left_out"]
    assert out["plan"] == ADA_M and "GiB" in out["why"]
    assert quoted(Account(), model="qwen3.8-27b")["left_out"] == []


def test_one_variant_is_chosen_for_all_plans() -> None:
    account = Account()
    account.rows["linode/types"] = [plan_row(ADA_M, 0.67), plan_row(TURING_3, 4.5)]
    best = {plan: quoted(account, model="qwen3.5-4b", plans=[plan])["model"] for plan in (ADA_M, TURING_3)}
    assert best[ADA_M] != best[TURING_3]
    for plans in ([ADA_M, TURING_3], [TURING_3, ADA_M]):
        found = quoted(account, model="qwen3.5-4b", plans=plans)
        assert {engine["variant"] for engine in found["engines"].values()} == {found["model"]} == {best[plans[0]]}


def test_a_default_that_a_users_catalogue_took_the_place_of_is_served_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quote_module, "catalogue", tuple)
    assert quoted(Account(), plans=[ADA_M], access=False)["model"] == DEFAULT_MODEL


# -- what does not fit -------------------------------------------------------------------------------------------------


def test_a_refusal_names_what_would_fit_where_and_for_how_much() -> None:
    failure = refused(Account(), model=LARGE, plans=[ADA_M])
    assert (failure.kind, failure.field, failure.value) == ("refused", "model", "qwen3.6-27b")
    assert failure.message == f"{LARGE} does not fit on {ADA_M}."
    assert f"{LARGE} fits on {ADA_4} at $2.96/h with a context of " in str(failure.remedy)
    assert f"{ADA_M} serves for example openai/gpt-oss-20b." in str(failure.remedy)
    unpriced = Account()
    unpriced.rows["linode/types"][-1]["price"]["hourly"] = None
    remedy = str(refused(unpriced, model=LARGE, plans=[ADA_M]).remedy)
    assert "fits on" not in remedy and "serves for example" in remedy
    unpriced.rows["linode/types"].pop()
    assert "It fits on no plan of this account." in str(refused(unpriced, model=LARGE, plans=[ADA_M]).remedy)
    # Nothing was named: the largest plan says why, of those whose card is known.
    unpriced.rows["linode/types"].insert(0, plan_row(NEW, 0.1, gpus=1))
    unpriced.rows["linode/types"].insert(0, plan_row("g1-gpu-rtx6000-1", 1.5))
    assert refused(unpriced, model=LARGE).message.endswith(f"does not fit on {ADA_2}.")


def test_a_refusal_says_nothing_that_is_not_known() -> None:
    unlisted = str(refused(Account(), model="org/unlisted-1b", tensor_parallel=2, plans=[ADA_M]).remedy)
    assert "org/unlisted-1b fits on" in unlisted and "None" not in unlisted
    full = Account()
    full.rows["linode/types"].append(plan_row(NEW, 0.1, gpus=1, disk=1000))
    assert "serves for example" not in str(refused(full, model="gpt-oss-120b", plans=[NEW]).remedy)
    # Nor the model itself.
    assert "serves for example" not in str(refused(full, model=SMALL, tensor_parallel=2, plans=[ADA_S]).remedy)


def test_access_is_asked_for_unless_it_is_left_open() -> None:
    asked = {"model": "meta-llama/Llama-3.3-70B-Instruct", "plans": [PRO_4]}
    account = Account()
    account.rows["linode/types"].append(plan_row(PRO_4, 12.0))
    assert refused(account, **asked).field == "hf_token"
    for more in ({"access": False}, {"has_hub_token": True}):
        assert quoted(account, **asked, **more)["model"] == "meta-llama/Llama-3.3-70B-Instruct"


def test_a_refusal_names_a_context_that_fits() -> None:
    failure = refused(Account(), model="devstral-small-2-24b", plans=[ADA_2], context="200K")
    assert (failure.kind, failure.field, failure.value) == ("refused", "context", 204800)
    assert "Here a context of 78848 tokens fits." in str(failure.remedy)
    assert "serves for example" not in str(failure.remedy)
    # With none at all it is the model that does not fit.
    failure = refused(Account(), model="gpt-oss-120b", plans=[ADA_M], context="64K")
    assert (failure.field, failure.value) == ("model", "gpt-oss-120b")


def test_a_refusal_names_the_spread_when_only_that_is_wrong() -> None:
    failure = refused(Account(), model="qwen3-14b", tensor_parallel=2, plans=[ADA_M])
    assert (failure.kind, failure.field, failure.value) == ("usage", "tensor_parallel", 2)
    assert f"does not fit on {ADA_M} over 2 GPUs." in failure.message
    failure = refused(Account(), model="gpt-oss-120b", tensor_parallel=2, plans=[ADA_2])
    assert (failure.kind, failure.field) == ("refused", "model")


# -- a session that exists ---------------------------------------------------------------------------------------------


def test_a_session_that_exists_in_full() -> None:
    account = Account(vm())
    found = quoted(account)
    assert account.asked == ["linode/instances"]
    engine, existing = found.pop("engine"), found.pop("existing")
    assert (engine["variant"], engine["plan"], existing["label"]) == (SMALL, ADA_S, "lc-demo-1")
    assert found == {
        "session": "demo",
        "label": "lc-demo-1",
        "generation": 1,
        "model": SMALL,
        "engines": {ADA_S: engine},
        "owner": "ada",
        "lease_end": "2026-11-29T14:00:00Z",
        "lease_end_epoch": NOW + 2 * HOUR,
        "hard_cap": "2026-11-30T10:30:00Z",
        "hard_cap_epoch": NOW + 81000,
        "idle_minutes": 45,
        "changes": {},
        "kept": [],
        "aliases": None,
        "traces": None,
        "places": {},
        "offers": [],
        "plan": ADA_S,
        "gpus": 1,
        "gpu": "NVIDIA RTX 4000 Ada Generation",
        "sources": {"plan": "VM", "gpus": "packaged", "gpu": "packaged", "hourly": "tag", "budget": None},
        "hourly": 0.52,
        "hourly_max": 0.52,
        # From its creation at 10:30 to 14:00, in started hours.
        "cost_to_lease_end": 2.08,
        "cost_to_cap": None,
        "paid_until": "2026-11-29T12:30:00Z",
        "warm": None,
        "budget": None,
    }


def test_a_session_that_exists_changes_what_its_tags_can_take() -> None:
    found = quoted(Account(vm()), lease="6h", idle="90m")
    assert found["changes"] == {"until": "2026-11-29T16:30:00Z", "idle": "90m"}
    assert (found["lease_end"], found["lease_end_epoch"]) == ("2026-11-29T16:30:00Z", NOW + 16200)
    assert (found["cost_to_lease_end"], found["idle_minutes"], found["kept"]) == (3.12, 90, [])
    shorter = quoted(Account(vm()), lease="1h", max_cost=1.0)
    assert (shorter["changes"], shorter["cost_to_lease_end"], len(shorter["kept"])) == ({}, 2.08, 2)
    assert quoted(Account(vm()), idle="off")["idle_minutes"] is None


def test_a_budget_counts_only_what_a_longer_lease_adds() -> None:
    # 2 hours so far and 2 promised; 6 from its creation, so the longer lease adds 2.
    told = quoted(Account(vm()), lease="6h", budget=9.0)["budget"]
    assert (told["spent"], told["committed"], told["adds"]) == (1.04, 1.04, 1.04)
    assert told["left"] == pytest.approx(9.0 - 3.12)
    assert "a longer lease of demo" in refused(Account(vm()), lease="6h", budget=3.0).message
    kept = Account(vm())
    assert quoted(kept, budget=0.5)["budget"] is None
    assert kept.asked == ["linode/instances"]


def test_without_tags_for_it_a_session_has_no_end_and_no_price() -> None:
    bare = vm(tags=["linode-coder", "lc:session:demo"], type=None)
    found = quoted(Account(bare))
    names = ("lease_end", "lease_end_epoch", "hard_cap", "hard_cap_epoch", "cost_to_lease_end", "model", "engine")
    assert {name: found[name] for name in names} == dict.fromkeys(names)
    assert found["engines"] == {}


def test_a_plan_that_only_the_account_knows_is_asked_for() -> None:
    named = Account(vm(type=NEW))
    named.rows["linode/types"].append(plan_row(NEW, 1.0, gpus=1))
    assert quoted(named)["engine"]["plan"] == NEW
    assert named.asked == ["linode/instances", "linode/types"]
    gone = quoted(Account(vm(type="g9-gpu-gone-1")))
    assert (gone["engine"], gone["model"]) == (None, SMALL)


def test_a_session_that_exists_keeps_its_model() -> None:
    assert quoted(Account(vm()), model=SMALL)["model"] == SMALL
    assert quoted(Account(vm()), model="qwen2.5-coder-7b")["model"] == SMALL
    failure = refused(Account(vm()), model="openai/gpt-oss-20b")
    assert (failure.kind, failure.field, failure.value) == ("refused", "model", "openai/gpt-oss-20b")
    # Another variant is another model.
    first, other = "nvidia/Qwen3.6-35B-A3B-NVFP4", "Qwen/Qwen3.6-35B-A3B-FP8"
    large = Account(vm(model=other, type=ADA_4))
    assert quoted(large)["model"] == quoted(large, model="qwen3.6-35b-a3b")["model"] == other
    failure = refused(large, model=first)
    assert (failure.kind, failure.field, failure.value) == ("refused", "model", first)


@pytest.mark.parametrize(
    ("served", "model"), [("org/unlisted-1b", "org/unlisted-1b"), ("qwen2.5-coder-7b", SMALL), (SMALL.lower(), SMALL)]
)
def test_what_the_tags_say_is_served(served: str, model: str) -> None:
    found = quoted(Account(vm(model=served)))
    assert (found["model"], found["engine"]["variant"]) == (model, model)


def test_the_newest_vm_that_is_not_going_is_the_session() -> None:
    rows = [vm(2), vm(3), vm(1), vm(4, status="deleting")]
    found = find_session(rows, "demo", NOW)
    assert found is not None and found["label"] == "lc-demo-3"
    unnumbered = vm(1, label="lc-x", tags=[tag for tag in vm()["tags"] if not tag.startswith("lc:gen:")])
    found = find_session([unnumbered, vm(1)], "demo", NOW)
    assert found is not None and found["label"] == "lc-demo-1"
    assert find_session(rows, "other", NOW) is None
    assert find_session([vm(status="deleting")], "demo", NOW) is None


def test_instances_that_were_read_are_not_read_again() -> None:
    account = Account()
    assert quoted(account, instances=[vm()])["label"] == "lc-demo-1"
    assert quote_switch(account, "demo", Wanted(model=SMALL), now=NOW, instances=[vm()])["serves"] == SMALL
    assert account.asked == []


# -- another model -----------------------------------------------------------------------------------------------------


def switched(account: Account, model: str = "qwen3-8b", **asked: Any) -> dict[str, Any]:
    return quote_switch(account, "demo", Wanted(model=model, **asked), now=NOW)


def test_another_model_in_full() -> None:
    account = Account(vm())
    found = switched(account, "Qwen/Qwen3-14B-AWQ")
    engine, existing = found.pop("engine"), found.pop("existing")
    assert (engine["variant"], engine["plan"], existing["label"]) == ("Qwen/Qwen3-14B-AWQ", ADA_S, "lc-demo-1")
    assert found == {
        "budget": None,
        "session": "demo",
        "serves": SMALL,
        "model": "Qwen/Qwen3-14B-AWQ",
        "aliases": None,
    }
    assert account.asked == ["linode/instances"]


def test_aliases_are_asked_for_taken_away_or_left() -> None:
    """Of a new session, of one that exists, and with another model: three lists, and none is the catalogue's."""
    for ask in (
        lambda names: quoted(Account(), model="gpt-oss-20b", aliases=names),
        lambda names: quoted(Account(vm()), aliases=names),
        lambda names: switched(Account(vm()), SMALL, aliases=names),
    ):
        assert ask(("gpt-4o", "claude-opus-4-8", "gpt-4o"))["aliases"] == ["gpt-4o", "claude-opus-4-8"]
        assert ask(("off",))["aliases"] == []
        with pytest.raises(Failure) as caught:
            ask(("--host",))
        assert (caught.value.kind, caught.value.field, caught.value.value) == ("usage", "alias", "--host")


def test_traces_are_asked_for_taken_away_or_left() -> None:
    for ask in (
        lambda where: quoted(Account(), model="gpt-oss-20b", traces=where),
        lambda where: quoted(Account(vm()), traces=where),
    ):
        assert ask("http://otel.example.com:4318")["traces"] == "http://otel.example.com:4318/v1/traces"
        assert (ask("off")["traces"], ask(None)["traces"]) == ("", None)
        with pytest.raises(Failure, match="traces 'otel'"):
            ask("otel")


def test_another_model_adds_nothing_to_a_budget_that_is_not_spent() -> None:
    told = switched(Account(vm()), SMALL, budget=1.5)["budget"]
    assert (told["adds"], told["spent"], told["left"]) == (0.0, 1.04, pytest.approx(1.5 - 2.08))
    with pytest.raises(Failure, match="another model on demo"):
        switched(Account(vm()), SMALL, budget=1.0)


@pytest.mark.parametrize(
    ("account", "model", "kind", "field"),
    [
        (Account(), SMALL, "not_found", "session"),
        (Account(vm(type=None)), SMALL, "conflict", "session"),
        (Account(vm(type="g9-gpu-gone-1")), SMALL, "conflict", "session"),
        (Account(vm()), "gpt-oss-120b", "refused", "model"),
        (Account(vm()), "meta-llama/Llama-3.3-70B-Instruct", "refused", "model"),
    ],
)
def test_what_cannot_be_switched(account: Account, model: str, kind: str, field: str) -> None:
    with pytest.raises(Failure) as caught:
        switched(account, model)
    assert (caught.value.kind, caught.value.field) == (kind, field)
