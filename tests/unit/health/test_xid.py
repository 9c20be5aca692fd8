# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel logs in every style, and the driver's reports in every format since 2012."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.driver_reports import REPORTS
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import evaluate
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.kernel_log import (
    kernel_lines,
    last_cursor,
    oom_kills,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.xid import gpu_faults
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.xid_catalogue import SEVERITIES, XIDS, xid
from hypothesis import given, settings
from hypothesis import strategies as st


def read(text: str) -> list[Any]:
    return gpu_faults(list(kernel_lines(text)))


LINES: list[tuple[str, dict[str, Any]]] = [
    ("NVRM: Xid (0000:03:00): 14, Channel 00000001", {"code": 14, "bus_id": "0000:03:00", "pid": None}),
    ("NVRM: Xid (PCI:0000:01:00): 31, Ch 0000003a, intr 10000000. MMU Fault: x", {"code": 31, "process": None}),
    (
        "NVRM: Xid (PCI:0000:00:06): 31, pid=2708, Ch 0000003d, intr 0",
        {"code": 31, "pid": 2708, "bus_id": "0000:00:06"},
    ),
    (
        "NVRM: Xid (PCI:0000:26:00): 109, pid=55914, name=re8.exe, Ch 00000046, errorString CTX SWITCH TIMEOUT",
        {"code": 109, "pid": 55914, "process": "re8.exe"},
    ),
    ("NVRM: Xid (PCI:0000:cb:00): 13, pid='<unknown>', name=<unknown>, Graphics SM", {"pid": None, "process": None}),
    (
        "NVRM: Xid (PCI:0000:cb:00): 13, pid=7, name=a, Graphics SM Warp Exception on (GPC 7, TPC 2, SM 0): Illegal",
        {"code": 13, "place": (7, 2)},
    ),
    ("NVRM: Xid (PCI:0000:01:00): 109, pid=1, name=x, channel 0x0d,   CTX SWITCH TIMEOUT", {"code": 109}),
    ("NVRM: Xid (PCI:0000:dc:00): 45, pid=9, name=python3, Ch 01 caused by previous Xid 149", {"caused_by": 149}),
    ("NVRM: Xid (PCI:0000:b3:00.0): 79", {"code": 79, "bus_id": "0000:b3:00"}),
    ("NVRM: Xid (PCI:0000:c6:00): 79, pid=1, name=nvc:[driver], GPU has", {"process": "nvc:[driver]", "kind": "xid"}),
    ("NVRM: Xid (PCI:0018:01:00): 145, pid=8, name=ray::WorkerDict, RLW", {"process": "ray::WorkerDict"}),
    (
        "NVRM: Xid (PCI:0000:0f:00): 154, pid=1, name=x, GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)",
        {"code": 154, "recovery": ("None", "Node Reboot Required")},
    ),
    ("NVRM: GPU 0000:18:00.0: GPU has fallen off the bus.", {"kind": "off_bus", "bus_id": "0000:18:00"}),
    ("NVRM: GPU at 0000:01:00.0 has fallen off the bus.", {"kind": "off_bus", "code": None, "bus_id": "0000:01:00"}),
    (
        "NVRM: The NVIDIA GPU 0000:b3:00.0\nNVRM: (PCI ID: 10de:2330) installed in this system has\nNVRM: fallen off the bus "
        "and is not responding to commands.",
        {"kind": "off_bus", "bus_id": "0000:b3:00"},
    ),
    ("NVRM: GPU 0000:18:00.0: RmInitAdapter failed! (0x22:0x56:894)", {"kind": "init_failed", "bus_id": "0000:18:00"}),
    ("NVRM: GPU 0000:09:00.0: rm_init_adapter failed, device minor number 0", {"kind": "init_failed"}),
    (
        "NVRM: nvAssertOkFailedNoLog: Assertion failed: Reset required [NV_ERR_RESET_REQUIRED] (0x1) returned",
        {"kind": "reset_required"},
    ),
    ("NVRM: GPU6 _kgspIsHeartbeatTimedOut: Heartbeat timed out, currentTimeMs 1", {"kind": "gsp_timeout"}),
    ("NVRM: GPU6 kgmmuCheckMemSubsysError_IMPL: Memory Subsystem Error detected.", {"kind": "memory_subsystem"}),
    (
        "NVRM: API mismatch: the client has the version 570.124.06, but#012NVRM: this kernel module has the version "
        "570.86.15.  Please#012NVRM: make sure",
        {"kind": "mismatch", "versions": ("570.124.06", "570.86.15")},
    ),
    (
        "NVRM: API mismatch: the client 'x' (pid 5)\n               NVRM: has the version 595.84, but this kernel module has\n"
        "               NVRM: the version 595.80.  Please",
        {"kind": "mismatch", "versions": ("595.84", "595.80")},
    ),
]


@pytest.mark.parametrize(("line", "facts"), LINES)
def test_every_format_is_read(line: str, facts: dict[str, Any]) -> None:
    found = read(line)
    assert len(found) == 1
    assert {name: getattr(found[0], name) for name in facts} == facts


BEFORE = "NVRM: Xid (PCI:0000:01:00): 79, pid=5, name=x, GPU has fallen off the bus."
STYLES = [
    ("{}", None),
    ("[  269.516977] {}", 269.516977),
    ("[Sun Feb 23 16:24:18 2025] {}", 1740327858.0),
    ("Jan 18 11:38:05 localhost kernel: [  269.500000] {}", 269.5),
    ("kwi 15 07:56:59 testowy kernel: {}", None),
    ("2025-02-23T16:24:18,500000+00:00 {}", 1740327858.5),
    ("2025-02-23T17:24:18+0100 gpu kernel: {}", 1740327858.0),
    ("2025-02-23T16:24:18.250000Z gpu kernel: [   12.000000] {}", 1740327858.25),
    ("kern  :err   : [  269.516977] {}", 269.516977),
    ("<3>[  269.516977] {}", 269.516977),
    ("kernel: {}", None),
    ("[...] {}", None),
]


@pytest.mark.parametrize(("style", "time"), STYLES)
def test_every_style_is_taken_off(style: str, time: float | None) -> None:
    found = read(style.format(BEFORE))
    assert [(fault.code, fault.message) for fault in found] == [(79, BEFORE)]
    assert found[0].time == time


def entry(message: Any, seconds: float, boot: str = "a" * 32) -> str:
    fields = {
        "MESSAGE": message,
        "__REALTIME_TIMESTAMP": str(int(seconds * 1e6)),
        "_BOOT_ID": boot,
        "__CURSOR": f"c{seconds}",
    }
    return json.dumps(fields)


def test_the_journal_brings_times_boots_and_cursors() -> None:
    text = "\n".join([entry(BEFORE, 1740327858.5), entry(list(BEFORE.encode()), 1740328858), "not json", entry("x", 7)])
    found = read(text)
    assert [fault.time for fault in found] == [1740327858.5, 1740328858.0]
    assert last_cursor(text) == "c7"
    assert last_cursor("") is None


def test_a_reboot_clears_what_was_said_before() -> None:
    text = "\n".join([entry(BEFORE, 1740327858, "b" * 32), entry("up", 1740328858, "c" * 32)])
    by_id = {found.id: found.severity for found in evaluate({"kernel.log": text}).findings}
    assert by_id["gpu.xid"] == "pass"


def test_a_burst_is_one_fault_and_the_card_is_named_by_its_uuid() -> None:
    xids = [
        f"[{second:>5}.000000] NVRM: Xid (PCI:0000:9b:00): 119, pid=2, name=nvidia-smi, Timeout"
        for second in (10, 16, 22, 900)
    ]
    found = read(
        "[    9.000000] NVRM: GPU at PCI:0000:9b:00: GPU-509665ad-b600-ac93-3616-d754b23d636d\n" + "\n".join(xids)
    )
    assert [(fault.count, fault.last_time) for fault in found] == [(3, 22.0), (1, 900.0)]
    assert {fault.subject for fault in found} == {"gpu:GPU-509665ad-b600-ac93-3616-d754b23d636d"}


BURST = "NVRM: Xid (PCI:0000:9b:00): 119, pid=2, name=nvidia-smi, Timeout"


@pytest.mark.parametrize(
    ("reports", "bursts"),
    [
        # Each as its time since boot and what it says; each burst as how many reports it has and when the last one came.
        ([(10, BURST), (190, BURST)], [(2, 190.0)]),
        ([(10, BURST), (191, BURST)], [(1, 10.0), (1, 191.0)]),
        ([(10, BURST), (150, BURST), (300, BURST)], [(3, 300.0)]),
        # What has no time of its own belongs to the newest burst, and hides no time that is known.
        ([(10, BURST), (None, BURST)], [(2, 10.0)]),
        ([(None, BURST), (10, BURST)], [(2, 10.0)]),
        ([(None, BURST), (None, BURST)], [(2, None)]),
        ([(10, BURST), (None, BURST), (500, BURST)], [(2, 10.0), (1, 500.0)]),
        # Another card, another code, another place on the chip.
        ([(10, BURST), (11, BURST.replace("9b", "9c"))], [(1, 10.0), (1, 11.0)]),
        ([(10, BURST), (11, BURST.replace("119", "120"))], [(1, 10.0), (1, 11.0)]),
        ([(10, f"{BURST} (GPC 1, TPC 2"), (11, f"{BURST} (GPC 1, TPC 3")], [(1, 10.0), (1, 11.0)]),
    ],
)
def test_what_is_one_burst(reports: list[tuple[float | None, str]], bursts: list[tuple[int, float | None]]) -> None:
    text = "\n".join(said if at is None else f"[{at:.6f}] {said}" for at, said in reports)
    assert [(fault.count, fault.last_time) for fault in read(text)] == bursts


MISMATCH = "NVRM: API mismatch: the client has the version 570.124.06, but"
MODULE = "NVRM: this kernel module has the version 570.86.15.  Please"
OFF = "NVRM: GPU 0000:18:00.0: GPU has fallen off the bus."
SSHD = "sshd[1]: Accepted publickey for root"


@pytest.mark.parametrize(
    ("lines", "kinds"),
    [
        # A report takes the lines that go on with it, and no Xid among them.
        ([MISMATCH, MODULE, BEFORE], ["mismatch", "xid"]),
        ([MISMATCH, BEFORE, MODULE], ["mismatch", "xid"]),
        ([MISMATCH, BEFORE, BEFORE.replace("79", "31")], ["mismatch", "xid", "xid"]),
        ([MISMATCH, MODULE, SSHD, OFF], ["mismatch", "off_bus"]),
        # No more than five lines are one report.
        ([MISMATCH, *["NVRM: and so on"] * 4, OFF], ["mismatch", "off_bus"]),
        # Others take one line.
        ([OFF, OFF.replace("18", "19")], ["off_bus", "off_bus"]),
        (["NVRM: GPU 0000:18:00.0: RmInitAdapter failed! (0x22:0x56:894)", OFF], ["init_failed", "off_bus"]),
        (["NVRM: nothing in particular", OFF, "NVRM: nothing in particular", BEFORE], ["off_bus", "xid"]),
        # Only the driver's own words count.
        (["usb 1-1: device has fallen off the bus"], []),
    ],
)
def test_how_many_lines_a_report_takes(lines: list[str], kinds: list[str]) -> None:
    assert [fault.kind for fault in read("\n".join(lines))] == kinds


def test_a_report_of_several_lines_is_told_as_one_where_one_line_says_too_little() -> None:
    mismatch, off, failed = read("\n".join([MISMATCH, MODULE, SSHD, OFF, "NVRM: RmInitAdapter failed!", "NVRM: more"]))
    assert (mismatch.message, mismatch.versions) == (f"{MISMATCH} {MODULE}", ("570.124.06", "570.86.15"))
    assert (off.message, off.versions) == (OFF, ())
    assert failed.message == "NVRM: RmInitAdapter failed!"


@pytest.mark.parametrize(("between", "versions"), [(3, 2), (4, 1)])
def test_a_report_is_no_longer_than_five_lines(between: int, versions: int) -> None:
    found = read("\n".join([MISMATCH, *["NVRM: and so on"] * between, MODULE]))
    assert [len(fault.versions) for fault in found] == [versions]


@pytest.mark.parametrize(
    ("line", "subject"),
    [(OFF, "gpu:0000:18:00"), ("NVRM: GPU6 _kgspIsHeartbeatTimedOut: Heartbeat timed out", "vm")],
)
def test_a_fault_that_names_no_card_is_one_of_the_vm(line: str, subject: str) -> None:
    assert [fault.subject for fault in read(line)] == [subject]


@pytest.mark.parametrize(("words", "kind"), [("Non-fatal", "sxid"), ("Fatal", "sxid_fatal")])
def test_a_switchs_code_is_no_xid(words: str, kind: str) -> None:
    (found,) = read(f"nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 79, {words}, Link 46")
    assert (found.kind, found.code, found.detail, found.bus_id) == (kind, None, "79", "0000:c1:00")


def test_every_code_has_an_entry_and_unknown_ones_are_not_harmless() -> None:
    assert all(entry.severity in SEVERITIES for entry in XIDS.values())
    assert (xid(999).severity, xid(999).ladder) == ("unknown", ("alert",))
    assert {code: xid(code).ladder[:1] for code in (31, 63, 64, 79, 92, 95, 119)} == {
        31: ("restart_container",),
        63: ("reboot_when_idle",),
        64: ("recreate_vm",),
        79: ("reboot",),
        92: ("recreate_when_idle",),
        95: ("reboot",),
        119: ("reboot",),
    }


def test_the_oom_killer_is_read() -> None:
    text = (
        "[  100.000000] Out of memory: Killed process 4711 (VLLM::Worker) total-vm:41943040kB, anon-rss:15728640kB\n"
        "[  200.000000] Memory cgroup out of memory: Killed process 12 (node) total-vm:1kB, anon-rss:5kB"
    )
    kills = oom_kills(list(kernel_lines(text)))
    assert [(kill.name, kill.cgroup, kill.rss_kib) for kill in kills] == [
        ("VLLM::Worker", False, 15728640),
        ("node", True, 5),
    ]


@given(st.lists(st.text(max_size=200) | st.sampled_from([line for line, _facts in LINES]), max_size=12))
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_the_reader(parts: list[str]) -> None:
    text = "\n".join(parts)
    for fault in read(text):
        assert fault.count >= 1 and (fault.code is not None) == (fault.kind == "xid")
        assert fault.code is not None or fault.kind in REPORTS
    assert evaluate({"kernel.log": text}).findings
