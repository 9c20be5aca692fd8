# SPDX-License-Identifier: GPL-3.0-or-later
"""How a container ended, beside what its log says: what Docker refused, codes, and the kernel's OOM killer told from a crash."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.cause import FLAGS, PERSON
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.causes import BY_EXIT_CODE, CAUSES
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.causes_cards import OOM_PLACES, SILENT
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.causes_container import ENDINGS
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.diagnosis import (
    diagnose_end,
    diagnose_message,
    known_refusal,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import evaluate
from engine_ends import core, death, served, state
from hypothesis import given, settings
from hypothesis import strategies as st
from test_failures_of_others import CONTAINERS
from test_health import NOW, host
from test_nvidia_smi import ERROR_TEXTS

ROWS = (*CAUSES, *ENDINGS, *(row for _marker, row in OOM_PLACES), SILENT)
STARTED = NOW - 600  # as engine_ends.state has it
KILL = "{} Out of memory: Killed process 4711 (VLLM::Worker_TP) total-vm:90000kB, anon-rss:60000kB"
DIED = (
    served()
    + "(APIServer pid=1) ERROR 02-11 10:41:00 [x.py:1] Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down.\n"
)


def root(texts: dict[str, str]) -> Finding:
    return next(found for found in evaluate(texts).findings if found.id == "ctr.state")


def test_every_row_is_whole() -> None:
    """The ladder says whether a restart can help; names are unique; what only flags mend has flags."""
    names = [row.id for row in ROWS]
    assert len(names) == len(set(names)) and len(names) > 120
    for row in ROWS:
        assert row.remedy.endswith(".") and row.ladder and row.ladder[-1] in ("alert", "reboot"), row.id
        assert (row.ladder != FLAGS) or row.flags is not None, row.id
        # A sentence without a name is left when nothing was caught.
        told = row.summary({})
        assert (told[0].isupper() or told.startswith("torch ")) and told.rstrip(".)").strip(), row.id
        assert row.restart_helps == ("restart_container" in row.ladder)
        assert row.check in ("", "ctr.oom", "ctr.cuda", "ctr.gpu")


@pytest.mark.parametrize(
    ("code", "cause"),
    [(125, "docker_refused"), (126, "command_not_runnable"), (127, "command_missing"), (132, "cpu_too_old"), (134, "aborted"), (135, "shared_memory"), (136, "arithmetic"), (137, "killed"), (139, "crash"), (143, "stopped"), (0, None), (1, None), (2, None), (128, None)],
)  # fmt: skip
def test_an_exit_code_says_how_it_ended(code: int, cause: str | None) -> None:
    found = diagnose_end({"ExitCode": code})
    assert (found and found.slug) == cause
    assert root({"container.json": state(code=code, status="exited")}).cause == (cause or "exited")
    assert (code in BY_EXIT_CODE) == (cause is not None)


@pytest.mark.parametrize("odd", [True, "137", 137.0, None, [137], {"x": 1}, 10**30, -9])
def test_what_is_no_exit_code_says_nothing(odd: Any) -> None:
    assert diagnose_end({"ExitCode": odd, "OOMKilled": "true"}) is None
    assert isinstance(odd, str) or diagnose_message(odd) == []


@pytest.mark.parametrize(
    ("texts", "cause"),
    [
        # Docker's own word about the newest start is newer than the log.
        ({"container.json": state('could not select device driver "nvidia" with capabilities: [[gpu]]'), "engine.log": death("KeyError: 7")}, "toolkit_missing"),
        # A reason in the log is better than a code, and a code than "it died".
        ({"container.json": state(code=137, status="exited"), "engine.log": death("CUDA error: misaligned address")}, "misaligned_address"),
        ({"container.json": state(code=137, status="exited"), "engine.log": DIED}, "killed"),
        ({"container.json": state(code=139, status="exited"), "engine.log": DIED}, "crash"),
        ({"container.json": state(code=1, status="exited"), "engine.log": DIED}, "worker_died"),
        ({"container.json": state(code=137, status="exited", OOMKilled=True), "engine.log": death("KeyError: 7")}, "host_memory_killed"),
        ({"container.json": state(code=137, status="exited", OOMKilled=True), "engine.log": core("CUDA error: misaligned address")}, "misaligned_address"),
        # What ran before is no news of one that runs.
        ({"container.json": state('could not select device driver "" with capabilities: [[gpu]]', 137, "running")}, None),
        ({"container.json": state(code=137, status="paused")}, "paused"),
    ],
)  # fmt: skip
def test_what_docker_says_beside_the_log(texts: dict[str, str], cause: str | None) -> None:
    assert root(texts).cause == cause


@pytest.mark.parametrize(
    ("log", "at", "cause"),
    [
        (DIED, STARTED + 60, "host_memory_killed"),
        (DIED, STARTED - 60, "worker_died"),
        ("", STARTED + 60, "host_memory_killed"),
        (death("KeyError: 7"), STARTED + 60, "host_memory_killed"),
        (death("CUDA error: misaligned address"), STARTED + 60, "misaligned_address"),
    ],
)
def test_a_kill_by_the_kernel_is_told_from_a_crash(log: str, at: float, cause: str) -> None:
    texts = {
        "container.json": state(code=1 if log else 137, status="exited"),
        "engine.log": log,
        "kernel.log": KILL.format(datetime.fromtimestamp(at, UTC).isoformat()),
        "host.json": host(),
    }
    found = root(texts)
    assert found.cause == cause
    if cause == "host_memory_killed":
        assert "no crash" in found.summary and "Killed process 4711" in found.evidence


def test_another_programs_kill_is_not_the_engines() -> None:
    texts = {"container.json": state(code=1, status="exited"), "engine.log": DIED}
    other = {**texts, "kernel.log": KILL.format("[99.0]").replace("VLLM::Worker_TP", "mysqld")}
    assert root(other).cause == "worker_died"
    # Where nobody inspected the container, the kernel's word is as good.
    assert root({"engine.log": DIED, "kernel.log": KILL.format("[99.0]")}).cause == "host_memory_killed"
    assert root({"engine.log": DIED}).cause == "worker_died"


def test_compose_tells_codes_too() -> None:
    assert root({"engine.log": "vllm-1 exited with code 139\n"}).cause == "crash"
    assert root({"engine.log": "dependency failed to start: container vllm-1 exited (132)\n"}).cause == "cpu_too_old"
    assert known_refusal("service vllm has neither an image nor a build context specified") is not None
    for silent in ("", "Error response from daemon: something new", "ValueError: x"):
        assert known_refusal(silent) is None


REFUSALS = [
    json.loads(text)[0]["State"]["Error"]
    for kind in CONTAINERS
    for text in kind.seen.values()
    if text.startswith('[{"Name"')
]
GENERIC = {"recreate_container", "alert", *next(row.ladder for row in CAUSES if row.id == "docker_refused")}


@given(st.sampled_from([text for text in REFUSALS if text]), st.data(), ERROR_TEXTS)
@settings(max_examples=300, deadline=None)
def test_no_word_of_a_refusal_makes_a_rung_or_a_number(text: str, data: st.DataObject, error: str) -> None:
    """A text that was broken asks for no more than it did when it was whole, or than one that nobody knows."""
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start, len(text)))
    broken = text[:start] + error + text[end:]
    asked = {rung for found in diagnose_message(text) for rung in found.ladder} | GENERIC
    seen = evaluate({"container.json": state(broken)})
    container = [found for found in seen.findings if found.id == "ctr.state"]
    assert all(set(found.ladder) <= asked | {"restart_container", "change_parameters"} for found in container)
    if container[0].cause not in (None, "exited", "created"):
        assert set(container[0].ladder) <= asked
    assert all(not cause["parameters"] for cause in seen.facts["engine"]["causes"])
    assert json.loads(json.dumps(seen.facts))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=4), st.sampled_from(["Error", "ExitCode", "OOMKilled", "Status", "StartedAt", "Running"]))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_no_value_of_a_state_makes_more_than_a_restart(value: Any, key: str) -> None:
    texts = {"container.json": json.dumps([{"State": {"Status": "exited", "ExitCode": 1, key: value}}])}
    for found in evaluate(texts).findings:
        assert not {"reboot", "power_cycle", "recreate_vm", "reset_gpu", "reload_driver"} & set(found.ladder), found


def test_a_restart_is_not_asked_for_where_none_helps() -> None:
    for row in ROWS:
        if row.ladder in (PERSON, FLAGS):
            assert not row.restart_helps
