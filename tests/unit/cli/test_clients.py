# SPDX-License-Identifier: GPL-3.0-or-later
"""The configurations that `use --print` prints, without an endpoint behind them."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from linode_coder.endpoint.clients import CLIENTS, Endpoint, notes
from tests.hostile import CORPUS, canary, encodable
from tools.client_list import CLIENTS as RUN

DOCS = Path(__file__).parents[3] / "collections/ansible_collections/linode_coder/gpu/docs/clients.md"
AT = Endpoint("demo", "http://127.0.0.1:18123/v1", "coder", 131072, "/home/o'neil/key file", tools=True, images=False)


def test_the_docs_name_every_client() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", DOCS.read_text(), re.MULTILINE)
    assert [(name, where.replace("`", "")) for name, where in rows] == [
        (name, client.where.replace("`", "")) for name, client in CLIENTS.items()
    ]


@pytest.mark.parametrize("client", ["aider", "claude", "cline", "continue", "opencode", "qwen", "vscode", "zed"])
def test_who_can_limit_an_answer_does(client: str) -> None:
    assert CLIENTS[client].limits and re.search(r"\b16384\b", CLIENTS[client].render(AT))


@pytest.mark.parametrize("client", ["codex", "llm", "openai"])
def test_who_cannot_limit_an_answer_is_not_told_to(client: str) -> None:
    assert not CLIENTS[client].limits and "16384" not in CLIENTS[client].render(AT) + " ".join(notes(client, AT))


def test_claude_code_is_told_all_that_it_would_guess(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret")
    at = Endpoint("demo", AT.url, "coder", 16384, str(key), tools=True, images=False)
    shell = ["env", "-i", "ANTHROPIC_API_KEY=another", "sh", "-euc", f"{CLIENTS['claude'].render(at)}\n/usr/bin/env"]
    said = subprocess.run(shell, capture_output=True, text=True, check=True).stdout
    found = dict(line.split("=", 1) for line in said.splitlines() if line.startswith(("ANTHROPIC_", "CLAUDE_")))
    assert found == {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:18123",
        "ANTHROPIC_AUTH_TOKEN": "secret",
        **{f"ANTHROPIC_DEFAULT_{size}_MODEL": "coder" for size in ("OPUS", "SONNET", "HAIKU", "FABLE")},
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "16384",
        "CLAUDE_CODE_DISABLE_1M_CONTEXT": "1",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "4096",
    }


@pytest.mark.parametrize("client", sorted(CLIENTS))
def test_the_context_is_the_engine_s_and_an_answer_a_part_of_it(client: str) -> None:
    text = CLIENTS[client].render(AT) + " ".join(notes(client, AT))
    assert "131072" in text
    assert AT.output == 16384
    assert Endpoint("d", AT.url, "c", 8000, "k", tools=True, images=False).output == 2000


def test_what_agents_lack_is_said() -> None:
    poor = Endpoint("demo", AT.url, "coder", 8192, "k", tools=False, images=False)
    assert len(notes("claude", poor)) == len(notes("claude", AT)) + 2
    assert len(notes("openai", poor)) == len(notes("openai", AT))


# What a shell can be given at all.
NAMES = [
    text
    for text in (*CORPUS.values(), *canary("/dev/shm/lc-client-canary").values())
    if encodable(text) and "\0" not in text
]
# What each sets, said by a shell that has evaluated it; in place of aider stands one that says its model.
SAID = {
    "openai": 'printf %s "$OPENAI_MODEL"',
    "claude": 'printf %s "$ANTHROPIC_DEFAULT_OPUS_MODEL"',
    "aider": "",
    "cline": "",
}


AIDERS = (".aider.model.metadata.json", ".aider.model.settings.yml")


@pytest.mark.parametrize("client", SAID)
def test_a_name_is_no_word_of_a_shell(client: str, tmp_path: Path) -> None:
    """The engine says it, and a shell evaluates it: `eval "$(linode-coder use --print CLIENT)"`."""
    key = tmp_path / "o'neil's key"
    key.write_text("secret")
    for name in NAMES:
        text = CLIENTS[client].render(Endpoint("demo", AT.url, name, 8192, str(key), tools=True, images=False))
        if client == "cline":
            text = text.partition("\n\nAPI Provider")[0]
        called = 'aider() { printf %s "${2#openai/}"; }\ncline() { printf %s "$7"; }'
        script = f"{called}\n{text}\n{SAID[client]}"
        done = subprocess.run(["sh", "-eu"], input=script.encode(), cwd=tmp_path, capture_output=True, check=True)
        assert (done.stdout.decode(), done.stderr) == (name, b"")
        assert {path.name for path in tmp_path.iterdir()} <= {key.name, *AIDERS}
        if client == "aider":
            (metadata, settings) = ((tmp_path / file).read_text() for file in AIDERS)
            ((told, limits),) = json.loads(metadata).items()
            assert (told, limits["max_output_tokens"]) == (f"openai/{name}", 2048)
            assert yaml.safe_load(settings) == [
                {"name": f"openai/{name}", "use_repo_map": True, "extra_params": {"max_tokens": 2048}}
            ]
        assert not Path("/dev/shm/lc-client-canary").exists()


@pytest.mark.parametrize("client", ["codex", "continue", "llm", "opencode", "qwen", "vscode", "zed"])
def test_a_name_is_no_syntax_of_a_configuration(client: str) -> None:
    for name in NAMES:
        text = CLIENTS[client].render(Endpoint("demo", AT.url, name, 8192, "k", tools=True, images=False))
        if client == "codex":
            assert tomllib.loads(text)["model"] == name
        elif client == "llm":
            assert yaml.safe_load(text)[0]["model_name"] == name
        elif client in ("qwen", "vscode"):
            read = json.loads(text)
            assert (read[0]["models"][0]["id"] if client == "vscode" else read["model"]["name"]) == name
        elif client == "continue":
            assert yaml.safe_load(text)["models"][0]["model"] == name
        else:
            assert name in json.dumps(json.loads(text), ensure_ascii=False) or json.dumps(name)[1:-1] in text


FILLS = replace(AT, fill_in="qwen")
QWEN = "<|fim_prefix|>{{{prefix}}}<|fim_suffix|>{{{suffix}}}<|fim_middle|>"


def test_continue_is_told_how_to_complete_what_is_typed() -> None:
    chat, complete = yaml.safe_load(CLIENTS["continue"].render(FILLS))["models"]
    assert chat == yaml.safe_load(CLIENTS["continue"].render(AT))["models"][0]
    assert complete["roles"] == ["autocomplete"] and complete["autocompleteOptions"] == {"template": QWEN}
    same = ("provider", "model", "apiBase", "apiKey")
    assert [complete[key] for key in same] == [chat[key] for key in same]
    # vLLM refuses more with 400, and Continue has more of its own.
    assert complete["maxStopWords"] == 4


def test_zed_is_told_how_to_complete_what_is_typed() -> None:
    told = json.loads(CLIENTS["zed"].render(FILLS))["edit_predictions"]
    assert told["provider"] == "open_ai_compatible_api"
    assert told[told["provider"]] == {
        "api_url": "http://127.0.0.1:18123/v1/completions",
        "model": "coder",
        "prompt_format": "qwen",
        "max_output_tokens": 64,
    }
    assert any("ZED_OPEN_AI_COMPATIBLE_EDIT_PREDICTION_API_KEY" in note for note in notes("zed", FILLS))


@pytest.mark.parametrize("client", ["continue", "zed"])
def test_who_could_complete_says_when_the_model_cannot(client: str) -> None:
    assert "nothing is suggested" in " ".join(notes(client, AT)) and "fim" not in CLIENTS[client].render(AT)
    assert "nothing is suggested" not in " ".join(notes(client, FILLS))


def test_the_docs_tell_of_the_versions_that_are_run() -> None:
    told = set(re.findall(r"^\| (\w+) ([\d.]+) \| \d+K \|", DOCS.read_text(), re.MULTILINE))
    assert told == {(name, client.package.version) for name, client in RUN.items()}
