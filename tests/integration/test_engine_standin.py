"""The stand-in for vLLM by itself: how it starts, refuses, serves, breaks and ends. The real one judges it in tests/engine."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineClient

from linode_coder.endpoint.engine import Abilities, abilities
from linode_coder.sandbox.api.host_faults import HOST_KINDS, complaint
from linode_coder.sandbox.guest.engine.failures import FAILURES
from linode_coder.sandbox.guest.start import command

CARD = {"index": 0, "name": "NVIDIA RTX 4000 Ada Generation", "memory_mib": 20475, "cc": "8.9"}
MODEL = "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"
WAIT = 30.0
# Causes that need a setting which the engine would not choose by itself.
PROVOKED = {
    "bad_quantization": ["--quantization", "bitsandbytes"],
    "fp8_kv_unsupported": ["--kv-cache-dtype", "fp8"],
    "heads_not_divisible": ["--tensor-parallel-size", "3"],
    "no_attention_backend": ["--attention-backend", "FLASHINFER"],
    "shards_do_not_divide": ["--tensor-parallel-size", "2"],
}


class Engine:
    """One stand-in on this machine; faults are files, as in a host."""

    def __init__(self, tmp: Path, *arguments: str, cards: int = 1, faults: list[dict[str, Any]] | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.run = tmp / "run"
        self.run.mkdir(exist_ok=True)
        self.faults(*(faults or []))
        gpus = tmp / "gpus.json"
        gpus.write_text(json.dumps({"gpus": [{**CARD, "index": index} for index in range(cards)]}))
        self.log_path = tmp / "log"
        environment = {
            "PATH": os.defpath,
            "SANDBOX_GPUS": str(gpus),
            "SANDBOX_RUN": str(self.run),
            "SANDBOX_ENGINE_SECONDS": "0.1",
            "VLLM_API_KEY": "key",
        }
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *command("engine.main"),
                    *arguments,
                    "--host",
                    "127.0.0.1",
                    "--port",
                    str(self.port),
                ],
                stdout=log,
                stderr=log,
                env=environment,
            )

    def faults(self, *faults: dict[str, Any]) -> None:
        new = self.run / "new"
        new.write_text(json.dumps(list(faults)))
        new.replace(self.run / "faults.json")

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def ready(self) -> Engine:
        until = time.monotonic() + WAIT
        while "Application startup complete" not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.02)
        return self

    def ended(self, timeout: float = WAIT) -> int:
        return self.process.wait(timeout)

    def core(self) -> int:
        return int(re.findall(r"\(EngineCore pid=(\d+)\)", self.log)[-1])

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)

    def ask(self, path: str, body: object = None, key: str | None = "key", timeout: float = WAIT) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, json.loads(data) if data[:1] in (b"{", b"[") else data.decode()

    def stream(self, tokens: int) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self.connect()
        body = {"prompt": "p", "max_tokens": tokens, "stream": True, "ignore_eos": True}
        connection.request("POST", "/v1/completions", json.dumps(body), {"Authorization": "Bearer key"})
        answer = connection.getresponse()
        assert answer.readline().startswith(b"data: {")
        return connection, answer

    def metric(self, name: str) -> float:
        text = self.ask("/metrics")[1]
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(rf"{name}[{{ ]", line))


@contextmanager
def engine(tmp: Path, *arguments: str, **more: Any) -> Iterator[Engine]:
    started = Engine(tmp, *(arguments or (MODEL,)), **more)
    try:
        yield started
    finally:
        started.faults()
        started.process.kill()
        started.process.wait()


# What the log says first in each phase of a start.
BEGINS = {
    "config": "non-default args",
    "start": "Resolved architecture",
    "load": "Starting to load model",
    "compile": "Using cache directory",
    "profile": "torch.compile took",
    "kv": "Available KV cache memory",
    "capture": "Capturing CUDA graphs",
}


def whole_text(text: str) -> str:
    """A pattern of it, in which every name in braces has become something else."""
    parts = re.split(r"\{[a-z_]+(?::[^}]*)?\}", text)
    return r"[^{}\n]+".join(re.escape(part) for part in parts)


@pytest.mark.parametrize("cause", sorted(FAILURES))
def test_every_cause_ends_the_start_with_its_text_and_code(tmp_path: Path, cause: str) -> None:
    flags = PROVOKED.get(cause, [])
    cards = {"heads_not_divisible": 3, "shards_do_not_divide": 2}.get(cause, 1)
    fault = {"id": 1, "kind": "engine_start_fails", "cause": cause}
    with engine(tmp_path, MODEL, *flags, cards=cards, faults=[fault]) as broken:
        failure = FAILURES[cause]
        assert broken.ended() == failure.code
        assert re.search(whole_text(failure.text), broken.log), broken.log
        stages = list(BEGINS)
        passed = [BEGINS[stage] in broken.log for stage in stages]
        assert passed == [stages.index(failure.stage) >= number for number in range(len(stages))], broken.log
        if failure.stage == "config":
            assert "EngineCore" not in broken.log
        else:
            assert f"(EngineCore pid={broken.core()}) ERROR" in broken.log
            tail = broken.log.rstrip().splitlines()[-1]
            assert (
                tail == "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
            )


@pytest.mark.parametrize(
    ("cause", "flags"),
    [
        ("oom_profile", ["--max-num-seqs", "8"]),
        ("oom_capture", ["--enforce-eager"]),
        ("oom_sampler", ["--max-num-seqs=64"]),
        ("no_kv_room", ["--gpu-memory-utilization", "0.95"]),
        ("context_too_long", ["--max-model-len", "15360"]),
        ("context_too_long", ["--max-model-len", "auto"]),
        ("bf16_unsupported", ["--dtype", "half"]),
        ("attention_sinks", ["--attention-backend", "TRITON_ATTN"]),
        ("shards_do_not_divide", ["--tensor-parallel-size", "1"]),
        ("fp8_kv_unsupported", []),
    ],
)
def test_changed_parameters_avoid_a_failure(tmp_path: Path, cause: str, flags: list[str]) -> None:
    with engine(tmp_path, MODEL, *flags, faults=[{"id": 1, "kind": "engine_start_fails", "cause": cause}]) as well:
        well.ready()


def test_a_context_that_does_not_fit_is_refused_with_an_estimate_that_fits(tmp_path: Path) -> None:
    with engine(tmp_path, MODEL, "--max-model-len", "500k") as large:
        assert large.ended() == 1
        match = re.search(
            r"To serve at least one request with the model's max seq len \((\d+)\), \(([\d.]+) GiB KV cache is needed, which is "
            r"larger than the available KV cache memory \(([\d.]+) GiB\)\. Based on the available memory, the estimated maximum "
            r"model length is (\d+)\.",
            large.log,
        )
        assert match is not None and match[1] == "500000" and float(match[2]) > float(match[3])
    with engine(tmp_path, MODEL, "--max-model-len", match[4]) as fitting:
        assert fitting.ready().ask("/v1/models")[1]["data"][0]["max_model_len"] == int(match[4])


def test_arguments(tmp_path: Path) -> None:
    config = tmp_path / "vllm.yaml"
    config.write_text(
        f'# what this VM serves\nmodel: "{MODEL}"\nserved-model-name: ["coder", "other"]\nmax-model-len: 4096\n'
        'enable-auto-tool-choice: true\ntool-call-parser: "hermes"\nenforce-eager: false\nreasoning-parser: "qwen3"\n'
        'default-chat-template-kwargs: {"enable_thinking": false}\n'
    )
    with engine(tmp_path, "--config", str(config), "--max_model_len=2K") as configured:
        configured.ready()
        cards = configured.ask("/v1/models")[1]["data"]
        assert [(card["id"], card["max_model_len"]) for card in cards] == [("coder", 2048), ("other", 2048)]
        # Whatever it is asked by, it calls itself by its first name.
        asked = [{"role": "user", "content": "hi"}]
        for path, body in (
            ("chat/completions", {"messages": asked}),
            ("completions", {"prompt": "hi"}),
            ("messages", {"messages": asked, "max_tokens": 4}),
            ("responses", {"input": "hi"}),
        ):
            status, answer = configured.ask(f"/v1/{path}", {"model": "other", **body})
            assert (status, answer["model"]) == (200, "coder"), path
    for arguments, code, text in (
        ([MODEL, "--no-such-flag"], 2, "vllm serve: error: unrecognized arguments: --no-such-flag"),
        ([MODEL, "--dtype", "fp7"], 2, "argument --dtype: invalid choice: 'fp7'"),
        ([MODEL, "--kv-cache-dtype", "fp7"], 1, "Invalid kv_cache_dtype: 'fp7'. Valid values are: ['auto', "),
        ([MODEL, "--tool-call-parser", "nope"], 1, "KeyError: 'invalid tool call parser: nope (chose from { apertus,"),
        ([MODEL, "--reasoning-parser", "nope"], 1, "Reasoning parser 'nope' not found. Available parsers: "),
        (
            [MODEL, "--enable-auto-tool-choice"],
            1,
            "TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser",
        ),
        ([MODEL, "-tp", "2"], 1, "World size (2) is larger than the number of available GPUs (1) in this node."),
        (["no/such-model"], 1, "no/such-model is not a local folder and is not a valid model identifier"),
        (
            [MODEL, "--config", str(tmp_path / "absent.yaml")],
            1,
            "FileNotFoundError: [Errno 2] No such file or directory",
        ),
    ):
        with engine(tmp_path, *arguments) as refused:
            assert refused.ended() == code, refused.log
            assert text in refused.log


def test_secrets_are_not_logged(tmp_path: Path) -> None:
    with engine(tmp_path, MODEL, "--api-key", "planted", "--hf-token", "hf_planted") as started:
        assert "planted" not in started.ready().log
        assert started.ask("/v1/models", key="planted")[0] == 200
        assert started.ask("/v1/models")[0] == 401


def test_tools_and_reasoning(tmp_path: Path) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "read_file",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}, "line": {"type": "integer"}}},
        },
    }
    asked = {"role": "user", "content": 'Please.\nCall the tool read_file with {"path": "a", "line": 2}, and no other.'}
    question = {"messages": [asked], "tools": [tool]}
    with engine(tmp_path) as plain:
        status, body = plain.ready().ask("/v1/chat/completions", question)
        assert (status, body["error"]["message"]) == (
            400,
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        )
    flags = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--reasoning-parser", "qwen3"]
    with engine(tmp_path, MODEL, *flags) as able:
        able.ready()
        message = able.ask("/v1/chat/completions", question)[1]["choices"][0]
        assert message["finish_reason"] == "tool_calls"
        call = message["message"]["tool_calls"][0]["function"]
        assert (call["name"], json.loads(call["arguments"])) == ("read_file", {"path": "a", "line": 2})
        answered = {
            **question,
            "messages": [*question["messages"], {"role": "tool", "tool_call_id": "x", "content": "text"}],
        }
        assert able.ask("/v1/chat/completions", answered)[1]["choices"][0]["message"]["content"]
        # A short answer of a thinking model has no content at all, only tokens.
        body = {"messages": question["messages"], "max_tokens": 4}
        short = able.ask("/v1/chat/completions", body)[1]
        assert (short["choices"][0]["message"]["content"], short["usage"]["completion_tokens"]) == (None, 4)
        off = able.ask("/v1/chat/completions", {**body, "chat_template_kwargs": {"enable_thinking": False}})[1]
        assert off["choices"][0]["message"]["content"]


WORDS = (
    "This is the linode_coder sandbox, not a model: whatever is asked, these words are the answer, and nothing is done."
)
AGENT = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
SHELL = {
    "/v1/chat/completions": {"type": "function", "function": {"name": "bash", "parameters": SCHEMA}},
    "/v1/messages": {"name": "bash", "input_schema": SCHEMA},
    "/v1/responses": {"type": "function", "name": "bash", "parameters": SCHEMA},
}
PHRASE = 'Call the tool bash with {"command": "make test"}'


def said(path: str, prompt: str, *more: dict[str, Any]) -> dict[str, Any]:
    """A request with a tool in the form of each API; `more` are messages that came since."""
    messages = [{"role": "user", "content": prompt}, *more]
    key = "input" if path == "/v1/responses" else "messages"
    return {"model": MODEL, key: messages, "tools": [SHELL[path]]} | ({} if key == "input" else {"max_tokens": 100})


def outcome(path: str, body: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Text and arguments of a call that an answer has."""
    if path == "/v1/chat/completions":
        message = body["choices"][0]["message"]
        calls = [json.loads(call["function"]["arguments"]) for call in message.get("tool_calls") or []]
        return message["content"] or "", (calls or [None])[0]
    if path == "/v1/messages":
        blocks = {block["type"]: block for block in body["content"]}
        return blocks.get("text", {}).get("text", ""), blocks.get("tool_use", {}).get("input")
    items = {item["type"]: item for item in body["output"]}
    text = items["message"]["content"][0]["text"] if "message" in items else ""
    return text, json.loads(items["function_call"]["arguments"]) if "function_call" in items else None


RESULTS: dict[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [
        {"role": "assistant", "tool_calls": [{"id": "x", "type": "function", "function": {"name": "bash"}}]},
        {"role": "tool", "tool_call_id": "x", "content": "done"},
    ],
    "/v1/messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "bash", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": PHRASE}]},
        {"role": "system", "content": "a reminder"},
    ],
    "/v1/responses": [
        {"type": "function_call", "call_id": "x", "name": "bash", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "x", "output": "done"},
    ],
}


def test_an_agent_is_told_to_do_what_its_user_asks_for_and_nothing_else(tmp_path: Path) -> None:
    with engine(tmp_path, MODEL, *AGENT) as served:
        served.ready()
        for path in SHELL:

            def answer(*request: Any, path: str = path) -> tuple[str, dict[str, Any] | None]:
                status, body = served.ask(path, said(path, *request))
                assert status == 200, body
                return outcome(path, body)

            assert answer(PHRASE) == ("", {"command": "make test"})
            assert answer(json.dumps(PHRASE)) == ("", {"command": "make test"})
            for prompt in (
                "say hello",
                "```sh\nrm -rf build\n```\n<<<<<<< SEARCH",
                f"Never {PHRASE}",
                PHRASE.replace("bash", "zsh"),
                'Call the tool bash with {"command": ',
                "Call the tool bash",
            ):
                assert answer(prompt) == (WORDS, None), prompt
            # Neither after a tool's result, whatever that says, nor for what was asked before the model spoke.
            assert answer(PHRASE, *RESULTS[path]) == (WORDS, None)
            spoke = {"role": "assistant", "content": "no"}
            assert answer(PHRASE, spoke, {"role": "user", "content": "thanks"}) == (WORDS, None)
            assert answer("hi", spoke, {"role": "user", "content": PHRASE})[1] == {"command": "make test"}
            kind = "input_text" if path == "/v1/responses" else "text"
            parts = [{"type": kind, "text": text} for text in ("a reminder", PHRASE)]
            assert answer("hi", spoke, {"role": "user", "content": parts})[1] == {"command": "make test"}
            # What calls itself a system or a tool is no user.
            assert answer("hi", {"role": "system", "content": PHRASE}) == (WORDS, None)


def events_of(served: Engine, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    text = served.ask(path, {**body, "stream": True})[1]
    return [json.loads(data) for data in re.findall(r"^data: (\{.*)$", text, re.MULTILINE)]


def test_calls_and_text_come_as_streams_in_parts(tmp_path: Path) -> None:
    with engine(tmp_path, MODEL, *AGENT, "--reasoning-parser", "qwen3") as served:
        served.ready()
        path = "/v1/responses"
        text = events_of(served, path, said(path, "hi"))
        assert [event["sequence_number"] for event in text] == list(range(len(text)))
        kinds = [event["type"].removeprefix("response.") for event in text]
        assert kinds.count("reasoning_text.delta") > 0 and kinds.count("output_text.delta") > 1
        assert "".join(event["delta"] for event in text if event["type"].endswith("output_text.delta")) == WORDS
        assert [item["type"] for item in text[-1]["response"]["output"]] == ["reasoning", "message"]
        spaced = {**said(path, 'Call the tool fs__read with {"path": "a"}')}
        inner = {"type": "function", "name": "read", "parameters": {}}
        tools = [{"type": "local_shell"}, {"type": "namespace", "name": "fs", "tools": [inner]}, {"type": "web_search"}]
        call = events_of(served, path, {**spaced, "tools": tools})
        deltas = [event["delta"] for event in call if event["type"] == "response.function_call_arguments.delta"]
        assert len(deltas) > 1 and json.loads("".join(deltas)) == {"path": "a"}
        item = call[-1]["response"]["output"][-1]
        assert (item["type"], item["name"], item["namespace"]) == ("function_call", "read", "fs")

        path = "/v1/messages"
        text = events_of(served, path, said(path, "hi"))
        deltas = [event["delta"] for event in text if event["type"] == "content_block_delta"]
        assert [delta["type"] for delta in deltas].count("text_delta") > 1
        assert "".join(delta.get("text", "") for delta in deltas) == WORDS
        assert [event["index"] for event in text if event["type"] == "content_block_start"] == [0, 1]
        call = events_of(served, path, said(path, PHRASE))
        parts = [event["delta"].get("partial_json", "") for event in call if event["type"] == "content_block_delta"]
        assert json.loads("".join(parts)) == {"command": "make test"}
        assert call[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}


def test_a_stop_string_ends_an_answer(tmp_path: Path) -> None:
    with engine(tmp_path) as served:
        served.ready()
        body = {"messages": [{"role": "user", "content": "hi"}], "stop": ["model", "sandbox,"]}
        (choice,) = served.ask("/v1/chat/completions", body)[1]["choices"]
        assert choice["message"]["content"] == "This is the linode_coder "
        assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "sandbox,")
        (choice,) = served.ask("/v1/completions", {"prompt": "p", "stop": " the", "max_tokens": 50})[1]["choices"]
        assert (choice["text"], choice["stop_reason"]) == ("This is", " the")
        message = served.ask("/v1/messages", {**said("/v1/messages", "hi"), "tools": [], "stop_sequences": ["not"]})[1]
        assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "not")


def test_several_answers_probabilities_and_schemas(tmp_path: Path) -> None:
    with engine(tmp_path) as served:
        served.ready()
        hi = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
        status, body = served.ask("/v1/chat/completions", {**hi, "n": 3})
        assert (status, [choice["index"] for choice in body["choices"]]) == (200, [0, 1, 2])
        assert body["usage"]["completion_tokens"] == 12 == served.metric("vllm:generation_tokens_total")
        streamed = events_of(served, "/v1/chat/completions", {**hi, "n": 2})
        texts = ["", ""]
        for event in streamed:
            for choice in event["choices"]:
                texts[choice["index"]] += choice["delta"].get("content", "")
        assert texts == ["This is the linode_coder"] * 2
        body = served.ask("/v1/completions", {"prompt": ["a", "b"], "n": 2, "max_tokens": 2})[1]
        assert [choice["text"] for choice in body["choices"]] == ["This is"] * 4
        assert len(served.ask("/v1/completions", {"prompt": [1, 2, 3]})[1]["choices"]) == 1

        told = served.ask("/v1/chat/completions", {**hi, "logprobs": True, "top_logprobs": 2})[1]["choices"][0]
        assert [token["token"] for token in told["logprobs"]["content"]] == ["This", " is", " the", " linode_coder"]
        assert {len(token["top_logprobs"]) for token in told["logprobs"]["content"]} == {2}
        told = served.ask("/v1/completions", {"prompt": "p", "logprobs": 1, "max_tokens": 3})[1]["choices"][0][
            "logprobs"
        ]
        assert (told["tokens"], told["text_offset"]) == (["This", " is", " the"], [0, 4, 7])

        schema = {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "kind": {"enum": ["bug", "wish"]},
                "place": {"type": "object", "properties": {"line": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}},
                "more": {"type": "array"},
            },
            "required": ["name", "kind", "place"],
        }
        fits = {"name": "sandbox", "kind": "bug", "place": {"line": 1}}
        form = {"type": "json_schema", "json_schema": {"name": "issue", "schema": schema}}
        body = served.ask("/v1/chat/completions", {"messages": hi["messages"], "response_format": form})[1]
        assert json.loads(body["choices"][0]["message"]["content"]) == fits
        flat = {"type": "json_schema", "name": "issue", "schema": schema}
        body = served.ask("/v1/responses", {"input": "hi", "text": {"format": flat}})[1]
        assert json.loads(outcome("/v1/responses", body)[0]) == fits
        body = served.ask(
            "/v1/messages", {**said("/v1/messages", "hi"), "tools": [], "output_config": {"format": flat}}
        )[1]
        assert json.loads(outcome("/v1/messages", body)[0]) == fits


def test_what_the_cache_had_of_a_prompt_is_told_where_a_flag_says_so(tmp_path: Path) -> None:
    long = {"model": MODEL, "messages": [{"role": "user", "content": "x" * 410}], "max_tokens": 2}  # 102 tokens
    with engine(tmp_path, MODEL, "--enable-prompt-tokens-details") as served:
        served.ready()
        told = [served.ask("/v1/chat/completions", long)[1]["usage"]["prompt_tokens_details"] for _ in range(2)]
        assert [(each["cached_tokens"], each["created_cache_tokens"]) for each in told] == [(0, 96), (96, 0)]
        usage = events_of(served, "/v1/chat/completions", {**long, "stream_options": {"include_usage": True}})[-1][
            "usage"
        ]
        assert usage["prompt_tokens_details"] == {"cached_tokens": 96, "created_cache_tokens": 0}
        usage = served.ask("/v1/messages", long)[1]["usage"]
        assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (6, 96)


def seeing(tmp: Path) -> str:
    """A model that has an encoder for images."""
    model = tmp / "seeing"
    model.mkdir()
    config = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vision_config": {}}
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}))
    (model / "model.safetensors").write_bytes(bytes(8))
    return str(model)


def test_an_engine_is_asked_what_its_flags_let_it_take(tmp_path: Path) -> None:
    for number, (sees, flags, found) in enumerate(
        [
            (False, [], Abilities(tools=False, images=False)),
            (False, AGENT, Abilities(tools=True, images=False)),
            (True, AGENT, Abilities(tools=True, images=True)),
            (True, ["--language-model-only"], Abilities(tools=False, images=False)),
            (True, ["--limit-mm-per-prompt", '{"image": 0}'], Abilities(tools=False, images=False)),
        ]
    ):
        place = tmp_path / str(number)
        place.mkdir()
        with engine(place, seeing(place) if sees else MODEL, *flags, "--served-model-name", "coder") as served:
            served.ready()
            assert abilities(EngineClient(served.port, "key"), "coder") == found, flags
            assert served.metric("vllm:prompt_tokens_total") == 0


def test_counters_move_with_use_and_with_nothing_else(tmp_path: Path) -> None:
    with engine(tmp_path) as served:
        served.ready()
        for path in ("/health", "/ping", "/version", "/v1/models"):
            assert served.ask(path)[0] == 200
        assert served.ask("/v1/completions", {"prompt": "x"}, key="wrong")[0] == 401
        assert served.ask("/v1/completions", {"prompt": "x", "model": "other"})[0] == 404
        assert served.metric("vllm:generation_tokens_total") == served.metric("vllm:prompt_tokens_total") == 0
        usage = served.ask("/v1/completions", {"prompt": "x" * 40, "max_tokens": 7})[1]["usage"]
        assert usage == {**usage, "prompt_tokens": 10, "completion_tokens": 7}
        assert served.metric("vllm:generation_tokens_total") == 7
        assert served.metric("vllm:prompt_tokens_total") == 10
        assert served.metric("vllm:request_success_total") == 1
        assert served.metric("vllm:e2e_request_latency_seconds_count") == 1
        assert served.metric("http_requests_total") == 4


def test_a_client_that_leaves_aborts_its_request(tmp_path: Path) -> None:
    with engine(tmp_path) as served:
        connection, answer = served.ready().stream(30000)
        assert served.metric("vllm:num_requests_running") == 1
        answer.close()
        connection.close()
        until = time.monotonic() + WAIT
        while served.metric("vllm:num_requests_running"):
            assert time.monotonic() < until
        assert 'finished_reason="abort",model_name="' in served.ask("/metrics")[1]


def test_requests_beyond_max_num_seqs_wait(tmp_path: Path) -> None:
    with engine(tmp_path, MODEL, "--max-num-seqs", "1") as served:
        first = served.ready().stream(30000)
        second = served.connect()
        second.request("POST", "/v1/completions", json.dumps({"prompt": "p"}), {"Authorization": "Bearer key"})
        until = time.monotonic() + WAIT
        while served.metric("vllm:num_requests_waiting") != 1:
            assert time.monotonic() < until
        assert served.metric("vllm:num_requests_running") == 1
        for connection in (first[0], second):
            connection.close()


def test_a_killed_core_ends_the_server_with_zero(tmp_path: Path) -> None:
    with engine(tmp_path) as served:
        connection, answer = served.ready().stream(30000)
        os.kill(served.core(), signal.SIGKILL)
        rest = answer.read().decode()
        assert "The server had an error while processing your request." in rest and rest.rstrip().endswith("[DONE]")
        assert served.ended() == 0
        assert "engine core exited unexpectedly" in served.log and "EngineDeadError" in served.log
        connection.close()


def test_a_killed_worker_takes_the_engine_along(tmp_path: Path) -> None:
    with engine(tmp_path, MODEL, "--tensor-parallel-size", "2", cards=2) as served:
        served.ready()
        children = Path(f"/proc/{served.core()}/task/{served.core()}/children").read_text().split()
        until = time.monotonic() + WAIT
        titles: list[bytes] = []
        while titles != [b"VLLM::Worker_TP0", b"VLLM::Worker_TP1"]:
            assert time.monotonic() < until, titles
            titles = [Path(f"/proc/{child}/cmdline").read_bytes().rstrip(b"\0") for child in children]
        os.kill(int(children[1]), signal.SIGKILL)
        assert served.ended() == 0
        assert "Worker proc VllmWorker-1 died unexpectedly" in served.log


def test_a_stopped_core_looks_healthy_and_answers_nothing(tmp_path: Path) -> None:
    with engine(tmp_path) as served:
        os.kill(served.ready().core(), signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            served.ask("/v1/completions", {"prompt": "p"}, timeout=1)
        assert served.ask("/health")[0] == served.ask("/v1/models")[0] == 200
        assert served.metric("vllm:num_requests_running") == 0
        core = served.core()
        served.process.kill()
        served.process.wait()
        until = time.monotonic() + WAIT
        while Path(f"/proc/{core}").exists() and "Z" not in Path(f"/proc/{core}/stat").read_text().split()[2]:
            assert time.monotonic() < until, "a stopped core outlives its server"
            time.sleep(0.02)


def test_faults_while_it_serves(tmp_path: Path) -> None:
    with engine(tmp_path) as served:
        served.ready()
        served.faults({"id": 1, "kind": "engine_slow", "delay": 0.4})
        began = time.monotonic()
        assert served.ask("/v1/completions", {"prompt": "p", "max_tokens": 3})[0] == 200
        assert time.monotonic() - began > 0.7
        served.faults({"id": 2, "kind": "engine_gibberish"})
        assert served.ask("/v1/completions", {"prompt": "p", "max_tokens": 3})[1]["choices"][0]["text"] == "!!!"
        served.faults({"id": 3, "kind": "engine_hang", "count": 1})
        until = time.monotonic() + WAIT
        while "T" not in Path(f"/proc/{served.core()}/stat").read_text().split()[2]:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert served.ask("/health")[0] == 200
    with engine(tmp_path) as again:
        again.ready()
        again.faults({"id": 3, "kind": "engine_hang", "count": 1}, {"id": 4, "kind": "cuda_oom", "count": 1})
        status, body = again.ask("/v1/completions", {"prompt": "p"})
        assert (status, body["error"]["code"]) == (500, 500)
        assert again.ended() == 0
        assert "CUDA out of memory. Tried to allocate" in again.log
    with engine(tmp_path, faults=[{"id": 5, "kind": "engine_crash", "text": "RuntimeError: planted"}]) as crashing:
        assert crashing.ended() == 0
        assert "EngineCore encountered a fatal error" in crashing.log and "RuntimeError: planted" in crashing.log


def test_the_port_is_taken_until_the_fault_is_cleared(tmp_path: Path) -> None:
    with engine(tmp_path, faults=[{"id": 1, "kind": "port_taken"}]) as refused:
        assert refused.ended() == 1
        assert refused.log.rstrip().endswith("OSError: [Errno 98] Address already in use")
        with socket.create_connection(("127.0.0.1", refused.port), timeout=WAIT):
            pass
        refused.faults()
        until = time.monotonic() + WAIT
        while True:
            try:
                socket.create_connection(("127.0.0.1", refused.port), timeout=WAIT).close()
            except ConnectionRefusedError:
                break
            assert time.monotonic() < until
            time.sleep(0.05)


def test_sigterm_drains_when_told_to(tmp_path: Path) -> None:
    with engine(tmp_path, MODEL, "--shutdown-timeout", "60") as served:
        connection, answer = served.ready().stream(400)
        served.process.terminate()
        until = time.monotonic() + WAIT
        while "mode=drain timeout=60s" not in served.log:
            assert time.monotonic() < until
            time.sleep(0.02)
        status, body = served.ask("/v1/completions", {"prompt": "p"})
        assert (status, body["error"]["message"]) == (500, "cannot schedule new futures after shutdown")
        assert served.ask("/health")[0] == 200
        assert answer.read().rstrip().endswith(b"[DONE]")
        assert served.ended() == 0
        connection.close()


def test_sigterm_hangs_with_an_open_stream_when_not(tmp_path: Path) -> None:
    with engine(tmp_path) as served:
        connection, answer = served.ready().stream(30000)
        served.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            served.ended(timeout=2)
        served.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            served.ended(timeout=0.5)
        assert "Waiting for connections to close." in served.log
        answer.close()
        connection.close()
        assert served.ended() == 0


def test_sigterm_during_the_start(tmp_path: Path) -> None:
    with engine(tmp_path, faults=[{"id": 1, "kind": "engine_slow_start", "delay": 60}]) as starting:
        until = time.monotonic() + WAIT
        while "Starting to load model" not in starting.log:
            assert time.monotonic() < until
            time.sleep(0.02)
        with pytest.raises(ConnectionRefusedError):
            starting.ask("/health")
        starting.process.terminate()
        assert starting.ended() == 143


def test_faults_of_hosts_are_checked() -> None:
    assert complaint({"kind": "engine_crash"}) is None
    assert complaint({"kind": "engine_start_fails", "cause": "gated"}) is None
    assert complaint({"kind": "engine_start_fails", "text": "boom", "stage": "profile"}) is None
    for fault, words in (
        ({"kind": "engine_crush"}, "'engine_crush' is not a kind of fault"),
        ({"kind": "engine_start_fails"}, "None is not a cause; the causes are "),
        ({"kind": "engine_start_fails", "cause": "gate"}, "'gate' is not a cause; the causes are "),
        ({"kind": "engine_start_fails", "text": "boom", "stage": "later"}, "'later' is not a stage"),
        ({"kind": "engine_crash", "text": 5}, "text must be a text"),
    ):
        said = complaint(fault)
        assert said is not None and words in said
    assert {"engine_crash", "engine_hang", "weights_truncated"} <= set(HOST_KINDS)
