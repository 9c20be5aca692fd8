# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits for an idle moment waits for the clock that watchers keep, and not for a gap between two requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.situation import idle_seconds
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.idle_clock import IdleClock
from ansible_collections.linode_coder.gpu.plugins.modules import gpu_heal

from tests.unit.heal.cases import finding

COUNTERS = {"prompt_tokens": 10, "generation_tokens": 20, "requests": 3}
ACTIVITY = {"readable": True, "running": 0, "waiting": 0, **{name: float(value) for name, value in COUNTERS.items()}}


def record(**changes: Any) -> dict[str, Any]:
    return {"clock": IdleClock(**{"started": True, "readable": True, "idle_s": 900.5, **COUNTERS, **changes}).as_dict()}


@pytest.mark.parametrize(
    ("kept", "activity", "seconds"),
    [
        (record(), ACTIVITY, 900),
        (record(), {**ACTIVITY, "generation_tokens": 21.0}, 0),
        (record(), {**ACTIVITY, "readable": False}, 0),
        (record(), {}, 0),
        (record(readable=False), ACTIVITY, 0),
        (record(started=False), ACTIVITY, 0),
        (None, ACTIVITY, None),
        ([], ACTIVITY, None),
        ({"clock": {"schema": 9}}, ACTIVITY, None),
    ],
)
def test_the_clock_counts_only_while_nothing_was_used_since(kept: Any, activity: Any, seconds: int | None) -> None:
    assert idle_seconds(kept, activity) == seconds


def test_the_module_decides_by_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remap = finding("gpu.remap", severity="warn", ladder=("reboot_when_idle",)).as_dict()
    provider = {"status": "running", "events": [], "tags": [], "created": 0}
    given = {
        **{"state": "planned", "findings": [remap], "provider": provider, "health": {"activity": ACTIVITY}},
        **{name: str(tmp_path) for name in ("project_dir", "state_dir", "run_dir")},
    }

    def decided(idle: float) -> dict[str, Any]:
        (tmp_path / "activity.json").write_text(json.dumps(record(idle_s=idle)))
        with patch_module_args(given), pytest.raises(SystemExit):
            gpu_heal.main()
        return dict(json.loads(capsys.readouterr().out))

    assert (decided(30)["step"], decided(30)["stop"]["reason"]) == (None, "nothing")
    assert decided(400)["step"]["rung"] == "reboot"
