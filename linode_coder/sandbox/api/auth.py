"""Who calls, and what their token allows."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from .envelope import ApiError, fail, unstamp
from .store import Store

# Every scope a personal access token can have, as GET /profile/tokens lists them for a token made with all of them.
RESOURCES = (
    "account", "child_account", "databases", "domains", "events", "firewall", "images", "ips", "linodes", "lke",
    "longview", "monitor", "nodebalancers", "object_storage", "stackscripts", "volumes", "vpc",
)  # fmt: skip


@dataclass(frozen=True)
class Caller:
    """`scopes` is what X-OAuth-Scopes says; `key` identifies the caller for rate limits."""

    key: str
    scopes: str
    authenticated: bool

    def may(self, needed: str) -> bool:
        """Whether one of the token's scopes covers `needed`: ``*`` (any token) or ``resource:read_only|read_write``."""
        if needed == "*":
            return self.authenticated
        granted = set(self.scopes.split())
        if "*" in granted:
            return True
        resource, _, level = needed.partition(":")
        return f"{resource}:read_write" in granted or (level == "read_only" and f"{resource}:read_only" in granted)


def digest(token: str) -> str:
    """What the store keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def normal_scopes(text: str) -> str | None:
    """Scopes separated by blanks or commas, sorted; None when one of them does not exist."""
    wanted = text.replace(",", " ").split()
    if not wanted:
        return None
    if "*" in wanted:
        return "*"
    for scope in wanted:
        resource, _, level = scope.partition(":")
        if resource not in RESOURCES or level not in ("read_only", "read_write"):
            return None
    return " ".join(sorted(set(wanted)))


def identify(store: Store, authorization: str | None, address: str) -> Caller:
    """Raises ApiError 401 ``Invalid Token`` for a header that is there but worth nothing, also where everybody may read; none
    at all is anonymous."""
    if authorization is None:
        return Caller(f"ip:{address}", "unknown", False)
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    key = digest(token)
    known = store.table("token_secret").get(key) if scheme.lower() in ("bearer", "token") else None
    if known is None or known["revoked"] or (known.get("expiry") and unstamp(known["expiry"]) <= time.time()):
        raise invalid_token()
    return Caller(f"token:{key[:16]}", known["scopes"], True)


def invalid_token() -> ApiError:
    error = fail("Invalid Token", status=401)
    error.headers["X-OAuth-Scopes"] = "unknown"
    return error


def require(caller: Caller, needed: str | None) -> None:
    """`needed` None is public. A missing scope is a 401 with its own text, as a bad token is."""
    if needed is None:
        return
    if not caller.authenticated:
        raise invalid_token()
    if not caller.may(needed):
        raise fail("Your OAuth token is not authorized to use this endpoint.", status=401)
