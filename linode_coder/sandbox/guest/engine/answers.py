"""What the stand-in says: words instead of a model's, in the shapes of vLLM 0.33's answers."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field

from ..json_types import Json
from .conversation import Tool

BLOCK = 16  # tokens that are cached together
VERSION = "0.33.0"
FINGERPRINT = f"vllm-{VERSION}-sandbox"
# Nothing of what was asked: an agent might take it for an edit or for a command.
# Tokens that the parser takes for a call, before its arguments.
_CALL = 8
_WORDS = (
    "This is the linode_coder sandbox, not a model: whatever is asked, these words are the answer, and nothing is done."
)


def tokens_of(text: str) -> int:
    """Four characters a token, as is usual for code and English."""
    return max(1, len(text) // 4)


@dataclass
class Reply:
    """`pieces` are the tokens; the first `thought` of them are reasoning. `stop` is the string that ended it."""

    pieces: list[str]
    reason: str
    thought: int = 0
    call: tuple[Tool, Json] | None = None
    begun: tuple[Tool, list[str]] | None = None  # the same call, or one that the limit cut, as a stream tells it
    named: bool = False  # the client said which tool to call
    stop: str | None = None
    copies: int = 1  # how many answers there are, all the same
    top: int | None = None  # how many tokens have their probabilities told, with those that were generated
    cached: int | None = None  # tokens of the prompt that the cache had, where that is told

    def reasoning(self, count: int | None = None) -> str:
        return "".join(self.pieces[: min(self.thought, len(self.pieces) if count is None else count)])

    def content(self, count: int | None = None) -> str:
        return "".join(self.pieces[self.thought : count])


@dataclass
class Ask:
    """One request, whatever the endpoint."""

    prompt: str
    limit: int | None
    call: tuple[Tool, Json] | None = None
    named: bool = False
    think: bool = False
    at_least: int = 0
    gibberish: bool = False
    stop: list[str] = field(default_factory=list)
    form: str | None = None  # what the client's schema makes it say
    copies: int = 1
    top: int | None = None


def compose(ask: Ask, room: int) -> Reply:
    """The whole answer. `room` is what the context has left; a length beyond what there is to say repeats it."""
    limit = min(ask.limit or room, room)
    if ask.gibberish:
        words = ["!"] * limit
    else:
        words = _pieces(ask.form or _WORDS)
    thought = ["The", " user", " wants", " an", " answer", "."] if ask.think else []
    call = ask.call
    if call is not None:
        words = []
        arguments = argument_pieces(call[1])
        whole = len(thought) + _CALL
        thought += [""] * (_CALL + len(arguments))
    pieces = thought + words
    while len(pieces) < min(ask.at_least, limit):
        pieces += words or [" ..."]
    reason = "length" if len(pieces) > limit or ask.at_least >= limit else "stop"
    pieces = pieces[:limit]
    begun = None
    if call is not None and limit > whole:
        begun = call[0], arguments[: limit - whole]
    if reason == "length":
        call = None
    reply = Reply(pieces, reason, len(thought), call, begun, ask.named, copies=ask.copies, top=ask.top)
    return _stopped(reply, ask.stop)


def _pieces(text: str) -> list[str]:
    return [word if index == 0 else " " + word for index, word in enumerate(text.split(" "))]


def _stopped(reply: Reply, stops: list[str]) -> Reply:
    """Without the first of the strings that end an answer, and what comes after it."""
    text = reply.content()
    found = min(((at, stop) for stop in stops if (at := text.find(stop)) >= 0), default=None)
    if found is None or reply.call is not None:
        return reply
    at, reply.stop = found
    kept: list[str] = []
    for piece in reply.pieces[reply.thought :]:
        left = at - sum(map(len, kept))
        if left <= 0:
            break
        kept.append(piece[:left])
    # The token that completed the string was generated as well.
    reply.pieces = [*reply.pieces[: reply.thought], *kept, ""]
    reply.reason = "stop"
    return reply


_LOGPROB = -0.5  # of every token: none was likelier than another


def chat_logprobs(pieces: list[str], top: int | None) -> Json | None:
    """Of these tokens; None where nobody asked. `top` counts those that are told beside each."""
    if top is None:
        return None
    told = [{"token": piece, "logprob": _LOGPROB, "bytes": list(piece.encode())} for piece in pieces]
    return {"content": [{**token, "top_logprobs": [token] * top} for token in told]}


def text_logprobs(pieces: list[str], top: int | None) -> Json | None:
    """The same for a completion, which tells where each of them begins."""
    if top is None:
        return None
    return {
        "text_offset": [len("".join(pieces[:index])) for index in range(len(pieces))],
        "token_logprobs": [_LOGPROB] * len(pieces),
        "tokens": pieces,
        "top_logprobs": [{piece: _LOGPROB} for piece in pieces],
    }


def identifier(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:16]}"


def new_in_cache(prompt: int, cached: int) -> int:
    """Tokens of a prompt that the cache has now and had not before: whole blocks."""
    return max(0, prompt // BLOCK * BLOCK - cached)


def cache_details(prompt: int, cached: int | None, *, chat: bool) -> Json | None:
    """Of a usage; of a completion it is not told what is new. None without the flag --enable-prompt-tokens-details."""
    if cached is None:
        return None
    new = new_in_cache(prompt, cached) if chat else None
    return {"cached_tokens": cached, "created_cache_tokens": new, "multimodal_tokens": None}


def streamed_usage(prompt: int, completion: int, told: Json | None) -> Json:
    """The last of a stream leaves out what is null."""
    counts = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
    details = {name: value for name, value in (told or {}).items() if value is not None}
    return {**counts, **({"prompt_tokens_details": details} if details else {})}


def usage(prompt: int, completion: int, told: Json | None) -> Json:
    counts: Json = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
    return {**counts, "prompt_tokens_details": told, "completion_tokens_details": None}


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
    if reply.call is not None:
        message["tool_calls"], reason = [tool_call(*reply.call)], reason_of_call(reply)
    choice = {
        "index": 0,
        "message": message,
        "logprobs": chat_logprobs(reply.pieces, reply.top),
        "finish_reason": reason,
        "stop_reason": reply.stop,
        "token_ids": None,
        "routed_experts": None,
        "weight_versions": None,
    }
    return {
        "id": identifier("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{**choice, "index": index} for index in range(reply.copies)],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": usage(prompt, reply.copies * len(reply.pieces), cache_details(prompt, reply.cached, chat=True)),
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "prompt_text": None,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def tool_call(tool: Tool, arguments: Json) -> Json:
    function = {"name": tool.name, "arguments": json.dumps(arguments)}
    return {"id": identifier("chatcmpl-tool"), "type": "function", "function": function}


def argument_pieces(arguments: Json) -> list[str]:
    """As they come in a stream."""
    text = json.dumps(arguments)
    return [text[at : at + 8] for at in range(0, len(text), 8)]


def tool_call_parts(tool: Tool, pieces: list[str]) -> list[Json]:
    """The call in a stream: its name first, then its arguments."""
    head = {"id": identifier("chatcmpl-tool"), "type": "function", "index": 0, "function": {"name": tool.name}}
    return [head, *({"index": 0, "function": {"arguments": piece}} for piece in pieces)]


def reason_of_call(reply: Reply) -> str:
    """vLLM has another one for a call that the client named."""
    return "stop" if reply.named else "tool_calls"


def text_completion(model: str, reply: Reply, prompt: int) -> Json:
    choice = {
        "index": 0,
        "text": "".join(reply.pieces),
        "logprobs": text_logprobs(reply.pieces, reply.top),
        "finish_reason": reply.reason,
        "stop_reason": reply.stop,
        "token_ids": None,
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "routed_experts": None,
        "weight_versions": None,
    }
    return {
        "id": identifier("cmpl"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{**choice, "index": index} for index in range(reply.copies)],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": usage(prompt, reply.copies * len(reply.pieces), cache_details(prompt, reply.cached, chat=False)),
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }
