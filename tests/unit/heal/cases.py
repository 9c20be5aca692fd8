# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings and worlds for tests of healing, in few words."""

from __future__ import annotations

from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.attempts import Attempt, key_of
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.ladder import Observation, World
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.catalogue import CHECKS

NOW = 1_800_000_000
SUBJECTS = {"vm": "vm", "drv": "vm", "gpu": "gpu:GPU-1", "ctr": "container", "vllm": "engine", "cost": "vm"}


def finding(check: str, severity: str = "fail", **changes: Any) -> Finding:
    known = CHECKS[check]
    given = {
        "subject": SUBJECTS[check.split(".")[0]],
        "summary": f"{check} is {severity}.",
        "ladder": known.ladder if severity == "fail" else (),
        "remedy": known.remedy,
    } | changes
    return Finding(id=check, severity=severity, **given)


def world(*before: Finding, **changes: Any) -> World:
    """Ten quiet hours old; ``before`` was seen a minute ago and four minutes ago."""
    earlier = tuple(Observation(NOW - seconds, before) for seconds in (60, 240)) if before else ()
    given: dict[str, Any] = {"created": NOW - 36000, "boot_time": NOW - 36000, "running": 0, "waiting": 0}
    return World(**(given | {"earlier": earlier} | changes))


def tried(what: Finding, rung: str, ago: int, **changes: Any) -> Attempt:
    given = {"fingerprint": what.fingerprint, "outcome": "failed", "acted": True} | changes
    return Attempt(rung, key_of(what.fingerprint), NOW - ago, **given)
