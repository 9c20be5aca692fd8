# SPDX-License-Identifier: GPL-3.0-or-later
"""``molecule_in_sandbox.py [SCENARIO...]``: Molecule's scenarios on the hosts of sandboxes that are there for them only."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from linode_coder.sandbox.hosts.docker_cli import DockerCli  # noqa: E402
from linode_coder.sandbox.hosts.docker_hosts import remove_all  # noqa: E402
from tests.sandbox_fixture import start_sandbox  # noqa: E402

SCENARIOS = {
    "default": "simulated",
    "gpu_driver": "docker",
    "container_engine": "docker",
    "vllm": "docker",
    "dead_man": "docker",
}


def run(hosts: str, scenarios: list[str]) -> int:
    with tempfile.TemporaryDirectory() as directory:
        try:
            with start_sandbox(Path(directory), hosts=hosts) as sandbox:
                # Control connections must not outlive the hosts.
                env = {
                    **sandbox.env,
                    "ANSIBLE_HOME": f"{directory}/ansible",
                    "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=5s",
                }
                for scenario in scenarios:
                    command = ["molecule", "test", "--scenario-name", scenario]
                    code = subprocess.run(command, cwd=ROOT, env=env, timeout=900).returncode
                    if code:
                        return code
        finally:
            if hosts == "docker":
                asyncio.run(remove_all(DockerCli(), Path(directory, "home/state/sandbox/docker-hosts")))
    return 0


def main() -> int:
    wanted = sys.argv[1:] or list(SCENARIOS)
    for hosts in ("simulated", "docker"):
        scenarios = [name for name in wanted if SCENARIOS[name] == hosts]
        code = run(hosts, scenarios) if scenarios else 0
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
