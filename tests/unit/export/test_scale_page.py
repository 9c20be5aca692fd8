"""The figures of docs/scale.md are those of the function that `export lke` uses, at the sandbox's prices."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from linode_coder.export.lke_price import DAY_H, break_even_h, cluster_hourly
from linode_coder.export.stack_values import CHART, CHART_VERSION

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "collections/ansible_collections/linode_coder/gpu/docs/scale.md").read_text()
PLAN = "g2-gpu-rtx4000a1-s"


def rows() -> list[list[str]]:
    lines = [line.strip("|").split("|") for line in PAGE.splitlines() if re.match(r"\| \d+ \| \$", line)]
    return [[cell.strip() for cell in line] for line in lines]


def test_the_table_is_the_arithmetic() -> None:
    assert len(rows()) == 3
    for nodes, price, beside, *hours in rows():
        for sessions, shown in zip((1, 2, 3, 4, 8), hours, strict=True):
            found = break_even_h(sessions, int(nodes), float(price[1:]), float(beside[1:]))
            assert shown == ("never" if found is None else f"{found:.1f} h"), (nodes, beside, sessions)


def test_the_price_is_the_one_that_the_sandbox_shows() -> None:
    types = json.loads((ROOT / "linode_coder/sandbox/api/data/types.json").read_text())
    (plan,) = [row for row in types if row["id"] == PLAN]
    assert PLAN in PAGE
    assert {row[1] for row in rows()} == {f"${plan['price']['hourly']:.2f}"}


@pytest.mark.parametrize("nodes", [1, 2, 5])
@pytest.mark.parametrize("beside", [0.0, 0.105])
def test_a_pool_that_shrinks_to_one_node_never_costs_less_than_as_many_vms(nodes: int, beside: float) -> None:
    for hours in range(1, DAY_H + 1):
        pool = DAY_H * cluster_hourly(1, 0.52, beside) + (nodes - 1) * hours * 0.52
        assert pool > nodes * hours * 0.52 or (beside == 0 and hours == DAY_H)


def test_the_chart_is_the_one_that_is_meant() -> None:
    assert f"`{CHART}` {CHART_VERSION}" in PAGE
    assert CHART_VERSION in (Path(__file__).parent / "vllm_stack" / "ORIGIN.md").read_text()
