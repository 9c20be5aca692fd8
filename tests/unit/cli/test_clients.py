# SPDX-License-Identifier: GPL-3.0-or-later
"""The configurations that `use --print` prints, without an endpoint behind them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from linode_coder.clients import CLIENTS, Endpoint, notes

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
