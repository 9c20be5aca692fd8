# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import (
    is_gpu_plan,
    known_plan,
    known_plans,
    parse_capability,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import (
    MODEL_FACTS,
    VARIANT_FACTS,
    Source,
    catalogue,
    find,
    is_commit,
    missing_figures,
    models_in_file,
    names,
    near_names,
    packaged,
    packaged_model,
    user_file,
    variant_of,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue_data import (
    DEFAULT_MODEL,
    MODELS,
    PLAN_DEFAULTS,
    SOURCES,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.choice import default_model, on_plan
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.context_length import parse_context
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.engine_flags import engine_flags
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.request import (
    Request,
    check_access,
    check_code,
    make_request,
    unlisted,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.view import model_notes, model_view

import linode_coder.sandbox.api

TYPES = Path(linode_coder.sandbox.api.__file__).parent / "data/types.json"

OWN = """
[[models]]
id = "mine-7b"
licence = "apache-2.0"
max_context = 32768
layers = 28
heads = 28
attention = [{kind = "full", layers = 28, kv_heads = 4, head_dim = 128}]

[[models.variants]]
id = "me/mine-7b-awq"
precision = "int4-awq"
disk_gb = 5.6
flags = {max-num-seqs = 4}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    yield tmp_path


def write(text: str) -> Path:
    path = user_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_packaged_data_is_valid_and_its_names_are_unique() -> None:
    models = packaged()
    assert len(models) >= 45
    variants = [variant.id for model in models for variant in model.variants]
    assert len(variants) == len(set(variants)) and len(variants) >= 88
    assert len({model.id for model in models}) == len(models)
    for model in models:
        assert model.id == model.id.lower() and "/" not in model.id
        assert model.tool_parser and model.max_context and model.licence
        for variant in model.variants:
            assert parse_capability(variant.min_capability) >= (7, 5)
        if model.attention and model.layers:
            assert sum(group.layers for group in model.attention if group.kind != "latent") <= model.layers


def test_every_figure_has_its_source_and_day() -> None:
    used = set()
    for model, entry in zip(packaged(), MODELS, strict=True):
        for part, facts, written in [
            (model, MODEL_FACTS, entry),
            *zip(model.variants, repeat(VARIANT_FACTS), entry["variants"], strict=False),
        ]:
            assert set(part.sources) == set(facts) & set(written), part.id
            for field, source in part.sources.items():
                key = written[field][1]
                used.add(key)
                assert source == Source(SOURCES[key][0], written[field][2]) and source.on <= "2026-12-31"
                assert (field in part.uncertain) == (not SOURCES[key][1]), (part.id, field)
    # Those that nothing has yet are for what `make models` reads and what people enter.
    assert set(SOURCES) - used == {"hub", "person"}


@pytest.mark.parametrize(
    "fact",
    [64, (64,), (64, "recipe"), (64, "hearsay", "2026-01-02"), (64, "recipe", "yesterday"), (64, "recipe", None)],
)
def test_a_figure_without_its_source_is_no_entry(fact: object) -> None:
    with pytest.raises(Failure, match=r"it\.layers is no value with its source and day"):
        packaged_model({**MODELS[0], "layers": fact}, "it")
    with pytest.raises(Failure, match=r"it\.variants\[0\]\.disk_gb is no value with its source"):
        packaged_model({**MODELS[0], "variants": [{"id": "a/b", "precision": "fp8", "disk_gb": fact}]}, "it")


def test_whoever_asks_for_a_model_is_told_where_its_figures_come_from() -> None:
    selection = find(packaged(), "Qwen/Qwen3-32B-AWQ")
    assert selection is not None
    view = model_view(selection.model)
    assert view["sources"]["layers"] == {"from": SOURCES["config"][0], "on": "2026-08-21"}
    assert view["variants"][0]["sources"]["disk_gb"] == {"from": SOURCES["derived"][0], "on": "2026-11-29"}
    assert view["variants"][0]["uncertain"] == ["disk_gb"]
    write(OWN)
    mine = find(catalogue(), "mine-7b")
    assert mine is not None and model_view(mine.model)["sources"] == {}


def test_what_every_plan_serves_unasked_is_wholly_known() -> None:
    """Of the plans that this version knows, and of those that the sandbox's account has."""
    plans = {plan.id for plan in known_plans()}
    plans |= {row["id"] for row in json.loads(TYPES.read_text()) if is_gpu_plan(row)}
    assert len(plans) >= 16
    for plan_id in plans:
        name = default_model(plan_id)
        assert name is not None, plan_id
        selection = find(packaged(), name)
        assert selection is not None and selection.variant is not None
        assert missing_figures(selection.model, selection.variant) == [], (plan_id, name)
        plan = known_plan(plan_id)
        assert plan is not None and plan.card is not None, plan_id
        assert on_plan(selection.model, selection.variant, plan).fit.fits is True, plan_id  # type: ignore[union-attr]


def test_every_model_serves_on_some_plan() -> None:
    for model in packaged():
        for variant in model.variants:
            assert any(on_plan(model, variant, plan).problem is None for plan in known_plans()), variant.id


def test_an_index_is_one_more_group_of_the_same_layers() -> None:
    index = "{kind = 'latent', layers = 28, latent_dim = 32}"
    write(OWN.replace("attention = [", f"attention = [{index}, "))
    assert len(models_in_file(user_file())[0].attention or ()) == 2
    write(OWN.replace("attention = [", f"attention = [{index}, {index}, "))
    with pytest.raises(Failure, match="more layers than the model"):
        models_in_file(user_file())


def test_defaults_exist_for_every_known_plan() -> None:
    assert find(packaged(), DEFAULT_MODEL) is not None
    for part, variant in PLAN_DEFAULTS:
        selection = find(packaged(), variant)
        assert selection is not None and selection.variant is not None, variant
        assert any(plan.id.startswith(part) for plan in known_plans()), part


def test_every_name_finds_its_model() -> None:
    for name in names(packaged()):
        for spelled in (name, name.upper()):
            selection = find(packaged(), spelled)
            assert selection is not None
            known = {selection.model.id, selection.model.hf, *(variant.id for variant in selection.model.variants)}
            assert name in known


def test_a_base_without_listed_weights_is_sixteen_bits() -> None:
    selection = find(packaged(), "Qwen/Qwen3-14B")
    assert selection is not None and selection.variant is not None
    assert (selection.variant.precision, selection.variant.disk_gb) == ("bf16", 29.6)
    assert "disk_gb" in selection.variant.uncertain


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("gpt-os-20b", "gpt-oss-20b"),
        ("qwen3.8", "qwen3.8-27b"),
        ("openai/gpt-oss-20", "openai/gpt-oss-20b"),
        ("Qwen/Qwen2.5-Coder-7B-AWQ", "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"),
    ],
)
def test_near_names(wrong: str, right: str) -> None:
    assert right in near_names(packaged(), wrong)


def test_the_users_file_adds_and_replaces() -> None:
    assert models_in_file(user_file()) == ()
    write(OWN + OWN.replace("mine-7b", "qwen3-14b"))
    models = catalogue()
    mine = find(models, "me/mine-7b-awq")
    assert mine is not None and mine.variant is not None
    assert mine.variant.flags == {"max-num-seqs": 4}
    assert mine.model.source == str(user_file())
    assert [model.source for model in models if model.id == "qwen3-14b"] == [str(user_file())]
    assert len(models) == len(packaged()) + 1


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("[[models]]\nid = \nname = 1", "models.toml", "line 2"),
        ("[model]\nid = 1", "model", "not what this file holds"),
        ('revisions = "main"', "revisions", "not a table"),
        ('[revisions]\n"org/name" = "main"', "revisions.org/name", "'main', which is not a commit"),
        (f'[revisions]\n"org/name" = "{"0123456789abcdef" * 3}"', "revisions.org/name", "not a commit"),
        (OWN.replace("licence", "license"), "models[0].license", "not a known key"),
        (OWN.replace("disk_gb = 5.6", ""), "models[0].variants[0].disk_gb", "missing"),
        (OWN.replace("5.6", '"5.6"'), "models[0].variants[0].disk_gb", "not of type"),
        (OWN.replace("5.6", "true"), "models[0].variants[0].disk_gb", "not of type"),
        (OWN.replace("5.6", "-1"), "models[0].variants[0].disk_gb", "-1"),
        (OWN.replace("int4-awq", "int5"), "models[0].variants[0].precision", "int5"),
        (OWN.replace('"full"', '"fully"'), "models[0].attention[0].kind", "kind"),
        (OWN.replace("kv_heads = 4, ", ""), "models[0].attention[0].kv_heads", "missing"),
        (OWN.replace("layers = 28\n", "layers = 12\n"), "models[0].attention", "more layers"),
        (OWN.partition("[[models.variants]]")[0], "models[0].variants", "missing"),
    ],
)
def test_mistakes_in_the_users_file_name_file_and_key(text: str, field: str, words: str) -> None:
    path = write(text)
    with pytest.raises(Failure) as caught:
        catalogue()
    failure = caught.value
    assert (failure.kind, failure.exit_code) == ("config", 2)
    assert str(path) in failure.message and words in failure.message and failure.remedy
    assert str(failure.field).endswith(field)


def test_variants_by_id_tail_and_precision() -> None:
    selection = find(packaged(), "qwen3.8-27b")
    assert selection is not None
    for name in ("nvidia/Qwen3.8-27B-NVFP4", "qwen3.8-27b-nvfp4", "nvfp4"):
        found = variant_of(selection, name).variant
        assert found is not None and found.id == "nvidia/Qwen3.8-27B-NVFP4"


@pytest.mark.parametrize(
    ("value", "tokens"), [(None, None), ("", None), ("65536", 65536), ("64K", 65536), ("64k", 65536), (2048, 2048)]
)
def test_context_is_tokens(value: str | int | None, tokens: int | None) -> None:
    assert parse_context(value) == tokens


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ({"model": "qwen3.6-27"}, "model", "not known"),
        ({"model": "two words"}, "model", "not a model id"),
        ({"model": "gpt-oss-20b", "context": "200K"}, "context", "131072"),
        ({"context": "0"}, "context", "1024"),
        ({"context": "a lot"}, "context", "a lot"),
        ({"model": "qwen2.5-coder-7b", "tensor_parallel": 3}, "tensor_parallel", "does not divide the 28"),
        ({"tensor_parallel": 0}, "tensor_parallel", "less than one"),
        ({"model": "qwen3-14b", "variant": "nvfp4"}, "variant", "not a variant"),
        ({"model": "Qwen/Qwen3-14B-AWQ", "variant": "fp8"}, "variant", "contradicts"),
        ({"variant": "qwen3-14b"}, "variant", "several variants"),
    ],
)
def test_what_cannot_be_asked_for(asked: dict[str, object], field: str, words: str) -> None:
    with pytest.raises(Failure) as caught:
        make_request(unlisted, **asked)  # type: ignore[arg-type]
    failure = caught.value
    assert (failure.exit_code, failure.field) == (2, field)
    assert words in failure.message and failure.remedy


def test_what_can_be_asked_for() -> None:
    assert make_request(unlisted) == Request(None)
    request = make_request(unlisted, model="qwen3-14b", variant="fp8", context="16K")
    assert request.selection is not None and request.selection.variant is not None
    assert (request.selection.variant.id, request.context) == ("Qwen/Qwen3-14B-FP8", 16384)
    sandbox = make_request(lambda name: pytest.fail(name), model="sandbox/tiny-a").selection
    assert sandbox is not None and sandbox.model.source == "sandbox"


def test_gated_weights_need_a_token() -> None:
    selection = find(packaged(), "meta-llama/Llama-3.3-70B-Instruct")
    assert selection is not None and selection.variant is not None
    with pytest.raises(Failure) as caught:
        check_access(selection.model, selection.variant, has_token=False)
    assert (caught.value.exit_code, caught.value.field) == (2, "hf_token")
    check_access(selection.model, selection.variant, has_token=True)
    other = find(packaged(), "nvidia/Llama-3.3-70B-Instruct-NVFP4")
    assert other is not None and other.variant is not None
    assert other.model.gated_for(other.variant) is None
    check_access(other.model, other.variant, has_token=False)


COMMIT = "0123456789abcdef0123456789abcdef01234567"
LAGUNA = "poolside/Laguna-XS-2.1-NVFP4"


def test_no_engine_is_told_to_run_code_of_a_branch() -> None:
    carriers = set()
    for model in catalogue():
        for variant in model.variants:
            flags = engine_flags(model, variant, None, 1)
            assert not flags.get("trust-remote-code"), variant.id
            if model.runs_code(variant):
                carriers.add(model.id)
    assert carriers == {
        "deepseek-v4-flash",
        "k2-horizon-7b",
        "laguna-s-2.1",
        "laguna-xs-2.1",
        "mimo-v2.5",
        "step-3.7-flash",
    }


def test_code_of_a_repository_needs_a_pinned_commit() -> None:
    selection = find(catalogue(), LAGUNA)
    assert selection is not None and selection.variant is not None
    with pytest.raises(Failure) as caught:
        check_code(selection.model, selection.variant)
    assert (caught.value.kind, caught.value.field) == ("refused", "revision")
    assert LAGUNA in str(caught.value.remedy) and str(user_file()) in str(caught.value.remedy)
    assert any("no commit of it is pinned" in note for note in model_notes(selection.model))
    write(f'[revisions]\n"{LAGUNA}" = "{COMMIT}"\n')
    found = find(catalogue(), LAGUNA)
    assert found is not None and found.variant is not None
    check_code(found.model, found.variant)
    flags = engine_flags(found.model, found.variant, None, 1)
    assert (flags["trust-remote-code"], flags["revision"], flags["code-revision"]) == (True, COMMIT, COMMIT)
    other = find(catalogue(), "poolside/Laguna-XS-2.1-FP8")
    assert other is not None and other.variant is not None
    with pytest.raises(Failure):
        check_code(other.model, other.variant)


def test_a_commit_is_pinned_for_any_repository_also_in_ones_own_entry() -> None:
    write(OWN.replace("max-num-seqs = 4", f'trust-remote-code = true, revision = "{COMMIT}"'))
    mine = find(catalogue(), "mine-7b")
    assert mine is not None
    check_code(mine.model, mine.model.variants[0])
    write(OWN.replace("max-num-seqs = 4", 'trust-remote-code = true, revision = "main"'))
    mine = find(catalogue(), "mine-7b")
    assert mine is not None
    with pytest.raises(Failure):
        check_code(mine.model, mine.model.variants[0])
    assert engine_flags(mine.model, mine.model.variants[0], None, 1)["trust-remote-code"] is False
    write(f'[revisions]\n"org/unlisted-3b" = "{COMMIT}"\n"Qwen/Qwen3-14B-AWQ" = "{COMMIT}"\n')
    for name in ("org/unlisted-3b", "Qwen/Qwen3-14B-AWQ"):
        request = make_request(unlisted, model=name)
        assert request.selection is not None and request.selection.variant is not None
        flags = engine_flags(request.selection.model, request.selection.variant, None, 1)
        assert flags["revision"] == COMMIT and "trust-remote-code" not in flags


@pytest.mark.parametrize("text", [None, "", "main", "v1.0", "0123abc", COMMIT.upper(), COMMIT + "0", COMMIT + "\n"])
def test_only_a_whole_commit_is_one(text: str | None) -> None:
    assert is_commit(COMMIT) and not is_commit(text)


# Of these the publishers' configurations were not to be had: no figure is better than a guessed one.
UNKNOWN_GEOMETRY = {
    # Compressed and sparse caches, which none of our kinds of layers describes.
    "deepseek-v4-flash",
    "granite-4.0-h-small",
}


def test_what_is_not_known_of_a_model_is_said_and_not_guessed() -> None:
    assert {model.id for model in packaged() if model.attention is None} == UNKNOWN_GEOMETRY
    for model in packaged():
        said = any("is not known" in note for note in model_notes(model))
        assert said == (model.id in UNKNOWN_GEOMETRY)
        if not said:
            continue
        for plan in known_plans():
            for variant in model.variants:
                engine = on_plan(model, variant, plan)
                assert engine.fit is not None and engine.fit.fits is not True
                assert engine.fit.max_context is None and engine.fit.kv_tokens is None
                if engine.problem is None:
                    assert any("the VM stays and bills" in note for note in engine.notes)
