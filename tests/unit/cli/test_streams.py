# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command does when nobody reads its output any more, or when it cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.product import BIN

# Progress on both streams, then the work, as a long command does it.
WORKER = """
import sys
from linode_coder.terminal import streams
streams.outlive()
for number in range(2000):
    print(f"line {number} of the result", flush=True)
    print(f"line {number} of the progress", file=sys.stderr)
open(sys.argv[1], "w").write(type(streams.lost()).__name__)
"""


def closed_pipe() -> int:
    """The end to write to of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_work_goes_on_when_its_readers_are_gone(tmp_path: Path, unbuffered: str) -> None:
    gone, environment = closed_pipe(), {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    worker = [sys.executable, "-c", WORKER, str(tmp_path / "done")]
    done = subprocess.run(worker, env=environment, stdout=gone, stderr=gone)
    os.close(gone)
    assert (done.returncode, (tmp_path / "done").read_text()) == (0, "BrokenPipeError")


@pytest.mark.parametrize("arguments", [["--help"], ["config", "show"], ["config", "show", "--json"]])
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, arguments: list[str]) -> None:
    environment = {**os.environ, "LINODE_CODER_HOME": str(tmp_path)}
    gone = closed_pipe()
    done = subprocess.run([BIN / "linode-coder", *arguments], env=environment, stdout=gone, stderr=subprocess.PIPE)
    os.close(gone)
    assert (done.returncode, done.stderr) == (0, b"")


SHOWN = "import sys; from linode_coder.terminal import streams; streams.outlive(); print('shown'); sys.stdin.read()"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_line_is_shown_at_a_terminal_when_it_is_written(unbuffered: str) -> None:
    environment: Any = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    child = pexpect.spawn(sys.executable, ["-c", SHOWN], env=environment, encoding="utf-8", timeout=30)
    child.expect("shown")
    child.close(force=True)


def test_nowhere_to_write_is_no_error(tmp_path: Path) -> None:
    environment = {**os.environ, "LINODE_CODER_HOME": str(tmp_path)}
    closed = ["sh", "-c", 'exec "$0" config show >&-', str(BIN / "linode-coder")]
    done = subprocess.run(closed, env=environment, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


def test_output_that_finds_no_room_is_one_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "LINODE_CODER_HOME": str(tmp_path)}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [BIN / "linode-coder", "config", "show"], env=environment, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: The output could not be written to its end.\ncause: No space left on device\n"
    )
