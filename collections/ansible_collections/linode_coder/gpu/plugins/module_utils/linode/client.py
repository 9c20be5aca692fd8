# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Linode API, written too: linode_api4, hardened. Every request has a time limit, only reads are repeated."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..core.failure import Failure
from ..core.retry import repeated
from .errors import body_of, classify, from_transport, not_the_api
from .reader import LinodeReader, api_base, token_from

T = TypeVar("T")


class _TimedSession:
    """The requests session of a client: with a time limit on each call, since linode_api4 sets none and would hang,
    and without following redirects, which the API has none of. ``answer`` is the last one.
    """

    def __init__(self, session: Any, timeout: float) -> None:
        self._session = session
        self._timeout = timeout
        self.answer: Any = None

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._session, name)
        if name not in ("post", "put", "delete"):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            self.answer = None
            self.answer = attribute(*args, timeout=self._timeout, allow_redirects=False, **kwargs)
            return self.answer

        return call


class LinodeApi(LinodeReader):
    """The calls this collection makes. Writes are never repeated.

    linode_api4, with requests, takes as long to import as Ansible's own start: only the first write does.
    """

    def __init__(
        self,
        token: str | None,
        api_url: str | None,
        ca_path: str | None,
        timeout: float = 30,
        version: str = "v4",
    ) -> None:
        super().__init__(token, api_url, ca_path, timeout, version)
        self._timeout = timeout
        self._client_options = {
            "token": token_from(token),
            "base_url": f"{api_base(api_url)}/{version}",
            "ca_path": ca_path or None,
        }
        self._client: Any = None

    def _write(self, method: str, path: str, data: Any = None) -> dict[str, Any]:
        try:
            import requests
            from linode_api4 import ApiError, LinodeClient
        except ImportError as error:
            raise Failure(
                "config",
                "The Python package linode_api4 is not installed where this module runs.",
                cause=str(error),
                remedy="Install it for that Python: pip install linode_api4",
            ) from error
        if self._client is None:
            self._client = LinodeClient(user_agent="linode_coder", retry=False, **self._client_options)
            self._client.session = _TimedSession(self._client.session, self._timeout)
        self.requests += 1
        try:
            body = getattr(self._client, method.lower())("/" + path, **({} if data is None else {"data": data}))
        except ApiError as error:
            headers = dict(error.response.headers) if error.response is not None else {}
            raise classify(method, "/" + path, error.status, headers, error.json, self.url) from error
        except (requests.RequestException, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            # linode_api4 takes it for granted that JSON answers, and of which shape.
            answer = self._client.session.answer
            if answer is None:
                raise from_transport(method, error) from error
            raise not_the_api(method, self.url, answer.status_code, answer.headers.get("Content-Type")) from error
        if body is None and method == "DELETE":  # 204
            return {}
        answer = self._client.session.answer
        return body_of(method, path, answer.status_code, answer.headers, body, self.url)

    def post(self, path: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._write("POST", path, data or {})

    def put(self, path: str, data: dict[str, Any]) -> dict[str, Any]:
        return self._write("PUT", path, data)

    def delete(self, path: str) -> None:
        self._write("DELETE", path)

    def when_free(self, action: Callable[[], T], wait_s: float = 120) -> T:
        """Call ``action``, waiting while the Linode is busy: that refusal comes before anything is done."""
        deadline = time.monotonic() + wait_s
        every_second = iter(lambda: 1.0 if time.monotonic() <= deadline else None, None)
        return repeated(action, ("busy", "rate_limited"), every_second, at_most=15.0)
