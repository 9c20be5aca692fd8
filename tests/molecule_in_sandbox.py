# SPDX-License-Identifier: GPL-3.0-or-later
"""Molecule's scenarios on the hosts of a sandbox that is there for them only."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.sandbox_fixture import start_sandbox  # noqa: E402


def main() -> int:
    with tempfile.TemporaryDirectory() as directory, start_sandbox(Path(directory), hosts="simulated") as sandbox:
        # Control connections must not outlive the hosts.
        env = {
            **sandbox.env,
            "ANSIBLE_HOME": f"{directory}/ansible",
            "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=5s",
        }
        return subprocess.run(["molecule", "test", "--all"], cwd=ROOT, env=env, timeout=900).returncode


if __name__ == "__main__":
    sys.exit(main())
