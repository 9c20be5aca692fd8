# SPDX-License-Identifier: GPL-3.0-or-later
"""Healing through the real playbook on a simulated host: a fault, the rung it asks for, and a token that proves it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import product
from tests.healed_faults import FIRST_RUNGS, SEGFAULT, broken_start
from tests.ready_session import ready_session
from tests.sandbox_fixture import RunningSandbox

BIN = Path(sys.executable).parent
HOST = "lc-main-1"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("heal")) as running:
        yield running
        coder(running, "down", "main", "--yes")


coder = partial(product.coder, timeout=280)


def start(sandbox: RunningSandbox, *more: str) -> subprocess.Popen[str]:
    """One pass of the playbook."""
    environment = {
        **sandbox.env,
        "PATH": f"{BIN}{os.pathsep}{sandbox.env['PATH']}",
        "ANSIBLE_SHOW_CUSTOM_STATS": "1",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    }
    return subprocess.Popen(
        ["ansible-playbook", "-i", ",", "linode_coder.gpu.heal", "-e", "session=main", *more],
        env=environment,
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def report_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the playbook reported with set_stats."""
    out, _nothing = process.communicate(timeout=280)
    assert process.returncode == 0, out
    stats = out.partition("CUSTOM STATS: ")[2].partition("RUN: ")[2]
    return dict(json.JSONDecoder().raw_decode(stats)[0]["linode_coder"]["report"])


def heal(sandbox: RunningSandbox, *more: str) -> dict[str, Any]:
    """One pass without its waiting times."""
    return report_of(start(sandbox, "-e", "heal_patience=0", *more))


def heal_once_it_fails(sandbox: RunningSandbox) -> dict[str, Any]:
    """An engine takes a moment to die, and another one until it is seen to die again and again."""
    for _look in range(20):
        report = heal(sandbox)
        if report["step"]:
            return report
        # Busy: it was started again by itself, and loads until it dies the next time.
        assert report["stop"]["reason"] in ("nothing", "blind", "confirm", "busy"), report["stop"]
        time.sleep(1)
    raise AssertionError(report["stop"])


def heal_until(sandbox: RunningSandbox, text: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Heal without waiting, until that is said: while a start runs, a healing waits for it."""
    for _look in range(20):
        done = coder(sandbox, "heal", "main", "--patience", "0", "--json", *more)
        if text in done.stdout:
            return done
        time.sleep(1)
    raise AssertionError(done.stdout)


def wait_for_log(sandbox: RunningSandbox, text: str) -> None:
    for _look in range(30):
        if text in coder(sandbox, "logs", "main", "--tail", "400").stdout:
            return
        time.sleep(1)
    raise AssertionError(f"the engine's log never said: {text}")


def history(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    done = coder(sandbox, "heal", "main", "--history", "--json")
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout)["attempts"])


def wait_until_it_serves(sandbox: RunningSandbox) -> None:
    """Its container engine waits longer before each restart of a container that dies again and again."""
    for _look in range(40):
        done = coder(sandbox, "check", "main", "--json")
        if done.returncode == 0:
            return
        time.sleep(2)
    raise AssertionError(done.stdout)


@pytest.mark.parametrize(("name", "faults", "rung"), FIRST_RUNGS, ids=[row[0] for row in FIRST_RUNGS])
def test_each_fault_is_healed_by_its_rung(
    sandbox: RunningSandbox, name: str, faults: list[dict[str, Any]], rung: str
) -> None:
    for fault in faults:
        sandbox.fault(host=HOST, **fault)
    if rung == "change_parameters":
        # Only once it has failed to start does its log tell which setting would help.
        wait_for_log(sandbox, "No available memory for the cache blocks")
    report = heal_once_it_fails(sandbox)
    sandbox.fault(kind="clear", host=HOST)
    assert report["step"], report["stop"]
    assert (report["step"]["rung"], report["outcome"]) == (rung, "healed"), report
    newest = history(sandbox)[-1]
    assert (newest["rung"], newest["outcome"], newest["acted"]) == (rung, "healed", True)


def test_a_configuration_error_is_told_and_nothing_is_touched(sandbox: RunningSandbox) -> None:
    before = len(history(sandbox))
    for fault in broken_start(cause="gated"):
        sandbox.fault(host=HOST, **fault)
    done = heal_until(sandbox, "config error", "--yes")
    sandbox.fault(kind="clear", host=HOST)
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert (done.returncode, error["kind"]) == (6, "unhealthy"), done.stdout
    assert "config error" in error["message"] and "licence" in error["remedy"]
    assert len(history(sandbox)) == before
    # What kept it from starting is gone: it comes up by itself.
    wait_until_it_serves(sandbox)


def test_that_no_rung_is_left_is_written_down_until_a_person_has_looked(sandbox: RunningSandbox) -> None:
    def breaker() -> str | None:
        found: str | None = json.loads(coder(sandbox, "heal", "main", "--history", "--json").stdout)["breaker"]
        return found

    # The rows above have used both rungs of this trouble.
    for fault in broken_start(**SEGFAULT):
        sandbox.fault(host=HOST, **fault)
    heal_until(sandbox, "No rung is left", "--dry-run")
    assert breaker() is None
    done = heal_until(sandbox, "No rung is left", "--yes")
    sandbox.fault(kind="clear", host=HOST)
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert (done.returncode, error["kind"]) == (6, "unhealthy"), done.stdout
    assert "No rung is left; tried: restart_container, recreate_container" in error["message"]
    assert "No rung is left" in str(breaker())
    assert coder(sandbox, "heal", "main", "--ack", "--json").returncode == 0
    assert breaker() is None
