# SPDX-License-Identifier: GPL-3.0-or-later
"""Where healing ends: the breaker that only a person closes, a VM that nobody can ask, and what is refused."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.product import error_of, result_of
from tests.sandbox_fixture import RunningSandbox
from tests.slow.test_heal import HOST, coder, sandbox

__all__ = ["sandbox"]


def heal(sandbox: RunningSandbox, *more: str) -> subprocess.CompletedProcess[str]:
    return coder(sandbox, "heal", "main", "--patience", "0", "--json", "--yes", *more)


def history(sandbox: RunningSandbox) -> dict[str, Any]:
    return dict(json.loads(coder(sandbox, "heal", "main", "--history", "--json").stdout))


def tags(sandbox: RunningSandbox) -> list[str]:
    rows = sandbox.api("GET", "linode/instances")["data"]
    return [str(tag) for row in rows if row["label"] == HOST for tag in row["tags"]]


@pytest.mark.timeout(900)
def test_when_no_rung_is_left_the_breaker_opens_and_only_a_person_closes_it(sandbox: RunningSandbox) -> None:
    sandbox.fault(host=HOST, kind="docker_down", persistent=True)
    for rung in ("restart_services", "reboot"):
        shown = result_of(heal(sandbox, "--dry-run"))
        assert shown["step"]["rung"] == rung, shown
        assert "did not heal main" in error_of(heal(sandbox), 6)["message"]
    assert history(sandbox)["breaker"] is None
    # Showing it is not doing it.
    assert "No rung is left" in error_of(heal(sandbox, "--dry-run"), 6)["message"]
    assert history(sandbox)["breaker"] is None
    assert "No rung is left; tried: restart_services, reboot." in error_of(heal(sandbox), 6)["message"]
    told = history(sandbox)
    assert "No rung is left" in told["breaker"]
    assert "lc-breaker:open" in tags(sandbox)
    again = error_of(heal(sandbox), 6)
    assert again["message"].endswith(told["breaker"]) and "--ack" in again["remedy"]
    sandbox.fault(kind="clear", host=HOST)
    assert result_of(heal(sandbox, "--ack"))["acknowledged_on_vm"] is True
    assert history(sandbox)["breaker"] is None
    assert not [tag for tag in tags(sandbox) if tag.startswith(("lc-breaker", "lc-heal"))]


@pytest.mark.timeout(900)
def test_a_vm_that_does_not_answer_is_rebooted_and_that_is_written_down_afterwards(sandbox: RunningSandbox) -> None:
    assert coder(sandbox, "use", "main", "--json").returncode == 0
    sandbox.fault(host=HOST, kind="ssh_down", until="reboot")
    healed = result_of(heal(sandbox))
    assert (healed["step"]["rung"], healed["outcome"]) == ("reboot", "healed"), healed
    # The reboot ended the tunnel; nobody has to open it again.
    assert json.loads(coder(sandbox, "status", "main", "--json").stdout)["endpoint"]["tunnel"] == "open"
    newest = history(sandbox)["attempts"][-1]
    assert (newest["rung"], newest["outcome"], newest["acted"]) == ("reboot", "healed", True)
    assert newest["evidence"] and newest["owner"]
    # An acknowledgement without the VM: what decides when it cannot be asked is in the tags.
    sandbox.fault(host=HOST, kind="ssh_down")
    told = heal(sandbox, "--ack")
    assert result_of(told)["acknowledged_on_vm"] is False
    assert not [tag for tag in tags(sandbox) if tag.startswith("lc-heal")]
    assert result_of(heal(sandbox, "--dry-run"))["step"]["rung"] == "reboot"
    sandbox.fault(kind="clear", host=HOST)


def test_what_cannot_be_meant_is_refused_in_a_sentence(sandbox: RunningSandbox) -> None:
    nobody = error_of(coder(sandbox, "heal", "nosuch", "--json"))
    assert (nobody["kind"], nobody["field"]) == ("not_found", "session")
    wrong = error_of(coder(sandbox, "heal", "main", "--max-rung", "kernel", "--json"))
    assert (wrong["kind"], wrong["field"], wrong["value"]) == ("usage", "max_rung", "kernel")
    assert result_of(heal(sandbox))["stop"]["reason"] == "nothing"
    assert result_of(heal(sandbox, "--dry-run"))["stop"]["reason"] == "nothing"
    sandbox.fault(host=HOST, kind="ssh_down")
    mute = error_of(coder(sandbox, "heal", "main", "--history", "--json"))
    assert mute["kind"] == "unreachable"
    sandbox.fault(kind="clear", host=HOST)
