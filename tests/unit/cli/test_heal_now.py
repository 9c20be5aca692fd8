# SPDX-License-Identifier: GPL-3.0-or-later
"""`heal --now`: what is skipped is shown, and asked about, before anything is done."""

from __future__ import annotations

from typing import Any

import pytest

from linode_coder.cli import heal
from linode_coder.endpoint import tunnel
from linode_coder.playbook.variables import Heal
from tests.unit.cli.terminal import Said, at_terminal
from tests.unit.cli.test_shown import Account, account, instance

__all__ = ["account"]

BOOTED = "The VM booted a moment ago."
STEP = {
    "rung": "restart_container",
    "number": 1,
    "reason": "It is dead.",
    "evidence": "",
    "change": None,
    "pushed": BOOTED,
}
STOP = {"reason": "cooldown", "message": BOOTED, "remedy": "", "until": 1_800_000_000, "waits": True}


def said_by(
    account: Account, monkeypatch: pytest.MonkeyPatch, *arguments: str, **report: Any
) -> tuple[Said, list[Heal]]:
    account.answers["linode/instances"] = [instance(1, "plain")]
    played: list[Heal] = []
    told = {"step": None, "stop": None, "attempt": None, "message": None, "hourly": 0.5, "observations": []}
    told |= {"outcome": "healed", "dry_run": False, "findings": [], **report}

    def play(_console: object, variables: Heal) -> dict[str, Any]:
        played.append(variables)
        return {"report": told}

    monkeypatch.setattr(heal, "play", play)
    return at_terminal(monkeypatch, "heal", "s1", *arguments), played


def test_who_insists_is_shown_what_is_skipped_and_asked(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    said, played = said_by(account, monkeypatch, "--now", step=STEP)
    assert BOOTED in said.out + said.err and "requests in flight are lost" in said.out + said.err
    # Nobody answered yes.
    assert said.code != 0 and [one.heal_dry_run for one in played] == [True]
    said, played = said_by(account, monkeypatch, "--now", "--yes", step=STEP)
    assert said.code == 0 and [one.heal_now for one in played] == [True, True]


def test_nothing_is_asked_where_nothing_is_skipped(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    said, played = said_by(account, monkeypatch, step={**STEP, "pushed": ""})
    assert said.code == 0 and [one.heal_now for one in played] == [None, None]


def test_who_has_to_wait_is_told_how_not_to(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "linode-coder heal s1 --now" in said_by(account, monkeypatch, stop=STOP)[0].err
    assert "--now" not in said_by(account, monkeypatch, stop={**STOP, "waits": False})[0].err


@pytest.mark.parametrize(
    ("kept", "outcome", "opened"), [(True, "healed", ["s1"]), (False, "healed", []), (True, "failed", [])]
)
def test_a_tunnel_that_was_kept_open_is_open_again(
    kept: bool, outcome: str, opened: list[str], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(heal, "kept_open", lambda _name: kept)
    monkeypatch.setattr(tunnel, "open_tunnel", lambda view: seen.append(view["name"]) or 18000)
    said, _played = said_by(account, monkeypatch, "--yes", step={**STEP, "rung": "reboot"}, outcome=outcome)
    assert seen == opened
    assert ("http://127.0.0.1:18000/v1" in said.err) == bool(opened)
