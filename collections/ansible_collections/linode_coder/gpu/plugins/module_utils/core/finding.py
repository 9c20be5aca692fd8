# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A finding: what one check saw on one subject, and which rungs of the remedy ladder it asks for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Iterable

from .rungs import NAMES

# From harmless to serious. Unknown outranks a warning, because something may be broken behind it.
SEVERITIES = ("pass", "warn", "unknown", "fail")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    :param id: a key of ``check_catalogue.CHECKS``.
    :param severity: one of SEVERITIES.
    :param subject: ``vm``, ``container``, ``engine``, or ``gpu:`` and its UUID or bus id.
    :param summary: one sentence.
    :param evidence: the reading or the line it rests on.
    :param cause: a slug that tells apart two reasons for the same check to fail.
    :param ladder: rungs to try, in order; empty when there is nothing to do.
    :param remedy: a sentence for a person.
    """

    id: str
    severity: str
    subject: str
    summary: str
    evidence: str = ""
    cause: str | None = None
    ladder: tuple[str, ...] = ()
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"unknown severity: {self.severity}")
        unknown = set(self.ladder) - set(NAMES)
        if unknown:
            raise ValueError(f"unknown rung: {', '.join(sorted(unknown))}")

    @property
    def fingerprint(self) -> str:
        """The same for the same trouble in the next observation."""
        return "|".join((self.id, self.subject, self.cause or ""))

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ladder": list(self.ladder)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Finding:
        return cls(
            id=str(data["id"]),
            severity=str(data["severity"]),
            subject=str(data["subject"]),
            summary=str(data["summary"]),
            evidence=str(data.get("evidence") or ""),
            cause=data.get("cause"),
            ladder=tuple(data.get("ladder") or ()),
            remedy=str(data.get("remedy") or ""),
        )


def worst(findings: Iterable[Finding]) -> str:
    """The most serious severity; without any finding nothing is known."""
    return max((finding.severity for finding in findings), key=SEVERITIES.index, default="unknown")
