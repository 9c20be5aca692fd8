# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of a kernel log, whatever printed them: journal JSON, syslog, dmesg in any of its styles, or bare messages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Iterator

from ..core.bounded import newest, short_lines

# What stands before a message: a level, a time in one of several styles (dmesg -T is in local time, so it counts only
# against other lines of the same log), or a syslog header, whose month may be in any language.
_LEVEL = re.compile(r"<\d{1,3}>|(?:kern|user|daemon) {0,9}: {0,9}\w{1,20} {0,9}: {0,9}")
_UPTIME = re.compile(r"\[\s*(\d{1,12}\.\d{1,9})\]\s?")
_CTIME = re.compile(r"\[(\w{3} \w{3}\s+\d{1,2} \d\d:\d\d:\d\d \d{4})\]\s?")
_ISO = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s?(Z|[+-]\d\d:?\d\d)?\s*")
_HEADER = re.compile(r"(?:\w+\s+\d{1,2} \d\d:\d\d:\d\d\s+)?(?:\S+\s+)?kernel:\s?")
_ELIDED = re.compile(r"\[\.\.\.\]\s?")

_MEMORY = re.compile(r"(Memory cgroup out of memory|Out of memory)[:,]? ", re.IGNORECASE)
_KILLED = re.compile(r"Killed process (\d{1,10}) ?,? ?\(([^)]{0,200})\)", re.IGNORECASE)
_RSS = re.compile(r"anon-rss:(\d{1,15})kB", re.IGNORECASE)

# Lines that are older than this many characters are left out. An entry of the journal is longer than its message, and a
# message of the kernel is no longer than one of its pages.
_LONGEST = 2_000_000
_ENTRY, _MESSAGE = 16384, 4096


@dataclass(frozen=True)
class KernelLine:
    message: str
    time: float | None = None
    uptime: float | None = None
    boot_id: str | None = None


@dataclass(frozen=True)
class OomKill:
    pid: int
    name: str
    cgroup: bool
    rss_kib: int | None
    time: float | None
    message: str


def _text(value: Any) -> str:
    """A journal's field: a string, or a list of bytes where it is not valid UTF-8."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in value):
        return bytes(value).decode("utf-8", "replace")
    return ""


def _entry(line: str) -> dict[str, Any] | None:
    """A line of ``journalctl -o json``."""
    if not line.startswith("{"):
        return None
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and "MESSAGE" in entry else None


def _split(line: str) -> tuple[str, float | None, float | None]:
    """The message, its time since the epoch and its time since boot."""
    time: float | None = None
    uptime: float | None = None
    level = _LEVEL.match(line)
    rest = line[level.end() :] if level else line
    iso = _ISO.match(rest)
    if iso:
        try:
            moment = datetime.fromisoformat(iso[1].replace(" ", "T") + (iso[3] or "+00:00").replace("Z", "+00:00"))
        except ValueError:
            pass
        else:
            time = moment.timestamp() + float(f"0.{iso[2] or 0}")
            rest = rest[iso.end() :]
    ctime = _CTIME.match(rest)
    if ctime:
        try:
            time = datetime.strptime(ctime[1], "%a %b %d %H:%M:%S %Y").replace(tzinfo=timezone.utc).timestamp()
        except ValueError:
            pass
        else:
            rest = rest[ctime.end() :]
    header = _HEADER.match(rest)
    if header:
        rest = rest[header.end() :]
    boot = _UPTIME.match(rest)
    if boot:
        uptime = float(boot[1])
        rest = rest[boot.end() :]
    elided = _ELIDED.match(rest)
    return (rest[elided.end() :] if elided else rest), time, uptime


def kernel_lines(text: str) -> Iterator[KernelLine]:
    """Every message, one line each; what some loggers write as ``#012`` is a line break."""
    for line in short_lines(newest(text, _LONGEST), _ENTRY).splitlines():
        entry = _entry(line.strip())
        if entry is None:
            message, time, uptime = _split(line)
            boot_id = None
        else:
            message, boot_id = _text(entry["MESSAGE"]), _text(entry.get("_BOOT_ID")) or None
            time, uptime = _micros(entry.get("__REALTIME_TIMESTAMP")), _micros(entry.get("__MONOTONIC_TIMESTAMP"))
        for part in message.replace("#012", "\n").splitlines():
            if part.strip():
                yield KernelLine(part[:_MESSAGE], time, uptime, boot_id)


def _micros(value: Any) -> float | None:
    text = str(value)
    return int(text) / 1e6 if re.fullmatch(r"[0-9]{1,17}", text) else None


def last_cursor(text: str) -> str | None:
    """Where a later look at the journal can go on."""
    for line in reversed(newest(text, _LONGEST).splitlines()):
        entry = _entry(line.strip())
        if entry is not None and isinstance(entry.get("__CURSOR"), str):
            return str(entry["__CURSOR"])
    return None


def oom_kills(lines: list[KernelLine]) -> list[OomKill]:
    """What the kernel killed for want of memory."""
    found = []
    for line in lines:
        memory = _MEMORY.search(line.message)
        killed = _KILLED.search(line.message, memory.end()) if memory else None
        if memory and killed:
            rss = _RSS.search(line.message, killed.end())
            found.append(
                OomKill(
                    int(killed[1]),
                    killed[2],
                    memory[1].lower().startswith("memory cgroup"),
                    int(rss[1]) if rss else None,
                    line.time,
                    line.message.strip(),
                )
            )
    return found
