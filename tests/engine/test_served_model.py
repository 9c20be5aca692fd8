"""The main job with the real vLLM in the real Docker of a docker host: clients through the tunnel, switching, a reboot."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from anthropic import AuthenticationError as AnthropicAuthenticationError
from openai import APIConnectionError, APITimeoutError, AuthenticationError, InternalServerError, OpenAI

from linode_coder.sandbox.hosts.docker_cli import DockerCli
from linode_coder.sandbox.hosts.docker_hosts import LABEL, remove_all
from tests.engine.conftest import BIN, PATIENCE, Coder, wait_for
from tests.sandbox_fixture import start_sandbox

FIRST, SECOND, BROKEN = "sandbox/tiny-coder-1m", "sandbox/tiny-coder-3m", "sandbox/tiny-coder-broken"
CONTEXT = {FIRST: 4096, SECOND: 8192}
NAME = "coder"  # what every model is called as well
TOO_LARGE = "openai/gpt-oss-120b"
SSH = 22


@pytest.fixture(scope="module")
def coder(tmp_path_factory: pytest.TempPathFactory, vllm: Path) -> Iterator[Coder]:
    directory = tmp_path_factory.mktemp("engine-docker")
    try:
        with start_sandbox(directory, hosts="docker", engine="vllm") as sandbox:
            yield Coder(sandbox)
    finally:
        asyncio.run(remove_all(DockerCli(), directory / "home/state/sandbox/docker-hosts"))


@pytest.fixture(scope="module")
def session(coder: Coder) -> dict[str, Any]:
    # The first model is what the sandbox's environment names.
    return coder.done("up", "real", "--lease", "8h", "--yes")


@pytest.fixture(scope="module")
def key(session: dict[str, Any]) -> str:
    return Path(session["api_key_file"]).read_text().strip()


@pytest.fixture
def client(session: dict[str, Any], key: str) -> OpenAI:
    return OpenAI(base_url=session["endpoint"], api_key=key, max_retries=0, timeout=PATIENCE)


def served(client: OpenAI) -> dict[str, int]:
    """The context of what is served, by each of its names."""
    return {card.id: card.model_extra["max_model_len"] for card in client.models.list().data if card.model_extra}


def answered(client: OpenAI, model: str) -> int:
    """How many tokens the model gives when four are asked for."""
    usage = client.completions.create(model=model, prompt="hi", max_tokens=4, extra_body={"ignore_eos": True}).usage
    assert usage is not None
    return usage.completion_tokens


def engine(coder: Coder) -> dict[str, Any]:
    """The engine's container: another one, or the same one started again, is told by this."""
    found = json.loads(coder.on_vm("real", "docker", "inspect", "vllm-vllm-1"))[0]
    return {"id": found["Id"], "started": found["State"]["StartedAt"], "restarts": found["RestartCount"]}


def test_up_ends_with_the_model_served(coder: Coder, session: dict[str, Any], client: OpenAI) -> None:
    assert served(client) == {NAME: CONTEXT[FIRST], FIRST: CONTEXT[FIRST]}
    assert "vLLM's CPU build" in coder.on_vm("real", "sh", "-c", "docker logs vllm-vllm-1 2>&1")
    # What it runs on is mounted: a copy of it would be gigabytes.
    size = coder.on_vm("real", "docker", "inspect", "--size", "--format", "{{.SizeRw}} {{.SizeRootFs}}", "vllm-vllm-1")
    assert all(int(number) < 1e9 for number in size.split())


def test_a_streamed_chat_counts_its_tokens(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model=FIRST,
        messages=[{"role": "user", "content": "Write a function that reverses a string."}],
        max_tokens=32,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )
    chunks = list(stream)
    usage = [chunk.usage for chunk in chunks if chunk.usage]
    assert usage[-1].completion_tokens == 32
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"


def test_requests_with_tools_are_taken(client: OpenAI) -> None:
    """Random weights never finish a call; told to make one, the engine's grammar makes them begin it."""
    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    tool: Any = {"type": "function", "function": {"name": "read_file", "parameters": schema}}
    messages: Any = [{"role": "user", "content": "Read a.py."}]
    answer = client.chat.completions.create(
        model=FIRST,
        messages=messages,
        tools=[tool],
        tool_choice={"type": "function", "function": {"name": "read_file"}},
        max_tokens=100,
    )
    message = answer.choices[0].message
    said = message.tool_calls[0].function.name if message.tool_calls else message.content or ""
    assert "read_file" in said
    free = client.chat.completions.create(model=FIRST, messages=messages, tools=[tool], max_tokens=8)
    assert free.usage is not None and free.usage.completion_tokens


def test_the_anthropic_client_is_served(session: dict[str, Any], key: str) -> None:
    base = session["endpoint"].removesuffix("/v1")
    client = Anthropic(base_url=base, auth_token=key, max_retries=0, timeout=PATIENCE)
    answer = client.messages.create(model=FIRST, max_tokens=8, messages=[{"role": "user", "content": "hi"}])
    assert answer.usage.output_tokens
    with client.messages.stream(model=FIRST, max_tokens=8, messages=[{"role": "user", "content": "hi"}]) as stream:
        assert stream.get_final_message().stop_reason in ("max_tokens", "end_turn")


def test_a_wrong_key_is_refused(session: dict[str, Any], key: str) -> None:
    with pytest.raises(AuthenticationError):
        OpenAI(base_url=session["endpoint"], api_key="wrong", max_retries=0, timeout=PATIENCE).models.list()
    with pytest.raises(AnthropicAuthenticationError):
        Anthropic(
            base_url=session["endpoint"].removesuffix("/v1"), auth_token="wrong", max_retries=0, timeout=PATIENCE
        ).messages.create(model=FIRST, max_tokens=8, messages=[{"role": "user", "content": "hi"}])
    # The right key in a header that the engine does not read is none.
    request = urllib.request.Request(f"{session['endpoint']}/models", headers={"x-api-key": key})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=PATIENCE)
    with refused.value as answer:
        assert (answer.code, json.loads(answer.read())["error"]["code"]) == (401, "invalid_api_key")


def test_a_second_up_changes_nothing(coder: Coder, session: dict[str, Any]) -> None:
    before = engine(coder)
    assert coder.done("up", "real", "--converge")["changed"] == 0
    assert engine(coder) == before


def open_ports(address: str) -> set[int]:
    found = set()
    for port in range(1, 1 << 16):
        with socket.socket() as probe:
            probe.settimeout(5)
            if probe.connect_ex((address, port)) == 0:
                found.add(port)
    return found


def test_nothing_but_ssh_listens_to_the_world(coder: Coder, session: dict[str, Any]) -> None:
    containers = [
        "docker",
        "ps",
        "--quiet",
        "--filter",
        f"label={LABEL}={coder.sandbox.home}/state/sandbox/docker-hosts",
    ]
    (host,) = subprocess.run(containers, capture_output=True, text=True, check=True).stdout.split()
    # Behind the address that the host is known by, which passes on SSH alone, is the host's own one.
    inspect = ["docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", host]
    address = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()
    assert open_ports(address) == {SSH}
    # Until its input ends, somebody else listens too.
    program = (
        "import socket, sys; s = socket.create_server(('0.0.0.0', 9234)); print('ready', flush=True); sys.stdin.read()"
    )
    command = ["docker", "exec", "--interactive", host, "python3", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as listening:
        assert listening.stdin is not None and listening.stdout is not None
        with listening.stdin:
            assert listening.stdout.readline() == "ready\n"
            assert open_ports(address) == {SSH, 9234}
    assert open_ports(address) == {SSH}


def test_a_model_that_does_not_fit_is_refused_before_anything_stops(coder: Coder, client: OpenAI) -> None:
    before = engine(coder)
    error = coder.refused("switch-model", "real", TOO_LARGE)
    assert error["field"] == "model" and TOO_LARGE in error["message"]
    assert engine(coder) == before
    assert answered(client, FIRST) == 4


def test_another_model_is_served_at_the_same_endpoint(coder: Coder, session: dict[str, Any], client: OpenAI) -> None:
    after = coder.done("switch-model", "real", SECOND)
    assert (after["before"], after["session"]["model"], after["endpoint"]) == (FIRST, SECOND, session["endpoint"])
    assert served(client) == {NAME: CONTEXT[SECOND], SECOND: CONTEXT[SECOND]}
    assert answered(client, SECOND) == 4


def test_a_broken_model_is_taken_back(coder: Coder, client: OpenAI) -> None:
    error = coder.refused("switch-model", "real", BROKEN)
    assert error["message"] == f"{BROKEN} did not come up, so {SECOND} serves again."
    assert "damaged" in error["cause"]
    assert served(client) == {NAME: CONTEXT[SECOND], SECOND: CONTEXT[SECOND]}
    assert answered(client, SECOND) == 4
    status = coder.done("status", "real")
    assert status["session"]["model"] == SECOND


def test_after_a_reboot_it_serves_by_itself(coder: Coder, session: dict[str, Any], key: str) -> None:
    boot = coder.on_vm("real", "cat", "/proc/sys/kernel/random/boot_id")
    instance = str(session["session"]["linode_id"])
    subprocess.run(
        [str(BIN / "linode-cli"), "linodes", "reboot", instance], env=coder.sandbox.env, check=True, timeout=PATIENCE
    )

    def answers() -> bool:
        # Commands that find the tunnel dead open it again.
        endpoint = coder.done("use", "real")["endpoint"]
        client = OpenAI(base_url=endpoint, api_key=key, max_retries=0, timeout=PATIENCE)
        try:
            return answered(client, SECOND) == 4
        except (APIConnectionError, APITimeoutError, InternalServerError):
            return False

    def rebooted() -> bool:
        """Nobody is there to answer while it goes down and comes up."""
        asked = coder.ask_vm("real", "cat", "/proc/sys/kernel/random/boot_id")
        return asked.returncode == 0 and asked.stdout.strip() != boot.strip()

    wait_for(rebooted, "not rebooted")
    wait_for(answers, "not served")
