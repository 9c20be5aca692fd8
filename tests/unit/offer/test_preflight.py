# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be said before money is spent, from answers that were read or could not be."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.preflight import (
    NEEDED_SCOPES,
    PATHS,
    WANTED_SCOPES,
    Answers,
    Wanted,
    preflight,
    refusal,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_800_000_000
PLAN = "g2-gpu-rtx4000a1-s"
MODEL = "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"
GOOD: dict[str, Any] = {
    "profile": {"username": "ada"},
    "account": {"balance": 0, "balance_uninvoiced": 1.5},
    "account/availability": [{"region": "us-ord", "available": ["GPU Linodes"], "unavailable": []}],
    "linode/types": [
        {
            "id": PLAN, "label": "x", "class": "gpu", "gpus": 1, "vcpus": 4, "memory": 16384, "disk": 524288,
            "price": {"hourly": 0.52, "monthly": None}, "region_prices": [],
        },
        {"id": "g6-nanode-1", "class": "nanode", "gpus": 0, "price": {"hourly": 0.0075}, "region_prices": []},
    ],
    "regions": [
        {"id": "us-ord", "capabilities": ["GPU Linodes", "Linodes"]},
        {"id": "us-west", "capabilities": ["Linodes"]},
    ],
    "linode/instances": [],
    "account/events": [],
    "regions/availability": [{"plan": PLAN, "region": "us-ord", "available": True}],
}  # fmt: skip
ALL = " ".join(NEEDED_SCOPES + WANTED_SCOPES)
LOST = Failure("transient", "The Linode API could not be read.", remedy="Try again.")


def seen(scopes: str | None = ALL, **answers: Any) -> dict[str, str]:
    named = {name.replace("__", "/"): value for name, value in answers.items()}
    found = preflight(Answers({**GOOD, **named}, scopes), Wanted(model=MODEL), NOW)
    return {finding.id.removeprefix("preflight."): finding.severity for finding in found}


def test_all_is_well() -> None:
    assert set(seen().values()) == {"pass"}


@pytest.mark.parametrize(
    ("scopes", "severity"),
    [
        ("*", "pass"),
        ("linodes:read_write firewall:read_write account:read_write events:read_write images:read_write", "pass"),
        ("linodes:read_write firewall:read_write account:read_only images:read_only", "warn"),
        ("linodes:read_only firewall:read_write events:read_only account:read_only images:read_only", "fail"),
        ("firewall:read_write", "fail"),
        ("unknown", "unknown"),
        (None, "unknown"),
    ],
)
def test_scopes(scopes: str | None, severity: str) -> None:
    found = preflight(Answers(GOOD, scopes), Wanted(model=MODEL), NOW)
    finding = next(finding for finding in found if finding.id == "preflight.scopes")
    assert finding.severity == severity
    if severity == "fail":
        assert "linodes:read_write" in finding.summary and "linodes:read_write" in finding.remedy


@pytest.mark.parametrize(
    ("wanted", "check"),
    [
        (Wanted(model=MODEL, plans=("g6-nanode-1",)), "plan"),
        (Wanted(model=MODEL, plans=("g2-gpu-rtx4000a1-x",)), "plan"),
        (Wanted(model=MODEL, regions=("us-west",)), "region"),
        (Wanted(model=MODEL, regions=("us-nowhere",)), "region"),
        (Wanted(model=MODEL, lease="30h"), "clocks"),
        (Wanted(model=MODEL, idle="1m"), "clocks"),
        (Wanted(model="Qwen/Qwen3-Coder-Next-FP8", plans=(PLAN,)), "model"),
        (Wanted(model=MODEL, context="900k"), "model"),
        (Wanted(model=MODEL, max_cost=1.0), "budget"),
        (Wanted(model=MODEL, budget=4.0), "budget"),
    ],
)
def test_each_check_can_fail(wanted: Wanted, check: str) -> None:
    findings = preflight(Answers(GOOD, ALL), wanted, NOW)
    failed = [finding for finding in findings if finding.severity == "fail"]
    assert [finding.id for finding in failed] == [f"preflight.{check}"]
    refused = refusal(findings)
    assert refused is not None and refused.exit_code == 3 and refused.remedy


@pytest.mark.parametrize(
    ("answers", "check", "severity"),
    [
        ({"account": {"balance": 12.5}}, "account", "warn"),
        ({"account__availability": [{"region": "us-ord", "unavailable": ["GPU Linodes"]}]}, "gpu_access", "fail"),
        ({"account__availability": []}, "gpu_access", "unknown"),
        ({"regions__availability": [{"plan": PLAN, "region": "us-ord", "available": False}]}, "stock", "warn"),
        ({"regions__availability": []}, "stock", "unknown"),
        ({"profile": Failure("auth", "The API token is not valid.")}, "token", "fail"),
        ({"profile": LOST}, "token", "unknown"),
    ],
)
def test_what_the_account_says(answers: dict[str, Any], check: str, severity: str) -> None:
    assert seen(**answers)[check] == severity


@given(st.sets(st.sampled_from(PATHS)))
def test_what_could_not_be_asked_never_fails(lost: set[str]) -> None:
    found = preflight(Answers({**GOOD, **dict.fromkeys(lost, LOST)}, ALL), Wanted(model=MODEL), NOW)
    assert {finding.severity for finding in found} <= {"pass", "unknown", "warn"}
    assert bool(lost - {"account/availability", "account"}) <= any(finding.severity == "unknown" for finding in found)
    assert refusal(found) is None
