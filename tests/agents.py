# SPDX-License-Identifier: GPL-3.0-or-later
"""What coding agents send, and what engines make of it: requests of the shapes that were recorded of the clients, with words of
our own, and requests that vLLM refuses. The stand-in and the real engine are both held to it.

Recorded in November 2026 of @openai/codex 0.171.0, @anthropic-ai/claude-code 2.1.332, opencode-ai 1.18.33, @continuedev/cli
1.5.47, @qwen-code/qwen-code 0.24.4, cline 3.0.65, aider-chat 0.86.2 and llm 0.36, and of open-webui 0.12.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CHATS, TEXTS, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"
Body = dict[str, Any]


@dataclass(frozen=True)
class Request:
    path: str
    body: Body | None
    method: str = "POST"
    status: int = 200


_SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
_SYSTEM = {"role": "system", "content": "You write code."}
_HELLO = {"role": "user", "content": "say hello"}
_TOOL = {"type": "function", "function": {"name": "bash", "description": "Run it.", "parameters": _SCHEMA}}
_BARE = {"type": "function", "function": {"name": "list", "description": "List them."}}
_CALL = {"id": "call-1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
_RESULT = {"role": "tool", "tool_call_id": "call-1", "content": "README.md"}
_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


def _text(text: str, *, cached: bool = False) -> Body:
    return {"type": "text", "text": text, **({"cache_control": {"type": "ephemeral"}} if cached else {})}


def _chat(*messages: Body, **more: Any) -> Request:
    return Request(CHATS, {"messages": list(messages), **more})


def _codex(tools: list[Body], **more: Any) -> Request:
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "say hello"}]}
    rules = {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You write code."}]}
    body = {
        "client_metadata": {"session_id": "1", "turn_id": "1"},
        "include": ["reasoning.encrypted_content"],
        "input": [rules, said],
        "prompt_cache_key": "1",
        "reasoning": {"summary": "auto"},
        "store": False,
        "stream": True,
        "tool_choice": "auto",
        "tools": tools,
    }
    return Request(RESPONSES, body | more)


def _claude(*messages: Body, **more: Any) -> Request:
    body = {
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "max_tokens": 2000,
        "messages": list(messages),
        "metadata": {"user_id": "1"},
        "output_config": {"effort": "high"},
        "stream": True,
        "system": [_text("You write code."), _text("Be brief.", cached=True)],
        "thinking": {"type": "adaptive", "display": "omitted"},
        "tools": [
            {"name": "Bash", "description": "Run it.", "input_schema": _SCHEMA},
            {"name": "Web", "description": "Fetch it.", "input_schema": {"type": "object"}, "defer_loading": True},
        ],
    }
    return Request(f"{MESSAGES}?beta=true", body | more)


_ASKED = {"role": "user", "content": [_text("say hello")]}
_THOUGHT = {
    "role": "assistant",
    "content": [
        {"type": "thinking", "thinking": "It wants a list.", "signature": "1"},
        {"type": "tool_use", "id": "call-1", "name": "Bash", "input": {"command": "ls"}},
    ],
}


def _result(content: Any, **more: Any) -> Body:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call-1", "content": content, **more}]}


_CALLED = {"role": "assistant", "content": "", "tool_calls": [_CALL]}
_NAMESPACE = {
    "type": "namespace",
    "name": "files",
    "description": "Files.",
    "tools": [{"type": "function", "name": "read", "description": "Read it.", "parameters": _SCHEMA, "strict": False}],
}
_FLAT = {"type": "function", "name": "shell", "description": "Run it.", "parameters": _SCHEMA, "strict": False}
_SEARCH = {"type": "web_search", "external_web_access": True}

AGENTS: dict[str, Request] = {
    # Without tools of its own, which the role turns off; what follows each first answer is asked at once.
    "open-webui": _chat(_HELLO, **_USAGE),
    "open-webui, by its API": _chat(_HELLO),
    "open-webui, for follow-ups": _chat(_HELLO, stream=False),
    "open-webui, for a title": _chat(_HELLO, stream=False, max_tokens=1000),
    "codex": _codex([_FLAT, _NAMESPACE, _SEARCH], parallel_tool_calls=True),
    "codex, without tools": _codex([], parallel_tool_calls=False),
    "claude": _claude(_ASKED, {"role": "system", "content": [_text("A reminder.", cached=True)]}),
    "claude, after a tool": _claude(
        _ASKED, {"role": "system", "content": "A reminder."}, _THOUGHT, _result([_text("README.md")])
    ),
    "claude, after a tool that failed": _claude(_ASKED, _THOUGHT, _result("no such file", is_error=True)),
    "claude, with a reminder after a tool": _claude(
        _ASKED,
        _THOUGHT,
        _result([_text("README.md")]),
        {"role": "system", "content": [_text("A reminder.", cached=True)]},
    ),
    "claude, with a budget": _claude(
        {"role": "user", "content": [_text("A reminder."), _text("say hello", cached=True)]},
        thinking={"type": "enabled", "budget_tokens": 1999, "display": "omitted"},
        tools=[],
    ),
    "claude, counting": Request(f"{MESSAGES}/count_tokens?beta=true", {"messages": [_HELLO], "tools": []}),
    "claude, counting tools": Request(
        f"{MESSAGES}/count_tokens?beta=true",
        {"messages": [_HELLO], "tools": [{"name": "Bash", "description": "Run it.", "input_schema": _SCHEMA}]},
    ),
    "claude, by another name": Request(
        f"{MESSAGES}?beta=true", {"model": "claude-sonnet-4-5", "max_tokens": 16, "messages": [_ASKED]}, status=404
    ),
    "claude, whether somebody lives": Request("/api/hello", None, "HEAD", status=404),
    "opencode": _chat(_SYSTEM, _HELLO, **_USAGE, max_tokens=1000, tools=[_TOOL], tool_choice="auto"),
    "opencode, for a title": _chat(_SYSTEM, _HELLO, **_USAGE, max_tokens=1000),
    "opencode, after a tool": _chat(
        *(_SYSTEM, _HELLO, {**_CALLED, "reasoning_content": "It wants a list."}, _RESULT),
        **{**_USAGE, "max_tokens": 1000, "tools": [_TOOL], "tool_choice": "auto"},
    ),
    "continue": _chat(_SYSTEM, _HELLO, **_USAGE, max_tokens=1000, tools=[_TOOL]),
    "continue, after a tool": _chat(_SYSTEM, _HELLO, _CALLED, _RESULT, **_USAGE, max_tokens=1000, tools=[_TOOL]),
    # By its documentation: its command line has no editor in which somebody types.
    "continue, filling in": Request(
        TEXTS,
        {
            "prompt": "<|fim_prefix|>def twice(n):\n    return <|fim_suffix|>\n\n\nprint(twice(2))\n<|fim_middle|>",
            "max_tokens": 64,
            "stop": ["/src/", "#- coding: utf-8", "```", "\n\n\n"],
            "stream": True,
        },
    ),
    "qwen": _chat(_SYSTEM, {**_HELLO, "content": [_text("hi")]}, **_USAGE, max_tokens=1000, tools=[_TOOL, _BARE]),
    "qwen, after a tool": _chat(
        *(_SYSTEM, {**_HELLO, "content": [_text("hi")]}, {**_CALLED, "reasoning_content": "It wants a list."}),
        {**_RESULT, "content": [_text("README.md")]},
        **{**_USAGE, "max_tokens": 1000, "tools": [_TOOL, _BARE]},
    ),
    "cline": _chat(_SYSTEM, _HELLO, **_USAGE, tools=[_TOOL], tool_choice="auto"),
    "cline, after a tool": _chat(
        *(_SYSTEM, _HELLO, {**_CALLED, "content": None, "reasoning_content": "It wants a list."}, _RESULT),
        **{**_USAGE, "tools": [_TOOL], "tool_choice": "auto"},
    ),
    "aider": _chat(_SYSTEM, _HELLO, {"role": "assistant", "content": "Ok."}, _HELLO, stream=True, temperature=0),
    "aider, for a commit message": _chat(_SYSTEM, _HELLO, temperature=0),
    "llm": _chat(_HELLO, **_USAGE),
}

_HI = {"max_tokens": 4, "messages": [{"role": "user", "content": "hi"}]}
_SHORT = {"max_output_tokens": 4, "input": "hi"}
_FIVE = ["a", "b", "c", "d", "e"]
_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAG0lEQVR42u3BgQAAAADDoPlT3+AEVQEAAAB8AxBAAAG9PLePAAAAAElFTkSuQmCC"
)
_URL = f"data:image/png;base64,{_PNG}"
_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PNG}}
_FILE = {"file_data": "x", "filename": "a"}
_GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": 'start: "a"'}


def _saying(*content: Body) -> list[Body]:
    return [{"role": "user", "content": list(content)}]


# The model's name is left to whoever asks.
UNTAKEN: dict[str, Request] = {
    "an image in a chat": Request(
        CHATS, {**_HI, "messages": _saying({"type": "image_url", "image_url": {"url": _URL}})}
    ),
    "an image in a message": Request(MESSAGES, {**_HI, "messages": _saying(_IMAGE)}),
    "an image to count": Request(f"{MESSAGES}/count_tokens", {"messages": _saying(_IMAGE)}),
    "an image in a response": Request(
        RESPONSES, {**_SHORT, "input": _saying({"type": "input_image", "image_url": _URL})}
    ),
    "a file in a chat": Request(CHATS, {**_HI, "messages": _saying({"type": "file", "file": _FILE})}),
    "a file in a response": Request(RESPONSES, {**_SHORT, "input": _saying({"type": "input_file", **_FILE})}),
    "a document": Request(MESSAGES, {**_HI, "messages": _saying({"type": "document", "source": {"type": "text"}})}),
    "a suffix": Request(TEXTS, {"prompt": "a", "suffix": "b", "max_tokens": 2}),
    "five stops of a chat": Request(CHATS, {**_HI, "stop": _FIVE}),
    "five stops of a completion": Request(TEXTS, {"prompt": "a", "stop": _FIVE, "max_tokens": 2}),
    "five stops of a message": Request(MESSAGES, {**_HI, "stop_sequences": _FIVE}),
    "five stops of a response": Request(RESPONSES, {**_SHORT, "stop": _FIVE}),
    "no role in a chat": Request(CHATS, {**_HI, "messages": [{"content": "hi"}]}),
    "no role later in a chat": Request(CHATS, {**_HI, "messages": [_HELLO, {"content": "hi", "name": "x"}]}),
    "nothing in a chat's message": Request(CHATS, {**_HI, "messages": [{}]}),
    "no role in a message": Request(MESSAGES, {**_HI, "messages": [{"content": "hi"}]}),
    "no content in a message": Request(MESSAGES, {**_HI, "messages": [{"role": "user"}]}),
    "a developer's message": Request(MESSAGES, {**_HI, "messages": [{"role": "developer", "content": "hi"}]}),
    "a grammar": Request(RESPONSES, {**_SHORT, "tools": [{"type": "custom", "name": "p", "format": _GRAMMAR}]}),
    "in the background": Request(RESPONSES, {**_SHORT, "background": True}),
    "encrypted reasoning": Request(
        RESPONSES,
        {**_SHORT, "input": [{"type": "reasoning", "id": "a", "summary": [], "encrypted_content": "x"}, _HELLO]},
    ),
    "no input": Request(RESPONSES, {**_SHORT, "input": []}),
    "a response that is not kept": Request(RESPONSES, {**_SHORT, "previous_response_id": "resp_x"}, status=404),
    "a response to be read": Request(f"{RESPONSES}/resp_x", None, "GET", status=404),
    "a response to be cancelled": Request(f"{RESPONSES}/resp_x/cancel", {}, status=404),
    "a response's tokens": Request(f"{RESPONSES}/input_tokens", _SHORT, status=405),
    "a search by the server": Request(
        MESSAGES, {**_HI, "tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    ),
    "a use of the server's tool": Request(
        MESSAGES,
        {
            **_HI,
            "messages": [
                _HELLO,
                {
                    "role": "assistant",
                    "content": [{"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}}],
                },
            ],
        },
    ),
    "a budget of all": Request(
        MESSAGES, {**_HI, "max_tokens": 1024, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    ),
    "a budget without a parser": Request(
        MESSAGES, {**_HI, "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    ),
    "a budget of nothing": Request(
        MESSAGES, {**_HI, "max_tokens": 1024, "thinking": {"type": "enabled", "budget_tokens": 10}}
    ),
    "no tools in a chat": Request(CHATS, {**_HI, "tools": []}),
    "another kind of tool in a chat": Request(CHATS, {**_HI, "tools": [{"type": "local_shell"}]}),
    "a nameless tool in a chat": Request(CHATS, {**_HI, "tools": [{"type": "function", "function": {}}]}),
    "a nameless tool in a message": Request(MESSAGES, {**_HI, "tools": [{"type": "custom", "input_schema": {}}]}),
    "another tool in a message": Request(
        MESSAGES,
        {**_HI, "tools": [{"name": "a", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "b"}},
    ),
    "top probabilities without any": Request(CHATS, {**_HI, "top_logprobs": 2}),
    "too many probabilities": Request(CHATS, {**_HI, "logprobs": True, "top_logprobs": 50}),
    "too many probabilities of a completion": Request(TEXTS, {"prompt": "a", "max_tokens": 2, "logprobs": 50}),
    "a schema without one": Request(CHATS, {**_HI, "response_format": {"type": "json_schema"}}),
    "options": Request(CHATS, None, "OPTIONS", status=405),
    "a deletion": Request("/v1/models", None, "DELETE", status=405),
}


def sent(request: Request, model: str) -> Body | None:
    """The body, with the name of the model where it has none. A path of another kind takes none."""
    if request.body is None:
        return None
    return {"model": model, **request.body}


def status_of(request: Request) -> int:
    """Of a request that is refused: 400 where nothing else is said."""
    return 400 if request.status == 200 else request.status
