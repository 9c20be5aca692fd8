# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command at a terminal of 40, 80 and 120 columns: no line is wider, no word is broken, and what is read most looks as it did."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import closing

import pexpect
import pytest

from tests.product import BIN
from tests.ready_session import ready_session
from tests.sandbox_fixture import RunningSandbox
from tests.terminal.emulator import COLUMNS, WIDE, compare, drawn, faults, said, with_note, words
from tests.unit.cli.terminal import at_terminal

CODER = str(BIN / "linode-coder")

# By the name of the screen, those that change nothing. What is typed is the answer to the question that `up` asks.
COMMANDS: dict[str, tuple[str, ...]] = {
    "list": ("list", "--all"),
    "status": ("status", "main"),
    "models": ("models", "--all"),
    "model": ("models", "qwen3-coder-30b-a3b"),
    "models-plan": ("models", "--plan", "g2-gpu-rtx4000a1-m", "--all"),
    "plans": ("plans",),
    "plans-model": ("plans", "--model", "qwen3-coder-30b-a3b"),
    "config": ("config", "show"),
    "config-validate": ("config", "validate"),
    "validate": ("validate",),
    "validate-session": ("validate", "main"),
    "check": ("check", "main"),
    "heal-history": ("heal", "main", "--history"),
    "perf-history": ("perf", "history"),
    "history": ("history",),
    "cost": ("cost",),
    "cleanup": ("cleanup", "--dry-run"),
    "warm": ("warm", "list"),
    "up": ("up", "other"),
    "down": ("down", "main"),
    "faults": ("sandbox", "fault", "list"),
    "no-session": ("status", "mian"),
    "no-command": ("lst",),
    "no-run": ("perf", "compare", "baseline", "last"),
    "no-value": ("up", "demo", "--lease", "soon"),
}
# They ask, so that each is a program at a terminal of its own, and take longer, like one that runs a playbook.
ASK = {"up", "down"}
SLOW = {*ASK, "check"}
KEPT = ("models", "model", "plans", "config-validate", "no-session", "no-command", "no-value")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("screens")) as running:
        running.env.update(HF_HUB_OFFLINE="1", TZ="UTC")
        running.env.pop("COLUMNS", None)
        yield running


@pytest.fixture(scope="module")
def screens(sandbox: RunningSandbox) -> dict[tuple[str, int], str]:
    """What each command says, by its name and the columns of its terminal: in this process, as far as it asks nothing."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in sandbox.env.items():
            patch.setenv(name, value)
        patch.chdir("/")
        for name, arguments in COMMANDS.items():
            for columns in (40, WIDE) if name in SLOW else (*COLUMNS, WIDE):
                if name in ASK:
                    found[name, columns] = said(CODER, arguments, sandbox.env, columns, "n")
                else:
                    seen = at_terminal(patch, *arguments, columns=columns)
                    found[name, columns] = (seen.out + seen.err).replace("\n", "\r\n")
    return found


def test_no_line_is_wider_and_no_word_is_broken(screens: dict[tuple[str, int], str]) -> None:
    found = []
    for (name, columns), text in screens.items():
        if columns == WIDE:
            continue
        everything = with_note(words(drawn(screens[name, WIDE])))
        found += [f"{name} at {columns}: {fault}" for fault in faults(drawn(text), columns, everything)]
    assert not found, "\n".join(found)


def test_each_says_what_it_should(screens: dict[tuple[str, int], str]) -> None:
    for name in COMMANDS:
        text = "\n".join(drawn(screens[name, 40]))
        assert text and "Traceback" not in text and "unexpected" not in text, text
        assert ("error:" in text) == (name in ASK or name.startswith("no-")), text


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("name", KEPT)
def test_what_is_read_most_looks_as_it_did(name: str, columns: int, screens: dict[tuple[str, int], str]) -> None:
    compare(name, columns, drawn(screens[name, columns]))


def watched(sandbox: RunningSandbox, *arguments: str) -> pexpect.spawn[str]:
    return pexpect.spawn(
        CODER,
        list(arguments),
        env={**sandbox.env, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},  # type: ignore[arg-type]
        cwd="/",
        encoding="utf-8",
        timeout=60,
        dimensions=(40, 80),
    )


def frames(text: str) -> list[str]:
    """The pictures that were drawn, the last one whole."""
    return text.split("\x1b[H")[1:]


@pytest.mark.parametrize("arguments", [("status", "main", "--watch"), ("list", "--watch")], ids=["status", "list"])
def test_a_watched_session_fits_while_the_window_changes(sandbox: RunningSandbox, arguments: tuple[str, ...]) -> None:
    with closing(watched(sandbox, *arguments, "--every", "1")) as child:
        watch_it_fit(child)
        child.sendintr()
        child.expect(pexpect.EOF)
    assert child.exitstatus == 130 and "\x1b[?1049l" in str(child.before)


def watch_it_fit(child: pexpect.spawn[str]) -> None:
    """Every size of the window has a picture of its own, drawn over the one before."""
    text = ""
    for columns, rows in ((80, 40), (40, 60), (120, 6)):
        child.setwinsize(rows, columns)
        child.kill(signal.SIGWINCH)
        seen = ""
        deadline = time.monotonic() + 60
        # The first picture of this size may have begun before.
        while seen.count("\x1b[J") < 3:
            assert time.monotonic() < deadline
            seen += child.read_nonblocking(65536, 60)
        text += seen
        last = frames(seen.rpartition("\x1b[J")[0])[-1]
        lines = drawn("\x1b[H" + last + "\x1b[J", WIDE, 200)
        assert lines and len(lines) <= rows and all(len(line) <= columns for line in lines), lines
        whole = "\n".join(lines)
        if rows > 6:
            assert "gpu 0" in whole and re.search(r"[▁-█]", whole), whole
        else:
            assert re.search(r"… \d+ more lines$", whole), whole
    # Nothing is ever cleared before it is drawn again.
    assert "\x1b[2J" not in text and "\x1b[H\x1b[J" not in text
