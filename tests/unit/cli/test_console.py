"""What the console says when nobody is at the terminal, and what the command line makes of its arguments."""

from __future__ import annotations

import json
import os
import select
import sys
import threading
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from linode_coder.cli import app
from linode_coder.local.lock import session_lock
from linode_coder.terminal import console, question


def test_json_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.Console(as_json=True).failure(Failure("not_found", "Gone.", remedy="Look.", field="session", value="x"))
    out, err = capsys.readouterr()
    event = json.loads(out)
    assert event["schema"] == 1 and event["event"] == "error"
    assert event["error"]["exit_code"] == 9 and event["error"]["anchor"] == "error-not-found"
    assert "error: Gone." in err and "next: Look." in err


def test_no_question_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question, "can_ask", lambda: False)
    with pytest.raises(Failure) as caught:
        question.confirm("Delete lc-x-1, $4.16 so far?", "linode-coder down x")
    assert caught.value.exit_code == 2
    assert "$4.16" in caught.value.message and "--yes" in str(caught.value.remedy)


def test_nothing_is_read_before_something_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that blocks does not hear a Ctrl-C that came just before it."""
    master, slave = os.openpty()

    class Terminal:
        def fileno(self) -> int:
            return slave

        def readline(self) -> str:
            assert select.select([slave], [], [], 0)[0], "it would block"
            return os.read(slave, 100).decode()

    monkeypatch.setattr(sys, "stdin", Terminal())
    typed = threading.Timer(0.2, os.write, (master, b"y\n"))
    typed.start()
    try:
        assert question.typed_line() == "y\n"
    finally:
        typed.join()
        os.close(master)
        os.close(slave)


def test_progress_without_a_terminal_has_no_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    out = console.Console(as_json=False)
    out.step("Create the VM")
    out.step_done()
    text = capsys.readouterr().err
    assert "\x1b" not in text and "Create the VM" in text


def test_flags_mean_the_same_everywhere() -> None:
    assert app._flags_first(["up", "x", "-v"]) == ["-v", "up", "x"]
    assert app._flags_first(["up", "--", "-v"]) == ["up", "--", "-v"]


@pytest.mark.parametrize(("arguments", "near"), [(["lst"], "list"), (["list", "--jsn"], "--json")])
def test_misspelt_words_get_a_hint(arguments: list[str], near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(arguments) == 2
    assert near in capsys.readouterr().err


def test_one_command_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    with session_lock("one"), pytest.raises(Failure) as caught, session_lock("one"):
        pass
    assert caught.value.exit_code == 10
