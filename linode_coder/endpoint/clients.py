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

from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import FILL_IN

# Of what is suggested while somebody types: it has to come at once.
_FILLED_IN = 64
# The engine takes no more strings at which an answer ends.
_MOST_STOPS = 4
# What serves agents; below it the notes say so.
AGENT_CONTEXT = 32768
_MOST_OUTPUT = 16384
# Where the session's key is looked for by all that let us choose: `use` exports it, `launch` sets it.
KEY_VARIABLE = "LINODE_CODER_API_KEY"
# Claude Code asks for models by these.
CLAUDE_SIZES = ("OPUS", "SONNET", "HAIKU", "FABLE")


def output_of(context: int) -> int:
    """Tokens of one answer: a quarter of the context leaves room for what is asked."""
    return min(context // 4, _MOST_OUTPUT)


@dataclass(frozen=True)
class Endpoint:
    """``url`` ends with /v1, ``name`` is what the engine calls its model, ``context`` its length in tokens. ``fill_in`` is how the
    model is asked for what is missing between two pieces of code, of the catalogue's FILL_IN; None where it is not known to be able.
    """

    session: str
    url: str
    name: str
    context: int
    key_file: str
    tools: bool
    images: bool
    fill_in: str | None = None

    @property
    def root(self) -> str:
        """Without /v1, for clients that add it."""
        return self.url.removesuffix("/v1")

    @property
    def output(self) -> int:
        return output_of(self.context)

    @property
    def key(self) -> str:
        """For a shell: read from the file when it is evaluated."""
        return f'"$(cat {shlex.quote(self.key_file)})"'


def _pretty(document: dict[str, Any] | list[Any]) -> str:
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


def aider_model(at: Endpoint) -> str:
    """What aider calls the session's model."""
    return f"openai/{at.name}"


def aider_files(at: Endpoint) -> dict[str, str]:
    """What aider is told of the model, by the name of the file where it looks for it."""
    metadata = {
        aider_model(at): {
            "max_input_tokens": at.context,
            "max_output_tokens": at.output,
            "litellm_provider": "openai",
            "mode": "chat",
        }
    }
    # What it knows of a model is not what it asks for: without this it sets no limit, and leaves its map of files out.
    settings = [
        f"- name: {_quoted(aider_model(at))}",
        "  use_repo_map: true",
        "  extra_params:",
        f"    max_tokens: {at.output}",
    ]
    return {".aider.model.metadata.json": _pretty(metadata), ".aider.model.settings.yml": "\n".join(settings)}


def aider(at: Endpoint) -> str:
    return "\n".join(
        [
            f"export OPENAI_API_BASE={at.url}",
            f"export OPENAI_API_KEY={at.key}",
            *(f"cat > {name} <<'END'\n{text}\nEND" for name, text in aider_files(at).items()),
            f"aider --model {shlex.quote(aider_model(at))}",
        ]
    )


def claude_environment(at: Endpoint) -> dict[str, str]:
    """All that Claude Code is told, but for the key."""
    return {
        "ANTHROPIC_BASE_URL": at.root,
        **{f"ANTHROPIC_DEFAULT_{size}_MODEL": at.name for size in CLAUDE_SIZES},
        # It knows no other models than its own: of this one it would believe in a million tokens, and ask for 32000 each time.
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(at.context),
        "CLAUDE_CODE_DISABLE_1M_CONTEXT": "1",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(at.output),
    }


def claude(at: Endpoint) -> str:
    return "\n".join(
        [
            *(f"export {variable}={shlex.quote(value)}" for variable, value in claude_environment(at).items()),
            f"export ANTHROPIC_AUTH_TOKEN={at.key}",
            # Someone else's key, which would come here in a header that the engine does not read.
            "unset ANTHROPIC_API_KEY",
        ]
    )


def codex_settings(at: Endpoint) -> dict[str, str]:
    """Which model codex takes from where: the first lines of its configuration, values as TOML."""
    return {
        "model": _quoted(at.name),
        "model_provider": '"linode_coder"',
        "model_context_window": str(at.context),
    }


def codex_table(at: Endpoint) -> dict[str, str]:
    """Where codex finds the engine: its table ``model_providers.linode_coder``, values as TOML."""
    provider = {"name": "linode_coder", "base_url": at.url, "env_key": KEY_VARIABLE, "wire_api": "responses"}
    return {key: _quoted(value) for key, value in provider.items()}


def codex(at: Endpoint) -> str:
    return "\n".join(
        [
            "# ~/.codex/config.toml",
            *(f"{key} = {value}" for key, value in codex_settings(at).items()),
            "",
            "[model_providers.linode_coder]",
            *(f"{key} = {value}" for key, value in codex_table(at).items()),
        ]
    )


def opencode_settings(at: Endpoint) -> dict[str, Any]:
    """The document that opencode.json is."""
    model = {"name": at.name, "tool_call": at.tools, "limit": {"context": at.context, "output": at.output}}
    return {
        "$schema": "https://opencode.ai/config.json",
        "provider": {
            "linode-coder": {
                "npm": "@ai-sdk/openai-compatible",
                "name": f"linode-coder {at.session}",
                "options": {"baseURL": at.url, "apiKey": f"{{env:{KEY_VARIABLE}}}"},
                "models": {at.name: model},
            }
        },
        "model": f"linode-coder/{at.name}",
    }


def opencode(at: Endpoint) -> str:
    return _pretty(opencode_settings(at))


def continue_dev(at: Endpoint) -> str:
    text = _quoted
    capabilities = [name for name, has in (("tool_use", at.tools), ("image_input", at.images)) if has]
    return "\n".join(
        [
            f"# ~/.continue/config.yaml; put {KEY_VARIABLE} into ~/.continue/.env, or into the environment of cn",
            f"name: {text('linode-coder ' + at.session)}",
            "version: 1.0.0",
            "schema: v1",
            "models:",
            f"  - name: {text('linode-coder ' + at.session)}",
            "    provider: openai",
            f"    model: {text(at.name)}",
            f"    apiBase: {at.url}",
            f"    apiKey: ${{{{ secrets.{KEY_VARIABLE} }}}}",
            "    roles: [chat, edit, apply]",
            f"    capabilities: [{', '.join(capabilities)}]",
            "    defaultCompletionOptions:",
            f"      contextLength: {at.context}",
            f"      maxTokens: {at.output}",
            *(_continue_autocomplete(at, FILL_IN[at.fill_in]) if at.fill_in else ()),
        ]
    )


def _continue_autocomplete(at: Endpoint, prompt: str) -> list[str]:
    """Its own guess at the prompt goes by the model's name, which says nothing here."""
    text = _quoted
    return [
        f"  - name: {text('linode-coder ' + at.session + ' autocomplete')}",
        "    provider: openai",
        f"    model: {text(at.name)}",
        f"    apiBase: {at.url}",
        f"    apiKey: ${{{{ secrets.{KEY_VARIABLE} }}}}",
        "    roles: [autocomplete]",
        "    useLegacyCompletionsEndpoint: true",
        f"    maxStopWords: {_MOST_STOPS}",
        "    defaultCompletionOptions:",
        f"      contextLength: {at.context}",
        f"      maxTokens: {_FILLED_IN}",
        "    autocompleteOptions:",
        # Three braces: as it is, without the escapes of HTML.
        f"      template: {text(prompt.format(prefix='{{{prefix}}}', suffix='{{{suffix}}}'))}",
    ]


def qwen(at: Endpoint) -> str:
    limits = {"contextWindowSize": at.context, "samplingParams": {"max_tokens": at.output}}
    provider = {
        "id": at.name,
        "name": f"linode-coder {at.session}",
        "baseUrl": at.url,
        "envKey": KEY_VARIABLE,
        "generationConfig": limits,
    }
    return _pretty(
        {
            "modelProviders": {"openai": [provider]},
            "security": {"auth": {"selectedType": "openai"}},
            "model": {"name": at.name},
        }
    )


def llm(at: Endpoint) -> str:
    text = _quoted
    return "\n".join(
        [
            "# extra-openai-models.yaml, beside the file that `llm logs path` names",
            f"- model_id: {text(at.name)}",
            f"  model_name: {text(at.name)}",
            f"  api_base: {text(at.url)}",
            # Without a name it would send no key at all.
            "  api_key_name: linode-coder",
            "  supports_schema: true",
            f"  supports_tools: {str(at.tools).lower()}",
            f"  vision: {str(at.images).lower()}",
        ]
    )


def vscode(at: Endpoint) -> str:
    model = {
        "id": at.name,
        "name": f"linode-coder {at.session}",
        "url": f"{at.url}/chat/completions",
        "toolCalling": at.tools,
        "vision": at.images,
        "maxInputTokens": at.context - at.output,
        "maxOutputTokens": at.output,
    }
    provider = {"name": f"linode-coder {at.session}", "vendor": "customendpoint", "apiType": "chat-completions"}
    return _pretty([{**provider, "models": [model]}])


def cline(at: Endpoint) -> str:
    """Its command line has a command for this; the extension has no file: what to enter in its settings."""
    return "\n".join(
        [
            f"cline auth -p openai -k {at.key} -m {shlex.quote(at.name)} -b {at.url}",
            "",
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
    # Of the name of the provider it makes that of the variable for the key.
    settings: dict[str, Any] = {
        "language_models": {"openai_compatible": {"Linode Coder": {"api_url": at.url, "available_models": [model]}}}
    }
    if at.fill_in:
        settings["edit_predictions"] = {
            "provider": "open_ai_compatible_api",
            "open_ai_compatible_api": {
                "api_url": f"{at.url}/completions",
                "model": at.name,
                "prompt_format": at.fill_in,
                "max_output_tokens": _FILLED_IN,
            },
        }
    return _pretty(settings)


@dataclass(frozen=True)
class Client:
    """``variable`` is where the client looks for the key, None when the configuration brings it or it has to be entered.

    ``limits``: it can be told how long an answer may be. ``completes``: it can be told how to ask for what is suggested while
    somebody types; ``completes_key`` is where it looks for the key of that, when that is another variable.
    """

    render: Callable[[Endpoint], str]
    where: str
    variable: str | None = None
    agent: bool = False
    limits: bool = True
    asks: bool = False
    completes: bool = False
    completes_key: str | None = None


CLIENTS: dict[str, Client] = {
    "aider": Client(aider, "a shell, in the project's directory"),
    "claude": Client(claude, "a shell, before `claude`", agent=True),
    "cline": Client(cline, "a shell, or the settings of Cline or Roo Code", agent=True),
    "codex": Client(codex, "~/.codex/config.toml", KEY_VARIABLE, agent=True, limits=False),
    "continue": Client(continue_dev, "~/.continue/config.yaml", KEY_VARIABLE, completes=True),
    "llm": Client(llm, "extra-openai-models.yaml of llm", "OPENAI_API_KEY", limits=False),
    "openai": Client(openai, "a shell", limits=False),
    "opencode": Client(opencode, "opencode.json in the project or ~/.config/opencode", KEY_VARIABLE, agent=True),
    "qwen": Client(qwen, "~/.qwen/settings.json of Qwen Code", KEY_VARIABLE, agent=True),
    "vscode": Client(vscode, "chatLanguageModels.json of VS Code", agent=True, asks=True),
    "zed": Client(
        zed,
        "settings.json of Zed",
        KEY_VARIABLE,
        agent=True,
        completes=True,
        completes_key="ZED_OPEN_AI_COMPATIBLE_EDIT_PREDICTION_API_KEY",
    ),
}


def notes(name: str, at: Endpoint) -> list[str]:
    """What to know beside the configuration."""
    client = CLIENTS[name]
    length = f"answers up to {at.output}" if client.limits else "answers as long as it leaves room for"
    found = [f"For {client.where}. Context {at.context} tokens, {length}."]
    if client.variable:
        found.append(f"It takes the key from the environment: export {client.variable}={at.key}")
    if client.completes_key and at.fill_in:
        found.append(
            f"For suggestions while you type it takes it from another one: export {client.completes_key}={at.key}"
        )
    if client.completes and not at.fill_in:
        found.append(
            "This model is not known to fill in code between two others, so nothing is suggested while you type."
        )
    if client.asks:
        found.append(
            f"It asks for the key when the endpoint is added in its list of models: the content of {at.key_file}"
        )
    return found + lacking(name, at)


def lacking(name: str, at: Endpoint) -> list[str]:
    """What an agent does without on this endpoint."""
    found = []
    if CLIENTS[name].agent and not at.tools:
        found.append("The engine runs this model without a tool parser, so agents cannot call tools.")
    if CLIENTS[name].agent and at.context < AGENT_CONTEXT:
        found.append(f"Agents want a context of {AGENT_CONTEXT} tokens and more.")
    return found
