# SPDX-License-Identifier: GPL-3.0-or-later
"""The Galaxy archive alone: ansible-core and linode_api4, no command of ours, no ansible.cfg."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.installed.environments import ROOT, environment
from tests.sandbox_fixture import start_sandbox

TREE = ROOT / "collections/ansible_collections/linode_coder/gpu"


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

        def play(name: str, *more: str) -> str:
            return run("ansible-playbook", f"linode_coder.gpu.{name}", "-e", "session=alone", *more)

        def documented(*kind: str) -> set[str]:
            found = json.loads(run("ansible-doc", *kind, "--list", "--json", "linode_coder.gpu"))
            return {name.removeprefix("linode_coder.gpu.") for name in found}

        run("ansible-galaxy", "collection", "install", "--offline", str(archive))
        assert documented() == {path.stem for path in (TREE / "plugins/modules").glob("*.py")}
        assert documented("-t", "role") == {path.name for path in (ROOT / "roles").iterdir()}
        assert documented("-t", "inventory") == {"linode_gpu"}
        assert "keyed_groups" in run("ansible-doc", "-t", "inventory", "linode_coder.gpu.linode_gpu")
        assert "vllm_model" in run("ansible-doc", "-t", "role", "linode_coder.gpu.vllm")
        planned = play("up", "--check", "--diff")
        assert '"label": "lc-alone-1"' in planned
        assert (
            sandbox.api("GET", "linode/instances")["data"] == sandbox.api("GET", "networking/firewalls")["data"] == []
        )
        play("up")
        assert "\nalone  running  " in play("list")
        assert "alone (lc-alone-1): pass\n  Every check passed." in play("check")
        assert "lc-alone-1" in run("ansible-inventory", "-i", sandbox.inventory, "--list")
        play("watchdog")
        play("down")
        assert sandbox.api("GET", "linode/instances")["data"] == []
