# SPDX-License-Identifier: GPL-3.0-or-later
"""nvidia-smi of every schema era, its failures as plain text, and that no error text ever becomes a value."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import evaluate
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.nvidia_smi import (
    Gpu,
    absent,
    gpu_facts,
    is_error_text,
    normalise_bus_id,
    read_nvidia_smi,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from smi_documents import ALL, v11_turing, v13_blackwell

GOLDEN: dict[str, dict[str, Any]] = {
    "v9": {
        "name": "Tesla P40",
        "ecc_corrected_volatile": 5,
        "ecc_uncorrected_volatile": 3,
        "ecc_uncorrected_aggregate": 4,
        "retired_double_bit": 16,
        "retirement_pending": False,
        "temperature": 88.0,
        "temperature_slowdown": 92.0,
        "temperature_margin": None,
        "power_draw": 119.47,
        "power_limit": 250.0,
        "recovery_action": None,
        "remap_failure": None,
        "pcie_width": 8,
        "mig": None,
    },
    "v11": {
        "ecc_uncorrected_volatile": 2,
        "ecc_pending": False,
        "retirement_pending": True,
        "remap_pending": None,
        "power_draw": None,
        "power_limit": 260.0,
        "mig": None,
    },
    "v12": {
        "mig": True,
        "reset_required": True,
        "utilization": None,
        "ecc_uncorrected_volatile": 0,
        "remap_pending": True,
        "remap_failure": False,
        "remapped_uncorrectable": 1,
        "temperature_margin": None,
        "power_draw": 67.03,
    },
    "v13": {
        "minor_number": 1,
        "bus_id": "0000:00:03",
        "recovery_action": "None",
        "virtualization": "Pass-Through",
        "ecc_uncorrected_volatile": 0,
        "sram_threshold_exceeded": False,
        "repair_pending": False,
        "retired_double_bit": None,
        "temperature_margin": 52.0,
        "margin_slowdown": -2.0,
        "memory_temperature": None,
        "power_draw": 61.27,
        "utilization": 7.0,
        "memory_used_mib": 11,
        "fabric_state": None,
    },
    "v10": {
        "performance_state": "P8",
        "ecc": None,
        "ecc_uncorrected_volatile": None,
        "retired_double_bit": None,
        "power_draw": 2.12,
        "power_limit": 250.0,
        "temperature_slowdown": 91.0,
    },
    "untyped": {"temperature": 24.0, "mig": None},
    "v12-525": {
        "reset_required": None,
        "recovery_action": None,
        "power_draw": 67.03,
        "power_limit": 500.0,
        "remap_pending": True,
    },
    "v12-570": {
        "recovery_action": "Reset",
        "reset_required": None,
        "ecc_uncorrected_volatile": 1,
        "ecc_uncorrected_aggregate": 0,
        "sram_threshold_exceeded": True,
        "power_draw": 49.68,
    },
    "v13-595": {
        "temperature_margin": None,
        "temperature_slowdown": 93.0,
        "remapped_correctable": 0,
    },
    "v13-610": {"power_limit": 600.0, "bus_id": "0000:00:02"},
}


@pytest.mark.parametrize("era", sorted(GOLDEN))
def test_every_era_is_read(era: str) -> None:
    reading = read_nvidia_smi(ALL[era], 0)
    assert (reading.state, reading.attached) == ("ok", len(reading.gpus))
    gpu = reading.gpus[0]
    assert {name: getattr(gpu, name) for name in GOLDEN[era]} == GOLDEN[era]
    missing = [entry.name for entry in fields(Gpu) if getattr(gpu, entry.name) is None]
    assert all(gpu.reasons.get(name) for name in missing), "what is None says why"


def test_details_survive() -> None:
    turing, ampere, blackwell = (read_nvidia_smi(ALL[era]).gpus[0] for era in ("v11", "v12", "v13"))
    assert turing.throttle["hw_power_brake_slowdown"] is True and turing.throttle["hw_slowdown"] is False
    assert blackwell.throttle["gpu_idle"] is True and blackwell.throttle["display_clocks_setting"] is None
    assert [device.gpu_instance for device in ampere.mig_devices] == [3, 4]
    assert blackwell.errors == {"power_smoothing": "Insufficient Permissions"}
    assert blackwell.throttle_us["hw_thermal_slowdown"] == 0 and blackwell.throttle_us["sync_boost"] is None
    assert [process.name for process in read_nvidia_smi(ALL["v9"]).gpus[0].processes] == [
        "VLLM::EngineCore",
        "/usr/lib/xorg/Xorg",
    ]
    assert {era: (read_nvidia_smi(text).schema, read_nvidia_smi(text).driver) for era, text in ALL.items()} == {
        "v9": ("v9", "384.111"),
        "v10": ("v10", "418.43"),
        "untyped": (None, "418.43"),
        "v11": ("v11", "515.105.01"),
        "v12-525": ("v12", "525.147.05"),
        "v12": ("v12", "535.54.03"),
        "v12-570": ("v12", "570.148.08"),
        "v13": ("v13", "580.95.05"),
        "v13-595": ("v13", "595.91.07"),
        "v13-610": ("v13", "610.57.04"),
    }
    # The names of the reasons changed with driver 535, what they say did not.
    for era in ("v12-525", "v12"):
        assert read_nvidia_smi(ALL[era]).gpus[0].throttle["hw_slowdown"] is False


FAILURES = [
    ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that", 9, "no_driver"),
    ("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 570.124", 18, "mismatch"),
    ("No devices were found", 6, "no_devices"),
    ("Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost.  Reboot the system", 15, "lost"),
    ("Unable to determine the device handle for GPU 0000:0B:00.0: Unknown Error", 255, "lost"),
    ("Unable to determine the device handle for GPU 0000:0B:00.0: GPU requires reset", 255, "requires_reset"),
    ("Failed to initialize NVML: Unknown Error", 255, "nvml_error"),
    ("Failed to initialize NVML: Insufficient Permissions", 4, "no_permission"),
    ("NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.", 12, "no_library"),
    ('Field "gpu_recovery_action" is not a valid field to query.', 2, "bad_question"),
    ("bash: nvidia-smi: command not found", 127, "not_installed"),
    ("", 9, "no_driver"),
    ("", 15, "lost"),
    ("", 124, "timeout"),
    ("", 255, "unreadable"),
    ("==============NVSMI LOG==============\n\nTimestamp : x\nGPU 00000000:01:00.0\n    ECC Errors : 3", 0, "not_xml"),
    ("| NVIDIA-SMI 550.90.07              Driver Version: 550.90.07      CUDA Version: 12.4     |", 0, "not_xml"),
    ("GPU 0: NVIDIA L4 (UUID: GPU-6ba7b810-9dad-11d1-80b4-00c04fd430c8)", 0, "not_xml"),
    ("<nvidia_smi_log><gpu", 0, "unreadable"),
    ("<nvidia_smi_log><gpu></nvidia_smi_log>", 0, "unreadable"),
]


@pytest.mark.parametrize(("text", "code", "state"), FAILURES)
def test_failures_have_names(text: str, code: int, state: str) -> None:
    reading = read_nvidia_smi(text, code)
    assert (reading.state, reading.gpus) == (state, ())
    assert reading.text and reading.readable == (state == "no_devices")


LOST_TEXT = "Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost.  Reboot the system"


@pytest.mark.parametrize(
    ("text", "code", "said", "bus_id"),
    [
        (f"first\n  {LOST_TEXT} \nlast", 15, LOST_TEXT, "0000:02:00"),
        (LOST_TEXT, 15, LOST_TEXT, "0000:02:00"),
        (f"{LOST_TEXT}\n", None, LOST_TEXT, "0000:02:00"),
        (f"GPU 0000:09:00.0 is fine\n{LOST_TEXT}", None, LOST_TEXT, "0000:02:00"),
        (f"No devices were found{'x' * 600}", 6, f"No devices were found{'x' * 479}", None),
        ("", 9, "exit code 9", None),
        (" something ", 9, "something", None),
        ("x" * 600, 9, "x" * 500, None),
        ("x" * 600, 255, "x" * 500, None),
        ("", 255, "not the output of nvidia-smi -q -x", None),
        ("</nvidia_smi_log>", 255, "</nvidia_smi_log>", None),
        ("<nvidia_smi_log>", None, "a document that ends early", None),
        ("<nvidia_smi_log><gpu> GPU 0: x (UUID: y)", 0, "a document that ends early", None),
    ],
)
def test_the_line_that_shows_a_failure(text: str, code: int | None, said: str, bus_id: str | None) -> None:
    reading = read_nvidia_smi(text, code)
    assert (reading.text, reading.bus_id) == (said, bus_id)


@pytest.mark.parametrize(
    ("inside", "code", "state", "text"),
    [
        ("<attached_gpus>0</attached_gpus>", 0, "no_devices", ""),
        ("<attached_gpus>0</attached_gpus>", None, "no_devices", ""),
        ("<attached_gpus>1</attached_gpus>", 0, "unreadable", ""),
        ("", 0, "unreadable", ""),
        ("GPU is lost", 0, "lost", "GPU is lost"),
        ("<attached_gpus>0</attached_gpus>", 9, "no_driver", "exit code 9"),
        ("<gpu id='00000000:00:02.0'></gpu>", 0, "ok", ""),
        ("<gpu id='00000000:00:02.0'>GPU is lost</gpu>", 0, "ok", ""),
        ("<gpu id='00000000:00:02.0'></gpu>", 15, "lost", "exit code 15"),
    ],
)
def test_a_document_and_what_is_around_it(inside: str, code: int | None, state: str, text: str) -> None:
    document = f"<nvidia_smi_log>{inside}</nvidia_smi_log>"
    reading = read_nvidia_smi(document, code)
    assert reading.state == state
    if state not in ("no_devices", "unreadable"):
        assert reading.text == text
    if "<gpu" not in inside:
        return
    (gpu,) = reading.gpus
    assert (gpu.bus_id, gpu.lost, gpu.subject) == ("0000:00:02", "is lost" in inside, "gpu:0000:00:02")
    around = read_nvidia_smi(f"Insufficient Permissions\n{document}\n", 0)
    assert (around.state, around.text) == ("no_permission", "Insufficient Permissions")
    assert read_nvidia_smi(f"{document}\nWARNING: infoROM is corrupted\n{LOST_TEXT}", 14).state == "lost"


def test_a_text_that_is_too_long_is_not_read() -> None:
    longest = 4_000_000
    document = v13_blackwell()
    assert read_nvidia_smi(document + " " * (longest - len(document))).state == "ok"
    reading = read_nvidia_smi(document + " " * (longest - len(document) + 1))
    assert (reading.state, reading.gpus) == ("unreadable", ()) and str(longest) in reading.text


def nested(levels: int) -> str:
    return f"<nvidia_smi_log><gpu>{'<a>' * levels}GPU is lost{'</a>' * levels}</gpu></nvidia_smi_log>"


@pytest.mark.parametrize(("levels", "lost"), [(1, True), (20, True), (21, False), (900, False)])
def test_no_more_than_twenty_levels_are_read(levels: int, lost: bool) -> None:
    assert read_nvidia_smi(nested(levels)).gpus[0].lost == lost


def changed(text: str, **leaves: str) -> Gpu:
    for name, value in leaves.items():
        text = re.sub(rf"<{name}>[^<]*<", f"<{name}>{value}<", text, count=1)
    return read_nvidia_smi(text).gpus[0]


def test_why_a_field_could_not_be_read_is_kept() -> None:
    odd = changed(v13_blackwell(), uuid="five", product_name="Unknown Error", gpu_temp="warm")
    assert (odd.uuid, odd.reasons["uuid"]) == (None, "five")
    assert odd.subject == "gpu:0000:00:02"
    assert (odd.name, odd.reasons["name"]) == (None, "Unknown Error")
    assert (odd.temperature, odd.reasons["temperature"]) == (None, "warm")
    whole = changed(v13_blackwell())
    assert whole.uuid is not None and "uuid" not in whole.reasons and "name" not in whole.reasons
    gone = read_nvidia_smi(v13_blackwell().replace("uuid>", "other>")).gpus[0]
    assert (gone.uuid, gone.reasons["uuid"]) == (None, "not in this driver's output")
    unnamed = read_nvidia_smi(ALL["v9"].replace("VLLM::EngineCore", "N/A")).gpus[0]
    assert [process.name for process in unnamed.processes] == [None, "/usr/lib/xorg/Xorg"]


@pytest.mark.parametrize(
    ("average", "instant", "value", "reason"),
    [
        ("61.10 W", "61.27 W", 61.27, None),
        ("61.10 W", "N/A", 61.1, None),
        ("N/A", "N/A", None, "N/A"),
        # A failure says more than that there is no such reading, whichever of the names has it.
        ("Unknown Error", "N/A", None, "Unknown Error"),
        ("N/A", "Unknown Error", None, "Unknown Error"),
        ("[N/A]", "N/A", None, "N/A"),
    ],
)
def test_which_of_several_names_says_why(average: str, instant: str, value: float | None, reason: str | None) -> None:
    found = changed(v13_blackwell(), average_power_draw=average, instant_power_draw=instant)
    assert (found.power_draw, found.reasons.get("power_draw")) == (value, reason)


def test_why_a_count_could_not_be_read_is_kept() -> None:
    none = read_nvidia_smi(ALL["v10"]).gpus[0]
    assert none.reasons["ecc_uncorrected_volatile"] == "N/A"
    gone = re.sub(r"<ecc_errors>.*?</ecc_errors>", "", ALL["v10"], flags=re.DOTALL)
    assert read_nvidia_smi(gone).gpus[0].reasons["ecc_uncorrected_volatile"] == "not in this driver's output"
    failed = changed(v13_blackwell(), dram_uncorrectable="Unknown Error", sram_uncorrectable_parity="N/A")
    assert failed.reasons["ecc_uncorrected_volatile"] == "Unknown Error"


@pytest.mark.parametrize(
    ("channel", "unit", "pending"),
    [("No", "No", False), ("Yes", "No", True), ("No", "Yes", True), ("N/A", "Yes", True), ("N/A", "N/A", None)],
)
def test_a_repair_of_either_kind_may_be_pending(channel: str, unit: str, pending: bool | None) -> None:
    found = changed(v13_blackwell(), channel_repair_pending=channel, tpc_repair_pending=unit)
    assert found.repair_pending is pending
    assert ("repair_pending" in found.reasons) == (pending is None)


def test_a_card_is_named_by_its_element_where_its_own_bus_is_not_read() -> None:
    assert changed(v13_blackwell(), pci_bus_id="N/A").bus_id == "0000:00:02"
    other = changed(v13_blackwell(), pci_bus_id="00000000:00:07.0")
    assert other.bus_id == "0000:00:07"


def test_a_card_as_plain_data() -> None:
    facts = gpu_facts(read_nvidia_smi(ALL["v9"]).gpus[0])
    assert set(facts) == {entry.name for entry in fields(Gpu)}
    assert [process["pid"] for process in facts["processes"]] == [1357, 2384]
    assert [device["index"] for device in gpu_facts(read_nvidia_smi(ALL["v12"]).gpus[0])["mig_devices"]] == [0, 1]


def test_a_table_or_a_text_is_told_apart_from_a_failure() -> None:
    text = "==============NVSMI LOG==============\n    Temperature\n        GPU Current Temp : 91 C\n    Lost : Unknown Error\n"
    found = evaluate({"nvidia-smi.xml": text}).findings
    cards = [entry for entry in found if entry.id.startswith(("drv.", "gpu."))]
    assert {entry.severity for entry in cards if entry.id != "gpu.hang"} == {"unknown"}
    assert all(
        "nvidia-smi -q -x" in entry.summary for entry in cards if entry.id in ("drv.module", "gpu.lost", "gpu.count")
    )


def test_an_exit_code_discards_no_document() -> None:
    warned = v13_blackwell() + "WARNING: infoROM is corrupted at gpu 0000:00:02.0\n"
    reading = read_nvidia_smi(warned, 14)
    assert (reading.state, reading.text, len(reading.gpus)) == ("ok", "", 1)


def test_entities_are_neither_declared_nor_fetched() -> None:
    bomb = '<!DOCTYPE nvidia_smi_log [<!ENTITY a "GPU is lost"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
    reading = read_nvidia_smi(
        v13_blackwell().replace("<nvidia_smi_log>", bomb + "<nvidia_smi_log>", 1).replace("36 C", "&f;")
    )
    assert (reading.state, reading.gpus) == ("unreadable", ())


@pytest.mark.parametrize(
    ("text", "no_such_reading", "error"),
    [
        (" N/A ", True, False),
        ("[Not Supported]", True, False),
        ("None", True, False),
        (" Unknown Error ", False, True),
        ("Not Active", False, False),
        ("Disabled", False, False),
        ("36 C", False, False),
    ],
)
def test_what_a_text_in_place_of_a_value_says(text: str, no_such_reading: bool, error: bool) -> None:
    assert (absent(text), is_error_text(text)) == (no_such_reading, error)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("00000000:01:00.0", "0000:01:00"),
        ("PCI:0000:9B:00", "0000:9b:00"),
        ("0000:b3:00.0", "0000:b3:00"),
        ("00000001:00:02.0", "0001:00:02"),
        ("0002:00", "0000:02:00"),
        ("N/A", None),
        (None, None),
    ],
)
def test_bus_ids_of_all_tools_are_the_same(text: str | None, normal: str | None) -> None:
    assert normalise_bus_id(text) == normal


ERROR_TEXTS = st.sampled_from(
    [
        "N/A",
        "[N/A]",
        "Not Supported",
        "[Unknown Error]",
        "Unknown Error",
        "ERR!",
        "Requested functionality has been deprecated",
        "[Function Not Found]",
        "Not Found",
        "Insufficient Permissions",
        "Insufficient Size",
        "Invalid Argument",
        "Operation timed out",
        "No data",
        "In use by another client",
        "",
    ]
) | st.from_regex(r"\[?[A-Z][a-z]{2,9} (Error|Failed|Unavailable)\]?", fullmatch=True)
LEAVES = {era: [match.span(1) for match in re.finditer(r">([^<>\n]+)<", text)] for era, text in ALL.items()}


def _numbers(gpu: Gpu) -> dict[str, float]:
    return {
        entry.name: value
        for entry in fields(Gpu)
        if isinstance(value := getattr(gpu, entry.name), (int, float)) and not isinstance(value, bool)
    }


@given(st.data(), ERROR_TEXTS)
@settings(max_examples=400, deadline=None)
def test_no_error_text_becomes_a_number_a_heal_or_a_delete(data: st.DataObject, error: str) -> None:
    era = data.draw(st.sampled_from(sorted(ALL)))
    start, end = data.draw(st.sampled_from(LEAVES[era]))
    broken = ALL[era][:start] + error + ALL[era][end:]
    before, after = read_nvidia_smi(ALL[era]), read_nvidia_smi(broken)
    for old, new in zip(before.gpus, after.gpus, strict=True):
        changed = {name: value for name, value in _numbers(new).items() if _numbers(old).get(name) != value}
        # An alias may take over, and a sum may lose a part that failed; neither makes up a value.
        assert all(
            value <= _numbers(old).get(name, value) and name.startswith(("ecc_", "power_"))
            for name, value in changed.items()
        ), changed
    sound = {(found.id, found.subject, found.ladder) for found in evaluate({"nvidia-smi.xml": ALL[era]}).findings}
    for found in evaluate({"nvidia-smi.xml": broken}).findings:
        if (found.id, found.subject, found.ladder) not in sound:
            subjectless = any((found.id, found.ladder) == (known[0], known[2]) for known in sound)
            assert found.ladder == () or subjectless, found


@pytest.mark.parametrize(
    ("era", "part", "more"),
    [
        ("v13", "sram_uncorrectable_parity", "dram_uncorrectable"),
        ("v13", "dram_uncorrectable", "sram_uncorrectable_secded"),
        ("v12", "sram_uncorrectable", "dram_uncorrectable"),
    ],
)
def test_a_count_of_errors_without_one_of_its_parts_is_not_known(era: str, part: str, more: str) -> None:
    broken = ALL[era].replace(f"<{part}>0<", f"<{part}>Unknown Error<")
    assert read_nvidia_smi(broken).gpus[0].ecc_uncorrected_volatile is None
    found = {entry.id: entry.severity for entry in evaluate({"nvidia-smi.xml": broken}).findings}
    assert found["gpu.ecc.unc"] == "unknown"
    # Unless the others show some already.
    some = broken.replace(f"<{more}>0<", f"<{more}>3<", 1)
    assert read_nvidia_smi(some).gpus[0].ecc_uncorrected_volatile == 3


@given(st.sampled_from(sorted(ALL)), st.data())
@settings(max_examples=100, deadline=None)
def test_an_element_that_turned_into_a_text_is_unknown(era: str, data: st.DataObject) -> None:
    names = sorted(set(re.findall(r"<(\w+)>\n", ALL[era])) - {"nvidia_smi_log", "gpu"})
    name = data.draw(st.sampled_from(names))
    broken = re.sub(rf"<{name}>\n.*?</{name}>", f"<{name}>Unknown Error</{name}>", ALL[era], flags=re.DOTALL)
    for gpu in read_nvidia_smi(broken).gpus:
        assert any(text == "Unknown Error" for text in gpu.errors.values())
        assert not gpu.lost


def test_a_lost_gpu_says_so_in_any_element() -> None:
    lost = re.sub(
        r"<remapped_rows>.*?</remapped_rows>",
        "<remapped_rows>GPU is lost</remapped_rows>",
        v13_blackwell(),
        flags=re.DOTALL,
    )
    found = {entry.id: entry for entry in evaluate({"nvidia-smi.xml": lost}).findings}
    assert found["gpu.lost"].severity == "fail" and found["gpu.lost"].ladder == ("reboot", "recreate_vm")
    assert found["gpu.remap"].severity == "unknown"


@given(st.text(max_size=400) | st.binary(max_size=400).map(lambda data: data.decode("utf-8", "surrogateescape")))
@settings(max_examples=300, deadline=None)
def test_garbage_is_unreadable_and_nothing_else(text: str) -> None:
    for wrapped in (text, f"<nvidia_smi_log>{text}</nvidia_smi_log>"):
        reading = read_nvidia_smi(wrapped)
        assert reading.gpus == () or reading.state == "ok"


def test_turing_fails_by_its_pages_and_warns_when_one_is_pending() -> None:
    by_id = {entry.id: entry for entry in evaluate({"nvidia-smi.xml": v11_turing()}).findings}
    assert by_id["gpu.retired"].severity == "warn" and by_id["gpu.retired"].ladder == ("reboot_when_idle",)
    many = {entry.id: entry for entry in evaluate({"nvidia-smi.xml": v11_turing().replace(">2<", ">61<")}).findings}
    assert (many["gpu.retired"].severity, many["gpu.retired"].ladder) == ("fail", ("recreate_vm",))
    assert by_id["gpu.throttle"].severity == "warn"
