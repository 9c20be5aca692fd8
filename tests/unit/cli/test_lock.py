# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a session is held by who works, and a playbook does not outlive its command unseen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from linode_coder.local import unrecorded
from linode_coder.local.lock import session_lock, unfinished
from linode_coder.playbook import launch

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
    with session_lock("one"), pytest.raises(Failure, match=f"Another command.*{os.getpid()}"), session_lock("one"):
        pass


def test_no_lock_where_nothing_can_be_written(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "state").write_text("a file where the directory should be")
    with session_lock("one") as held:
        assert not held.cut_off
    assert unfinished() == []
    assert capsys.readouterr().err.count("note: ") == 1
