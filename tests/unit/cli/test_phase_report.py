# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said while a playbook goes through its phases: elsewhere one line for each change, at a terminal a block."""

from __future__ import annotations

import json
import re

import pytest

from linode_coder.playbook.phase_report import PhaseReport
from linode_coder.terminal import console as output
from linode_coder.terminal.console import Console
from tests.hostile import CORPUS
from tests.unit.cli.terminal import foreign, shown_by

GPU = "linode_coder.gpu."


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def bring_up(console: Console, playbook: str = "up", detail: str = "booting") -> None:
    report = PhaseReport(playbook, console, 540.0, Clock())
    for path, action, result in (
        ("/x/playbooks/up.yml:9", "linode_gpu_instance", {"changed": True}),
        ("/x/roles/session_host/tasks/main.yml:4", "host_state", {}),
        ("/x/roles/vllm/tasks/pull.yml:4", "container_image", {"changed": True, "phase": "asking"}),
        ("/x/roles/vllm/tasks/fetch.yml:40", "model_weights", {"changed": True, "phase": "begun"}),
        ("/x/roles/gpu_driver/tasks/finish.yml:4", "host_files", {}),
        ("/x/roles/vllm/tasks/files.yml:4", "container_image", {"present": True}),
        ("/x/roles/vllm/tasks/wait.yml:4", "model_weights", {"present": True}),
        ("/x/roles/vllm/tasks/start.yml:4", "vllm_ready", {}),
    ):
        report.task(path, GPU + action)
        report.told({"detail": detail})
        report.tick()
        report.result(result, GPU + action, path)
    report.finish("ok")


def test_without_a_terminal_each_change_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(as_json=False)
    bring_up(console)
    said = [re.sub(r"\(.*", "", line[9:]).strip() for line in capsys.readouterr().err.splitlines()]
    assert said == [
        *(
            "begin  VM",
            "ok     VM",
            "begin  system",
            "ok     system",
            "begin  image",
            "begin  weights",
            "begin  driver",
        ),
        *("ok     driver", "ok     image", "ok     weights", "begin  engine", "ok     engine"),
    ]


def test_as_json_each_change_is_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    bring_up(Console(as_json=True))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["phase"] for row in events if row["event"] == "phase_finished"] == [
        *("vm", "system", "driver", "image", "weights", "engine"),
    ]
    assert {row["event"] for row in events} >= {"phase_started", "phase_progress", "phase_finished"}
    assert all(row["schema"] == 1 for row in events)


@pytest.mark.parametrize(("stopped", "word"), [(True, "interrupted"), (False, "failed")])
def test_what_a_person_stopped_has_not_failed(stopped: bool, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    for console in (Console(as_json=False), Console(as_json=True)):
        report = PhaseReport("up", console, None, Clock())
        report.finish("interrupted" if stopped else "failed")
    said = capsys.readouterr()
    assert f" {word} VM (" in said.err.replace("  ", " ")
    events = [json.loads(line) for line in said.out.splitlines()]
    assert events[-1]["event"] == "phase_finished" and events[-1]["outcome"] == word


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "verbosity", -1)
    bring_up(Console(as_json=False))
    assert capsys.readouterr() == ("", "")


def test_a_playbook_without_phases_keeps_its_steps(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(as_json=False)
    report = PhaseReport("down", console)
    report.task("/x/playbooks/down.yml:9", GPU + "linode_gpu_instance")
    report.result({"changed": True}, GPU + "linode_gpu_instance", "/x/playbooks/down.yml:9")
    report.tick()
    report.finish("ok")
    assert capsys.readouterr().err == "" and not console.by_phases


def test_a_download_that_is_not_needed_never_begins(capsys: pytest.CaptureFixture[str]) -> None:
    """However long it takes until a task turns out to have nothing to do."""
    report = PhaseReport("switch_model", Console(as_json=False), None, Clock())
    for path, action in (("files", "container_image"), ("wait", "model_weights")):
        report.task(f"/x/roles/vllm/tasks/{path}.yml:4", GPU + action)
        for _again in range(5):
            report.tick()
        report.skipped()
    assert "begin" not in capsys.readouterr().err


def test_healing_shows_phases_once_it_makes_a_vm(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(as_json=False)
    report = PhaseReport("heal", console)
    path, action = "/x/playbooks/up.yml:9", GPU + "linode_gpu_instance"
    report.task(path, action)
    report.skipped()
    report.finish("ok")
    assert not console.by_phases and capsys.readouterr().err == ""
    bring_up(console, "heal")
    assert "begin  VM" in capsys.readouterr().err


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
def test_at_a_terminal_nothing_that_is_said_steers_it(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> int:
        bring_up(Console(as_json=False), detail=text)
        return 0

    said = shown_by(monkeypatch, work)
    assert foreign(said.err) == ""
    assert "\x1b[32m✓\x1b[0m VM" in said.err and "of about 9 min expected" in said.err
