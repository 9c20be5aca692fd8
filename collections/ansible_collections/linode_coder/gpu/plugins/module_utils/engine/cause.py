# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a row of the causes holds: how a failure is recognised, what a person is told and which rungs may be tried.

The rows are in causes_*.py, the way from a text to a row in diagnosis.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import Formatter
from typing import Any, Callable, Mapping

# What a match is worth beside others. EXPLAINS names the reason; GENERAL names its kind, where nothing names it better; FOLLOWS
# may be a consequence, or pass by itself; ENDS only says that something stopped, so that an error of no known kind says more.
EXPLAINS, GENERAL, FOLLOWS, ENDS = range(4)

# Ladders of causes. The first rung that a cause asks for says whether a restart can help: a failure that comes again in the same
# way at every start has no restart in its ladder.
PERSON = ("alert",)
FLAGS = ("change_parameters", "alert")
ONCE = ("restart_container", "alert")
AGAIN = ("restart_container", "recreate_container", "alert")
ANEW = ("recreate_container", "regenerate_cdi", "alert")
CDI = ("regenerate_cdi", "alert")
SERVICES = ("restart_services", "alert")
REBOOT = ("reboot", "alert")
AGAIN_THEN_REBOOT = ("restart_container", "reboot")


@dataclass(frozen=True)
class Context:
    """What the run says about itself: its flags, by Python's names, and the text before the failure."""

    arguments: Mapping[str, Any]
    before: str

    def number(self, flag: str, default: int) -> int:
        value = self.arguments.get(flag.replace("-", "_"))
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default

    def share(self, flag: str, default: float) -> float:
        value = self.arguments.get(flag.replace("-", "_"))
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default

    def has(self, flag: str) -> bool:
        return bool(self.arguments.get(flag.replace("-", "_")))


# What a pattern caught, by name, and the context: engine flags to change, one step, None for a value takes the flag away. None
# when no flag helps.
Flags = Callable[[Mapping[str, str], Context], "dict[str, Any] | None"]


@dataclass(frozen=True)
class Cause:
    """One row.

    :param id: its name, for programs.
    :param patterns: texts that say so; groups have names.
    :param summaries: one sentence each; the first is told of which every name in braces was caught. line is the line itself.
    :param remedy: what a person does next.
    :param ladder: rungs to try where no flag is suggested.
    :param flags: what to change so that it starts; then that is tried instead.
    :param by_hand: a program does not change these flags: they are the user's own.
    :param fetch: the model's files have to be fetched again first: a restart alone finds them as they are.
    :param passes: it may pass by itself while the engine goes on trying.
    :param check: the check beside ctr.state that shows it.
    :param exit_codes: codes of the container that say so when its log does not.
    """

    id: str
    patterns: tuple[re.Pattern[str], ...]
    summaries: tuple[str, ...]
    remedy: str
    ladder: tuple[str, ...]
    rank: int = EXPLAINS
    flags: Flags | None = None
    by_hand: bool = False
    fetch: bool = False
    passes: bool = False
    check: str = ""
    exit_codes: tuple[int, ...] = ()

    @property
    def restart_helps(self) -> bool:
        """Whether the same start may end in another way; False for a failure that comes again at each."""
        return "restart_container" in self.ladder

    def summary(self, caught: Mapping[str, str]) -> str:
        for text in self.summaries:
            names = [name for _literal, name, _form, _conversion in Formatter().parse(text) if name]
            if all(caught.get(name) for name in names):
                return text.format(**caught)
        return self.summaries[-1]


def cause(
    name: str,
    patterns: str | tuple[str, ...],
    summary: str | tuple[str, ...],
    remedy: str,
    ladder: tuple[str, ...],
    **more: Any,
) -> Cause:
    """A row as it is written in the tables; the last of several summaries has no names."""
    texts = (patterns,) if isinstance(patterns, str) else patterns
    told = (summary,) if isinstance(summary, str) else summary
    return Cause(
        name, tuple(re.compile(text, re.DOTALL | re.MULTILINE) for text in texts), told, remedy, ladder, **more
    )


@dataclass(frozen=True)
class Diagnosis:
    """One explanation of a failure.

    :param slug: the id of its cause.
    :param parameters: engine flags to change; None when no flag helps.
    :param rungs: those of its cause, whatever the flags.
    :param line: the line that says so.
    """

    slug: str
    sentence: str
    remedy: str
    parameters: dict[str, Any] | None = None
    rungs: tuple[str, ...] = PERSON
    line: str = ""
    by_hand: bool = False
    fetch: bool = False
    passes: bool = False
    check: str = ""
    rank: int = EXPLAINS

    @property
    def ladder(self) -> tuple[str, ...]:
        """Another flag where one is suggested; where only a flag would help and none is left, a person."""
        if self.parameters and not self.by_hand:
            return FLAGS
        return PERSON if self.rungs == FLAGS else self.rungs

    @property
    def healable(self) -> bool:
        """Whether trying something by program can help; otherwise a person has to decide."""
        return self.ladder != PERSON

    @property
    def restart_helps(self) -> bool:
        """As of its cause: a failure that comes again at every start is not restarted."""
        return "restart_container" in self.rungs


def told(
    row: Cause,
    caught: Mapping[str, str | None],
    context: Context,
    line: str,
    *,
    error: str = "",
    rank: int | None = None,
) -> Diagnosis:
    """The row as a diagnosis of this text."""
    known = {name: " ".join((text or "").split()) for name, text in caught.items()}
    suggested = row.flags(known, context) if row.flags else None
    return Diagnosis(
        row.id,
        row.summary({**known, "line": line[:200], "error": error}),
        row.remedy,
        suggested,
        row.ladder,
        line,
        row.by_hand,
        row.fetch,
        row.passes,
        row.check,
        row.rank if rank is None else rank,
    )


NO_CONTEXT = Context({}, "")
