# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines in which a playbook shows its result."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.report_text import report_lines

from tests.hostile import CORPUS

VIEW = {
    **{"name": "demo", "label": "lc-demo-1", "status": "running", "model": "openai/gpt-oss-20b", "plan": "g2-a"},
    **{"region": "de-fra-2", "hourly": 0.67, "cost_so_far": 1.34, "lease_end": "2026-11-30T07:05:30Z", "owner": None},
}
LOST = {"id": "gpu.lost", "severity": "fail", "subject": "gpu:a", "summary": "Lost.", "remedy": "Reboot."}
ROOT = {"id": "gpu.lost", "subject": "gpu:a"}
UNREAD = {"id": "gpu.temp", "severity": "unknown", "subject": "gpu:a", "summary": "Unread.", "follows_from": ROOT}


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (
            {
                "session": "demo",
                "run": {
                    "levels": [
                        {
                            **{"concurrency": 4, "requests": 8, "failed": 1, "output_tps": 160.44, "itl": None},
                            "ttft": {"p50": 0.0512},
                        }
                    ],
                    "gpu_samples": [{"gpu": 0, "use": 97}] * 500,
                    "verdict": {
                        **{"severity": "fail", "summary": "1 of 8 requests failed."},
                        "reasons": [
                            {"id": "requests_failed", "severity": "fail", "summary": "1 of 8 requests failed."},
                            {"id": "disk_slow", "severity": "warn", "summary": "The disk reads 20 MiB/s."},
                        ],
                    },
                },
            },
            [
                "session: demo",
                "FAIL  1 of 8 requests failed.",
                "warn disk_slow: The disk reads 20 MiB/s.",
                "streams 4, TTFT p50 51.2 ms, ITL p50 unknown, 160.4 tokens/s all, 1 of 8 failed",
            ],
        ),
        (
            {"run": {"verdict": "x", "levels": [1, {"ttft": "y", "itl": {"p50": True}}]}},
            [
                "UNKNOWN  Nothing was measured.",
                "streams None, TTFT p50 unknown, ITL p50 unknown, unknown tokens/s all, None of None failed",
            ],
        ),
        (
            {"sessions": [VIEW]},
            [
                "NAME  STATUS   MODEL               PLAN  REGION    $/H    COST   LEASE ENDS            OWNER",
                "demo  running  openai/gpt-oss-20b  g2-a  de-fra-2  $0.67  $1.34  2026-11-30T07:05:30Z  ?",
            ],
        ),
        ({"sessions": []}, ["There are no sessions."]),
        (
            {"severity": "fail", "sessions": [{**VIEW, "severity": "fail", "findings": [UNREAD, LOST]}]},
            [
                "severity: fail",
                "demo (lc-demo-1): fail",
                "  x fail gpu.lost: Lost. [gpu:a]",
                "    remedy: Reboot.",
                "    1 more follow from it: gpu.temp",
            ],
        ),
        (
            {"findings": [*({**UNREAD, "id": name, "follows_from": None} for name in ("a", "b", "c")), LOST]},
            ["x fail gpu.lost: Lost. [gpu:a]", "  remedy: Reboot.", "? 3 could not be looked at: a, b, c"],
        ),
        ({"findings": [{"id": "vm.disk", "severity": "pass"}]}, ["Every check passed."]),
        ({"failure": {"message": "No.", "cause": None, "remedy": "Ask."}}, ["error: No.", "next: Ask."]),
        (
            {
                "already_gone": False,
                "hours": 2,
                "cost": 1.5,
                "note": None,
                "dead": [{"label": "lc-a", "kind": "firewall"}],
            },
            ["already gone: no", "hours: 2", "cost: $1.50", "dead:", "  - label: lc-a", "    kind: firewall"],
        ),
        ({"dead": [], "hours": None}, ["dead: none"]),
        ({"facts": {"clock": 1}}, ["Nothing to report."]),
    ],
)
def test_lines(data: dict[str, Any], lines: list[str]) -> None:
    assert report_lines(data) == lines


@pytest.mark.parametrize("text", CORPUS.values(), ids=list(CORPUS))
def test_what_others_wrote_steers_no_terminal(text: str) -> None:
    hostile = {
        "sessions": [dict.fromkeys(VIEW, text)],
        "session": dict.fromkeys(VIEW, text),
        "findings": [{**LOST, "summary": text, "remedy": text, "subject": text}],
        "failure": {"message": text, "cause": text, "remedy": text},
        text: {text: [text, {text: text}]},
    }
    lines = report_lines(hostile)
    assert [char for line in lines for char in line if ord(char) < 32 or 127 <= ord(char) < 160] == []
    assert not any(line.lstrip().startswith("\u202e") for line in lines)
