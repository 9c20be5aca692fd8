"""Prices are the API's for that region, and the arithmetic is that of docs/scale.md."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from linode_coder.export.lke_cluster import check_plan, check_replicas, cluster_body, kubernetes_version
from linode_coder.export.lke_price import Prices, break_even_h, cluster_hourly, read_prices

ANSWERS: dict[str, Any] = {
    "lke/types": [
        {"id": "lke-sa", "price": {"hourly": 0.0}, "region_prices": []},
        {"id": "lke-ha", "price": {"hourly": 0.09}, "region_prices": [{"id": "br-gru", "hourly": 0.126}]},
    ],
    "nodebalancers/types": [{"id": "nodebalancer", "price": {"hourly": 0.015}, "region_prices": []}],
    "lke/versions": [{"id": "1.9"}, {"id": "1.34"}, {"id": "1.33"}, {"id": "odd"}],
}


class Reader:
    def __init__(self, **changes: Any) -> None:
        self.answers = {**ANSWERS, **{name.replace("_", "/"): value for name, value in changes.items()}}

    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        answer = self.answers[path]
        if isinstance(answer, Failure):
            raise answer
        return list(answer)


def test_a_region_has_its_own_price() -> None:
    assert read_prices(Reader(), "br-gru", 0.52) == Prices(0.52, 0.0, 0.126, 0.015)
    assert read_prices(Reader(), "us-ord", 0.52) == Prices(0.52, 0.0, 0.09, 0.015)


def test_what_the_api_does_not_name_is_not_known() -> None:
    assert read_prices(Reader(lke_types=[], nodebalancers_types=[]), "us-ord", 0.52) == Prices(0.52)


def test_hours_from_which_a_cluster_costs_less() -> None:
    assert break_even_h(2, 1, 0.52) == 12
    assert break_even_h(4, 1, 0.50, 0.125) == 7.5
    assert break_even_h(1, 1, 0.52) == 24
    # As many VMs as nodes, and something beside them: never.
    assert break_even_h(1, 1, 0.52, 0.01) is None
    assert break_even_h(2, 3, 0.52) is None


@pytest.mark.parametrize(("sessions", "nodes", "beside"), [(2, 1, 0.0), (5, 2, 0.105), (9, 3, 0.015)])
def test_at_the_break_even_both_cost_the_same(sessions: int, nodes: int, beside: float) -> None:
    hours = break_even_h(sessions, nodes, 0.52, beside)
    assert hours is not None
    assert sessions * hours * 0.52 == pytest.approx(24 * cluster_hourly(nodes, 0.52, beside))


def test_the_newest_version_is_taken() -> None:
    assert kubernetes_version(Reader(), None) == "1.34"
    assert kubernetes_version(Reader(), "1.33") == "1.33"


@pytest.mark.parametrize("wanted", ["1.31", "latest", "v1.34", "1.34.1", "1.34\n", ""])
def test_another_version_is_refused(wanted: str) -> None:
    with pytest.raises(Failure) as refused:
        kubernetes_version(Reader(), wanted)
    assert (refused.value.kind, refused.value.field) == ("usage", "kubernetes")


def test_a_token_that_may_not_read_versions_names_one() -> None:
    reader = Reader(lke_versions=Failure("scope", "no"))
    assert kubernetes_version(reader, "1.34") == "1.34"
    with pytest.raises(Failure, match="lke:read_only") as refused:
        kubernetes_version(reader, None)
    assert refused.value.kind == "scope"


@pytest.mark.parametrize("replicas", [0, -1, 101])
def test_a_pool_has_one_to_a_hundred_nodes(replicas: int) -> None:
    with pytest.raises(Failure, match="1 to 100"):
        check_replicas(replicas)
    assert [check_replicas(number) for number in (1, 100)] == [1, 100]


def test_cards_that_lke_has_not_are_refused() -> None:
    with pytest.raises(Failure, match="cannot be a node"):
        check_plan("g1-gpu-rtx6000-1")
    check_plan("g2-gpu-rtx4000a1-s")
    check_plan("g3-gpu-rtxpro6000-blackwell-1")


# Of the operation post-lke-cluster in the API's description, 4.208.1 of 2025-09 and what 4.229.1 of 2026-09 added.
REQUIRED = {"label", "region", "k8s_version", "node_pools"}
POOL_REQUIRED = {"type", "count"}


@pytest.mark.parametrize("name", ["vllm", "a" * 24])
@pytest.mark.parametrize("replicas", [1, 100])
def test_the_body_is_what_the_api_describes(name: str, replicas: int) -> None:
    body = cluster_body(name, "us-ord", "g2-gpu-rtx4000a1-s", replicas, "1.34")
    # Nothing that is optional but this, and no tags: a node must never look like a session.
    assert set(body) == REQUIRED | {"control_plane"}
    assert 1 <= len(body["label"]) <= 32
    assert body["control_plane"] == {"high_availability": False}
    (pool,) = body["node_pools"]
    assert set(pool) == POOL_REQUIRED
    assert 1 <= pool["count"] <= 100
