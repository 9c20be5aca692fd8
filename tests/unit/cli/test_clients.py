# SPDX-License-Identifier: GPL-3.0-or-later
"""The configurations that `use --print` prints, without an endpoint behind them."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from linode_coder.endpoint.clients import CLIENTS, Endpoint, notes
from tests.hostile import CORPUS, canary, encodable

DOCS = Path(__file__).parents[3] / "collections/ansible_collections/linode_coder/gpu/docs/clients.md"
AT = Endpoint("demo", "http://127.0.0.1:18123/v1", "coder", 131072, "/home/o'neil/key file", tools=True, images=False)


def test_the_docs_name_every_client() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", DOCS.read_text(), re.MULTILINE)
    assert [(name, where.replace("`", "")) for name, where in rows] == [
        (name, client.where.replace("`", "")) for name, client in CLIENTS.items()
    ]


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
}


@pytest.mark.parametrize("client", SAID)
def test_a_name_is_no_word_of_a_shell(client: str, tmp_path: Path) -> None:
    """The engine says it, and a shell evaluates it: `eval "$(linode-coder use --print CLIENT)"`."""
    key = tmp_path / "o'neil's key"
    key.write_text("secret")
    for name in NAMES:
        text = CLIENTS[client].render(Endpoint("demo", AT.url, name, 8192, str(key), tools=True, images=False))
        script = f'aider() {{ printf %s "${{2#openai/}}"; }}\n{text}\n{SAID[client]}'
        done = subprocess.run(["sh", "-eu"], input=script.encode(), cwd=tmp_path, capture_output=True, check=True)
        assert (done.stdout.decode(), done.stderr) == (name, b"")
        assert {path.name for path in tmp_path.iterdir()} <= {key.name, ".aider.model.metadata.json"}
        assert not Path("/dev/shm/lc-client-canary").exists()


@pytest.mark.parametrize("client", ["codex", "continue", "opencode", "zed"])
def test_a_name_is_no_syntax_of_a_configuration(client: str) -> None:
    for name in NAMES:
        text = CLIENTS[client].render(Endpoint("demo", AT.url, name, 8192, "k", tools=True, images=False))
        if client == "codex":
            assert tomllib.loads(text)["model"] == name
        elif client == "continue":
            assert yaml.safe_load(text)["models"][0]["model"] == name
        else:
            assert name in json.dumps(json.loads(text), ensure_ascii=False) or json.dumps(name)[1:-1] in text
