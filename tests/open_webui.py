# SPDX-License-Identifier: GPL-3.0-or-later
"""What Open WebUI answers where this project and its users' first steps look: one table for the real one and the played one.

Recorded of Open WebUI 0.12.4 in November 2026, told what the role tells it.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.linode_coder.gpu.plugins.module_utils.model.engine_flags import SERVED_ALIAS

from tests.sandbox_fixture import RunningSandbox

EMAIL, PASSWORD = "a@example.org", "correct horse"
SOMETHING = object()
"""In an expected document: any value."""
_NO = "You do not have permission to access this resource. Please contact your administrator for assistance."
_ANONYMOUS, _NOBODY = {"detail": "Not authenticated"}, {"detail": "401 Unauthorized"}
_HELLO = [{"role": "user", "content": "say hello"}]
_CONFIG = {"status": True, "name": "Open WebUI", "version": SOMETHING, "oauth": {"providers": {}}}
_FEATURES = {"auth": True, "enable_login_form": True, "enable_ldap": False}
SESSION = {
    **{"id": SOMETHING, "name": "A", "role": "admin", "email": EMAIL, "token": SOMETHING, "token_type": "Bearer"},
    **{"expires_at": SOMETHING, "profile_image_url": SOMETHING, "permissions": SOMETHING},
}


class Among(NamedTuple):
    """In an expected document: a list with this in it."""

    one: Any


class Row(NamedTuple):
    """A request by somebody who has ``token``, and what of the answer has to be there; text where it is no document."""

    method: str
    path: str
    status: int
    answer: Any
    body: Any = None
    token: str | None = None


def form(email: str = EMAIL, password: str = PASSWORD, name: str = "A") -> dict[str, str]:
    return {"email": email, "password": password, "name": name}


UP, IN, CHAT = "/api/v1/auths/signup", "/api/v1/auths/signin", "/api/chat/completions"
ALWAYS = (
    *(Row("GET", path, 200, {"status": True}) for path in ("/health", "/ready", "/health/db")),
    Row("GET", "/api/version", 200, {"version": SOMETHING}),
    *(Row("GET", path, 200, "<!doctype html>") for path in ("/", "/nowhere", "/api/nowhere")),
    *(Row("POST", path, 405, {"detail": "Method Not Allowed"}, {}) for path in ("/nowhere", "/api/v1/auths/nowhere")),
    *(Row("GET", path, 401, _ANONYMOUS) for path in ("/api/models", "/api/v1/auths/")),
    *(Row("GET", path, 401, _NOBODY, token="nobody.0000") for path in ("/api/models", "/api/v1/auths/")),
    Row("POST", CHAT, 401, _ANONYMOUS, {"model": "coder", "messages": _HELLO}),
)
BEFORE_ANYBODY = (
    *ALWAYS,
    Row("GET", "/api/config", 200, {"onboarding": True, **_CONFIG, "features": {**_FEATURES, "enable_signup": True}}),
    *(Row("POST", UP, 422, {"detail": SOMETHING}, body) for body in ({}, {"email": EMAIL}, [])),
    Row("POST", UP, 400, {"detail": SOMETHING}, form("not an address")),
    Row("POST", IN, 400, {"detail": SOMETHING}, form()),
)


def with_an_account(token: str, model: str) -> tuple[Row, ...]:
    """For the only one who signed up, since the last start."""
    return (
        *ALWAYS,
        # Nobody follows by himself.
        Row("GET", "/api/config", 200, {**_CONFIG, "features": {**_FEATURES, "enable_signup": False}}),
        Row("POST", UP, 403, {"detail": _NO}, form()),
        Row("POST", UP, 403, {"detail": _NO}, form("b@example.org")),
        Row("POST", IN, 400, {"detail": SOMETHING}, form(password="wrong")),
        Row("POST", IN, 200, SESSION, form()),
        Row("GET", "/api/v1/auths/", 200, SESSION, token=token),
        Row("POST", CHAT, 400, {"detail": "Model not found"}, {"model": "nothing", "messages": _HELLO}, token),
        *served(token, model),
    )


def served(token: str, model: str) -> tuple[Row, ...]:
    """The engine's model is there, and answers."""
    card = {"id": model, "name": model, "object": "model", "owned_by": "openai", "connection_type": "external"}
    asked = {"model": model, "messages": _HELLO, "max_tokens": 4, "ignore_eos": True}
    # The engine calls itself by its first name.
    said = {"object": "chat.completion", "model": SERVED_ALIAS, "usage": {"completion_tokens": 4}}
    return (
        Row("GET", "/api/models", 200, {"data": Among({**card, "max_model_len": SOMETHING})}, token=token),
        Row("POST", CHAT, 200, said, asked, token),
        Row("POST", CHAT, 200, "data: {", {**asked, "stream": True}, token),
    )


def after_a_restart(token: str, model: str) -> tuple[Row, ...]:
    """The settings are as in its environment again: somebody else may sign up, and waits for the administrator."""
    other = form("b@example.org", name="B")
    return (
        *served(token, model),
        Row("GET", "/api/config", 200, {**_CONFIG, "features": {**_FEATURES, "enable_signup": True}}),
        Row("POST", UP, 400, {"detail": SOMETHING}, form()),
        Row("POST", UP, 200, {**SESSION, "name": "B", "role": "pending", "email": "b@example.org"}, other),
    )


def without_an_engine(token: str, model: str) -> tuple[Row, ...]:
    """It has gone, or takes the key no longer: its models are still shown, and cannot be asked."""
    asked = {"model": model, "messages": _HELLO}
    return (
        Row("GET", "/api/models", 200, {"data": Among({"id": model})}, token=token),
        Row("POST", CHAT, 404, {"detail": "Model '' was not found"}, asked, token),
        Row("POST", CHAT, 400, {"detail": "Model not found"}, {**asked, "model": "nothing"}, token),
    )


@dataclass
class WebUI:
    """One that listens at ``port`` of this machine."""

    port: int

    def ask(self, row: Row) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        headers = {"Content-Type": "application/json"}
        if row.token is not None:
            headers["Authorization"] = f"Bearer {row.token}"
        try:
            connection.request(row.method, row.path, None if row.body is None else json.dumps(row.body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def wrong(self, rows: tuple[Row, ...]) -> list[str]:
        """The requests that were not answered as the table says."""
        found = []
        for row in rows:
            status, text = self.ask(row)
            if status != row.status or not fits(text, row.answer):
                found.append(f"{row.method} {row.path} {row.body}: {status} {text[:600]}")
        return found

    def sign_up(self) -> str:
        """The token of the first account."""
        status, text = self.ask(Row("POST", UP, 200, SESSION, form()))
        assert (status, fits(text, SESSION)) == (200, True), text
        return str(json.loads(text)["token"])

    def chat_in_a_browser(self, token: str, model: str, patience: float) -> dict[str, Any]:
        """The answer, a message with `content` and `usage`, or `error`: saved by its pages, written by a task of its own."""
        asked, answered = str(uuid.uuid4()), str(uuid.uuid4())
        user = {"id": asked, "parentId": None, "childrenIds": [answered], "role": "user", "content": "say hello"}
        empty = {
            "id": answered,
            "parentId": asked,
            "childrenIds": [],
            "role": "assistant",
            "content": "",
            "model": model,
        }
        history = {"messages": {asked: user, answered: empty}, "currentId": answered}
        chat = {"title": "New Chat", "models": [model], "params": {}, "history": history, "messages": [], "tags": []}
        status, text = self.ask(Row("POST", "/api/v1/chats/new", 200, None, {"chat": chat}, token))
        assert status == 200, text
        chat_id = json.loads(text)["id"]
        body = {
            **{
                "model": model,
                "stream": True,
                "stream_options": {"include_usage": True},
                "messages": _HELLO,
                "params": {"max_tokens": 16},
            },
            **{"session_id": "1", "chat_id": chat_id, "id": answered, "user_message": user, "features": {}},
            "background_tasks": {},
        }
        status, text = self.ask(Row("POST", CHAT, 200, None, body, token))
        assert status == 200, text
        until = time.monotonic() + patience
        while True:
            _status, text = self.ask(Row("GET", f"/api/v1/chats/{chat_id}", 200, None, token=token))
            message: dict[str, Any] = json.loads(text)["chat"]["history"]["messages"][answered]
            if message.get("done") or message.get("error"):
                return message
            assert time.monotonic() < until, text
            time.sleep(0.5)

    def pending_sees_nothing(self) -> None:
        """Who signed up and was let in by nobody."""
        status, text = self.ask(Row("POST", IN, 200, SESSION, form("b@example.org")))
        token = json.loads(text)["token"]
        assert (status, self.ask(Row("GET", "/api/models", 401, None, token=token))[0]) == (200, 401)

    def wait(self, patience: float) -> None:
        """Until it is well."""
        until = time.monotonic() + patience
        while True:
            try:
                if self.ask(Row("GET", "/health", 200, None))[0] == 200:
                    return
            except OSError:
                pass
            assert time.monotonic() < until, "Open WebUI does not answer"
            time.sleep(0.5)


def fits(text: str, expected: Any) -> bool:
    if isinstance(expected, str):
        return text.lstrip().lower().startswith(expected)
    try:
        return contains(json.loads(text), expected)
    except ValueError:
        return False


def contains(found: Any, expected: Any) -> bool:
    """Whether all that is expected is there; a document may have more, a list has as many."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            key in found and contains(found[key], value) for key, value in expected.items()
        )
    if isinstance(expected, Among):
        return isinstance(found, list) and any(contains(one, expected.one) for one in found)
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(contains(one, other) for one, other in zip(found, expected, strict=True))
        )
    return expected is SOMETHING or (type(found), found) == (type(expected), expected)


@contextmanager
def forwarded(sandbox: RunningSandbox, session: str) -> Iterator[WebUI]:
    """A session's, brought here as its users do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [str(Path(sys.executable).with_name("linode-coder")), "ssh", session, "--forward", f"{port}:8080"]
    # Until its input ends.
    with subprocess.Popen([*command, "--", "cat"], env=sandbox.env, cwd="/", stdin=subprocess.PIPE) as process:
        try:
            yield WebUI(port)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)
