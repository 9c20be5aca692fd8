# SPDX-License-Identifier: GPL-3.0-or-later
"""Performance runs are recorded whole, the right one is the baseline, and commands find what a person means."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.verdict import judge

from linode_coder.cli import validate_perf
from linode_coder.completion import names
from linode_coder.local import history, perf_history, unrecorded
from linode_coder.terminal.console import Console
from tests.hostile import CORPUS
from tests.unit.cli.terminal import OURS, at_terminal, foreign
from tests.unit.perf.perf_runs import level, run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(unrecorded, "_noted", set())
    monkeypatch.setattr(history, "_locked", False)
    return tmp_path / "state"


def kept(name: str, new_baseline: bool = False, **more: Any) -> dict[str, Any]:
    document = run(id=name, **more)
    document["verdict"] = judge(document)
    perf_history.keep(document, new_baseline)
    return document


SLOW = [level(1, 0.040)]


def test_a_document_comes_back_whole(home: Path) -> None:
    document = kept("20261130T070000Z-ab12", model="half \ud800 of a character")
    assert perf_history.resolve("last") == document
    (row,) = perf_history.runs()
    assert (row["id"], row["session"], row["severity"], row["baseline"]) == (document["id"], "demo", "pass", True)
    assert row["concurrency"] == [1, 4, 16] and row["stream_tps"] == pytest.approx(50) and "head" not in row
    assert perf_history.runs("demo") == [row] and perf_history.runs("other") == []


def test_the_first_run_of_a_kind_that_passes_is_its_baseline_until_another_is_made_it(home: Path) -> None:
    slow = kept("one", levels=SLOW)
    assert slow["verdict"]["severity"] == "fail"
    assert perf_history.baseline_of(run()) is None
    kept("two", complete=False)
    assert perf_history.baseline_of(run()) is None
    second = kept("three")
    kept("four")
    assert perf_history.baseline_of(run()) == second
    assert perf_history.baseline_of(second) is None
    newer = kept("five", new_baseline=True, levels=SLOW)
    assert perf_history.baseline_of(run()) == newer
    assert [row["baseline"] for row in perf_history.runs()] == [True, False, False, False, False]


@pytest.mark.parametrize(
    "other",
    [
        {"plan": "other"},
        {"model": "other"},
        {"profile": "chat"},
        {"where": "here"},
        {"sandbox": True},
        {"flags": {"max-num-seqs": 8}},
        {"levels": [level(1, tokens=16)]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_baseline_is_one_of_the_same_kind(home: Path, other: dict[str, Any]) -> None:
    kept("one", **other)
    assert perf_history.baseline_of(run()) is None
    assert perf_history.baseline_of(run(**other)) is not None


def test_how_a_flag_is_written_and_where_it_serves_makes_no_other_kind(home: Path) -> None:
    ours = kept("one", flags={"max_num_seqs": 8, "port": 8000})
    assert perf_history.baseline_of(run(flags={"port": 8001, "max-num-seqs": 8})) == ours


def test_a_run_that_has_not_begun_is_held_against_any_of_its_kind(home: Path) -> None:
    ours = kept("one")
    assert perf_history.baseline_of(run(levels=[])) == ours
    assert perf_history.baseline_of(run(levels=[], plan="g2-gpu-rtx4000a1")) is None


def test_the_run_on_the_vm_that_one_through_the_tunnel_is_held_against(home: Path) -> None:
    kept("one")
    newest = kept("two", levels=SLOW)
    assert perf_history.near_of(run(where="here")) == newest
    assert perf_history.near_of(run()) is None
    assert perf_history.near_of(run(where="here", profile="chat")) is None


def test_the_newest_of_a_kind_stay_and_its_baseline(home: Path) -> None:
    for number in range(perf_history.KEPT + 5):
        kept(f"run-{number}")
    kept("other", profile="chat")
    ids = [row["id"] for row in perf_history.runs()]
    assert len(ids) == perf_history.KEPT + 2
    assert ids[:2] == ["other", f"run-{perf_history.KEPT + 4}"] and ids[-1] == "run-0"
    assert "run-4" not in ids and "run-5" in ids


WRITER = """
import sys
from linode_coder.local import perf_history
for number in range(10):
    perf_history.keep({"id": f"{sys.argv[1]}-{number}", "session": "demo", "verdict": {"severity": "pass", "summary": "fine"}})
"""


def test_processes_that_write_together_lose_nothing_and_agree_on_one_baseline(home: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "LINODE_CODER_HOME": str(tmp_path)}
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(n)], env=environment) for n in range(3)]
    assert [writer.wait(60) for writer in writers] == [0] * 3
    found = perf_history.runs()
    assert len(found) == 30 and [row["baseline"] for row in found].count(True) == 1


def test_a_home_that_takes_nothing_is_said_once(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path / "file"))
    kept("one")
    assert perf_history.runs() == [] and perf_history.baseline_of(run()) is None
    assert capsys.readouterr().err.count("note:") == 1


def test_a_history_of_before_gets_the_table(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = next(place for place, step in enumerate(history.MIGRATIONS) if "perf_runs" in step)
    with monkeypatch.context() as patched:
        patched.setattr(history, "MIGRATIONS", history.MIGRATIONS[:before])
        history.connect().close()
    kept("one")
    assert len(perf_history.runs()) == 1


def test_a_record_that_cannot_be_read_is_named(home: Path) -> None:
    kept("one")
    for blob in (b"no zlib", "a text"):
        with closing(history.connect()) as connection:
            connection.execute("UPDATE perf_runs SET document = :blob", {"blob": blob})
        with pytest.raises(Failure, match="record of the run 'one' cannot be read"):
            perf_history.resolve("one")


IDS = ("20261130T070000Z-ab12", "20261130T080000Z-cd34", "20261201T070000Z-ab99")


@pytest.mark.parametrize(
    ("word", "place"),
    [("last", 2), (IDS[0], 0), ("20261130T08", 1), ("cd34", 1), ("20261201", 2)],
)
def test_what_a_person_may_call_a_run(home: Path, word: str, place: int) -> None:
    documents = [kept(name) for name in IDS]
    assert perf_history.resolve(word) == documents[place]


def test_baseline_is_that_of_the_other(home: Path) -> None:
    chat = kept(IDS[0], profile="chat")
    kept(IDS[1])
    newest = kept(IDS[2], profile="chat", levels=SLOW)
    assert perf_history.resolve("baseline", newest) == chat


@pytest.mark.parametrize(
    ("word", "kind", "said", "remedy"),
    [
        ("20261130T", "usage", "the beginning of 2 runs", IDS[1]),
        ("20261130T070000Z-ab13", "not_found", "There is no run", f"Did you mean {IDS[0]}"),
        ("lats", "not_found", "There is no run", "Did you mean last?"),
        ("x", "not_found", "There is no run", "linode-coder perf history"),
        ("", "not_found", "There is no run ''", "linode-coder perf history"),
        ("baseline", "usage", "baseline of what", "perf history"),
    ],
)
def test_a_word_that_is_no_run(home: Path, word: str, kind: str, said: str, remedy: str) -> None:
    for name in IDS:
        kept(name)
    with pytest.raises(Failure) as caught:
        perf_history.resolve(word)
    assert caught.value.kind == kind and said in caught.value.message and remedy in str(caught.value.remedy)


def test_nothing_recorded_yet(home: Path) -> None:
    with pytest.raises(Failure, match="No performance run is recorded"):
        perf_history.resolve("last")
    kept("one", levels=SLOW)
    with pytest.raises(Failure, match="There is no baseline for profile quick of gpt-oss-20b on g2"):
        perf_history.resolve("baseline", run())


# -- the commands ------------------------------------------------------------------------------------------------------


def test_history_on_a_terminal_and_as_json(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No run is recorded yet" in at_terminal(monkeypatch, "perf", "history", columns=80).out
    kept(IDS[0])
    kept(IDS[1], session="other", levels=SLOW)
    seen = at_terminal(monkeypatch, "perf", "history", columns=120)
    assert seen.code == 0
    lines = OURS.sub("", seen.out).splitlines()
    assert lines[0].split()[:4] == ["RUN", "SESSION", "VERDICT", "TOKENS/S"]
    assert lines[1].split()[:4] == [IDS[1], "other", "fail", "25.0"]
    assert lines[2].split()[:5] == [IDS[0], "demo", "pass,", "baseline", "50.0"]
    document = json.loads(at_terminal(monkeypatch, "perf", "history", "demo", "--json", columns=80).out)
    assert [one["id"] for one in document["runs"]] == [IDS[0]] and document["command"] == "perf history"
    seen = at_terminal(monkeypatch, "perf", "history", "dmeo", columns=80)
    assert seen.code == 9 and "Did you mean demo?" in seen.err


def test_many_runs_are_not_all_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(32):
        kept(f"run-{number}")
    seen = at_terminal(monkeypatch, "perf", "history", columns=120).out
    assert "run-31 " in seen and "run-2 " in seen and "run-1 " not in seen and "2 older runs: --json" in seen


def test_two_side_by_side(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(IDS[0])
    kept(IDS[1], levels=[level(1, 0.0202), level(4, 0.03, failed=1), level(8)], engine="0.34.0")
    seen = at_terminal(monkeypatch, "perf", "compare", "baseline", "last", columns=100)
    assert seen.code == 0, seen.err
    rows = [line.split() for line in seen.out.splitlines()]
    assert rows[0][1] == f"{IDS[0]}," and rows[1][1] == f"{IDS[1]},"
    assert rows[2] == ["different:", "engine", "0.33.0,", "then", "0.34.0"]
    assert ["ITL", "p50", "20.0", "ms", "20.2", "ms", "+1%", "(noise)"] in rows
    assert ["ITL", "p50", "22.0", "ms", "30.0", "ms", "+36%"] in rows
    assert ["failed", "0", "1", "-"] in rows
    assert ["8", "only", "in", "B", "-", "-", "-"] in rows and ["16", "only", "in", "A", "-", "-", "-"] in rows
    found = json.loads(at_terminal(monkeypatch, "perf", "compare", IDS[0], IDS[1], "--json", columns=80).out)
    assert (found["a"], found["b"]) == IDS[:2] and found["why_not"] is None
    assert [one["concurrency"] for one in found["levels"]] == [1, 4, 8, 16]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("last", "last"), 2, "are the same run"),
        (("baseline", "baseline"), 2, "baseline of what is meant"),
        (("last", "nothing"), 9, "There is no run 'nothing'"),
    ],
)
def test_two_that_cannot_be_held_against_each_other(
    home: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, str], code: int, said: str
) -> None:
    kept(IDS[0])
    seen = at_terminal(monkeypatch, "perf", "compare", *words, columns=80)
    assert seen.code == code and said in seen.err


def test_another_profile_is_said_to_be_no_comparison(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(IDS[0])
    kept(IDS[1], profile="chat")
    seen = at_terminal(monkeypatch, "perf", "compare", *IDS[:2], columns=120)
    assert seen.code == 0 and "cannot be compared, they did not measure the same: profile quick and chat" in seen.out


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_it_fits(home: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    kept(IDS[0])
    kept(IDS[1], profile="chat", levels=[level(1, 3.0, 700.0), level(128)])
    for words in (("history",), ("compare", *IDS[:2])):
        seen = at_terminal(monkeypatch, "perf", *words, columns=columns)
        assert max(map(len, OURS.sub("", seen.out).splitlines())) <= columns, seen.out
        assert IDS[0] in seen.out


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
def test_no_text_of_a_run_is_obeyed(home: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    parts = {key: text for key in ("session", "model", "plan", "profile", "engine", "started", "prefix_cache")}
    kept(IDS[0], **parts, flags={text: text}, generator={"name": text})
    kept(IDS[1])
    for words in (("history",), ("compare", *IDS[:2])):
        seen = at_terminal(monkeypatch, "perf", *words, columns=80)
        assert seen.code == 0, seen.err
        assert foreign(seen.out + seen.err) == ""
    json.loads(at_terminal(monkeypatch, "perf", "compare", *IDS[:2], "--json", columns=80).out)


def test_completion_offers_what_is_recorded(home: Path) -> None:
    assert names.remembered("run") == []
    kept(IDS[0])
    kept("$(id)")
    assert names.remembered("run") == [
        ("last", "the newest run"),
        ("baseline", ""),
        (IDS[0], "demo, pass"),
    ]


def test_a_report_that_no_disk_takes_costs_no_figure(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    view = {"name": "demo", "label": "lc-demo-1", "linode_id": 1, "created": "2026-11-30T07:00:00Z", "hourly": 0.52}
    measured = run(complete=False, why_partial="interrupted", verdict=None)
    failure = validate_perf._finish(
        Console(as_json=True), view, measured, None, new_baseline=False, report=home / "gone" / "report.html"
    )
    assert failure is not None and (failure.kind, failure.field) == ("usage", "report")
    said = json.loads(capsys.readouterr().out)
    assert said["run"]["why_partial"] == "interrupted" and said["error"]["field"] == "report"
    assert perf_history.runs()[0]["complete"] is False
