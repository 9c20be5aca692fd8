# SPDX-License-Identifier: GPL-3.0-or-later
"""The sessions of a group: the words of their commands, the key that they share, and what is made of what they say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from ansible_collections.linode_coder.gpu.plugins.filter.group_key import group_key
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import api_key_path
from typer.testing import CliRunner

from linode_coder.cli import up_group
from linode_coder.terminal.console import Console
from tests.hostile import CORPUS

TALKS = """
import json, sys
for line in json.loads(sys.argv[1]):
    print(line if isinstance(line, str) else json.dumps(line), flush=True)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def said_by(monkeypatch: pytest.MonkeyPatch, console: Console, said: dict[str, list[Any]]) -> dict[str, Any]:
    """What becomes of members whose commands say this."""

    def command(_group: str, name: str, _options: object) -> list[str]:
        return [sys.executable, "-c", TALKS, json.dumps(said[name])]

    monkeypatch.setattr(up_group, "_command", command)
    return up_group._run_all(console, "team", {name: [] for name in said})


def test_each_members_result_and_failure_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Failure("capacity", "No place has capacity.").as_dict()
    told = {
        "team-1": ["noise", [1], {"event": "result", "changed": 3}],
        "team-2": [{"event": "error", "error": wrong}],
        "team-3": [],
    }
    runs = said_by(monkeypatch, Console(True), told)
    assert runs["team-1"].result["changed"] == 3 and runs["team-1"].failure is None
    assert (runs["team-2"].failure.kind, runs["team-2"].result) == ("capacity", None)
    assert runs["team-3"].result is runs["team-3"].failure is None


def test_what_a_member_says_is_text(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    attempts = [{"event": "attempt", "attempt": {"plan": text, "region": text}} for text in CORPUS.values()]
    phases = [{"event": "phase_finished", "phase": text, "outcome": text} for text in CORPUS.values()]
    said_by(monkeypatch, Console(False), {"team-1": [*attempts, *phases]})
    shown = capfd.readouterr()
    assert not {char for char in shown.out + shown.err if ord(char) < 32 and char != "\n"}
    assert shown.err.count("team-1: ") >= len(attempts) + len(phases)


def test_a_broken_line_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["[" * 10_000, "{", '{"event": "result", "changed": "x"}', '{"event": "error", "error": 7}']
    runs = said_by(monkeypatch, Console(True), {"team-1": lines})
    assert runs["team-1"].result is not None and runs["team-1"].failure is None


def words(*arguments: str) -> tuple[list[str], list[str]]:
    found: list[tuple[list[str], list[str]]] = []
    app = typer.Typer()

    @app.command()
    def probe(
        context: typer.Context,
        name: str,
        lease: str | None = None,
        plan: list[str] | None = None,
        webui: bool | None = typer.Option(None, "--webui/--no-webui"),
        yes: bool = typer.Option(False, "--yes", "-y"),
        authorized_key: list[str] | None = None,
        max_cost: float | None = None,
    ) -> None:
        found.append(up_group.given_options(context))

    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return found[0]


def test_options_go_on_to_the_sessions_as_they_were_given() -> None:
    given = ("team", "--lease", "-4h", "--plan", "a", "--plan", "b,c", "--no-webui", "-y", "--max-cost", "3")
    assert words(*given, "--authorized-key", "k.pub") == (
        ["--lease=-4h", "--plan=a", "--plan=b,c", "--no-webui"],
        ["--authorized-key=k.pub"],
    )
    assert words("team") == ([], [])


def test_a_new_group_has_one_key_from_the_beginning() -> None:
    up_group._same_key("team", [])
    key = api_key_path("team").read_text().strip()
    assert len(key) == 40 and key.isalnum()
    assert api_key_path("team").stat().st_mode & 0o777 == 0o600
    up_group._same_key("team", [])
    assert group_key("team") == key


@pytest.mark.parametrize("text", [*CORPUS.values(), "two words", "", "k" * 600])
def test_a_key_that_is_none_is_given_to_no_vm(text: str) -> None:
    api_key_path("team").parent.mkdir(parents=True)
    api_key_path("team").write_text(text, errors="surrogatepass")
    # Some of them are words that a key may be.
    assert re.fullmatch("[A-Za-z0-9_-]{0,512}", group_key("team"))
    assert group_key("team") in ("", text.strip())
    assert group_key("") == group_key(None) == ""


def test_members_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """As a terminal that is closed does it: no command goes on spending."""
    started = tmp_path / "started"
    member = f"import pathlib, time; pathlib.Path({str(started)!r}).write_text('x'); time.sleep(300)"
    parent = f"""
import sys, subprocess
from linode_coder.cli import up_group
launcher = up_group._command("team", "team-1", [])
launcher = launcher[:launcher.index("") + 1]
child = subprocess.Popen([*launcher, sys.executable, "-c", {member!r}])
print(child.pid, flush=True)
child.wait()
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, cwd="/") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        deadline = time.monotonic() + 60
        while not started.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
