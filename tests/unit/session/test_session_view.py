# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.view import session_view

from tests.hostile import CORPUS, canary

NOW = 1_800_000_000
ROW = {"id": 7, "label": "lc-demo-1", "status": "running", "type": "p", "region": "r", "ipv4": ["192.0.2.9"]}
TAGS = encode(SessionTags("demo", 1, "ada", NOW + 3600, NOW + 7200, None, 520_000, "org/M", bytes(32)))


def test_money_and_times_of_a_session() -> None:
    view = session_view({**ROW, "tags": TAGS, "created": "2027-01-15T06:30:00"}, NOW)
    assert view["started_hours"] == 2
    assert view["cost_so_far"] == 1.04
    assert view["cost_to_lease_end"] == 1.56
    assert (view["created"], view["paid_until"]) == ("2027-01-15T06:30:00Z", "2027-01-15T08:30:00Z")
    assert (view["lease_end"], view["lease_left"]) == ("2027-01-15T09:00:00Z", 3600)
    assert (view["complete"], view["idle_minutes"]) == (True, None)


def test_what_tags_do_not_say_is_none_and_listed() -> None:
    view = session_view(
        {**ROW, "tags": ["linode-coder", "lc:lease:9" + "9" * 40], "created": "2027-01-15T06:30:00"}, NOW
    )
    assert (view["name"], view["hourly"], view["cost_so_far"], view["lease_end"]) == (None, None, None, None)
    assert view["complete"] is False
    assert {"session", "hourly_micros", "host_key", "lease_end", "idle_minutes"} <= set(view["missing"])


@pytest.mark.parametrize(
    ("plan", "gpus", "gpu"),
    [
        ("g2-gpu-rtx4000a2-s", 2, "NVIDIA RTX 4000 Ada Generation"),
        ("g2-gpu-rtx4000a9-new", None, "NVIDIA RTX 4000 Ada Generation"),
        ("p", None, None),
        (None, None, None),
    ],
)
def test_the_plan_tells_the_gpus(plan: str | None, gpus: int | None, gpu: str | None) -> None:
    view = session_view({**ROW, "type": plan, "tags": TAGS, "created": "2027-01-15T06:30:00"}, NOW)
    assert (view["plan"], view["gpus"], view["gpu"]) == (plan, gpus, gpu)


@pytest.mark.parametrize("text", [*CORPUS.values(), *canary("x").values(), "", "all", "Team\n", "a" * 25])
def test_a_group_is_called_as_a_session_may_be_or_there_is_none(text: str) -> None:
    row = {**ROW, "created": "2027-01-15T06:30:00"}
    assert session_view({**row, "tags": [*TAGS, f"lc:group:{text}"]}, NOW)["group"] is None
    view = session_view({**row, "tags": [*TAGS, "LC:Group:Team"]}, NOW)
    assert (view["group"], view["complete"]) == ("team", True)


OTHERS = ["-oProxyCommand=x", "name.example", "192.0.2.9 x", "192.0.2", "192.0.2.9\n", "192.0.2.256", "0xc0.1", ""]


@pytest.mark.parametrize("address", [*OTHERS, None, 7, {}, *CORPUS.values(), *canary("x").values()])
def test_an_address_is_one_or_there_is_none(address: Any) -> None:
    row = {**ROW, "tags": TAGS, "created": "2027-01-15T06:30:00"}
    assert session_view({**row, "ipv4": [address]}, NOW)["address"] is None
    assert session_view({**row, "ipv4": [address, "192.0.2.9"]}, NOW)["address"] == "192.0.2.9"
