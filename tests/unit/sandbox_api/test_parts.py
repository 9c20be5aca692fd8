"""Rate limits, scopes, faults and the store, each on its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from linode_coder.sandbox.api.auth import Caller, digest, identify, normal_scopes
from linode_coder.sandbox.api.envelope import ApiError, Problems
from linode_coder.sandbox.api.faults import Faults
from linode_coder.sandbox.api.ratelimit import Limits
from linode_coder.sandbox.api.state import State
from linode_coder.sandbox.api.store import Store
from linode_coder.sandbox.api.validation import check_label, check_ssh_key, check_tags, check_user_data
from linode_coder.sandbox.own_token import TOKEN


def test_creates_are_limited_to_twenty_per_fifteen_seconds() -> None:
    limits = Limits()
    for number in range(20):
        assert limits.spend("a", "create", 100.0)["X-RateLimit-Remaining"] == str(19 - number)
    with pytest.raises(ApiError) as caught:
        limits.spend("a", "create", 105.0)
    assert caught.value.status == 429
    assert caught.value.headers["Retry-After"] == "10"
    assert limits.spend("b", "create", 105.0)["X-RateLimit-Limit"] == "20"
    assert limits.spend("a", "create", 115.0)["X-RateLimit-Remaining"] == "19"
    # Of all callers: what was answered, and what was refused.
    assert limits.counts == {"create": [22, 1]}


def test_limits_can_be_off() -> None:
    limits = Limits("off")
    for _ in range(50):
        headers = limits.spend("a", "create", 100.0)
    assert headers["X-RateLimit-Remaining"] == "0"


@pytest.mark.parametrize(
    ("scopes", "needed", "allowed"),
    [
        ("*", "linodes:read_write", True),
        ("linodes:read_only", "linodes:read_only", True),
        ("linodes:read_only", "linodes:read_write", False),
        ("linodes:read_write", "linodes:read_only", True),
        ("linodes:read_write", "events:read_only", False),
        ("linodes:read_write", "*", True),
    ],
)
def test_scopes(scopes: str, needed: str, allowed: bool) -> None:
    assert Caller("k", scopes, True).may(needed) is allowed


def test_scopes_are_normalised_and_checked() -> None:
    assert normal_scopes("linodes:read_write, events:read_only") == "events:read_only linodes:read_write"
    assert normal_scopes("linodes") is None
    assert normal_scopes("nothing:read_only") is None


@pytest.mark.parametrize(
    "header", ["", "Bearer ", "Bearer", "Basic abc", "Bearer null", "Bearer mistyped", f"Basic {TOKEN}"]
)
def test_worthless_tokens(header: str) -> None:
    account = State()
    with pytest.raises(ApiError) as caught:
        identify(account.store, header, "127.0.0.1")
    assert (caught.value.status, caught.value.errors) == (401, [{"reason": "Invalid Token"}])
    assert caught.value.headers["X-OAuth-Scopes"] == "unknown"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "token"])
def test_the_token_that_every_sandbox_takes(scheme: str) -> None:
    account = State()
    assert identify(account.store, f"{scheme} {TOKEN}", "").scopes == "*"
    account.forget()
    assert identify(account.store, f"{scheme} {TOKEN}", "").scopes == "*"


def test_revoked_tokens() -> None:
    store = Store(None)
    store.put("token_secret", digest("abc"), {"id": 1, "scopes": "*", "revoked": False})
    assert identify(store, "Bearer abc", "").scopes == "*"
    store.put("token_secret", digest("abc"), {"id": 1, "scopes": "*", "revoked": True})
    with pytest.raises(ApiError):
        identify(store, "Bearer abc", "")


def test_faults_count_skip_and_match() -> None:
    faults = Faults(Store(None))
    faults.add({"kind": "capacity", "count": 2, "skip": 1, "where": {"region": "us-ord"}})

    def strike(region: str, path: str = "/linode/instances") -> bool:
        return faults.strike(("capacity",), "POST", path, {"region": region}) is not None

    assert [strike("us-ord"), strike("us-sea"), strike("us-ord"), strike("us-ord"), strike("us-ord")] == [
        False, False, True, True, False,
    ]  # fmt: skip


def test_fault_paths_know_placeholders() -> None:
    faults = Faults(Store(None))
    faults.add({"kind": "error", "on": "GET /linode/instances/{id}", "count": None})
    assert faults.strike(("error",), "GET", "/linode/instances/12", {}) is not None
    assert faults.strike(("error",), "GET", "/linode/instances/12/disks", {}) is None
    assert faults.strike(("error",), "PUT", "/linode/instances/12", {}) is None


def test_bad_faults_name_every_bad_field() -> None:
    with pytest.raises(ApiError) as caught:
        Faults(Store(None)).add({"kind": "nope", "on": "here", "status": 418, "skip": -1, "count": 0})
    assert {error["field"] for error in caught.value.errors} == {"kind", "on", "status", "skip", "count"}


@pytest.mark.parametrize(("kind", "status"), [("edge", 200), ("edge_after_commit", 400), ("error", 503)])
def test_statuses_are_those_of_the_kind(kind: str, status: int) -> None:
    faults = Faults(Store(None))
    assert faults.add({"kind": kind, "status": status}).status == status
    with pytest.raises(ApiError, match="status"):
        faults.add({"kind": kind, "status": 408 if kind.startswith("edge") else 200})


def test_store_survives_without_a_clean_end(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    number = store.next_id("instance")
    store.put("instance", number, {"label": "a"})
    store.put("instance", store.next_id("instance"), {"label": "b"})
    store.flush()
    store.put("instance", number, {"label": "never flushed"})
    again = Store(tmp_path / "state.sqlite")
    assert [row["label"] for row in again.table("instance").values()] == ["a", "b"]
    again.drop("instance", number)
    again.flush()
    assert again.next_id("instance") == number + 2
    assert list(Store(tmp_path / "state.sqlite").table("instance")) == [number + 1]
    assert (tmp_path / "state.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("label", ["ab", "a" * 65, "1abc", "a--b", "a__b", "a..b", "ab-", "a b", "ümlaut", 5])
def test_labels_refused(label: object) -> None:
    problems = Problems()
    check_label(problems, label)
    assert problems.errors


@pytest.mark.parametrize("label", ["abc", "a-b_c.d", "lc-demo-1", "a" * 64])
def test_labels_accepted(label: str) -> None:
    problems = Problems()
    check_label(problems, label)
    assert not problems.errors


def test_tags_are_three_to_fifty_characters() -> None:
    problems = Problems()
    assert check_tags(problems, ["abc", "abc", "x" * 50]) == ["abc", "x" * 50]
    assert not problems.errors
    check_tags(problems, ["ab"])
    check_tags(problems, ["x" * 51])
    assert problems.errors == [{"reason": "Length must be 3-50 characters", "field": "tags"}] * 2


def test_user_data_is_base64_of_limited_size() -> None:
    import base64

    problems = Problems()
    good = base64.b64encode(b"x" * 65535).decode()
    assert check_user_data(problems, {"user_data": good}) == good
    assert not problems.errors
    check_user_data(problems, {"user_data": "not base64!"})
    check_user_data(problems, {"user_data": base64.b64encode(b"x" * 65536).decode()})
    assert [error["field"] for error in problems.errors] == ["metadata.user_data"] * 2


def test_ssh_keys() -> None:
    good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtLMTQ2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz me@here"
    assert check_ssh_key(good)
    assert not check_ssh_key(good.replace("ssh-ed25519 ", "ssh-rsa "))
    assert not check_ssh_key("hello")
    assert not check_ssh_key(None)
