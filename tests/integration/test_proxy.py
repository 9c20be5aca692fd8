# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proxy before the engine demands of a request: the role's own configuration under the real nginx and the played one.

The real one has to be there (Debian: nginx-light): only it can say that the other tells the truth.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pytest
import yaml

from linode_coder.sandbox.guest.docker import nginx as played
from linode_coder.sandbox.guest.start import command
from tests import product, programs
from tests.free_port import free_port

ROLE = product.COLLECTION / "roles" / "vllm"
KEY = "Exactly-This_1"


class Engine(BaseHTTPRequestHandler):
    """Says what reached it. It asks for no key: whatever gets here has got past the only guard."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"path": self.path, "headers": [[name.lower(), text] for name, text in self.headers.items()]})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_GET

    def log_message(self, *_arguments: object) -> None: ...


class Proxy(NamedTuple):
    port: int
    engine: int

    def raw(self, *lines: str) -> tuple[int, str, str]:
        """Status, content type and body of the answer to these lines."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            answer = http.client.HTTPResponse(connection, method=lines[0].split()[0])
            answer.begin()
            return answer.status, answer.getheader("Content-Type") or "", answer.read().decode()

    def ask(self, target: str, *headers: str, method: str = "GET", host: str = "Host: 127.0.0.1") -> tuple[int, Any]:
        status, kind, body = self.raw(f"{method} {target} HTTP/1.1", host, *headers, "Connection: close")
        return status, json.loads(body) if "json" in kind or body.startswith("{") else body


def configure(directory: Path, port: int, engine: int) -> Path:
    """As the role writes it, but for where the temporary files lie."""
    variables = {"vllm_directory": directory, "vllm_port": port, "vllm_engine_port": engine, "ansible_managed": "ours"}
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True).from_string(
        (ROLE / "templates/nginx.conf.j2").read_text().replace(" /tmp/", f" {directory}/")
    )
    config = directory / "nginx.conf"
    config.write_text(template.render(variables))
    files = yaml.safe_load((ROLE / "vars/main.yml").read_text())["vllm_engine_files"]
    (entry,) = (file for file in files if isinstance(file, dict) and file["path"].endswith("/proxy_key.conf"))
    assert entry["mode"] == "0600"
    (directory / "proxy_key.conf").write_text(entry["content"].replace("{key}", KEY))
    (directory / "proxy_key.conf").chmod(0o600)
    return config


@contextmanager
def running(kind: str, directory: Path) -> Iterator[Proxy]:
    program = [programs.program("nginx")] if kind == "real" else command("docker.nginx")
    engine = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=engine.serve_forever, daemon=True).start()
    port = free_port()
    config = configure(directory, port, engine.server_port)
    log = directory / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*program, "-c", str(config), "-g", "daemon off;"], stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        deadline = time.monotonic() + 60
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        assert process.poll() is None, log.read_text()
        yield Proxy(port, engine.server_port)
    finally:
        process.terminate()
        process.wait(30)
        engine.shutdown()
        engine.server_close()


@pytest.fixture(scope="module", params=["real", "played"])
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running(request.param, tmp_path_factory.mktemp("proxy")) as found:
        yield found


GOOD = f"Authorization: Bearer {KEY}"


@pytest.mark.parametrize("target", ["/v1/models", "/metrics", "/version", "/invocations", "/", "/ping", "/nowhere"])
@pytest.mark.parametrize(
    "header",
    [
        "X-Nothing: here",
        "Authorization: Bearer",
        "Authorization: Bearer wrong",
        f"Authorization: Bearer {KEY.swapcase()}",
        f"Authorization: Bearer {KEY}x",
        f"Authorization: Bearer x{KEY}",
        f"Authorization: Bearer  {KEY}",
        f"Authorization: Basic {KEY}",
        f"Authorization: {KEY}",
        # What the engine does not read is no key here either.
        f"x-api-key: {KEY}",
        f"api-key: {KEY}",
    ],
)
def test_nothing_but_the_exact_key_opens(proxy: Proxy, target: str, header: str) -> None:
    status, body = proxy.ask(target, header)
    assert status == 401
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["code"] == "invalid_api_key"
    assert KEY not in json.dumps(body)


def test_a_key_twice_is_none(proxy: Proxy) -> None:
    for headers in ((GOOD, "Authorization: Bearer wrong"), ("Authorization: Bearer wrong", GOOD)):
        assert proxy.ask("/v1/models", *headers)[0] in (400, 401)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_key_opens_what_is_listed(proxy: Proxy, scheme: str) -> None:
    status, seen = proxy.ask("/v1/models?x=1", f"Authorization: {scheme} {KEY}")
    assert (status, seen["path"]) == (200, "/v1/models?x=1")
    assert ["authorization", f"{scheme} {KEY}"] in seen["headers"]
    status, refused = proxy.ask("/invocations", f"Authorization: {scheme} {KEY}")
    assert (status, refused["error"]["code"]) == (404, 404)


def test_health_needs_no_key_and_only_health(proxy: Proxy) -> None:
    assert proxy.ask("/health")[0] == 200
    assert proxy.ask("/health?x=/v1/models")[1]["path"] == "/health?x=/v1/models"
    for target in ("/health/", "/health/../v1/models", "/v1/../metrics", "/healthz"):
        assert proxy.ask(target)[0] == 401, target
    assert proxy.ask("/HEALTH")[0] == 401


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:18000", "[::1]:18000", "gpu_1.example", "evil.example"])
def test_the_engine_gets_the_host_that_the_proxy_names(proxy: Proxy, host: str) -> None:
    status, seen = proxy.ask("/v1/models", GOOD, host=f"Host: {host}")
    hosts = [text for name, text in seen["headers"] if name == "host"]
    assert (status, hosts) == (200, [f"127.0.0.1:{proxy.engine}"])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1/health?",
        "127.0.0.1?x=",
        "x?/health",
        "127.0.0.1#",
        "a@b",
        "127.0.0.1:8000?",
        "127.0.0.1:",
        "a b",
        "a\\b",
        "a%2f",
        "",
        "b\xfccher",
    ],
)
@pytest.mark.parametrize("with_key", [True, False])
def test_an_odd_host_is_refused(proxy: Proxy, host: str, with_key: bool) -> None:
    assert proxy.ask("/v1/models", *([GOOD] if with_key else []), host=f"Host: {host}")[0] == 400


def test_a_request_has_one_host(proxy: Proxy) -> None:
    assert proxy.ask("/v1/models", GOOD, "Host: other")[0] == 400
    assert proxy.raw("GET /v1/models HTTP/1.1", GOOD, "Connection: close")[0] == 400
    # The old protocol has none.
    assert proxy.raw("GET /v1/models HTTP/1.0", GOOD)[0] == 200


def test_a_body_does_not_wait_for_the_key(proxy: Proxy) -> None:
    status, body = proxy.ask("/v1/chat/completions", f"Content-Length: {(64 << 20) + 1}", method="POST")
    assert (status, body["error"]["code"]) == (401, "invalid_api_key")
    assert proxy.ask("/v1/chat/completions", GOOD, f"Content-Length: {(64 << 20) + 1}", method="POST")[0] == 413


def test_the_played_one_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    text = configure(tmp_path, 8000, 8001).read_text()
    for old, new in (
        ("server_tokens off;", "server_tokens off; satisfy any;"),
        ("$good_host = 0", "$good_host ~ 0"),
        ("$let_in = 0", "$nobody = 0"),
        ("proxy_key.conf;", "nowhere.conf;"),
        ("return 401", "set $x 1; return 401"),
        ('map "$key_given $uri"', 'map "$key_given $request_uri"'),
        ("access_log off;", "auth_basic x;"),
    ):
        assert old in text
        (tmp_path / "nginx.conf").write_text(text.replace(old, new, 1))
        with pytest.raises(played.ConfigError):
            played.load(tmp_path / "nginx.conf")
