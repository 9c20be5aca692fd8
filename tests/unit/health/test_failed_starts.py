# SPDX-License-Identifier: GPL-3.0-or-later
"""From a container's log and its count of restarts to whether the engine fails at each start in the same way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.situation import world_of
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import evaluate
from test_health import healthy

FAILS = "frobnicate.FrobError: no frob of size {n}"
SERVES = "INFO:     Application startup complete."


def at(minute: int, *lines: str) -> str:
    begin = f"2027-01-15T08:{minute:02}:0"
    return "".join(f"{begin}{number}.5Z {line}\n" for number, line in enumerate(lines))


def start(minute: int, *lines: str) -> str:
    return at(minute, "INFO 01-15 08:00:00 [utils.py:1] non-default args: {'model': 'org/M'}", *lines)


def facts(log: str, restarts: int, status: str, minute: int) -> dict[str, Any] | None:
    state = {"Status": status, "StartedAt": f"2027-01-15T08:{minute:02}:00.1Z"}
    container = json.dumps([{"Name": "/vllm", "RestartCount": restarts, "State": state}])
    health = evaluate({**healthy(), "engine.log": log, "container.json": container})
    found = health.facts["engine"]["failed_start"]
    # Healing reads the same, on its way through JSON.
    seen = world_of({}, json.loads(json.dumps({"facts": health.facts})), (), True).failed_start
    assert (found is None) == (seen is None) and (seen is None or found == vars(seen))
    return dict(found) if found else None


ONCE, OTHER = start(1, FAILS.format(n=1)), start(1, "KeyError: 'layers'")
AGAIN = start(2, FAILS.format(n=7))


@pytest.mark.parametrize(
    ("log", "restarts", "status", "minute", "times"),
    [
        (ONCE, 0, "exited", 1, 1),
        (ONCE + AGAIN, 1, "exited", 2, 2),
        (ONCE + AGAIN, 1, "restarting", 2, 2),
        (OTHER + AGAIN, 1, "restarting", 2, 1),
        # It is on its third start, which says nothing yet.
        (ONCE + AGAIN, 2, "running", 3, 2),
        (OTHER + AGAIN, 2, "running", 3, 1),
        (ONCE + AGAIN + start(3), 2, "running", 3, 2),
        (ONCE + start(2), 1, "running", 2, 1),
        # It says why, and has not ended yet.
        (ONCE + AGAIN, 1, "running", 2, 2),
        (start(1), 0, "running", 1, None),
        (start(1, SERVES), 0, "running", 1, None),
        (start(1, SERVES, FAILS), 1, "running", 2, None),
        (start(1, SERVES) + AGAIN, 1, "restarting", 2, None),
        ("", 5, "restarting", 2, None),
    ],
)  # fmt: skip
def test_how_often_the_newest_start_has_failed(
    log: str, restarts: int, status: str, minute: int, times: int | None
) -> None:
    found = facts(log, restarts, status, minute)
    assert (found and found["times"]) == times
    assert found is None or "no frob of size" in found["error"]
