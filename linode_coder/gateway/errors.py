"""What a client is told when there is no answer of an engine: in the form of the API that it speaks, as an answer or in a stream.

SDKs try again by themselves what `x-should-retry` and the status allow, and wait as long as `retry-after` says, up to a minute.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..terminal.escapes import cut, one_line

Api = Literal["chat", "responses", "messages"]
MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
# What the API of Anthropic calls a status; those of OpenAI have two names.
_ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    423: "permission_error",
}
# The longest that SDKs wait because they are told to, in seconds.
MOST_WAIT_S = 60
_MESSAGE = 2000


def api_of(path: str, anthropic: bool) -> Api:
    """``anthropic``: the client has named a version of that API, as its SDK does in every request."""
    if path.startswith(MESSAGES) or anthropic:
        return "messages"
    return "responses" if path.startswith(RESPONSES) else "chat"


@dataclass(eq=False)
class Refusal(Exception):
    """``retry``: seconds after which it is worth to ask again; None for never, as far as anybody knows."""

    status: int
    code: str
    message: str
    retry: int | None = None

    def headers(self) -> dict[str, str]:
        again = {"x-should-retry": "false" if self.retry is None else "true"}
        return again if self.retry is None else {**again, "Retry-After": str(self.retry)}

    def body(self, api: Api) -> dict[str, Any]:
        if api == "messages":
            kind = _ANTHROPIC.get(self.status, "api_error")
            return {"type": "error", "error": {"type": kind, "message": self.message}}
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": None, "code": self.code}}

    def event(self, api: Api) -> bytes:
        """For a stream that has begun, as its last event."""
        if api == "messages":
            return f"event: error\ndata: {json.dumps(self.body(api))}\n\n".encode()
        if api == "chat":
            return f"data: {json.dumps(self.body(api))}\n\ndata: [DONE]\n\n".encode()
        error = {"code": self.code, "message": self.message}
        response = {"id": "resp_none", "object": "response", "status": "failed", "output": [], "error": error}
        # The event is for agents, which show it; `error` is what the SDK looks for.
        failed = {"type": "response.failed", "sequence_number": 0, "response": response, **self.body(api)}
        return f"event: response.failed\ndata: {json.dumps(failed)}\n\n".encode()


def keep_alive(api: Api, said: str) -> bytes:
    """What tells a client of a stream that somebody is there: nothing that it would take for a part of the answer."""
    if api == "messages":
        return b'event: ping\ndata: {"type": "ping"}\n\n'
    return f": {cut(one_line(said), 300)}\n\n".encode()


# Of a failure: the status, and in how many seconds to ask again.
_STATUS: dict[str, tuple[int, int | None]] = {
    "refused": (402, None),
    "capacity": (503, MOST_WAIT_S),
    "timeout": (503, 30),
    "unhealthy": (503, 30),
    "unreachable": (503, 30),
    "transient": (503, 30),
    "rate_limited": (503, 30),
    "busy": (503, 30),
    "conflict": (503, 30),
    "cloud": (503, None),
    "not_found": (404, None),
}
# What the user has said of the gateway alone. Not 403: agents take that for a login that has run out, and ask for another one.
_LOCKED, _OURS = 423, ("gateway_hours", "gateway_wakes", "gateway_ended")


def refusal_of(failure: Failure) -> Refusal:
    """A failure of ours, for a client that has no terminal: all that it says, in one text."""
    status, retry = _STATUS.get(failure.kind, (500, None))
    code = failure.kind
    if failure.field in _OURS:
        status, code = _LOCKED, str(failure.field)
    parts = [failure.message, failure.cause and f"Cause: {failure.cause}.", failure.remedy, *failure.billing]
    text = " ".join(str(part) for part in parts if part)
    return Refusal(status, code, cut(one_line(text), _MESSAGE), retry)
