# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs all other checks: fails when one does, shows all that was said, and leaves nothing running."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

TIERS = Path(__file__).resolve().parents[3] / "tools/tiers.py"
TOOL = """\
import os, subprocess, sys, time
from pathlib import Path
place, name = Path(sys.argv[1]), sys.argv[2]
(place / name).touch()
if name == "fails":
    print("the reason")
    print("==== 1 failed, 2 passed, 1 skipped in 0.10s ====")
    sys.exit(3)
if name == "much":
    for number in range(60000):
        print("line", number)
    print("5 passed in 61.00s (0:01:01)")
if name == "daemon":
    code = "import sys, time\\nwhile time.process_time() < 1.5: pass\\nopen(sys.argv[1], 'w').close()\\ntime.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code, str(place / "used")], start_new_session=True)
    (place / "pid").write_text(str(process.pid))
    while not (place / "used").exists():
        time.sleep(0.05)
if name == "killed":
    os.kill(os.getpid(), 9)
if name == "waits":
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    (place / "pid").write_text(str(process.pid))
    time.sleep(600)
"""


def command(place: Path, *tiers: str) -> list[str]:
    tool = place / "tool.py"
    tool.write_text(TOOL)
    return [sys.executable, str(TIERS), "--with", shlex.join([sys.executable, str(tool), str(place)]), *tiers]


def run(place: Path, *tiers: str) -> tuple[int, str]:
    done = subprocess.run(command(place, *tiers), capture_output=True, text=True, timeout=200)
    assert not done.stderr
    return done.returncode, done.stdout


def test_a_failure_is_shown_whole_ends_its_group_and_the_run(tmp_path: Path) -> None:
    code, said = run(tmp_path, "fails", "after", "+", "beside", "/", "never")
    assert code == 1
    assert "the reason\n" in said and "fails FAILED with exit code 3" in said
    assert (tmp_path / "after").exists() and (tmp_path / "beside").exists() and not (tmp_path / "never").exists()
    assert re.search(r"^never +not run$", said, re.MULTILINE)
    assert said.splitlines()[-1] == "2 passed, 1 failed, 1 skipped"


def test_output_stands_together_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    code, said = run(tmp_path, "much", "+", "good", "much")
    assert code == 0
    assert said.count("\nline 0\n" + "".join(f"line {number}\n" for number in range(1, 60000))) == 2
    assert said.splitlines()[-1] == "10 passed, 0 failed, 0 skipped"


def test_a_tier_that_is_killed_is_a_failure(tmp_path: Path) -> None:
    code, said = run(tmp_path, "killed")
    assert code == 1 and "FAILED with exit code 137" in said
    assert said.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"


def test_a_command_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(TIERS), "--with", str(tmp_path / "nothing"), "x"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and "No such file" in done.stdout


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_what_a_daemon_uses_is_counted_and_it_is_ended(tmp_path: Path) -> None:
    code, said = run(tmp_path, "daemon")
    assert code == 0 and gone(int((tmp_path / "pid").read_text()))
    counted = re.search(r"daemon ended: wall \d+ s, CPU (\d+) s", said)
    assert counted and int(counted[1]) >= 1


def test_ended_from_outside_it_ends_all_that_it_started(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        (tmp_path / "pid").unlink(missing_ok=True)
        with subprocess.Popen(command(tmp_path, "waits", "/", "never"), stdout=subprocess.PIPE, text=True) as process:
            while not (tmp_path / "pid").exists() or not (text := (tmp_path / "pid").read_text()):
                time.sleep(0.05)
            process.send_signal(number)
            said, _nothing = process.communicate(timeout=100)
        assert process.returncode == 128 + number
        assert gone(int(text)) and not (tmp_path / "never").exists()
        assert said.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"
