# SPDX-License-Identifier: GPL-3.0-or-later
"""One endpoint before two sessions, by the real vllm-router: it shares their load, and outlives what happens to each of them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.router_flags import router_flags
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.vllm_metrics import activity

from tests import product
from tests.free_port import free_port
from tests.product import error_of, result_of
from tests.ready_session import ready_session
from tests.sandbox_fixture import RunningSandbox

coder = partial(product.coder, timeout=270)
MEMBERS = ("team-1", "team-2")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("groups"), "group") as running:
        yield running


@pytest.fixture(scope="module")
def endpoint(sandbox: RunningSandbox) -> Iterator[dict[str, Any]]:
    yield result_of(coder(sandbox, "use", "team", "--json"))
    result_of(coder(sandbox, "down", "team", "--yes", "--json"))


class Client:
    """Asks the endpoint of the group, or another one with its key."""

    def __init__(self, endpoint: dict[str, Any]) -> None:
        self.url = endpoint["endpoint"]
        self.key = Path(endpoint["api_key_file"]).read_text().strip()

    def request(self, path: str, body: dict[str, Any] | None = None, key: str | None = None) -> Any:
        given = self.key if key is None else key
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {given}"}
        data = None if body is None else json.dumps(body).encode()
        return urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=180)

    def chat(self, text: str, tokens: int = 5) -> int:
        """How many tokens came."""
        body = {"model": "coder", "max_tokens": tokens, "ignore_eos": True, "messages": _user(text)}
        with self.request("/chat/completions", body) as answer:
            return int(json.load(answer)["usage"]["completion_tokens"])

    def stream(self, text: str, tokens: int) -> tuple[int, bool]:
        """How many parts came, and whether it came to its end."""
        body = {"model": "coder", "stream": True, "max_tokens": tokens, "ignore_eos": True, "messages": _user(text)}
        parts, ended = 0, False
        with self.request("/chat/completions", body) as answer:
            try:
                for line in answer:
                    parts += line.startswith(b"data: {")
                    ended = ended or line.startswith(b"data: [DONE]")
            except OSError:
                return parts, False
        return parts, ended


def _user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def made(sandbox: RunningSandbox, name: str) -> dict[str, Any]:
    """What the engine of a session has counted, asked through its own endpoint."""
    own = Client(result_of(coder(sandbox, "use", name, "--json")))
    own.url = own.url.removesuffix("/v1")
    with own.request("/metrics") as page:
        return activity(page.read().decode())


def uses(sandbox: RunningSandbox) -> dict[str, str | None]:
    seen = result_of(coder(sandbox, "status", "team", "--json"))["members"]
    return {name: one and one["use"] for name, one in seen.items()}


def until(sandbox: RunningSandbox, wanted: Callable[[dict[str, str | None]], bool]) -> dict[str, str | None]:
    deadline = time.monotonic() + 120
    while not wanted(seen := uses(sandbox)):
        assert time.monotonic() < deadline, (seen, log(sandbox))
        time.sleep(0.5)
    return seen


def log(sandbox: RunningSandbox) -> str:
    return (sandbox.home / "state/sessions/team/tunnel.log").read_text()


def all_serve(seen: dict[str, str | None]) -> bool:
    return all(use == "serves" for use in seen.values())


@pytest.mark.timeout(600)
def test_one_key_and_one_endpoint_for_all(sandbox: RunningSandbox, endpoint: dict[str, Any]) -> None:
    key = Path(endpoint["api_key_file"])
    assert key.stat().st_mode & 0o777 == 0o600
    for name in MEMBERS:
        assert (sandbox.home / f"state/sessions/{name}/api_key").read_text() == key.read_text()
    until(sandbox, all_serve)
    client = Client(endpoint)
    assert client.chat("hi") == 5
    assert client.stream("hi", 20)[1]
    with client.request("/messages", {"model": "coder", "max_tokens": 5, "messages": _user("hi")}) as answer:
        assert json.load(answer)["usage"]["output_tokens"] > 0
    with client.request("/responses", {"model": "coder", "input": "hi", "max_output_tokens": 5}) as answer:
        assert json.load(answer)["usage"]["output_tokens"] > 0
    with client.request("/models") as answer:
        assert json.load(answer)["data"][0]["id"] == "coder"
    # Made from what the engine says of itself, as for one session.
    assert endpoint["endpoint"].removesuffix("/v1") in coder(sandbox, "use", "team", "--print", "claude").stdout
    # The router itself asks for no key there, and lets anybody add an engine.
    for path in ("/messages", "/responses", "/chat/completions", "/models"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            client.request(path, {"model": "coder"}, key="wrong")
    admin = Client(endpoint)
    admin.url = admin.url.removesuffix("/v1")
    for path in ("/add_worker?url=http://127.0.0.1:9", "/list_workers", "//list_workers", "/v1/../list_workers"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            admin.request(path, {})
    # Nothing of a key is an argument.
    arguments = b"\0".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    assert client.key.encode() not in arguments


@pytest.mark.timeout(300)
def test_it_is_shown_and_extended_as_one(sandbox: RunningSandbox, endpoint: dict[str, Any]) -> None:
    shown = coder(sandbox, "status", "team")
    assert shown.returncode == 0 and all(f"{name}    running" in shown.stdout for name in MEMBERS), shown.stdout
    assert "GROUP" in coder(sandbox, "list").stdout
    before = {view["name"]: view["lease_left"] for view in result_of(coder(sandbox, "list", "--json"))["sessions"]}
    assert coder(sandbox, "extend", "team", "1h", "--json").returncode == 0
    after = {view["name"]: view["lease_left"] for view in result_of(coder(sandbox, "list", "--json"))["sessions"]}
    assert all(after[name] > before[name] + 3000 for name in MEMBERS)
    one = error_of(coder(sandbox, "logs", "team", "--json"), 2)
    assert "Name one of them: team-1, team-2." in one["remedy"]


@pytest.mark.timeout(300)
def test_the_load_is_shared(sandbox: RunningSandbox, endpoint: dict[str, Any]) -> None:
    client, before = Client(endpoint), {name: made(sandbox, name)["requests"] for name in MEMBERS}
    with ThreadPoolExecutor(12) as pool:
        told = list(pool.map(lambda number: client.chat(f"The same beginning for all. {number}", 100), range(12)))
    assert told == [100] * 12
    shares = [made(sandbox, name)["requests"] - before[name] for name in MEMBERS]
    assert sum(shares) == 12 and min(shares) >= 3, shares


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def second_router(sandbox: RunningSandbox, key: str) -> Iterator[str]:
    """As another control node would have one: over the same engines, and nobody tells it who is drained."""
    ports = [result_of(coder(sandbox, "use", name, "--json"))["endpoint"].removesuffix("/v1") for name in MEMBERS]
    port = free_port()
    command = [sys.executable, "-m", "linode_coder.endpoint.router_child", *router_flags(ports, port, free_port())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=sandbox.env, cwd="/") as process:
        assert process.stdin is not None
        process.stdin.write(f"{key}\n".encode())
        process.stdin.flush()
        try:
            deadline = time.monotonic() + 60
            while not _listens(port):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def while_it_goes_on(client: Client, running: Future[Any]) -> int:
    """How many requests were answered while something else happened; each that is not fails the test."""
    answered = 0
    while not running.done() or not answered:
        assert client.chat(f"{answered} " * 30, 5) == 5
        answered += 1
    return answered


def begun(sandbox: RunningSandbox, name: str) -> None:
    deadline = time.monotonic() + 60
    while not made(sandbox, name)["running"]:
        assert time.monotonic() < deadline


@pytest.mark.timeout(600)
def test_another_model_on_a_member_costs_no_request(sandbox: RunningSandbox, endpoint: dict[str, Any]) -> None:
    client, seen = Client(endpoint), set()
    with ThreadPoolExecutor(4) as pool:
        streams = [pool.submit(client.stream, f"{number} " * 40, 1200) for number in range(2)]
        begun(sandbox, "team-2")
        switch = pool.submit(coder, sandbox, "switch-model", "team-2", "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ", "--json")
        asking = pool.submit(while_it_goes_on, client, switch)
        while not switch.done():
            seen.add(uses(sandbox)["team-2"])
        assert switch.result().returncode == 0, switch.result().stderr
        assert asking.result() > 0
        assert [one.result()[1] for one in streams] == [True, True]
    assert "drained" in seen
    until(sandbox, all_serve)


@pytest.mark.timeout(900)
def test_a_vm_that_dies_costs_no_request_that_had_not_begun(sandbox: RunningSandbox, endpoint: dict[str, Any]) -> None:
    client = Client(endpoint)
    views = {view["name"]: view for view in result_of(coder(sandbox, "list", "--json"))["sessions"]}
    with second_router(sandbox, client.key) as url, ThreadPoolExecutor(32) as pool:
        other = Client(endpoint)
        other.url = url
        assert other.chat("hi") == 5
        streams = [pool.submit(client.stream, f"stream {number} " * 40, 1500) for number in range(4)]
        begun(sandbox, "team-1")
        sandbox.api("POST", f"linode/instances/{views['team-1']['linode_id']}/shutdown")
        asked = [(each, f"{number} " * 60) for number in range(12) for each in (client, other)]
        told = list(pool.map(lambda one: one[0].chat(one[1], 20), asked))
        ended = [one.result()[1] for one in streams]
    assert told == [20] * 24
    # Those of the other one came to their end, and a broken one is seen as such.
    assert True in ended and False in ended
    until(sandbox, lambda seen: seen == {"team-1": "away", "team-2": "serves"})
    healed = coder(sandbox, "up", "team", "--replicas", "2", "--json")
    assert healed.returncode == 0, healed.stderr
    until(sandbox, all_serve)


@pytest.mark.timeout(600)
def test_a_member_that_goes_finishes_what_it_began(sandbox: RunningSandbox, endpoint: dict[str, Any]) -> None:
    client = Client(endpoint)
    with ThreadPoolExecutor(4) as pool:
        streams = [pool.submit(client.stream, f"{number} " * 40, 1000) for number in range(2)]
        begun(sandbox, "team-2")
        gone = pool.submit(coder, sandbox, "down", "team-2", "--yes", "--json")
        assert while_it_goes_on(client, gone) > 0
        assert gone.result().returncode == 0, gone.result().stderr
        assert [one.result()[1] for one in streams] == [True, True]
    assert until(sandbox, all_serve) == {"team-1": "serves"}
    fewer = error_of(coder(sandbox, "up", "team", "--replicas", "0", "--json"), 2)
    assert fewer["field"] == "replicas"
    taken = error_of(coder(sandbox, "up", "team", "--json"), 10)
    assert "is the name of a group" in taken["message"]
