# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import (
    Plan,
    advised_vcpus,
    known_plan,
    known_plans,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import Selection, find, packaged
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.choice import best_on_plan, default_model, on_plan
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.request import unlisted

from linode_coder.sandbox.guest.engine import args

TURING_1, TURING_3 = "g1-gpu-rtx6000-1", "g1-gpu-rtx6000-3"
ADA_1, ADA_2, ADA_4 = "g2-gpu-rtx4000a1-m", "g2-gpu-rtx4000a2-s", "g2-gpu-rtx4000a4-s"
PRO_1 = "g3-gpu-rtxpro6000-blackwell-1"


def plan(plan_id: str) -> Plan:
    found = known_plan(plan_id)
    assert found is not None
    return found


def flags(name: str, plan_id: str, context: int | None = None) -> dict[str, Any]:
    selection = find(packaged(), name)
    assert selection is not None
    return dict(best_on_plan(selection, plan(plan_id), context).as_dict()["flags"])


def test_flags_on_a_turing_card() -> None:
    found = flags("qwen3.8-27b", "g1-gpu-rtx6000-2")
    assert found["dtype"] == "half"
    assert found["language-model-only"] is True and found["skip-mm-profiling"] is True
    assert "kv-cache-dtype" not in found


@pytest.mark.parametrize("plan_id", [ADA_1, ADA_2, PRO_1])
def test_flags_on_newer_cards(plan_id: str) -> None:
    found = flags("qwen3.5-9b", plan_id)
    assert found["kv-cache-dtype"] == "fp8"
    assert not {"dtype", "language-model-only"} & set(found)


def test_flags_of_every_variant_on_every_plan_are_plain_values() -> None:
    for model in packaged():
        for variant in model.variants:
            for each in known_plans():
                found = on_plan(model, variant, each).as_dict()["flags"]
                assert found["shutdown-timeout"] == 60
                assert found["served-model-name"] == ["coder", variant.id]
                assert found["tensor-parallel-size"] in (1, 2, 4)
                assert found["tensor-parallel-size"] <= each.gpus
                assert all(name == name.lower() and not name.startswith("-") for name in found)
                assert ("tool-call-parser" in found) == ("enable-auto-tool-choice" in found)
                if each.card and not each.card.bf16:
                    assert found["dtype"] == "half" and "kv-cache-dtype" not in found


def test_context_and_parsers_and_recipe() -> None:
    found = flags("nvidia/Qwen3.6-35B-A3B-NVFP4", ADA_2, 65536)
    assert (found["max-model-len"], found["tensor-parallel-size"]) == (65536, 2)
    assert (found["tool-call-parser"], found["reasoning-parser"]) == ("qwen3_coder", "qwen3")
    assert (found["quantization"], found["moe-backend"]) == ("modelopt_fp4", "marlin")
    assert flags("gpt-oss-20b", ADA_1)["max-model-len"] == "auto"


def test_three_gpus_serve_with_two() -> None:
    selection = find(packaged(), "qwen3.8-27b")
    assert selection is not None
    engine = best_on_plan(selection, plan(TURING_3))
    assert engine.tensor_parallel == 2 and any("2 of the 3 GPUs" in note for note in engine.notes)


def test_mxfp4_and_bf16_are_refused_on_turing() -> None:
    for name in ("gpt-oss-20b", "Qwen/Qwen3.8-27B", "gemma-4-26b-a4b"):
        selection = find(packaged(), name)
        assert selection is not None
        assert "compute capability" in str(best_on_plan(selection, plan(TURING_3)).problem)


def test_the_sandbox_gets_no_flags_of_a_card() -> None:
    model = unlisted("sandbox/tiny-a")
    found = on_plan(model, model.variants[0], plan(ADA_1))
    assert found.problem is None and found.notes == ()
    assert not {"kv-cache-dtype", "dtype", "gpu-memory-utilization"} & set(found.as_dict()["flags"])


def test_a_disk_that_is_too_small() -> None:
    selection = find(packaged(), "gpt-oss-120b")
    assert selection is not None and selection.model.variants
    engine = best_on_plan(selection, plan(PRO_1)._replace(disk_mb=100_000))
    assert "disk" in str(engine.problem) and "105 GB" in str(engine.problem)
    assert best_on_plan(selection, plan(PRO_1)).problem is None


def test_an_unknown_card_is_said_to_be_unknown() -> None:
    selection = find(packaged(), "gpt-oss-20b")
    assert selection is not None
    engine = best_on_plan(selection, Plan("g9-gpu-new-1", 1, 16, 65536, 999999, None))
    assert engine.problem is None and engine.fit is None and "unknown" in engine.notes[0]


def test_defaults_fit_on_their_plans() -> None:
    for each in known_plans():
        name = default_model(each.id)
        assert name is not None
        selection = find(packaged(), name)
        assert selection is not None
        engine = best_on_plan(selection, each)
        assert engine.problem is None and engine.fit is not None
        if selection.model.attention is not None:
            assert engine.fit.fits is True, each.id


def test_what_is_chosen_among_variants() -> None:
    selection = find(packaged(), "qwen3.8-27b")
    assert selection is not None
    # A single person's weights only when they are named.
    assert best_on_plan(selection, plan(TURING_1)).problem is not None
    own = next(variant for variant in selection.model.variants if variant.community)
    assert best_on_plan(Selection(selection.model, own), plan(TURING_1)).problem is None
    named = next(variant for variant in selection.model.variants if variant.precision == "fp8")
    assert best_on_plan(Selection(selection.model, named), plan(ADA_4)).variant == named


def test_processors_the_engine_asks_for() -> None:
    assert [advised_vcpus(gpus) for gpus in (1, 2, 4)] == [6, 8, 12]
    assert [each.id for each in known_plans() if not each.advised] == ["g2-gpu-rtx4000a1-s"]


def test_the_stand_in_takes_the_flags_of_every_variant(tmp_path: Path) -> None:
    """Its command line has the names and the values that the engine of that version takes."""
    path = tmp_path / "vllm.yaml"
    seen = set()
    for model in packaged():
        for variant in model.variants:
            for each in known_plans():
                wanted = on_plan(model, variant, each).as_dict()["flags"]
                text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in sorted(wanted.items()))
                if text in seen:
                    continue
                seen.add(text)
                path.write_text(text)
                options = args.parse([variant.id, "--config", str(path)])
                assert options.served_model_name == ["coder", variant.id]
                assert options.tensor_parallel_size == wanted["tensor-parallel-size"]
    with pytest.raises(SystemExit):
        path.write_text("no-such-flag: 1\n")
        args.parse(["org/model", "--config", str(path)])
