# SPDX-License-Identifier: GPL-3.0-or-later
"""What a team's gateway lets in, counts and refuses: the role's own configuration under the real nginx (Debian: nginx-light and
libnginx-mod-http-js), before vLLM's stand-in and before an engine that says what reached it.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from linode_coder.sandbox.guest.start import command
from tests import product
from tests.free_port import free_port
from tests.team_gateway import ADA, BOB, ENGINE_KEY, Gateway, running

MODEL = "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"
CARD = {"index": 0, "name": "NVIDIA RTX 4000 Ada Generation", "memory_mib": 20475, "cc": "8.9"}
MANY = {"team_gateway_requests_per_minute": 6000, "team_gateway_burst": 1000, "team_gateway_at_once": 100}
HELLO = [{"role": "user", "content": "hi"}]
CHAT, TEXT, MESSAGE, RESPONSE = "/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"
USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}


class Echo(BaseHTTPRequestHandler):
    """Says what reached it. It asks for no key: whatever gets here has got past the only guard. A stream that is asked of it goes
    on after its first event when it is let, in pieces that end in the middle of a letter and of an event."""

    protocol_version = "HTTP/1.1"
    go_on = threading.Event()
    began = threading.Semaphore(0)

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if '"stream"' in body:
            self.stream("include_usage" in body)
            return
        said = {
            "port": self.server.server_address[1],
            "path": self.path,
            "headers": [[name.lower(), text] for name, text in self.headers.items()],
            "body": body,
        }
        data = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET

    def stream(self, usage: bool) -> None:
        with suppress(ConnectionError):  # who goes away before the end
            self.tell(usage)

    def tell(self, usage: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        first = {"choices": [{"delta": {"content": "grün"}}]}
        whole = f"data: {json.dumps(first, ensure_ascii=False)}\n\n".encode()
        self.chunk(whole)
        self.began.release()
        assert self.go_on.wait(60)
        cut = whole.index("ü".encode()) + 1
        self.chunk(whole[:cut])
        self.chunk(whole[cut:] + (f"data: {json.dumps(USAGE)}\n".encode() if usage else b""))
        self.chunk((b"\n" if usage else b"") + b"data: [DONE]\n\n")
        self.chunk(b"")

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, *_arguments: object) -> None: ...


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def gateway(echo: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("gateway"), echo, **MANY) as found:
        yield found


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of vLLM's stand-in."""
    directory, port = tmp_path_factory.mktemp("engine"), free_port()
    (directory / "faults.json").write_text("[]")
    (directory / "gpus.json").write_text(json.dumps({"gpus": [CARD]}))
    environment = {"PATH": os.defpath, "SANDBOX_GPUS": str(directory / "gpus.json"), "SANDBOX_RUN": str(directory)}
    environment |= {"SANDBOX_ENGINE_SECONDS": "0.1", "VLLM_API_KEY": ENGINE_KEY}
    log = directory / "log"
    with log.open("wb") as file:
        words = [*command("engine.main"), MODEL, "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(words, stdout=file, stderr=file, env=environment)
    deadline = time.monotonic() + 60
    while "Application startup complete" not in log.read_text():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    yield port
    process.terminate()
    process.wait(30)


@pytest.fixture(scope="module")
def served(engine: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("served"), engine, **MANY) as found:
        yield found


def error(text: str) -> dict[str, Any]:
    """What a client of either API reads."""
    said = json.loads(text)
    assert said["type"] == "error"
    assert set(said["error"]) == {"type", "message", "param", "code"}
    return dict(said["error"])


def told_as(text: str) -> tuple[list[Any], str]:
    """The events of a stream without what differs from one time to the next, alike ones that follow each other once, since how many
    tokens an event has is a matter of time; and all that was written in them."""
    shapes: list[Any] = []
    written: list[str] = []
    for data in (part.partition("data: ")[2] for part in text.split("\n\n") if part):
        found = data if data == "[DONE]" else _shape(json.loads(data), written)
        shapes += [found] if shapes[-1:] != [found] else []
    return shapes, "".join(written)


def _shape(data: Any, written: list[str]) -> Any:
    if not isinstance(data, dict):
        return [_shape(item, written) for item in data] if isinstance(data, list) else data
    found = {}
    for name, value in data.items():
        if name in ("content", "text", "delta") and isinstance(value, str):
            written.append(value)
        # The engine's fingerprint is in the chunk with the usage where there is one.
        elif not name.endswith(("id", "_at", "created", "system_fingerprint", "sequence_number")):
            found[name] = _shape(value, written)
    return found


@pytest.mark.parametrize("target", ["/v1/models", CHAT, "/metrics", "/", "/v1/nowhere", "/health/"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {ADA.swapcase()}"},
        {"Authorization": f"Bearer {ADA}x"},
        {"Authorization": f"Bearer  {ADA}"},
        {"Authorization": f"Basic {ADA}"},
        {"Authorization": ADA},
        {"Authorization": f"Bearer {ENGINE_KEY}"},
        {"X-Api-Key": ENGINE_KEY},
        {"X-Api-Key": ADA.lower()},
        {"X-Api-Key": f"Bearer {ADA}"},
        {"Authorization": "Bearer wrong", "X-Api-Key": ADA},
    ],
    ids=str,
)
def test_nothing_but_a_persons_own_key_opens(gateway: Gateway, target: str, headers: dict[str, str]) -> None:
    status, _headers, text = gateway.ask(target, None, **headers)
    assert (status, error(text)["code"], error(text)["type"]) == (401, "invalid_api_key", "authentication_error")
    assert ADA not in text and ENGINE_KEY not in text


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {ADA}"}, {"Authorization": f"bearer {ADA}"}, {"X-Api-Key": ADA}], ids=str
)
def test_the_engine_gets_its_own_key_and_nobodys(gateway: Gateway, headers: dict[str, str]) -> None:
    status, _headers, text = gateway.ask("/v1/models?x=1", None, **headers)
    seen = json.loads(text)
    assert (status, seen["path"]) == (200, "/v1/models?x=1")
    assert [value for name, value in seen["headers"] if name == "authorization"] == [f"Bearer {ENGINE_KEY}"]
    assert ADA not in text and "x-api-key" not in text


def test_both_headers_of_one_person_are_taken(gateway: Gateway) -> None:
    assert gateway.ask("/v1/models", ADA, **{"X-Api-Key": ADA})[0] == 200


def test_a_key_twice_is_none(gateway: Gateway) -> None:
    for name in ("Authorization", "X-Api-Key"):
        connection = gateway.connect()
        connection.putrequest("GET", "/v1/models")
        for key in (ADA, BOB):
            connection.putheader(name, f"Bearer {key}" if name == "Authorization" else key)
        connection.endheaders()
        assert connection.getresponse().status in (400, 401)
        connection.close()


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/metrics",
            "/version",
            "/invocations",
            "/v1/../invocations",
            "/v1/models/%2e%2e/%2E%2E/invocations",
            "/tokenize",
        ),
        *("/v1/responses/resp_1", "/v1/load_lora_adapter", "/v1/models/../../pause", "/V1/models"),
    ],
)
def test_nothing_else_gets_through(gateway: Gateway, target: str) -> None:
    status, _headers, text = gateway.ask(target)
    assert (status, error(text)["code"]) == (404, "not_found")


def test_health_says_nothing_of_what_is_behind(gateway: Gateway) -> None:
    assert gateway.ask("/health", None)[2] == '{"status": "ok"}'


def test_without_tls_nothing_is_answered(gateway: Gateway) -> None:
    plain = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    plain.request("GET", "/v1/models", headers={"Authorization": f"Bearer {ADA}"})
    assert plain.getresponse().status == 400


@pytest.mark.parametrize(
    "body",
    [
        '{"seed": 12345678901234567890, "x": "grün 🦆"}',
        '{"a": 1.0}',
        "no JSON",
        "[1",
        "{}",
        json.dumps({"x": "ü" * (5 << 20)}, ensure_ascii=False),
    ],
    ids=range(6),
)
def test_a_body_is_what_was_sent(gateway: Gateway, body: str) -> None:
    """Numbers as they were written, letters of any length, and what is no JSON."""
    for target in (CHAT, MESSAGE):
        assert json.loads(gateway.ask(target, body=body)[2])["body"] == body


def test_a_body_may_come_in_pieces(gateway: Gateway) -> None:
    """Without its length, as some clients send it; a small one and one that no buffer of nginx's own has room for."""
    for pieces in ([b'{"x": "gr\xc3', b'\xbcn"}'], [b'{"x": "', b"y" * (3 << 20), b'"}']):
        connection = gateway.connect()
        connection.request(
            "POST", CHAT, iter(pieces), {"X-Api-Key": ADA, "Transfer-Encoding": "chunked"}, encode_chunked=True
        )
        assert json.loads(connection.getresponse().read())["body"].encode() == b"".join(pieces)
        connection.close()


def test_a_body_may_be_so_large(gateway: Gateway) -> None:
    status, _headers, text = gateway.ask(CHAT, body="x" * (17 << 20))
    assert (status, error(text)["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("asked", [False, True])
def test_a_stream_comes_as_it_is_told_and_its_usage_to_who_asked(gateway: Gateway, asked: bool) -> None:
    Echo.go_on.clear()
    before = gateway.logged()
    connection = gateway.connect()
    options = {"stream_options": {"include_usage": True}} if asked else {}
    connection.request("POST", CHAT, json.dumps({"stream": True, **options}), {"X-Api-Key": ADA})
    answer = connection.getresponse()
    first = answer.readline() + answer.readline()
    # Nothing more was written yet: what came was not kept back.
    assert json.loads(first.removeprefix(b"data: "))["choices"][0]["delta"] == {"content": "grün"}
    Echo.go_on.set()
    rest = answer.read()
    assert rest.startswith(first) and rest.endswith(b"data: [DONE]\n\n")
    assert (b'"usage"' in rest) == asked
    connection.close()
    (entry,) = gateway.log(before + 1)[before:]
    assert (entry["person"], entry["tokens_in"], entry["tokens_out"]) == ("ada", "7", "2")


REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {"messages": HELLO, "max_tokens": 9, "temperature": 0}),
    "text": (TEXT, {"prompt": "hi there", "max_tokens": 9, "temperature": 0}),
    "message": (MESSAGE, {"messages": HELLO, "max_tokens": 9, "temperature": 0}),
    "response": (RESPONSE, {"input": "hi", "max_output_tokens": 9, "temperature": 0}),
}


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("key", [ADA, BOB])
def test_tokens_are_those_that_the_engine_names(served: Gateway, engine: int, name: str, key: str) -> None:
    """Streamed or not, and a stream is told as the engine tells it without us."""
    target, body = REQUESTS[name]
    body = {"model": MODEL, **body}
    before = served.logged()
    status, _headers, text = served.ask(target, key, body)
    assert status == 200, text
    usage = json.loads(text)["usage"]
    told = served.ask(target, key, {**body, "stream": True})[2]
    direct = http.client.HTTPConnection("127.0.0.1", engine, timeout=30)
    given = {"Authorization": f"Bearer {ENGINE_KEY}", "Content-Type": "application/json"}
    direct.request("POST", target, json.dumps({**body, "stream": True}), given)
    assert told_as(told) == told_as(direct.getresponse().read().decode())
    direct.close()
    counted = (
        usage.get("prompt_tokens", usage.get("input_tokens")),
        usage.get("completion_tokens", usage.get("output_tokens")),
    )
    assert counted[0] > 0 and counted[1] > 0
    for entry in served.log(before + 2)[-2:]:
        assert (entry["person"], entry["status"]) == ("ada" if key == ADA else "bob", 200)
        assert (int(entry["tokens_in"]), int(entry["tokens_out"])) == counted


def test_what_is_refused_by_the_engine_is_told_as_it_is(served: Gateway) -> None:
    status, _headers, text = served.ask(CHAT, body={"model": "nobody", "messages": HELLO})
    assert status == 404 and "nobody" in text
    assert served.log(served.logged())[-1]["tokens_out"] == ""


def test_who_goes_away_is_in_the_log_and_not_counted(gateway: Gateway) -> None:
    Echo.go_on.clear()
    before = gateway.logged()
    connection = gateway.connect()
    connection.request("POST", CHAT, json.dumps({"stream": True}), {"X-Api-Key": BOB})
    connection.getresponse().readline()
    connection.close()
    Echo.go_on.set()
    entry = gateway.log(before + 1)[-1]
    assert (entry["person"], entry["tokens_out"]) == ("bob", "")


def test_limits_are_each_persons_own(echo: int, tmp_path: Path) -> None:
    with running(
        tmp_path, echo, team_gateway_requests_per_minute=1, team_gateway_burst=2, team_gateway_at_once=1
    ) as few:
        Echo.go_on.clear()
        while Echo.began.acquire(blocking=False):
            pass
        with ThreadPoolExecutor() as pool:
            held = pool.submit(few.ask, CHAT, ADA, {"stream": True})
            assert Echo.began.acquire(timeout=60)
            # One at once ...
            status, headers, text = few.ask("/v1/models", ADA)
            assert (status, error(text)["type"], headers["Retry-After"]) == (429, "rate_limit_error", "60")
            assert few.ask("/v1/models", BOB)[0] == 200
            Echo.go_on.set()
            assert held.result()[0] == 200
        # ... and so many in a minute: one and a burst of two, of which the refused one was no part.
        answers = [few.ask("/v1/models", ADA)[0] for _each in range(4)]
        assert answers[-1] == 429 and answers.count(429) >= 2
        assert few.ask("/v1/models", BOB)[0] == 200
        assert {entry["person"] for entry in few.log(8) if entry["status"] == 429} == {"ada"}


def test_a_revoked_key_opens_nothing_more_and_the_others_go_on(echo: int, tmp_path: Path) -> None:
    with running(tmp_path, echo, **MANY) as team:
        kept = team.connect()
        kept.request("GET", "/v1/models", headers={"X-Api-Key": BOB})
        assert kept.getresponse().read() and kept.sock is not None
        Echo.go_on.clear()
        while Echo.began.acquire(blocking=False):
            pass
        with ThreadPoolExecutor() as pool:
            running_stream = pool.submit(team.ask, CHAT, ADA, {"stream": True})
            assert Echo.began.acquire(timeout=60)
            team.people(ada=ADA)
            team.process.send_signal(signal.SIGHUP)
            # The old workers still have a stream; an idle connection to them is closed.
            deadline = time.monotonic() + 60
            while team.ask("/v1/models", BOB)[0] == 200:
                assert time.monotonic() < deadline
            assert kept.sock.recv(1) == b""
            Echo.go_on.set()
            assert running_stream.result()[0] == 200
        assert team.ask("/v1/models", ADA)[0] == 200


def test_a_dead_engine_is_said_in_the_apis_words(tmp_path: Path) -> None:
    with running(tmp_path, free_port(), **MANY) as alone:
        for target in (CHAT, MESSAGE, "/v1/models"):
            status, headers, text = alone.ask(target, body={"stream": True} if target != "/v1/models" else None)
            assert (status, error(text)["type"], headers["Retry-After"]) == (503, "overloaded_error", "10")


def test_of_several_engines_a_dead_one_is_passed_over(echo: int, tmp_path: Path) -> None:
    """A tunnel to an engine that is down takes connections and closes them; a port that nobody has refuses them."""
    closing = socket.create_server(("127.0.0.1", 0))

    def close() -> None:
        while True:
            try:
                connection, _address = closing.accept()
            except OSError:
                return
            connection.close()

    threading.Thread(target=close, daemon=True).start()
    people = {f"p{number}": f"{number:02}" * 20 for number in range(12)}
    with running(tmp_path, [closing.getsockname()[1], free_port(), echo], people=people, **MANY) as several:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda key: several.ask(CHAT, key, {"model": "x"})[0], [*people.values()] * 2))
        assert answers == [200] * 24
    closing.shutdown(socket.SHUT_RDWR)
    closing.close()


def test_a_person_stays_with_one_engine_and_people_share_all(echo: int, tmp_path: Path) -> None:
    other = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    people = {f"p{number}": f"{number:02}" * 20 for number in range(12)}
    served: dict[str, set[int]] = {}
    with running(tmp_path, [echo, other.server_port], people=people, **MANY) as both:
        for key in [*people.values()] * 3:
            served.setdefault(key, set()).add(json.loads(both.ask("/v1/models", key)[2])["port"])
    other.shutdown()
    other.server_close()
    assert all(len(ports) == 1 for ports in served.values())
    assert set.union(*served.values()) == {echo, other.server_port}


def test_the_log_has_neither_keys_nor_prompts(gateway: Gateway) -> None:
    before = gateway.logged()
    gateway.ask(f"/v1/models?key={ADA}", ADA)
    gateway.ask(f"/{ADA}", ADA)
    gateway.ask(CHAT, BOB, {"messages": [{"role": "user", "content": "secret-prompt"}]})
    gateway.ask("/v1/models", "W" * 40)
    entries = gateway.log(before + 4)[before:]
    assert [entry["person"] for entry in entries] == ["ada", "ada", "bob", ""]
    assert [entry["endpoint"] for entry in entries] == ["models", "other", "chat/completions", "models"]
    said = "".join(path.read_text() for path in (gateway.directory / "access.log", gateway.directory / "stderr"))
    for text in (ADA, BOB, "W" * 40, ENGINE_KEY, "secret-prompt"):
        assert text not in said
    for text in (ADA, BOB):
        assert text not in (gateway.directory / "people.map").read_text()


def test_only_what_is_encrypted_well_is_spoken(gateway: Gateway) -> None:
    old = ssl.create_default_context(cafile=str(gateway.directory / "tls.crt"))
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        # That it is too old is the point.
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", gateway.port), 30) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain, server_hostname="127.0.0.1")


def test_without_a_gateway_the_playbook_says_what_is_missing(tmp_path: Path) -> None:
    words = [str(product.BIN / "ansible-playbook"), "linode_coder.gpu.team_gateway", "-i", "localhost,"]
    environment = {
        **os.environ,
        "PATH": f"{product.BIN}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_HOME": str(tmp_path),
    }
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "The group team_gateway of the inventory has to have one host, the gateway, and has 0." in done.stdout
