# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway on real sockets: who is let in, what passes and how, when a session is woken, and what a client is told meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import api_key_path
from behind import (
    ENGINE_KEY,
    KEY,
    MODEL,
    Behind,
    asking,
    behind,
    chat,
    clients,
    gone_at_once,
    hello,
    parts,
    proxy_alone,
)

from linode_coder.gateway import serve
from linode_coder.gateway.app import TRIES, Patience
from linode_coder.gateway.limits import Limits
from linode_coder.local import wake
from linode_coder.terminal.escapes import one_line
from tests import played_coder
from tests.hostile import CORPUS


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


Test = Callable[[Behind], Awaitable[None]]


def run(tmp_path: Path, test: Test, **options: Any) -> None:
    async def all_of_it() -> None:
        async with asyncio.timeout(120), behind(tmp_path / "coder", **options) as at:
            await test(at)

    asyncio.run(all_of_it())


# -- who is let in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": f"Bearer {KEY}"}, 200),
        ({"x-api-key": KEY}, 200),
        ({"authorization": f"bearer {KEY}"}, 200),
        ({}, 401),
        ({"Authorization": f"Basic {KEY}"}, 401),
        ({"Authorization": f"Bearer {KEY}x"}, 401),
        ({"Authorization": f"Bearer {KEY[:-1]}"}, 401),
        ({"x-api-key": "\udcff"}, 401),
        ({"x-api-key": KEY, "Host": "evil.example"}, 400),
        ({"x-api-key": KEY, "Host": "127.0.0.1.evil.example"}, 400),
        ({"x-api-key": KEY, "Host": "localhost:17000"}, 200),
        ({"x-api-key": KEY, "Host": "[::1]:17000"}, 200),
        ({"x-api-key": KEY, "Origin": "https://evil.example"}, 403),
        ({"x-api-key": KEY, "Origin": "null"}, 403),
        ({"x-api-key": KEY, "Origin": "http://[evil"}, 403),
        ({"x-api-key": KEY, "Origin": "http://localhost:3000"}, 200),
    ],
)
def test_only_a_client_of_this_machine_with_the_key(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async def test(at: Behind) -> None:
        raw = {name: value.encode("utf-8", "surrogateescape").decode("latin-1") for name, value in headers.items()}
        async with aiohttp.ClientSession() as client:
            for path in ("/v1/models", "/status"):
                async with client.get(at.url + path, headers=raw) as answer:
                    assert answer.status == status, path
            async with client.post(f"{at.url}/v1/chat/completions", headers=raw, json=chat()) as answer:
                assert answer.status == status
        assert len(at.asked) == (status == 200)

    run(tmp_path, test)


def test_each_api_is_refused_in_its_own_form(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        async with asking(at, "/v1/messages", chat(), Authorization="Bearer no") as answer:
            assert (answer.status, (await answer.json())["type"]) == (401, "error")
        async with asking(at, "/v1/chat/completions", chat(), Authorization="Bearer no") as answer:
            assert (await answer.json())["error"]["code"] == "invalid_api_key"
            assert answer.headers["x-should-retry"] == "false"

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", b"{", 400),
        ("/v1/chat/completions", b"[1]", 400),
        ("/v1/chat/completions", b"[" * 100_000, 400),
        ("/v1/load_lora_adapter", b"{}", 404),
        ("/metrics", b"{}", 404),
        ("/v1/chat/completions/../../metrics", b"{}", 404),
    ],
)
def test_what_is_no_question_for_an_engine(tmp_path: Path, path: str, body: bytes, status: int) -> None:
    async def test(at: Behind) -> None:
        async with (
            aiohttp.ClientSession(headers={"x-api-key": KEY}) as client,
            client.post(at.url + path, data=body) as answer,
        ):
            assert answer.status == status and "error" in await answer.json()
        assert at.asked == []

    run(tmp_path, test)


def test_no_text_of_a_request_is_more_than_text(tmp_path: Path) -> None:
    """The model that it names comes back in a sentence, and chooses nothing else."""

    async def test(at: Behind) -> None:
        wake.came_up({"name": "other", "model": "acme/big", "plan": "g2"}, {}, made=True)
        for text in (*CORPUS.values(), "../../main", "main/../x", "\ud800"):
            async with asking(at, body=chat(text)) as answer:
                said = (await answer.json())["error"]["message"]
                assert answer.status == 404 and one_line(said) == said and len(said) < 400
        assert at.asked == at.calls("use") == at.calls("up") == []

    run(tmp_path, test)


def test_a_body_has_a_limit(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        async with asking(at, body=chat(padding="x" * 2**26)) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (413, "request_too_large")

    run(tmp_path, test)


# -- what passes -----------------------------------------------------------------------------------------------------


def test_a_request_passes_as_it_is_with_the_engines_key(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        given = '{"model": "acme/coder-7b",  "messages": [], "odd": 1e2}'
        headers = {
            **{"Authorization": f"Bearer {KEY}", "x-api-key": KEY, "X-Mine": "1", "Content-Type": "application/json"},
            **{
                "Connection": "close, X-Hop",
                "X-Hop": "1",
                "Cookie": "a=b",
                "User-Agent": "me",
                "anthropic-version": "1",
            },
        }
        url = f"{at.url}/v1/messages?beta=true"
        async with aiohttp.ClientSession() as client, client.post(url, headers=headers, data=given) as answer:
            assert (answer.status, answer.headers["X-Engine"]) == (200, "yes")
            assert await answer.json() == {"choices": [], "said": "hello"}
        ((path, passed, body),) = at.asked
        assert (path, body.decode()) == ("/v1/messages?beta=true", given)
        assert (passed["Authorization"], passed["X-Mine"], passed["User-Agent"]) == (f"Bearer {ENGINE_KEY}", "1", "me")
        assert not {"X-Hop", "Cookie", "x-api-key", "X-Api-Key"} & set(passed)
        assert KEY not in str(passed)

    run(tmp_path, test)


def test_another_name_becomes_the_engines(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        for name in ("main", "claude-haiku", MODEL):
            async with asking(at, body=chat(name)) as answer:
                assert answer.status == 200
        assert [json.loads(body)["model"] for _path, _headers, body in at.asked] == [MODEL] * 3

    run(tmp_path, test)


def test_an_answer_passes_whatever_its_status(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        async def too_long(request: Any) -> Any:
            return aiohttp.web.json_response({"error": {"message": "too long"}}, status=400)

        at.answers = [too_long]
        for stream in (False, True):
            async with asking(at, body=chat(stream=stream)) as answer:
                assert (answer.status, await answer.json()) == (400, {"error": {"message": "too long"}})

    run(tmp_path, test)


def test_a_stream_passes_part_by_part(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        seen = asyncio.Event()
        at.answers = [parts("one", "two", meanwhile=seen)]
        async with asking(at, body=chat(stream=True)) as answer:
            text = b""
            while b"one" not in text:
                text += await answer.content.readany()
            seen.set()
            text += await answer.content.read()
        assert text.endswith(b"data: one\n\ndata: two\n\n")

    run(tmp_path, test)


def test_who_goes_away_ends_it_at_the_engine_too(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        ended = asyncio.Event()

        async def endless(request: Any) -> Any:
            response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            try:
                await response.write(b"data: one\n\n")
                await asyncio.Event().wait()
            finally:
                ended.set()
            return response

        at.answers = [endless]
        async with asking(at, body=chat(stream=True)) as answer:
            while b"one" not in await answer.content.readline():
                pass
        await ended.wait()

    run(tmp_path, test)


def test_models_of_all_sessions_awake_or_not(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        wake.came_up({"name": "other", "model": "acme/big", "plan": "g2"}, {"alias": ["gpt-4o,o3"]}, made=True)
        async with asking(at, "/v1/models") as answer:
            rows = (await answer.json())["data"]
        assert [row["id"] for row in rows] == [MODEL, "main", "acme/big", "gpt-4o", "o3", "other"]
        client, theirs = clients(at)
        assert [model.id async for model in client.models.list()] == [row["id"] for row in rows]
        assert [model.id async for model in theirs.models.list()] == [row["id"] for row in rows]
        async with asking(at, body=chat("nothing")) as answer:
            said = (await answer.json())["error"]["message"]
            assert answer.status == 404 and "main (acme/coder-7b)" in said and "other (acme/big, gpt-4o, o3)" in said
        assert at.calls("up") == at.calls("use") == []

    run(tmp_path, test)


# -- what is tried again ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [gone_at_once, proxy_alone])
def test_what_has_not_begun_is_tried_again(tmp_path: Path, fault: Any, stream: bool) -> None:
    async def test(at: Behind) -> None:
        at.answers = [fault, fault, parts("one") if stream else hello]
        async with asking(at, body=chat(stream=stream)) as answer:
            assert answer.status == 200 and await answer.content.read()
        assert len(at.asked) == 3
        at.answers, at.asked[:] = [fault], []
        async with asking(at, body=chat(stream=stream)) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
            assert "main" in (await answer.json())["error"]["message"]
        assert len(at.asked) == TRIES

    run(tmp_path, test)


def test_what_has_begun_is_not_and_says_so(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        at.answers = [parts("one", breaks=True)]
        client, _theirs = clients(at, 0)
        async with asking(at, body=chat(stream=True)) as answer:
            text = await answer.content.read()
        assert text.count(b"data: one") == 1 and b"went while it answered" in text
        async with asking(at, "/v1/messages", chat(stream=True)) as answer:
            assert b"event: error\ndata: " in await answer.content.read()
        at.answers = [parts(json.dumps({"choices": []}), breaks=True)]
        with pytest.raises(openai.APIError, match="went while it answered"):
            async for _part in await client.chat.completions.create(model=MODEL, messages=[], stream=True):
                pass
        with pytest.raises(openai.APIError, match="went while it answered"):
            async for _event in await client.responses.create(model=MODEL, input="hi", stream=True):
                pass
        assert len(at.asked) == 4

    run(tmp_path, test)


def test_a_port_of_somebody_else_gets_nothing(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        # The first look is before the connection, the second one before anything is sent.
        held = iter([None, *[(at.engine_port, 1), (at.engine_port, 2)] * 10])
        at.owner = lambda name: next(held)
        async with asking(at, body=chat()) as answer:
            assert answer.status == 503
        assert at.asked == []

    run(tmp_path, test)


def test_a_key_of_an_earlier_vm_is_fetched_again(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        async def wrong_key(request: Any) -> Any:
            at.says("main", "use", {**played_coder.serving(at.engine_port, MODEL), "waits": "go"})
            return aiohttp.web.json_response({"error": {}}, status=401)

        at.answers = [wrong_key, hello]
        asked = asyncio.ensure_future(once(at))
        while api_key_path("main").exists():
            await asyncio.sleep(0.01)
        api_key_path("main").write_text("another-key\n")
        at.release()
        assert await asked == 200
        assert [headers["Authorization"] for _path, headers, _body in at.asked] == [
            f"Bearer {ENGINE_KEY}",
            "Bearer another-key",
        ]

    run(tmp_path, test)


async def once(at: Behind, **more: Any) -> int:
    async with asking(at, body=chat(**more)) as answer:
        await answer.content.read()
        return answer.status


# -- waking ----------------------------------------------------------------------------------------------------------


def test_two_clients_wake_it_once_with_its_settings(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        at.gone("main")
        at.answers = [parts("one")]
        assert set(await asyncio.gather(once(at), once(at, stream=True), once(at))) == {200}
        assert at.calls("up") == [["up", "--lease=4h", "--yes", "--json", "--", "main"]]
        assert await once(at) == 200 and len(at.calls("up")) == 1

    run(tmp_path, test)


def test_a_stream_is_kept_alive_until_it_serves(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        at.gone("main", waits="go")
        at.answers = [parts('{"choices": []}')]
        async with asking(at, body=chat(stream=True)) as answer:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            first = await answer.content.readline()
            assert first.startswith((b": main is looked for ", b": main is being started: "))
            while not at.gateway.session("main").progress.phase:
                await asyncio.sleep(0.01)
            async with asking(at, "/status") as said:
                (row,) = (await said.json())["sessions"]
            assert (row["session"], row["state"], row["waking"]["expected_seconds"]) == ("main", "waking", 600)
            at.release()
            assert (await answer.content.read()).endswith(b'data: {"choices": []}\n\n')

    run(tmp_path, test)


def test_the_sdks_take_what_keeps_them_alive(tmp_path: Path) -> None:
    message = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "usage": {}}
    events = [f"{json.dumps({'type': 'message_start', 'message': message})}", json.dumps({"type": "message_stop"})]

    async def theirs(request: Any) -> Any:
        response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(f"event: {json.loads(event)['type']}\ndata: {event}\n\n".encode())
        return response

    async def test(at: Behind) -> None:
        at.gone("main", waits="go")
        at.answers = [theirs]
        ours, client = clients(at)
        # Comes back with the head, which is out before it serves.
        stream = await client.messages.create(
            model=MODEL, max_tokens=9, messages=[{"role": "user", "content": "hi"}], stream=True
        )
        at.release()
        assert [event.type async for event in stream] == ["message_start", "message_stop"]
        (at.place / "go").unlink()
        at.gone("main", waits="go")
        assert at.gateway is not None
        at.gateway.session("main").doubt()
        at.answers = [parts(json.dumps({"choices": [], "id": "one"}), "[DONE]")]
        chunks = await ours.chat.completions.create(model=MODEL, messages=[], stream=True)
        at.release()
        assert [chunk.id async for chunk in chunks] == ["one"]

    run(tmp_path, test)


def test_without_a_stream_it_is_told_when_to_ask_again(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        at.gone("main", waits="go")
        async with asking(at, body=chat()) as answer:
            assert (answer.status, answer.headers["x-should-retry"]) == (503, "true")
            assert 5 <= int(answer.headers["Retry-After"]) <= 60
            assert "main is " in (await answer.json())["error"]["message"]
        at.release()
        while await once(at) != 200:
            pass
        assert len(at.calls("up")) == 1

    run(tmp_path, test, patience=Patience(hold=0.3))


def test_what_up_refuses_is_shown_by_the_client(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        at.gone("main")
        at.says("main", "up", played_coder.error(3, "refused", "The month's budget of $50.00 would be passed."))
        ours, theirs = clients(at)
        for stream in (False, True):
            with pytest.raises(openai.APIStatusError, match="budget of") as said:
                await ours.chat.completions.create(model=MODEL, messages=[], stream=stream)
            assert said.value.status_code == 402
            with pytest.raises(anthropic.APIStatusError, match="budget of"):
                await theirs.messages.create(
                    model=MODEL, max_tokens=9, messages=[{"role": "user", "content": "hi"}], stream=stream
                )
        # Nobody tried again.
        assert len(at.calls("up")) == 4 and at.asked == []

    run(tmp_path, test)


def test_who_asks_again_at_once_is_told_the_same_until_a_person_acts(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        at.gone("main")
        at.says("main", "up", played_coder.error(7, "capacity", "No place has capacity."))
        assert [await once(at), await once(at, stream=True)] == [503, 503] and len(at.calls("up")) == 1
        wake.taken_down("main")
        assert await once(at) == 423
        wake.came_up({"name": "main", "model": MODEL, "plan": "g2"}, {}, made=True)
        at.serves("main")
        assert await once(at) == 200

    run(tmp_path, test, same_s=1000.0)


def test_what_fails_later_ends_the_stream_with_an_error(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        at.gone("main")
        failed = played_coder.error(7, "capacity", "No place has capacity.")
        lines = [{"event": "plan", "estimate": None}, *failed["lines"]]
        at.says("main", "up", {"code": 7, "lines": lines, "waits": "go"})
        ours, _theirs = clients(at, 0)
        chunks = await ours.chat.completions.create(model=MODEL, messages=[], stream=True)
        at.release()
        with pytest.raises(openai.APIError, match="No place has capacity"):
            async for _chunk in chunks:
                pass

    run(tmp_path, test)


def test_the_limits_of_the_user_hold(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        at.gone("main")
        assert await once(at) == 200
        at.gone("main")
        assert at.gateway is not None
        at.gateway.session("main").doubt()
        async with asking(at, body=chat()) as answer:
            said = (await answer.json())["error"]
            assert (answer.status, said["code"]) == (423, "gateway_wakes") and "1 session(s) today, of 1" in said[
                "message"
            ]
        assert at.calls("up") == [["up", "--lease=24h", "--yes", "--json", "--", "main"]]

    run(tmp_path, test, limits=Limits(None, 1, "30h"))


@pytest.mark.parametrize("configured", [(), ("main",)])
def test_who_was_taken_down_stays_down(tmp_path: Path, configured: tuple[str, ...]) -> None:
    async def test(at: Behind) -> None:
        at.gone("main")
        wake.taken_down("main")
        for model in ("main", MODEL, "anything"):
            async with asking(at, body=chat(model)) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (423, "gateway_ended")
        async with asking(at, "/v1/models") as answer:
            assert (await answer.json())["data"] == []
        async with asking(at, "/status") as answer:
            (row,) = (await answer.json())["sessions"]
            assert row["state"] == "asleep" and "`linode-coder down`" in row["refused"]
        assert at.calls("up") == []

    run(tmp_path, test, configured=configured)


def test_who_is_only_configured_is_made(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        at.gone("fresh")
        assert await once(at, model="fresh") == 200
        assert at.calls("up") == [["up", "--yes", "--json", "--", "fresh"]]

    run(tmp_path, test, configured=("fresh",))


def test_another_command_that_works_on_it_is_waited_for(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        at.gone("main")
        at.says("main", "up", {**played_coder.error(10, "conflict", "Up is working on session 'main'"), "waits": "go"})
        asked = asyncio.ensure_future(once(at))
        while not at.calls("up"):
            await asyncio.sleep(0.01)
        at.serves("main")
        at.release()
        assert await asked == 200 and len(at.calls("up")) == 1

    run(tmp_path, test)


def test_a_bug_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_given: Any) -> Any:
        raise RuntimeError("boom")

    async def test(at: Behind) -> None:
        at.gone("main", waits="go")
        assert at.gateway is not None
        session = at.gateway.session("main")
        async with asking(at, body=chat(stream=True)) as answer:
            # It is kept alive, so its head is out.
            await answer.content.readline()
            monkeypatch.setattr(session, "_reach", broken)
            at.release()
            assert b"Something unexpected happened" in await answer.content.read()
        async with asking(at, body=chat()) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (500, "internal")
        assert len([line for line in at.told if "RuntimeError: boom" in line]) == 2

    run(tmp_path, test)


def test_a_gateway_that_stops_tells_who_waits(tmp_path: Path) -> None:
    async def test(at: Behind) -> None:
        at.gone("main", waits="never")
        async with asking(at, body=chat(stream=True)) as answer:
            await answer.content.readline()
            assert at.gateway is not None and at.runner is not None
            ending = asyncio.ensure_future(serve.end(at.gateway, at.runner))
            assert b"The gateway is stopping" in await answer.content.read()
            await ending
        assert any("Still billing: lc-main-1" in line for line in at.told)

    run(tmp_path, test)


def test_an_answer_that_has_begun_is_ended_with_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "GRACE_S", 0.01)

    async def test(at: Behind) -> None:
        at.answers = [parts("one", "two", meanwhile=asyncio.Event())]
        async with asking(at, body=chat(stream=True)) as answer:
            text = b""
            while b"one" not in text:
                text += await answer.content.readany()
            assert at.gateway is not None and at.runner is not None
            ending = asyncio.ensure_future(serve.end(at.gateway, at.runner))
            assert b"The gateway is stopping" in await answer.content.read()
            await ending

    run(tmp_path, test)
