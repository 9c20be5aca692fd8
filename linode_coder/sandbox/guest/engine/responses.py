"""The Responses API, as vLLM speaks it: items of reasoning, text and calls, whole or as a stream."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from ..json_types import Json
from .answers import Reply, identifier
from .conversation import Tool

_FUNCTION = ("name", "parameters", "strict", "type", "allowed_callers", "async", "defer_loading", "description")
# What is told of each kind of tool, with null for what the client left out.
_TOLD = {
    "function": (*_FUNCTION, "output_schema"),
    "custom": ("name", "type", "allowed_callers", "async", "defer_loading", "description", "format"),
    "web_search": ("type", "external_web_access", "filters", "search_context_size", "user_location"),
}


_REASONING = ("context", "effort", "generate_summary", "mode", "summary")


def _told(tool: Json) -> Json:
    told = {**dict.fromkeys(_TOLD.get(str(tool.get("type")), ())), **tool}
    if tool.get("type") == "namespace":
        told["tools"] = [_told(inner) for inner in tool.get("tools") or []]
    return told


def name_for(kind: str) -> str:
    return identifier(kind).replace("-", "_")


def _reasoning(name: str, text: str | None, status: str | None) -> Json:
    content = None if text is None else [{"text": text, "type": "reasoning_text"}]
    return {
        "id": name,
        "summary": [],
        "type": "reasoning",
        "content": content,
        "encrypted_content": None,
        "status": status,
    }


def _message(name: str, text: str | None, status: str) -> Json:
    part: Json = {"annotations": [], "text": text, "type": "output_text", "logprobs": None}
    content = [] if text is None else [part]
    return {"id": name, "content": content, "role": "assistant", "status": status, "type": "message", "phase": None}


def _call(name: str, call_id: str, tool: Tool, arguments: str, status: str) -> Json:
    return {
        "arguments": arguments,
        "call_id": call_id,
        "name": tool.own,
        "type": "function_call",
        "id": name,
        "async": None,
        "caller": None,
        "namespace": tool.namespace,
        "status": status,
    }


def items(reply: Reply) -> list[Json]:
    """The whole output."""
    found: list[Json] = []
    if reply.reasoning():
        found.append(_reasoning(name_for("rs"), reply.reasoning(), None))
    if reply.content():
        found.append(_message(name_for("msg"), reply.content(), status_of(reply)))
    if reply.call is not None:
        tool, arguments = reply.call
        call_id = identifier("chatcmpl-tool")
        found.append(_call(name_for("fc"), call_id, tool, json.dumps(arguments), "completed"))
    return found


def status_of(reply: Reply) -> str:
    return "incomplete" if reply.reason == "length" else "completed"


def response(
    body: Json, model: str, reply: Reply | None, prompt: int, limit: int, name: str, output: list[Json]
) -> Json:
    """The object of /v1/responses; `reply` None is the one that is still in progress."""
    counts: Json | None = None
    if reply is not None:
        counts = {
            "input_tokens": prompt,
            "input_tokens_details": {
                "cached_tokens": 0,
                "cache_write_tokens": 0,
                "input_tokens_per_turn": [],
                "cached_tokens_per_turn": [],
            },
            "output_tokens": len(reply.pieces),
            "output_tokens_details": {
                "reasoning_tokens": min(reply.thought, len(reply.pieces)) if reply.reasoning() else 0,
                "tool_output_tokens": 0,
                "output_tokens_per_turn": [],
                "tool_output_tokens_per_turn": [],
            },
            "total_tokens": prompt + len(reply.pieces),
        }
    status = "in_progress" if reply is None else status_of(reply)
    tools = [_told(tool) for tool in body.get("tools") or []]
    given = {
        key: body.get(key)
        for key in (
            *("instructions", "metadata", "max_tool_calls", "previous_response_id", "prompt", "reasoning", "text"),
            *("user", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier"),
        )
    }
    if given["reasoning"] is not None:
        given["reasoning"] = {**dict.fromkeys(_REASONING), **given["reasoning"]}
    empty = ("top_logprobs", "kv_transfer_params", "ec_transfer_params", "input_messages", "output_messages")
    return {
        "id": name,
        "created_at": int(time.time()),
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "model": model,
        "object": "response",
        "output": output,
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "temperature": 1.0 if body.get("temperature") is None else float(body["temperature"]),
        "tool_choice": body.get("tool_choice") or ("auto" if tools else "none"),
        "tools": tools,
        "top_p": 1.0 if body.get("top_p") is None else float(body["top_p"]),
        "background": False,
        "max_output_tokens": limit,
        "service_tier": "auto",
        "status": status,
        "truncation": "disabled",
        "usage": counts,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        **given,
        **dict.fromkeys(empty),
    }


class Stream:
    """The events of one answer; `output` are the items that are complete."""

    def __init__(self) -> None:
        self.output: list[Json] = []
        self._number = 0

    def event(self, kind: str, **data: object) -> Json:
        self._number += 1
        return {**data, "sequence_number": self._number - 1, "type": f"response.{kind}"}

    def events(self, reply: Reply, tokens: Iterator[int]) -> Iterator[Json]:
        """Of the items, as their tokens come: `tokens` says how many there are so far."""
        sent, open_as, name = 0, None, ""
        for seen in tokens:
            for kind, text in (
                ("reasoning", reply.reasoning(seen)[len(reply.reasoning(sent)) :]),
                ("output", reply.content(seen)[len(reply.content(sent)) :]),
            ):
                if not text:
                    continue
                if open_as != kind:
                    if open_as is not None:
                        yield from self._closed(open_as, name, reply, "completed")
                    open_as, name = kind, name_for("rs" if kind == "reasoning" else "msg")
                    yield from self._opened(kind, name)
                logprobs: Json = {} if kind == "reasoning" else {"logprobs": []}
                yield self.event(f"{kind}_text.delta", **self._place(name), delta=text, **logprobs)
            sent = seen
        if open_as is not None:
            # Only what was going on at the end can be unfinished.
            yield from self._closed(open_as, name, reply, "completed" if reply.begun else status_of(reply))
        if reply.begun is not None:
            yield from self._called(*reply.begun, status_of(reply))

    def _place(self, name: str) -> Json:
        return {"content_index": 0, "item_id": name, "output_index": len(self.output)}

    def _opened(self, kind: str, name: str) -> Iterator[Json]:
        if kind == "reasoning":
            item = _reasoning(name, None, "in_progress")
            part: Json = {"text": "", "type": "reasoning_text"}
        else:
            item = _message(name, None, "in_progress")
            part = {"annotations": [], "text": "", "type": "output_text", "logprobs": []}
        yield self.event("output_item.added", item=item, output_index=len(self.output))
        yield self.event("content_part.added", **self._place(name), part=part)

    def _closed(self, kind: str, name: str, reply: Reply, status: str) -> Iterator[Json]:
        if kind == "reasoning":
            item = _reasoning(name, reply.reasoning(), status)
            yield self.event("reasoning_text.done", **self._place(name), text=reply.reasoning())
        else:
            item = _message(name, reply.content(), status)
            yield self.event("output_text.done", **self._place(name), logprobs=[], text=reply.content())
        yield self.event("content_part.done", **self._place(name), part=item["content"][0])
        yield self.event("output_item.done", item=item, output_index=len(self.output))
        self.output.append(item)

    def _called(self, tool: Tool, pieces: list[str], status: str) -> Iterator[Json]:
        name, call_id, text = name_for("fc"), identifier("chatcmpl-tool"), "".join(pieces)
        where = {"item_id": name, "output_index": len(self.output)}
        item = _call(name, call_id, tool, "", "in_progress")
        yield self.event("output_item.added", item=item, output_index=len(self.output))
        for piece in pieces:
            yield self.event("function_call_arguments.delta", **where, delta=piece)
        yield self.event("function_call_arguments.done", **where, arguments=text, name=tool.own)
        item = _call(name, call_id, tool, text, status)
        yield self.event("output_item.done", item=item, output_index=len(self.output))
        self.output.append(item)
