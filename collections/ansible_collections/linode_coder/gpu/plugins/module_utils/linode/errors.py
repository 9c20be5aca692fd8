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

from ..core.failure import Failure
from .shapes import wrong_shape

# Wordings seen over the years, with status 403 and 400.
_CAPACITY = re.compile(
    r"not (?:currently )?available in (?:the selected|this|that) region"
    r"|no availability for the selected plan"
    r"|insufficient (?:capacity|resources)|out of (?:capacity|stock)"
    r"|resource creation in this region is currently restricted"
)
_LOCK = re.compile(r"\bcannot_delete\w*|\block(?:ed|s)?\b")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,40}")
_ELSEWHERE = "Name more regions or another plan: linode-coder plans shows what is offered where. Or try again later."
_GONE = "Somebody deleted it, or the token opens another account. See what exists: linode-coder list"
_TAKEN = "Choose another session name, or delete or rename what has this label in Cloud Manager."
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


def is_refusal(body: Any) -> bool:
    """Whether a body is how the API says no: anything between here and it answers in another form."""
    return bool(reasons(body))


def _text(errors: list[dict[str, str]], status: int) -> str:
    parts = [f"{error['field']}: {error['reason']}" if error["field"] else error["reason"] for error in errors]
    return "; ".join(parts) or f"HTTP {status}"


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _lost(method: str, what: str, cause: str) -> Failure:
    if method == "GET":
        return Failure(
            "transient",
            f"The Linode API's answer could not be read ({what}).",
            cause=cause,
            remedy="Nothing was changed. Check the network and https://status.linode.com, then run the command again.",
        )
    return Failure(
        "ambiguous",
        f"The Linode API did not say whether the request was carried out ({what}).",
        cause=cause,
        remedy="Run the command again: it looks for what exists before it creates anything.",
    )


def _in_maintenance(method: str, cause: str) -> Failure:
    """It is not said anywhere that nothing is carried out meanwhile, so a write is unclear here too."""
    known = "See https://status.linode.com for when it ends, then run the command again"
    if method == "GET":
        message = "The Linode API is down for maintenance."
        return Failure("transient", message, cause=cause, remedy=f"Nothing was changed. {known}.")
    return Failure(
        "ambiguous",
        "The Linode API is down for maintenance; it did not say whether the request was carried out.",
        cause=cause,
        remedy=f"{known}: it looks for what exists before it creates anything.",
    )


def from_transport(method: str, error: Exception) -> Failure:
    """No answer at all: timeout, reset, refused, name not found."""
    return _lost(method, "no answer", f"{type(error).__name__}: {error}")


def not_the_api(method: str, url: str, status: int, content_type: str | None, why: str | None = None) -> Failure:
    """An answer that is not the JSON which the API promises: a sign-in page, a proxy's or an edge's page.

    Whatever its status is, it says nothing of what was asked for: its 404 is no proof that anything is gone.
    """
    named = (content_type or "").split(";")[0].strip().lower()
    what = why or (named if _MEDIA_TYPE.fullmatch(named) else "of no known type")
    message = f"What answered at {url} is not the Linode API: HTTP {status}, {what}."
    cause = f"{method}: [{status}] {what}"
    passing = "Is there a sign-in page (a captive portal) or a proxy between? Pass it, or see https://status.linode.com"
    if method == "GET":
        remedy = f"{passing}; then run the command again. Nothing was changed."
        return Failure("transient", message, cause=cause, remedy=remedy)
    remedy = f"{passing}; then run the command again: it looks for what exists before it creates anything."
    return Failure(
        "ambiguous", f"{message} Whether the request was carried out is not known.", cause=cause, remedy=remedy
    )


def _refused(field: str | None) -> str:
    """What to do about a refusal that has no words of its own."""
    if field is None:
        return (
            "The request was not carried out. The cause says what the API wants; change that and run the command again."
        )
    name = field.partition(".")[0].partition("[")[0]
    options = {
        "region": "choose another with --region: linode-coder plans shows where each plan is offered",
        "type": "choose another with --plan: linode-coder plans shows what there is",
        "label": "choose another session name",
        "authorized_keys": "give a public key in OpenSSH's one-line form with --ssh-key",
    }
    return f"The request was not carried out. About {field}: {options.get(name, 'the cause says what the API wants there')}."


def classify(
    method: str, path: str, status: int, headers: Mapping[str, str], body: Any, url: str = "the address of the API"
) -> Failure:
    """The Failure that an answer with ``status`` >= 300 from the API at ``url`` is."""
    errors = reasons(body)
    text = _text(errors, status)
    lower = text.lower()
    low_headers = {name.lower(): value for name, value in headers.items()}
    cause = f"{method} {path}: [{status}] {text}"
    if not is_refusal(body) and status not in (408, 429) and status < 500:
        return not_the_api(method, url, status, low_headers.get("content-type"))
    if status in (400, 403) and method == "POST" and _CAPACITY.search(lower):
        return Failure("capacity", "The plan is not available in this region now.", cause=cause, remedy=_ELSEWHERE)
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
            "The token's user is not allowed to do this.",
            cause=cause,
            remedy="Ask an administrator of the account for the grant, or use a token of another user.",
            field="api_token",
        )
    if status == 404:
        return Failure("not_found", "The API does not know this object.", cause=cause, remedy=_GONE)
    if status == 429:
        return Failure(
            "rate_limited",
            "The API's rate limit is used up.",
            cause=cause,
            remedy=f"Try again in {low_headers.get('retry-after', '60')} s.",
            retry_after=_seconds(low_headers.get("retry-after")),
        )
    if status == 503 and "x-maintenance-mode" in low_headers:
        return _in_maintenance(method, cause)
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
        return Failure("conflict", "The label is taken.", cause=cause, remedy=_TAKEN, field="label")
    text = text.rstrip(".")
    return Failure(
        "cloud", f"The Linode API refused the request: {text}.", cause=cause, remedy=_refused(field), field=field
    )


def body_of(method: str, path: str, status: int, headers: Mapping[str, str], body: Any, url: str) -> dict[str, Any]:
    """The ``body`` of an answer to ``method`` on ``path``, if it is what the API promises; else the Failure that it is. None is
    one that is no JSON.
    """
    if status >= 300:
        raise classify(method, "/" + path, status, headers, body, url)
    named = next((value for name, value in headers.items() if name.lower() == "content-type"), None)
    wrong = None if body is None else wrong_shape(method, path, body)
    if body is None or wrong:
        why = f"the answer to {method} /{path.partition('?')[0]}: {wrong}" if wrong else None
        raise not_the_api(method, url, status, named, why)
    found: dict[str, Any] = body
    return found
