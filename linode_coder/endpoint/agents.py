"""How `launch` starts each agent against a session: environment, options and files of its own, never the user's configuration.

What an agent reads of its user's configuration stays as it is; where that names another provider, what is said here counts more.
The key is in the environment or in a file for its owner alone, never an argument.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .clients import (
    KEY_VARIABLE,
    Endpoint,
    aider_files,
    aider_model,
    claude_environment,
    codex_settings,
    codex_table,
    continue_dev,
    opencode_settings,
    qwen,
)


@dataclass(frozen=True)
class Start:
    """One start: ``options`` go before the user's own arguments, ``unset`` is taken out of the environment. ``files`` are written
    below the directory that the start was made for, by their names there."""

    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Agent:
    """``program`` is what is run, ``install`` how people get it. ``start`` takes the endpoint, its key and the directory for files."""

    program: str
    install: str
    start: Callable[[Endpoint, str, Path], Start]


def _claude(at: Endpoint, key: str, directory: Path) -> Start:
    # What the settings of its user put into the environment counts more than what is there; this counts more than those.
    environment = {
        **claude_environment(at),
        "ANTHROPIC_AUTH_TOKEN": key,
        **{f"CLAUDE_CODE_USE_{cloud}": "0" for cloud in ("BEDROCK", "FOUNDRY", "VERTEX")},
    }
    settings = {"env": {**environment, "ANTHROPIC_API_KEY": ""}, "model": "opus"}
    return Start(
        options=("--settings", str(directory / "claude.json")),
        environment=environment,
        unset=("ANTHROPIC_API_KEY", "ANTHROPIC_MODEL"),
        files={"claude.json": json.dumps(settings)},
    )


def _codex(at: Endpoint, _key: str, _directory: Path) -> Start:
    table = {f"model_providers.linode_coder.{key}": value for key, value in codex_table(at).items()}
    settings = {**codex_settings(at), **table}
    return Start(options=tuple(word for key, value in settings.items() for word in ("-c", f"{key}={value}")))


def _opencode(at: Endpoint, _key: str, _directory: Path) -> Start:
    settings = opencode_settings(at)
    # Titles and summaries would go to another provider where its user's configuration names one for them.
    settings["small_model"] = settings["model"]
    return Start(environment={"OPENCODE_CONFIG_CONTENT": json.dumps(settings)})


def _aider(at: Endpoint, key: str, directory: Path) -> Start:
    metadata, settings = aider_files(at).values()
    model = aider_model(at)
    return Start(
        options=(
            f"--model={model}",
            f"--weak-model={model}",
            f"--editor-model={model}",
            f"--openai-api-base={at.url}",
            f"--model-metadata-file={directory / 'aider.metadata.json'}",
            f"--model-settings-file={directory / 'aider.settings.yml'}",
            # Read after the .env of the project, which would bring the key of somebody else.
            f"--env-file={directory / 'aider.env'}",
        ),
        environment={"OPENAI_API_BASE": at.url, "OPENAI_API_KEY": key, "AIDER_OPENAI_API_KEY": key},
        files={
            "aider.metadata.json": metadata,
            "aider.settings.yml": settings,
            "aider.env": f"OPENAI_API_KEY={key}\nAIDER_OPENAI_API_KEY={key}\nOPENAI_API_BASE={at.url}\n",
        },
    )


def _qwen(at: Endpoint, _key: str, directory: Path) -> Start:
    # The settings of the system, which count more than those of the user and of the project.
    path = directory / "qwen.json"
    return Start(environment={"QWEN_CODE_SYSTEM_SETTINGS_PATH": str(path)}, files={path.name: qwen(at)})


def _cline(at: Endpoint, key: str, directory: Path) -> Start:
    # `cline auth` writes this file for its user, and has the key among its arguments.
    settings = {"provider": "openai-compatible", "apiKey": key, "model": at.name, "baseUrl": at.url}
    provider = {"settings": settings, "updatedAt": "2026-01-01T00:00:00.000Z", "tokenSource": "manual"}
    document = {
        "version": 1,
        "lastUsedProvider": "openai-compatible",
        "modes": {},
        "providers": {"openai-compatible": provider},
    }
    path = directory / "cline.json"
    return Start(environment={"CLINE_PROVIDER_SETTINGS_PATH": str(path)}, files={path.name: json.dumps(document)})


def _continue(at: Endpoint, _key: str, directory: Path) -> Start:
    path = directory / "continue.yaml"
    return Start(options=("--config", str(path)), files={path.name: continue_dev(at) + "\n"})


# By their names for `use --print`.
AGENTS: dict[str, Agent] = {
    "claude": Agent("claude", "npm install -g @anthropic-ai/claude-code", _claude),
    "codex": Agent("codex", "npm install -g @openai/codex", _codex),
    "opencode": Agent("opencode", "npm install -g opencode-ai", _opencode),
    "aider": Agent("aider", "pipx install aider-chat", _aider),
    "qwen": Agent("qwen", "npm install -g @qwen-code/qwen-code", _qwen),
    "cline": Agent("cline", "npm install -g cline", _cline),
    "continue": Agent("cn", "npm install -g @continuedev/cli", _continue),
}


def start(agent: Agent, at: Endpoint, key: str, directory: Path) -> Start:
    """What starts ``agent``. The key is in the environment by its one name, whatever else the agent wants it by."""
    found = agent.start(at, key, directory)
    return Start(found.options, {KEY_VARIABLE: key, **found.environment}, found.unset, found.files)
