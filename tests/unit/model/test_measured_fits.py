# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import known_plan, known_plans
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import find, packaged
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.choice import Engine, best_on_plan
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.measured_fits import (
    path,
    record,
    with_measurements,
)

ADA, REAL, SANDBOX = "g2-gpu-rtx4000a1-m", "https://api.linode.com/", "http://127.0.0.1:8080/"
FIGURES = {"weights_gib": 13.1, "kv_cache_gib": 2.5, "kv_cache_tokens": 98304, "version": "0.33.0", "load_seconds": 9.0}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))


def engine(api: str, plan_id: str = ADA) -> Engine:
    plan, selection = known_plan(plan_id), find(packaged(), "gpt-oss-20b")
    assert plan is not None and selection is not None
    return best_on_plan(selection, with_measurements([plan], api)[0])


def test_what_was_measured_replaces_the_estimate_there_and_nowhere_else() -> None:
    before = engine(REAL)
    assert before.fit is not None and not before.fit.measured
    assert record(before.as_dict(), FIGURES, REAL)
    after = engine(REAL).fit
    assert after is not None and after.measured
    assert (after.weights_gib, after.kv_gib, after.kv_tokens, after.max_context) == (13.1, 2.5, 98304, 98304)
    # The sandbox's figures are not those of a card, nor one plan's those of another.
    assert engine(SANDBOX).fit == before.fit
    other = engine(REAL, "g2-gpu-rtx4000a1-l").fit
    assert other is not None and not other.measured


def test_a_context_is_refused_by_what_was_measured() -> None:
    record(engine(REAL).as_dict(), FIGURES, REAL)
    plan, selection = known_plan(ADA), find(packaged(), "gpt-oss-20b")
    assert plan is not None and selection is not None
    found = best_on_plan(selection, with_measurements([plan], REAL)[0], 131072)
    assert "at most 98304 tokens fit" in str(found.problem)


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"kv_cache_gib": 2.5},
        {"kv_cache_tokens": 0},
        {"kv_cache_tokens": "many"},
        {"kv_cache_tokens": 5, "weights_gib": -1},
    ],
)
def test_too_little_is_not_recorded(figures: dict[str, Any]) -> None:
    assert not record(engine(REAL).as_dict(), figures, REAL)
    assert not path().exists()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"https://api.linode.com": 5}', f'{{"https://api.linode.com": {{"{ADA}": 5}}}}'],
)
def test_a_broken_record_is_no_record(text: str) -> None:
    path().parent.mkdir(parents=True)
    path().write_text(text)
    assert with_measurements(known_plans(), REAL) == known_plans()
    assert record(engine(REAL).as_dict(), FIGURES, REAL)
    found = engine(REAL).fit
    assert found is not None and found.measured


def test_an_engine_without_a_fit_is_not_recorded() -> None:
    assert not record({}, FIGURES, REAL)
