# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsed pass of the watchdog says: what would be done, and nothing as done."""

from __future__ import annotations

from typing import Any

import pytest

from linode_coder.cli.watchdog import show, would_do
from linode_coder.terminal.console import Console

DUE = {"action": "delete", "sentence": "lc-demo-1 is to be deleted because its lease ended."}


def _healing(step: dict[str, Any] | None, stop: dict[str, Any] | None) -> dict[str, Any]:
    return {"step": step, "stop": stop, "attempt": None, "outcome": None, "message": None}


DATA = {
    "sessions": [
        {"label": "lc-demo-1", "hourly": 0.5, "decision": DUE},
        {"label": "lc-late-1", "hourly": 0.5, "decision": {**DUE, "sentence": "Not this one."}},
        {"label": "lc-kept-1", "hourly": 0.5, "decision": {"action": "keep", "sentence": "lc-kept-1 stays."}},
    ],
    "deferred": ["lc-late-1"],
    "healing": {
        "lc-sick-1": _healing({"rung": "reboot", "reason": "gpu.lost fails."}, None),
        "lc-blind-1": _healing(None, {"reason": "blind", "message": "Nothing could be read."}),
    },
}


def test_what_is_due_and_the_next_rung_are_told_as_what_would_be() -> None:
    assert would_do(DATA) == [
        "lc-demo-1 is to be deleted because its lease ended.",
        "lc-sick-1: reboot would be tried: gpu.lost fails.",
    ]


def test_a_rung_that_was_only_rehearsed_has_not_failed(capsys: pytest.CaptureFixture[str]) -> None:
    show(Console(as_json=False), DATA, 0, rehearsed=True)
    said = capsys.readouterr().out
    assert "lc-sick-1" not in said
    assert "lc-blind-1: not healed: Nothing could be read." in said
