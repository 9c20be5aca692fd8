# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delete the VM that this runs on when its lease has been over for a while and no watcher did it.

Runs on the VM by itself, so nothing of the collection is here. What cannot be read decides nothing: the next run asks again.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

MARKER = "linode-coder"
# Watchers come first: they mark, warn and report. This is for the case that there is none.
GRACE_S = 1800
_END = re.compile(r"lc:(lease|cap):([0-9]+)")
# The end of the year 9999.
_LAST = 253_402_300_799


def end_of(tags: list[str]) -> int | None:
    """When the lease or the hard cap is over. None for a VM that is not ours, or whose tags name neither.

    As a watcher reads them: without a lease the cap counts; of several leases the later one within the cap.
    """
    folded = [tag.lower() for tag in tags]  # the account may return them in another case than they were written in
    found = [(match[1], int(match[2])) for match in map(_END.fullmatch, folded) if match]
    caps = [end for name, end in found if name == "cap" and 0 < end <= _LAST]
    leases = [end for name, end in found if name == "lease" and 0 < end <= _LAST]
    cap = min(caps, default=None)
    within = [end for end in leases if cap is None or end <= cap]
    lease = max(within) if within else min(leases, default=None)
    ends = [end for end in (lease, cap) if end is not None]
    return min(ends) if MARKER in folded and ends else None


def decide(instance: dict[str, Any], now: float) -> tuple[str, str]:
    """keep, warn, blocked or delete, and a sentence."""
    end = end_of(instance["tags"])
    if end is None:
        return "keep", "the tags of this VM name no lease: it is left to the watchers"
    left = end + GRACE_S - now
    if left > GRACE_S:
        return "keep", f"the lease goes on for {left - GRACE_S:.0f} s"
    if instance.get("locks"):
        return (
            "blocked",
            f"the lease is over, but the lock {instance['locks'][0]} keeps this VM, and it goes on billing",
        )
    if left > 0:
        return "warn", f"the lease is over: this VM deletes itself in {left / 60:.0f} min unless the lease is extended"
    return "delete", "the lease has been over for half an hour and no watcher came: this VM is deleted"


def ask(config: dict[str, Any], method: str) -> tuple[object, float | None]:
    """The API's answer, and the time by its clock."""
    request = urllib.request.Request(  # noqa: S310 - the address that the role wrote
        f"{config['api_url'].rstrip('/')}/v4beta/linode/instances/{config['linode_id']}",
        headers={"Authorization": f"Bearer {config['token']}", "User-Agent": "linode-coder dead man"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        date = answer.headers.get("Date")
        return json.load(answer), parsedate_to_datetime(date).timestamp() if date else None


def checked(instance: object, linode_id: int) -> dict[str, Any]:
    """``instance`` when it is the one that was asked for; ValueError for what something else on the way answered."""
    tags = instance.get("tags") if isinstance(instance, dict) else None
    if not isinstance(instance, dict) or instance.get("id") != linode_id or not isinstance(tags, list):
        raise ValueError("what answered is not the Linode API")
    if not all(isinstance(tag, str) for tag in tags) or not isinstance(instance.get("locks") or [], list):
        raise ValueError("what answered is not the Linode API")
    return instance


def main(directory: Path) -> int:
    config = json.loads((directory / "config.json").read_text())
    config["token"] = (directory / "token").read_text().strip()
    try:
        instance, now = ask(config, "GET")
        if now is None:
            print("the API does not say its time, so nothing is decided")
            return 1
        action, sentence = decide(checked(instance, config["linode_id"]), now)
        if action == "delete":
            ask(config, "DELETE")
    except (OSError, HTTPException, ValueError, TypeError, KeyError) as error:
        # Of an HTTP error only its number: its headers are nobody's business.
        said = f"the API answered {error.code}" if isinstance(error, urllib.error.HTTPError) else f"no answer: {error}"
        print(f"{said}; the next run asks again")
        return 1
    print(sentence)
    if action != "keep":
        try:
            subprocess.run(["wall"], input=f"linode-coder: {sentence}\n", text=True, timeout=20, check=False)
        except OSError as error:
            print(f"nobody could be told: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
