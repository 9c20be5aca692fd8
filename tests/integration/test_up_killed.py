# SPDX-License-Identifier: GPL-3.0-or-later
"""`up` killed at one step after the other, each run beginning with what the one before left, and run once more to its end."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests import product
from tests.killed_at_task import killed_at_task
from tests.product import BIN, result_of
from tests.sandbox_fixture import RunningSandbox, start_sandbox

# In the order in which they come: a run gets past the step of the kill before. The number says how many seconds into it the kill
# comes: less where it, or what comes after it, takes a moment only and would be done too. Then the next step would not come again.
STEPS = {
    "Create the firewall that allows only SSH": 0.35,
    "Create the VM and wait until it runs": 0.35,
    "Generate the VM's own host key": 0.1,
    "Publish the new host key in the tags": 0,
    "Install the new host key": 0,
    "Trust only the new host key": 0,
    "Start the engine": 0.35,
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("killed"), hosts="simulated") as running:
        running.env |= {
            "PATH": f"{BIN}{os.pathsep}{running.env['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "ANSIBLE_NOCOLOR": "1",
        }
        yield running


UP = ["ansible-playbook", "linode_coder.gpu.up", "-e", "session=killed"]


@pytest.mark.parametrize("step", STEPS)
def test_up_goes_on_after_the_kill_before_and_is_killed_again(sandbox: RunningSandbox, step: str) -> None:
    """kill -9 of the whole process group while the step runs."""
    assert killed_at_task(sandbox, UP, step, STEPS[step]), step


def test_the_last_one_finishes(sandbox: RunningSandbox) -> None:
    """One VM, which serves, with the tags of one host key; and then there is nothing to do."""
    result_of(product.coder(sandbox, "up", "killed", "--yes", "--json", timeout=270))
    mine = sandbox.api("GET", "linode/instances")["data"]
    assert [row["label"] for row in mine] == ["lc-killed-1"]
    assert not [tag for tag in mine[0]["tags"] if tag.startswith("lc:nk")]
    done = subprocess.run(
        UP, env=sandbox.env, cwd="/", capture_output=True, text=True, timeout=270, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout
    assert re.findall(r"changed=(\d+)", done.stdout) == ["0", "0"], done.stdout


# What was asked for just before the kill may be under way: before the firewall, after it, and in the middle of the creation.
@pytest.mark.parametrize("done", ["Create this machine's SSH key", "Create the firewall that allows only SSH"])
def test_down_after_a_kill_leaves_nothing_and_nobody_at_work(sandbox: RunningSandbox, done: str) -> None:
    """kill -9 of the command's process group; its playbook is in another."""
    process = subprocess.Popen(
        [str(BIN / "linode-coder"), "up", "orphan", "--yes", "--json"],
        env=sandbox.env,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            if f'"step": "{done}"' in line and '"step_finished"' in line:
                os.killpg(process.pid, signal.SIGKILL)
                break
    assert process.wait() == -signal.SIGKILL
    # By its name: the session of the tests before is there too.
    ended = product.coder(sandbox, "down", "orphan", "--yes", timeout=120)
    with (sandbox.home / "state" / "sessions" / "orphan" / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody can make anything any more
    assert ended.returncode in (0, 9), ended.stderr
    for kind in ("linode/instances", "networking/firewalls"):
        assert not [row for row in sandbox.api("GET", kind)["data"] if "orphan" in row["label"]], ended.stderr
    assert "lc-orphan" not in product.coder(sandbox, "list", timeout=60).stdout
