# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exceptions in a cleaned log, and which of them tells most about why it ended.

The first is often a look-up that was handled, the last a wrapper that says "see above", and names need not end in Error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):", re.MULTILINE)
# The line after a traceback's frames, which are indented: any name; elsewhere only names that say what they are.
_ANY_NAME = re.compile(r"(?:\w{1,100}\.){0,20}([A-Za-z_]\w{0,100})(?:: ([^\n]*)|[^\S\n]*$)", re.MULTILINE)
_ERROR_NAME = re.compile(
    r"^(?:\w{1,100}\.){0,20}(\w{0,100}(?:Error|Exception|Interrupt|OutOfResources))(?:: ([^\n]+)|[^\S\n]*$)",
    re.MULTILINE,
)
_HANDLED = re.compile(r"During handling of the above exception, another exception occurred")
# An error inside another's text, as the executor quotes it: ... error 'KeyError("x")', please check the stack trace.
_QUOTED = re.compile(r"(\w{0,60}(?:Error|Exception))\(['\"]([^\n]{1,300}?)['\"]\)")
# Said while others die: they end because of something else.
_WRAPPERS = (
    re.compile(
        r"EngineDeadError|AsyncEngineDeadError|MQEngineDeadError|EngineGenerateError|KeyboardInterrupt|CancelledError|SystemExit|"
        r"GeneratorExit|ChildFailedError|BrokenPipeError|EOFError"
    ),
    re.compile(
        r"Engine core initialization failed|Engine process failed to start|Executor failed|Worker failed with error|"
        r"WorkerProc initialization failed|cancelled|Background loop|process[^\n]{0,40}died|See (?:root cause|stack trace)|"
        r"Cancelled by|shutdown|Connection closed by peer"
    ),
)
# What code looks up and does without when it is not there.
_LOOKUPS = frozenset(
    ("KeyError", "AttributeError", "IndexError", "StopIteration", "Empty", "FileNotFoundError", "ImportError")
)
_FATAL = re.compile(
    r"EngineCore failed to start|EngineCore encountered a fatal error|WorkerProc (?:failed to start|hit an exception)|"
    r"Engine core proc \S{1,60} died|Exception in worker"
)
_LONGEST = 300
# More than this many characters of frames are no traceback, and more exceptions than these tell no more.
_FRAMES, _MANY = 40_000, 200


@dataclass(frozen=True)
class Raised:
    """One exception: its bare name, its text, where its line begins, and the source line that raised it."""

    name: str
    text: str
    place: int
    source: str = ""

    @property
    def said(self) -> str:
        """As Python prints it; where it has no text, what it was about."""
        about = self.text or self.source
        return f"{self.name}: {about}"[:_LONGEST] if about else self.name


def _ends(text: str, start: int) -> tuple[int, str]:
    """Where the frames of the traceback at ``start`` end, and the last source line and place among them."""
    place, source = start, ""
    stop = min(len(text), start + _FRAMES)
    while place < stop:
        end = text.find("\n", place)
        end = len(text) if end < 0 else end
        line = text[place:end]
        if line[:1] not in (" ", "\t", ""):
            return place, source
        bare = line.strip()
        if bare and not bare.startswith("File ") and bare.strip("^~ "):
            source = bare
        place = end + 1
    return stop, source


def raised_in(text: str) -> list[Raised]:
    """The exceptions of a text in their order, wrappers among them."""
    found: dict[int, Raised] = {}
    for traceback in _TRACEBACK.finditer(text):
        place, source = _ends(text, min(len(text), traceback.end() + 1))
        named = _ANY_NAME.match(text, place)
        if named:
            found[place] = Raised(named[1], (named[2] or "").strip(), place, source[:120])
    for named in _ERROR_NAME.finditer(text):
        found.setdefault(named.start(), Raised(named[1], (named[2] or "").strip(), named.start()))
    return [found[place] for place in sorted(found)]


def _is_wrapper(error: Raised) -> bool:
    return bool(_WRAPPERS[0].fullmatch(error.name) or _WRAPPERS[1].search(error.text))


def _unwrapped(error: Raised) -> Raised | None:
    """What a wrapper quotes."""
    inner = _QUOTED.search(error.text)
    return Raised(inner[1], inner[2], error.place) if inner and _WRAPPERS[0].fullmatch(inner[1]) is None else None


def most_telling(text: str) -> Raised | None:
    """The exception of a text that says why it ended; None when there is only such as others caused.

    What comes after the line that tells of the end counts before what was there earlier, what explains itself before what is only
    a name, and then the first: what comes later was raised from it.
    """
    errors = raised_in(text)
    telling = [error for error in errors if not _is_wrapper(error)]
    if not telling:
        quoted = (_unwrapped(error) for error in errors[:_MANY])
        return next((inner for inner in quoted if inner is not None), None)
    fatal = _FATAL.search(text)
    after = [error for error in telling if fatal and error.place > fatal.start()]
    several = (after or telling)[:_MANY]
    ranked = [
        (
            error.name in _LOOKUPS
            and later is not None
            and _HANDLED.search(text, error.place, later.place) is not None,
            not (error.text or error.source),
            number,
        )
        for number, (error, later) in enumerate(zip(several, [*several[1:], None], strict=True))
    ]
    return several[min(ranked)[2]]
