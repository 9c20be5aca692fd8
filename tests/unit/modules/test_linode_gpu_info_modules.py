# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that only read: quote, plans, sessions."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.session_report import session_report
from scripted_linode import Fault, ScriptedLinode

ADA_S = "g2-gpu-rtx4000a1-s"


def test_quote_prices_the_lease_in_started_hours(api: ScriptedLinode, run: Any) -> None:
    quote = run("linode_gpu_quote", session="demo", plans=[ADA_S], regions=["us-ord"], lease="2h30m")["quote"]
    hourly = quote["hourly"]
    assert [(offer["plan"], offer["region"]) for offer in quote["offers"]] == [(ADA_S, "us-ord")]
    assert quote["cost_to_lease_end"] == pytest.approx(3 * hourly)
    assert quote["existing"] is None
    assert {call.method for call in api.calls} == {"GET"}


def test_quote_without_wishes_offers_the_lowest_price_only(run: Any) -> None:
    offers = run("linode_gpu_quote", session="demo")["quote"]["offers"]
    assert len(offers) > 1
    assert {offer["hourly"] for offer in offers} == {min(offer["hourly"] for offer in offers)}


def test_advertised_regions_come_first(api: ScriptedLinode, run: Any) -> None:
    api.availability = [{"plan": ADA_S, "region": "us-sea", "available": True}]
    offers = run("linode_gpu_quote", session="demo", plans=[ADA_S])["quote"]["offers"]
    assert (offers[0]["region"], offers[0]["advertised"]) == ("us-sea", True)


def test_quote_of_an_existing_session_reads_no_catalogue(api: ScriptedLinode, run: Any, tags: list[str]) -> None:
    api.add("lc-demo-1", tags)
    quote = run("linode_gpu_quote", session="demo")["quote"]
    assert quote["existing"]["label"] == "lc-demo-1"
    assert quote["hourly"] == 0.52
    assert len(api.calls) == 1


def test_budget_leaves_out_dear_offers_and_refuses_when_none_is_left(run: Any) -> None:
    plans = ["g2-gpu-rtx4000a1-xl", ADA_S]
    within = run("linode_gpu_quote", session="demo", plans=plans, regions=["us-ord"], lease="2h", max_cost=1.5)
    assert [offer["plan"] for offer in within["quote"]["offers"]] == [ADA_S]
    for max_cost, text in ((0.4, "one hour"), (1.0, "lease would cost")):
        refused = run(
            "linode_gpu_quote", session="demo", plans=plans, regions=["us-ord"], lease="2h", max_cost=max_cost
        )
        assert (refused["failure"]["exit_code"], refused["failure"]["field"]) == (3, "max_cost")
        assert text in refused["failure"]["message"]


@pytest.mark.parametrize(
    ("arguments", "field", "hint"),
    [
        ({"session": "Demo_1"}, "session", "a-z"),
        ({"plans": ["g2-gpu-rtx4000a1-z"]}, "plan", ADA_S),
        ({"plans": ["g6-nanode-1"]}, "plan", "gpu"),
        ({"regions": ["us-rod"]}, "region", "us-ord"),
        ({"lease": "0h"}, "lease", "2h"),
        ({"lease": "48h"}, "lease", "cap"),
        ({"lease": "soon"}, "lease", "8h"),
        ({"idle": "0m"}, "idle", "off"),
        ({"model": "two words"}, "model", "organisation/name"),
    ],
)
def test_bad_input_names_field_value_and_remedy(run: Any, arguments: dict[str, Any], field: str, hint: str) -> None:
    failure = run("linode_gpu_quote", **({"session": "demo"} | arguments))["failure"]
    assert (failure["exit_code"], failure["field"]) == (2, field)
    assert hint in failure["remedy"]
    value = next(iter(arguments.values()))
    assert str(value[0] if isinstance(value, list) else value) in failure["message"]


def test_missing_and_bad_token(api: ScriptedLinode, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LINODE_TOKEN", raising=False)
    missing = run("linode_gpu_quote", session="demo", api_token=None)["failure"]
    assert (missing["exit_code"], "LINODE_TOKEN" in missing["message"]) == (4, True)
    api.faults.append(Fault("GET", ".*", 401, "Invalid Token", headers={"X-OAuth-Scopes": "unknown"}))
    assert run("linode_gpu_quote", session="demo")["failure"]["kind"] == "auth"
    api.faults.append(
        Fault(
            "GET",
            ".*",
            401,
            "Your OAuth token is not authorized to use this endpoint.",
            headers={"X-OAuth-Scopes": "images:read_only", "X-Accepted-OAuth-Scopes": "linodes:read_only"},
        )
    )
    scope = run("linode_gpu_quote", session="demo")["failure"]
    assert (scope["kind"], "linodes:read_only" in scope["message"]) == ("scope", True)


def test_reads_are_repeated(api: ScriptedLinode, run: Any, tags: list[str]) -> None:
    api.add("lc-demo-1", tags)
    api.faults.append(Fault("GET", "linode/instances", 429, "Too many requests", headers={"Retry-After": "0"}))
    api.faults.append(Fault("GET", "linode/instances", 503))
    assert [row["name"] for row in run("linode_gpu_instance_info")["sessions"]] == ["demo"]
    assert len(api.calls) == 3


def test_plan_info_joins_price_and_region(run: Any) -> None:
    result = run("linode_gpu_plan_info", min_vram_gb=40)
    assert result["cheapest"] == result["offers"][0]
    assert all(offer["vram_gb"] >= 40 for offer in result["offers"])
    assert result["offers"] == sorted(result["offers"], key=lambda offer: offer["hourly"])


def test_plan_info_says_where_a_model_fits(run: Any) -> None:
    result = run("linode_gpu_plan_info", model="gpt-oss-120b", context="64K")
    fits = {row["id"]: row["fit"]["fits"] for row in result["plans"]}
    assert fits["g3-gpu-rtxpro6000-blackwell-1"] is True and fits[ADA_S] is False
    assert "GiB" in next(row["fit"]["why"] for row in result["plans"] if row["id"] == ADA_S)
    assert {offer["plan"] for offer in result["offers"]} == {plan for plan, fit in fits.items() if fit is not False}
    assert result["cheapest"]["plan"] == next(row["id"] for row in result["plans"] if row["fit"]["fits"])
    prices = [row["hourly"] for row in result["plans"]]
    assert prices == sorted(prices) and None not in prices
    nowhere = run("linode_gpu_plan_info", plans=[ADA_S], model="gpt-oss-120b")
    assert (nowhere["offers"], nowhere["cheapest"], len(nowhere["plans"])) == ([], None, 1)


@pytest.mark.parametrize(
    ("asked", "field", "hint"),
    [
        ({"model": "gpt-os-20b"}, "model", "gpt-oss-20b"),
        ({"model": "gpt-oss-20b", "context": "1M"}, "context", "64K"),
        ({"model": "gpt-oss-20b", "variant": "fp8"}, "variant", "mxfp4"),
        ({"model": "qwen2.5-coder-7b", "tensor_parallel": 3}, "tensor_parallel", "1, 2 or 4"),
    ],
)
def test_plan_info_refuses_what_no_model_can_be(
    api: ScriptedLinode, run: Any, asked: dict[str, Any], field: str, hint: str
) -> None:
    failure = run("linode_gpu_plan_info", **asked)["failure"]
    assert (failure["exit_code"], failure["field"]) == (2, field)
    assert hint in failure["remedy"] and api.calls == []


def test_instance_info_shows_ours_only(api: ScriptedLinode, run: Any, tags: list[str]) -> None:
    api.add("lc-demo-1", tags)
    api.add("unrelated", ["web"])
    result = run("linode_gpu_instance_info", session="demo")
    assert [(row["name"], row["owner"], row["complete"]) for row in result["sessions"]] == [("demo", "ada", True)]
    assert run("linode_gpu_instance_info", session="other")["sessions"] == []


@pytest.mark.parametrize(("asked", "kind", "remedy"), [("dem", "not_found", "Did you mean demo?"), ("", "usage", "")])
def test_a_session_that_must_exist_is_a_typed_failure(
    api: ScriptedLinode, run: Any, tags: list[str], asked: str, kind: str, remedy: str
) -> None:
    api.add("lc-demo-1", tags)
    failure = run("linode_gpu_instance_info", session=asked, must_exist=True)["failure"]
    assert (failure["kind"], failure["field"]) == (kind, "session")
    assert remedy in failure["remedy"]


def _ago(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - seconds))


@pytest.mark.parametrize(
    ("created", "events", "age", "severity"),
    [
        (30, [], 30, "warn"),
        (5000, [("linode_boot", 900), ("linode_update", 5)], 900, "fail"),
        (5000, [("linode_boot", 900), ("linode_reboot", 60)], 60, "warn"),
        (5000, [], 5000, "fail"),
    ],
)
def test_how_long_a_vm_has_been_on_its_way(
    api: ScriptedLinode,
    run: Any,
    tags: list[str],
    created: int,
    events: list[tuple[str, int]],
    age: int,
    severity: str,
) -> None:
    row = api.add("lc-demo-1", tags, status="booting", created=_ago(created))
    entity = {"id": row["id"], "type": "linode"}
    api.events = [
        {"id": number, "action": action, "created": _ago(ago), "entity": entity, "status": "finished"}
        for number, (action, ago) in enumerate(events)
    ]
    view = run("linode_gpu_instance_info")["sessions"][0]
    assert view["status_age"] == pytest.approx(age, abs=30)
    assert len(api.calls) == (1 if created < 600 else 2)
    assert session_report(view, None)["findings"][0]["severity"] == severity


def test_a_vm_on_its_way_is_not_late_when_nobody_can_say_how_long(
    api: ScriptedLinode, run: Any, tags: list[str]
) -> None:
    api.add("lc-demo-1", tags, status="booting", created=_ago(5000))
    api.faults.append(
        Fault(
            "GET",
            "account/events",
            401,
            "Your OAuth token is not authorized to use this endpoint.",
            headers={"X-OAuth-Scopes": "linodes:read_only", "X-Accepted-OAuth-Scopes": "events:read_only"},
        )
    )
    view = run("linode_gpu_instance_info")["sessions"][0]
    assert view["status_age"] is None
    assert session_report(view, None)["findings"][0]["severity"] == "warn"
