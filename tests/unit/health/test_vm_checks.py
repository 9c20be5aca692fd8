# SPDX-License-Identifier: GPL-3.0-or-later
"""The VM itself, from inside and from outside: every limit, from both of its sides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.collected import Look
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.kernel_log import KernelLine, OomKill
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.outside import ssh_finding, status_finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.vm import check_vm, rebooted

NOW = 1_800_000_000.0


def look(host: dict[str, Any] | None = None, previous: dict[str, Any] | None = None, **expected: Any) -> Look:
    return Look(texts={}, expected=expected, previous=previous or {}, host=host or {})


def of(look: Look, name: str) -> Finding | None:
    return next((found for found in check_vm(look) if found.id == name), None)


@pytest.mark.parametrize(
    ("host", "previous", "severity", "evidence", "reboot"),
    [
        ({"boot_id": "b"}, {}, None, "", None),
        ({}, {"boot_id": "a"}, "unknown", "", None),
        ({}, {"boot_id": "a", "rebooted": {"from": "z", "seen": 1}}, "unknown", "", {"from": "z", "seen": 1}),
        ({"boot_id": "a"}, {"boot_id": "a"}, "pass", "", None),
        ({"boot_id": "b", "clock": NOW}, {"boot_id": "a"}, "warn", "a -> b", {"from": "a", "seen": NOW}),
        ({"boot_id": "b"}, {"boot_id": "a"}, "warn", "a -> b", {"from": "a", "seen": None}),
        ({"boot_id": "a"}, {"boot_id": "a", "rebooted": "x"}, "pass", "", None),
    ],
)
def test_a_reboot_shows_by_the_boots_id(
    host: dict[str, Any], previous: dict[str, Any], severity: str | None, evidence: str, reboot: dict[str, Any] | None
) -> None:
    found = of(look(host, previous), "vm.boot")
    assert ((found.severity, found.evidence) if found else (None, "")) == (severity, evidence)
    assert rebooted(look(host, previous)) == reboot


@pytest.mark.parametrize(
    ("ago", "severity", "evidence"),
    [
        (0, "warn", "a -> b, seen 0 min ago"),
        (3600, "warn", "a -> b, seen 60 min ago"),
        (3601, "pass", ""),
        (-1, "pass", ""),
    ],
)
def test_a_reboot_is_told_for_an_hour(ago: float, severity: str, evidence: str) -> None:
    previous = {"boot_id": "b", "rebooted": {"from": "a", "seen": NOW - ago}}
    found = of(look({"boot_id": "b", "clock": NOW}, previous), "vm.boot")
    assert found is not None and (found.severity, found.evidence) == (severity, evidence)
    without_clock = of(look({"boot_id": "b"}, previous), "vm.boot")
    assert without_clock is not None and without_clock.severity == "pass"


GIB = 2**30


@pytest.mark.parametrize(
    ("disk", "severity", "cause", "evidence"),
    [
        (None, "unknown", None, ""),
        ({"size": 0, "used": 0}, "unknown", None, ""),
        ({"size": 100 * GIB}, "unknown", None, ""),
        ({"size": 100 * GIB, "used": 0}, "pass", None, "0% of 100 GiB"),
        ({"size": 1000 * GIB, "used": 799 * GIB}, "pass", None, "80% of 1000 GiB"),
        ({"size": 100 * GIB, "used": 80 * GIB}, "warn", None, "80% of 100 GiB"),
        ({"size": 1000 * GIB, "used": 919 * GIB}, "warn", None, "92% of 1000 GiB"),
        ({"size": 100 * GIB, "used": 92 * GIB}, "fail", "full", "92% of 100 GiB"),
        ({"size": 100 * GIB, "used": GIB, "inodes": 0, "inodes_used": 0}, "pass", None, "1% of 100 GiB"),
        ({"size": 100 * GIB, "used": GIB, "inodes": 50}, "pass", None, "1% of 100 GiB"),
        ({"size": 100 * GIB, "used": GIB, "inodes": 50, "inodes_used": 0}, "pass", None, "1% of 100 GiB, 0% of inodes"),
        ({"size": 100 * GIB, "used": GIB, "inodes": 50, "inodes_used": 46}, "fail", "full", "1% of 100 GiB, 92% of inodes"),
        ({"size": 100 * GIB, "used": 95 * GIB, "inodes": 50, "inodes_used": 1}, "fail", "full", "95% of 100 GiB, 2% of inodes"),
        ({"size": 100 * GIB, "used": GIB, "read_only": True}, "fail", "read_only", "1% of 100 GiB"),
        ({"size": 100 * GIB, "used": GIB, "read_only": "no"}, "pass", None, "1% of 100 GiB"),
    ],
)  # fmt: skip
def test_the_disk(disk: Any, severity: str, cause: str | None, evidence: str) -> None:
    found = of(look({"disk": disk}), "vm.disk")
    assert found is not None and (found.severity, found.cause, found.evidence) == (severity, cause, evidence)


@pytest.mark.parametrize(
    ("message", "severity"),
    [
        # What three file systems say.
        ("EXT4-fs (sda): Remounting filesystem read-only", "fail"),
        ("XFS (sda1): Corruption of in-memory data detected.  Shutting down filesystem", "fail"),
        ("BTRFS info (device sda): forced readonly", "fail"),
        ("EXT4-fs (sda): mounted filesystem with ordered data mode. Quota mode: none.", "pass"),
    ],
)
def test_a_file_system_that_the_kernel_shut(message: str, severity: str) -> None:
    room = {"disk": {"size": 100 * GIB, "used": GIB, "read_only": False}}
    found = of(replace(look(room), kernel=[KernelLine(message)]), "vm.disk")
    assert found is not None and found.severity == severity
    assert severity == "pass" or (found.cause, found.evidence) == ("read_only", message)


SERVICE, CONTROL = "measured by the VM's time service", "against the control node"


@pytest.mark.parametrize(
    ("offset", "ahead", "severity", "evidence"),
    [
        (None, None, "unknown", ""),
        (0.99, None, "pass", f"1.0 s, {SERVICE}"),
        (1, None, "warn", f"1.0 s, {SERVICE}"),
        (-1, None, "warn", f"1.0 s, {SERVICE}"),
        (10, None, "warn", f"10.0 s, {SERVICE}"),
        (-10.1, None, "fail", f"10.1 s, {SERVICE}"),
        # Ahead by less than a look takes is no error.
        (None, 0.5, "pass", f"0.0 s, {CONTROL}"),
        (None, 30, "pass", f"0.0 s, {CONTROL}"),
        (None, 31, "warn", f"1.0 s, {CONTROL}"),
        (None, 40, "warn", f"10.0 s, {CONTROL}"),
        (None, 41, "fail", f"11.0 s, {CONTROL}"),
        # Behind is behind: the look only took longer than that.
        (None, 0, "pass", f"0.0 s, {CONTROL}"),
        (None, -0.5, "pass", f"0.5 s, {CONTROL}"),
        (None, -1, "warn", f"1.0 s, {CONTROL}"),
        (None, -11, "fail", f"11.0 s, {CONTROL}"),
        (0.001, -3600, "fail", f"3600.0 s, {CONTROL}"),
        # The larger of the two counts.
        (-5, -3, "warn", f"5.0 s, {SERVICE}"),
        (-2, -3, "warn", f"3.0 s, {CONTROL}"),
        (3, -3, "warn", f"3.0 s, {SERVICE}"),
    ],
)
def test_the_clock(offset: float | None, ahead: float | None, severity: str, evidence: str) -> None:
    control = {} if ahead is None else {"control_time": NOW - ahead}
    found = of(look({"clock": NOW, "clock_offset": offset}, None, **control), "vm.clock")
    assert found is not None and (found.severity, found.evidence) == (severity, evidence)


def test_a_clock_that_was_not_read_is_not_compared() -> None:
    found = of(look({}, None, control_time=NOW), "vm.clock")
    assert found is not None and found.severity == "unknown"


def kill(name: str, time: float | None = NOW) -> OomKill:
    return OomKill(1, name, False, None, time, f"Killed process 1 ({name})")


@pytest.mark.parametrize(
    ("kills", "started", "severity", "cause", "evidence"),
    [
        ([], None, "pass", None, ""),
        ([kill("node"), kill("java")], None, "warn", None, "Killed process 1 (java)"),
        ([kill("VLLM::Worker"), kill("java")], None, "fail", "engine_killed", "Killed process 1 (VLLM::Worker)"),
        ([kill("python3"), kill("vllm")], None, "fail", "engine_killed", "Killed process 1 (vllm)"),
        ([kill("node"), kill("python3")], None, "fail", "engine_killed", "Killed process 1 (python3)"),
        ([kill("my-python")], None, "warn", None, "Killed process 1 (my-python)"),
        ([kill("vllm")], NOW, "fail", "engine_killed", "Killed process 1 (vllm)"),
        ([kill("vllm")], NOW + 1, "warn", None, "Killed process 1 (vllm)"),
        ([kill("vllm", None)], NOW + 1, "fail", "engine_killed", "Killed process 1 (vllm)"),
        # A time since boot: the VM booted a hundred seconds ago.
        ([kill("vllm", 50.0)], NOW - 60, "fail", "engine_killed", "Killed process 1 (vllm)"),
        ([kill("vllm", 50.0)], NOW - 40, "warn", None, "Killed process 1 (vllm)"),
    ],
)
def test_what_the_kernel_killed(
    kills: list[OomKill], started: float | None, severity: str, cause: str | None, evidence: str
) -> None:
    seen = replace(look({"boot_time": NOW - 100, "container_started": started}), kernel=[], kills=kills)
    found = of(seen, "vm.mem")
    assert found is not None and (found.severity, found.cause, found.evidence) == (severity, cause, evidence)


def test_the_container_says_itself_that_it_was_killed() -> None:
    killed = replace(look(), container={"State": {"OOMKilled": True}})
    found, unread = of(killed, "vm.mem"), of(replace(look(), container={"State": {"OOMKilled": False}}), "vm.mem")
    assert found is not None and (found.severity, found.cause, found.evidence) == ("fail", "engine_killed", "OOMKilled")
    assert unread is not None and unread.severity == "unknown"


@pytest.mark.parametrize(
    ("status", "since", "severity", "cause", "evidence"),
    [
        (None, None, "unknown", None, ""),
        ("running", 9000, "pass", None, ""),
        ("booting", None, "warn", None, ""),
        ("booting", 599, "warn", None, ""),
        ("booting", 600, "fail", "booting", "for 10 min"),
        ("offline", None, "fail", "offline", ""),
        ("stopped", 60, "fail", "stopped", "for 1 min"),
        ("deleting", 9000, "warn", None, ""),
        ("billing_suspension", 9000, "fail", "billing_suspension", ""),
        ("somersaulting", 9000, "unknown", None, ""),
    ],
)
def test_the_providers_word_and_since_when(
    status: str | None, since: float | None, severity: str, cause: str | None, evidence: str
) -> None:
    found = status_finding(status, since)
    assert (found.severity, found.cause, found.evidence) == (severity, cause, evidence)
    assert ("could not be asked" in found.summary) == (status is None)


@pytest.mark.parametrize(
    ("error", "status", "severity", "cause"),
    [
        ("Connection timed out", "running", "fail", "unreachable"),
        ("Connection timed out", "booting", "unknown", None),
        ("Connection timed out", None, "unknown", None),
        ("HOST KEY verification failed.", "booting", "fail", "host_key"),
        ("No ED25519 host key is known for 192.0.2.1", "running", "fail", "host_key"),
    ],
)
def test_no_answer_over_ssh(error: str, status: str | None, severity: str, cause: str | None) -> None:
    found = ssh_finding(error, status)
    assert (found.severity, found.cause, found.evidence) == (severity, cause, error)
