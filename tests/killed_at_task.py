# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 of a playbook and all that it started, while one of its tasks runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from tests.sandbox_fixture import RunningSandbox


def killed_at_task(sandbox: RunningSandbox, argv: list[str], task: str, after: float) -> bool:
    """Whether it came to the task; ``after``: seconds from its beginning to the kill."""
    process = subprocess.Popen(
        argv,
        env=sandbox.env,
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    seen = False
    with process.stdout:
        for line in process.stdout:
            if line.startswith("TASK") and task in line:
                seen = True
                time.sleep(after)
                os.killpg(process.pid, signal.SIGKILL)
                break
    process.wait()
    return seen
