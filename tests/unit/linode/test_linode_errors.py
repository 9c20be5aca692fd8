# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import EXIT_CODES, Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.errors import (
    body_of,
    classify,
    from_transport,
    is_refusal,
    not_the_api,
    reasons,
)

NO_STOCK = "The Linode plan you chose is not currently available in the selected region"
RESTRICTED = (
    "Resource creation in this region is currently restricted due to limited deployment. Please refer to the docs."
)
NOT_AUTHORIZED = "Your OAuth token is not authorized to use this endpoint."
LIMIT = "Account Limit reached. Please open a support ticket."
UNIQUE = "Label must be unique among your linodes"
NARROW = {"X-OAuth-Scopes": "linodes:read_only", "X-Accepted-OAuth-Scopes": "linodes:read_write"}
UNKNOWN = {"X-OAuth-Scopes": "unknown", "X-Accepted-OAuth-Scopes": "linodes:read_write"}


@pytest.mark.parametrize(
    ("method", "status", "reason", "headers", "kind"),
    [
        ("POST", 403, NO_STOCK, {}, "capacity"),
        ("POST", 400, NO_STOCK, {}, "capacity"),
        ("POST", 400, "there is no availability for the selected plan in the selected region", {}, "capacity"),
        ("POST", 400, RESTRICTED, {}, "capacity"),
        ("POST", 403, "Unauthorized", {}, "auth"),
        ("GET", 401, "Invalid Token", UNKNOWN, "auth"),
        ("GET", 401, "Invalid Token", {}, "auth"),
        ("POST", 401, NOT_AUTHORIZED, NARROW, "scope"),
        ("GET", 401, NOT_AUTHORIZED, {}, "scope"),
        ("POST", 400, "Linode busy.", {}, "busy"),
        ("POST", 400, LIMIT, {}, "limit"),
        ("POST", 400, UNIQUE, {}, "conflict"),
        ("POST", 400, "region is not valid", {}, "cloud"),
        ("DELETE", 400, "This Linode has a cannot_delete lock.", {}, "conflict"),
        ("DELETE", 403, "The resource is locked", {}, "conflict"),
        ("POST", 400, "block storage is not allowed here", {}, "cloud"),
        ("GET", 404, "Not found", {}, "not_found"),
        ("POST", 429, "Too many requests", {"Retry-After": "7"}, "rate_limited"),
        ("GET", 408, "Request Timeout", {}, "transient"),
        ("POST", 408, "Request Timeout", {}, "ambiguous"),
        # A shortage is one of what was to be created.
        ("GET", 400, NO_STOCK, {}, "cloud"),
        ("POST", 409, NO_STOCK, {}, "cloud"),
        # The scopes of the token say whether it is a token at all.
        ("GET", 401, "Invalid Token", NARROW, "scope"),
        ("DELETE", 409, "The resource is locked", {}, "conflict"),
        ("DELETE", 423, "The resource is locked", {}, "conflict"),
        ("DELETE", 404, "The resource is locked", {}, "not_found"),
        ("DELETE", 403, "Unauthorized", {}, "auth"),
        ("POST", 400, "The resource is locked", {}, "cloud"),
        ("GET", 499, "Client closed", {}, "cloud"),
        ("GET", 500, "Internal Server Error", {}, "transient"),
        ("GET", 502, "Bad Gateway", {}, "transient"),
        ("POST", 500, "Internal Server Error", {}, "ambiguous"),
        ("DELETE", 503, "Unavailable", {}, "ambiguous"),
        ("PUT", 504, "Gateway Timeout", {}, "ambiguous"),
    ],
)
def test_kinds(method: str, status: int, reason: str, headers: dict[str, str], kind: str) -> None:
    failure = classify(method, "/linode/instances", status, headers, {"errors": [{"reason": reason}]})
    assert failure.kind == kind
    assert reason in (failure.cause or "")
    assert failure.message.endswith(".")


@pytest.mark.parametrize(
    ("method", "kind", "told"),
    [
        ("GET", "transient", "Nothing was changed."),
        ("POST", "ambiguous", "looks for what exists before it creates anything"),
    ],
)
@pytest.mark.parametrize("body", [{}, {"errors": [{"reason": "x"}]}])
def test_maintenance_is_called_by_its_name(method: str, kind: str, told: str, body: dict[str, Any]) -> None:
    failure = classify(method, "/x", 503, {"x-maintenance-mode": "true"}, body)
    assert failure.kind == kind and "maintenance" in failure.message and told in str(failure.remedy)
    assert "status.linode.com" in str(failure.remedy)
    for other in (
        classify(method, "/x", 502, {"X-Maintenance-Mode": "true"}, body),
        classify(method, "/x", 503, {}, body),
    ):
        assert other.kind == kind and "maintenance" not in other.message


def test_the_missing_scope_is_named() -> None:
    failure = classify("POST", "/linode/instances", 401, NARROW, {"errors": [{"reason": NOT_AUTHORIZED}]})
    assert "linodes:read_write" in failure.message
    unnamed = classify("POST", "/linode/instances", 401, {}, {"errors": [{"reason": NOT_AUTHORIZED}]})
    assert "another scope" in unnamed.message


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (None, []),
        ([], []),
        ({"errors": "x"}, []),
        ({"errors": [{"reason": "a", "field": "f"}, "x", {"field": None}]}, [("a", "f"), ("", "")]),
    ],
)
def test_the_reasons_of_a_refusal(body: Any, read: list[tuple[str, str]]) -> None:
    assert [(one["reason"], one["field"]) for one in reasons(body)] == read
    assert is_refusal(body) == bool(read)


def test_every_reason_is_told_with_its_field() -> None:
    body = {"errors": [{"reason": "Bad."}, {"reason": "Worse", "field": "region"}, {"reason": "x", "field": "type"}]}
    failure = classify("POST", "/x", 400, {}, body)
    assert failure.cause == "POST /x: [400] Bad.; region: Worse; type: x"
    assert failure.message == "The Linode API refused the request: Bad.; region: Worse; type: x."
    assert failure.field == "region" and "--region" in str(failure.remedy)
    assert classify("GET", "/x", 408, {}, {}).message == "The Linode API's answer could not be read (HTTP 408)."
    assert classify("GET", "/x", 500, {}, {}).cause == "GET /x: [500] HTTP 500"


@pytest.mark.parametrize(
    ("field", "told"),
    [
        (None, "The cause says what the API wants"),
        ("type", "--plan"),
        ("label", "another session name"),
        ("authorized_keys[0]", "About authorized_keys[0]: give a public key"),
        ("interfaces[0].public", "About interfaces[0].public: the cause says"),
        ("region.id", "About region.id: choose another with --region"),
    ],
)
def test_what_a_refused_field_wants(field: str | None, told: str) -> None:
    assert told in str(classify("POST", "/x", 400, {}, {"errors": [{"reason": "no", "field": field}]}).remedy)


@pytest.mark.parametrize(
    ("status", "reason", "field"),
    [(401, "Invalid Token", "api_token"), (403, "Unauthorized", "api_token"), (400, UNIQUE, "label"), (404, "x", None)],
)
def test_what_a_failure_is_about(status: int, reason: str, field: str | None) -> None:
    assert classify("GET", "/x", status, {}, {"errors": [{"reason": reason}]}).field == field


@pytest.mark.parametrize(
    ("reason", "named"), [("This has a cannot_delete_with_x lock.", "the lock cannot_delete_with_x"), ("locked", "with a lock")]
)  # fmt: skip
def test_the_lock_is_named(reason: str, named: str) -> None:
    assert named in classify("DELETE", "/x", 400, {}, {"errors": [{"reason": reason}]}).message


@pytest.mark.parametrize(
    ("method", "status", "type_", "kind", "told"),
    [
        ("GET", 404, "text/html; charset=utf-8", "transient", "HTTP 404, text/html."),
        ("GET", 200, None, "transient", "HTTP 200, of no known type."),
        ("DELETE", 404, "text/html", "ambiguous", "Whether the request was carried out is not known."),
    ],
)
def test_an_answer_of_something_else(method: str, status: int, type_: str | None, kind: str, told: str) -> None:
    headers = {} if type_ is None else {"Content-Type": type_}
    failure = classify(method, "/x", status, headers, {}, "https://api")
    assert (failure.kind, failure.retry_after) == (kind, None) and told in failure.message
    assert "https://api" in failure.message and str(failure.cause).startswith(f"{method}: [{status}]")
    assert ("Nothing was changed." in str(failure.remedy)) == (method == "GET")
    assert "says why" in not_the_api(method, "u", status, type_, "it says why").message


def test_the_wait_that_the_api_asks_for_is_kept() -> None:
    assert classify("GET", "/x", 429, {"Retry-After": "7"}, {}).retry_after == 7
    for said in ("soon", "-1", "1.5", "٧", ""):
        assert classify("GET", "/x", 429, {"Retry-After": said}, {}).retry_after is None
    unsaid = classify("GET", "/x", 429, {}, {})
    assert (unsaid.kind, unsaid.retry_after, unsaid.remedy) == ("rate_limited", None, "Try again in 60 s.")
    assert classify("GET", "/x", 428, {}, {}).kind == "transient"


@pytest.mark.parametrize("body", [None, "", [], {}, {"errors": None}, {"errors": ["x"]}])
def test_any_body_can_be_read(body: Any) -> None:
    assert classify("GET", "/x", 400, {}, body).kind == "transient"
    assert classify("POST", "/x", 400, {}, body).kind == "ambiguous"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 429, 500])
@pytest.mark.parametrize("reason", ["region is not valid", NO_STOCK, LIMIT, UNIQUE, "Linode busy.", "locked"])
@pytest.mark.parametrize("field", ["region", "interfaces[0].public", "", None])
def test_every_refusal_says_what_to_do_next(method: str, status: int, reason: str, field: str | None) -> None:
    failure = classify(method, "/x", status, {}, {"errors": [{"reason": reason, "field": field}]})
    assert failure.remedy and not failure.message.endswith("..")


@pytest.mark.parametrize("kind", ["text/html; charset=x", "TEXT/HTML", "\x1b[2J", "a" * 500, "", None])
def test_the_type_of_a_foreign_answer_is_no_terminal_control(kind: str | None) -> None:
    said = not_the_api("GET", "https://api.linode.com", 200, kind).message
    assert "\x1b" not in said and len(said) < 200
    assert ("text/html" in said) == ((kind or "").lower().startswith("text/html"))


HTML = {"X-Y": "z", "content-TYPE": "text/html"}


@pytest.mark.parametrize(
    ("method", "status", "headers", "body", "kind", "told"),
    [
        ("GET", 299, {}, None, "transient", "HTTP 299, of no known type."),
        ("GET", 200, HTML, None, "transient", "HTTP 200, text/html."),
        ("DELETE", 200, HTML, None, "ambiguous", "HTTP 200, text/html."),
        ("GET", 200, {}, [], "transient", "the answer to GET /account: it is no object."),
        ("GET", 300, {}, {"errors": [{"reason": "moved"}]}, "cloud", "refused the request: moved."),
        ("GET", 404, {}, {"errors": [{"reason": "Not found"}]}, "not_found", "does not know this object."),
    ],
)
def test_an_answer_that_is_not_what_the_api_promises(
    method: str, status: int, headers: dict[str, str], body: Any, kind: str, told: str
) -> None:
    with pytest.raises(Failure) as raised:
        body_of(method, "account?x=1", status, headers, body, "https://api")
    assert raised.value.kind == kind and raised.value.message.removesuffix(
        " Whether the request was carried out is not known."
    ).endswith(told)


def test_an_answer_that_is_what_the_api_promises() -> None:
    assert body_of("DELETE", "linode/instances/5", 200, {}, {}, "https://api") == {}


def test_no_answer() -> None:
    assert from_transport("GET", TimeoutError("timed out")).kind == "transient"
    assert from_transport("POST", ConnectionResetError("reset")).kind == "ambiguous"


@pytest.mark.parametrize("kind", EXIT_CODES)
def test_failures_survive_their_journey_as_data(kind: str) -> None:
    failure = Failure(kind, "m.", cause="c", remedy="r", field="f", value=1, billing=["b"])
    assert Failure.from_dict(failure.as_dict()).as_dict() == failure.as_dict()
