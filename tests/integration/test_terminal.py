# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person at a terminal sees and types: the phases, questions, Ctrl-C, and colour only where it is wanted."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.sandbox_fixture import RunningSandbox, start_sandbox

CODER = str(Path(sys.executable).parent / "linode-coder")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("terminal"), hosts="simulated") as running:
        running.env.update(TERM="xterm", HF_HUB_OFFLINE="1")
        for variable in ("NO_COLOR", "COLUMNS"):
            running.env.pop(variable, None)
        yield running


def at_terminal(sandbox: RunningSandbox, *arguments: str, **env: str) -> pexpect.spawn[str]:
    environment: Any = {**sandbox.env, **env}
    return pexpect.spawn(
        CODER, list(arguments), env=environment, cwd="/", encoding="utf-8", timeout=240, dimensions=(40, 120)
    )


def rest(child: pexpect.spawn[str]) -> str:
    """What is said until the end."""
    child.expect(pexpect.EOF)
    child.close()
    return str(child.before)


def labels(sandbox: RunningSandbox) -> list[str]:
    done = subprocess.run(
        [CODER, "list", "--json"], env=sandbox.env, cwd="/", capture_output=True, text=True, timeout=120
    )
    return [view["label"] for view in json.loads(done.stdout)["sessions"]]


@pytest.mark.parametrize("answer", ["n", "", "maybe", "eof", "ctrl-c"])
def test_only_a_yes_creates(sandbox: RunningSandbox, answer: str) -> None:
    child = at_terminal(sandbox, "up", "asked")
    child.expect(r"price +\$\d+\.\d\d per started hour")
    child.expect(r"Create it for \$\d+\.\d\d per hour\? \[y/N\] ")
    if answer == "eof":
        child.sendeof()
    elif answer == "ctrl-c":
        child.sendintr()
    else:
        child.sendline(answer)
    said = rest(child)
    assert child.exitstatus == (130 if answer == "ctrl-c" else 3), said
    assert labels(sandbox) == []


@pytest.fixture(scope="module")
def seen(sandbox: RunningSandbox) -> str:
    """A session made at a terminal, and all that was shown meanwhile."""
    child = at_terminal(sandbox, "up", "seen")
    child.expect(r"\[y/N\] ")
    child.sendline("y")
    said = rest(child)
    assert child.exitstatus == 0, said
    return said


def test_six_phases_are_drawn_over_and_stay(seen: str) -> None:
    # All are there from the first moment on, and each is drawn again and again in its own place.
    first = COLOUR.sub("", seen[seen.index("\r") :])
    assert re.search(r"[|/\\-] VM +\d+ s", first) and "engine                waits for driver, image, weights" in first
    assert seen.count("waits for driver, image, weights") > 2
    last = COLOUR.sub("", seen.rpartition("\x1b[6A")[2])
    done = re.findall(r"^(?:\r)?([✓=]) (\w+) +\d+ s", last.replace("\x1b[K", ""), re.MULTILINE)
    assert [name for _mark, name in done] == ["VM", "system", "driver", "image", "weights", "engine"]
    assert re.search(r"in all \d+ s of about \d+ min expected", last)
    assert "\x1b[32m✓\x1b[0m" in seen
    # Tasks are for -v.
    assert "Create the VM and wait" not in seen
    assert re.search(r"endpoint +http://127\.0\.0\.1:\d+/v1", seen)


def test_a_conversation(sandbox: RunningSandbox, seen: str) -> None:
    child = at_terminal(sandbox, "chat", "--system", "Be brief.")
    child.expect("Ctrl-C stops an answer")
    for text in ("hello", "again"):
        child.expect("> ")
        child.sendline(text)
    child.expect("> ")
    child.sendeof()
    said = rest(child)
    assert child.exitstatus == 0, said
    refused = subprocess.run([CODER, "chat"], env=sandbox.env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert refused.returncode == 2 and "needs a terminal" in refused.stderr


def test_a_destructive_question_names_object_age_and_bill(sandbox: RunningSandbox, seen: str) -> None:
    child = at_terminal(sandbox, "down", "seen")
    child.expect(r"Delete lc-seen-1 \(.+ in .+\), billed for 1 h, \$\d+\.\d\d so far\?\s+\[y/N\] ")
    child.sendline("n")
    said = rest(child)
    assert child.exitstatus == 3 and "Not confirmed" in said
    assert labels(sandbox) == ["lc-seen-1"]


def test_no_question_when_one_side_is_no_terminal(sandbox: RunningSandbox, seen: str) -> None:
    command = " ".join(shlex.quote(word) for word in (CODER, "down", "seen"))
    for redirection in ("2>/dev/null", "</dev/null"):
        child = pexpect.spawn(
            "/bin/sh", ["-c", f"{command} {redirection}"], env=sandbox.env, encoding="utf-8", timeout=120
        )  # type: ignore[arg-type]
        said = rest(child)
        assert child.exitstatus == 2 and "[y/N]" not in said
    assert labels(sandbox) == ["lc-seen-1"]


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_never_needed(sandbox: RunningSandbox, env: dict[str, str], coloured: bool) -> None:
    child = at_terminal(sandbox, "status", "nosuch", **env)
    said = rest(child)
    assert child.exitstatus == 9
    assert bool(COLOUR.search(said)) == coloured
    assert "error: There is no session 'nosuch'" in COLOUR.sub("", said)


def test_the_colours_of_results_can_be_turned_off(sandbox: RunningSandbox, seen: str) -> None:
    assert "\x1b[32mrunning\x1b[0m" in rest(at_terminal(sandbox, "list"))
    said = rest(at_terminal(sandbox, "list", NO_COLOR="1"))
    assert "\x1b" not in said and "seen" in said


def test_ctrl_c_says_what_bills_and_how_to_go_on(sandbox: RunningSandbox) -> None:
    child = at_terminal(sandbox, "up", "stopped", "--yes")
    child.expect("✓.* VM ")
    child.sendintr()
    child.expect("Stopping")
    said = rest(child)
    assert child.exitstatus == 130, said
    plain = COLOUR.sub("", said)
    assert re.search(r"Still billing: lc-stopped-1 \(\d+\) at \$\d+\.\d\d/h", plain)
    assert "Go on: linode-coder up stopped. End it: linode-coder down stopped." in plain
    child = at_terminal(sandbox, "down", "stopped")
    child.expect(r"\[y/N\] ")
    child.sendline("y")
    assert "Session stopped is gone" in rest(child)
    assert "lc-stopped-1" not in labels(sandbox)
