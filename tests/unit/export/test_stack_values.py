"""The values for vllm-stack are ones that the chart takes, and with them it starts the engine as `up` does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import Plan, known_plan, known_plans
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import catalogue
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.choice import on_plan
from jsonschema import Draft202012Validator

from linode_coder.export.files import as_yaml
from linode_coder.export.lke_cluster import can_be_node
from linode_coder.export.served import Served, as_it_runs, as_up_starts
from linode_coder.export.stack_values import stack_values
from tests.hostile import CORPUS

CHART = Path(__file__).parent / "vllm_stack"
SCHEMA = Draft202012Validator(json.loads((CHART / "values.schema.json").read_text()))
DEFAULTS = json.loads((CHART / "values.json").read_text())


def plan_called(name: str) -> Plan:
    found = known_plan(name)
    assert found is not None
    return found


PLAN = plan_called("g2-gpu-rtx4000a1-s")
SERVED = Served(
    model="org/Model-7B", image="docker.io/vllm/vllm-openai:v0.33.0", flags={"max-model-len": 4096, "revision": "abc"}
)


def merged(default: Any, ours: Any) -> Any:
    """As Helm does: maps grow together, everything else is replaced."""
    if isinstance(default, dict) and isinstance(ours, dict):
        return {**default, **{key: merged(default.get(key), value) for key, value in ours.items()}}
    return ours


def installed(values: dict[str, Any]) -> dict[str, Any]:
    """What the chart sees of the file that is written; it has to be what its schema allows."""
    seen: dict[str, Any] = merged(DEFAULTS, yaml.safe_load(as_yaml(values, ["a comment"])))
    assert [error.message for error in SCHEMA.iter_errors(seen)] == []
    return seen


def command(values: dict[str, Any]) -> list[str]:
    """The words that the chart's template deployment-vllm-multi.yaml puts behind `vllm serve MODEL`, in its order."""
    (model,) = installed(values)["servingEngineSpec"]["modelSpec"]
    config = model["vllmConfig"]
    words = []
    if "enableChunkedPrefill" in config:
        words.append("--enable-chunked-prefill" if config["enableChunkedPrefill"] else "--no-enable-chunked-prefill")
    words.append("--enable-prefix-caching" if config.get("enablePrefixCaching") else "--no-enable-prefix-caching")
    for name, flag in (
        ("maxModelLen", "--max-model-len"),
        ("dtype", "--dtype"),
        ("tensorParallelSize", "--tensor-parallel-size"),
        ("maxNumSeqs", "--max-num-seqs"),
        ("gpuMemoryUtilization", "--gpu-memory-utilization"),
    ):
        words += [flag, str(config[name])] if name in config else []
    words += config.get("extraArgs") or []
    return words + (["--revision", model["modelRevision"]] if model.get("modelRevision") else [])


def meant(flags: dict[str, Any]) -> set[tuple[str, ...]]:
    """Flags of vllm.yaml as words."""
    found = set()
    for name, value in flags.items():
        if isinstance(value, bool):
            found.add((f"--{name}" if value else f"--no-{name}",))
        else:
            several = value if isinstance(value, list) else [json.dumps(value) if isinstance(value, dict) else value]
            found.add((f"--{name}", *(str(each) for each in several)))
    return found


def grouped(words: list[str]) -> set[tuple[str, ...]]:
    groups: list[list[str]] = []
    for word in words:
        if word.startswith("--"):
            groups.append(word.split("=", 1))
        else:
            groups[-1].append(word)
    return {tuple(group) for group in groups}


def test_a_schema_that_is_broken_would_be_seen() -> None:
    values = stack_values(SERVED, PLAN, 1).values
    values["servingEngineSpec"]["modelSpec"][0]["requestCPU"] = "half"
    with pytest.raises(AssertionError, match="half"):
        installed(values)


@pytest.mark.parametrize("plan", [plan for plan in known_plans() if can_be_node(plan.id)], ids=lambda plan: plan.id)
def test_every_model_on_every_plan_is_started_as_up_does(plan: Plan) -> None:
    tried = 0
    for model in catalogue():
        for variant in model.variants:
            engine = on_plan(model, variant, plan)
            if engine.problem is not None:
                continue
            served = as_up_starts(engine.as_dict())
            made = stack_values(served, plan, 2)
            wanted = {**served.flags, "enable-prefix-caching": True, "shutdown-timeout": 25}
            assert grouped(command(made.values)) == meant(wanted), variant.id
            (spec,) = made.values["servingEngineSpec"]["modelSpec"]
            assert (spec["modelURL"], spec["replicaCount"]) == (variant.id, 2)
            assert spec["requestGPU"] == engine.tensor_parallel <= plan.gpus
            # Two of them never share a node, and one has room beside what else runs there.
            assert plan.vcpus and plan.vcpus / 2 >= spec["requestCPU"] > plan.vcpus / 3
            tried += 1
    assert tried


def test_the_image_is_the_role_s() -> None:
    engine = on_plan(catalogue()[0], catalogue()[0].variants[0], plan_called("g3-gpu-rtxpro6000-blackwell-1"))
    served = as_up_starts(engine.as_dict())
    (spec,) = stack_values(served, PLAN, 1).values["servingEngineSpec"]["modelSpec"]
    assert f"{spec['repository']}:{spec['tag']}" == served.image


def test_a_digest_stays_with_its_tag() -> None:
    image = "reg.example:5000/vllm/vllm-openai:v0.33.0@sha256:" + "a" * 64
    (spec,) = stack_values(replace(SERVED, image=image), PLAN, 1).values["servingEngineSpec"]["modelSpec"]
    assert f"{spec['repository']}:{spec['tag']}" == image


@pytest.mark.parametrize("image", ["vllm/vllm-openai", "reg.example:5000/vllm/vllm-openai"])
def test_an_image_without_a_tag_is_refused(image: str) -> None:
    with pytest.raises(Failure, match="no tag"):
        stack_values(replace(SERVED, image=image), PLAN, 1)


SECRETS = {
    "api-key": "sesame-sesame",
    "ssl-keyfile": "/etc/key.pem",
    "hf-token": "x",
    "model-loader-extra-config": {"token": "sesame-sesame"},
    "override": "hf_abcdefghijklmnopqrstuv",
}


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_is_written(name: str) -> None:
    made = stack_values(replace(SERVED, flags={name: SECRETS[name]}), PLAN, 1)
    text = as_yaml(made.values, [])
    assert not any(secret in text for secret in ("sesame", "key.pem", "hf_abc"))
    assert name not in text.replace("vllm-api-key", "")
    assert [line for line in made.left_out if name in line]


def test_no_secret_of_the_environment_is_written() -> None:
    environment = {"HF_TOKEN": "sesame", "AWS_SECRET_ACCESS_KEY": "sesame", "VLLM_USE_DEEP_GEMM": "0"}
    made = stack_values(replace(SERVED, environment=environment), PLAN, 1)
    assert "sesame" not in as_yaml(made.values, []) + " ".join(made.left_out)
    assert {"name": "VLLM_USE_DEEP_GEMM", "value": "0"} in made.values["servingEngineSpec"]["modelSpec"][0]["env"]
    assert len(made.left_out) == 2


def test_keys_are_references() -> None:
    spec = installed(stack_values(replace(SERVED, gated=True), PLAN, 1).values)["servingEngineSpec"]
    assert spec["vllmApiKey"] == {"secretName": "vllm-api-key", "secretKey": "key"}
    assert spec["modelSpec"][0]["hf_token"] == {"secretName": "hf-token", "secretKey": "token"}
    assert "hf_token" not in stack_values(SERVED, PLAN, 1).values["servingEngineSpec"]["modelSpec"][0]


def test_what_is_of_the_vm_stays_there() -> None:
    flags = {
        "host": "127.0.0.1",
        "port": 8001,
        "model": "m",
        "chat-template": "/opt/mine.jinja",
        "tokenizer": "org/other",
    }
    made = stack_values(replace(SERVED, flags=flags), PLAN, 1)
    assert grouped(command(made.values)) == {("--enable-prefix-caching",), ("--tokenizer", "org/other")}
    assert made.left_out == ("flag chat-template: /opt/mine.jinja is a file of the VM.",)


def test_what_a_person_switched_off_stays_off() -> None:
    flags = {"enable-prefix-caching": False, "enable-chunked-prefill": False, "max-model-len": "auto"}
    words = grouped(command(stack_values(replace(SERVED, flags=flags), PLAN, 1).values))
    assert words == {("--no-enable-prefix-caching",), ("--no-enable-chunked-prefill",), ("--max-model-len", "auto")}


def test_files_of_a_vm_are_refused() -> None:
    with pytest.raises(Failure, match="files of its own VM"):
        as_it_runs({"model": "/srv/model", "image": "a/b:c", "flags": {}, "environment": {}})


def test_no_value_becomes_a_flag() -> None:
    flags = {"served-model-name": ["a", "--trust-remote-code"], "quantization": "--trust-remote-code"}
    made = stack_values(replace(SERVED, flags=flags), PLAN, 1)
    assert "--trust-remote-code" not in command(made.values)
    assert len(made.left_out) == 1
    assert "served-model-name" in made.left_out[0]


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS.keys())
def test_any_text_is_data(text: str) -> None:
    flags = {"served-model-name": [text], "quantization": text, "hf-overrides": {"a": text}}
    made = stack_values(replace(SERVED, model=f"org/{text}", flags=flags), PLAN, 1)
    (spec,) = installed(made.values)["servingEngineSpec"]["modelSpec"]
    assert spec == made.values["servingEngineSpec"]["modelSpec"][0]
    assert set(spec["name"]) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert 1 <= len(spec["name"]) <= 40
    assert spec["name"].strip("-") == spec["name"]


def test_texts_that_look_like_something_else_stay_texts() -> None:
    odd = [
        "yes",
        "1e3",
        "0o17",
        "012",
        "null",
        "~",
        "2026-11-30",
        "1_000",
        "0x1F",
        ".inf",
        "on",
        "",
        "a: b",
        "- a",
        "#",
    ]
    text = as_yaml({"odd": odd}, [])
    assert yaml.safe_load(text) == {"odd": odd}
    # Readers differ about what is a text without them.
    assert all(f'"{word}"' in text for word in odd)
