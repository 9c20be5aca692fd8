# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vLLM's log as text: without colours, prefixes and lines that only quote a failure, and of it the newest start."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from typing import Any

from ..core.bounded import newest, short_lines

_ANSI = re.compile(r"\x1b\[[0-9;?]{0,40}[A-Za-z]|\x1b\][^\x07\x1b\n]*\x07")
# What stands before the text: the service (Compose), a time (docker logs -t), the processes, torch's rank, the level and the
# source, which older versions write without its first bracket.
_PREFIX = re.compile(
    r"^(?:[\[\w.\]-]{1,64} {1,64}\| )?(?:\d{4}-\d\d-\d\dT[\d:.]{1,20}Z )?"
    r"(?:\((?:A[Pp][Ii]Server|EngineCore|Worker|VllmWorker|RayWorker)[^)\n]{0,80}\) ){0,3}(?:\[rank\d{1,4}\]: ?)?"
    r"(?:(DEBUG|INFO|WARNING|ERROR|CRITICAL) (?:\d\d-\d\d \d\d:\d\d:\d\d )?(?:\[[^\]\n]*\] ?|[\w./]{1,60}:\d{1,6}\] ?)?)?",
    re.MULTILINE,
)
# Lines that quote a failure without being one.
_HARMLESS = re.compile(
    r"^.*(?:Found ulimit of|This can cause fd limit errors|Custom allreduce is disabled because|"
    r"cannot schedule new futures after shutdown).*$|^[^\S\n]*raise .*$",
    re.MULTILINE,
)
# A line of a level at which nothing has failed yet. The downloader writes JSON.
_MILD = re.compile(r'(?:DEBUG|INFO|WARNING) |\{"timestamp":[^\n]{0,80}"level":"(?:DEBUG|INFO|WARN)"')
_RUN = re.compile(r"^.*(?:non-default args: |version \d{1,9}\.\d{1,9}\.\d\S{0,80}$)", re.MULTILINE)
# What is older than this many characters is about earlier runs.
_LONGEST = 600_000
READY = re.compile(r"Application startup complete")
# Said by an engine that serves, also where the beginning of its log is cut off.
_SERVING = re.compile(READY.pattern + r'|Engine \d+: Avg prompt throughput|HTTP/1\.1" \d')
_ARGUMENTS = re.compile(r"^.*?non-default args: (\{.*\})", re.MULTILINE)


def _bare(prefix: re.Match[str]) -> str:
    """Nothing of it, but for a level at which nothing has failed."""
    level = prefix[1]
    return f"{level} " if level in ("DEBUG", "INFO", "WARNING") else ""


def _clean(log: str) -> str:
    """A bar's states become lines."""
    text = _ANSI.sub("", newest(log, _LONGEST)).replace("\r\n", "\n").replace("\r", "\n")
    return _HARMLESS.sub("", _PREFIX.sub(_bare, short_lines(text)))


# One look asks the same log for several things.
@lru_cache(maxsize=4)
def last_run(log: str) -> str:
    """From the beginning of the newest start; the banner and the flags belong to the same one."""
    text = _clean(log)
    starts = [match.start() for match in _RUN.finditer(text)]
    if not starts:
        return text
    newer = starts[-1]
    for start in reversed(starts[:-1]):
        if newer - start > 2000 or READY.search(text, start, newer):
            break
        newer = start
    return text[newer:]


def arguments_of(run: str) -> dict[str, Any]:
    """The flags that a start names, as Python's names; empty where it names none that can be read."""
    found = _ARGUMENTS.findall(run)
    try:
        arguments = ast.literal_eval(found[-1]) if found else {}
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return {}
    return arguments if isinstance(arguments, dict) else {}


def has_served(log: str) -> bool:
    """Whether the last run in a log got so far that it served."""
    return bool(_SERVING.search(last_run(log)))


def line_at(text: str, place: int) -> str:
    """The line around a place, as far as it is of use to a person."""
    line = text[:place].rpartition("\n")[2] + text[place:].partition("\n")[0]
    return line.strip()[:500]


def is_mild(text: str, place: int) -> bool:
    """Whether the line around a place only reports or warns."""
    return bool(_MILD.match(text, text.rfind("\n", 0, place) + 1))
