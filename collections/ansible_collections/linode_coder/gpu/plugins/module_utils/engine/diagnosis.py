# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why the engine does not run: from vLLM's log, from what Docker said, and from the state of its container, to causes.

The end of a failed log is generic ("see root cause above"), and while serving the reason stands after the line that tells of the
end. A known cause wins over an error of no known kind, a reason over a kind of trouble, that over what follows from it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ..core.bounded import newest
from .cause import ENDS, EXPLAINS, FOLLOWS, GENERAL, NO_CONTEXT, Cause, Context, Diagnosis, told
from .causes import BY_EXIT_CODE, CAUSES, KINDS, OTHER_ERROR, REPEATED, UNKNOWN_WHILE_SERVING, WHILE_SERVING
from .causes_cards import OOM_PLACES, SILENT
from .causes_container import ENDINGS
from .exceptions import Raised, most_telling
from .log_text import READY, arguments_of, has_served, is_mild, last_run, line_at
from .silence import connecting_since

_STOPPED = re.compile(r"\[shutdown\] API server: shutdown triggered")
# Tokens came; an answer that began says as much only where nothing died.
_TOKENS = re.compile(r"Avg generation throughput: (?!0\.0 )\d")
_ANSWER = re.compile(r'"POST /v1/\S{1,100} HTTP/1\.1" 200')
_DEATH = re.compile(
    r"EngineCore encountered a fatal error|EngineDeadError|Engine core proc \S{1,60} died|WorkerProc hit an exception|died unexpectedly|"
    r"Segfault encountered|Fatal Python error"
)
# As Compose tells it.
_ENDED = re.compile(r"\bexited (?:with code |\()(\d{1,3})\b")
_PYDANTIC = re.compile(
    r"validation errors? for \w{1,100}\n(?:[^\n]*\n)??[^\S\n]{1,80}Value error, (.{1,1000}?)(?: \[type=value_error|\n[^\S\n]{1,80}For further|\Z)",
    re.DOTALL,
)
_LONGEST = 20_000
_SPEAKS_FOR_ITSELF = ("docker_refused", "unknown_error")
# What names the reason takes its text before what only names the kind of trouble.
_BY_RANK = tuple(sorted(CAUSES, key=lambda row: row.rank))
_BY_ID = {row.id: row for row in (*ENDINGS, SILENT)}


def _first_match(row: Cause, text: str, start: int) -> re.Match[str] | None:
    """In the first line that says so what the earliest pattern caught there: the one that catches most stands first."""
    found = [match for pattern in row.patterns if (match := pattern.search(text, start))]
    return min(found, key=lambda match: text.rfind("\n", 0, match.start())) if found else None


def _placed(row: Cause, before: str) -> Cause:
    """Of a lack of memory, in which phase it came: the row of the newest marker before it."""
    seen = {
        place.id: (found[-1].end(), place) for marker, place in OOM_PLACES if (found := list(marker.finditer(before)))
    }
    if not seen:
        return row
    last = max(seen.values(), key=lambda entry: entry[0])[1]
    # The trial run of a model that sees begins with its images.
    return seen["oom_images"][1] if last.id == "oom_profiling" and "oom_images" in seen else last


def _known(run: str, start: int, arguments: dict[str, Any], error: str) -> list[tuple[int, Diagnosis]]:
    """Every cause that the run names from ``start`` on, with its place."""
    found: list[tuple[int, Diagnosis]] = []
    taken: list[tuple[int, int]] = []
    for row in _BY_RANK:
        match = _first_match(row, run, start)
        if match is None or any(begin <= match.start() < end for begin, end in taken):
            continue
        taken.append(match.span())
        context = Context(arguments, run[: match.start()])
        exact = _placed(row, context.before) if row.id == "oom" else row
        # What is only reported or warned of may be nothing.
        rank = max(row.rank, FOLLOWS) if is_mild(run, match.start()) else row.rank
        line = line_at(run, match.start())
        found.append((match.start(), told(exact, match.groupdict(), context, line, error=error, rank=rank)))
    ended = _ENDED.search(run, start)
    by_code = BY_EXIT_CODE.get(int(ended[1])) if ended else None
    if ended and by_code:
        line = line_at(run, ended.start())
        found.append((ended.start(), told(by_code, {}, NO_CONTEXT, line, rank=FOLLOWS)))
    return found


def _unknown(error: Raised, serving: bool) -> Diagnosis:
    """An error of no known cause: what it says, and what kind of trouble that is."""
    kind = next((kind for kind in KINDS if kind.names.match(error.name)), OTHER_ERROR)
    advice = WHILE_SERVING if serving else f"{kind.advice} {REPEATED}" if kind.ladder != ("alert",) else kind.advice
    rungs = UNKNOWN_WHILE_SERVING if serving else kind.ladder
    sentence = f"The engine stopped with {error.said}"
    return Diagnosis("unknown_error", f"{sentence} ({kind.what}).", advice, rungs=rungs, line=error.said, rank=GENERAL)


def _unclassified(text: str, error: Raised | None, serving: bool) -> Diagnosis | None:
    """What an error of no known kind says about itself, also where it is wrapped."""
    wrapped = _PYDANTIC.search(text)
    if wrapped:
        said = " ".join(wrapped[1].split())[:300]
        return Diagnosis(
            "configuration", f"The engine refuses its configuration: {said}", "Correct the configuration.", line=said
        )
    return _unknown(error, serving) if error is not None else None


def _survived(run: str, place: int) -> bool:
    """Whether the engine went on after this: then nothing ended there."""
    return (_TOKENS.search(run, place) or _ANSWER.search(run, place)) is not None


def diagnose(log: str) -> list[Diagnosis]:
    """Why the last run in a log failed: the explanation first, then its consequences; empty when nothing failed."""
    run = last_run(log)
    ready = list(READY.finditer(run))
    start = ready[-1].end() if ready else 0
    serving = bool(ready) or has_served(log)
    death = _DEATH.search(run, start) if serving else None
    if death:
        # What a request met earlier, and the engine outlived, is not what ended it.
        start = max([start, *(found.end() for found in _TOKENS.finditer(run, start, death.start()))])
    text = run[start:]
    error = most_telling(text)
    known = _known(run, start, arguments_of(run), error.said if error else "")
    known.sort(key=lambda entry: (entry[1].rank, entry[0]))
    diagnoses: list[Diagnosis] = []
    for _place, diagnosis in known:
        if diagnosis.slug not in [earlier.slug for earlier in diagnoses]:
            diagnoses.append(diagnosis)
    mild = {place for place, _diagnosis in known if is_mild(run, place)}
    sure = [diagnosis for place, diagnosis in known if diagnosis.rank != ENDS and place not in mild]
    if not sure and not _STOPPED.search(run, start):
        other = _unclassified(text, error, serving)
        outlived = serving and death is None and error is not None and _survived(run, start + error.place)
        if other is not None and not outlived:
            diagnoses.insert(0, other)
    if [diagnosis.slug for diagnosis in diagnoses] == ["engine_hung"] and connecting_since(log, None) is not None:
        diagnoses.insert(0, row_named(SILENT.id, diagnoses[0].line))
    return diagnoses


def cause_of(log: str) -> tuple[str, str] | None:
    """A sentence and a remedy for the failure the log explains; None when it explains none."""
    diagnoses = diagnose(log)
    return (diagnoses[0].sentence, diagnoses[0].remedy) if diagnoses else None


# -- what no log says ----------------------------------------------------------------------------------------------------


def row_named(name: str, line: str) -> Diagnosis:
    """A cause that no text names: the end of a container, or silence. ``line`` is what it rests on."""
    return told(_BY_ID[name], {}, NO_CONTEXT, line)


def diagnose_message(text: Any) -> list[Diagnosis]:
    """What Docker, Compose or NVIDIA's toolkit said when it refused something; empty when that says nothing."""
    said = newest(text, _LONGEST).strip() if isinstance(text, str) else ""
    if not said:
        return []
    found = diagnose(said)
    if found and found[0].rank < ENDS:
        return found
    refused = next(row for row in CAUSES if row.id == "docker_refused")
    return [told(refused, {"said": said[-300:]}, NO_CONTEXT, said[:500]), *found]


def known_refusal(text: str) -> Diagnosis | None:
    """What a refusal of Docker or Compose is about; None when it speaks only for itself."""
    return next((found for found in diagnose_message(text)[:1] if found.slug not in _SPEAKS_FOR_ITSELF), None)


def diagnose_end(state: Any, killed: str | None = None) -> Diagnosis | None:
    """Why a container that does not run ended, by ``State`` of docker inspect.

    :param killed: the kernel's line that tells of a process of it that was killed for want of memory.
    """
    state = state if isinstance(state, dict) else {}
    if killed or state.get("OOMKilled") is True:
        return row_named("host_memory_killed", killed or "OOMKilled")
    code = state.get("ExitCode")
    row = BY_EXIT_CODE.get(code) if isinstance(code, int) and not isinstance(code, bool) else None
    return told(row, {}, NO_CONTEXT, f"exit code {code}") if row is not None else None


def explain(log: list[Diagnosis], state: Any, killed: str | None = None) -> list[Diagnosis]:
    """The diagnoses of an engine's log, beside what Docker says of its container, which does not run.

    What Docker says of a start that failed is newer than anything in the log. A reason in the log is better than a code; a code is
    better than "it died".
    """
    state = state if isinstance(state, dict) else {}
    refused = diagnose_message(state.get("Error"))
    end = diagnose_end(state, killed)
    if refused:
        return [*refused, *(one for one in log if one.slug != refused[0].slug)]
    if end is None:
        return log
    vague = not log or log[0].rank in (FOLLOWS, ENDS) or (end.slug == "host_memory_killed" and log[0].rank != EXPLAINS)
    rest = [one for one in log if one.slug != end.slug]
    return [replace(end, rank=EXPLAINS), *rest] if vague else [*log, end]
