# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What took how long while a VM was brought up, and which of it had to be waited for."""

from __future__ import annotations

from typing import Any


def timeline(phases: dict[str, dict[str, Any]], began: float) -> dict[str, Any] | None:
    """From ``{name: {"start", "end", "after": [names]}}``, times in seconds since the epoch.

    A phase without times, or from before ``began``, was not part of this run. None when none was. The critical path goes back
    from the phase that ended last, each time to the one that it had to wait for longest; the longest chain is the time that the
    same phases need when nothing but what they wait for holds them up.
    """
    spans = {
        name: (float(phase["start"]), float(phase["end"]))
        for name, phase in phases.items()
        if phase.get("start")
        and phase.get("end")
        and float(phase["start"]) >= began - 1
        and phase["end"] >= phase["start"]
    }
    if not spans:
        return None

    def before(name: str) -> list[str]:
        """What it waits for, seen through phases that were not part of this run."""
        found: list[str] = []
        for other in phases[name].get("after") or []:
            found += [other] if other in spans else before(other) if other in phases else []
        return found

    def took(name: str) -> float:
        return spans[name][1] - spans[name][0]

    def chain(name: str) -> float:
        return took(name) + max((chain(other) for other in before(name)), default=0.0)

    path = [max(spans, key=lambda name: spans[name][1])]
    while before(path[0]):
        path.insert(0, max(before(path[0]), key=lambda name: spans[name][1]))
    ordered = sorted(spans, key=lambda name: spans[name])
    return {
        "phases": [
            {
                "name": name,
                "begins": round(max(0.0, spans[name][0] - began), 1),
                "seconds": round(took(name), 1),
                "critical": name in path,
            }
            for name in ordered
        ],
        "critical_path": path,
        "seconds": round(max(end for _start, end in spans.values()) - began, 1),
        "longest_chain": round(max(chain(name) for name in spans), 1),
        "one_after_another": round(sum(took(name) for name in spans), 1),
    }
