# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients that `make test-clients` runs: which version of which package, and how each is given a prompt."""

from __future__ import annotations

import json
from dataclasses import dataclass

_DO = "echo made > made.txt"


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
    names of files that it keeps in a project for itself. ``window`` is a prompt on which it says how long it believes the context to
    be, in thousands of tokens. With a context of less than ``least`` its own prompt has no room.
    """

    package: Package
    command: str
    file: str | None = None
    tool: str | None = None
    arguments: str = ""
    own: tuple[str, ...] = ()
    window: str | None = None
    least: int = 0


def _npm(name: str, version: str) -> Package:
    return Package("npm", name, version)


_AIDER = "--yes-always --no-check-update --analytics-disable --no-show-release-notes --no-fancy-input --no-pretty"

CLIENTS: dict[str, Run] = {
    "aider": Run(
        Package("pypi", "aider-chat", "0.86.2"),
        # The configuration ends with the command itself.
        f'aider() {{ command aider "$@" {_AIDER} --message "$PROMPT"; }}',
        own=(".aider", ".gitignore"),
    ),
    "claude": Run(
        _npm("@anthropic-ai/claude-code", "2.1.332"),
        'claude -p "$PROMPT" --allowedTools Bash',
        tool="Bash",
        arguments=json.dumps({"command": _DO, "description": "make it"}),
        window="/context",
    ),
    "cline": Run(_npm("cline", "3.0.65"), 'cline "$PROMPT"'),
    "codex": Run(
        _npm("@openai/codex", "0.171.0"),
        'codex exec --strict-config --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox "$PROMPT"',
        ".codex/config.toml",
        tool="exec_command",
        arguments=json.dumps({"cmd": _DO}),
    ),
    "continue": Run(_npm("@continuedev/cli", "1.5.47"), 'cn -p "$PROMPT"', ".continue/config.yaml"),
    "llm": Run(
        Package("pypi", "llm", "0.36"), 'llm -m coder "$PROMPT"', ".config/io.datasette.llm/extra-openai-models.yaml"
    ),
    "opencode": Run(
        _npm("opencode-ai", "1.18.33"),
        'opencode run "$PROMPT"',
        ".config/opencode/opencode.json",
        tool="bash",
        arguments=json.dumps({"command": _DO, "description": "make it"}),
    ),
    "qwen": Run(
        _npm("@qwen-code/qwen-code", "0.24.4"),
        'qwen --yolo -p "$PROMPT"',
        ".qwen/settings.json",
        tool="run_shell_command",
        arguments=json.dumps({"command": _DO, "is_background": False}),
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
