# SPDX-License-Identifier: GPL-3.0-or-later
"""`list`, `status` and what they draw with --watch, as they look on three terminals: of one account, at one moment."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from linode_coder.cli import dashboard, session_table, session_text
from linode_coder.terminal import console as output
from linode_coder.terminal.escapes import width
from linode_coder.terminal.line import plain
from linode_coder.terminal.screen import Screen
from linode_coder.terminal.table import table
from tests.hostile import CORPUS
from tests.terminal.emulator import COLUMNS, WIDE, compare, drawn, faults, with_note, words
from tests.unit.cli.terminal import foreign, shown_by

NOW = 1_799_928_000  # 2027-01-14T12:00:00Z
VIEW: dict[str, Any] = {
    **{"name": "demo", "group": None, "label": "lc-demo-1", "linode_id": 4711, "generation": 1, "status": "running"},
    "owner": "ada",
    **{"plan": "g2-gpu-rtx4000a2-s", "region": "us-ord", "model": "Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8"},
    **{"created": "2027-01-14T10:45:00Z", "lease_end": "2027-01-14T18:45:00Z", "hard_cap": "2027-01-15T10:45:00Z"},
    **{"lease_left": 24300, "idle_minutes": 45, "hourly": 1.05, "started_hours": 2, "cost_so_far": 2.1},
    **{"cost_to_lease_end": 8.4, "paid_until": "2027-01-14T12:45:00Z", "doomed": None, "paused_until": None},
    **{"complete": True, "missing": [], "doubts": [], "idle_s": 60, "idle_as_of": "2027-01-14T11:55:00Z"},
    "working": {
        "pid": 4242,
        "host": None,
        "command": "heal",
        "since": "2027-01-14T11:58:00Z",
        "step": "Restart the engine",
        "runs": True,
    },
}
OTHER: dict[str, Any] = {
    **VIEW,
    **{"name": "review-of-the-parser", "label": "lc-review-of-the-parser-3", "linode_id": 4712, "status": "offline"},
    **{"plan": "g2-gpu-rtx4000a1-m", "region": "fr-par-2", "model": "openai/gpt-oss-20b", "owner": "grace"},
    **{"lease_left": 600, "idle_minutes": None, "hourly": 0.67, "cost_so_far": 12.06, "doomed": "2027-01-14T12:05:00Z"},
    **{"idle_s": None, "idle_as_of": None, "working": None},
}
CARD: dict[str, Any] = {
    **{"index": 0, "name": "NVIDIA RTX 4000 Ada Generation", "utilization": 93.0, "memory_used_mib": 18900},
    **{"memory_total_mib": 20475, "temperature": 71.0, "temperature_slowdown": 96.0, "power_draw": 124.0},
    **{"power_limit": 130.0, "throttle": []},
}
HOT = {**CARD, "index": 1, "utilization": 12.0, "temperature": 97.0, "throttle": ["hw_thermal_slowdown"]}
SEEN: dict[str, Any] = {
    "command": "status",
    "observed": "2027-01-14T12:00:00Z",
    "session": VIEW,
    "endpoint": {
        **{"url": "http://127.0.0.1:18042/v1", "port": 18042, "tunnel": "open", "engine": "healthy"},
        **{"tunnel_since": "2027-01-14T10:52:10Z", "tunnel_why": "the network was gone", "tunnel_down_s": 4.2},
        "models": ["qwen3-coder-30b", "coder"],
    },
    "clocks": {
        **{
            "idle_s": 0,
            "idle_as_of": "2027-01-14T11:55:00Z",
            "idle_since": None,
            "hung": False,
            "start_overdue": False,
        },
        "deletions": [{"cause": "lease", "at": "2027-01-14T18:35:00Z"}],
    },
    "engine": {"tokens_per_second": 87.4, "running": 2, "waiting": 1, "kv_cache_use": 0.31},
    "gpus": {"state": "ok", "cards": [CARD, HOT]},
    "budget": {
        **{"budget": 200.0, "spent": 120.5, "committed": 90.0, "since": "2027-01-01", "as_of": "2027-01-14T12:00:00Z"},
    },
    "working": VIEW["working"],
    "watcher": {"by": "ada@laptop", "at": "2027-01-14T11:58:00Z", "interval": 300, "watching": True},
    "watched_by": "ada@laptop looked 2 min ago, every 5 min",
}


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = time.localtime
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        patch.setattr(time, "localtime", lambda moment=None: real(NOW if moment is None else moment))
        yield
    time.tzset()


def trend(looks: int = 30) -> dashboard.Trend:
    """Of a session that was watched for a while, and was not to be seen for a moment."""
    found = dashboard.Trend()
    for number in range(looks):
        seen = copy.deepcopy(SEEN)
        seen["engine"]["tokens_per_second"] = 90.0 * (number % 10) / 9
        seen["engine"]["waiting"] = number // 5
        seen["engine"]["kv_cache_use"] = number / looks
        seen["gpus"]["cards"][0]["utilization"] = 100.0 * (number % 7) / 6
        if number == 12:
            seen["engine"] = seen["gpus"] = None
        found.with_look(seen)
    return found


def drawn_by(name: str, columns: int) -> list[str]:
    """The lines of a screen, before a terminal has them."""
    if name == "status":
        return [
            plain(line)
            for label, text, state in session_text.rows(SEEN)
            for line in output.laid_out(f"{label:10}{text}", columns, state)
        ]
    if name == "list":
        made = table(session_table.COLUMNS, [session_table.row(view, NOW) for view in (VIEW, OTHER)], columns)
        more = output.laid_out(f"… and {', '.join(made.dropped)}: --wide", columns) if made.dropped else []
        return [plain(line) for line in [*made.lines, *more]]
    if name == "status-watch":
        return [plain(line) for line in dashboard.frame(trend().with_look(SEEN), SEEN, columns)]
    looks = [{**SEEN, "budget": None}, {**SEEN, "session": OTHER, "engine": None, "gpus": None, "working": None}]
    seen = {"observed": SEEN["observed"], "sessions": [VIEW, OTHER], "looks": looks}
    return [plain(line) for line in dashboard.overview({4711: trend(), 4712: dashboard.Trend()}, seen, columns)]


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks can be drawn there."""
    monkeypatch.setattr(sys, "stdout", open("/dev/null", "w", encoding="utf-8"))  # noqa: PTH123, SIM115


@pytest.mark.usefixtures("at_a_terminal")
@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("name", ["list", "status", "list-watch", "status-watch"])
def test_it_looks_as_it_did_and_fits(name: str, columns: int) -> None:
    lines = [line.rstrip() for line in drawn_by(name, columns)]
    everything = with_note(words(drawn_by(name, WIDE)))
    assert not faults(lines, columns, everything)
    compare(name, columns, lines)


def test_rule_sees_what_it_is_for() -> None:
    everything = words(["the session demo is 12 min old", "see /a/path"])
    assert faults(["the session demo is 7 min old"], 40, everything) == []
    assert faults(["the sess…"], 40, everything) == []
    assert len(faults(["the sess", "ion"], 40, everything)) == 2
    assert len(faults(["the session demo is 12"], 20, everything)) == 1
    assert len(faults(["zebra…"], 40, everything)) == 1
    assert faults(["/a/path"], 4, everything) == []


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
def test_a_hostile_session_breaks_no_picture(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    view = {**VIEW, **dict.fromkeys(("name", "label", "status", "owner", "plan", "region", "model"), text)}
    seen = {**SEEN, "session": view, "watched_by": text, "gpus": {"state": text, "cards": []}}
    seen["working"] = {**VIEW["working"], "step": text}

    def work() -> int:
        with Screen() as terminal:
            terminal.show(lambda columns: dashboard.frame(trend(2).with_look(seen), seen, columns))
        return 0

    said = shown_by(monkeypatch, work, columns=40)
    assert not foreign(said.out.replace("\r\n", "\n"))
    lines = drawn(said.out.removesuffix("\x1b[?25h\x1b[?1049l"))
    assert len(lines) <= 40 and all(width(line) <= 40 for line in lines), lines
