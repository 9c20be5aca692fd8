# SPDX-License-Identifier: GPL-3.0-or-later
"""Every function of the history, called with the same arguments whatever database it has, and what each said.

As a program it says it of the database that the environment names: ``tools/newest.py`` compares what two of them say.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from linode_coder.local import history, perf_history, token_history
from tests.hostile import CORPUS

# 2026-11-20 12:00 UTC.
NOW = 1795176000.25


def view(number: int, name: str | None = "demo", **more: Any) -> dict[str, Any]:
    """The number is one of Linode's, and a little above what four bytes hold."""
    made = {
        "plan": "g2",
        "region": "us-ord",
        "model": "acme/Coder",
        "owner": "alice",
        "created": "2026-11-20T09:00:00Z",
    }
    return {**made, "name": name, "label": f"lc-{number}-1", "linode_id": 2**31 + number, "hourly": 0.52, **more}


def performance(name: str, **more: Any) -> dict[str, Any]:
    verdict = {"severity": "pass", "summary": "As fast as it should be."}
    kind = {"session": "demo", "plan": "g2", "model": "acme/Coder", "profile": "agent", "where": "vm", "flags": {}}
    return {"id": name, **kind, "verdict": verdict, **more}


def written() -> None:
    """With all that a row can have; the texts are hostile."""
    history.saw([view(1), view(2, None, hourly=None), view(3, "other")], "account-1")
    history.saw([view(1, model="acme/New")])
    history.ended(2**31 + 1, 3, 1.56, idle_s=600.5)
    history.ended(2**31 + 3, None, None, "2026-10-31T23:59:59Z")
    history.saw([view(4, text, owner=text) for text in ("\x00", "half \udc80 of one")])
    for number, text in enumerate(CORPUS.values()):
        history.ran(text, "extend", NOW - number, number % 12, bool(number % 2), text)
    for outcome in ("healed", "failed", "healed"):
        history.healing("demo", NOW, {"attempt": {"id": "1"}, "step": {"rung": "reboot"}, "outcome": outcome})
    history.healing("Ärger", NOW, {"attempt": {"id": "1"}, "step": {"rung": "reboot"}, "outcome": "healed"})
    for reason in (None, "None left.", "\x00"):
        history.refused("demo", {"plan": "g2", "region": "us-ord", "outcome": "no capacity", "reason": reason})
    for number in range(7):
        history.took("g2", "acme/Coder", {"vm": 90.0 + number, "engine": 0.125})
    for number in range(3):
        perf_history.keep(performance(f"run-{number}"), new_baseline=number == 1)
    perf_history.keep(performance("run-1", verdict={"severity": "fail", "summary": "Slow: \x00\ud800"}))
    perf_history.keep(performance("run-tokens", model="half \ud800", output_tokens=64))
    for count in (3_000_000_000, 5_000_000_000, 4_000_000_000):
        use = {"prompt_tokens": count, "generation_tokens": count // 2, "process_start": NOW}
        token_history.looked(2**31 + 1, use, int(NOW) - 60 + count // 1_000_000_000)


def said() -> dict[str, Any]:
    every = history.Filter()
    some = history.Filter(session="demo", command="heal", since=NOW - 1, failed=True)
    found: dict[str, Any] = {
        "known": history.known(),
        "known demo": history.known("demo"),
        "known NUL": history.known("\x00"),
        "this_month": history.this_month(),
        "heals": history.heals(),
        "refused_before": history.refused_before("demo"),
        "phases_before": history.phases_before("g2", "acme/Coder"),
        "runs": history.runs(every, 1000),
        "runs, some": history.runs(some, 1),
        "runs of nobody": history.runs(history.Filter(who="nobody at all"), 1),
        "perf runs": perf_history.runs(),
        "perf runs of demo": perf_history.runs("demo"),
        "perf names": perf_history.names(),
        "perf baseline": perf_history.baseline_of(performance("another")),
        "perf near": perf_history.near_of(performance("another", where="here")),
        "perf resolved": [perf_history.resolve(word) for word in ("last", "run-0", "tokens")],
        "tokens": {str(number): vars(seen) for number, seen in token_history.of_month("2026-11").items()},
    }
    # PostgreSQL leaves out the number of a row that was there already.
    for row in (*found["known"], *found["known demo"], *found["known NUL"]):
        del row["id"]
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def main() -> int:
    time.time = lambda: NOW
    written()
    json.dump(said(), sys.stdout, sort_keys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
