# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's files and what is remembered of engines: taken over, kept, verified and restored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.config_file import parse
from ansible_collections.linode_coder.gpu.plugins.modules import vllm_spec

Spec = Callable[..., dict[str, Any]]
WANTED = {"model": "acme/Coder", "image": "vllm:1", "flags": {"max-num-seqs": 16}}
OLD_VM = {
    "wanted": {**WANTED, "environment": {}, "aliases": []},
    "config": "model: acme/Coder\nmax-num-seqs: 4\n",
}


@pytest.fixture
def spec(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Spec:
    def call(check: bool = False, **given: Any) -> dict[str, Any]:
        places = {"project_dir": str(tmp_path), "state_file": str(tmp_path / "state" / "engine.json")}
        with patch_module_args({**places, "_ansible_check_mode": check, **given}), pytest.raises(SystemExit):
            vllm_spec.main()
        return dict(json.loads(capsys.readouterr().out))

    return call


def test_all_files_are_written_together_and_shown(spec: Spec, tmp_path: Path) -> None:
    would = spec(check=True, compose="services: {}\n", **WANTED)
    assert would["changed"] and list(tmp_path.iterdir()) == []
    compose, flags, environment, engine = would["diff"]
    assert [Path(diff["after_header"]).name for diff in (compose, flags)] == ["compose.yaml", "vllm.yaml"]
    assert environment["after"]["path"] == str(tmp_path / "engine.env")
    assert (engine["before"]["wanted"]["model"], engine["after"]["wanted"]["model"]) == (None, WANTED["model"])
    first = spec(compose="services: {}\n", **WANTED)
    assert first["diff"] == would["diff"] and not first["verified"]
    assert (tmp_path / "compose.yaml").read_text() == "services: {}\n"
    again = spec(compose="services: {}\n", **WANTED)
    assert (again["changed"], again["diff"]) == (False, [])
    other = spec(compose="services: {a: b}\n", **WANTED)
    assert other["changed"] and [Path(diff["after_header"]).name for diff in other["diff"]] == ["compose.yaml"]
    (served,) = spec(state="verified", measured={"x": 1})["diff"]
    assert (served["before"]["measured"], served["after"]["measured"]) == (None, {"x": 1})
    assert (tmp_path / "compose.yaml").read_text() == "services: {a: b}\n"


def test_of_the_environment_only_names_are_shown(spec: Spec) -> None:
    first = spec(**{**WANTED, "environment": {"HF_TOKEN": "planted-secret"}})
    other = spec(**{**WANTED, "environment": {"HF_TOKEN": "planted-other"}})
    assert first["diff"][-2]["after"]["variables"] == ["HF_TOKEN"]
    (shown,) = other["diff"]
    assert (shown["before"]["content"], shown["after"]["content"]) == ("(values)", "(other values)")
    assert "planted" not in json.dumps([first["diff"], other["diff"]])


def test_verified_is_the_engine_with_the_flags_that_it_has_now(spec: Spec, tmp_path: Path) -> None:
    assert not spec(**WANTED)["verified"]
    assert spec(state="verified", measured={"x": 1})["verified"]
    assert spec(**WANTED)["verified"]
    path = tmp_path / "vllm.yaml"
    path.write_text(path.read_text().replace("16", "3"))
    changed = spec(**WANTED)
    assert (changed["changed"], changed["verified"], changed["healed"]) == (False, False, {"max-num-seqs": 3})
    assert spec(state="restored")["healed"] == {}
    assert spec(**WANTED)["verified"]


def test_the_flags_that_healing_changed_on_another_vm_are_taken_over_once(spec: Spec, tmp_path: Path) -> None:
    would = spec(check=True, inherited=OLD_VM, **WANTED)
    first = spec(inherited=OLD_VM, **WANTED)
    assert first["healed"] == would["healed"] == {"max-num-seqs": 4}
    assert "max-num-seqs: 4" in (tmp_path / "vllm.yaml").read_text()
    assert not spec(inherited=OLD_VM, **WANTED)["changed"]
    # What is asked for now is another engine than the old VM's: nothing of that stays.
    other = {**WANTED, "flags": {"max-num-seqs": 8}}
    assert spec(inherited=OLD_VM, **other)["healed"] == {}
    assert "max-num-seqs: 8" in (tmp_path / "vllm.yaml").read_text()
    assert not spec(inherited=OLD_VM, **other)["changed"]


def names(place: Path) -> list[str]:
    return list(parse((place / "vllm.yaml").read_text())["served-model-name"])


def test_aliases_stay_until_others_are_asked_for_also_with_another_model(spec: Spec, tmp_path: Path) -> None:
    own = {**WANTED, "flags": {"served-model-name": ["coder", "acme/Coder"]}}
    other = {**WANTED, "model": "acme/Other", "flags": {"served-model-name": ["coder", "acme/Other"]}}
    first = spec(aliases=["gpt-4o", "coder"], **own)
    # They are asked for: no change of somebody's.
    assert first["healed"] == {} and names(tmp_path) == ["coder", "acme/Coder", "gpt-4o"]
    assert not spec(**own)["changed"]
    spec(state="verified", measured={"x": 1})
    assert spec(**other)["changed"] and names(tmp_path) == ["coder", "acme/Other", "gpt-4o"]
    assert spec(state="restored")["verified"] and names(tmp_path) == ["coder", "acme/Coder", "gpt-4o"]
    assert not spec(**own)["changed"]
    assert spec(aliases=["fable"], **own)["changed"] and names(tmp_path) == ["coder", "acme/Coder", "fable"]
    assert spec(aliases=[], **own)["changed"] and names(tmp_path) == ["coder", "acme/Coder"]


def test_aliases_go_on_with_the_vm_that_replaces_one(spec: Spec, tmp_path: Path) -> None:
    flags = {"served-model-name": ["coder", "acme/Coder"]}
    spec(aliases=["gpt-4o"], **{**WANTED, "flags": flags})
    wanted = json.loads((tmp_path / "state/engine.json").read_text())["wanted"]
    old = {"wanted": wanted, "config": (tmp_path / "vllm.yaml").read_text()}
    for file in ("vllm.yaml", "engine.env", "state/engine.json"):
        (tmp_path / file).unlink()
    assert spec(inherited=old, **{**WANTED, "flags": flags})["healed"] == {}
    assert names(tmp_path) == ["coder", "acme/Coder", "gpt-4o"]


def test_traces_go_where_they_went_until_it_is_said(spec: Spec, tmp_path: Path) -> None:
    def sent() -> tuple[object, str]:
        return parse((tmp_path / "vllm.yaml").read_text()).get("otlp-traces-endpoint"), (
            tmp_path / "engine.env"
        ).read_text()

    assert not spec(traces="", **WANTED)["changed"] or sent()[0] is None
    first = spec(traces="grpc://otel.example.com:4317", **WANTED)
    where, environment = sent()
    assert first["changed"] and first["healed"] == {} and where == "grpc://otel.example.com:4317"
    assert "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" in environment and "grpc" in environment
    assert not spec(**WANTED)["changed"]
    spec(**{**WANTED, "model": "acme/Other"})
    assert sent()[0] == where
    spec(traces="http://otel.example.com:4318/v1/traces", **WANTED)
    assert sent()[0] == "http://otel.example.com:4318/v1/traces" and "http/protobuf" in sent()[1]
    assert spec(traces="", **WANTED)["changed"]
    assert sent()[0] is None and "OTEL" not in sent()[1]


def test_an_alias_is_no_reason_to_lose_the_name_that_the_engine_has_by_itself(spec: Spec, tmp_path: Path) -> None:
    spec(aliases=["gpt-4o"], **WANTED)
    assert names(tmp_path) == ["acme/Coder", "gpt-4o"]
