# SPDX-License-Identifier: GPL-3.0-or-later
"""`make models` against a small server that plays the Hub: what it proposes, what it leaves alone, what it refuses."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import Model, packaged_model
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue_data import MODELS
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub_model import model_from_hub

from tests.hostile import CORPUS
from tests.played_hub import PlayedHub
from tests.unit.model.test_hub import INFO, QWEN2
from tools.catalogue_file import DATA, with_models
from tools.models import gaps, main, refresh

BASE, PACKED = "org/thing-3b", "org/thing-3b-awq"
FULL = [{"kind": "full", "layers": 36, "kv_heads": 2, "head_dim": 128}]
ENTRY: dict[str, Any] = {
    "id": "thing-3b",
    "name": "Thing 3B",
    "family": "qwen",
    "hf": BASE,
    "licence": ("apache-2.0", "assumed", "2026-01-02"),
    "parameters_b": (3.1, "recipe", "2026-01-02"),
    "active_b": (3.1, "recipe", "2026-01-02"),
    "layers": (36, "recipe", "2026-01-02"),
    "heads": (16, "person", "2026-01-02"),
    "max_context": (131072, "recipe", "2026-01-02"),
    "tool_parser": ("hermes", "recipe", "2026-01-02"),
    "variants": [
        {"id": BASE, "precision": "bf16", "disk_gb": (6.2, "derived", "2026-01-02")},
        {"id": PACKED, "precision": "int4-awq", "disk_gb": (1.5, "derived", "2026-01-02")},
    ],
}
PLAIN = QWEN2 | {"intermediate_size": 5504}
AWQ = PLAIN | {"quantization_config": {"quant_method": "awq", "bits": 4}}


def info(name: str, size: int, **changes: Any) -> dict[str, Any]:
    return INFO | {"id": name, "siblings": [{"rfilename": "model.safetensors", "size": size}]} | changes


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedHub]:
    running = PlayedHub()
    monkeypatch.setenv("HF_ENDPOINT", running.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running.serve(BASE, info(BASE, 6_171_926_992), PLAIN)
    running.serve(PACKED, info(PACKED, 2_100_000_000), AWQ)
    yield running
    running.close()


class Catalogue:
    """A catalogue file of one entry, and what the command did to it."""

    def __init__(self, path: Path, entry: dict[str, Any]) -> None:
        self.path, self.entry = path, entry
        head = DATA.read_text().partition("MODELS: tuple")[0] + "MODELS: tuple[dict[str, Any], ...] = ()\n"
        path.write_text(with_models(head.replace("= ()", "= ("), [entry]))
        self.before = path.read_text()

    def refreshed(self, *words: str) -> int:
        return main(words, self.path, [self.entry])

    def written(self) -> dict[str, Any]:
        names: dict[str, Any] = {}
        exec(self.path.read_text(), names)
        (entry,) = names["MODELS"]
        return dict(entry)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "data.py", copy.deepcopy(ENTRY))


def test_the_file_is_as_the_command_would_write_it() -> None:
    assert with_models(DATA.read_text(), list(MODELS)) == DATA.read_text(), (
        "run: make models, or put its lines in order"
    )


def test_a_difference_is_shown_and_not_written(
    hub: PlayedHub, catalogue: Catalogue, capsys: pytest.CaptureFixture[str]
) -> None:
    assert catalogue.refreshed() == 0
    assert catalogue.path.read_text() == catalogue.before
    shown = capsys.readouterr().out
    assert '-        "max_context": (131072, "recipe", "2026-01-02"),' in shown
    assert '+        "max_context": (32768, "hub", ' in shown
    assert "changed    thing-3b.max_context  is 32768, and was 131072" in shown
    assert "new        thing-3b.attention  is [" in shown
    assert f"changed    {PACKED}.disk_gb  is 2.1, and was 1.5" in shown
    assert "Nothing is written" in shown and "make models WRITE=1" in shown


def test_what_is_written_comes_from_the_hub_and_only_that(hub: PlayedHub, catalogue: Catalogue) -> None:
    assert catalogue.refreshed("--write") == 0
    entry = catalogue.written()
    assert entry["attention"][:2] == (FULL, "hub") and entry["gated"][:2] == (False, "hub")
    assert entry["max_context"][:2] == (32768, "hub") and entry["dense_widths"][:2] == ([5504], "hub")
    # Confirmed: the value stays as it was written down, and has a better source.
    assert entry["licence"][:2] == ("apache-2.0", "hub") and entry["layers"][:2] == (36, "hub")
    assert [variant["disk_gb"][:2] for variant in entry["variants"]] == [(6.2, "hub"), (2.1, "hub")]
    # What the Hub cannot know, or a person entered, is as it was.
    for field in ("heads", "parameters_b", "active_b", "tool_parser", "id", "name", "hf"):
        assert entry[field] == ENTRY[field]
    assert packaged_model(entry, "it").uncertain == ()
    again = Catalogue(catalogue.path, entry)
    assert again.refreshed("--write") == 0 and again.path.read_text() == again.before


def test_what_a_person_entered_is_never_overwritten(
    hub: PlayedHub, catalogue: Catalogue, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue.entry["max_context"] = (131072, "person", "2026-01-02")
    catalogue.entry["variants"][1]["disk_gb"] = (1.5, "person", "2026-01-02")
    assert catalogue.refreshed("--write") == 0
    entry = catalogue.written()
    assert entry["max_context"] == (131072, "person", "2026-01-02")
    assert entry["variants"][1]["disk_gb"] == (1.5, "person", "2026-01-02")
    shown = capsys.readouterr().out
    assert "kept       thing-3b.max_context  stays 131072, as a person entered it; the Hub says 32768" in shown


@pytest.mark.parametrize(
    ("base", "packed", "config", "awq", "said"),
    [
        (6_171_926_992, 90_000_000_000, QWEN2, AWQ, "29.03 bytes for each parameter"),
        (620_000, 2_100_000_000, QWEN2, AWQ, "it is not within 0.1 to 4000.0"),
        (6_171_926_992, 2_100_000_000, QWEN2, QWEN2, "the weights are bf16, and the entry says int4-awq"),
        (6_171_926_992, 2_100_000_000, QWEN2 | {"max_position_embeddings": 7}, AWQ, "it is not within 1024"),
        (6_171_926_992, 2_100_000_000, QWEN2 | {"num_key_value_heads": 64}, AWQ, "more KV heads than heads"),
    ],
)
def test_nonsense_is_refused(
    hub: PlayedHub,
    catalogue: Catalogue,
    capsys: pytest.CaptureFixture[str],
    base: int,
    packed: int,
    config: dict[str, Any],
    awq: dict[str, Any],
    said: str,
) -> None:
    hub.serve(BASE, info(BASE, base), config)
    hub.serve(PACKED, info(PACKED, packed), awq)
    assert catalogue.refreshed("--write") == 1
    shown = capsys.readouterr().out
    (refused,) = [line for line in shown.splitlines() if line.startswith("refused")]
    assert said in refused
    place, field = refused.split()[1].rpartition(".")[::2]
    entry = catalogue.written()
    of, was = next(
        ((new, old) for new, old in zip(entry["variants"], ENTRY["variants"], strict=True) if new["id"] == place),
        (entry, ENTRY),
    )
    assert of.get(field) == was.get(field)


def test_the_index_of_sparse_attention_is_not_dropped(
    hub: PlayedHub, catalogue: Catalogue, capsys: pytest.CaptureFixture[str]
) -> None:
    index = [*FULL, {"kind": "latent", "layers": 36, "latent_dim": 32}]
    catalogue.entry["attention"] = (index, "gguf", "2026-01-02")
    assert catalogue.refreshed("--write") == 1
    assert catalogue.written()["attention"] == (index, "gguf", "2026-01-02")
    assert "leaves out the index" in capsys.readouterr().out


@pytest.mark.parametrize("layers", [(12, "person", "2026-01-02"), (36, "recipe", "2026-01-02")])
def test_figures_that_contradict_each_other_change_nothing(
    hub: PlayedHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], layers: tuple[int, str, str]
) -> None:
    if layers[0] == 36:
        hub.serve(BASE, info(BASE, 6_171_926_992), QWEN2 | {"num_hidden_layers": 99999})
    twelve = Catalogue(tmp_path / "data.py", {**ENTRY, "layers": layers})
    assert twelve.refreshed("--write") == 1
    assert twelve.path.read_text() == twelve.before
    assert "thing-3b stays as it is: packaged: thing-3b.attention has more layers" in capsys.readouterr().out


def test_what_cannot_be_read_is_said_and_stays(
    hub: PlayedHub, catalogue: Catalogue, capsys: pytest.CaptureFixture[str]
) -> None:
    del hub.answers[f"/api/models/{PACKED}"]
    assert catalogue.refreshed("--write") == 1
    assert catalogue.written()["variants"][1] == ENTRY["variants"][1]
    assert f"problem    {PACKED}: model '{PACKED}' does not exist" in capsys.readouterr().out
    hub.close()
    # Nobody answers there any more.
    nobody = Catalogue(catalogue.path, copy.deepcopy(ENTRY))
    assert nobody.refreshed("--write") == 1
    assert nobody.path.read_text() == nobody.before


def test_a_name_and_its_repositories_are_enough_to_begin_with(
    hub: PlayedHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = {key: ENTRY[key] for key in ("id", "name", "family", "hf")}
    stub["variants"] = [{"id": PACKED, "precision": "int4-awq"}, {"id": BASE, "precision": "bf16"}]
    new = Catalogue(tmp_path / "data.py", stub)
    assert new.refreshed("--write") == 0
    entry = new.written()
    assert entry["parameters_b"][:2] == (3.09, "hub") and entry["variants"][0]["disk_gb"][:2] == (2.1, "hub")
    assert gaps([entry]) == ["thing-3b: tool_parser"]
    assert "unknown    thing-3b: tool_parser" in capsys.readouterr().out


def test_no_text_of_the_hub_is_code_or_moves_the_cursor() -> None:
    entries = [{**copy.deepcopy(ENTRY), "id": f"thing-{number}"} for number in range(len(CORPUS))]
    texts = iter(CORPUS.values())

    def lookup(name: str) -> Model:
        text = next(texts) if name == BASE else "mit"
        described = info(name, 6_171_926_992, cardData={"license": text})
        return model_from_hub(name, described, QWEN2 | {"model_type": text, "architectures": [text]})

    fresh, changes, _problems = refresh(entries, lookup, "2026-11-29")
    assert all(str(change).isprintable() for change in changes)
    names: dict[str, Any] = {}
    exec(with_models(DATA.read_text(), fresh), names)
    assert names["MODELS"] == tuple(fresh)
    # What looks like a licence can be one; all else is refused.
    taken = {entry["licence"][0] for entry in fresh}
    assert "apache-2.0" in taken and all(re.fullmatch(r"[a-z0-9.+-]+", text) for text in taken)


def test_only_the_entries_that_were_named(
    hub: PlayedHub, catalogue: Catalogue, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        catalogue.refreshed("--model", "thing-4b")
    assert "thing-4b is no entry of the catalogue; there are thing-3b" in capsys.readouterr().err
    assert hub.seen == []
    assert catalogue.refreshed("--model", "thing-3b") == 0
