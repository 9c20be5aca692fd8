# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown to somebody who has no account yet: where a session would run, and what it would cost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox_fixture import RunningSandbox, start_sandbox

CODER = str(Path(sys.executable).parent / "linode-coder")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("without"), hosts="none") as running:
        yield running


def coder(sandbox: RunningSandbox, *words: str) -> Any:
    env = {key: value for key, value in sandbox.env.items() if key != "LINODE_TOKEN"} | {"HF_HUB_OFFLINE": "1"}
    return subprocess.run([CODER, *words], env=env, cwd="/", capture_output=True, text=True, timeout=120)


def test_a_dry_run_of_up_needs_none(sandbox: RunningSandbox) -> None:
    done = coder(sandbox, "up", "demo", "--dry-run", "--region", "frankfurt", "--json")
    assert done.returncode == 0, done.stderr
    quote = next(row["quote"] for row in map(json.loads, done.stdout.splitlines()) if "quote" in row)
    assert quote["hourly"] > 0 and quote["offers"][0]["region"] == "de-fra-2"
    assert quote["places"] == {"frankfurt": ["de-fra-2", "eu-central"]}
    assert "token    none" in coder(sandbox, "up", "demo", "--dry-run").stdout


def test_anything_that_spends_does(sandbox: RunningSandbox) -> None:
    for words in (("up", "demo", "--yes"), ("down", "demo", "--dry-run"), ("list",)):
        assert coder(sandbox, *words).returncode == 4
