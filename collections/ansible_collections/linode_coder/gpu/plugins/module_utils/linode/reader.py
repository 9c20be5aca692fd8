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
from base64 import b64encode
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from ..core.failure import Failure
from ..core.retry import repeated
from .errors import body_of, from_transport

DEFAULT_URL = "https://api.linode.com/"
PAGE_SIZE = 500
# A read is repeated after these, in seconds.
PAUSES_S = (0.25, 0.5, 1.0)
_REPEATED = ("transient", "rate_limited")


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


def _proxy(scheme: str, host: str) -> SplitResult | None:
    """The HTTP proxy that the environment names for this address."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    address = proxies.get(scheme) or proxies.get("all")
    if not address or proxy_bypass(host, proxies):
        return None
    found = urlsplit(address if "//" in address else f"//{address}")
    if found.scheme not in ("", "http") or not found.hostname:
        raise Failure(
            "config",
            f"The proxy of the environment for {host} is not an http://HOST:PORT one.",
            remedy=f"Set {scheme}_proxy to one, or name the host in no_proxy.",
        )
    return found


class LinodeReader:
    """GET requests only, repeated on 408, 429, 5xx and answers that are not the API's. Counts them in ``requests``; ``scopes`` are
    the token's, as the last answer said them. With ``public`` no token is sent: plans, prices, regions and their stock are everybody's.
    """

    def __init__(
        self,
        token: str | None = None,
        api_url: str | None = None,
        ca_path: str | None = None,
        timeout: float = 20,
        version: str = "v4",
        public: bool = False,
    ) -> None:
        self.url = api_base(api_url)
        base = urlsplit(self.url)
        self._headers = {
            **({} if public else {"Authorization": f"Bearer {token_from(token)}"}),
            "User-Agent": "linode_coder",
            "Accept": "application/json",
        }
        self._root = f"{base.path}/{version}/"
        self._connection = self._connect(base, ca_path or os.environ.get("LINODE_CA"), timeout)
        self.requests = 0
        self.scopes: str | None = None
        # Seconds that this machine's clock is ahead of the API's, by the last answer; None when it did not say.
        self.skew: float | None = None

    def _connect(self, base: SplitResult, ca_path: str | None, timeout: float) -> http.client.HTTPConnection:
        """A connection that opens with the first request, and again after it was closed."""
        host, port = str(base.hostname), base.port
        proxy = _proxy(base.scheme, host)
        reached, at = (str(proxy.hostname), proxy.port or 80) if proxy else (host, port)
        said = {}
        if proxy and proxy.username is not None:
            user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            said["Proxy-Authorization"] = f"Basic {b64encode(user.encode()).decode('ascii')}"
        if base.scheme == "http":
            if proxy:
                self._headers.update(said)
                self._root = f"http://{base.netloc}{self._root}"
            return http.client.HTTPConnection(reached, at, timeout=timeout)
        context = ssl.create_default_context(cafile=ca_path)
        connection = http.client.HTTPSConnection(reached, at, timeout=timeout, context=context)
        if proxy:
            connection.set_tunnel(host, port or 443, said)
        return connection

    def get(self, path: str, x_filter: dict[str, Any] | None = None) -> dict[str, Any]:
        def once() -> dict[str, Any]:
            try:
                return self._get_once(path, x_filter)
            except Failure as failure:
                if failure.kind in _REPEATED:
                    # Another connection may reach another machine, and this one may be half closed.
                    self._connection.close()
                raise

        return repeated(once, _REPEATED, PAUSES_S)

    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """All pages of a list, one request per 500 entries."""
        rows: list[dict[str, Any]] = []
        page = pages = 1
        while page <= pages:
            body = self.get(f"{path}?page={page}&page_size={PAGE_SIZE}", x_filter)
            rows += body["data"]
            pages = body["pages"]
            page += 1
        return rows

    def _get_once(self, path: str, x_filter: dict[str, Any] | None) -> dict[str, Any]:
        """The body of the answer, or a Failure."""
        headers = dict(self._headers)
        if x_filter:
            headers["X-Filter"] = json.dumps(x_filter)
        self.requests += 1
        try:
            self._connection.request("GET", self._root + path, None, headers)
            answer = self._connection.getresponse()
            raw = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise from_transport("GET", error) from error
        self.scopes = answer.headers.get("X-OAuth-Scopes")
        try:
            self.skew = time.time() - parsedate_to_datetime(answer.headers["Date"]).timestamp()
        except (ValueError, TypeError):
            self.skew = None
        try:
            body = None if answer.status == 204 else json.loads(raw)
        except (ValueError, RecursionError):  # what is said of it depends on its status
            body = None
        return body_of("GET", path, answer.status, dict(answer.headers.items()), body, self.url)
