"""Configuration of the clients that people write code with, for the endpoint of a session.

The API key is never part of it: it is taken from the environment where a client can, and asked for where it cannot. Formats as
the clients' own documentation had them in November 2026; they change.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# What serves agents; below it the notes say so.
AGENT_CONTEXT = 32768
_MOST_OUTPUT = 16384


@dataclass(frozen=True)
class Endpoint:
    """``url`` ends with /v1, ``name`` is what the engine calls its model, ``context`` its length in tokens."""

    session: str
    url: str
    name: str
    context: int
    key_file: str
    tools: bool
    images: bool

    @property
    def root(self) -> str:
        """Without /v1, for clients that add it."""
        return self.url.removesuffix("/v1")

    @property
    def output(self) -> int:
        """Tokens of one answer: a quarter of the context leaves room for what is asked."""
        return min(self.context // 4, _MOST_OUTPUT)

    @property
    def key(self) -> str:
        """For a shell: read from the file when it is evaluated."""
        return f'"$(cat {shlex.quote(self.key_file)})"'


def _pretty(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2)


def _quoted(text: str) -> str:
    """As TOML and YAML read it the same. JSON's own escapes are not theirs beyond the first 65536 characters."""
    plain = "".join(
        f"\\{char}" if char in '"\\' else char if char.isascii() and char.isprintable() else f"\\U{ord(char):08x}"
        for char in text
    )
    return f'"{plain}"'


def openai(at: Endpoint) -> str:
    return "\n".join(
        [
            f"export OPENAI_BASE_URL={at.url}",
            f"export OPENAI_API_BASE={at.url}",
            f"export OPENAI_API_KEY={at.key}",
            f"export OPENAI_MODEL={shlex.quote(at.name)}",
        ]
    )


def aider(at: Endpoint) -> str:
    model = f"openai/{at.name}"
    metadata = {
        model: {
            "max_input_tokens": at.context,
            "max_output_tokens": at.output,
            "litellm_provider": "openai",
            "mode": "chat",
        }
    }
    return "\n".join(
        [
            f"export OPENAI_API_BASE={at.url}",
            f"export OPENAI_API_KEY={at.key}",
            "cat > .aider.model.metadata.json <<'END'",
            _pretty(metadata),
            "END",
            f"aider --model {shlex.quote(model)}",
        ]
    )


def claude(at: Endpoint) -> str:
    name = shlex.quote(at.name)
    return "\n".join(
        [
            f"export ANTHROPIC_BASE_URL={at.root}",
            # With the other variable, ANTHROPIC_API_KEY, some versions send a header that the engine does not read.
            f"export ANTHROPIC_AUTH_TOKEN={at.key}",
            f"export ANTHROPIC_DEFAULT_OPUS_MODEL={name}",
            f"export ANTHROPIC_DEFAULT_SONNET_MODEL={name}",
            f"export ANTHROPIC_DEFAULT_HAIKU_MODEL={name}",
        ]
    )


def codex(at: Endpoint) -> str:
    text = _quoted
    return "\n".join(
        [
            "# ~/.codex/config.toml",
            f"model = {text(at.name)}",
            'model_provider = "linode_coder"',
            f"model_context_window = {at.context}",
            f"model_max_output_tokens = {at.output}",
            "",
            "[model_providers.linode_coder]",
            'name = "linode_coder"',
            f"base_url = {text(at.url)}",
            'env_key = "VLLM_API_KEY"',
            'wire_api = "responses"',
        ]
    )


def opencode(at: Endpoint) -> str:
    model = {"name": at.name, "tool_call": at.tools, "limit": {"context": at.context, "output": at.output}}
    return _pretty(
        {
            "$schema": "https://opencode.ai/config.json",
            "provider": {
                "linode-coder": {
                    "npm": "@ai-sdk/openai-compatible",
                    "name": f"linode-coder {at.session}",
                    "options": {"baseURL": at.url, "apiKey": "{env:VLLM_API_KEY}"},
                    "models": {at.name: model},
                }
            },
            "model": f"linode-coder/{at.name}",
        }
    )


def continue_dev(at: Endpoint) -> str:
    text = _quoted
    capabilities = [name for name, has in (("tool_use", at.tools), ("image_input", at.images)) if has]
    return "\n".join(
        [
            "# ~/.continue/config.yaml; put VLLM_API_KEY into ~/.continue/.env",
            f"name: {text('linode-coder ' + at.session)}",
            "version: 1.0.0",
            "schema: v1",
            "models:",
            f"  - name: {text('linode-coder ' + at.session)}",
            "    provider: openai",
            f"    model: {text(at.name)}",
            f"    apiBase: {at.url}",
            "    apiKey: ${{ secrets.VLLM_API_KEY }}",
            "    roles: [chat, edit, apply]",
            f"    capabilities: [{', '.join(capabilities)}]",
            "    defaultCompletionOptions:",
            f"      contextLength: {at.context}",
            f"      maxTokens: {at.output}",
        ]
    )


def cline(at: Endpoint) -> str:
    """It has no file for this: what to enter in its settings."""
    return "\n".join(
        [
            "API Provider        OpenAI Compatible",
            f"Base URL            {at.url}",
            f"API Key             the content of {at.key_file}",
            f"Model ID            {at.name}",
            f"Context Window      {at.context}",
            f"Max Output Tokens   {at.output}",
            f"Supports Images     {'yes' if at.images else 'no'}",
        ]
    )


def zed(at: Endpoint) -> str:
    model = {
        "name": at.name,
        "display_name": f"linode-coder {at.session}",
        "max_tokens": at.context,
        "max_output_tokens": at.output,
        "capabilities": {
            "tools": at.tools,
            "images": at.images,
            "parallel_tool_calls": False,
            "prompt_cache_key": False,
        },
    }
    # Its key comes from CODERVM_API_KEY; a provider called Linode would want LINODE_API_KEY, which is something else.
    return _pretty(
        {"language_models": {"openai_compatible": {"CoderVM": {"api_url": at.url, "available_models": [model]}}}}
    )


@dataclass(frozen=True)
class Client:
    """``variable`` is where the client looks for the key, None when the configuration brings it or it has to be entered."""

    render: Callable[[Endpoint], str]
    where: str
    variable: str | None = None
    agent: bool = False


CLIENTS: dict[str, Client] = {
    "aider": Client(aider, "a shell, in the project's directory"),
    "claude": Client(claude, "a shell, before `claude`", agent=True),
    "cline": Client(cline, "the settings of Cline or Roo Code", agent=True),
    "codex": Client(codex, "~/.codex/config.toml", "VLLM_API_KEY", agent=True),
    "continue": Client(continue_dev, "~/.continue/config.yaml", "VLLM_API_KEY"),
    "openai": Client(openai, "a shell"),
    "opencode": Client(opencode, "opencode.json in the project or ~/.config/opencode", "VLLM_API_KEY", agent=True),
    "zed": Client(zed, "settings.json of Zed", "CODERVM_API_KEY", agent=True),
}


def notes(name: str, at: Endpoint) -> list[str]:
    """What to know beside the configuration."""
    client = CLIENTS[name]
    found = [f"For {client.where}. Context {at.context} tokens, answers up to {at.output}."]
    if client.variable:
        found.append(f"It takes the key from the environment: export {client.variable}={at.key}")
    if client.agent and not at.tools:
        found.append("The engine runs this model without a tool parser, so agents cannot call tools.")
    if client.agent and at.context < AGENT_CONTEXT:
        found.append(f"Agents want a context of {AGENT_CONTEXT} tokens and more.")
    return found
