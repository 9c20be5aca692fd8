# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer of the Linode API means.

Classified by text and scope headers, since the status alone misleads: no stock is a 403, a missing scope a 401.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .failure import Failure

# Wordings seen over the years, with status 403 and 400.
_CAPACITY = re.compile(
    r"not (?:currently )?available in (?:the selected|this|that) region"
    r"|no availability for the selected plan"
    r"|insufficient (?:capacity|resources)|out of (?:capacity|stock)"
    r"|resource creation in this region is currently restricted"
)
_LOCK = re.compile(r"\bcannot_delete\w*|\block(?:ed|s)?\b")
_LIMIT = ("account limit reached", "limit reached", "open a support ticket")


def reasons(body: Any) -> list[dict[str, str]]:
    """The ``errors`` of an answer's body, whatever the body is."""
    errors = body.get("errors") if isinstance(body, Mapping) else None
    if not isinstance(errors, list):
        return []
    return [
        {"reason": str(error.get("reason", "")), "field": str(error.get("field") or "")}
        for error in errors
        if isinstance(error, Mapping)
    ]


def _text(errors: list[dict[str, str]], status: int) -> str:
    parts = [f"{error['field']}: {error['reason']}" if error["field"] else error["reason"] for error in errors]
    return "; ".join(parts) or f"HTTP {status}"


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _lost(method: str, what: str, cause: str) -> Failure:
    if method == "GET":
        return Failure(
            "transient",
            f"The Linode API could not be read ({what}).",
            cause=cause,
            remedy="Nothing was changed. Check the network and https://status.linode.com, then run the command again.",
        )
    return Failure(
        "ambiguous",
        f"The Linode API did not say whether the request was carried out ({what}).",
        cause=cause,
        remedy="Run the command again: it looks for what exists before it creates anything.",
    )


def from_transport(method: str, error: Exception) -> Failure:
    """No answer at all: timeout, reset, refused, name not found."""
    return _lost(method, "no answer", f"{type(error).__name__}: {error}")


def classify(method: str, path: str, status: int, headers: Mapping[str, str], body: Any) -> Failure:
    """The Failure that an answer with ``status`` >= 400 is."""
    errors = reasons(body)
    text = _text(errors, status)
    lower = text.lower()
    low_headers = {name.lower(): value for name, value in headers.items()}
    cause = f"{method} {path}: [{status}] {text}"
    if status in (400, 403) and method == "POST" and _CAPACITY.search(lower):
        return Failure("capacity", "The plan is not available in this region now.", cause=cause)
    if "linode busy" in lower:
        return Failure("busy", "The Linode is busy with another action.", cause=cause, remedy="Try again in a minute.")
    if status == 401:
        scopes = low_headers.get("x-oauth-scopes", "")
        if "not authorized to use this endpoint" in lower or (scopes and scopes != "unknown"):
            needed = low_headers.get("x-accepted-oauth-scopes") or "another scope"
            return Failure(
                "scope",
                f"The API token lacks the scope {needed}.",
                cause=cause,
                remedy="Scopes cannot be added to a token: create a new one with linodes:read_write, "
                "firewall:read_write, events:read_only and account:read_only.",
                field="api_token",
            )
        return Failure(
            "auth",
            "The API token is not valid: it is mistyped, expired or revoked.",
            cause=cause,
            remedy="Create a token in Cloud Manager under API Tokens and put it into LINODE_TOKEN.",
            field="api_token",
        )
    lock = _LOCK.search(lower) if method == "DELETE" and status in (400, 403, 409, 423) else None
    if lock:
        named = f"the lock {lock[0]}" if lock[0].startswith("cannot_delete") else "a lock"
        return Failure(
            "conflict",
            f"Somebody protected this Linode against deletion with {named}, so it keeps billing.",
            cause=cause,
            remedy="Remove the lock in Cloud Manager first, if that is intended.",
        )
    if status == 403:
        return Failure(
            "auth",
            "The token's user may not do this.",
            cause=cause,
            remedy="Ask an administrator of the account for the grant, or use a token of another user.",
            field="api_token",
        )
    if status == 404:
        return Failure("not_found", "The API does not know this object.", cause=cause)
    if status == 429:
        return Failure(
            "rate_limited",
            "The API's rate limit is used up.",
            cause=cause,
            remedy=f"Try again in {low_headers.get('retry-after', '60')} s.",
            retry_after=_seconds(low_headers.get("retry-after")),
        )
    if status == 408 or status >= 500:
        return _lost(method, f"HTTP {status}", cause)
    if any(part in lower for part in _LIMIT):
        return Failure(
            "limit",
            "The account's limit is reached.",
            cause=cause,
            remedy="Delete what is not needed, or ask support in a ticket for a higher limit for GPU Linodes.",
        )
    field = next((error["field"] for error in errors if error["field"]), None)
    if "must be unique" in lower:
        return Failure("conflict", "The label is taken.", cause=cause, field="label")
    return Failure("cloud", f"The Linode API refused the request: {text}.", cause=cause, field=field)
