"""How long `up` may take: shown before it is asked for, and beside what it took."""

from __future__ import annotations

from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.bring_up_time import estimate

from ..local import history
from ..playbook.phases import title
from ..terminal.phase_lines import about


def expected(quote: dict[str, Any]) -> dict[str, Any]:
    """Of a session that does not exist yet, at its first place; as `estimate` gives it."""
    fit = quote["engine"]["fit"] or {}
    gib = fit.get("weights_gib")
    weights = None if gib is None else gib * (fit.get("tensor_parallel") or 1) * 2**30
    return estimate(history.phases_before(quote["offers"][0]["plan"], quote["model"]), weights)


def describe_expected(found: dict[str, Any]) -> list[str]:
    phases = ", ".join(f"{title(name)} {about(seconds)}" for name, seconds in found["phases"].items())
    source = f"as the last {found['runs']} took" if found["runs"] > 1 else "as the last one took"
    return [
        f"time     about {about(found['seconds'])} to the first token ({source if found['runs'] else 'an estimate'}): {phases}"
    ]


def remember(view: dict[str, Any], timeline: dict[str, Any] | None, created: bool) -> None:
    """What this run took, for the estimates to come. Only of one that made the VM: the others had less to do."""
    if timeline and created:
        history.took(view["plan"], view["model"], {row["name"]: row["seconds"] for row in timeline["phases"]})
