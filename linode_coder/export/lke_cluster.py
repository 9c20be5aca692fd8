"""The cluster as the body of POST /v4/lke/clusters, and whether a plan and a region can have it."""

from __future__ import annotations

import re
from typing import Any, Protocol

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

# The provider's page "Using GPUs on LKE": these cannot be nodes.
_NO_NODES = "gpu-rtx6000-"
MAX_NODES = 100
_VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}", re.ASCII)


class Reader(Protocol):
    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]: ...


def can_be_node(plan_id: str) -> bool:
    return _NO_NODES not in plan_id


def check_plan(plan_id: str) -> None:
    if not can_be_node(plan_id):
        raise Failure(
            "refused",
            f"plan {plan_id!r} cannot be a node of LKE: Quadro RTX 6000 plans are not offered there.",
            remedy="Choose one with RTX 4000 Ada or RTX PRO 6000 Blackwell cards: linode-coder plans",
            field="plan",
            value=plan_id,
        )


def has_clusters(region: dict[str, Any]) -> bool:
    return "Kubernetes" in (region.get("capabilities") or [])


def check_replicas(replicas: int) -> int:
    if not 1 <= replicas <= MAX_NODES:
        raise Failure(
            "usage",
            f"replicas {replicas} is not a number from 1 to {MAX_NODES}.",
            remedy=f"A pool has at most {MAX_NODES} nodes, one for each replica.",
            field="replicas",
            value=replicas,
        )
    return replicas


def kubernetes_version(reader: Reader, wanted: str | None) -> str:
    """The newest that is offered, or the ``wanted`` one; Failure(usage) for one that is not."""
    if wanted is not None and not _VERSION.fullmatch(wanted):
        raise Failure(
            "usage",
            f"kubernetes {wanted!r} is not a version.",
            remedy="Such as --kubernetes 1.34, or leave it out for the newest.",
            field="kubernetes",
            value=wanted,
        )
    try:
        offered = [str(row["id"]) for row in reader.list("lke/versions")]
    except Failure as failure:
        if failure.kind not in ("auth", "scope"):
            raise
        if wanted is not None:
            return wanted
        raise Failure(
            failure.kind,
            "Which versions of Kubernetes there are is told only to a token with lke:read_only.",
            cause=failure.message,
            remedy="Use such a token, or name the version: --kubernetes 1.34",
            field="kubernetes",
        ) from failure
    known = [version for version in offered if _VERSION.fullmatch(version)]
    if wanted is not None and wanted not in known:
        raise Failure(
            "usage",
            f"Kubernetes {wanted} is not offered by LKE.",
            remedy=f"Offered are {', '.join(known) or 'none'}.",
            field="kubernetes",
            value=wanted,
        )
    if not known:
        raise Failure("refused", "LKE offers no version of Kubernetes.", remedy="Name one: --kubernetes 1.34")
    return wanted or max(known, key=lambda version: tuple(map(int, version.split("."))))


def cluster_body(name: str, region: str, plan_id: str, replicas: int, version: str) -> dict[str, Any]:
    """A standard cluster with one pool. Its nodes carry none of our tags: no watcher of ours may take them for sessions."""
    return {
        "label": name,
        "region": region,
        "k8s_version": version,
        "control_plane": {"high_availability": False},
        "node_pools": [{"type": plan_id, "count": replicas}],
    }
