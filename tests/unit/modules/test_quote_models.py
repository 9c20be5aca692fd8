# SPDX-License-Identifier: GPL-3.0-or-later
"""What a quote says of the model: what would serve, and why not, before anything costs money."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_linode import ScriptedLinode

ADA_S, ADA_M, ADA_2 = "g2-gpu-rtx4000a1-s", "g2-gpu-rtx4000a1-m", "g2-gpu-rtx4000a2-s"
TURING_3, PRO_1 = "g1-gpu-rtx6000-3", "g3-gpu-rtxpro6000-blackwell-1"


@pytest.fixture(autouse=True)
def no_hub_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


def quote(run: Any, **asked: Any) -> dict[str, Any]:
    result = run("linode_gpu_quote", session="demo", **asked)
    assert "quote" in result, result
    return dict(result["quote"])


def refused(run: Any, api: ScriptedLinode, **asked: Any) -> dict[str, Any]:
    failure = dict(run("linode_gpu_quote", session="demo", **asked)["failure"])
    assert {call.method for call in api.calls} <= {"GET"}
    assert failure["remedy"]
    return failure


def test_nothing_named_is_the_cheapest_plan_that_serves_the_default_well(run: Any) -> None:
    found = quote(run)
    assert {offer["plan"] for offer in found["offers"]} == {ADA_M}
    assert found["model"] == found["engine"]["variant"] == "openai/gpt-oss-20b"
    assert found["engine"]["fit"]["fits"] is True
    assert found["engine"]["asked"] == {"context": None}


@pytest.mark.parametrize(
    ("plan", "model"),
    [
        (ADA_S, "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"),
        (ADA_2, "nvidia/Qwen3.6-35B-A3B-NVFP4"),
        ("g2-gpu-rtx4000a4-s", "Qwen/Qwen3.6-35B-A3B-FP8"),
        (TURING_3, "RedHatAI/Qwen3.8-27B-INT4"),
    ],
)
def test_a_plan_has_its_default(run: Any, plan: str, model: str) -> None:
    found = quote(run, plans=[plan])
    assert found["model"] == model
    assert found["engines"][plan] == found["engine"]


def test_only_plans_where_the_model_fits_are_offered(run: Any) -> None:
    found = quote(run, model="qwen3.8-27b", plans=[ADA_M, ADA_2, PRO_1], regions=["us-ord"])
    assert [offer["plan"] for offer in found["offers"]] == [ADA_2, PRO_1]
    assert [row["plan"] for row in found["left_out"]] == [ADA_M] and "GiB" in found["left_out"][0]["why"]
    # One variant, wherever it lands: it stands in the VM's tags.
    assert {engine["variant"] for engine in found["engines"].values()} == {found["model"]}
    cheapest = quote(run, model="gpt-oss-120b")
    assert {offer["plan"] for offer in cheapest["offers"]} == {PRO_1}


def test_a_longer_context_asks_for_a_larger_plan(run: Any) -> None:
    short = quote(run, model="devstral-small-2-24b", context="64K")
    long = quote(run, model="devstral-small-2-24b", context="200K")
    assert short["hourly"] < long["hourly"]
    assert long["engine"]["flags"]["max-model-len"] == 204800
    assert long["engine"]["asked"] == {"context": 204800}


def test_too_large_for_the_plan(run: Any, api: ScriptedLinode) -> None:
    failure = refused(run, api, model="gpt-oss-120b", plans=[ADA_M])
    assert (failure["exit_code"], failure["field"]) == (3, "model")
    assert ADA_M in failure["message"] and "GiB" in failure["cause"]
    assert f"{PRO_1} at $3.00/h" in failure["remedy"]


def test_too_large_for_every_plan(run: Any, api: ScriptedLinode) -> None:
    api.catalogue["types"] = [row for row in api.catalogue["types"] if "rtx4000a1" in row["id"]]
    failure = refused(run, api, model="minimax-m2.7")
    assert (failure["exit_code"], failure["field"]) == (3, "model")
    assert "no plan of this account" in failure["remedy"]


def test_a_context_that_does_not_fit_names_one_that_does(run: Any, api: ScriptedLinode) -> None:
    failure = refused(run, api, model="devstral-small-2-24b", plans=[ADA_2], context="200K")
    assert (failure["exit_code"], failure["field"], failure["value"]) == (3, "context", 204800)
    assert "at most 78848 tokens fit" in failure["cause"]
    assert "Here a context of 78848 tokens fits." in failure["remedy"]


@pytest.mark.parametrize(
    ("asked", "code", "field", "words"),
    [
        ({"model": "qwen3.6-35b"}, 2, "model", "qwen3.6-35b-a3b"),
        ({"model": "gpt-oss-20b", "context": "256K"}, 2, "context", "131072"),
        ({"model": "gpt-oss-20b", "context": "many"}, 2, "context", "64K"),
        ({"model": "qwen2.5-coder-7b", "tensor_parallel": 3}, 2, "tensor_parallel", "leave it out"),
        ({"model": "qwen3-14b", "variant": "nvfp4"}, 2, "variant", "Qwen/Qwen3-14B-AWQ"),
        ({"model": "Qwen/Qwen3-14B-AWQ", "variant": "fp8"}, 2, "variant", "qwen3-14b"),
        ({"model": "qwen3-14b", "tensor_parallel": 2, "plans": [ADA_M]}, 2, "tensor_parallel", "fits on"),
        ({"model": "meta-llama/Llama-3.3-70B-Instruct"}, 2, "hf_token", "HF_TOKEN"),
    ],
)
def test_bad_wishes_name_field_and_remedy(
    run: Any, api: ScriptedLinode, asked: dict[str, Any], code: int, field: str, words: str
) -> None:
    failure = refused(run, api, **asked)
    assert (failure["exit_code"], failure["field"]) == (code, field)
    assert words in failure["remedy"]


def test_a_disk_that_is_too_small_is_refused(run: Any, api: ScriptedLinode) -> None:
    for row in api.catalogue["types"]:
        if row["id"] == PRO_1:
            row["disk"] = 81920
    failure = refused(run, api, model="gpt-oss-120b", plans=[PRO_1])
    assert (failure["exit_code"], "disk" in failure["cause"]) == (3, True)


def test_a_gated_model_with_a_token_is_quoted(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    found = quote(run, model="meta-llama/Llama-3.3-70B-Instruct")
    assert found["engine"]["precision"] == "bf16"
    assert "hf_planted" not in str(found)


def test_an_existing_session_keeps_its_model(api: ScriptedLinode, run: Any, tags: list[str]) -> None:
    kept = [tag for tag in tags if ":model:" not in tag] + ["lc:model:0:openai_2fgpt-oss-20b"]
    api.add("lc-demo-1", kept, type=ADA_M)
    found = quote(run)
    assert found["model"] == "openai/gpt-oss-20b"
    assert found["engines"][ADA_M]["flags"]["kv-cache-dtype"] == "fp8"
    assert quote(run, model="gpt-oss-20b")["model"] == "openai/gpt-oss-20b"
    failure = refused(run, api, model="qwen3.5-9b")
    assert (failure["exit_code"], failure["field"]) == (3, "model")
    assert "switch-model demo" in failure["remedy"]


def test_models_of_the_sandbox_are_served_as_they_are(run: Any) -> None:
    found = quote(run, model="sandbox/tiny-a")
    assert found["model"] == "sandbox/tiny-a"
    assert found["engine"]["notes"] == []
