# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line as tests run it against a sandbox, and how they read what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import linode_coder
from tests.sandbox_fixture import RunningSandbox

# The environment that the wheel is installed in, and the collection in it.
BIN = Path(sys.executable).parent
COLLECTION = Path(linode_coder.__file__).parents[1] / "ansible_collections/linode_coder/gpu"


def coder(
    sandbox: RunningSandbox, *arguments: str, timeout: float, within: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `linode-coder` without a terminal, away from the checkout; ``environment`` is added to the sandbox's, and
    ``within`` is a command that runs it.

    However it ends, it ends as every command has to: no traceback, and an error says what to do next.
    """
    done = subprocess.run(
        [*within, str(BIN / "linode-coder"), *arguments],
        env={**sandbox.env, **environment},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert ("error: " in done.stderr) == ("\nnext: " in done.stderr), done.stderr
    return done


def result_of(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    """The last line of its JSON, when it ended with ``code``."""
    assert done.returncode == code, done.stderr + done.stdout
    return dict(json.loads(done.stdout.splitlines()[-1]))


def error_of(done: subprocess.CompletedProcess[str], code: int | None = None) -> dict[str, Any]:
    """Its error in JSON, which has to say what to do and to agree with the exit code."""
    assert done.returncode != 0, done.stdout
    assert code in (None, done.returncode), done.stderr + done.stdout
    error = dict(json.loads(done.stdout.splitlines()[-1])["error"])
    assert error["exit_code"] == done.returncode
    assert error["message"] and error["remedy"], error
    return error
