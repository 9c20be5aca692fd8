# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs side by side: what was different about them, each figure with its change, and which changes are only noise."""

from __future__ import annotations

from typing import Any

from .document import answer_tokens, levels, mapping, number, percentile, positive, spread, text

# What a run was made with, as people call it, and where it stands in the document.
_MADE_WITH = (
    *(("plan", "plan"), ("model", "model"), ("engine", "engine"), ("profile", "profile"), ("where", "where")),
    ("prefix_cache", "prefix cache"),
)
# Runs that differ in one of these measured different things.
_SAME = ("profile", "tokens of an answer", "prefix cache", "generator", "sandbox")
FIGURES = (
    *(("ttft_p50", "TTFT p50"), ("ttft_p99", "TTFT p99"), ("itl_p50", "ITL p50"), ("itl_p99", "ITL p99")),
    *(("e2e_p50", "E2E p50"), ("stream_tps", "tokens/s each"), ("output_tps", "tokens/s all"), ("failed", "failed")),
)


def _written(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return "-" if number(value) is None else f"{value:g}"
    return text(value if isinstance(value, str) else repr(value)[:200])


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, str]]:
    """What the runs were made with that is not the same: ``what``, and how it was in ``a`` and in ``b``."""
    pairs = [(name, first.get(key), second.get(key)) for key, name in _MADE_WITH]
    pairs += [("sandbox", first.get("sandbox") is True, second.get("sandbox") is True)]
    pairs.append(("tokens of an answer", answer_tokens(first), answer_tokens(second)))
    makers = [mapping(run.get("generator")).get("name") for run in (first, second)]
    pairs.append(("generator", makers[0], makers[1]))
    flags, other = mapping(first.get("flags")), mapping(second.get("flags"))
    names = sorted(name for name in {*flags, *other} if isinstance(name, str))
    pairs += [(f"--{text(name, 40)}", flags.get(name), other.get(name)) for name in names]
    written = [{"what": what, "a": _written(a), "b": _written(b)} for what, a, b in pairs]
    return [one for one in written if one["a"] != one["b"]]


def _value(level: dict[str, Any], figure: str) -> float | None:
    kind, _score, which = figure.partition("_")
    return percentile(level, kind, which) if which.startswith("p") else number(level.get(figure))


def _compared(a: dict[str, Any], b: dict[str, Any], figure: str) -> dict[str, Any]:
    """``change`` is a share of ``a``; ``noise`` is None where the runs do not say how far their figures spread."""
    old, new = _value(a, figure), _value(b, figure)
    change = new / old - 1 if new is not None and old is not None and positive(old) else None
    known = [share for share in (spread(a, figure), spread(b, figure)) if share is not None]
    noise = None
    if figure == "failed":
        noise = None if old == new else False
    elif change is not None and known:
        noise = abs(change) <= max(known)
    return {"a": old, "b": new, "change": change, "noise": noise}


def _why_not(differing: list[dict[str, str]], common: list[int]) -> str | None:
    for one in differing if common else ():
        if one["what"] in _SAME:
            values = "one is of the sandbox" if one["what"] == "sandbox" else f"{one['what']} {one['a']} and {one['b']}"
            return f"These runs cannot be compared, they did not measure the same: {values}."
    return None if common else "These runs cannot be compared: no level has as many streams in both."


def compare(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """``first`` is what ``second`` is held against.

    Returns ``differs`` (see differences), ``why_not`` (a sentence where the figures say nothing of each other, else None), and for
    each ``concurrency`` that one of them has in ``levels`` its ``figures`` by name; ``only`` is a or b where the other lacks it.
    """
    first, second = mapping(first), mapping(second)
    ours, theirs = levels(first), levels(second)
    differing = differences(first, second)
    found = []
    for streams in sorted({*ours, *theirs}):
        only = "a" if streams not in theirs else "b" if streams not in ours else None
        a, b = ours.get(streams, {}), theirs.get(streams, {})
        figures = {figure: _compared(a, b, figure) for figure, _name in FIGURES}
        found.append({"concurrency": streams, "only": only, "figures": figures})
    return {"differs": differing, "why_not": _why_not(differing, sorted({*ours} & {*theirs})), "levels": found}
