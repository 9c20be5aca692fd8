# SPDX-License-Identifier: GPL-3.0-or-later
"""An agent of the smallest kind on an SDK, run by the SDK's own environment: sdk_agent.py openai|anthropic PROMPT.

It prints what it was told, runs the one tool that is called, and says the result. Without a prompt it prints the models that the
endpoint lists. Everything comes from the environment, as the SDK and `use --print` have it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

_SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
_MOST_TURNS = 4


def run(arguments: Any) -> str:
    done = subprocess.run(["sh", "-c", arguments["command"]], capture_output=True, text=True)
    return done.stdout + done.stderr or "done"


def by_openai(prompt: str) -> None:
    from openai import OpenAI

    client, model = OpenAI(max_retries=1), os.environ["OPENAI_MODEL"]
    tools: Any = [{"type": "function", "function": {"name": "bash", "parameters": _SCHEMA}}]
    messages: Any = [{"role": "user", "content": prompt}]
    for _turn in range(_MOST_TURNS):
        text, calls = "", {}
        with client.chat.completions.create(model=model, messages=messages, tools=tools, stream=True) as stream:
            for chunk in stream:
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    for part in choice.delta.tool_calls or []:
                        call = calls.setdefault(part.index, {"id": part.id, "name": "", "arguments": ""})
                        call["name"] += part.function.name or ""
                        call["arguments"] += part.function.arguments or ""
        print(text)
        if not calls:
            return
        told = [
            {"id": call["id"], "type": "function", "function": {key: call[key] for key in ("name", "arguments")}}
            for call in calls.values()
        ]
        messages.append({"role": "assistant", "content": text, "tool_calls": told})
        for call in calls.values():
            said = run(json.loads(call["arguments"]))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": said})
    raise SystemExit("it calls tools without end")


def by_anthropic(prompt: str) -> None:
    from anthropic import Anthropic

    client, model = Anthropic(max_retries=1), os.environ["ANTHROPIC_DEFAULT_OPUS_MODEL"]
    limit = int(os.environ["CLAUDE_CODE_MAX_OUTPUT_TOKENS"])
    tools: Any = [{"name": "bash", "input_schema": _SCHEMA}]
    messages: Any = [{"role": "user", "content": prompt}]
    for _turn in range(_MOST_TURNS):
        with client.messages.stream(model=model, max_tokens=limit, messages=messages, tools=tools) as stream:
            message = stream.get_final_message()
        print("".join(block.text for block in message.content if block.type == "text"))
        calls = [block for block in message.content if block.type == "tool_use"]
        if not calls:
            return
        messages.append({"role": "assistant", "content": [block.model_dump() for block in message.content]})
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": run(call.input)} for call in calls]
        messages.append({"role": "user", "content": results})
    raise SystemExit("it calls tools without end")


def models(kind: str) -> None:
    if kind == "openai":
        from openai import OpenAI

        listed: Any = OpenAI().models.list()
    else:
        from anthropic import Anthropic

        listed = Anthropic().models.list()
    for model in listed.data:
        print(model.model_dump_json())


if __name__ == "__main__":
    name, *prompts = sys.argv[1:]
    agents: dict[str, Callable[[str], None]] = {"openai": by_openai, "anthropic": by_anthropic}
    if prompts:
        agents[name](prompts[0])
    else:
        models(name)
