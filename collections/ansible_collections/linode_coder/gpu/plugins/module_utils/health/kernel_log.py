# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of a kernel log, whatever printed them: journal JSON, syslog, dmesg in any of its styles, or bare messages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Iterator

from ..core.bounded import newest, short_lines

# What stands before a message, in the order in which it is looked for: colours, whose log it is, a level, a time in one
# of several styles (dmesg -T is in local time, so it counts only against other lines of the same log), and a syslog
# header, whose month may be in any language.
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}m")
_NODE = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}: ")
_LEVEL = re.compile(r"<\d{1,3}>(?:1 )?|(?:kern|user|daemon|syslog|local[0-7]) {0,9}: {0,9}\w{1,20} {0,9}: {0,9}")
_KMSG = re.compile(r"\d{1,3},\d{1,20},(\d{1,17}),[^;\s]{0,50};")
_UPTIME = re.compile(r"\[\s*(\d{1,12}\.\d{1,9})\]\s?")
_CALLER = re.compile(r"\[\s{0,9}[TC]\d{1,10}\]\s?")
_CTIME = re.compile(r"\[(\w{3} \w{3}\s+\d{1,2} \d\d:\d\d:\d\d \d{4})\]\s?")
_HUMAN = re.compile(r"\[(?:\w{3}\s?\d{1,2} \d\d:\d\d|\s{0,9}[+<]\s{0,9}\d{1,9}\.\d{1,9}>?)\]\s?")
_UNIX = re.compile(r"(\d{9,10}\.\d{1,9}) (?=\S+ kernel:)")
_ISO = re.compile(
    r"(?:\w{3} )?\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s?(Z|UTC|[+-]\d\d:?\d\d)?(?:\]:?)?\s*"
)
_SYSLOG = re.compile(r"(\w{1,12})\.?\s+(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?\s+")
_HEADER = re.compile(r"(?:\S+\s+)?kernel(?::| - - -)\s?")
_ELIDED = re.compile(r"\[\.\.\.\]\s?")
_MONTHS = {name: number for number, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun"), 1)}
_MONTHS |= {name: number for number, name in enumerate(("jul", "aug", "sep", "oct", "nov", "dec"), 7)}

# What is said first in a boot, and where journalctl begins another.
_BOOTS = re.compile(r"Linux version \d|-- (?:Boot [0-9a-f]{32}|Reboot) --$")
# Time zones are whole quarters of an hour, and none is further from UTC than this.
_ZONE_STEP_S, _ZONES_S = 900.0, 14 * 3600.0
# By how much two clocks of one machine may disagree.
_SLACK_S = 60.0
_YEARS = 9

_MEMORY = re.compile(r"(Memory cgroup out of memory|Out of memory)[:,]? ", re.IGNORECASE)
_KILLED = re.compile(r"Killed process (\d{1,10}) ?,? ?\(([^)]{0,200})\)", re.IGNORECASE)
_RSS = re.compile(r"anon-rss:(\d{1,15})kB", re.IGNORECASE)

# Lines that are older than this many characters are left out. An entry of the journal is longer than its message, and a
# message of the kernel is no longer than one of its pages.
_LONGEST = 2_000_000
_ENTRY, _MESSAGE = 16384, 4096


@dataclass(frozen=True)
class KernelLine:
    """One line.

    :param time: seconds since the epoch.
    :param uptime: seconds since the boot.
    :param date: month, day, hour, minute and second of a time without a year, of whatever zone.
    :param any_boot: whether the log that it is from also holds earlier boots.
    """

    message: str
    time: float | None = None
    uptime: float | None = None
    boot_id: str | None = None
    date: tuple[int, ...] | None = None
    any_boot: bool = False


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


def _moment(iso: re.Match[str]) -> float | None:
    zone = (iso[3] or "+00:00").replace("UTC", "+00:00").replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(iso[1].replace(" ", "T") + zone).timestamp() + float(f"0.{iso[2] or 0}")
    except ValueError:
        return None


def _ctime(text: str) -> float | None:
    try:
        return datetime.strptime(text, "%a %b %d %H:%M:%S %Y").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def _split(line: str) -> KernelLine:
    """The message without what stands before it, and the times that this tells."""
    rest = _COLOUR.sub("", line)
    time: float | None = None
    uptime: float | None = None
    date: tuple[int, ...] | None = None
    any_boot = False

    def taken(pattern: re.Pattern[str]) -> re.Match[str] | None:
        nonlocal rest
        match = pattern.match(rest)
        if match:
            rest = rest[match.end() :]
        return match

    taken(_NODE)
    taken(_LEVEL)
    kmsg = taken(_KMSG)
    if kmsg:
        uptime = int(kmsg[1]) / 1e6
    iso = _ISO.match(rest)
    if iso and (time := _moment(iso)) is not None:
        rest, any_boot = rest[iso.end() :], True
    ctime = _CTIME.match(rest)
    if ctime and (moment := _ctime(ctime[1])) is not None:
        time, rest = moment, rest[ctime.end() :]
    taken(_HUMAN)
    unix = taken(_UNIX)
    if unix:
        time, any_boot = float(unix[1]), True
    syslog = _SYSLOG.match(rest)
    if syslog and _HEADER.match(rest[syslog.end() :]):
        rest, any_boot = rest[syslog.end() :], True
        month = _MONTHS.get(syslog[1].lower()[:3])
        date = (month, *(int(part) for part in syslog.groups()[1:])) if month else None
    taken(_HEADER)
    boot = taken(_UPTIME)
    if boot:
        uptime = float(boot[1])
        taken(_CALLER)
        taken(_HEADER)
    taken(_ELIDED)
    return KernelLine(rest, time, uptime, None, date, any_boot)


def kernel_lines(text: str) -> Iterator[KernelLine]:
    """Every message, one line each; what some loggers write as ``#012`` is a line break."""
    for line in short_lines(newest(text, _LONGEST), _ENTRY).splitlines():
        entry = _entry(line.strip())
        if entry is None:
            said = _split(line)
        else:
            time, uptime = _micros(entry.get("__REALTIME_TIMESTAMP")), _micros(entry.get("__MONOTONIC_TIMESTAMP"))
            said = KernelLine(_text(entry["MESSAGE"]), time, uptime, _text(entry.get("_BOOT_ID")) or None, None, True)
        for part in said.message.replace("#012", "\n").splitlines():
            if part.strip():
                yield replace(said, message=part[:_MESSAGE])


def _micros(value: Any) -> float | None:
    text = str(value)
    return int(text) / 1e6 if re.fullmatch(r"[0-9]{1,17}", text) else None


def _with_year(date: tuple[int, ...], now: float) -> float | None:
    """The newest such date that is not in the future, in UTC; the machine's own zone may be up to a day ahead."""
    this = datetime.fromtimestamp(now, timezone.utc).year + 1
    for year in range(this, this - _YEARS, -1):
        month, day, hour, minute, second = date
        try:
            moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()
        except ValueError:
            continue
        if moment <= now + _ZONES_S:
            return moment
    return None


def _before(line: KernelLine, boot_time: float) -> bool:
    """Whether a line was said before a boot, by its time of day."""
    if line.time is None or not line.any_boot or line.time >= boot_time - (0 if line.date else _SLACK_S):
        return False
    if line.uptime is None:
        return True
    # As long after that boot as it says itself, on a clock of another zone.
    apart = boot_time + line.uptime - line.time
    return apart > _ZONES_S or abs(apart - round(apart / _ZONE_STEP_S) * _ZONE_STEP_S) > _SLACK_S


def of_this_boot(
    lines: list[KernelLine], boot_id: object = None, boot_time: float | None = None, now: float | None = None
) -> list[KernelLine]:
    """The lines of the present boot, those without a year with the one that fits: a reboot clears what was said before.

    :param boot_id: of the machine, where it is known; else the last one of the log.
    :param boot_time: when it was booted, in seconds since the epoch. None: only what the log itself says counts.
    :param now: when the log was taken. Without it a time without a year is none.
    """
    boots = [line.boot_id for line in lines if line.boot_id]
    if boots:
        wanted = str(boot_id or "").replace("-", "")
        current = wanted if wanted in boots else boots[-1]
        lines = [line for line in lines if line.boot_id in (None, current)]
    begin = next((at for at in range(len(lines) - 1, -1, -1) if _BOOTS.match(lines[at].message)), 0)
    lines = lines[begin:]
    if now is not None and 0 <= now < 1e11:
        lines = [replace(line, time=_with_year(line.date, now)) if line.date else line for line in lines]
    return lines if boot_time is None else [line for line in lines if not _before(line, boot_time)]


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
