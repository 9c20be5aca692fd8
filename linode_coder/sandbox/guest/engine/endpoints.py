"""The HTTP side of the stand-in: vLLM's endpoints, who needs a key, what is refused with which text, streams."""

from __future__ import annotations

import argparse
import itertools
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

from .. import faults
from ..json_types import Json
from . import answers, messages, responses
from .answers import Ask, Reply
from .api_limits import check_parts, check_store, no_response
from .checks import check_length, check_sampling, check_tools, name_of, parsed
from .client import Client, EngineDeadError, ShuttingDown
from .conversation import Tool, Turn, after_tool, asked_call, example, example_call, offered, schema_of, text_of, turns
from .log import say, traceback_text
from .refusal import BadBody, EngineRefusal, Refusal, anthropic_error, internal_error

# The key guards what begins with these, and nothing else.
_GUARDED = ("/v1", "/v2", "/inference", "/cohere")
_GET = ("/health", "/ping", "/version", "/metrics", "/load", "/v1/models")
_POST = (
    *("/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/messages/count_tokens", "/v1/responses"),
    *("/tokenize", "/detokenize", "/invocations", "/ping"),
)
_CHAT_LIMITS = {"max_completion_tokens": "max_completion_tokens", "max_tokens": "max_tokens"}
# What an image is in a prompt: a token for each patch of it.
_IMAGE = "<image_patch>  " * 64
ROUTES = {**dict.fromkeys(_GET, "GET"), **dict.fromkeys(_POST, "POST"), "/ping": "GET, POST"}


def _prompt(body: Json, said: list[Turn]) -> str:
    """What the engine reads: tools, the system's text and what was said."""
    tools = json.dumps(body["tools"]) if body.get("tools") else ""
    texts = [turn.text + _IMAGE * turn.images for turn in said]
    return tools + text_of(body.get("system")) + "\n".join(texts)


def _call(body: Json, said: list[Turn]) -> tuple[Tool, Json] | None:
    """The call that the answer is to be: one that the API demands, or that the user asks for."""
    tools = offered(list(body.get("tools") or []))
    choice = body.get("tool_choice")
    if not tools or after_tool(said) or choice in ("none", {"type": "none"}):
        return None
    named = name_of(choice) if isinstance(choice, dict) else None
    if named is not None:
        tools = [tool for tool in tools if tool.name == named] or tools
    if named is not None or choice in ("required", {"type": "any"}):
        return example_call(tools[0])
    return asked_call(said, tools)


def _prompts(prompt: object) -> int:
    """How many a completion has: a list is several, unless it is one of tokens."""
    return len(prompt) if isinstance(prompt, list) and not all(isinstance(part, int) for part in prompt) else 1


def _top(body: Json) -> int | None:
    """How many tokens' probabilities are asked for beside those of the tokens themselves; None for nothing at all."""
    asked = body.get("logprobs")
    if asked is None or asked is False:
        return None
    return int(str(body.get("top_logprobs") or 0 if asked is True else asked))


class State:
    """What all requests share."""

    def __init__(self, options: argparse.Namespace, client: Client, key: list[str], images: bool) -> None:
        self.options = options
        self.images = images
        self.calls = bool(options.enable_auto_tool_choice and options.tool_call_parser)
        self.client = client
        self.keys = key
        self.names = options.served_model_name or [options.model]
        self.context = client.metrics.context
        self.open = 0
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        quiet = str(self.state.options.disable_access_log_for_endpoints or "").split(",")
        path = self.path.partition("?")[0]
        self.state.client.metrics.answered(self.command, path if path in ROUTES else "none", int(code))
        if path not in quiet and not self.state.options.disable_uvicorn_access_log:
            phrase = self.responses[int(code)][0]
            where = f"{self.client_address[0]}:{self.client_address[1]}"
            say(f'INFO:     {where} - "{self.command} {self.path} HTTP/1.1" {int(code)} {phrase}')

    # -- answers

    def send(self, status: int, body: object, kind: str = "application/json") -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        if data:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def event(self, data: object, name: str | None = None) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        raw = (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()
        self.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
        self.wfile.flush()

    def end_stream(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def gone(self) -> bool:
        """Whether the client has closed its end."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    # -- requests

    def do_GET(self) -> None:
        self.guarded(self.get)

    def do_POST(self) -> None:
        self.guarded(self.post)

    def do_HEAD(self) -> None:
        self.guarded(self.get)

    def do_OPTIONS(self) -> None:
        """Web pages ask whether they may: as long as no flag names them they may not."""
        if self.headers.get("Origin") and self.headers.get("Access-Control-Request-Method"):
            self.send(400, "Disallowed CORS origin", "text/plain; charset=utf-8")
        else:
            self.guarded(self.get)

    do_PUT = do_PATCH = do_DELETE = do_HEAD

    def guarded(self, work: Callable[[bytes], None]) -> None:
        """In-flight requests are counted; errors become answers."""
        with self.state.lock:
            self.state.open += 1
        try:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.authorised() and self.known_path():
                work(body)
        except Refusal as refusal:
            anthropic = self.path.startswith("/v1/messages")
            self.send(refusal.status, refusal.anthropic if anthropic else refusal.body)
        except EngineDeadError as error:
            self.fail(error)
        except ShuttingDown as error:
            where = "/usr/local/lib/python3.12/dist-packages/vllm/renderers/base.py"
            say(traceback_text(where, f"RuntimeError: {error.__doc__}"), error=True)
            self.fail(error)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with self.state.lock:
                self.state.open -= 1

    def fail(self, error: EngineDeadError | ShuttingDown) -> None:
        self.send(500, internal_error(error.told_clients))

    def authorised(self) -> bool:
        if not self.state.keys or self.command == "OPTIONS" or not self.path.startswith(_GUARDED):
            return True
        scheme, _, key = str(self.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() == "bearer" and key in self.state.keys:
            return True
        self.send(401, {"error": "Unauthorized"})
        return False

    def known_path(self) -> bool:
        path = self.path.partition("?")[0]
        methods = ROUTES.get(path)
        response, _slash, rest = path.removeprefix("/v1/responses/").partition("/")
        if path.startswith("/v1/responses/") and rest in ("", "cancel"):
            # None is kept, so there is none of that name.
            if self.command == ("POST" if rest else "GET"):
                raise no_response(response)
            methods = ""
        if methods is None:
            self.send(404, {"detail": "Not Found"})
        elif self.command not in methods:
            self.send(405, {"detail": "Method Not Allowed"})
        return methods is not None and self.command in methods

    def get(self, _body: bytes) -> None:
        path = self.path.partition("?")[0]
        state = self.state
        if path in ("/health", "/ping"):
            self.send(503 if state.client.dead else 200, "")
        elif path == "/version":
            self.send(200, {"version": answers.VERSION})
        elif path == "/load":
            self.send(
                200, {"server_load": state.client.metrics.running if state.options.enable_server_load_tracking else 0}
            )
        elif path == "/metrics":
            self.send(200, state.client.metrics.text(), "text/plain; version=1.0.0; charset=utf-8")
        else:
            names, root = self.served()
            cards = [answers.model_card(name, root, state.context) for name in names]
            self.send(200, {"object": "list", "data": cards})

    def served(self) -> tuple[list[str], str]:
        """The names that the model is asked for by, and its own."""
        other = faults.active("engine_other_model")
        if other is None:
            return self.state.names, self.state.options.model
        name = str(other.get("text") or "somebody/another-model")
        return [name], name

    def post(self, raw: bytes) -> None:
        path = self.path.partition("?")[0]
        if path == "/ping":
            self.send(503 if self.state.client.dead else 200, "")
            return
        body = parsed(raw, path)
        name = body.get("model")
        names, _root = self.served()
        if name and name not in names:
            text = f"The model `{name}` does not exist. Valid aliases: {', '.join(names)}."
            raise Refusal(text, "model", status=404, kind="NotFoundError")
        if path == "/invocations":
            path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
        work = {
            "/v1/chat/completions": self.chat,
            "/v1/completions": self.completion,
            "/v1/messages": self.anthropic,
            "/v1/messages/count_tokens": self.count_tokens,
            "/v1/responses": self.responses_api,
            "/tokenize": self.tokenize,
            "/detokenize": self.detokenize,
        }[path]
        try:
            work(body)
        except EngineRefusal as refusal:
            if not body.get("stream"):
                raise
            self.begin_stream()
            if path == "/v1/messages":
                self.event(refusal.anthropic, "error")
                self.end_stream()
            else:
                self.stream_error(refusal.body)

    # -- what was asked

    def ask(self, body: Json, said: list[Turn], names: dict[str, str]) -> tuple[Ask, int, Reply]:
        """Checked against the context; the number of prompt tokens, and the whole answer to be.

        `names` are the fields that may hold the limit, with what a refusal calls them.
        """
        limit = next(
            ((told, int(str(body[field]))) for field, told in names.items() if body.get(field) is not None), None
        )
        longest = self.state.context
        prompt = _prompt(body, said)
        prompt_tokens = answers.tokens_of(prompt)
        check_length(limit, prompt_tokens, longest)
        check_sampling(body, None if limit is None else limit[1])
        options = self.state.options
        defaults = dict(options.default_chat_template_kwargs or {})
        template: Json = {**defaults, **dict(body.get("chat_template_kwargs") or {})}
        stop = body.get("stop") or body.get("stop_sequences") or []
        ask = Ask(
            prompt=prompt,
            limit=None if limit is None else limit[1],
            # Without a parser a call would be text.
            call=_call(body, said) if self.state.calls else None,
            named=isinstance(body.get("tool_choice"), dict),
            think=bool(options.reasoning_parser)
            and "prompt" not in body
            and template.get("enable_thinking", True) is not False,
            at_least=1 << 30 if body.get("ignore_eos") else int(str(body.get("min_tokens") or 0)),
            gibberish=faults.active("engine_gibberish") is not None,
            stop=[stop] if isinstance(stop, str) else list(stop),
            form=None if (schema := schema_of(body)) is None else json.dumps(example(schema)),
            copies=int(str(body.get("n") or 1)) * _prompts(body.get("prompt")),
            top=_top(body),
        )
        reply = answers.compose(ask, longest - prompt_tokens)
        if options.enable_prompt_tokens_details:
            reply.cached = self.state.client.cached(prompt, prompt_tokens)
        return ask, prompt_tokens, reply

    def conversation(self, body: Json) -> list[Turn]:
        """The turns of a chat, when the engine can make a prompt of them and of the tools."""
        said = turns(list(body["messages"]))
        if not said:
            raise Refusal("Cannot apply chat template to an empty conversation. Provide at least one message.")
        check_tools(body, self.state.calls)
        self.check_images(said)
        return said

    def check_images(self, said: list[Turn]) -> None:
        if not any(turn.images for turn in said):
            return
        if not self.state.images:
            raise Refusal(f"{self.state.names[0]} is not a multimodal model")
        most = dict(self.state.options.limit_mm_per_prompt or {}).get("image")
        if self.state.options.language_model_only or most == 0:
            raise Refusal("At most 0 image(s) may be provided in one prompt.", "image")

    def tokens(self, ask: Ask, prompt_tokens: int, reply: Reply) -> Iterator[int]:
        """How many tokens there are so far, each time some came."""
        count, wanted = 0, reply.copies * (len(reply.pieces) or 1)
        for new in self.state.client.generate(ask.prompt, prompt_tokens, wanted, reply.reason, self.gone):
            count += new
            yield count // reply.copies

    def finished(self, ask: Ask, prompt_tokens: int, reply: Reply) -> bool:
        """Waits for the whole answer; False when the client went away."""
        return max(self.tokens(ask, prompt_tokens, reply), default=0) >= len(reply.pieces)

    def begun(self, tokens: Iterator[int]) -> Iterator[int] | None:
        """The same, after the first of them came and the stream began; None when the client went away before."""
        first = next(tokens, None)
        if first is None:
            return None
        self.begin_stream()
        return itertools.chain([first], tokens)

    def stream_error(self, error: Json) -> None:
        self.event(error)
        self.event("[DONE]")
        self.end_stream()

    # -- OpenAI

    def chat(self, body: Json) -> None:
        check_parts(list(body["messages"]))
        ask, prompt_tokens, reply = self.ask(body, self.conversation(body), _CHAT_LIMITS)
        if self.state.options.tool_call_parser:
            self.state.client.metrics.looked_for_call(bool(body.get("stream")), reply.call is not None)
        model = self.served()[0][0]
        if not body.get("stream"):
            if self.finished(ask, prompt_tokens, reply):
                self.send(200, answers.chat_completion(model, reply, prompt_tokens))
            return
        base = {
            "id": answers.identifier("chatcmpl"),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }

        def chunk(delta: Json, reason: str | None = None, pieces: list[str] | None = None) -> None:
            told = answers.chat_logprobs(pieces or [], reply.top)
            for index in range(reply.copies):
                choice = {"index": index, "delta": delta, "logprobs": told, "finish_reason": reason, "token_ids": None}
                last = {} if reason is None else {"stop_reason": reply.stop, "weight_versions": None}
                end = self.mark_of_last(body) if last and index == reply.copies - 1 else {}
                self.event({**base, "choices": [{**choice, **last}], "kv_transfer_params": None, **end})

        parts = self.tokens(ask, prompt_tokens, reply)
        seen = next(parts, None)
        if seen is None:
            return
        self.begin_stream()
        first = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        for index in range(reply.copies):
            choices = [{**first, "index": index}]
            self.event({**base, "choices": choices, "prompt_token_ids": None, "prompt_text": None})
        sent = 0
        try:
            while seen is not None:
                after = next(parts, None)
                delta: Json = {}
                thought = reply.reasoning(seen)[len(reply.reasoning(sent)) :]
                if thought:
                    delta["reasoning"] = thought
                if content := reply.content(seen)[len(reply.content(sent)) :]:
                    delta["content"] = content
                pieces = reply.pieces[sent:seen]
                sent, seen = seen, after
                if seen is None and sent >= len(reply.pieces):
                    if reply.begun is not None:
                        if delta:
                            chunk(delta)
                        *parts_before, last_part = answers.tool_call_parts(*reply.begun)
                        for part in parts_before:
                            chunk({"content": None, "tool_calls": [part]})
                        chunk({"content": None, "tool_calls": [last_part]}, None if reply.call else reply.reason)
                        if reply.call is not None:
                            chunk({}, answers.reason_of_call(reply))
                    else:
                        chunk(delta, reply.reason, pieces)
                elif delta:
                    chunk(delta, pieces=pieces)
        except EngineDeadError:
            self.stream_error(internal_error(EngineDeadError.told_clients))
            return
        self.close_stream(body, base, prompt_tokens, reply, chat=True)

    def wants_usage(self, body: Json) -> bool:
        options = dict(body.get("stream_options") or {})
        return bool(options.get("include_usage") or self.state.options.enable_force_include_usage)

    def mark_of_last(self, body: Json) -> Json:
        """The last chunk names the engine: that with the usage when there is one, else the last of the answer."""
        return {} if self.wants_usage(body) else {"system_fingerprint": answers.FINGERPRINT}

    def close_stream(self, body: Json, base: Json, prompt_tokens: int, reply: Reply, *, chat: bool) -> None:
        """The usage, where somebody asked for it, and the end."""
        if self.wants_usage(body):
            told = answers.cache_details(prompt_tokens, reply.cached, chat=chat)
            counts = answers.streamed_usage(prompt_tokens, reply.copies * len(reply.pieces), told)
            self.event({**base, "choices": [], "usage": counts, "system_fingerprint": answers.FINGERPRINT})
        self.event("[DONE]")
        self.end_stream()

    def completion(self, body: Json) -> None:
        prompt = body.get("prompt")
        if prompt is None or prompt == "":
            raise Refusal("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
        if not isinstance(prompt, str | list):
            lists = ("list_type", "body.prompt", "Input should be a valid list", prompt)
            raise BadBody(lists, lists, ("string_type", "body.prompt", "Input should be a valid string", prompt), lists)
        if prompt == []:
            raise Refusal("You must pass at least one prompt", "prompt")
        if body.get("suffix"):
            raise Refusal("suffix is only supported for models with FIM completion rendering", field="suffix")
        text = prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
        said = [Turn("user", text)]
        ask, prompt_tokens, reply = self.ask({"max_tokens": 16, **body}, said, {"max_tokens": "max_tokens"})
        model = self.served()[0][0]
        if not body.get("stream"):
            if self.finished(ask, prompt_tokens, reply):
                self.send(200, answers.text_completion(model, reply, prompt_tokens))
            return
        base = {
            "id": answers.identifier("cmpl"),
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        parts = self.tokens(ask, prompt_tokens, reply)
        seen = next(parts, None)
        if seen is None:
            return
        self.begin_stream()
        sent = 0
        try:
            while seen is not None:
                last = seen >= len(reply.pieces)
                pieces = reply.pieces[sent:seen]
                choice = {
                    "index": 0,
                    "text": "".join(pieces),
                    "logprobs": answers.text_logprobs(pieces, reply.top),
                    "finish_reason": reply.reason if last else None,
                    "stop_reason": reply.stop if last else None,
                    "prompt_token_ids": None,
                    "token_ids": None,
                    "weight_versions": None,
                }
                for index in range(reply.copies):
                    end = self.mark_of_last(body) if last and index == reply.copies - 1 else {}
                    choices = [{**choice, "index": index}]
                    self.event({**base, "choices": choices, "kv_transfer_params": None, **end})
                sent, seen = seen, next(parts, None)
        except EngineDeadError:
            self.stream_error(internal_error(EngineDeadError.told_clients))
            return
        self.close_stream(body, base, prompt_tokens, reply, chat=False)

    def responses_api(self, body: Json) -> None:
        given = body["input"]
        if not isinstance(given, str | list):
            kinds = (("string_type", "string"), ("list_type", "list"))
            raise BadBody(*((kind, "body.input", f"Input should be a valid {word}", given) for kind, word in kinds))
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        check_store(body)
        check_parts(items)
        if not items:
            raise Refusal("Cannot apply chat template to an empty conversation. Provide at least one message.")
        instructions = [Turn("system", str(body["instructions"]))] if body.get("instructions") else []
        said = [*instructions, *turns(items)]
        self.check_images(said)
        ask, prompt_tokens, reply = self.ask(body, said, {"max_output_tokens": "max_output_tokens"})
        model = self.served()[0][0]
        limit = ask.limit or self.state.context - prompt_tokens
        name = responses.name_for("resp")

        def response(reply: Reply | None, output: list[Json]) -> Json:
            return responses.response(body, model, reply, prompt_tokens, limit, name, output)

        if not body.get("stream"):
            if self.finished(ask, prompt_tokens, reply):
                self.send(200, response(reply, responses.items(reply)))
            return

        def send(event: Json) -> None:
            self.event(event, str(event["type"]))

        tokens = self.begun(self.tokens(ask, prompt_tokens, reply))
        if tokens is None:
            return
        stream = responses.Stream()
        send(stream.event("created", response=response(None, [])))
        send(stream.event("in_progress", response=response(None, [])))
        try:
            for event in stream.events(reply, tokens):
                send(event)
        except EngineDeadError:
            # vLLM says nothing more, and the answer has no end.
            self.close_connection = True
            return
        send(stream.event(responses.status_of(reply), response=response(reply, stream.output)))
        self.end_stream()

    # -- Anthropic

    def anthropic(self, body: Json) -> None:
        said = self.conversation(body)
        ask, prompt_tokens, reply = self.ask(body, said, {"max_tokens": "max_completion_tokens"})
        if "budget_tokens" in (body.get("thinking") or {}) and not self.state.options.reasoning_parser:
            text = (
                "thinking_token_budget is set but reasoning_config is not configured. Please set --reasoning-parser and/or "
                "--reasoning-config to use thinking_token_budget."
            )
            raise EngineRefusal(text)
        model = self.served()[0][0]
        name = answers.identifier("chatcmpl")
        if not body.get("stream"):
            if self.finished(ask, prompt_tokens, reply):
                self.send(200, messages.message(name, model, reply, prompt_tokens))
            return
        tokens = self.begun(self.tokens(ask, prompt_tokens, reply))
        if tokens is None:
            return
        try:
            for event in messages.events(name, model, reply, prompt_tokens, tokens):
                self.event(event, str(event["type"]))
        except EngineDeadError:
            self.event(anthropic_error(500, EngineDeadError.told_clients), "error")
        self.end_stream()

    def count_tokens(self, body: Json) -> None:
        count = answers.tokens_of(_prompt(body, self.conversation(body)))
        self.send(200, {"input_tokens": count, "context_management": {"original_input_tokens": count}})

    # -- tokens

    def tokenize(self, body: Json) -> None:
        text = str(body["prompt"]) if "prompt" in body else _prompt(body, self.conversation(body))
        tokens = [int.from_bytes(text[at : at + 4].encode()[:4], "big") for at in range(0, len(text), 4)]
        self.send(
            200, {"count": len(tokens), "max_model_len": self.state.context, "tokens": tokens, "token_strs": None}
        )

    def detokenize(self, body: Json) -> None:
        pieces = (int(token).to_bytes(4, "big").lstrip(b"\0") for token in body["tokens"])
        self.send(200, {"prompt": b"".join(pieces).decode(errors="replace")})
