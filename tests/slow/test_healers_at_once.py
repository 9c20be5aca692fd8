# SPDX-License-Identifier: GPL-3.0-or-later
"""Several real processes that watch or heal one session at the same moment: an incident has one answer, and is healed."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from dataclasses import replace

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import decode, encode, with_doom

from tests.product import result_of
from tests.sandbox_fixture import RunningSandbox
from tests.slow.test_heal import BIN, HOST, coder, heal_once_it_fails, history, report_of, sandbox, start

__all__ = ["sandbox"]

WATCHERS = 5
# Waiting times by this factor. What another one began a moment ago is still its own to judge.
PATIENCE = "0.05"


def done_at_the_provider(sandbox: RunningSandbox) -> Counter[str]:
    """What the account's events say was done to instances, beside writing tags."""
    rows = sandbox.api("GET", "account/events?page_size=500")["data"]
    actions = [str(row["action"]) for row in rows if row["action"].startswith("linode_")]
    return Counter(action for action in actions if action != "linode_update")


def watch_at_once(sandbox: RunningSandbox, *more: str) -> Counter[str]:
    """Let every watcher make a pass, each as another computer would; the changes at the provider."""
    before = done_at_the_provider(sandbox)
    command = [str(BIN / "linode-coder"), "watchdog", "--once", "--patience", PATIENCE, "--json", *more]
    watchers = [
        subprocess.Popen(
            command,
            env={**sandbox.env, "USER": f"watcher{number}"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(WATCHERS)
    ]
    for watcher in watchers:
        out, err = watcher.communicate(timeout=800)
        assert "Traceback" not in err, err
        # Not healed at once is no failure of the watcher.
        assert watcher.returncode in (0, 6), out[-2000:] + err
    return done_at_the_provider(sandbox) - before


def serves(sandbox: RunningSandbox) -> bool:
    return coder(sandbox, "check", "main", "--json").returncode == 0


def test_of_two_at_once_one_acts_and_the_other_stands_down(sandbox: RunningSandbox) -> None:
    before = len(history(sandbox))
    sandbox.fault(host=HOST, kind="docker_down", until="restart_services")
    reports = [report_of(one) for one in [start(sandbox, "-e", f"heal_patience={PATIENCE}") for _watcher in range(2)]]
    sandbox.fault(kind="clear", host=HOST)
    acted = [one for one in reports if one["attempt"]]
    assert [one["outcome"] for one in acted] == ["healed"], [(one["step"], one["stop"]) for one in reports]
    assert {one["stop"]["reason"] for one in reports if not one["attempt"]} <= {
        "busy",
        "pending",
        "nothing",
        "cooldown",
    }
    assert len(history(sandbox)) == before + 1


@pytest.mark.timeout(1800)
def test_five_watchers_reboot_once(sandbox: RunningSandbox) -> None:
    sandbox.fault(host=HOST, kind="gpu_lost")
    happened: Counter[str] = Counter()
    # The first passes wait, since the VM booted a moment ago.
    for _pass in range(8):
        happened += watch_at_once(sandbox)
        if serves(sandbox):
            break
        time.sleep(5)
    assert happened == {"linode_reboot": 1}
    assert serves(sandbox)
    assert [(one["rung"], one["outcome"]) for one in history(sandbox)][-1] == ("reboot", "healed")


@pytest.mark.timeout(1800)
def test_five_healers_replace_once(sandbox: RunningSandbox) -> None:
    assert coder(sandbox, "heal", "main", "--ack").returncode == 0
    sandbox.fault(host=HOST, kind="gpu_lost", until="recreate_vm")
    assert heal_once_it_fails(sandbox)["step"]["rung"] == "reboot"
    before = done_at_the_provider(sandbox)
    # A VM is not replaced in its first half hour, which is 27 seconds of this: the tests before took longer.
    healers = [start(sandbox, "-e", "heal_patience=0.015") for _healer in range(WATCHERS)]
    reports = [report_of(healer) for healer in healers]
    (left,) = sandbox.api("GET", "linode/instances")["data"]
    assert left["label"] == "lc-main-2", [(one["step"], one["stop"]) for one in reports]
    happened = done_at_the_provider(sandbox) - before
    assert (happened["linode_create"], happened["linode_delete"], happened["linode_reboot"]) == (1, 1, 0)
    assert result_of(coder(sandbox, "check", "main", "--json"))["severity"] == "pass"


def test_five_watchers_delete_once_at_the_end_of_the_lease(sandbox: RunningSandbox) -> None:
    (vm,) = sandbox.api("GET", "linode/instances")["data"]
    # Nobody can reach it, which does not keep it alive.
    sandbox.fault(host=vm["label"], kind="ssh_down", persistent=True)
    ended = encode(replace(decode(vm["tags"]).whole(), lease_end=int(time.time()) - 600))
    sandbox.api("PUT", f"linode/instances/{vm['id']}", {"tags": with_doom(ended, int(time.time()) - 5)})
    # A running VM is shut down before it is deleted: two events of one request.
    assert watch_at_once(sandbox) == {"linode_delete": 1, "linode_shutdown": 1}
    assert sandbox.api("GET", "linode/instances")["data"] == []
    assert sandbox.api("GET", "networking/firewalls")["data"] == []
