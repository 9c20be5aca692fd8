# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark ended early: its fifty hosts do not stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tools import bench


def test_ended_early_it_leaves_no_sandbox(tmp_path: Path) -> None:
    home = {**os.environ, "TMPDIR": str(tmp_path), "WATCHED": "2"}
    process = subprocess.Popen([sys.executable, bench.__file__, "watchdog"], env=home, stdout=subprocess.DEVNULL)

    def started() -> list[psutil.Process]:
        found = []
        for one in psutil.process_iter():
            try:
                if str(tmp_path) in " ".join(one.cmdline()):
                    found.append(one)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    try:
        deadline = time.monotonic() + 120
        while not any("linode_coder.sandbox.server" in one.cmdline() for one in started()):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 128 + signal.SIGTERM
    assert started() == []
    assert list(tmp_path.iterdir()) == []
