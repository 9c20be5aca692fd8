"""What the stand-in says: words instead of a model's, in the shapes of vLLM 0.32's answers."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field

from ..json_types import Json

FINGERPRINT = "vllm-0.32.0-sandbox"


def tokens_of(text: str) -> int:
    """Four characters a token, as is usual for code and English."""
    return max(1, len(text) // 4)


def text_of(content: str | list[Json] | None) -> str:
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text", "")) for part in content or [])


@dataclass
class Reply:
    """`pieces` are the tokens; the first `thought` of them are reasoning."""

    pieces: list[str]
    reason: str
    thought: int = 0
    tool: Json | None = None
    named: bool = False  # the client said which tool to call

    def reasoning(self, count: int | None = None) -> str:
        return "".join(self.pieces[: min(self.thought, len(self.pieces) if count is None else count)])

    def content(self, count: int | None = None) -> str:
        return "".join(self.pieces[self.thought : count])


@dataclass
class Ask:
    """One request, whatever the endpoint."""

    prompt: str
    last: str
    limit: int | None
    tools: list[Json] = field(default_factory=list)
    named: bool = False
    think: bool = False
    at_least: int = 0
    after_tool: bool = False
    gibberish: bool = False


def compose(ask: Ask, room: int) -> Reply:
    """The whole answer. `room` is what the context has left; a length beyond what there is to say repeats it."""
    limit = min(ask.limit or room, room)
    if ask.gibberish:
        words = ["!"] * limit
    else:
        words = f"This is the linode_coder sandbox, not a model. You wrote: {ask.last.strip()[:400]}".split(" ")
        words = [word if index == 0 else " " + word for index, word in enumerate(words)]
    thought = ["The", " user", " wants", " an", " answer", "."] if ask.think else []
    tool = None
    if ask.tools and not ask.after_tool:
        tool, words = _call(ask.tools[0]), []
        thought += [""] * 8  # tokens that the parser takes for the call
    pieces = thought + words
    while len(pieces) < min(ask.at_least, limit):
        pieces += words or [" ..."]
    reason = "length" if len(pieces) > limit or ask.at_least >= limit else "stop"
    pieces = pieces[:limit]
    if tool is not None and reason == "length":
        tool = None
    return Reply(pieces, reason, len(thought), tool, ask.named)


def _call(tool: Json) -> Json:
    """A call of this tool with something for each argument that it requires."""
    function: Json = dict(tool.get("function") or tool)
    schema: Json = dict(function.get("parameters") or function.get("input_schema") or {})
    properties: Json = dict(schema.get("properties") or {})
    required = list(schema.get("required") or properties)
    return {"name": function["name"], "arguments": {name: _example(properties.get(name)) for name in required}}


def _example(schema: object) -> object:
    kind = schema.get("type") if isinstance(schema, dict) else "string"
    if isinstance(schema, dict) and schema.get("enum"):
        return schema["enum"][0]
    return {"integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}, "null": None}.get(
        str(kind), "sandbox"
    )


def identifier(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:16]}"


def usage(prompt: int, completion: int, *, details: bool = True) -> Json:
    counts: Json = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
    return {**counts, "prompt_tokens_details": None, "completion_tokens_details": None} if details else counts


def model_card(name: str, root: str, context: int) -> Json:
    created = int(time.time())
    permission = {
        "id": identifier("modelperm"),
        "object": "model_permission",
        "created": created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": root,
        "parent": None,
        "max_model_len": context,
        "permission": [permission],
    }


def chat_completion(model: str, reply: Reply, prompt: int) -> Json:
    message: Json = {
        "role": "assistant",
        "content": reply.content() or (None if reply.reasoning() else ""),
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "reasoning": reply.reasoning() or None,
    }
    reason = reply.reason
    if reply.tool is not None:
        message["tool_calls"], reason = [tool_call(reply.tool)], reason_of_call(reply)
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": reason,
        "stop_reason": None,
        "token_ids": None,
        "routed_experts": None,
    }
    return {
        "id": identifier("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": usage(prompt, len(reply.pieces)),
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "prompt_text": None,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def tool_call(tool: Json) -> Json:
    function = {"name": tool["name"], "arguments": json.dumps(tool["arguments"])}
    return {"id": identifier("chatcmpl-tool"), "type": "function", "function": function}


def tool_call_parts(tool: Json) -> list[Json]:
    """The call in a stream: its name first, then its arguments."""
    whole = tool_call(tool)
    head = {"id": whole["id"], "type": "function", "index": 0, "function": {"name": tool["name"]}}
    arguments = json.dumps(tool["arguments"])
    pieces = [arguments[at : at + 8] for at in range(0, len(arguments), 8)]
    return [head, *({"index": 0, "function": {"arguments": piece}} for piece in pieces)]


def reason_of_call(reply: Reply) -> str:
    """vLLM has another one for a call that the client named."""
    return "stop" if reply.named else "tool_calls"


def text_completion(model: str, reply: Reply, prompt: int) -> Json:
    choice = {
        "index": 0,
        "text": "".join(reply.pieces),
        "logprobs": None,
        "finish_reason": reply.reason,
        "stop_reason": None,
        "token_ids": None,
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "routed_experts": None,
    }
    return {
        "id": identifier("cmpl"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": usage(prompt, len(reply.pieces)),
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def anthropic_blocks(reply: Reply) -> list[Json]:
    blocks: list[Json] = []
    if reply.reasoning():
        blocks.append({"type": "thinking", "thinking": reply.reasoning(), "signature": uuid.uuid4().hex})
    if reply.content():
        blocks.append({"type": "text", "text": reply.content()})
    if reply.tool is not None:
        name, arguments = reply.tool["name"], reply.tool["arguments"]
        blocks.append({"type": "tool_use", "id": identifier("chatcmpl-tool"), "name": name, "input": arguments})
    return blocks


def anthropic_reason(reply: Reply) -> str:
    return "tool_use" if reply.tool else {"stop": "end_turn", "length": "max_tokens"}[reply.reason]


def response(model: str, reply: Reply | None, prompt: int, limit: int | None, name: str, message: str) -> Json:
    """The object of /v1/responses; `reply` None is the one that is still in progress."""
    output: list[Json] = []
    counts: Json | None = None
    if reply is not None:
        part: Json = {"annotations": [], "text": reply.content(), "type": "output_text", "logprobs": None}
        kind: Json = {
            "id": message,
            "content": [part],
            "role": "assistant",
            "status": "completed",
            "type": "message",
            "phase": None,
        }
        output = [kind]
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
                "reasoning_tokens": reply.thought,
                "tool_output_tokens": 0,
                "output_tokens_per_turn": [],
                "tool_output_tokens_per_turn": [],
            },
            "total_tokens": prompt + len(reply.pieces),
        }
    cut = reply is not None and reply.reason == "length"
    empty = ("instructions", "metadata", "max_tool_calls", "previous_response_id", "prompt", "reasoning", "text")
    return {
        "id": name,
        "created_at": int(time.time()),
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "model": model,
        "object": "response",
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "none",
        "tools": [],
        "top_p": 1.0,
        "background": False,
        "max_output_tokens": limit,
        "service_tier": "auto",
        "status": "in_progress" if reply is None else "incomplete" if cut else "completed",
        "truncation": "disabled",
        "usage": counts,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        **dict.fromkeys(empty),
        **dict.fromkeys(
            ("top_logprobs", "user", "kv_transfer_params", "ec_transfer_params", "input_messages", "output_messages")
        ),
    }
