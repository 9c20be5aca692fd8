"""Anthropic's API, as vLLM speaks it: one message in blocks, whole or as a stream."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from ..json_types import Json
from .answers import Reply, identifier, new_in_cache
from .client import EngineDeadError


def blocks(reply: Reply) -> list[Json]:
    found: list[Json] = []
    if reply.reasoning():
        found.append({"type": "thinking", "thinking": reply.reasoning(), "signature": uuid.uuid4().hex})
    if reply.content():
        found.append({"type": "text", "text": reply.content()})
    if reply.call is not None:
        tool, arguments = reply.call
        found.append({"type": "tool_use", "id": identifier("chatcmpl-tool"), "name": tool.name, "input": arguments})
    return found


def why_it_ended(reply: Reply) -> Json:
    """`stop_reason` and `stop_sequence`."""
    if reply.call is not None:
        return {"stop_reason": "tool_use", "stop_sequence": None}
    if reply.stop is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": reply.stop}
    return {"stop_reason": {"stop": "end_turn", "length": "max_tokens"}[reply.reason], "stop_sequence": None}


def usage(reply: Reply, prompt: int) -> Json:
    """Here what the cache had, or got, is no part of the input."""
    counts: Json = {"input_tokens": prompt, "output_tokens": len(reply.pieces)}
    if reply.cached is None:
        return counts
    new = new_in_cache(prompt, reply.cached)
    left = max(0, prompt - reply.cached - new)
    return {**counts, "input_tokens": left, "cache_creation_input_tokens": new, "cache_read_input_tokens": reply.cached}


def message(name: str, model: str, reply: Reply, prompt: int) -> Json:
    ended = {key: value for key, value in why_it_ended(reply).items() if value is not None}
    return {
        "id": name,
        "type": "message",
        "role": "assistant",
        "content": blocks(reply),
        "model": model,
        **ended,
        "usage": usage(reply, prompt),
    }


def events(name: str, model: str, reply: Reply, prompt: int, tokens: Iterator[int]) -> Iterator[Json]:
    """The stream, each event as its tokens come: `tokens` says how many there are so far."""
    start: Json = {
        "id": name,
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": model,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": prompt, "output_tokens": 0},
    }
    yield {"type": "message_start", "message": start}
    index, open_as, sent = 0, None, 0

    def closed() -> Iterator[Json]:
        if open_as == "thinking":
            signature = {"type": "signature_delta", "signature": uuid.uuid4().hex}
            yield {"type": "content_block_delta", "delta": signature, "index": index}
        if open_as is not None:
            yield {"type": "content_block_stop", "index": index}

    try:
        for seen in tokens:
            for kind, text in (
                ("thinking", reply.reasoning(seen)[len(reply.reasoning(sent)) :]),
                ("text", reply.content(seen)[len(reply.content(sent)) :]),
            ):
                if not text:
                    continue
                if open_as != kind:
                    yield from closed()
                    index += open_as is not None
                    open_as = kind
                    yield {"type": "content_block_start", "content_block": {"type": kind, kind: ""}, "index": index}
                yield {"type": "content_block_delta", "delta": {"type": f"{kind}_delta", kind: text}, "index": index}
            sent = seen
    except EngineDeadError:
        yield from closed()
        raise
    yield from closed()
    index += open_as is not None
    if reply.begun is not None:
        tool, pieces = reply.begun
        block = {"type": "tool_use", "id": identifier("chatcmpl-tool"), "name": tool.name, "input": {}}
        yield {"type": "content_block_start", "content_block": block, "index": index}
        for piece in pieces:
            delta = {"type": "input_json_delta", "partial_json": piece}
            yield {"type": "content_block_delta", "delta": delta, "index": index}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": why_it_ended(reply), "usage": usage(reply, prompt)}
    yield {"type": "message_stop"}
