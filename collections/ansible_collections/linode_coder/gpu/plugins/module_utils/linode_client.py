# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""linode_api4, hardened: every request has a time limit, only reads are repeated, every error is classified."""

from __future__ import annotations

import time
import traceback
from email.utils import parsedate_to_datetime
from typing import Any

from .api_errors import classify, from_transport
from .failure import Failure
from .linode_reader import PAGE_SIZE, all_pages, api_base, read_pause, token_from

try:
    import requests
    from linode_api4 import ApiError, LinodeClient
except ImportError:
    LINODE_API4_ERROR: str | None = traceback.format_exc()
    LinodeClient = object
else:
    LINODE_API4_ERROR = None


class _TimedSession:
    """The requests session of a client, with a time limit on each call: linode_api4 sets none and would hang."""

    def __init__(self, session: Any, timeout: float) -> None:
        self._session = session
        self._timeout = timeout

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._session, name)
        if name not in ("get", "post", "put", "delete"):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            return attribute(*args, timeout=self._timeout, **kwargs)

        return call


class LinodeApi:
    """The calls this collection makes. Reads are repeated on 408, 429 and 5xx; writes never are."""

    def __init__(
        self,
        token: str | None,
        api_url: str | None,
        ca_path: str | None,
        timeout: float = 30,
        version: str = "v4",
    ) -> None:
        self._client = LinodeClient(
            token_from(token),
            base_url=f"{api_base(api_url)}/{version}",
            user_agent="linode_coder",
            retry=False,
            ca_path=ca_path or None,
            page_size=PAGE_SIZE,
        )
        self._client.session.hooks["response"].append(self._note_date)
        self._client.session = _TimedSession(self._client.session, timeout)
        self.requests = 0
        # Seconds that this machine's clock is ahead of the API's, by the last answer; None when it did not say.
        self.skew: float | None = None

    def _note_date(self, response: Any, *_args: Any, **_kwargs: Any) -> None:
        try:
            self.skew = time.time() - parsedate_to_datetime(response.headers["Date"]).timestamp()
        except (KeyError, ValueError, TypeError):
            self.skew = None

    def _call(self, method: str, path: str, data: Any = None, x_filter: Any = None) -> Any:
        self.requests += 1
        calls = {
            "GET": self._client.get,
            "POST": self._client.post,
            "PUT": self._client.put,
            "DELETE": self._client.delete,
        }
        arguments: dict[str, Any] = {}
        if data is not None:
            arguments["data"] = data
        if x_filter is not None:
            arguments["filters"] = x_filter
        try:
            return calls[method]("/" + path, **arguments)
        except ApiError as error:
            response = getattr(error, "response", None)
            headers = dict(response.headers) if response is not None else {}
            raise classify(method, "/" + path, error.status, headers, error.json) from error
        except (requests.RequestException, ValueError) as error:
            raise from_transport(method, error) from error

    def get(self, path: str, x_filter: dict[str, Any] | None = None) -> Any:
        for attempt in range(4):
            try:
                return self._call("GET", path, x_filter=x_filter)
            except Failure as failure:
                if failure.kind not in ("transient", "rate_limited") or attempt == 3:
                    raise
                pause = read_pause(attempt, failure)
            time.sleep(pause)
        return None

    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        return all_pages(self.get, path, x_filter)

    def post(self, path: str, data: dict[str, Any] | None = None) -> Any:
        return self._call("POST", path, data=data or {})

    def put(self, path: str, data: dict[str, Any]) -> Any:
        return self._call("PUT", path, data=data)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def when_free(self, action: Any, wait_s: float = 120) -> Any:
        """Call ``action``, waiting while the Linode is busy: that refusal comes before anything is done."""
        deadline = time.monotonic() + wait_s
        while True:
            try:
                return action()
            except Failure as failure:
                if failure.kind not in ("busy", "rate_limited") or time.monotonic() > deadline:
                    raise
                pause = min(15.0, failure.retry_after or 1.0)
            time.sleep(pause)
