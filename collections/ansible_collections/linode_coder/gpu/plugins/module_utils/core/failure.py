# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What went wrong, for a person and for a program: one sentence, its cause, what to do next, and an exit code."""

from __future__ import annotations

from typing import Any

# The documented table of exit codes. 130 (interrupted) is the shell's own convention and has no Failure.
EXIT_CODES: dict[str, int] = {
    "internal": 1,
    "usage": 2,
    "config": 2,
    "refused": 3,
    "auth": 4,
    "scope": 4,
    "host_key": 4,
    "cloud": 5,
    "transient": 5,
    "ambiguous": 5,
    "rate_limited": 5,
    "busy": 5,
    "limit": 5,
    "unreachable": 5,
    "unhealthy": 6,
    "capacity": 7,
    "timeout": 8,
    "not_found": 9,
    "conflict": 10,
    "unknown": 11,
}


class Failure(Exception):
    """An error a person can act on.

    :param kind: a key of EXIT_CODES.
    :param message: one clear sentence: what is wrong, with the field and the value.
    :param cause: where it came from, e.g. the API's own text.
    :param remedy: what to do next, a command to paste where there is one.
    :param billing: what still costs money because of it, one line each.
    :param retry_after: seconds after which the other side wants to be asked again.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        cause: str | None = None,
        remedy: str | None = None,
        field: str | None = None,
        value: Any = None,
        billing: tuple[str, ...] | list[str] = (),
        retry_after: float | None = None,
    ) -> None:
        if kind not in EXIT_CODES:
            raise ValueError(f"unknown kind of failure: {kind}")
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.cause = cause
        self.remedy = remedy
        self.field = field
        self.value = value
        self.billing = tuple(billing)
        self.retry_after = retry_after

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.kind]

    @property
    def anchor(self) -> str:
        """Name of the section in the docs that explains this kind."""
        return "error-" + self.kind.replace("_", "-")

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "message": self.message,
            "cause": self.cause,
            "remedy": self.remedy,
            "field": self.field,
            "value": self.value,
            "billing": list(self.billing),
            "anchor": self.anchor,
            "exit_code": self.exit_code,
        }

    def as_result(self) -> dict[str, Any]:
        """What a failed module says: the message for people, and all of it as data."""
        parts = (self.message, self.cause and f"Cause: {self.cause}.", self.remedy, *self.billing)
        return {"msg": " ".join(part for part in parts if part), "failure": self.as_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Failure:
        kind = data.get("kind")
        return cls(
            kind if kind in EXIT_CODES else "internal",
            str(data.get("message")),
            cause=data.get("cause"),
            remedy=data.get("remedy"),
            field=data.get("field"),
            value=data.get("value"),
            billing=data.get("billing") or (),
        )
