# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the API below its calls: connections that the other side closes, proxies, answers that are none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode_client import LinodeApi

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
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    running = Server()
    yield running
    running.stop()


def api(url: str) -> LinodeApi:
    return LinodeApi("token", url, None, 5, "v4beta")


def first_lines(server: Server) -> list[str]:
    return [text.splitlines()[0] for text in server.heard]


def test_a_write_never_goes_into_a_connection_that_may_be_closed(server: Server) -> None:
    client = api(server.url)
    for _time in range(3):
        client.get("account")
        client.post("linode/instances", {"label": "a"})
    assert first_lines(server)[-1] == "POST /v4beta/linode/instances HTTP/1.1"
    assert len([line for line in first_lines(server) if line.startswith("POST")]) == 3
    assert client.skew is not None and client.skew > 0


@pytest.mark.parametrize("says", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<htm>", b"what?\r\n\r\n"])
def test_a_write_without_an_answer_is_ambiguous_and_is_sent_once(server: Server, says: bytes) -> None:
    server.says = [says]
    with pytest.raises(Failure) as caught:
        api(server.url).put("linode/instances/1", {})
    assert caught.value.kind == "ambiguous" and len(server.heard) == 1


def test_a_redirect_is_not_followed_with_the_token(server: Server) -> None:
    server.says = [b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"]
    with pytest.raises(Failure) as caught:
        api(server.url).get("account")
    assert (caught.value.kind, len(server.heard)) == ("cloud", 1)


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
