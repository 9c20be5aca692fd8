"""The main job with the real vLLM in the host: editors' clients through the tunnel, a second up, a reboot."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic, AuthenticationError
from openai import AuthenticationError as OpenAIAuthenticationError
from openai import OpenAI

from tests.engine.conftest import BIN, Coder, wait_for

MODEL = "sandbox/tiny-coder-1m"


@pytest.fixture(scope="module")
def session(coder: Coder) -> dict[str, Any]:
    return coder.done("up", "real", "--model", MODEL, "--lease", "8h", "--yes")


@pytest.fixture(scope="module")
def key(session: dict[str, Any]) -> str:
    return Path(session["api_key_file"]).read_text().strip()


@pytest.fixture
def client(session: dict[str, Any], key: str) -> OpenAI:
    return OpenAI(base_url=session["endpoint"], api_key=key, max_retries=0, timeout=120)


def test_up_ends_with_the_model_served(session: dict[str, Any], client: OpenAI) -> None:
    cards = client.models.list().data
    assert MODEL in {card.id for card in cards}
    assert {card.model_extra["max_model_len"] for card in cards if card.model_extra} == {4096}


def test_a_streamed_chat_counts_its_tokens(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL,
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
        model=MODEL,
        messages=messages,
        tools=[tool],
        tool_choice={"type": "function", "function": {"name": "read_file"}},
        max_tokens=100,
    )
    message = answer.choices[0].message
    said = message.tool_calls[0].function.name if message.tool_calls else message.content or ""
    assert "read_file" in said
    free = client.chat.completions.create(model=MODEL, messages=messages, tools=[tool], max_tokens=8)
    assert free.usage is not None and free.usage.completion_tokens


def test_the_anthropic_client_is_served(session: dict[str, Any], key: str) -> None:
    base = session["endpoint"].removesuffix("/v1")
    client = Anthropic(base_url=base, auth_token=key, api_key=None, max_retries=0, timeout=120)
    answer = client.messages.create(model=MODEL, max_tokens=8, messages=[{"role": "user", "content": "hi"}])
    assert answer.usage.output_tokens
    with client.messages.stream(model=MODEL, max_tokens=8, messages=[{"role": "user", "content": "hi"}]) as stream:
        assert stream.get_final_message().stop_reason in ("max_tokens", "end_turn")
    with pytest.raises(AuthenticationError):
        Anthropic(base_url=base, auth_token="wrong", api_key=None, max_retries=0, timeout=120).messages.create(
            model=MODEL, max_tokens=8, messages=[{"role": "user", "content": "hi"}]
        )


def test_a_wrong_key_is_refused(session: dict[str, Any]) -> None:
    with pytest.raises(OpenAIAuthenticationError):
        OpenAI(base_url=session["endpoint"], api_key="wrong", max_retries=0, timeout=120).models.list()


def test_a_second_up_changes_nothing(coder: Coder, session: dict[str, Any]) -> None:
    before = [process.pid for process in coder.processes("VLLM::EngineCore")]
    assert coder.done("up", "real")["changed"] == 0
    assert [process.pid for process in coder.processes("VLLM::EngineCore")] == before


def test_after_a_reboot_it_serves_by_itself(coder: Coder, session: dict[str, Any], key: str) -> None:
    (before,) = coder.processes("VLLM::EngineCore")
    instance = str(session["session"]["linode_id"])
    subprocess.run(
        [str(BIN / "linode-cli"), "linodes", "reboot", instance], env=coder.sandbox.env, check=True, timeout=60
    )
    wait_for(lambda: not before.is_running(), "the old engine still runs")
    wait_for(lambda: coder.processes("VLLM::EngineCore"), "no engine came up")

    def served() -> bool:
        # Commands that find the tunnel dead open it again.
        endpoint = coder.done("use", "real")["endpoint"]
        client = OpenAI(base_url=endpoint, api_key=key, max_retries=0, timeout=120)
        try:
            return bool(client.completions.create(model=MODEL, prompt="hi", max_tokens=1).usage)
        except Exception as error:
            if type(error).__name__ in ("APIConnectionError", "InternalServerError", "APITimeoutError"):
                return False
            raise

    wait_for(served, "the model is not served after the reboot")
