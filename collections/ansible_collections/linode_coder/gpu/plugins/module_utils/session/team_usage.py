# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asked a team's gateway how much: its log, added up."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

# Answers of these name their tokens.
_COUNTED = frozenset({"chat/completions", "completions", "responses", "messages", "embeddings"})
_LONGEST_LINE = 4096
_REFUSED, _LIMITED = 401, 429


@dataclass
class Use:
    """``tokens_in`` and ``tokens_out`` are those that the engine named. ``uncounted`` answers named none: the client went away
    before the end, or the engine did.
    """

    requests: int = 0
    answered: int = 0
    limited: int = 0
    failed: int = 0
    uncounted: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    last: float = 0.0


@dataclass
class Total:
    """Of the people by name; ``refused`` requests had no key that opens."""

    people: dict[str, Use] = field(default_factory=dict)
    refused: int = 0

    def add(self, lines: Iterable[str], since: float) -> None:
        """Entries of the log that are not older than ``since``, seconds since the epoch. What is no entry is left out."""
        for line in lines:
            entry = _entry(line)
            if entry is None or entry["at"] < since:
                continue
            if not entry["person"]:
                self.refused += entry["status"] == _REFUSED
                continue
            self._count(self.people.setdefault(entry["person"], Use()), entry)

    def _count(self, use: Use, entry: dict[str, Any]) -> None:
        status, named = entry["status"], entry["tokens_in"] or entry["tokens_out"]
        use.requests += 1
        use.answered += status < 400
        use.limited += status == _LIMITED
        use.failed += status >= 500
        use.uncounted += entry["endpoint"] in _COUNTED and not named and (status < 400 or status == 499)
        use.tokens_in += int(entry["tokens_in"] or 0)
        use.tokens_out += int(entry["tokens_out"] or 0)
        use.seconds += entry["seconds"]
        use.last = max(use.last, entry["at"])

    def as_rows(self) -> list[dict[str, Any]]:
        """Plain data, who used most first; ``seconds`` rounded."""
        rows = [{"person": name, **asdict(use), "seconds": round(use.seconds, 1)} for name, use in self.people.items()]
        return sorted(rows, key=lambda row: (-row["tokens_out"], -row["requests"], row["person"]))


def _entry(line: str) -> dict[str, Any] | None:
    if len(line) > _LONGEST_LINE:
        return None
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    numbers = all(_is_number(entry.get(name)) for name in ("at", "seconds", "status"))
    texts = all(isinstance(entry.get(name), str) for name in ("person", "endpoint", "tokens_in", "tokens_out"))
    if not (numbers and texts):
        return None
    counts = (entry["tokens_in"], entry["tokens_out"])
    return entry if all(not text or (text.isascii() and text.isdigit() and len(text) < 16) for text in counts) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
