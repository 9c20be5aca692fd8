# SPDX-License-Identifier: GPL-3.0-or-later
"""How `launch` starts an agent: the session's address and key by ways that nobody else sees, and nothing of its user's is touched."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from typer.testing import CliRunner

from linode_coder.cli import launch
from linode_coder.endpoint.agents import AGENTS, start
from linode_coder.endpoint.clients import CLIENTS, KEY_VARIABLE, Endpoint
from linode_coder.endpoint.session_files import forget_vm
from tests.hostile import CORPUS, encodable
from tools.client_list import CLIENTS as RUN
from tools.client_list import OWN_CONFIGURATION

AT = Endpoint("demo", "http://127.0.0.1:18123/v1", "coder", 131072, "/home/key", tools=True, images=False)
KEY = "the-key-of-the-session"


def test_each_is_a_client_that_is_tried_for_real() -> None:
    assert set(AGENTS) <= set(CLIENTS) and set(AGENTS) <= set(RUN) and set(AGENTS) == set(OWN_CONFIGURATION)


@pytest.mark.parametrize("name", AGENTS)
def test_the_key_is_no_argument(name: str, tmp_path: Path) -> None:
    begun = start(AGENTS[name], AT, KEY, tmp_path)
    assert KEY not in " ".join(begun.options)
    assert begun.environment[KEY_VARIABLE] == KEY


@pytest.mark.parametrize("name", AGENTS)
def test_address_model_and_context_are_said(name: str, tmp_path: Path) -> None:
    begun = start(AGENTS[name], AT, KEY, tmp_path)
    said = " ".join([*begun.options, *begun.environment.values(), *begun.files.values()])
    assert "127.0.0.1:18123" in said and "coder" in said
    assert "131072" in said or name == "cline"


@pytest.mark.parametrize("name", AGENTS)
def test_a_name_of_the_engine_is_no_option(name: str, tmp_path: Path) -> None:
    for text in CORPUS.values():
        if "\0" in text or not encodable(text):
            continue
        plain = start(AGENTS[name], AT, KEY, tmp_path).options
        hostile = start(AGENTS[name], Endpoint(**{**vars(AT), "name": text}), KEY, tmp_path).options
        assert len(hostile) == len(plain)
        # What stands alone is ours; a name stands behind something of ours.
        assert [word.split("=")[0] for word in hostile] == [word.split("=")[0] for word in plain]


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs `launch`: program, arguments and environment of what it became."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for agent in AGENTS.values():
        (programs / agent.program).write_text("#!/bin/sh\n")
        (programs / agent.program).chmod(0o700)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LINODE_TOKEN", raising=False)
    seen: list[Any] = []

    def running(name: str | None) -> dict[str, Any]:
        seen.append(name)
        # As a reader of the API does it with the tokens of a configuration.
        os.environ["LINODE_TOKEN"] = "of-our-own-configuration"
        return {"name": "demo"}

    monkeypatch.setattr(launch, "running_session", running)
    monkeypatch.setattr(launch, "api_key_file", lambda _view: tmp_path / "key")
    monkeypatch.setattr(launch, "api_key", lambda _view: KEY)
    monkeypatch.setattr(launch, "tunnel", lambda _console, _view: 18123)
    monkeypatch.setattr(launch, "endpoint_of", lambda _view, _port, _file: (AT, []))
    monkeypatch.setattr(launch.os, "execve", lambda *words: seen.extend(words))

    def called(*words: str) -> list[Any]:
        seen.clear()
        result = CliRunner().invoke(launch.app, list(words))
        if isinstance(result.exception, Failure):
            raise result.exception
        assert result.exit_code == 0, result.output
        return list(seen)

    yield called
    os.environ.pop("LINODE_TOKEN", None)


@pytest.mark.parametrize(
    ("words", "name", "given"),
    [
        (["claude"], None, []),
        (["claude", "demo"], "demo", []),
        (["claude", "--", "-p", "say hello"], None, ["-p", "say hello"]),
        (["claude", "demo", "--", "--json", "--"], "demo", ["--json", "--"]),
    ],
)
def test_words(begin: Any, words: list[str], name: str | None, given: list[str]) -> None:
    chosen, path, argv, _environment = begin(*words)
    assert (chosen, Path(path).name) == (name, "claude")
    assert argv[:2] == ["claude", "--settings"] and argv[3:] == given


def test_what_was_somebody_else_s_is_not_there(begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "of-somebody-else")
    *_rest, environment = begin("claude")
    assert "ANTHROPIC_API_KEY" not in environment and environment["ANTHROPIC_AUTH_TOKEN"] == KEY
    # Nor what our own configuration has for us.
    assert "LINODE_TOKEN" not in environment


@pytest.mark.parametrize("name", AGENTS)
def test_files_are_for_their_owner_and_go_with_the_vm(begin: Any, name: str, tmp_path: Path) -> None:
    begin(name)
    directory = tmp_path / "home/state/sessions/demo/agents"
    files = list(directory.iterdir()) if directory.exists() else []
    assert {file.name for file in files} == set(start(AGENTS[name], AT, KEY, directory).files)
    assert all(file.stat().st_mode & 0o077 == 0 for file in [directory, *files] if file.exists())
    forget_vm("demo")
    assert not directory.exists()


def test_as_json_nothing_is_started_and_no_key_is_shown(begin: Any, capsys: pytest.CaptureFixture[str]) -> None:
    result = CliRunner().invoke(launch.app, ["claude", "demo", "--json"])
    document = json.loads(result.output)
    assert document["argv"][0] == "claude" and "ANTHROPIC_AUTH_TOKEN" in document["environment"]
    assert KEY not in result.output and begin("claude")[1:]


def test_what_is_not_installed_is_said_with_how_to_get_it(begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for name, agent in AGENTS.items():
        with pytest.raises(Failure) as refused:
            begin(name)
        assert refused.value.field == "agent" and agent.install in str(refused.value.remedy)


def test_an_agent_that_is_none(begin: Any) -> None:
    with pytest.raises(Failure, match="no agent 'claud'") as refused:
        begin("claud")
    assert "Did you mean claude?" in str(refused.value.remedy)
