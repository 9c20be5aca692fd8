# SPDX-License-Identifier: GPL-3.0-or-later
"""Streamed answers of the three APIs: requests for them, and what holds of every stream, whoever tells it.

The stand-in and the real engine are both held to it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.agents import CHATS, MESSAGES, RESPONSES, TEXTS, Body

Event = tuple[str | None, Any]
"""Its name, where the API has names, and its data; the text of `[DONE]` as it is."""

_HELLO = [{"role": "user", "content": "hi"}]
_CHAT = {"messages": _HELLO, "max_tokens": 16, "temperature": 0, "ignore_eos": True, "stream": True}
_MESSAGE = {"messages": _HELLO, "max_tokens": 16, "temperature": 0, "stream": True}
_RESPONSE = {"input": "hi", "max_output_tokens": 8, "temperature": 0, "stream": True}
_PARAMETERS = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("mode", "text", "place")},
    "required": ["mode", "text", "place"],
}
_TOOL = {"type": "function", "function": {"name": "set_mode", "parameters": _PARAMETERS}}
_USED = {"name": "set_mode", "input_schema": _PARAMETERS}
_FLAT = {"type": "function", "name": "set_mode", "parameters": _PARAMETERS}
_USAGE = {"stream_options": {"include_usage": True}}

# The name of the model is left to whoever asks.
STREAMS: dict[str, tuple[str, Body]] = {
    "a chat": (CHATS, _CHAT),
    "a chat with its usage": (CHATS, {**_CHAT, **_USAGE}),
    "a chat with usage all along": (CHATS, {**_CHAT, "stream_options": {"include_usage": True, "x": 1}}),
    "a chat of tools that are not called": (CHATS, {**_CHAT, "tools": [_TOOL]}),
    "a chat of tools that must not be called": (CHATS, {**_CHAT, "tools": [_TOOL], "tool_choice": "none"}),
    "a message": (MESSAGES, _MESSAGE),
    "a message of tools that are not called": (MESSAGES, {**_MESSAGE, "tools": [_USED]}),
    "a message of tools that must not be called": (
        MESSAGES,
        {**_MESSAGE, "tools": [_USED], "tool_choice": {"type": "none"}},
    ),
    "a message, thinking disabled": (MESSAGES, {**_MESSAGE, "thinking": {"type": "disabled"}}),
    "a response": (RESPONSES, _RESPONSE),
    "a response of tools that are not called": (RESPONSES, {**_RESPONSE, "tools": [_FLAT]}),
    "a response of tools that must not be called": (
        RESPONSES,
        {**_RESPONSE, "tools": [_FLAT], "tool_choice": "none"},
    ),
    "a response with what is echoed": (
        RESPONSES,
        {**_RESPONSE, "prompt_cache_key": "a", "safety_identifier": "b", "metadata": {"c": "d"}, "user": "e"},
    ),
}
# A call that its limit ends: requests without one. How many tokens that are is a matter of the engine.
CUT_CALLS: dict[str, tuple[str, Body]] = {
    "a chat": (
        CHATS,
        {
            **{"messages": _HELLO, "temperature": 0, "stream": True, "tools": [_TOOL]},
            "tool_choice": {"type": "function", "function": {"name": "set_mode"}},
        },
    ),
    "a chat of any tool": (
        CHATS,
        {"messages": _HELLO, "temperature": 0, "stream": True, "tools": [_TOOL], "tool_choice": "required"},
    ),
    "a message": (
        MESSAGES,
        {
            **{"messages": _HELLO, "temperature": 0, "stream": True, "tools": [_USED]},
            "tool_choice": {"type": "tool", "name": "set_mode"},
        },
    ),
    "a message of any tool": (
        MESSAGES,
        {"messages": _HELLO, "temperature": 0, "stream": True, "tools": [_USED], "tool_choice": {"type": "any"}},
    ),
    "a response": (
        RESPONSES,
        {
            **{"input": "hi", "temperature": 0, "stream": True, "tools": [_FLAT]},
            "tool_choice": {"type": "function", "name": "set_mode"},
        },
    ),
}
# Long enough for something to happen meanwhile.
LONG_STREAMS: dict[str, tuple[str, Body]] = {
    "a chat": (CHATS, {**_CHAT, "max_tokens": 3000}),
    "a completion": (
        TEXTS,
        {"prompt": "hi", "max_tokens": 3000, "temperature": 0, "ignore_eos": True, "stream": True},
    ),
    "a message": (MESSAGES, {**_MESSAGE, "max_tokens": 3000, "ignore_eos": True}),
    "a response": (RESPONSES, {**_RESPONSE, "max_output_tokens": 3000, "ignore_eos": True}),
}


def limited(path: str, body: Body, tokens: int) -> Body:
    return {**body, "max_output_tokens" if path == RESPONSES else "max_tokens": tokens}


def told(text: str) -> list[Event]:
    """Every event of a stream."""
    found: list[Event] = []
    for event in text.rstrip("\n").split("\n\n"):
        match = re.fullmatch(r"(?:event: (\S+)\n)?data: (.*)", event, re.DOTALL)
        assert match is not None, event
        name, data = match.groups()
        found.append((name, data if data == "[DONE]" else json.loads(data)))
    return found


def check_stream(path: str, text: str) -> None:
    """What holds of every stream that came to its end: its events belong together."""
    events = told(text)
    if path.partition("?")[0] == MESSAGES:
        _check_message(events)
    elif path == RESPONSES:
        _check_response(events)
    else:
        _check_chunks(events)


def _check_chunks(events: list[Event]) -> None:
    """Of a chat or of a completion."""
    *chunks, last = [data for name, data in events if name is None]
    assert (len(chunks) + 1, last) == (len(events), "[DONE]")
    assert len({(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    ended: set[int] = set()
    called: dict[tuple[int, int], str] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            assert choice["index"] not in ended
            for call in choice.get("delta", {}).get("tool_calls") or []:
                place = (choice["index"], call["index"])
                # Who is called is told once, and first.
                assert ("id" in call) == (place not in called)
                called[place] = called.get(place, "") + call["function"].get("arguments", "")
            if choice["finish_reason"] is not None:
                ended.add(choice["index"])
                if choice["finish_reason"] != "length":
                    assert all(isinstance(json.loads(arguments), dict) for arguments in called.values())
    assert ended == {choice["index"] for chunk in chunks for choice in chunk["choices"]}


def _check_message(events: list[Event]) -> None:
    assert all(name == data["type"] for name, data in events)
    kinds = [name for name, _data in events]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    assert [kinds.count(kind) for kind in ("message_start", "message_delta", "message_stop", "error")] == [1, 1, 1, 0]
    opened: int | None = None
    seen = 0
    for name, data in events[1:-2]:
        if name == "content_block_start":
            assert (opened, data["index"]) == (None, seen)
            opened, seen = seen, seen + 1
        else:
            assert name in ("content_block_delta", "content_block_stop")
            assert data["index"] == opened
            if name == "content_block_stop":
                opened = None
    assert opened is None


def _check_response(events: list[Event]) -> None:
    assert all(name == data["type"] for name, data in events)
    assert [data["sequence_number"] for _name, data in events] == list(range(len(events)))
    kinds = [name for name, _data in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    whole = events[-1][1]["response"]
    assert kinds[-1] == f"response.{whole['status']}"
    assert len({data["response"]["id"] for _name, data in events if "response" in data}) == 1
    added: list[str] = []
    done: list[Any] = []
    for name, data in events[2:-1]:
        assert data["output_index"] == len(done)
        if name == "response.output_item.added":
            assert len(added) == len(done)
            added.append(data["item"]["id"])
        elif name == "response.output_item.done":
            done.append(data["item"])
        else:
            assert data["item_id"] == added[-1]
    assert added == [item["id"] for item in done] == [item["id"] for item in whole["output"]]
