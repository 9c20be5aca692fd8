# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The models that this tool knows: the packaged ones, and those of the user's own file, which win."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..core.did_you_mean import did_you_mean, nearest
from ..core.failure import Failure
from ..core.paths import config_dir
from .catalogue_data import MODELS, SOURCES

# Models of this organisation exist in the sandbox only; the Hub is never asked about them.
SANDBOX_ORGANISATION = "sandbox/"
PRECISIONS = (
    "bf16",
    "fp16",
    "fp8",
    "nvfp4",
    "mxfp4",
    "int8",
    "int8-gptq",
    "int8-autoround",
    "int4",
    "int4-awq",
    "int4-gptq",
    "int4-autoround",
    "mixed",
    "unknown",
)


@dataclass(frozen=True)
class Layers:
    """Layers of one kind, by what they remember of a sequence.

    ``full``: keys and values of every token. ``sliding``: the same for the last ``window`` tokens. ``latent``: one
    compressed vector per token, kept whole on every GPU; beside ``full`` it is the index of the same layers. ``state``: a
    matrix of fixed size per sequence.
    """

    kind: str
    layers: int
    kv_heads: int = 0
    head_dim: int = 0
    window: int = 0
    latent_dim: int = 0
    state_heads: int = 0
    state_size: int = 0


@dataclass(frozen=True)
class Source:
    """Where a figure comes from, as a sentence, and the day on which it was said or read there."""

    text: str
    on: str


@dataclass(frozen=True)
class Variant:
    """Weights of a model in one precision: one repository. None and ``uncertain`` say what is not known for sure.

    ``sources`` holds those of the figures of a packaged entry, by field.
    """

    id: str
    precision: str
    disk_gb: float | None
    min_capability: str = "7.5"
    gated: bool | None = None
    community: bool = False  # made by a single person: never chosen unasked
    flags: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    min_engine: str | None = None
    uncertain: tuple[str, ...] = ()
    loaded_gb: float | None = None  # what all GPUs together hold of it, where that is known to differ from the files
    block: int | None = None  # side of the squares that share a scale; every GPU's share has to be whole squares
    sources: dict[str, Source] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    id: str
    name: str
    hf: str
    family: str
    licence: str
    gated: bool | None
    parameters_b: float | None
    active_b: float | None
    max_context: int | None
    variants: tuple[Variant, ...]
    layers: int | None = None
    heads: int | None = None
    attention: tuple[Layers, ...] | None = None
    # What tensor parallel cuts: the inner width of one expert, and of the layers that every token goes through.
    expert_width: int | None = None
    dense_widths: tuple[int, ...] = ()
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    coding: str | None = None  # what was published of how well it codes; None where nothing is known
    multimodal: bool = False
    fill_in: str | None = None  # how a raw prompt asks for what is missing between two pieces of code: of FILL_IN
    unread_gb: float = 0.0  # of a dense model's weights: embeddings and vision, which a generated token does not read
    flags: dict[str, Any] = field(default_factory=dict)
    min_engine: str | None = None
    uncertain: tuple[str, ...] = ()
    source: str = "packaged"
    sources: dict[str, Source] = field(default_factory=dict)  # of the figures of a packaged entry, by field
    notes: tuple[str, ...] = ()  # sentences for whoever asks for it
    revisions: dict[str, str] = field(default_factory=dict)  # commits that the user's file pins, by repository

    @property
    def mixture(self) -> bool:
        """Whether a token uses only some of the parameters."""
        return bool(self.active_b and self.parameters_b and self.active_b < self.parameters_b)

    @property
    def unasked(self) -> list[Variant]:
        """The variants that may be chosen without being named."""
        return [variant for variant in self.variants if not variant.community] or list(self.variants)

    def revision_of(self, variant: Variant) -> str | None:
        """The commit of the repository that is served; None when it is whatever its main branch has."""
        pinned = self.revisions.get(variant.id) or (self.flags | variant.flags).get("revision")
        return str(pinned) if pinned is not None else None

    def runs_code(self, variant: Variant) -> bool:
        """Whether the engine runs program code of the repository."""
        return bool((self.flags | variant.flags).get("trust-remote-code"))

    def code_problem(self, variant: Variant) -> str | None:
        """Why its program code is not run: a branch can hold other code tomorrow than what somebody read today."""
        if not self.runs_code(variant) or is_commit(self.revision_of(variant)):
            return None
        return f"{self.id} runs program code from its repository {variant.id}, and no commit of it is pinned."

    def gated_for(self, variant: Variant) -> bool | None:
        """Whether the weights need an accepted licence and a token; None when nobody said so of this repository."""
        if variant.gated is not None:
            return variant.gated
        same_owner = variant.id.partition("/")[0] == self.hf.partition("/")[0]
        return self.gated if same_owner or not self.gated else None


def is_commit(revision: str | None) -> bool:
    return revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision) is not None


@dataclass(frozen=True)
class Selection:
    """What a model name means: a model, and the one variant of it that was named, if one was."""

    model: Model
    variant: Variant | None = None


# What an entry of the packaged catalogue says with a source and a day: figures, and what else may turn out wrong.
MODEL_FACTS = (
    "licence",
    "gated",
    "parameters_b",
    "active_b",
    "layers",
    "heads",
    "attention",
    "expert_width",
    "dense_widths",
    "max_context",
    "tool_parser",
    "reasoning_parser",
    "coding",
    "unread_gb",
    "min_engine",
)
VARIANT_FACTS = ("disk_gb", "loaded_gb", "block", "min_capability", "gated", "min_engine")
# Without these nobody can say beforehand what a model costs and whether it serves.
_NEEDED = ("licence", "gated", "parameters_b", "active_b", "layers", "heads", "attention", "max_context", "tool_parser")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

_LAYER_KEYS = {
    "full": {"kv_heads", "head_dim"},
    "sliding": {"kv_heads", "head_dim", "window"},
    "latent": {"latent_dim"},
    "state": {"state_heads", "state_size"},
}
# Fill-in-the-middle prompts of families of models, by the names that editors have for them.
FILL_IN = {"qwen": "<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>"}
# key: (types, whether it has to be there). bool is no number here.
_MODEL_KEYS: dict[str, tuple[tuple[type, ...], bool]] = {
    "id": ((str,), True),
    "name": ((str,), False),
    "hf": ((str,), False),
    "family": ((str,), False),
    "licence": ((str,), False),
    "gated": ((bool,), False),
    "parameters_b": ((int, float), False),
    "active_b": ((int, float), False),
    "layers": ((int,), False),
    "heads": ((int,), False),
    "attention": ((list,), False),
    "expert_width": ((int,), False),
    "dense_widths": ((list,), False),
    "max_context": ((int,), False),
    "tool_parser": ((str,), False),
    "reasoning_parser": ((str,), False),
    "coding": ((str,), False),
    "multimodal": ((bool,), False),
    "fill_in": ((str,), False),
    "unread_gb": ((int, float), False),
    "flags": ((dict,), False),
    "min_engine": ((str,), False),
    "uncertain": ((list,), False),
    "variants": ((list,), True),
}
_VARIANT_KEYS: dict[str, tuple[tuple[type, ...], bool]] = {
    "id": ((str,), True),
    "precision": ((str,), True),
    "disk_gb": ((int, float, type(None)), True),
    "loaded_gb": ((int, float), False),
    "block": ((int,), False),
    "min_capability": ((str,), False),
    "gated": ((bool, type(None)), False),
    "community": ((bool,), False),
    "flags": ((dict,), False),
    "env": ((dict,), False),
    "min_engine": ((str,), False),
    "uncertain": ((list,), False),
}
_POSITIVE = {
    "parameters_b",
    "active_b",
    "layers",
    "heads",
    "expert_width",
    "max_context",
    "disk_gb",
    "loaded_gb",
    "block",
    "unread_gb",
}


class _Place:
    """Where in which file something stands, for the message when it is wrong."""

    def __init__(self, source: str, path: str) -> None:
        self.source, self.path = source, path

    def __truediv__(self, key: str) -> _Place:
        return _Place(self.source, f"{self.path}.{key}" if self.path else key)

    def bad(self, why: str, remedy: str) -> Failure:
        return Failure("config", f"{self.source}: {self.path} {why}.", remedy=remedy, field=self.path)


def _checked(data: Any, keys: dict[str, tuple[tuple[type, ...], bool]], place: _Place) -> dict[str, Any]:
    """``data`` when it is a table of ``keys`` with the right types."""
    if not isinstance(data, dict):
        raise place.bad("is not a table", "Write it as a table of keys and values.")
    for key, value in data.items():
        if key not in keys:
            hint = did_you_mean(nearest(key, keys, at_most=1), f"Known keys: {', '.join(keys)}.")
            raise (place / key).bad("is not a known key", hint)
        types = keys[key][0]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            wanted = " or ".join(kind.__name__ for kind in types if kind is not type(None))
            raise (place / key).bad(f"is {value!r}, which is not of type {wanted}", "Correct the value.")
        if key in _POSITIVE and isinstance(value, (int, float)) and value <= 0:
            raise (place / key).bad(f"is {value!r}", "Give a number above 0, or leave the key out.")
    for key, (_types, required) in keys.items():
        if required and key not in data:
            raise (place / key).bad("is missing", f"Add {key}.")
    return data


def _layers(data: Any, place: _Place) -> Layers:
    kinds: dict[str, tuple[tuple[type, ...], bool]] = {"kind": ((str,), True), "layers": ((int,), True)}
    wanted = _LAYER_KEYS.get(str(data.get("kind"))) if isinstance(data, dict) else None
    if wanted is None:
        raise (place / "kind").bad("is not a kind of layers", f"Use one of {', '.join(_LAYER_KEYS)}.")
    checked = _checked(data, {**kinds, **{key: ((int,), True) for key in sorted(wanted)}}, place)
    for key, value in checked.items():
        if key != "kind" and value <= 0:
            raise (place / key).bad(f"is {value!r}", "Give a number above 0.")
    return Layers(**checked)


def _widths(data: list[Any], place: _Place) -> tuple[int, ...]:
    if not all(isinstance(width, int) and not isinstance(width, bool) and width > 0 for width in data):
        raise place.bad(f"is {data!r}", "List whole numbers above 0.")
    return tuple(data)


def _capability(text: str, place: _Place) -> str:
    major, dot, minor = text.partition(".")
    if not (dot and major.isdigit() and minor.isdigit()):
        raise place.bad(f"is {text!r}", 'Write the compute capability like "8.9".')
    return text


def _variant(data: Any, place: _Place) -> Variant:
    checked = dict(_checked(data, _VARIANT_KEYS, place))
    if checked["precision"] not in PRECISIONS:
        raise (place / "precision").bad(f"is {checked['precision']!r}", f"Use one of {', '.join(PRECISIONS)}.")
    _capability(checked.get("min_capability", "7.5"), place / "min_capability")
    checked["uncertain"] = tuple(checked.get("uncertain", ()))
    return Variant(**checked)


def model_from(data: Any, source: str, path: str) -> Model:
    """The model that ``data`` describes; Failure(config) that names source and key for the first thing that is wrong."""
    place = _Place(source, path)
    checked = dict(_checked(data, _MODEL_KEYS, place))
    variants = tuple(_variant(item, place / f"variants[{index}]") for index, item in enumerate(checked.pop("variants")))
    if not variants:
        raise (place / "variants").bad("is empty", "Name at least one repository of weights.")
    groups = checked.pop("attention", None)
    attention = groups and tuple(_layers(item, place / f"attention[{index}]") for index, item in enumerate(groups))
    # The index that sparse attention keeps is one more group of the same layers.
    latent = sum(group.layers for group in attention or () if group.kind == "latent")
    others = sum(group.layers for group in attention or () if group.kind != "latent")
    if max(latent, others) > checked.get("layers", float("inf")):
        raise (place / "attention").bad("has more layers than the model", "Correct layers or attention.")
    if checked.get("fill_in") not in (None, *FILL_IN):
        raise (place / "fill_in").bad(f"is {checked['fill_in']!r}", f"Known ways: {', '.join(FILL_IN)}.")
    if checked.get("active_b", 0) > checked.get("parameters_b", float("inf")):
        raise (place / "active_b").bad("is larger than parameters_b", "Correct one of the two.")
    defaults: dict[str, Any] = {
        "name": checked["id"],
        "hf": variants[0].id,
        "family": "unknown",
        "licence": "unknown",
        "gated": None,
        "parameters_b": None,
        "active_b": None,
        "max_context": None,
    }
    checked["uncertain"] = tuple(checked.get("uncertain", ()))
    checked["dense_widths"] = _widths(checked.get("dense_widths", []), place / "dense_widths")
    return Model(**{**defaults, **checked}, variants=variants, attention=attention or None, source=source)


def _sourced(entry: dict[str, Any], facts: tuple[str, ...], place: _Place) -> tuple[dict[str, Any], dict[str, Source]]:
    """The values of a packaged entry and the sources of its facts; what a source does not vouch for is ``uncertain``."""
    values, sources = dict(entry), {}
    for key in facts:
        if key not in entry:
            continue
        match entry[key]:
            case (value, str(source), str(day)) if source in SOURCES and _DAY.fullmatch(day):
                values[key], sources[key] = value, Source(SOURCES[source][0], day)
            case _:
                raise (place / key).bad("is no value with its source and day", f"Sources: {', '.join(SOURCES)}.")
    values["uncertain"] = [key for key in sources if not SOURCES[entry[key][1]][1]]
    return values, sources


def packaged_model(entry: dict[str, Any], path: str) -> Model:
    """The model of an entry in the form of catalogue_data.py; Failure(config) that names what is wrong in it."""
    place = _Place("packaged", path)
    values, sources = _sourced(entry, MODEL_FACTS, place)
    kept = []
    values["variants"] = []
    for index, one in enumerate(entry["variants"]):
        plain, of_variant = _sourced(one, VARIANT_FACTS, place / f"variants[{index}]")
        values["variants"].append({"disk_gb": None, **plain})
        kept.append(of_variant)
    model = model_from(values, "packaged", path)
    variants = tuple(replace(variant, sources=known) for variant, known in zip(model.variants, kept, strict=True))
    return replace(model, sources=sources, variants=variants)


@cache
def packaged() -> tuple[Model, ...]:
    return tuple(packaged_model(entry, f"models[{index}]") for index, entry in enumerate(MODELS))


def missing_figures(model: Model, variant: Variant) -> list[str]:
    """The fields without which its fit, its speed or its terms are unknown before it has run."""
    found = [name for name in _NEEDED if getattr(model, name) is None or getattr(model, name) == "unknown"]
    return found + ["disk_gb"] * (variant.disk_gb is None)


def user_file() -> Path:
    return config_dir() / "models.toml"


def _table_in(path: Path) -> dict[str, Any]:
    """What the user's own file holds; nothing when there is no such file."""
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            "config",
            f"{path} cannot be read.",
            cause=str(error),
            remedy="Correct its permissions and content.",
            field=str(path),
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise Failure(
            "config", f"{path} is not TOML: {error}.", remedy="Correct that line.", field=str(path)
        ) from error
    place = _Place(str(path), "")
    wrong = next((key for key in content if key not in ("models", "revisions")), None)
    if wrong is not None or not isinstance(content.get("models", []), list):
        raise (place / (wrong or "models")).bad(
            "is not what this file holds", "Begin every model with [[models]], and pinned commits with [revisions]."
        )
    return content


def models_in_file(path: Path) -> tuple[Model, ...]:
    """The models of a user's own file."""
    listed = _table_in(path).get("models", [])
    return tuple(model_from(data, str(path), f"models[{index}]") for index, data in enumerate(listed))


def revisions_in_file(path: Path) -> dict[str, str]:
    """The commits that it pins, by repository."""
    revisions = _table_in(path).get("revisions", {})
    place = _Place(str(path), "revisions")
    if not isinstance(revisions, dict):
        raise place.bad("is not a table", 'Write [revisions], and below it lines such as "org/name" = "<commit>".')
    for name, commit in revisions.items():
        if not isinstance(commit, str) or not is_commit(commit):
            remedy = "Give the 40 hexadecimal digits of a commit: a branch or a tag can move."
            raise (place / name).bad(f"is {commit!r}, which is not a commit", remedy)
    return revisions


def catalogue() -> tuple[Model, ...]:
    """All models; one of the user's file replaces a packaged one of the same id."""
    own = models_in_file(user_file())
    replaced = {model.id for model in own}
    return pinned(own + tuple(model for model in packaged() if model.id not in replaced))


def pinned(models: tuple[Model, ...]) -> tuple[Model, ...]:
    """The same with the commits that the user's file pins."""
    revisions = revisions_in_file(user_file())
    return tuple(replace(model, revisions=revisions) for model in models) if revisions else models


def names(models: Iterable[Model]) -> list[str]:
    """Everything by which a model can be asked for."""
    found = []
    for model in models:
        found += [model.id, *(variant.id for variant in model.variants)]
        if all(variant.id != model.hf for variant in model.variants):
            found.append(model.hf)
    return found


def find(models: Iterable[Model], name: str) -> Selection | None:
    """The model or the variant that ``name`` is, in whatever case; None when the catalogue has none."""
    wanted = name.lower()
    models = tuple(models)
    for model in models:
        if model.id.lower() == wanted:
            return Selection(model)
    for model in models:
        for variant in model.variants:
            if variant.id.lower() == wanted:
                return Selection(model, variant)
    for model in models:
        if model.hf.lower() == wanted:
            # The original weights, which the catalogue lists no size of: 16 bits per parameter.
            size = None if model.parameters_b is None else round(2 * model.parameters_b, 1)
            base = Variant(model.hf, "bf16", size, "8.0", model.gated, uncertain=("disk_gb", "min_capability"))
            return Selection(replace(model, variants=(*model.variants, base)), base)
    return None


def near_names(models: Iterable[Model], name: str) -> list[str]:
    """Names that ``name`` may have been meant to be, the likeliest first."""
    known = names(models)
    by_lower: dict[str, str] = {}
    for text in known:
        by_lower.setdefault(text.lower(), text)
        by_lower.setdefault(text.lower().partition("/")[2] or text.lower(), text)
    wanted = name.lower()
    found = nearest(wanted, by_lower, at_most=6, cutoff=0.55)
    tail = wanted.partition("/")[2]
    if tail:
        found += nearest(tail, by_lower, at_most=6, cutoff=0.55)
    found += [text for text in by_lower if len(wanted) > 3 and wanted in text]
    return list(dict.fromkeys(by_lower[text] for text in found))[:3]


def variant_of(selection: Selection, name: str) -> Selection:
    """``selection`` narrowed to the variant ``name``: its id, the id without organisation, or its precision."""
    if selection.variant is not None and selection.variant.id.lower() == name.lower():
        return selection
    wanted = name.lower()
    model = selection.model
    for variant in model.variants:
        if wanted in (variant.id.lower(), variant.id.lower().partition("/")[2]):
            return _agreeing(selection, variant, name)
    by_precision = [variant for variant in model.variants if wanted == variant.precision]
    if by_precision:
        return _agreeing(selection, by_precision[0], name)
    raise Failure(
        "usage",
        f"{name!r} is not a variant of {model.id}.",
        remedy=f"Its variants: {', '.join(f'{item.id} ({item.precision})' for item in model.variants)}.",
        field="variant",
        value=name,
    )


def _agreeing(selection: Selection, variant: Variant, name: str) -> Selection:
    if selection.variant is not None and selection.variant != variant:
        raise Failure(
            "usage",
            f"variant {name!r} contradicts model {selection.variant.id!r}, which is a variant itself.",
            remedy=f"Leave out one of the two, or use model {selection.model.id}.",
            field="variant",
            value=name,
        )
    return Selection(selection.model, variant)
