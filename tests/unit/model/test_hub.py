# SPDX-License-Identifier: GPL-3.0-or-later
"""Models outside the catalogue, asked of a small server that plays the Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import Plan, known_plan
from ansible_collections.linode_coder.gpu.plugins.module_utils.model import hub
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import Selection, find, packaged
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.choice import best_on_plan
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.geometry import attention_of
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub import hub_lookup
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.request import check_access

from tests.played_hub import PlayedHub

NAME = "org/thing-3b"
QWEN2 = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 2048,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "sliding_window": 32768,
    "use_sliding_window": False,
    "torch_dtype": "bfloat16",
}
INFO = {
    "id": NAME,
    "gated": False,
    "cardData": {"license": "apache-2.0"},
    "safetensors": {"parameters": {"BF16": 3_085_938_688}, "total": 3_085_938_688},
    "siblings": [
        {"rfilename": "README.md", "size": 5000},
        {"rfilename": "config.json", "size": 700},
        {"rfilename": "model-00001-of-00002.safetensors", "size": 3_968_658_944},
        {"rfilename": "model-00002-of-00002.safetensors", "size": 2_203_268_048},
        {"rfilename": "original/consolidated.safetensors", "size": 6_000_000_000},
    ],
}


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedHub]:
    running = PlayedHub()
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", running.url + "/")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield running
    running.close()


def plan(plan_id: str = "g2-gpu-rtx4000a1-m") -> Plan:
    found = known_plan(plan_id)
    assert found is not None
    return found


def test_a_repository_is_understood(played: PlayedHub) -> None:
    played.serve(NAME, INFO, QWEN2)
    model = hub_lookup(NAME)
    assert (model.licence, model.gated, model.max_context, model.heads) == ("apache-2.0", False, 32768, 16)
    assert (model.tool_parser, model.variants[0].precision, model.variants[0].disk_gb) == ("hermes", "bf16", 6.17)
    assert model.parameters_b == 3.09 and not model.mixture
    engine = best_on_plan(Selection(model, model.variants[0]), plan())
    assert engine.problem is None and engine.fit is not None
    assert (engine.fit.fits, engine.fit.max_context) == (True, 32768)
    assert engine.as_dict()["flags"]["max-model-len"] == "auto"
    assert any("not in the catalogue" in note for note in engine.notes)


def test_the_hub_is_asked_once_and_remembered(played: PlayedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    played.serve(NAME, INFO, QWEN2)
    first = hub_lookup(NAME)
    assert len(played.seen) == 2
    assert hub_lookup(NAME) == first and len(played.seen) == 2
    # Later, when it does not answer, what it said then still counts, and that is said.
    monkeypatch.setattr(hub, "_FRESH_S", 0)
    played.answers[f"/api/models/{NAME}"] = (503, {}, "busy")
    later = hub_lookup(NAME)
    assert later.attention == first.attention and later.variants == first.variants
    assert "HTTP status 503" in later.notes[-1] and "what it said on" in later.notes[-1]


@pytest.mark.parametrize("status", [429, 500, 502, 504])
def test_a_hub_that_cannot_answer_stops_nobody(played: PlayedHub, status: int) -> None:
    played.answers[f"/api/models/{NAME}"] = (status, {"Retry-After": "300"}, "later")
    model = hub_lookup(NAME)
    assert f"HTTP status {status}" in model.notes[-1] and "nothing is known" in model.notes[-1]
    engine = best_on_plan(Selection(model, model.variants[0]), plan())
    assert engine.problem is None and engine.fit is not None and engine.fit.fits is None


def test_timeouts_nonsense_and_no_network_stop_nobody(played: PlayedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    played.serve(NAME, "<html>captive portal</html>", QWEN2)
    assert "not JSON" in hub_lookup(NAME).notes[-1]
    played.serve(NAME, [1], QWEN2)
    assert "nothing is known" in hub_lookup(NAME).notes[-1]
    played.delay = 1.0
    assert "timed out" in hub_lookup(NAME, timeout=0.1).notes[-1]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = len(played.seen)
    assert "HF_HUB_OFFLINE" in hub_lookup(NAME).notes[-1]
    assert len(played.seen) == before
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "nothing is known" in hub_lookup(NAME).notes[-1]


@pytest.mark.parametrize(
    ("answer", "token", "field", "words"),
    [
        ((401, {"X-Error-Code": "RepoNotFound"}, {}), None, "model", "does not exist"),
        ((404, {"X-Error-Code": "RepoNotFound"}, {}), "hf_good", "model", "does not exist"),
        ((401, {"X-Error-Message": "Invalid credentials in Authorization header"}, {}), "hf_bad", "hf_token", "accept"),
        ((403, {"X-Error-Code": "GatedRepo"}, {}), "hf_good", "hf_token", "gated"),
    ],
)
def test_refusals_are_told_apart(
    played: PlayedHub,
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, dict[str, str], Any],
    token: str | None,
    field: str,
    words: str,
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    played.answers[f"/api/models/{NAME}"] = answer
    with pytest.raises(Failure) as caught:
        hub_lookup(NAME)
    failure = caught.value
    assert (failure.exit_code, failure.field) == (2, field)
    assert words in failure.message and failure.remedy
    assert not token or token not in json.dumps(failure.as_dict())


def test_a_name_that_is_nearly_right(played: PlayedHub) -> None:
    with pytest.raises(Failure) as caught:
        hub_lookup("openai/gpt-oss-20")
    assert "openai/gpt-oss-20b" in str(caught.value.remedy)


def test_gated_without_and_with_a_token(played: PlayedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    played.serve(NAME, {**INFO, "gated": "manual"}, {}, status=401, X_Error_Code="GatedRepo")
    model = hub_lookup(NAME)
    with pytest.raises(Failure) as caught:
        check_access(model, model.variants[0], has_token=False)
    assert caught.value.field == "hf_token"
    # The token that was missing is there now: asked again, although the answer is fresh.
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    with pytest.raises(Failure) as caught:
        hub_lookup(NAME)
    assert "licence is not accepted" in caught.value.message
    played.serve(NAME, {**INFO, "gated": "manual"}, QWEN2)
    model = hub_lookup(NAME)
    check_access(model, model.variants[0], has_token=True)
    assert model.attention is not None
    assert ("/api/models/" + NAME, "Bearer hf_planted") in played.seen


def test_a_token_does_not_follow_to_another_host(played: PlayedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    elsewhere = PlayedHub()
    try:
        elsewhere.answers["/cdn/config.json"] = (200, {}, QWEN2)
        played.serve(NAME, INFO, "", status=307, Location=f"{elsewhere.url}/cdn/config.json")
        assert hub_lookup(NAME).layers == 36
        assert elsewhere.seen == [("/cdn/config.json", None)]
        # The Hub itself redirects within, and wants the token there too.
        played.serve("org/other", INFO, "", status=307, Location="/inside/config.json")
        played.answers["/inside/config.json"] = (200, {}, QWEN2)
        assert hub_lookup("org/other").layers == 36
        assert played.seen[-1] == ("/inside/config.json", "Bearer hf_planted")
    finally:
        elsewhere.close()


@pytest.mark.parametrize(
    ("info", "config"),
    [
        ({**INFO, "siblings": [{"rfilename": "thing.Q4_K_M.gguf", "size": 10}]}, None),
        (INFO, {**QWEN2, "quantization_config": {"quant_method": "bitsandbytes"}}),
    ],
)
def test_formats_that_the_engine_does_not_serve(played: PlayedHub, info: Any, config: Any) -> None:
    played.serve(NAME, info, config or {}, status=200 if config else 404)
    with pytest.raises(Failure) as caught:
        hub_lookup(NAME)
    assert (caught.value.exit_code, caught.value.field) == (3, "model")


def test_without_a_configuration_little_is_known(played: PlayedHub) -> None:
    played.serve(NAME, INFO, {}, status=404)
    model = hub_lookup(NAME)
    engine = best_on_plan(Selection(model, model.variants[0]), plan())
    assert engine.fit is not None and engine.fit.fits is None
    large = {**INFO, "siblings": [{"rfilename": "model.safetensors", "size": 60_000_000_000}]}
    played.serve("org/large", large, {}, status=404)
    model = hub_lookup("org/large")
    assert "no room" in str(best_on_plan(Selection(model, model.variants[0]), plan()).problem)


def test_an_endpoint_that_is_none(played: PlayedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    with pytest.raises(Failure) as caught:
        hub_lookup(NAME)
    assert (caught.value.kind, caught.value.field) == ("config", "HF_ENDPOINT")


@pytest.mark.parametrize(
    ("model_id", "config"),
    [
        (
            "gpt-oss-20b",
            {
                "num_hidden_layers": 24,
                "num_attention_heads": 64,
                "num_key_value_heads": 8,
                "head_dim": 64,
                "sliding_window": 128,
                "layer_types": ["sliding_attention", "full_attention"] * 12,
            },
        ),
        (
            "qwen3-coder-next",
            {
                "num_hidden_layers": 48,
                "num_attention_heads": 16,
                "num_key_value_heads": 2,
                "head_dim": 256,
                "full_attention_interval": 4,
                "linear_num_value_heads": 32,
                "linear_key_head_dim": 128,
                "linear_value_head_dim": 128,
            },
        ),
        (
            "glm-4.7-flash",
            {"num_hidden_layers": 47, "num_attention_heads": 20, "kv_lora_rank": 512, "qk_rope_head_dim": 64},
        ),
        (
            "nemotron-3.5-lightning-30b-a3b",
            {
                "num_hidden_layers": 52,
                "num_attention_heads": 32,
                "num_key_value_heads": 2,
                "head_dim": 128,
                "hybrid_override_pattern": "M" * 23 + "*" * 6 + "E" * 23,
                "mamba_num_heads": 64,
                "mamba_head_dim": 64,
                "ssm_state_size": 128,
            },
        ),
        (
            "qwen3-14b",
            {"num_hidden_layers": 40, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128},
        ),
    ],
)
def test_a_configuration_gives_the_geometry_of_the_catalogue(model_id: str, config: dict[str, Any]) -> None:
    selection = find(packaged(), model_id)
    assert selection is not None and selection.model.attention is not None
    found = attention_of(config)
    assert found is not None
    assert sorted(found, key=lambda group: group.kind) == sorted(
        selection.model.attention, key=lambda group: group.kind
    )


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num_hidden_layers": 4},
        {"num_hidden_layers": 4, "num_attention_heads": 4},
        {"num_hidden_layers": "four"},
        {**QWEN2, "mamba_d_state": 16},
        {**QWEN2, "layer_types": ["conv"] * 36},
    ],
)
def test_a_configuration_that_is_not_understood_is_unknown(config: dict[str, Any]) -> None:
    assert attention_of(config) is None


PAGE = "<html><title>Welcome to the hotel</title></html>"


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"Content-Type": "text/html"}, PAGE),
        (404, {"Content-Type": "text/html; charset=utf-8"}, PAGE),
        (403, {"Content-Type": "text/html"}, PAGE),
        (200, {}, {}),
        (200, {}, []),
        (200, {}, {**INFO, "siblings": ["a"]}),
        (200, {}, {**INFO, "siblings": {"a": 1}}),
        (200, {}, {**INFO, "safetensors": "much"}),
        (200, {}, {**INFO, "cardData": ["x"]}),
    ],
)
def test_what_is_not_the_hub_says_nothing_of_a_model(
    played: PlayedHub, answer: tuple[int, dict[str, str], Any]
) -> None:
    played.answers[f"/api/models/{NAME}"] = answer
    notes = hub_lookup(NAME).notes
    assert any("cannot be asked" in note and "not" in note for note in notes), notes


@pytest.mark.parametrize("config", [{"architectures": {"a": 1}}, {"quantization_config": "awq"}])
def test_a_configuration_of_another_shape_says_nothing_of_a_model(played: PlayedHub, config: Any) -> None:
    played.serve(NAME, INFO, config)
    assert any("cannot be asked" in note for note in hub_lookup(NAME).notes)
