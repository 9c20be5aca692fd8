# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays `linode-coder` for the gateway: `use` and `up` as a directory tells them to end, without an account.

    python -m tests.played_coder DIRECTORY use --json --keep-current -- NAME

`NAME.use` and `NAME.up` in the directory are JSON: ``code``, ``lines`` of events, ``becomes`` the `NAME.use` that holds afterwards,
``waits`` the name of a file that has to be there before it ends. Each call is a line of `calls`.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any


def gone(name: str) -> dict[str, Any]:
    """`use` of a session that has no VM."""
    return error(9, "not_found", f"There is no session {name!r} in this account.")


def error(code: int, kind: str, message: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "lines": [{"event": "error", "error": {"kind": kind, "message": message, **more}}]}


def serving(port: int, *models: str) -> dict[str, Any]:
    """`use` of a session that serves."""
    said = {"endpoint": f"http://127.0.0.1:{port}/v1", "engine": "healthy", "models": list(models)}
    return {"code": 0, "lines": [said]}


def started(port: int, *models: str, **more: Any) -> dict[str, Any]:
    """`up` that makes it."""
    plan = {"event": "plan", "estimate": {"seconds": 600}}
    return {
        "code": 0,
        "lines": [plan, {"event": "phase_started", "phase": "vm"}],
        "becomes": serving(port, *models),
        **more,
    }


def interrupted(_number: int, _frame: object) -> None:
    print("Still billing: lc-main-1 (1) at $0.52/h; end it: linode-coder down main", file=sys.stderr)
    sys.exit(130)


def main(place: Path, words: list[str]) -> int:
    with (place / "calls").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
    name = words[-1]
    told = json.loads((place / f"{name}.{words[0]}").read_text())
    for line in told["lines"]:
        print(json.dumps(line), flush=True)
    if told.get("waits"):
        signal.signal(signal.SIGINT, interrupted)
        while not (place / told["waits"]).exists():
            time.sleep(0.02)
    if told.get("becomes"):
        (place / f"{name}.use").write_text(json.dumps(told["becomes"]))
    return int(told["code"])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
