# SPDX-License-Identifier: GPL-3.0-or-later
"""The Galaxy archive alone: ansible-core and linode_api4, no command of ours, no ansible.cfg."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.installed.environments import ROOT, environment
from tests.sandbox_fixture import start_sandbox


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("galaxy") / "ansible", "ansible-core", "linode-api4")


def test_a_session_from_first_to_last(programs: Path, tmp_path: Path) -> None:
    (archive,) = (ROOT / "dist").glob("linode_coder-gpu-*.tar.gz")
    with (
        tempfile.TemporaryDirectory(prefix="lc-") as home,
        start_sandbox(tmp_path, hosts="simulated") as sandbox,
    ):
        # Short: the sockets of SSH connections lie in it.
        env = {**sandbox.env, "HOME": home, "PATH": f"{programs}:/usr/bin:/bin:/usr/sbin:/sbin"}
        del env["ANSIBLE_CALLBACK_RESULT_FORMAT"]

        def run(*command: str) -> str:
            done = subprocess.run(
                [str(programs / command[0]), *command[1:]],
                env=env,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=300,
                stdin=subprocess.DEVNULL,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        def play(name: str) -> str:
            return run("ansible-playbook", f"linode_coder.gpu.{name}", "-e", "session=alone")

        run("ansible-galaxy", "collection", "install", "--offline", str(archive))
        play("up")
        assert '"name": "alone"' in play("list")
        assert '"severity": "pass"' in play("check")
        assert "lc-alone-1" in run("ansible-inventory", "-i", sandbox.inventory, "--list")
        play("watchdog")
        play("down")
        assert sandbox.api("GET", "linode/instances")["data"] == []
