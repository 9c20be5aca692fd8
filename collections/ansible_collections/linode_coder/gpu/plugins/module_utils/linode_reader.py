# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads of the Linode API with nothing but the standard library: quick to import, bounded in time, safe to repeat."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from .api_errors import classify, from_transport
from .failure import Failure

DEFAULT_URL = "https://api.linode.com/"
PAGE_SIZE = 500
_ATTEMPTS = 4
_RETRIED = ("transient", "rate_limited")


def api_base(url: str | None) -> str:
    """The API's address without version and trailing slash, from any of the forms that clients use."""
    base = (url or os.environ.get("LINODE_API_URL") or DEFAULT_URL).rstrip("/")
    for version in ("/v4beta", "/v4"):
        base = base.removesuffix(version)
    if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).hostname:
        raise Failure(
            "config",
            f"LINODE_API_URL {url or base!r} is not an http or https address.",
            remedy='Unset it to use the real API, or load the sandbox\'s: eval "$(linode-coder sandbox env)".',
            field="api_url",
        )
    return base


def token_from(value: str | None) -> str:
    token = (value or os.environ.get("LINODE_TOKEN") or "").strip()
    if not token:
        raise Failure(
            "auth",
            "No API token: LINODE_TOKEN is not set.",
            remedy="Create a token in Cloud Manager under API Tokens and export LINODE_TOKEN, "
            'or try the sandbox: linode-coder sandbox start; eval "$(linode-coder sandbox env)".',
            field="api_token",
        )
    return token


def read_pause(attempt: int, failure: Failure) -> float:
    """Seconds before a read is repeated: what the API asks for, within reason, else growing from 0.25."""
    return min(30.0, failure.retry_after) if failure.retry_after is not None else 0.25 * 2**attempt


def all_pages(
    get: Callable[[str, dict[str, Any] | None], Any], path: str, x_filter: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Every row of a list, asked for with ``get`` at the largest page size."""
    rows: list[dict[str, Any]] = []
    page = pages = 1
    while page <= pages:
        body = get(f"{path}?page={page}&page_size={PAGE_SIZE}", x_filter)
        rows += body["data"]
        pages = body["pages"]
        page += 1
    return rows


class LinodeReader:
    """GET requests only. Counts them in ``requests``; ``scopes`` are the token's, as the last answer said them."""

    def __init__(
        self, token: str | None = None, api_url: str | None = None, ca_path: str | None = None, timeout: float = 20
    ) -> None:
        self._token = token_from(token)
        base = urlsplit(api_base(api_url))
        self._root = base.path + "/v4/"
        self._timeout = timeout
        self._connection: http.client.HTTPConnection
        if base.scheme == "https":
            context = ssl.create_default_context(cafile=ca_path or os.environ.get("LINODE_CA"))
            self._connection = http.client.HTTPSConnection(
                str(base.hostname), base.port, timeout=timeout, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(str(base.hostname), base.port, timeout=timeout)
        self.requests = 0
        self.scopes: str | None = None

    def get(self, path: str, x_filter: dict[str, Any] | None = None) -> Any:
        for attempt in range(_ATTEMPTS):
            try:
                return self._get_once(path, x_filter)
            except Failure as failure:
                if failure.kind not in _RETRIED or attempt == _ATTEMPTS - 1:
                    raise
                pause = read_pause(attempt, failure)
            time.sleep(pause)
        return None

    def _get_once(self, path: str, x_filter: dict[str, Any] | None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "User-Agent": "linode_coder", "Accept": "application/json"}
        if x_filter:
            headers["X-Filter"] = json.dumps(x_filter)
        self.requests += 1
        try:
            self._connection.request("GET", self._root + path, headers=headers)
            answer = self._connection.getresponse()
            raw = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise from_transport("GET", error) from error
        self.scopes = answer.headers.get("X-OAuth-Scopes")
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            body = {}
        if answer.status >= 400:
            raise classify("GET", "/" + path, answer.status, dict(answer.headers.items()), body)
        return body

    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """All pages of a list, one request per 500 entries."""
        return all_pages(self.get, path, x_filter)
