# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured once, before the load, while the engine has nothing to do for us: the way to it, the VM's disk, and whether
somebody else keeps it busy. What cannot be told is null."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from http.client import HTTPException

from ..core.bounded import newest
from ..engine.client import EngineClient, EngineSilent
from ..engine.vllm_metrics import GAUGES, parse, total

_LIMIT_S = 5.0
_ROUND_TRIPS = 5
_MOST = 20_000
# Past the page cache, for at most 8 seconds: of weights where there are some, else of the disk that would have them. A program that
# is interrupted says how far it came.
_READ = (
    "f=$(find /var/lib/linode-coder -type f -size +32M -print -quit 2>/dev/null); "
    '[ -n "$f" ] || f=$(df -P /var/lib/linode-coder | sed -n "2s/ .*//p"); '
    'LC_ALL=C exec timeout -s INT 8 dd "if=$f" of=/dev/null bs=4M count=8 iflag=direct'
)
_COPIED = re.compile(r"([0-9]{1,15}) bytes [^,]{0,40}(?:, [^,]{0,20})?copied, ([0-9.e+-]{1,20}) s")


def round_trip(client: EngineClient) -> float | None:
    """Seconds from a question on an open connection to its answer: the best of a few, for which nothing is generated."""
    found = []
    connection = client.connection(_LIMIT_S)
    try:
        connection.connect()
        for _each in range(_ROUND_TRIPS):
            sent = time.monotonic()
            connection.request("GET", "/health")
            answer = connection.getresponse()
            # Nothing, of an engine.
            if len(answer.read(_MOST)) == _MOST:
                return None
            answer.close()
            found.append(time.monotonic() - sent)
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return min(found)


def read_speed(text: str) -> float | None:
    """Bytes a second, of what dd says."""
    match = _COPIED.search(newest(text, _MOST))
    if match is None:
        return None
    try:
        size, seconds = int(match[1]), float(match[2])
    except ValueError:
        return None
    return size / seconds if size > 0 and seconds > 0 else None


def disk_read(ask: Callable[[list[str]], str]) -> float | None:
    """Bytes a second that the VM's disk reads. ``ask`` says what a program prints there."""
    return read_speed(ask(["sh", "-c", _READ]))


def requests_before(client: EngineClient) -> int | None:
    """How many the engine works on or has waiting, none of them ours."""
    try:
        answer = client.fetch("GET", "/metrics", timeout=_LIMIT_S)
    except EngineSilent:
        return None
    samples = parse(answer.text) if answer.status == 200 else []
    running, waiting = (total(samples, GAUGES[name]) for name in ("running", "waiting"))
    return None if running is None or waiting is None else int(running + waiting)
