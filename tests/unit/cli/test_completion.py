# SPDX-License-Identifier: GPL-3.0-or-later
"""What completion offers for which words, and how little it takes for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from linode_coder import api
from linode_coder.completion import answer, names, table
from linode_coder.local import history
from tests.hostile import CORPUS
from tools.completion_table import PATH, rendered

KNOWN = {
    "session": [("demo", "a model"), ("devel", "another")],
    "model": [("gpt-oss-20b", ""), ("glm-4.7-flash", "")],
    "plan": [("g2-gpu-rtx4000a1-s", "")],
    "region": [("us-ord", "Chicago, IL"), ("us-sea", "Seattle, WA"), ("de-fra-2", "Frankfurt 2, DE")],
}


def offered(line: str) -> list[str] | str:
    found = answer.candidates(line.split(" "), lambda kind: KNOWN.get(kind, []))
    return found if isinstance(found, str) else [candidate.word for candidate in found]


def test_the_table_is_that_of_the_commands() -> None:
    assert PATH.read_text() == rendered(), "write it again: python -m tools.completion_table"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("vali", ["validate", "validate-perf"]),
        ("down ", ["demo", "devel"]),
        ("down de", ["demo", "devel"]),
        ("down demo ", []),
        ("extend dem", ["demo"]),
        ("-q down dem", ["demo"]),
        ("up x --reg", ["--region"]),
        ("up x --region us-", ["us-ord", "us-sea"]),
        ("up x --region=us-s", ["--region=us-sea"]),
        ("up x --region us-ord,de", ["us-ord,de-fra-2"]),
        ("up x --model g", ["gpt-oss-20b", "glm-4.7-flash"]),
        ("up x --yes --ye", []),
        ("up x --plan a --plan", ["--plan"]),
        ("up x --lease ", []),
        ("switch-model demo gl", ["glm-4.7-flash"]),
        ("switch-model g", ["gpt-oss-20b", "glm-4.7-flash"]),
        ("ask -s x --session de", ["demo", "devel"]),
        ("use --print op", ["openai", "opencode"]),
        ("launch cl", ["claude", "cline"]),
        ("launch claude dem", ["demo"]),
        ("completion z", ["zsh"]),
        ("logs demo --what b", ["boot"]),
        ("sandbox fault a", ["add"]),
        ("sandbox start --hosts si", ["simulated"]),
        ("watchdog in", ["install"]),
        ("nothing of the kind", []),
        ("up x --no-such-option ", []),
    ],
)
def test_what_may_come_next(line: str, words: list[str]) -> None:
    assert offered(line) == words


@pytest.mark.parametrize("line", ["check --bundle ", "ssh demo -- ", "launch claude demo -- -p "])
def test_files_are_the_shell_s(line: str) -> None:
    assert offered(line) == answer.FILES


@pytest.mark.parametrize(
    ("words", "whole", "written"),
    [
        (["up", "--region", "=", "us"], ["up", "--region=us"], len("--region=")),
        (["up", "--region", "="], ["up", "--region="], len("--region=")),
        (["up", "a=b"], ["up", "a=b"], 0),
        ([], [], 0),
    ],
)
def test_bash_cuts_words_at_the_equals_sign(words: list[str], whole: list[str], written: int) -> None:
    assert answer.joined(words) == (whole, written)


def test_no_hostile_name_is_offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shell puts into its line what it is given: `$(...)` in the label of a region would run at the next Return."""
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    texts = [*CORPUS.values(), "$(id)", "`id`", "a;b", "-rf", "a b", "a\nb", "--yes", ""]
    api._remember_regions(
        [{"id": text, "label": text, "capabilities": ["GPU Linodes"]} for text in texts if "\ud800" not in text]
        + [{"id": "de-fra-2", "label": "Frank\x1b[31mfurt $(id)", "capabilities": ["GPU Linodes"]}]
    )
    found = names.remembered("region")
    assert ("de-fra-2", "Frank31mfurt (id)") in found
    assert all(name[:1] != "-" and names._SAFE.issuperset(name) for name, _text in found)
    assert all(names._PLAIN.issuperset(text) for _name, text in found)


def test_sessions_are_those_that_the_history_has_not_seen_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    assert names.remembered("session") == []
    view = {"plan": "p", "owner": "o", "created": "2026-11-30T10:00:00Z", "hourly": 0.5}
    for number, name, model, region in ((1, "gone", "m", "r"), (2, "demo", "a/model", "us-ord"), (3, "$(id)", "", "")):
        history.saw([{**view, "name": name, "linode_id": number, "model": model, "region": region}])
    history.ended(1, 1, 0.5)
    assert names.remembered("session") == [("demo", "a/model in us-ord")]
    history.path().write_bytes(b"no database")
    assert names.remembered("session") == []


@pytest.mark.parametrize("where", ["environment", "file"])
def test_nobody_asks_a_server_at_the_press_of_a_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    """What the file knew before is old then: it is the sessions that this machine keeps files of."""
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    view = {"plan": "p", "region": "r", "model": "m", "owner": "o", "created": "2026-11-30T10:00:00Z", "hourly": 0.5}
    history.saw([{**view, "name": "old", "linode_id": 1}])
    (tmp_path / "state/sessions/demo").mkdir(parents=True)
    assert names.remembered("session") == [("old", "m in r")]
    url = "postgresql://192.0.2.1/history"
    if where == "environment":
        monkeypatch.setenv("LINODE_CODER_HISTORY_URL", url)
    else:
        (tmp_path / "config").mkdir()
        (tmp_path / "config/config.toml").write_text(f'lease = "4h"\nhistory_url = "{url}"\n')
    assert names.remembered("session") == [("demo", "")]


def test_an_old_one_of_a_thousand_sessions_is_offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    view = {"plan": "p", "region": "r", "model": "m", "owner": "o", "created": "2026-11-30T10:00:00Z", "hourly": 0.5}
    history.saw([{**view, "name": f"s{n}", "label": f"lc-s{n}-1", "linode_id": n} for n in range(1000)])
    found = answer.candidates(["status", "s99"], names.remembered)
    assert sorted(word for word, _text in found) == ["s99", *(f"s99{n}" for n in range(10))]


def test_it_imports_next_to_nothing() -> None:
    """Neither the commands nor what they need: it runs at every press of a key."""
    script = (
        "import sys; sys.argv = ['linode-coder', '__complete', 'bash', 'up', '--region', '']\n"
        "from linode_coder import __main__\n"
        "try: __main__.main()\n"
        "finally: print(*sorted(name for name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True)
    imported = set(done.stderr.split())
    ours = {name for name in imported if name.startswith("linode_coder.")}
    assert ours == {
        "linode_coder.__main__",
        "linode_coder.completion",
        *(f"linode_coder.completion.{part}" for part in ("answer", "names", "table")),
    }
    assert not imported & {"typer", "json", "sqlite3", "ansible_collections", "ansible", "ssl", "http"}


def test_the_scripts_are_those_of_the_shells() -> None:
    assert set(table.TABLE["commands"]["completion"]["arguments"][0]) == {
        path.suffix[1:] for path in Path(answer.__file__).parent.glob("linode-coder.*")
    }
