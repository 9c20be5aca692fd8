# SPDX-License-Identifier: GPL-3.0-or-later
"""One endpoint before two sessions, by the real vllm-router: it shares their load, and outlives what happens to each of them."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.vllm_metrics import activity

from tests import product
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
    assert client.stream("hi", 20) == (20, True) or client.stream("hi", 20)[1]
    with client.request("/messages", {"model": "coder", "max_tokens": 5, "messages": _user("hi")}) as answer:
        assert json.load(answer)["usage"]["output_tokens"] > 0
    with client.request("/responses", {"model": "coder", "input": "hi", "max_output_tokens": 5}) as answer:
        assert json.load(answer)["usage"]["output_tokens"] > 0
    with client.request("/models") as answer:
        assert json.load(answer)["data"][0]["id"] == "coder"
    # As the configurations for clients are made, which asks how many tokens an image is.
    assert "18" in coder(sandbox, "use", "team", "--print", "claude").stdout
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
def test_the_load_is_shared(sandbox: RunningSandbox, endpoint: dict[str, Any]) -> None:
    client, before = Client(endpoint), {name: made(sandbox, name)["requests"] for name in MEMBERS}
    with ThreadPoolExecutor(12) as pool:
        told = list(pool.map(lambda number: client.chat(f"The same beginning for all. {number}", 100), range(12)))
    assert told == [100] * 12
    shares = [made(sandbox, name)["requests"] - before[name] for name in MEMBERS]
    assert sum(shares) == 12 and min(shares) >= 3, shares


@pytest.mark.timeout(600)
def test_a_member_is_drained_before_it_is_worked_on(sandbox: RunningSandbox, endpoint: dict[str, Any]) -> None:
    client = Client(endpoint)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(client.stream, f"{number} " * 40, 1200) for number in range(2)]
        deadline = time.monotonic() + 60
        while made(sandbox, "team-2")["running"] != 1:
            assert time.monotonic() < deadline
        switched = coder(sandbox, "switch-model", "team-2", "qwen2.5-coder-7b", "--json")
        assert [one.result()[1] for one in running] == [True, True]
    assert switched.returncode in (0, 3), switched.stderr
    until(sandbox, all_serve)


@pytest.mark.timeout(900)
def test_a_vm_that_dies_costs_no_request_that_had_not_begun(sandbox: RunningSandbox, endpoint: dict[str, Any]) -> None:
    client = Client(endpoint)
    views = {view["name"]: view for view in result_of(coder(sandbox, "list", "--json"))["sessions"]}
    with ThreadPoolExecutor(16) as pool:
        streams = [pool.submit(client.stream, f"stream {number} " * 40, 1500) for number in range(4)]
        deadline = time.monotonic() + 60
        while made(sandbox, "team-1")["running"] < 1:
            assert time.monotonic() < deadline
        sandbox.api("POST", f"linode/instances/{views['team-1']['linode_id']}/shutdown")
        told = list(pool.map(lambda number: client.chat(f"{number} " * 60, 20), range(12)))
        ended = [one.result() for one in streams]
    assert told == [20] * 12
    # Those on the other one came to their end; a broken one is seen as such.
    assert any(done for _parts, done in ended)
    until(sandbox, lambda seen: seen["team-1"] == "away" and seen["team-2"] == "serves")
    healed = coder(sandbox, "up", "team", "--replicas", "2", "--json")
    assert healed.returncode == 0, healed.stderr
    until(sandbox, all_serve)
