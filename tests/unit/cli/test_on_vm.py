# SPDX-License-Identifier: GPL-3.0-or-later
"""What the VM says through the open tunnel: its idle clock, its last watcher, and its cards, in one answer."""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.gpu_use import card_use
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.idle_clock import IdleClock

from linode_coder.cli import session_text
from linode_coder.endpoint import activity
from linode_coder.terminal.escapes import one_line
from tests.hostile import CORPUS, MARKER
from tests.unit.health.smi_documents import v13_blackwell as smi

CLOCK = IdleClock(started=True, idle_s=7.0, last_active=1_800_000_000, at=1_800_000_100).as_dict()
WATCHED = {"by": "ada@laptop", "at": 1_800_000_100, "interval": 300}


@pytest.fixture
def vm(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A VM whose answer is a text as activity.json and one of nvidia-smi."""

    def says(record: str, cards: str) -> None:
        text = f"{record}\n-- nvidia-smi --\n{cards}"
        done = subprocess.CompletedProcess[str]([], 0, text, "")
        monkeypatch.setattr(activity.subprocess, "run", lambda *_args, **_options: done)

    return says


def test_all_of_it_is_one_answer(vm: Callable[[str, str], None]) -> None:
    vm(json.dumps({"clock": CLOCK, "watched": WATCHED}), smi())
    clock, watched, gpus = activity.on_vm("demo")
    assert clock is not None and clock.idle_s == 7.0 and watched == WATCHED
    assert gpus is not None and gpus["state"] == "ok"
    assert [card["index"] for card in gpus["cards"]] == [0]
    assert set(gpus["cards"][0]) >= {
        "utilization",
        "memory_used_mib",
        "temperature",
        "power_draw",
        "power_limit",
        "throttle",
    }


def test_what_is_missing_hides_nothing_else(vm: Callable[[str, str], None]) -> None:
    vm("", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
    assert activity.on_vm("demo") == (None, None, {"state": "no_driver", "cards": []})
    vm(json.dumps({"clock": CLOCK}), "")
    clock, watched, gpus = activity.on_vm("demo")
    assert clock is not None and watched is gpus is None


def test_what_slows_a_card_down_is_named() -> None:
    facts: dict[str, Any] = {"throttle": {"gpu_idle": True, "hw_thermal_slowdown": True, "sw_power_cap": None}}
    assert card_use(facts, 0)["throttle"] == ["hw_thermal_slowdown"]
    assert card_use({"throttle": {"gpu_idle": True}}, 0)["throttle"] == []
    assert card_use({"throttle": {"gpu_idle": None}}, 0)["throttle"] is None


def named(text: str) -> str:
    """The document of a card that is called so."""
    return re.sub("(<product_name>).*(</product_name>)", lambda found: found[1] + html.escape(text) + found[2], smi())


NUMBERS = ["1e999", "-1e999", "NaN", "1" * 400, "true", "null", '"1"', "[]", "-5", "1e17"]


@pytest.mark.parametrize("number", NUMBERS)
def test_no_number_of_the_vm_brings_it_down(vm: Callable[[str, str], None], number: str) -> None:
    for name in ("at", "idle_s", "last_active", "stuck_s"):
        record = json.dumps({"clock": CLOCK}).replace(f'"{name}": {json.dumps(CLOCK[name])}', f'"{name}": {number}')
        vm(record, "")
        clock, _watched, _gpus = activity.on_vm("demo")
        view: dict[str, Any] = dict.fromkeys(("lease_end", "hard_cap", "doomed", "paused_until", "idle_minutes"))
        if clock is not None:
            view.update(created="2027-01-15T07:12:00Z", hourly=0.5, complete=True, name="demo", label="lc-demo-1")
            assert activity.clocks(view, clock, 1_800_000_000)["deletions"] is not None
    for name in ("at", "interval"):
        vm(
            json.dumps({"clock": CLOCK, "watched": WATCHED}).replace(
                f'"{name}": {WATCHED[name]}', f'"{name}": {number}'
            ),
            "",
        )
        assert activity.on_vm("demo")[0] is not None or name == "at"


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
def test_no_text_of_the_vm_brings_it_down(vm: Callable[[str, str], None], text: str) -> None:
    vm(text, text)
    assert activity.on_vm("demo")[:2] == (None, None)
    vm(json.dumps({"clock": CLOCK, "watched": {**WATCHED, "by": text}}), named(text))
    _clock, watched, gpus = activity.on_vm("demo")
    assert watched is not None and len(watched["by"]) <= 100 and gpus is not None
    for card in gpus["cards"]:
        assert card["name"] is None or (card["name"].isascii() and card["name"].isprintable())
        said = session_text.card_text(card)
        assert said == one_line(said) and MARKER not in said
