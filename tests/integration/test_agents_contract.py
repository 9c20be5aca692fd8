# SPDX-License-Identifier: GPL-3.0-or-later
"""What coding agents send is answered by the stand-in as tests/agents.py says; tests/engine asks the real engine the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineClient
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.endpoint_check import check_endpoint

from tests.agents import AGENTS, UNTAKEN, Request, sent, status_of
from tests.integration.test_engine_standin import AGENT, MODEL, WORDS, Engine, engine
from tests.streams import CUT_CALLS, STREAMS, check_stream, limited


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine(tmp_path_factory.mktemp("agents"), MODEL, *AGENT, "--served-model-name", "coder") as started:
        yield started.ready()


def answer(served: Engine, request: Request) -> tuple[int, str]:
    connection = served.connect()
    body = sent(request, "coder")
    headers = {"Authorization": "Bearer key", "Content-Type": "application/json"}
    connection.request(request.method, request.path, None if body is None else json.dumps(body), headers)
    answered = connection.getresponse()
    text = answered.read().decode()
    connection.close()
    return answered.status, text


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_is_answered_and_told_to_do_nothing(served: Engine, name: str) -> None:
    request = AGENTS[name]
    status, text = answer(served, request)
    assert status == request.status, text
    if status != 200 or "count_tokens" in request.path:
        return
    if "with a budget" in name:
        # Not without a reasoning parser, and in a stream that is found out late.
        assert "thinking_token_budget is set but" in text
        return
    if not (request.body or {}).get("stream"):
        assert WORDS in text
        return
    events = [json.loads(data) for data in re.findall(r"^data: (\{.*)$", text, re.MULTILINE)]
    told = "".join(
        str(part)
        for event in events
        for part in (
            *(choice["delta"].get("content") or "" for choice in event.get("choices", []) if "delta" in choice),
            *(choice.get("text") or "" for choice in event.get("choices", [])),
            event["delta"].get("text", "") if isinstance(event.get("delta"), dict) else event.get("delta", ""),
        )
    )
    assert told == WORDS
    assert not re.search('"(tool_calls|tool_use|function_call)"', text)
    assert text.rstrip().endswith("[DONE]") or events[-1]["type"] in ("message_stop", "response.completed")


@pytest.mark.parametrize("name", UNTAKEN)
def test_what_vllm_refuses_is_refused(served: Engine, name: str) -> None:
    status, text = answer(served, UNTAKEN[name])
    assert status == status_of(UNTAKEN[name]), text
    assert json.loads(text)


@pytest.mark.parametrize("name", STREAMS)
def test_a_streams_events_belong_together(served: Engine, name: str) -> None:
    path, body = STREAMS[name]
    status, text = answer(served, Request(path, body))
    assert status == 200, text
    check_stream(path, text)


@pytest.mark.parametrize("tokens", [1, 8, 9, 12])
@pytest.mark.parametrize("name", CUT_CALLS)
def test_a_call_that_its_limit_ends_says_so(served: Engine, name: str, tokens: int) -> None:
    path, body = CUT_CALLS[name]
    status, text = answer(served, Request(path, limited(path, body, tokens)))
    assert status == 200, text
    check_stream(path, text)
    ends = ('"finish_reason": "length"', '"stop_reason": "max_tokens"', '"status": "incomplete"')
    assert any(end in text for end in ends)


def test_a_web_page_may_not_ask(served: Engine) -> None:
    connection = served.connect()
    asks = {"Origin": "http://page.example", "Access-Control-Request-Method": "POST"}
    connection.request("OPTIONS", "/v1/chat/completions", headers=asks)
    answered = connection.getresponse()
    assert (answered.status, answered.read()) == (400, b"Disallowed CORS origin")
    connection.close()


def test_our_own_check_finds_all_well(served: Engine) -> None:
    found = check_endpoint(EngineClient(served.port, "key"), MODEL)
    assert {finding.id: finding.severity for finding in found if finding.severity != "pass"} == {}
    assert "calls a tool by itself" in " ".join(finding.summary for finding in found)
