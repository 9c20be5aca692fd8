# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A start of the engine that ended before it served: with which error, and whether the start before it ended with the same.

What comes again in the same words comes again at the next start too, so a restart is no remedy for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .cause import Diagnosis
from .diagnosis import diagnose
from .log_text import has_served

# Each start says this once, and nothing before it tells why it fails.
_BEGINS = "non-default args: "
_QUOTED = 300
# Causes that only say that something stopped.
UNEXPLAINED = ("unknown_error", "engine_died", "engine_start_failed")

# What differs from start to start: folders and files with names made up for the moment, identifiers, and every word with a digit
# in it (addresses, times, sizes, numbers of processes and requests).
_TEMPORARY = re.compile(r"(?:(?<=[\s'\"=(:,])|^)/(?:tmp|var/tmp|dev/shm|run|proc)/[^\s'\",)]*")
_MADE_UP = re.compile(r"\btmp[a-z0-9_]{8}\b|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_WITH_DIGIT = re.compile(r"\b[^\W\d]*\d\w*")
_JOINED = re.compile(r"#(?:[.,:;/+-]{1,2}#)+")
# As `docker logs --timestamps` and the engine begin a line.
_PREFIX = re.compile(
    r"^(?:\d{4}-\d\d-\d\dT\S{1,30} )?(?:\([^)\n]{1,100}\) )?(?:[A-Z]{4,8} \d\d-\d\d \d\d:\d\d:\d\d )?(?:\[[^\]\n]{1,100}\] )?"
)


@dataclass(frozen=True)
class FailedStart:
    """The newest start that ended.

    :param error: what it said of the reason, one line.
    :param known: whether the reason is one that has a name here.
    :param times: how many starts running ended so, as far as the container shows it: 1, or 2 for twice and more.
    """

    error: str
    known: bool
    times: int


def signature(error: str) -> str:
    """What stays of an error if it happens again: without numbers, addresses, times, and the names of temporary files."""
    text = _MADE_UP.sub("#", _TEMPORARY.sub("#", error))
    return " ".join(_JOINED.sub("#", _WITH_DIGIT.sub("#", text)).split())[:_QUOTED]


def last_words(log: str) -> str:
    """What an engine said last of an error, or at all; empty when it said nothing."""
    said = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in said if "Error" in line or "error:" in line][-1:]
    return "; ".join(_PREFIX.sub("", line) for line in errors or said[-2:])[-_QUOTED:]


def _said(diagnoses: Sequence[Diagnosis], log: str) -> str:
    return (diagnoses[0].line.strip() if diagnoses else "") or last_words(log)


def failed_start(ended: str, earlier: str, ends: int) -> FailedStart | None:
    """How the newest start that ended did so; None when it had served, says nothing, or may pass by itself.

    :param ended: what the container said until then; of earlier starts too where nothing separates them.
    :param earlier: what it said before that start, as far as that is known.
    :param ends: how often the process of this container has ended.
    """
    if ends < 1:
        return None
    if not earlier:
        cut = ended.rpartition(_BEGINS)[0].rfind("\n") + 1
        earlier, ended = ended[:cut], ended[cut:]
    diagnoses = diagnose(ended)
    root = diagnoses[0] if diagnoses else None
    if has_served(ended) or has_served(earlier) or (root is not None and (root.fetch or root.passes)):
        return None
    error = _said(diagnoses, ended)
    if not error:
        return None
    before = _said(diagnose(earlier), earlier)
    same = signature(before) == signature(error) if before else ends > 1
    return FailedStart(error, root is not None and root.slug not in UNEXPLAINED, 2 if same else 1)
