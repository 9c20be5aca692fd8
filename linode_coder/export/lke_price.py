"""What a cluster costs beside whole VMs: dollars per hour, and from how many hours a day on one of them is cheaper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

# Of the API's types: the control plane as it is, and one that is made highly available.
_CONTROL_PLANE, _HIGH_AVAILABILITY, _NODE_BALANCER = "lke-sa", "lke-ha", "nodebalancer"
DAY_H = 24


class Reader(Protocol):
    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Prices:
    """Dollars per hour in one region; None for what the API does not name."""

    node: float
    control_plane: float | None = None
    high_availability: float | None = None
    node_balancer: float | None = None


def _hourly(rows: list[dict[str, Any]], name: str, region: str) -> float | None:
    """Unlike a plan's, a price of 0 is one: the control plane may cost nothing."""
    row = next((row for row in rows if row.get("id") == name), None)
    if row is None:
        return None
    own = next((price for price in row.get("region_prices") or [] if price.get("id") == region), None)
    hourly = (own or row.get("price") or {}).get("hourly")
    return None if hourly is None else float(hourly)


def read_prices(reader: Reader, region: str, node: float) -> Prices:
    """``node`` is the price of the plan there, which a quote has read."""
    clusters = reader.list("lke/types")
    return Prices(
        node,
        _hourly(clusters, _CONTROL_PLANE, region),
        _hourly(clusters, _HIGH_AVAILABILITY, region),
        _hourly(reader.list("nodebalancers/types"), _NODE_BALANCER, region),
    )


def cluster_hourly(nodes: int, node: float, beside: float = 0.0) -> float:
    """Of ``nodes`` that are there all day; ``beside`` is what the cluster costs whatever their number."""
    return round(nodes * node + beside, 6)


def break_even_h(sessions: int, nodes: int, node: float, beside: float = 0.0) -> float | None:
    """Hours a day, paid for each of ``sessions`` VMs of the same plan, from which on ``nodes`` that serve the same people cost less.

    None where that is more than a day has.
    """
    hours = DAY_H * cluster_hourly(nodes, node, beside) / (sessions * node)
    return hours if hours <= DAY_H else None
