# SPDX-License-Identifier: GPL-3.0-or-later
"""What 0.33 logs is read as what 0.32 logged of the same: recorded by `tools/record_vllm_logs.py`, on the CPU."""

from __future__ import annotations

import re

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.diagnosis import diagnose
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.log_text import has_served
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.phases import progress_of

from tests.unit.health.test_diagnosis import LOGS, RECORDED

NEW = LOGS / "0.33"
# Those that had other names, or that 0.32 had no reason to log.
OLD_NAMES = {"ok-start": "ok-start-0.32-cpu"}
NAMES = sorted(path.stem for path in NEW.glob("*.log"))
SERVED = {"core-killed", "ok-start", "sigterm-inflight-drain60", "worker-killed-idle"}
ENDED_BY = {
    "nothing": {"badarch", "badflag", "badmodeltype", "badparser", "nodir", "port-in-use", "repooffline"},
    "the configuration": {"bad-cache-type", "badquant", "reasonbad", "toolong"},
}


def log_of(name: str) -> str:
    return (NEW / f"{name}.log").read_text()


def test_all_are_there() -> None:
    """But for those that were not recorded again."""
    known = {OLD_NAMES.get(name, name) for name in NAMES} - {"bad-cache-type"}
    assert known == set(RECORDED) - {"model-deleted", "model-deleted-while-starting", "notok"}


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"bad-cache-type"}))
def test_it_means_the_same(name: str) -> None:
    slug, parameters, healable = RECORDED[OLD_NAMES.get(name, name)]
    log = log_of(name)
    assert "version 0.33.0" in log or name == "badflag"
    found = diagnose(log)
    if slug is None:
        assert found == []
        return
    first = found[0]
    # Of two machines the longest context differs.
    assert (first.slug, sorted(first.parameters or {}), first.healable) == (slug, sorted(parameters or {}), healable)
    assert first.line and "{" not in first.sentence


def test_whether_it_served() -> None:
    assert {name for name in NAMES if has_served(log_of(name))} == SERVED


@pytest.mark.parametrize("name", NAMES)
def test_how_far_it_came(name: str) -> None:
    """The phases in their order, each once, and the last of them where it ended."""
    lines = log_of(name).splitlines(keepends=True)
    phases: list[str] = []
    # The first line is empty but for who writes it.
    for count in range(2, len(lines) + 1):
        progress = progress_of("".join(lines[:count]))
        if not phases or phases[-1] != progress.phase:
            phases.append(progress.phase)
        if progress.phase == "starting the server":
            break
    whole = [
        *("starting", "loading the configuration", "starting the engine", "connecting the GPUs", "loading the weights"),
        *("measuring memory", "warming up", "starting the server"),
    ]
    assert phases == whole[: len(phases)]
    if name in SERVED:
        assert phases == whole
    elif name in ENDED_BY["nothing"]:
        assert phases == whole[:1]
    elif name in ENDED_BY["the configuration"]:
        assert phases == whole[:2]


def test_nothing_of_a_machine_is_kept() -> None:
    for name in NAMES:
        assert not re.search(r"/root/|/home/|/work/|pyenv|/tmp/(?!vllm_)", log_of(name)), name
