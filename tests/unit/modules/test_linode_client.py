# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the API below its calls: connections that the other side closes, proxies, answers that are none."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.client import LinodeApi

OK = b"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers one request on each connection with what is next in ``says``, then closes it without a word."""

    def __init__(self) -> None:
        self.says: list[bytes] = []
        self.heard: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                there, _address = self._socket.accept()
            except OSError:
                return
            with there:
                self.heard.append(there.recv(65536).decode())
                there.sendall(self.says.pop(0) if self.says else OK)

    def stop(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("LINODE_CODER_RETRY_SCALE", "0.01")
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    running = Server()
    yield running
    running.stop()


def api(url: str) -> LinodeApi:
    return LinodeApi("token", url, None, 5, "v4beta")


def answer(body: str, status: int = 200, kind: str = "text/html; charset=utf-8") -> bytes:
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\nContent-Length: {len(body.encode())}\r\n\r\n"
    return (head + body).encode()


def first_lines(server: Server) -> list[str]:
    return [text.splitlines()[0] for text in server.heard]


def test_a_write_never_goes_into_a_connection_that_may_be_closed(server: Server) -> None:
    client = api(server.url)
    for _time in range(3):
        client.get("account")
        client.post("linode/instances/1/boot")
    assert first_lines(server)[-1] == "POST /v4beta/linode/instances/1/boot HTTP/1.1"
    assert len([line for line in first_lines(server) if line.startswith("POST")]) == 3
    assert client.skew is not None and client.skew > 0


@pytest.mark.parametrize("says", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<htm>", b"what?\r\n\r\n"])
def test_a_write_without_an_answer_is_ambiguous_and_is_sent_once(server: Server, says: bytes) -> None:
    server.says = [says]
    with pytest.raises(Failure) as caught:
        api(server.url).put("linode/instances/1", {})
    assert caught.value.kind == "ambiguous" and len(server.heard) == 1


PAGE = "<html><title>Welcome to the hotel</title></html>"
NOT_THE_API = {
    "a sign-in page": answer(PAGE),
    "an edge's refusal": answer("<html>400 Bad Request nginx</html>", 400),
    "an edge's 401": answer(PAGE, 401),
    "an edge's 403": answer(PAGE, 403),
    "a page that was not found": answer(PAGE, 404),
    "nothing": answer("", 400, ""),
    "JSON of somebody else": answer('{"error": "nope"}', 404, "application/json"),
    "a redirect": answer("", 302),
    "a list": answer("[]", 200, "application/json"),
    "a word": answer('"ok"', 200, "application/json"),
    "deep": answer("[" * 100_000, 200, "application/json"),
    "errors that are none": answer('{"errors": {"a": 1}}', 400, "application/json"),
    "errors that are words": answer('{"errors": ["a"]}', 400, "application/json"),
}


@pytest.mark.parametrize("name", NOT_THE_API)
def test_a_read_that_something_else_answered_is_repeated(server: Server, name: str) -> None:
    server.says = [NOT_THE_API[name]] * 3
    assert api(server.url).get("account") == {}
    assert len(server.heard) == 4


@pytest.mark.parametrize("name", NOT_THE_API)
def test_what_is_never_the_api_is_said_in_one_sentence(server: Server, name: str) -> None:
    server.says = [NOT_THE_API[name]] * 9
    with pytest.raises(Failure) as caught:
        api(server.url).get("account")
    failure = caught.value
    assert (failure.kind, failure.exit_code, len(server.heard)) == ("transient", 5, 4)
    assert f"What answered at {server.url} is not the Linode API" in failure.message
    assert failure.remedy and "captive portal" in failure.remedy and "<html>" not in str(failure.as_dict())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("name", NOT_THE_API)
def test_a_write_that_something_else_answered_is_unclear(server: Server, name: str, method: str) -> None:
    """Above all a 404 that is not the API's is no proof that a VM is gone."""
    server.says = [NOT_THE_API[name]]
    client = api(server.url)
    with pytest.raises(Failure) as caught:
        client.delete("linode/instances/1") if method == "DELETE" else getattr(client, method.lower())("a/b", {})
    assert (caught.value.kind, len(server.heard)) == ("ambiguous", 1)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_write_without_an_object_in_its_answer_is_unclear(server: Server, method: str) -> None:
    """A create that was taken for one that made nothing would be followed by another one elsewhere."""
    server.says = [b"HTTP/1.1 204 No Content\r\n\r\n"]
    with pytest.raises(Failure) as caught:
        getattr(api(server.url), method.lower())("linode/instances", {})
    assert (caught.value.kind, len(server.heard)) == ("ambiguous", 1)


def test_a_deletion_has_no_object_in_its_answer(server: Server) -> None:
    server.says = [b"HTTP/1.1 204 No Content\r\n\r\n"]
    api(server.url).delete("linode/instances/1")
    assert first_lines(server) == ["DELETE /v4beta/linode/instances/1 HTTP/1.1"]


INSTANCE = {"id": 1, "label": "a", "status": "running", "tags": [], "created": "2026-01-01T00:00:00"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": {}, "pages": 1},
        {"data": None, "pages": 1},
        {"data": [], "pages": "1"},
        {"data": [], "pages": True},
        {"data": []},
        {"data": ["a"], "pages": 1},
        {"data": [{**INSTANCE, "tags": None}], "pages": 1},
        {"data": [{**INSTANCE, "tags": [1]}], "pages": 1},
        {"data": [INSTANCE, {**INSTANCE, "created": 0}], "pages": 1},
        {"data": [{key: value for key, value in INSTANCE.items() if key != "label"}], "pages": 1},
    ],
)
def test_a_list_of_another_shape_is_no_answer(server: Server, body: object) -> None:
    server.says = [answer(json.dumps(body), 200, "application/json")] * 4
    with pytest.raises(Failure) as caught:
        api(server.url).list("linode/instances")
    assert caught.value.kind == "transient" and "is not the Linode API" in caught.value.message


def test_answers_of_the_promised_shape_are_taken(server: Server) -> None:
    listed = {"data": [INSTANCE], "page": 1, "pages": 1, "results": 1}
    server.says = [answer(json.dumps(body), 200, "application/json") for body in (listed, INSTANCE, INSTANCE)]
    client = api(server.url)
    assert client.list("linode/instances") == [INSTANCE]
    assert client.get("linode/instances/1") == client.post("linode/instances", {}) == INSTANCE


def test_an_instance_without_its_parts_is_no_answer(server: Server) -> None:
    server.says = [answer("{}", 200, "application/json")] * 5
    for ask, kind in ((api(server.url).get, "transient"), (api(server.url).post, "ambiguous")):
        with pytest.raises(Failure) as caught:
            ask("linode/instances/1" if kind == "transient" else "linode/instances")
        assert caught.value.kind == kind


def test_a_redirect_is_not_followed_with_the_token(server: Server) -> None:
    server.says = [b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"] * 4
    with pytest.raises(Failure) as caught:
        api(server.url).get("account")
    assert caught.value.kind == "transient" and {line.split()[1] for line in first_lines(server)} == {"/v4beta/account"}
    server.says = [b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"]
    with pytest.raises(Failure) as caught:
        api(server.url).post("linode/instances/1/boot")
    assert caught.value.kind == "ambiguous" and "/elsewhere" not in " ".join(first_lines(server))


def test_the_proxy_of_the_environment_is_asked_for_everything_else(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url.replace("://", "://me:a%20b@"))
    api("http://api.example.com/base").get("account")
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    server.says = [b"HTTP/1.1 403 Forbidden\r\n\r\n"]
    with pytest.raises(Failure):
        api("https://api.example.com").post("linode/instances")
    # Which version of HTTP it speaks to a proxy depends on Python's.
    assert [line.rpartition(" HTTP/")[0] for line in first_lines(server)] == [
        "GET http://api.example.com/base/v4beta/account",
        "CONNECT api.example.com:443",
    ]
    assert "Proxy-Authorization: Basic bWU6YSBi" in server.heard[0]
    # The token is for the API, not for the proxy.
    assert "Bearer token" not in server.heard[1]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    api(server.url).get("account")
    assert first_lines(server)[-1] == "GET /v4beta/account HTTP/1.1"


def test_a_proxy_that_cannot_be_used_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1080")
    with pytest.raises(Failure) as caught:
        api("https://api.example.com")
    assert caught.value.kind == "config" and "proxy" in caught.value.message
