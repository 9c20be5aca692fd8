# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver and every card: what each check makes of one reading, every limit from both of its sides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.collected import Look
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.gpu import (
    best_links,
    check_gpus,
    history,
    margin,
    sample,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.nvidia_smi import (
    Gpu,
    GpuProcess,
    SmiReading,
    read_nvidia_smi,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.xid import GpuFault
from smi_documents import v13_blackwell

NOW = 1_800_000_000.0
READING = read_nvidia_smi(v13_blackwell())
CARD = READING.gpus[0]
SUBJECT = CARD.subject


def card(**changes: Any) -> Gpu:
    return replace(CARD, **changes)


def look(
    *cards: Gpu,
    smi: SmiReading | None = None,
    faults: tuple[GpuFault, ...] = (),
    host: dict[str, Any] | None = None,
    previous: dict[str, Any] | None = None,
    **expected: Any,
) -> Look:
    """Of a VM with these cards, or with what nvidia-smi said instead of any."""
    reading = replace(READING, gpus=cards, attached=len(cards)) if cards else smi
    facts = {"clock": NOW, **(host or {})}
    return Look({}, expected, previous or {}, facts, reading, kernel=[], faults=list(faults))


def of(look: Look, name: str) -> list[Finding]:
    return [found for found in check_gpus(look) if found.id == name]


def one(look: Look, name: str) -> Finding:
    (found,) = of(look, name)
    return found


def fault(kind: str = "xid", code: int | None = None, **more: Any) -> GpuFault:
    said = {"bus_id": CARD.bus_id, "message": f"{kind} {code}", "time": NOW, "last_time": NOW, **more}
    return GpuFault(kind, code, **{"uuid": None, "pid": None, "process": None, **said})


# -- the driver --------------------------------------------------------------------------------------------------------

PROBED = {"probes": {"nvidia_smi": {"rc": 0}}}
HUNG: dict[str, Any] = {"probes": {"nvidia_smi": {"timed_out": True, "seconds": 25}}}
STUCK: dict[str, Any] = {"probes": {"nvidia_smi": {"timed_out": True, "stuck": True, "seconds": 25}}}
MISMATCH = fault("mismatch", versions=("1", "2"))
HALF = fault("mismatch", versions=("1",))


@pytest.mark.parametrize(
    ("seen", "module", "mismatch", "hang"),
    [
        (look(), "unknown", "unknown", "unknown"),
        (look(faults=(MISMATCH,)), "unknown", "fail", "unknown"),
        (look(faults=(fault(code=13),)), "unknown", "unknown", "unknown"),
        (look(host=PROBED), "unknown", "unknown", "unknown"),
        (look(host=PROBED, faults=(MISMATCH,)), "unknown", "unknown", "unknown"),
        (look(host=HUNG), "unknown", "unknown", "warn"),
        (look(smi=SmiReading("timeout")), "unknown", "unknown", "warn"),
        (look(host=HUNG, previous={"hangs": 1}), "unknown", "unknown", "fail"),
        (look(host=HUNG, previous={"hangs": 0}), "unknown", "unknown", "warn"),
        (look(host=STUCK), "unknown", "unknown", "fail"),
        (look(CARD), "pass", "pass", "pass"),
        (look(smi=SmiReading("mismatch", "x")), "pass", "fail", "pass"),
        (look(smi=SmiReading("no_driver", "x")), "fail", "unknown", "pass"),
        (look(smi=SmiReading("not_installed", "x")), "fail", "unknown", "pass"),
        (look(smi=SmiReading("no_devices", "x")), "pass", "pass", "pass"),
        (look(smi=SmiReading("lost", "x")), "pass", "pass", "pass"),
        (look(smi=SmiReading("requires_reset", "x")), "pass", "pass", "pass"),
        (look(smi=SmiReading("power_cables", "x")), "fail", "unknown", "pass"),
        (look(smi=SmiReading("nvml_error", "x")), "unknown", "unknown", "pass"),
        (look(smi=SmiReading("not_xml", "x")), "unknown", "unknown", "pass"),
    ],
)
def test_whether_the_driver_answers(seen: Look, module: str, mismatch: str, hang: str) -> None:
    found = [one(seen, name).severity for name in ("drv.module", "drv.mismatch", "gpu.hang")]
    assert found == [module, mismatch, hang]


@pytest.mark.parametrize(
    ("seen", "name", "evidence"),
    [
        (look(host=HUNG), "gpu.hang", "no answer in 25 s"),
        (look(host=STUCK), "gpu.hang", "no answer in 25 s, its process sits in the kernel"),
        (look(smi=SmiReading("timeout")), "gpu.hang", "no answer in its s"),
        (look(CARD), "drv.module", "driver 580.95.05"),
        (look(smi=SmiReading("lost", "GPU is lost")), "drv.module", "GPU is lost"),
        (look(faults=(HALF, MISMATCH)), "drv.mismatch", "libraries 1, module 2"),
        (look(faults=(HALF,)), "drv.mismatch", "mismatch None"),
        (look(smi=SmiReading("mismatch", "said"), faults=(MISMATCH,)), "drv.mismatch", "libraries 1, module 2"),
        (look(smi=SmiReading("mismatch", "said"), faults=(HALF,)), "drv.mismatch", "said"),
        (look(smi=SmiReading("mismatch", "said"), host={"driver_module": "5"}), "drv.mismatch", "said; loaded module 5"),
    ],
)  # fmt: skip
def test_what_shows_it(seen: Look, name: str, evidence: str) -> None:
    assert one(seen, name).evidence == evidence


def test_a_hang_is_told_apart_from_a_single_miss() -> None:
    assert one(look(host=HUNG), "gpu.hang").summary == "nvidia-smi did not answer once."
    assert one(look(host=STUCK), "gpu.hang").summary == "nvidia-smi hangs."


def test_what_the_driver_did_not_say_is_named() -> None:
    assert one(look(), "drv.module").summary == "nvidia-smi was not run."
    assert one(look(host=PROBED), "drv.module").summary == "nvidia-smi returned nothing"
    failed = look(host={"probes": {"nvidia_smi": {"error": "no such file"}}})
    assert one(failed, "drv.module").summary == "no such file"
    assert one(look(smi=SmiReading("no_library", "x")), "drv.module").ladder == ("alert",)
    assert one(look(smi=SmiReading("no_driver", "x")), "drv.module").ladder[0] == "reload_driver"
    for smi in (SmiReading("not_xml", "x"), SmiReading("nvml_error", "x")):
        names = ("drv.module", "drv.mismatch", "gpu.count", "gpu.lost")
        told = ["-q -x" in one(look(smi=smi), name).summary for name in names]
        assert told == [smi.state == "not_xml"] * 4


# -- how many, and which -----------------------------------------------------------------------------------------------

OTHER = card(uuid="GPU-other", bus_id="0000:00:09", position=1)
NONE = SmiReading("no_devices", "No devices were found")


@pytest.mark.parametrize(
    ("seen", "severity", "cause", "evidence"),
    [
        (look(gpus=1), "unknown", None, ""),
        (look(smi=SmiReading("nvml_error"), gpus=1), "unknown", None, ""),
        (look(CARD, gpus=1), "pass", None, "1 of 1"),
        (look(CARD, gpus=2), "fail", "not_in_driver", "1 of 2"),
        (look(CARD, gpus=2, host={"pci_gpus": 2}), "fail", "not_in_driver", "1 of 2, 2 on the PCI bus"),
        (look(CARD, gpus=2, host={"pci_gpus": 1}), "fail", "not_on_bus", "1 of 2, 1 on the PCI bus"),
        (look(CARD, OTHER, gpus=1), "warn", None, "2 of 1"),
        (look(smi=NONE), "fail", "not_in_driver", "0 of 1"),
        (look(smi=NONE, host={"pci_gpus": 2}), "fail", "not_in_driver", "0 of 2, 2 on the PCI bus"),
        (look(smi=NONE, host={"pci_gpus": 0}), "fail", "not_on_bus", "0 of 1, 0 on the PCI bus"),
        (look(smi=replace(READING, attached=2), gpus=2), "pass", None, "2 of 2"),
    ],
)
def test_the_cards_are_counted(seen: Look, severity: str, cause: str | None, evidence: str) -> None:
    found = one(seen, "gpu.count")
    assert (found.severity, found.cause, found.evidence) == (severity, cause, evidence)
    if severity == "fail":
        assert (found.ladder[0] == "power_cycle") == (cause == "not_on_bus")
        assert (found.summary == "The VM has no GPU.") == (not seen.smi or not seen.smi.gpus)


def test_cards_of_a_plan_that_is_not_known_are_not_counted() -> None:
    assert of(look(CARD), "gpu.count") == []


@pytest.mark.parametrize(
    ("wanted", "name", "severity"),
    [
        (None, CARD.name, None),
        ("", CARD.name, None),
        (5, CARD.name, None),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", CARD.name, "pass"),
        ("RTX PRO 6000 Blackwell", CARD.name, "pass"),
        ("NVIDIA RTX 4000 Ada Generation", "RTX 4000 Ada", "pass"),
        ("RTX 4000 Ada", "NVIDIA RTX 4000 Workstation Ada Generation", "pass"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000", "pass"),
        ("Quadro RTX 6000", CARD.name, "fail"),
        ("Quadro RTX 6000", None, "unknown"),
    ],
)
def test_the_plans_card(wanted: Any, name: str | None, severity: str | None) -> None:
    found = of(look(card(name=name), card=wanted), "gpu.model")
    assert [entry.severity for entry in found] == ([severity] if severity else [])


# -- one card ----------------------------------------------------------------------------------------------------------

ABSENT, FAILED, OLD = "N/A", "Unknown Error", "not in this driver's output"


def unread(field: str, reason: str, **more: Any) -> Gpu:
    return card(**{field: None, **more}, reasons={**CARD.reasons, field: reason})


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("ecc_uncorrected_volatile", "gpu.ecc.unc"),
        ("sram_threshold_exceeded", "gpu.ecc.sram"),
        ("remap_failure", "gpu.remap"),
        ("remap_pending", "gpu.remap"),
        ("retired_double_bit", "gpu.retired"),
        ("recovery_action", "gpu.recovery"),
        ("persistence", "gpu.persist"),
        ("performance_state", "gpu.pcie"),
        ("utilization", "gpu.pcie"),
    ],
)
@pytest.mark.parametrize(("reason", "severity"), [(ABSENT, "pass"), (OLD, "pass"), (FAILED, "unknown")])
def test_what_a_card_does_not_have_is_no_failure_and_what_was_not_read_is_unknown(
    field: str, name: str, reason: str, severity: str
) -> None:
    found = one(look(unread(field, reason)), name)
    assert (found.severity, found.evidence) == (severity, reason)


@pytest.mark.parametrize("reason", [ABSENT, FAILED])
def test_heat_and_slowdown_that_are_not_read_are_unknown(reason: str) -> None:
    cold = unread("temperature_margin", reason, temperature_slowdown=None)
    nothing = card(throttle=dict.fromkeys(CARD.throttle), reasons={"throttle.hw_slowdown": reason})
    assert one(look(cold), "gpu.temp").severity == "unknown"
    assert one(look(nothing), "gpu.throttle").severity == "unknown"


LADDER_OF_ECC = ("reboot", "recreate_vm")


@pytest.mark.parametrize(
    ("changes", "faults", "name", "severity", "cause", "evidence"),
    [
        ({}, (), "gpu.lost", "pass", None, ""),
        ({"lost": True}, (), "gpu.lost", "fail", "lost", "GPU is lost"),
        ({}, (fault(code=79),), "gpu.lost", "fail", "off_bus", "xid 79"),
        ({}, (fault("off_bus"),), "gpu.lost", "fail", "off_bus", "off_bus None"),
        ({}, (fault(code=31),), "gpu.lost", "pass", None, ""),
        ({}, (fault(code=79, bus_id="0000:00:09"),), "gpu.lost", "pass", None, ""),
        # The driver's word, its older word, and the log's, in this order.
        ({"recovery_action": "Reboot"}, (), "gpu.recovery", "fail", "reboot", "gpu_recovery_action Reboot"),
        ({"recovery_action": " NONE "}, (), "gpu.recovery", "pass", None, ""),
        ({"requires_reset": True}, (), "gpu.recovery", "fail", "reset", "GPU requires reset"),
        ({"reset_required": True}, (), "gpu.recovery", "fail", "reset", "GPU requires reset"),
        ({}, (fault("reset_required"),), "gpu.recovery", "fail", "reset", "NV_ERR_RESET_REQUIRED"),
        ({"recovery_action": None, "reset_required": False}, (), "gpu.recovery", "pass", None, ""),
        ({}, (fault(code=154, recovery=("None", "Reboot")),), "gpu.recovery", "pass", None, ""),
        (
            {"recovery_action": None},
            (fault(code=154, recovery=("None", "Reset")), fault(code=154, recovery=("Reset", "Node Reboot Required"))),
            "gpu.recovery",
            "fail",
            "node_reboot_required",
            "xid 154",
        ),
        ({"recovery_action": None, "reset_required": False}, (fault(code=154),), "gpu.recovery", "pass", None, ""),
        (
            {"recovery_action": None},
            (fault(code=154, recovery=("None", "Reset")), fault(code=154), fault(code=31)),
            "gpu.recovery",
            "fail",
            "reset",
            "xid 154",
        ),
        ({"recovery_action": "Do (what)?"}, (), "gpu.recovery", "fail", "do_what", "gpu_recovery_action Do (what)?"),
        # Memory.
        ({}, (), "gpu.ecc.unc", "pass", None, ""),
        ({"ecc_uncorrected_volatile": 1}, (), "gpu.ecc.unc", "fail", "uncorrectable", "1 since boot"),
        ({}, (fault(code=48),), "gpu.ecc.unc", "fail", "uncorrectable", "xid 48"),
        ({}, (fault(code=171), fault(code=172)), "gpu.ecc.unc", "fail", "uncorrectable", "xid 172"),
        ({}, (fault(code=94),), "gpu.ecc.unc", "warn", "contained", "xid 94"),
        ({"ecc_uncorrected_volatile": 1}, (fault(code=94),), "gpu.ecc.unc", "warn", "contained", "xid 94"),
        ({}, (fault(code=94), fault(code=95)), "gpu.ecc.unc", "fail", "uncorrectable", "xid 95"),
        ({}, (fault(code=31),), "gpu.ecc.unc", "pass", None, ""),
        ({"ecc": False, "ecc_uncorrected_volatile": None}, (), "gpu.ecc.unc", "pass", None, ""),
        ({"sram_threshold_exceeded": True}, (), "gpu.ecc.sram", "fail", "sram", ""),
        ({}, (), "gpu.ecc.sram", "pass", None, ""),
        ({}, (), "gpu.remap", "pass", None, ""),
        ({"remap_failure": True}, (), "gpu.remap", "fail", "failure", "remapped_row_failure Yes"),
        ({"unrepairable_memory": True}, (), "gpu.remap", "fail", "failure", "remapped_row_failure Yes"),
        ({}, (fault(code=64),), "gpu.remap", "fail", "failure", "xid 64"),
        ({"remap_pending": True}, (), "gpu.remap", "warn", "pending", "remapped_row_pending Yes"),
        ({"repair_pending": True}, (), "gpu.remap", "warn", "pending", "remapped_row_pending Yes"),
        ({"remap_pending": True}, (fault(code=63),), "gpu.remap", "warn", "pending", "xid 63"),
        ({"remap_pending": None}, (fault(code=63),), "gpu.remap", "warn", "pending", "xid 63"),
        # The reboot was since then.
        ({}, (fault(code=63),), "gpu.remap", "pass", None, ""),
        ({}, (fault(code=31),), "gpu.remap", "pass", None, ""),
        ({"retired_double_bit": 14}, (), "gpu.retired", "pass", None, "14 pages"),
        ({"retired_double_bit": 15}, (), "gpu.retired", "warn", "some", "15 pages, pending None"),
        ({"retired_double_bit": 59}, (), "gpu.retired", "warn", "some", "59 pages, pending None"),
        ({"retired_double_bit": 60}, (), "gpu.retired", "fail", "many", "60 pages"),
        ({"retired_double_bit": 0, "retirement_pending": True}, (), "gpu.retired", "warn", "pending", "0 pages, pending True"),
        ({"retirement_pending": True}, (), "gpu.retired", "warn", "pending", "None pages, pending True"),
        # Heat: the margin is against where the card slows down.
        ({"temperature_margin": 4, "margin_slowdown": -2.0}, (), "gpu.temp", "pass", None, "36 C, 6 degrees left"),
        ({"temperature_margin": 3, "margin_slowdown": -2.0}, (), "gpu.temp", "warn", "warm", "36 C, 5 degrees left"),
        ({"temperature_margin": 1, "margin_slowdown": None}, (), "gpu.temp", "warn", "warm", "36 C, 1 degrees left"),
        ({"temperature_margin": 0, "margin_slowdown": None}, (), "gpu.temp", "warn", "hot", "36 C, 0 degrees left"),
        ({"persistence": False}, (), "gpu.persist", "fail", "disabled", ""),
        ({"persistence": True}, (), "gpu.persist", "pass", None, ""),
    ],
)  # fmt: skip
def test_one_card(
    changes: dict[str, Any],
    faults: tuple[GpuFault, ...],
    name: str,
    severity: str,
    cause: str | None,
    evidence: str,
) -> None:
    (found,) = [said for said in of(look(card(**changes), faults=faults), name) if said.subject == SUBJECT]
    assert (found.severity, found.cause) == (severity, cause)
    if severity != "pass" or evidence:
        assert found.evidence == evidence


@pytest.mark.parametrize(
    ("changes", "faults", "name", "ladder"),
    [
        ({"ecc_uncorrected_volatile": 1}, (), "gpu.ecc.unc", ("reboot", "recreate_vm")),
        ({}, (fault(code=94),), "gpu.ecc.unc", ("restart_container", "reboot_when_idle")),
        ({"remap_pending": True}, (), "gpu.remap", ("reboot_when_idle",)),
        ({"retirement_pending": True}, (), "gpu.retired", ("reboot_when_idle",)),
        ({"retired_double_bit": 15}, (), "gpu.retired", ()),
        ({"recovery_action": "Reset"}, (), "gpu.recovery", ("reset_gpu", "reboot", "recreate_vm")),
        ({"recovery_action": "Something"}, (), "gpu.recovery", ("alert",)),
    ],
)
def test_what_a_card_asks_for(
    changes: dict[str, Any], faults: tuple[GpuFault, ...], name: str, ladder: tuple[str, ...]
) -> None:
    assert one(look(card(**changes), faults=faults), name).ladder == ladder


def test_pages_that_wait_are_told_apart_from_pages_that_are_gone() -> None:
    pending = one(look(card(retired_double_bit=15, retirement_pending=True)), "gpu.retired").summary
    gone = one(look(card(retired_double_bit=15)), "gpu.retired").summary
    assert "next reboot" in pending and "next reboot" not in gone


# -- what has to last --------------------------------------------------------------------------------------------------

THERMAL = {**CARD.throttle, "hw_thermal_slowdown": True}
SLOW = {**CARD.throttle, "hw_slowdown": True}


@pytest.mark.parametrize(
    ("changes", "left", "throttled", "no_margin"),
    [
        ({"temperature_margin": 10.0, "margin_slowdown": -2.0}, 12.0, False, False),
        ({"temperature_margin": 1.0, "margin_slowdown": None}, 1.0, False, False),
        ({"temperature_margin": -2.0, "margin_slowdown": -2.0}, 0.0, False, True),
        ({"temperature_margin": None, "temperature": 90.0, "temperature_slowdown": 93.0}, 3.0, False, False),
        ({"temperature_margin": None, "temperature": 95.0, "temperature_slowdown": 93.0}, -2.0, False, True),
        ({"temperature_margin": None, "temperature": None, "temperature_slowdown": 93.0}, None, False, False),
        ({"temperature_margin": None, "temperature": 90.0, "temperature_slowdown": None}, None, False, False),
        ({"throttle": THERMAL}, 54.0, True, True),
        ({"throttle": SLOW}, 54.0, True, False),
        ({"throttle": dict.fromkeys(CARD.throttle)}, 54.0, False, False),
    ],
)
def test_what_a_later_look_wants_to_know(
    changes: dict[str, Any], left: float | None, throttled: bool, no_margin: bool
) -> None:
    assert margin(card(**changes)) == left
    assert sample(card(**changes)) == {"throttled": throttled, "no_margin": no_margin, "slow_for_heat": False}


def samples(*seen: tuple[float, bool | None]) -> dict[str, Any]:
    """Earlier looks: how many seconds ago, and whether all was bad; None where the card was not seen."""
    return {
        "history": [
            {"time": NOW - ago, "gpus": {} if bad is None else {SUBJECT: {"throttled": bad, "no_margin": bad}}}
            for ago, bad in seen
        ]
    }


@pytest.mark.parametrize(
    ("previous", "severity"),
    [
        ({}, "warn"),
        (samples((600, True), (300, True)), "fail"),
        # Fewer than three looks, or less than eight minutes.
        (samples((600, True)), "warn"),
        (samples((480, True), (240, True)), "fail"),
        (samples((479, True), (240, True)), "warn"),
        # At least six in ten were bad, this one included.
        (samples((600, False), (400, True), (200, True), (100, False)), "fail"),
        (samples((600, False), (400, True), (100, False)), "warn"),
        (samples((600, True), (300, None)), "warn"),
        # What is older than the window no longer counts.
        (samples((660, True), (300, True)), "fail"),
        (samples((661, True), (300, True)), "warn"),
    ],
)
def test_what_lasts_for_minutes_is_a_failure(previous: dict[str, Any], severity: str) -> None:
    hot = look(card(throttle=THERMAL), previous=previous)
    cold = look(card(temperature_margin=-2.0, margin_slowdown=None), previous=previous)
    for seen, name in ((hot, "gpu.throttle"), (hot, "gpu.temp"), (cold, "gpu.temp")):
        found = one(seen, name)
        assert (found.severity, "for minutes" in found.summary) == (severity, severity == "fail")
    assert one(hot, "gpu.temp").evidence == "36 C, 54 degrees left, thermal slowdown"
    blind = card(throttle=THERMAL, temperature_margin=None, temperature_slowdown=None)
    assert one(look(blind), "gpu.temp").evidence == "36 C, thermal slowdown"
    assert one(look(replace(blind, temperature=None)), "gpu.temp").evidence == "thermal slowdown"


@pytest.mark.parametrize(
    ("kept", "now", "times"),
    [
        (None, NOW, []),
        ("x", NOW, []),
        ([{"time": NOW - 1}], None, []),
        ([{"time": NOW - 661}, {"time": NOW - 660}, {"time": NOW - 1}, {"time": NOW}, "x", {}], NOW, [660, 1]),
    ],
)
def test_samples_that_still_count(kept: Any, now: float | None, times: list[float]) -> None:
    assert [NOW - entry["time"] for entry in history({"history": kept}, now)] == times


def test_what_slows_a_card_down_is_named() -> None:
    slow = card(throttle={**THERMAL, "hw_power_brake_slowdown": True})
    found = one(look(slow), "gpu.throttle")
    assert (found.evidence, found.cause) == ("hw_thermal_slowdown, hw_power_brake_slowdown", "hw_thermal_slowdown")
    only_one_read = {**dict.fromkeys(CARD.throttle), "hw_slowdown": False}
    assert one(look(card(throttle=only_one_read)), "gpu.throttle").severity == "pass"


# -- the link ----------------------------------------------------------------------------------------------------------

BUSY: dict[str, Any] = {"performance_state": "P0", "utilization": 7.0, "pcie_gen": 4, "pcie_width": 8}
BASELINE = {"gen": 4, "width": 8}


@pytest.mark.parametrize(
    ("changes", "baseline", "severity", "cause", "evidence"),
    [
        ({}, None, "pass", None, "generation 4, 8 lanes"),
        ({}, {"gen": 4}, "pass", None, "generation 4, 8 lanes"),
        ({}, {"width": 8}, "pass", None, "generation 4, 8 lanes"),
        ({}, BASELINE, "pass", None, "generation 4, 8 lanes; at its best 4, 8"),
        ({"pcie_width": 7}, BASELINE, "fail", "width", "generation 4, 7 lanes; at its best 4, 8"),
        ({"pcie_gen": 3}, BASELINE, "warn", "generation", "generation 3, 8 lanes; at its best 4, 8"),
        ({"pcie_gen": 5, "pcie_width": 16}, BASELINE, "pass", None, "generation 5, 16 lanes; at its best 4, 8"),
        # A card that idles lets its link rest.
        ({"pcie_gen": 1, "utilization": 0.0}, BASELINE, "pass", None, ""),
        ({"pcie_gen": 1, "performance_state": "P8"}, BASELINE, "pass", None, ""),
    ],
)
def test_the_link_of_a_card_under_load(
    changes: dict[str, Any], baseline: dict[str, int] | None, severity: str, cause: str | None, evidence: str
) -> None:
    seen = look(card(**{**BUSY, **changes}), previous={"pcie": {SUBJECT: baseline}})
    for other in (seen, look(card(**{**BUSY, **changes}), pcie=baseline)):
        found = one(other, "gpu.pcie")
        assert (found.severity, found.cause, found.evidence) == (severity, cause, evidence)


@pytest.mark.parametrize("missing", ["pcie_gen", "pcie_width"])
def test_a_link_that_was_not_read(missing: str) -> None:
    broken = replace(card(**{**BUSY, missing: None}), reasons={"pcie_width": FAILED})
    assert one(look(broken, pcie=BASELINE), "gpu.pcie").severity == "unknown"


@pytest.mark.parametrize(
    ("changes", "before", "best"),
    [
        ({}, None, {"gen": 4, "width": 8}),
        ({}, {"gen": 5, "width": 4}, {"gen": 5, "width": 8}),
        ({"utilization": 0.0}, {"gen": 5, "width": 4}, {"gen": 5, "width": 4}),
        ({"utilization": 0.0}, None, None),
        ({"pcie_width": None}, None, None),
        ({"pcie_gen": None}, None, None),
        ({"pcie_gen": None}, {"gen": 3}, None),
        ({}, "x", {"gen": 4, "width": 8}),
    ],
)
def test_the_best_link_that_was_seen(changes: dict[str, Any], before: Any, best: dict[str, int] | None) -> None:
    seen = look(card(**{**BUSY, **changes}), previous={"pcie": {SUBJECT: before}})
    assert best_links(seen) == ({SUBJECT: best} if best else {})
    assert best_links(look(previous={"pcie": {SUBJECT: BASELINE}})) == {}


# -- whose faults ------------------------------------------------------------------------------------------------------

NAMELESS: dict[str, Any] = {"bus_id": None, "uuid": None}
STRANGE: dict[str, Any] = {"bus_id": "0000:00:0f"}


@pytest.mark.parametrize(
    ("cards", "about", "subjects"),
    [
        ((CARD,), {}, [SUBJECT]),
        ((CARD, OTHER), {}, [SUBJECT]),
        ((CARD, OTHER), {"bus_id": None, "uuid": OTHER.uuid}, [OTHER.subject]),
        ((CARD, OTHER), {"bus_id": OTHER.bus_id}, [OTHER.subject]),
        # With one card a report that names none is about it; with two nobody knows.
        ((CARD,), NAMELESS, [SUBJECT]),
        ((CARD, OTHER), NAMELESS, ["vm"]),
        ((), NAMELESS, ["vm"]),
        # A card that nvidia-smi no longer shows.
        ((CARD,), STRANGE, ["gpu:0000:00:0f"]),
        ((CARD, OTHER), STRANGE, ["gpu:0000:00:0f"]),
        ((), STRANGE, ["gpu:0000:00:0f"]),
        ((), {"bus_id": None, "uuid": "GPU-x"}, ["gpu:GPU-x"]),
        ((card(uuid=None, bus_id=None),), {"bus_id": None, "uuid": "GPU-x"}, ["gpu:GPU-x"]),
    ],
)
@pytest.mark.parametrize(
    ("name", "kind", "code", "recovery"),
    [
        ("gpu.lost", "xid", 79, None),
        ("gpu.lost", "off_bus", None, None),
        ("gpu.ecc.unc", "xid", 48, None),
        ("gpu.remap", "xid", 64, None),
        ("gpu.recovery", "reset_required", None, None),
        ("gpu.xid", "xid", 79, None),
    ],
)
def test_a_fault_is_told_of_its_card(
    cards: tuple[Gpu, ...],
    about: dict[str, Any],
    subjects: list[str],
    name: str,
    kind: str,
    code: int | None,
    recovery: tuple[str, str] | None,
) -> None:
    said = fault(kind, code, recovery=recovery, **about)
    failed = [found for found in of(look(*cards, faults=(said,)), name) if found.severity == "fail"]
    assert [found.subject for found in failed] == subjects
    if name == "gpu.ecc.unc":
        assert failed[0].ladder == LADDER_OF_ECC


@pytest.mark.parametrize(
    ("code", "names"), [(31, set()), (79, {"gpu.lost"}), (48, {"gpu.ecc.unc"}), (64, {"gpu.remap"})]
)
def test_a_fault_of_a_card_that_is_not_shown_is_one_finding(code: int, names: set[str]) -> None:
    failed = {
        found.id for found in check_gpus(look(CARD, faults=(fault(code=code, **STRANGE),))) if found.severity == "fail"
    }
    assert failed - {"gpu.xid"} == names


def test_what_is_asked_for_a_card_that_is_not_shown() -> None:
    change = fault(code=154, recovery=("None", "Reboot"), **STRANGE)
    assert [(found.subject, found.cause) for found in of(look(CARD, faults=(change,)), "gpu.recovery")][1:] == [
        ("gpu:0000:00:0f", "reboot")
    ]
    again = fault(code=154, recovery=("Reboot", "Reset"), **STRANGE)
    found = one(look(faults=(change, again)), "gpu.recovery")
    assert (found.subject, found.cause) == ("gpu:0000:00:0f", "reboot")
    assert of(look(CARD, faults=(fault(code=154, **STRANGE),)), "gpu.recovery")[1:] == []
    calm = fault(code=154, recovery=("Reboot", "None"), **STRANGE)
    assert [found.severity for found in of(look(faults=(calm,)), "gpu.recovery")] == ["pass"]


@pytest.mark.parametrize(
    ("state", "bus_id", "name", "subject", "cause"),
    [
        ("lost", "0000:02:00", "gpu.lost", "gpu:0000:02:00", "lost"),
        ("lost", None, "gpu.lost", "vm", "lost"),
        ("requires_reset", "0000:02:00", "gpu.recovery", "gpu:0000:02:00", "reset"),
        ("requires_reset", None, "gpu.recovery", "vm", "reset"),
    ],
)
def test_what_nvidia_smi_says_instead_of_a_document(
    state: str, bus_id: str | None, name: str, subject: str, cause: str
) -> None:
    seen = look(smi=SmiReading(state, "said", bus_id=bus_id))
    found = one(seen, name)
    assert (found.severity, found.subject, found.cause, found.evidence) == ("fail", subject, cause, "said")
    assert [entry.severity for entry in of(seen, "gpu.remap")] == ["unknown"]


def test_checks_of_cards_that_are_not_shown_are_unknown() -> None:
    names = {"gpu.lost", "gpu.recovery", "gpu.ecc.unc", "gpu.ecc.sram", "gpu.remap", "gpu.retired", "gpu.temp"}
    names |= {"gpu.throttle", "gpu.pcie", "gpu.persist"}
    for seen, model in ((look(), set()), (look(card="x"), {"gpu.model"})):
        unknown = {found.id: found.summary for found in check_gpus(seen) if found.severity == "unknown"}
        assert {name for name in unknown if unknown[name] == "nvidia-smi was not run."} >= names | model
        assert ("gpu.model" in unknown) == bool(model)
    assert one(look(host=PROBED), "gpu.temp").summary == "nvidia-smi shows no card."
    assert one(look(smi=SmiReading("nvml_error")), "gpu.temp").summary == "nvidia-smi shows no card."


# -- Xids --------------------------------------------------------------------------------------------------------------

DAY = 86400


@pytest.mark.parametrize(
    ("faults", "host", "found"),
    [
        ((), {}, [("pass", None, "")]),
        ((fault(code=79),), {}, [("fail", "xid_79", "xid 79")]),
        ((fault(code=14),), {}, [("warn", "xid_14", "xid 14")]),
        ((fault(code=31),), {}, [("warn", "xid_31", "xid 31")]),
        ((fault(code=48),), {}, [("fail", "xid_48", "xid 48")]),
        ((fault(code=8),), {}, [("fail", "xid_8", "xid 8")]),
        ((fault("gsp_timeout"),), {}, [("fail", "gsp_timeout", "gsp_timeout None")]),
        # Not what another check tells.
        ((MISMATCH,), {}, [("pass", None, "")]),
        ((fault(code=154),), {}, [("pass", None, "")]),
        # For a day.
        ((fault(code=79, last_time=NOW - DAY),), {}, [("fail", "xid_79", "xid 79")]),
        ((fault(code=79, last_time=NOW - DAY - 1),), {}, [("pass", None, "")]),
        ((fault(code=79, last_time=None, time=None),), {}, [("fail", "xid_79", "xid 79")]),
        # Without a clock, a day before the newest report.
        (
            (fault(code=31, time=NOW - 2 * DAY, last_time=NOW - 2 * DAY), fault(code=79)),
            {"clock": None},
            [("fail", "xid_79", "xid 79")],
        ),
        ((fault(code=79, time=None),), {"clock": None}, [("fail", "xid_79", "xid 79")]),
        # By the clock, where there is one, however old the newest report is.
        ((fault(code=79, time=NOW - 3 * DAY, last_time=NOW - 3 * DAY),), {}, [("pass", None, "")]),
        # Several reports.
        ((fault(code=79, count=2),), {}, [("fail", "xid_79", "xid 79 (2 lines, 1 bursts)")]),
        ((fault(code=79), fault(code=79, count=2)), {}, [("fail", "xid_79", "xid 79 (3 lines, 2 bursts)")]),
        ((fault(code=79), fault(code=31)), {}, [("fail", "xid_79", "xid 79"), ("warn", "xid_31", "xid 31")]),
        # The same place on the chip twice is the card's fault.
        ((fault(code=13, place=(1, 2)),), {}, [("warn", "xid_13", "xid 13")]),
        (
            (fault(code=13, place=(1, 2)), fault(code=13, place=(1, 3))),
            {},
            [("warn", "xid_13", "xid 13 (2 lines, 2 bursts)")],
        ),
        (
            (fault(code=13, place=(1, 2)), fault(code=13, place=(1, 2))),
            {"container_started": NOW + 1},
            [("fail", "xid_13_repeats", "xid 13 (2 lines, 2 bursts)")],
        ),
        ((fault(code=13), fault(code=13)), {}, [("warn", "xid_13", "xid 13 (2 lines, 2 bursts)")]),
        # A restart answers what only needs one, if it came later.
        ((fault(code=11),), {"container_started": NOW}, [("fail", "xid_11", "xid 11")]),
        ((fault(code=11),), {"container_started": NOW + 1}, [("warn", "xid_11", "xid 11")]),
        ((fault(code=11, last_time=None),), {"container_started": NOW + 1}, [("fail", "xid_11", "xid 11")]),
        ((fault(code=79),), {"container_started": NOW + 1}, [("fail", "xid_79", "xid 79")]),
    ],
)
def test_xids(faults: tuple[GpuFault, ...], host: dict[str, Any], found: list[tuple[str, str | None, str]]) -> None:
    seen = look(CARD, faults=faults, host=host)
    assert [(entry.severity, entry.cause, entry.evidence) for entry in of(seen, "gpu.xid")] == found


@pytest.mark.parametrize(
    ("faults", "host", "ladder", "remedy"),
    [
        (
            (fault(code=8),),
            {},
            ("restart_container", "reboot"),
            "Restart the container; if that does not help, reboot the VM.",
        ),
        (
            (fault(code=8), fault(code=8)),
            {},
            ("reboot", "recreate_vm"),
            "Reboot the VM; if that does not help, replace the VM.",
        ),
        ((fault(code=11), fault(code=11)), {}, ("restart_container", "reboot"), "Restart the container; if"),
        ((fault(code=109), fault(code=109)), {}, ("reboot", "recreate_vm"), "Reboot the VM; if"),
        ((fault(code=94),), {"container_started": NOW + 1}, ("reboot_when_idle",), "Reboot the VM when it is idle."),
        ((fault(code=64),), {}, ("recreate_vm",), "Replace the VM."),
        ((fault(code=14),), {}, (), "Nothing to do about it by itself."),
        ((fault("gsp_timeout"),), {}, ("reboot", "recreate_vm"), "Reboot the VM; if"),
    ],
)
def test_what_an_xid_asks_for(
    faults: tuple[GpuFault, ...], host: dict[str, Any], ladder: tuple[str, ...], remedy: str
) -> None:
    found = one(look(CARD, faults=faults, host=host), "gpu.xid")
    assert found.ladder == ladder and found.remedy.startswith(remedy)
    assert ("(" in found.summary) == bool(found.summary.endswith(")."))


def test_an_xid_says_what_is_known_about_it() -> None:
    assert one(look(CARD, faults=(fault(code=79),)), "gpu.xid").summary == "Xid 79: GPU has fallen off the bus."
    assert one(look(CARD, faults=(fault(code=167),)), "gpu.xid").summary.endswith("(treated like 79).")
    since = look(CARD, faults=(fault(code=11),), host={"container_started": NOW + 1})
    assert one(since, "gpu.xid").summary.endswith("(the engine was started again since).")
    assert one(replace(look(CARD), kernel=None), "gpu.xid").severity == "unknown"


# -- who uses it -------------------------------------------------------------------------------------------------------


def using(name: str | None, pid: int | None = 7) -> Gpu:
    return card(processes=(GpuProcess(1, "VLLM::Worker", "C", 5), GpuProcess(pid, name, "C", 5)))


@pytest.mark.parametrize(
    ("gpu", "pids", "evidence"),
    [
        (CARD, None, None),
        (using("/usr/bin/python3"), None, None),
        (using("[Not Found]"), None, None),
        (using(None), None, None),
        (using("/usr/bin/miner"), None, "/usr/bin/miner (7)"),
        (using("/usr/bin/miner"), [], "/usr/bin/miner (7)"),
        (using("/usr/bin/miner"), "x", "/usr/bin/miner (7)"),
        # Where the engine's processes are known, names say nothing.
        (using("/usr/bin/miner"), [1, 7], None),
        (using("python3"), [1], "python3 (7)"),
        (using(None), [1], None),
    ],
)
def test_who_uses_the_card(gpu: Gpu, pids: Any, evidence: str | None) -> None:
    found = one(look(gpu, host={"engine_pids": pids}), "gpu.foreign")
    assert (found.severity, found.evidence) == (("pass", "") if evidence is None else ("warn", evidence))
    assert found.cause == (None if evidence is None else "stranger")


def test_no_card_is_used_by_nobody() -> None:
    assert one(look(), "gpu.foreign").severity == "unknown"
    assert one(look(smi=NONE), "gpu.foreign").severity == "unknown"
    many = card(processes=tuple(GpuProcess(pid, "miner", "C", 5) for pid in range(9)))
    assert one(look(many), "gpu.foreign").evidence.count("miner") == 5
