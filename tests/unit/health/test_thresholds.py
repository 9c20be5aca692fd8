# SPDX-License-Identifier: GPL-3.0-or-later
"""Every threshold of the catalogue: what is said exactly at it and just beside it, and that code and page read the row.

A limit that is added to a row without a case here fails the first test. A number that is changed fails the page's test
(``test_checks_page.py``), which is the one place that pins the numbers themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import test_engine_checks as engine
from ansible_collections.linode_coder.gpu.plugins.module_utils.core import program
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineSilent
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.start_limits import (
    LOOP_RESTARTS,
    START_BUDGET_S,
    loops,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.health import vm_look
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.catalogue import CHECKS, Limit, limit
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.kernel_log import kernel_lines
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.outside import status_finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.vm import check_vm
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.xid import gpu_faults
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.ssh import ssh_options
from test_gpu_checks import BUSY, CARD, HUNG, NOW, SUBJECT, card, fault, look, one
from test_vm_checks import look as vm_look_of

from tools.checks_page import render

Said = Callable[[float], object]


@dataclass(frozen=True)
class Case:
    """
    :param said: what comes of a measured value.
    :param at: what is said of the limit itself.
    :param beside: what is said of the value next to it, on the other side.
    :param step: from the limit to that value.
    """

    said: Said
    at: object
    beside: object
    step: float = -1


def of_vm(
    name: str, host: dict[str, Any] | None = None, previous: dict[str, Any] | None = None, **expected: Any
) -> str:
    (found,) = [found for found in check_vm(vm_look_of(host, previous, **expected)) if found.id == name]
    return found.severity


def of_card(name: str, what: str = "severity", **changes: Any) -> Said:
    """The finding on one card; each change is a value, or a function that makes it of what was measured."""

    def said(value: float) -> object:
        made = {key: make(value) if callable(make) else make for key, make in changes.items()}
        return getattr(one(look(card(**made)), name), what)

    return said


def seen(*samples: tuple[float, bool]) -> dict[str, Any]:
    """Earlier looks: how many seconds ago, and whether everything was bad."""
    keys = ("throttled", "slow_for_heat", "no_margin")
    return {"history": [{"time": NOW - ago, "gpus": {SUBJECT: dict.fromkeys(keys, bad)}} for ago, bad in samples]}


HOT = card(throttle={**CARD.throttle, "hw_thermal_slowdown": True})


def lasting(name: str) -> dict[tuple[str, str], Case]:
    """What has to last: the card is bad at this moment, and was so before."""

    def now(previous: dict[str, Any]) -> object:
        return one(look(HOT, previous=previous), name).severity

    def share(value: float) -> object:
        return now(seen(*((6.0 * (100 - number), number < value) for number in range(1, 100))))

    def samples(value: float) -> object:
        return now(seen(*((600 - 300 * number / max(value - 2, 1), True) for number in range(int(value) - 1))))

    return {
        (name, "share"): Case(share, "fail", "warn"),
        (name, "window"): Case(lambda value: now(seen((value, True), (300, True))), "fail", "warn", 1),
        (name, "samples"): Case(samples, "fail", "warn"),
        (name, "span"): Case(lambda value: now(seen((value, True), (value / 2, True))), "fail", "warn"),
    }


def cool(value: float) -> object:
    """How the driver's slowdown for heat is judged at this share of the highest clock, after ten minutes of it."""
    slow = {**CARD.throttle, "sw_thermal_slowdown": True}
    warm = card(throttle=slow, sm_clock=value * 20.0, sm_clock_max=2000.0)
    return one(look(warm, previous=seen((600, True), (300, True))), "gpu.throttle").severity


def sick(value: float) -> object:
    places = ("performance_state", "utilization/gpu_util", "fan_speed", "clocks/sm_clock")
    return one(look(card(errors=dict.fromkeys(places[: int(value)], "ERR!"))), "gpu.readings").severity == "fail"


def bursts(value: float) -> object:
    line = "NVRM: Xid (PCI:0000:9b:00): 119, pid=2, name=x, Timeout"
    return len(gpu_faults(list(kernel_lines(f"[   10.000000] {line}\n[{10 + value:12.6f}] {line}"))))


def corrected(value: float) -> object:
    return one(look(CARD, faults=(fault("pcie_corrected", count=int(value)),)), "gpu.xid").severity


def repeated(value: float) -> object:
    return one(look(CARD, faults=(fault(code=8),) * int(value)), "gpu.xid").ladder[:1] == ("reboot",)


def of_engine(name: str, *arguments: Any, **more: Any) -> str:
    return engine.told(engine.look(*arguments, **more), name)[0]


def flat(value: float) -> object:
    still = {
        "readable": True,
        "running": 1,
        "waiting": 0,
        "prompt_tokens": 1,
        "generation_tokens": 1,
        "process_start": 1,
    }
    before = {"activity": still, "flat_since": engine.NOW - value, "clock": engine.NOW - 60}
    return of_engine("vllm.stuck", activity=still, previous=before)


def percent(value: float) -> dict[str, Any]:
    return {"disk": {"size": 10_000, "used": round(value * 100)}}


def waits(value: float) -> object:
    return of_engine("ctr.state", engine.container(restarts=9), **engine.after(value))


def silent(value: float) -> object:
    """An engine on two GPUs that has said nothing for so long since it began to connect them."""
    said = f"{engine.STARTED} (Worker_TP0 pid=1) INFO 01-15 08:00:00 [x.py:1] world_size=2 rank=0 local_rank=0 backend=nccl\n"
    return of_engine("vllm.health", engine.container(), engine.health(None), log=said, **engine.after(value))


CASES: dict[tuple[str, str], Case] = {
    ("vm.status", "starting"): Case(lambda value: status_finding("booting", value).severity, "fail", "warn"),
    ("vm.boot", "told"): Case(
        lambda value: of_vm(
            "vm.boot", {"boot_id": "b", "clock": NOW}, {"boot_id": "b", "rebooted": {"from": "a", "seen": NOW - value}}
        ),
        "warn",
        "pass",
        1,
    ),
    ("vm.disk", "filling"): Case(lambda value: of_vm("vm.disk", percent(value)), "warn", "pass", -0.01),
    ("vm.disk", "full"): Case(lambda value: of_vm("vm.disk", percent(value)), "fail", "warn", -0.01),
    ("vm.clock", "off"): Case(lambda value: of_vm("vm.clock", {"clock_offset": value}), "warn", "pass", -0.001),
    ("vm.clock", "wrong"): Case(lambda value: of_vm("vm.clock", {"clock_offset": -value}), "warn", "fail", 0.001),
    ("vm.clock", "transfer"): Case(
        lambda value: of_vm("vm.clock", {"clock": NOW + value}, control_time=NOW), "pass", "warn", 1
    ),
    ("gpu.hang", "misses"): Case(
        lambda value: one(look(host=HUNG, previous={"hangs": value - 1}), "gpu.hang").severity, "fail", "warn"
    ),
    ("gpu.ecc.cor", "many"): Case(of_card("gpu.ecc.cor", ecc_corrected_volatile=int), "warn", "pass"),
    ("gpu.ecc.cor", "storm"): Case(of_card("gpu.ecc.cor", "cause", ecc_corrected_volatile=int), "storm", "many"),
    ("gpu.retired", "some"): Case(of_card("gpu.retired", retired_double_bit=int), "warn", "pass"),
    ("gpu.retired", "many"): Case(of_card("gpu.retired", retired_double_bit=int), "fail", "warn"),
    ("gpu.readings", "sick"): Case(sick, True, False),
    ("gpu.temp", "warm"): Case(
        of_card("gpu.temp", temperature_margin=float, margin_slowdown=None), "warn", "pass", 0.5
    ),
    ("gpu.temp", "hot"): Case(
        of_card("gpu.temp", "cause", temperature_margin=float, margin_slowdown=None), "hot", "warm", 0.5
    ),
    **lasting("gpu.temp"),
    **lasting("gpu.throttle"),
    ("gpu.throttle", "clock"): Case(cool, "warn", "fail", -0.5),
    ("gpu.pcie", "lanes"): Case(
        of_card("gpu.pcie", **{**BUSY, "pcie_width": int, "pcie_width_max": 16}), "pass", "fail"
    ),
    ("gpu.pcie", "first"): Case(of_card("gpu.pcie", **{**BUSY, "pcie_gen": int, "pcie_gen_max": 5}), "warn", "pass", 1),
    ("gpu.xid", "told"): Case(
        lambda value: one(look(CARD, faults=(fault(code=79, last_time=NOW - value),)), "gpu.xid").severity,
        "fail",
        "pass",
        1,
    ),
    ("gpu.xid", "burst"): Case(bursts, 1, 2, 1),
    ("gpu.xid", "repeats"): Case(repeated, True, False),
    ("gpu.xid", "corrected"): Case(corrected, "warn", "pass"),
    ("ctr.engine", "slow"): Case(
        lambda value: of_engine("ctr.engine", probes={"docker": {"rc": 0, "seconds": value}}), "pass", "warn", 0.1
    ),
    ("ctr.state", "loop"): Case(
        lambda value: of_engine("ctr.state", engine.container(restarts=int(value)), **engine.after(1)), "fail", "pass"
    ),
    ("ctr.state", "deaths"): Case(
        lambda value: of_engine("ctr.state", engine.container(restarts=int(value)), restarted=True, **engine.after(1)),
        "fail",
        "pass",
    ),
    ("ctr.state", "young"): Case(waits, "pass", "fail"),
    ("vllm.health", "start"): Case(
        lambda value: of_engine("vllm.health", engine.container(), engine.health(None), **engine.after(value)),
        "fail",
        "warn",
    ),
    ("vllm.health", "quiet"): Case(silent, "fail", "warn"),
    ("vllm.gen", "slow"): Case(
        lambda value: of_engine(
            "vllm.gen", engine={"health": {"status": 200}, "generation": {"ok": True, "seconds": value}}
        ),
        "warn",
        "pass",
        -0.1,
    ),
    ("vllm.stuck", "slow"): Case(flat, "warn", "pass"),
    ("vllm.stuck", "stuck"): Case(flat, "fail", "warn"),
}
ALL = {(check.id, name): value for check in CHECKS.values() for name, value in check.limits.items()}
# How long an answer may take is no value that is judged, but one that is asked for.
ANSWERS = {key for key in ALL if key[1] == "answer"}


def test_every_limit_has_a_case() -> None:
    assert set(CASES) == set(ALL) - ANSWERS


@pytest.mark.parametrize(("name", "which"), CASES)
def test_both_sides_of_a_limit(name: str, which: str) -> None:
    case, value = CASES[name, which], limit(name, which)
    assert (case.said(value), case.said(value + case.step)) == (case.at, case.beside)


@pytest.mark.parametrize(("name", "which"), CASES)
def test_the_row_is_where_the_code_reads_it(name: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that is moved to either side moves what is said, and nothing stays behind."""
    case, row = CASES[name, which], CHECKS[name]
    value = limit(name, which)
    for moved in (value + case.step, value - case.step):
        limits = {**row.limits, which: Limit(moved, row.limits[which].unit)}
        monkeypatch.setitem(CHECKS, name, replace(row, limits=limits))
        assert (case.said(moved), case.said(moved + case.step)) == (case.at, case.beside), moved


@pytest.mark.parametrize(("name", "which"), ALL)
def test_the_page_shows_every_limit(name: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page, row = render(), CHECKS[name]
    for change in (1, -1, 0.5):
        limits = {**row.limits, which: Limit(limit(name, which) + change, row.limits[which].unit)}
        monkeypatch.setitem(CHECKS, name, replace(row, limits=limits))
        assert render() != page, change
        monkeypatch.setitem(CHECKS, name, row)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Limit(90, "s"), "90 s"),
        (Limit(60, "s"), "a minute"),
        (Limit(120, "s"), "2 minutes"),
        (Limit(3600, "s"), "an hour"),
        (Limit(5400, "s"), "90 minutes"),
        (Limit(86400, "s"), "24 hours"),
        (Limit(0, "s"), "0 s"),
        (Limit(1234567, "errors"), "1 234 567 errors"),
        (Limit(0.5, "%"), "0.5 %"),
        (Limit(1), "1"),
    ],
)
def test_how_a_limit_is_written(value: Limit, shown: str) -> None:
    assert str(value) == shown


# -- how long an answer may take ---------------------------------------------------------------------------------------


class Silent:
    """An engine that says nothing, and remembers how long it was waited for."""

    def __init__(self) -> None:
        self.waited: dict[str, float] = {}

    def fetch(self, _method: str, path: str, _body: object, seconds: float) -> None:
        self.waited[path] = seconds
        raise EngineSilent(path, "refused")


def test_an_answer_is_waited_for_as_long_as_the_row_says(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: dict[str, float] = {}

    def run(command: list[str], seconds: float) -> program.Probed:
        waited[" ".join(command[:2] if command[1] != "exec" else command[-2:])] = seconds
        return program.Probed("1", 0, 0.1)

    monkeypatch.setattr(vm_look.program, "run", run)
    monkeypatch.setattr(
        vm_look, "compose_ps", lambda *_: (program.Probed("", 0, 0.1), {"vllm": {"Name": "vllm-vllm-1"}})
    )
    params = {"project_dir": str(tmp_path), "state_dir": str(tmp_path), "log_lines": 5}
    vm_look.look_at_container(params)
    silent = Silent()
    vm_look.look_at_engine(params, silent, False)  # type: ignore[arg-type]
    options = dict(zip(ssh_options([])[1::2], ssh_options([])[1::2], strict=True))
    (connect,) = [option.partition("=")[2] for option in options if option.startswith("ConnectTimeout=")]
    found = {
        "vm.ssh": float(connect),
        "gpu.hang": vm_look.LOOK_SPEC["nvidia_smi_timeout"]["default"],
        "ctr.engine": waited["docker version"],
        "ctr.gpu": waited["nvidia-smi -L"],
        "vllm.health": silent.waited["/health"],
        "vllm.gen": vm_look.LOOK_SPEC["canary_timeout"]["default"],
    }
    assert found == {name: limit(name, which) for name, which in ANSWERS}


# -- what others share -------------------------------------------------------------------------------------------------


def test_a_start_has_one_budget_and_a_loop_one_number() -> None:
    assert (limit("vllm.health", "start"), limit("ctr.state", "loop")) == (START_BUDGET_S, LOOP_RESTARTS)
    assert [loops(restarts) for restarts in (LOOP_RESTARTS - 1, LOOP_RESTARTS)] == [False, True]
