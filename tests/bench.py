"""`make bench`: ratios of our commands against their peers, measured in one run on one sandbox.

CPU seconds (user and system of the whole process tree) are the steady figure on a shared machine; the minimum of a few runs
is quoted for both sides.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.sandbox_fixture import start_sandbox

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def measure(command: list[str], env: dict[str, str], runs: int = 3) -> tuple[float, float]:
    """Least wall and CPU seconds of a command that has to succeed."""
    walls, cpus = [], []
    for _ in range(runs):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(
            command, env=env, cwd=ROOT, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=300
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.monotonic() - began)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(walls), min(cpus)


def compare(title: str, ours: tuple[float, float], peer_name: str, peer: tuple[float, float]) -> None:
    wall, cpu = (mine / theirs for mine, theirs in zip(ours, peer, strict=True))
    print(
        f"{title:34} {ours[0]:6.2f} s wall {ours[1]:6.2f} s CPU | {peer_name:26} {peer[0]:6.2f} {peer[1]:6.2f} | "
        f"ratio {wall:5.2f} wall {cpu:5.2f} CPU",
        flush=True,
    )


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        start_sandbox(Path(directory), hosts="simulated", seed_instances=2000, rate_limits="off") as sandbox,
    ):
        env = {**sandbox.env, "PATH": f"{BIN}{os.pathsep}{sandbox.env['PATH']}"}
        playbook = Path(directory) / "noop.yml"
        playbook.write_text("- hosts: localhost\n  gather_facts: false\n  tasks: []\n")
        empty = Path(directory) / "empty.yml"
        empty.write_text(json.dumps({"all": {"hosts": {}}}))
        coder = str(BIN / "linode-coder")
        subprocess.run([coder, "up", "bench", "--yes"], env=env, check=True, capture_output=True, timeout=300)
        listing = measure([coder, "list"], env)
        compare(
            "linode-coder list", listing, "linode-cli linodes list", measure(["linode-cli", "linodes", "list"], env)
        )
        compare("linode-coder list", listing, "ansible --version", measure(["ansible", "--version"], env))
        compare(
            "linode-coder --help",
            measure([coder, "--help"], env),
            "ansible --version",
            measure(["ansible", "--version"], env),
        )
        bare = measure(["ansible-playbook", "-i", str(empty), str(playbook)], env)
        compare("no-op up", measure([coder, "up", "bench"], env), "bare no-op playbook", bare)
        compare(
            "no-op up, converging", measure([coder, "up", "bench", "--converge"], env, 1), "bare no-op playbook", bare
        )
        inventory = measure(["ansible-inventory", "--list"], env)
        compare(
            "inventory among 2,000 instances",
            inventory,
            "bare ansible-inventory",
            measure(["ansible-inventory", "-i", str(empty), "--list"], env),
        )
        subprocess.run([coder, "down", "bench", "--yes"], env=env, check=True, capture_output=True, timeout=300)


if __name__ == "__main__":
    main()
