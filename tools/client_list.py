# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients that `make test-clients` runs: which version of which package, and how each is given a prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_DO = "echo made > made.txt"
ALIAS = "claude-opus-4-8"
_SDK_AGENT = Path(__file__).with_name("sdk_agent.py")


@dataclass(frozen=True)
class Package:
    """``registry`` is npm or pypi."""

    registry: str
    name: str
    version: str


@dataclass(frozen=True)
class Run:
    """``command`` is a line of a shell in which $PROMPT is the prompt; ``file`` is where the configuration goes, below the home of
    the client; None where a shell reads it. ``tool`` is called with ``arguments`` that make a file made.txt. ``own`` begins the
    names of files that it keeps in a project for itself, ``kept`` those of what it keeps below its home: configuration, sessions,
    caches; what begins with tmp/ lies among its temporary files. With a context of less than ``least`` its own prompt has no room.

    ``asked`` makes it tell what it understood: a prompt when it begins with a slash, else a line of a shell instead of ``command``.
    ``tells`` finds it there: patterns for window, output, tools and images, each with one group. ``share`` is how much of the window
    it counts. ``alias`` is a line that asks for ALIAS, another model's name by which the session serves too. ``printed`` is its name for `use --print`, where that is another one.
    """

    package: Package
    command: str
    file: str | None = None
    tool: str | None = None
    arguments: str = ""
    own: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    least: int = 0
    asked: str = ""
    tells: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0
    alias: str = ""
    printed: str | None = None


def _npm(name: str, version: str) -> Package:
    return Package("npm", name, version)


_AIDER = "--yes-always --no-check-update --analytics-disable --no-show-release-notes --no-fancy-input --no-pretty"

_CODEX = 'codex exec --strict-config --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox "$PROMPT"'

CLIENTS: dict[str, Run] = {
    "aider": Run(
        Package("pypi", "aider-chat", "0.86.2"),
        # The configuration ends with the command itself.
        f'aider() {{ command aider "$@" {_AIDER} --message "$PROMPT"; }}',
        own=(".aider", ".gitignore"),
        kept=(".aider/",),
        asked="/tokens",
        tells={"window": r"([\d,]+) tokens max context window"},
    ),
    "anthropic": Run(
        Package("pypi", "anthropic", "2.14.0"),
        f'python {_SDK_AGENT} anthropic "$PROMPT"',
        tool="bash",
        arguments=json.dumps({"command": _DO}),
        asked=f"python {_SDK_AGENT} anthropic",
        tells={"window": r'"max_model_len":(\d+)'},
        alias=f'ANTHROPIC_DEFAULT_OPUS_MODEL={ALIAS} python {_SDK_AGENT} anthropic "$PROMPT"',
        printed="claude",
    ),
    "claude": Run(
        _npm("@anthropic-ai/claude-code", "2.1.332"),
        'claude -p "$PROMPT" --allowedTools Bash',
        tool="Bash",
        arguments=json.dumps({"command": _DO, "description": "make it"}),
        kept=(".claude.json", ".claude/"),
        asked="/context",
        tells={"window": r"/ ([\d.]+k)"},
        alias=f'claude --model {ALIAS} -p "$PROMPT"',
    ),
    "cline": Run(_npm("cline", "3.0.65"), 'cline "$PROMPT"', kept=(".cline/",)),
    "codex": Run(
        _npm("@openai/codex", "0.171.0"),
        _CODEX,
        ".codex/config.toml",
        tool="exec_command",
        arguments=json.dumps({"cmd": _DO}),
        kept=(".codex/",),
        asked=f'{_CODEX}; grep -roh "model_context_window[^,]*" ~/.codex/sessions',
        tells={"window": r'model_context_window":(\d+)'},
        share=0.95,
    ),
    "continue": Run(
        _npm("@continuedev/cli", "1.5.47"), 'cn -p "$PROMPT"', ".continue/config.yaml", kept=(".continue/",)
    ),
    "llm": Run(
        Package("pypi", "llm", "0.36"),
        'llm -m coder "$PROMPT"',
        ".config/io.datasette.llm/extra-openai-models.yaml",
        kept=(".config/io.datasette.llm/",),
        asked="llm models --options -q coder",
        tells={"tools": r"Features:[\s\S]*?- (tools)", "images": r"(Attachment types)"},
    ),
    "openai": Run(
        Package("pypi", "openai", "3.57.0"),
        f'python {_SDK_AGENT} openai "$PROMPT"',
        tool="bash",
        arguments=json.dumps({"command": _DO}),
        asked=f"python {_SDK_AGENT} openai",
        tells={"window": r'"max_model_len":(\d+)'},
        alias=f'OPENAI_MODEL={ALIAS} python {_SDK_AGENT} openai "$PROMPT"',
    ),
    "opencode": Run(
        _npm("opencode-ai", "1.18.33"),
        'opencode run "$PROMPT"',
        ".config/opencode/opencode.json",
        tool="bash",
        arguments=json.dumps({"command": _DO, "description": "make it"}),
        kept=(".config/opencode/", ".local/share/opencode/", ".local/state/opencode/", ".cache/opencode/", "tmp/."),
        asked="opencode models linode-coder --verbose",
        tells={
            "window": r'"context": (\d+)',
            "output": r'"output": (\d+)',
            "tools": r'"toolcall": (\w+)',
            "images": r'"image": (\w+)',
        },
    ),
    "qwen": Run(
        _npm("@qwen-code/qwen-code", "0.24.4"),
        'qwen --yolo -p "$PROMPT"',
        ".qwen/settings.json",
        tool="run_shell_command",
        arguments=json.dumps({"command": _DO, "is_background": False}),
        kept=(".qwen/",),
        asked="/context",
        tells={"window": r"Context window: ([\d.]+k)"},
        least=32768,
    ),
}
# No telemetry, no updates, nothing beyond this machine, and no minutes of trying again.
SILENCE = {
    "DO_NOT_TRACK": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_MAX_RETRIES": "2",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "CONTINUE_TELEMETRY_ENABLED": "0",
    "CLINE_NO_AUTO_UPDATE": "1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
}

# What their users may have configured before `launch`: another provider, at the address ELSEWHERE.
OWN_CONFIGURATION: dict[str, dict[str, object]] = {
    "aider": {
        ".aider.conf.yml": {
            "model": "openai/own",
            "weak-model": "openai/own",
            "openai-api-base": "ELSEWHERE",
            "openai-api-key": "own",
        }
    },
    "claude": {
        ".claude/settings.json": {
            "env": {
                "ANTHROPIC_BASE_URL": "ELSEWHERE",
                "ANTHROPIC_AUTH_TOKEN": "own",
                "ANTHROPIC_API_KEY": "own",
                "CLAUDE_CODE_USE_BEDROCK": "1",
            },
            "model": "claude-own",
        }
    },
    "cline": {
        ".cline/data/settings/providers.json": {
            "version": 1,
            "lastUsedProvider": "openai-compatible",
            "modes": {},
            "providers": {
                "openai-compatible": {
                    "settings": {
                        "provider": "openai-compatible",
                        "apiKey": "own",
                        "model": "own",
                        "baseUrl": "ELSEWHERE",
                    },
                    "updatedAt": "2026-11-01T00:00:00.000Z",
                    "tokenSource": "manual",
                }
            },
        }
    },
    "codex": {
        ".codex/config.toml": 'model = "own"\nmodel_provider = "own"\n[model_providers.own]\nname = "own"\n'
        'base_url = "ELSEWHERE"\nwire_api = "responses"\n'
    },
    "continue": {
        ".continue/config.yaml": {
            "name": "own",
            "version": "1.0.0",
            "schema": "v1",
            "models": [{"name": "own", "provider": "openai", "model": "own", "apiBase": "ELSEWHERE", "apiKey": "own"}],
        }
    },
    "opencode": {
        # With what these two would add to it themselves.
        ".config/opencode/opencode.json": {
            "$schema": "https://opencode.ai/config.json",
            "provider": {
                "own": {
                    "npm": "@ai-sdk/openai-compatible",
                    "options": {"baseURL": "ELSEWHERE"},
                    "models": {"own": {}},
                }
            },
            "model": "own/own",
            "small_model": "own/own",
        }
    },
    "qwen": {
        ".qwen/settings.json": {
            "modelProviders": {"openai": [{"id": "own", "baseUrl": "ELSEWHERE", "envKey": "OWN"}]},
            "security": {"auth": {"selectedType": "openai"}},
            "model": {"name": "own"},
            "$version": 4,
        }
    },
}
