# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a session is held by who works, and a playbook does not outlive its command unseen."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from linode_coder.local import unrecorded
from linode_coder.local.lock import Worker, describe, note_step, session_lock, unfinished, worker
from linode_coder.playbook import launch
from linode_coder.terminal.escapes import one_line
from tests.hostile import CORPUS

# Takes the lock, starts a playbook's stand-in as the runner would, says its process id and waits for its end.
COMMAND = """
import os, subprocess, sys
from linode_coder.playbook import runner
from linode_coder.local.lock import session_lock
with session_lock("one"):
    child = subprocess.Popen(runner._launched([sys.executable, "-c", sys.argv[1]]), start_new_session=True, stdout=1)
    child.wait()
"""
# Ends with an interrupt, as ansible-playbook does.
OBEYS = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"
# Its task is not to be interrupted; ends when its standard input does.
GOES_ON = "import os, signal, sys; signal.signal(2, signal.SIG_IGN); print(os.getpid(), flush=True); sys.stdin.read()"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    monkeypatch.setattr(unrecorded, "_noted", set())
    return tmp_path


def killed_command(child: str) -> tuple[int, subprocess.Popen[str]]:
    """Of a command that was killed as its playbook worked: the playbook's process id."""
    command = subprocess.Popen(
        [sys.executable, "-c", COMMAND, child],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert command.stdout is not None
    number = int(command.stdout.readline())
    os.killpg(command.pid, signal.SIGKILL)
    command.wait()
    return number, command


def test_a_playbook_ends_with_its_command(home: Path) -> None:
    _, command = killed_command(OBEYS)
    with command:
        assert command.stdout is not None
        assert command.stdout.read() == ""  # closed by the last one that had it
        with session_lock("one", patience=30) as held:
            assert held.cut_off
    assert unfinished() == []


def test_a_playbook_that_goes_on_holds_the_lock(home: Path) -> None:
    number, command = killed_command(GOES_ON)
    with command:
        with pytest.raises(Failure, match=f"still works.*{command.pid}") as raised, session_lock("one"):
            pass
        assert raised.value.kind == "conflict"
        assert unfinished() == ["one"]
        os.kill(number, 0)
        assert command.stdin is not None
        command.stdin.close()
        with session_lock("one", patience=30) as held:
            assert held.cut_off
    with session_lock("one") as held:
        assert not held.cut_off


def test_what_starts_after_its_command_was_killed_does_nothing() -> None:
    launcher = Path(launch.__file__)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(launcher), "1", "", "echo", "worked"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""


def test_one_command_at_a_time() -> None:
    with session_lock("one"), pytest.raises(Failure, match=f"is working on.*{os.getpid()}"), session_lock("one"):
        pass


def test_who_works_is_said_with_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/linode-coder", "-v", "up", "one"])
    assert worker("one") is None
    with session_lock("one"):
        note_step("Install\nthe driver" + "\x1b[2J" * 200)
        found = worker("one")
        assert found is not None
        assert (found.pid, found.command, found.runs) == (os.getpid(), "up", True)
        assert (
            found.step is not None and found.step.startswith(r"Install\nthe driver\x1b[2J") and len(found.step) == 200
        )
        with pytest.raises(Failure) as raised, session_lock("one"):
            pass
        said = rf"Up is working on session 'one' \(process {os.getpid()} on this machine since .+\): Install"
        assert re.match(said, raised.value.message), raised.value.message
        note_step("Start the engine")
        assert describe(worker("one") or Worker()).endswith(": Start the engine")
    assert worker("one") is None


FILES = [
    *("123", "[]", "null", "{", '{"pid": "12"}', '{"pid": true}', '{"pid": 1e99}', '{"pid": -1}', "[" * 3000),
    *(
        '{"since": 1e400}',
        '{"step": ["x"]}',
        '{"host": "a b"}',
        '{"command": "UP; rm"}',
        '{"step": "\\ud800\\u001b[2J"}',
    ),
    *(json.dumps(dict.fromkeys(("pid", "host", "command", "since", "step"), text)) for text in CORPUS.values()),
]


@pytest.mark.parametrize("text", [*FILES, *CORPUS.values()])
def test_a_file_that_is_not_ours_is_never_shown_as_it_is(home: Path, text: str) -> None:
    path = home / "state" / "sessions" / "one" / "lock"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    found = worker("one")
    assert found is not None
    said = describe(found)
    assert said == one_line(said) and len(said) < 2500
    assert found.as_dict()["pid"] is None
    with session_lock("one") as held:
        assert held.cut_off


def test_a_process_of_another_machine_is_not_looked_for(home: Path) -> None:
    path = home / "state" / "sessions" / "one" / "lock"
    path.parent.mkdir(parents=True)
    path.write_text('{"pid": 1, "host": "elsewhere", "command": "heal", "since": 1800000000}\n')
    found = worker("one")
    assert found is not None and found.runs is None
    assert describe(found).startswith("heal (process 1 on elsewhere since ")


def test_no_lock_where_nothing_can_be_written(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "state").write_text("a file where the directory should be")
    with session_lock("one") as held:
        assert not held.cut_off
    assert unfinished() == []
    assert capsys.readouterr().err.count("note: ") == 1
