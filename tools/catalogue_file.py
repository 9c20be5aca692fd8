"""The packaged catalogue as a file: where its entries begin, and how they are written, one fact on a line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import MODEL_FACTS, VARIANT_FACTS

ROOT = Path(__file__).parents[1]
DATA = ROOT / "collections/ansible_collections/linode_coder/gpu/plugins/module_utils/model/catalogue_data.py"
# All that stands above it is written by people, and left as it is.
_BEGIN = "MODELS: tuple[dict[str, Any], ...] = ("
# The order of an entry's lines.
_MODEL_ORDER = ("id", "name", "family", "hf", *MODEL_FACTS, "multimodal", "fill_in", "flags", "variants")
_VARIANT_ORDER = ("id", "precision", *VARIANT_FACTS, "community", "flags", "env")


def _fact(value: Any) -> str:
    figure, source, day = value
    # A list, of kinds of layers, has a line for each.
    written = "[" + "".join(f"{item!r}," for item in figure) + "]" if isinstance(figure, list) else repr(figure)
    return f"({written}, {source!r}, {day!r})"


def _entry(entry: dict[str, Any], order: tuple[str, ...], facts: tuple[str, ...]) -> str:
    unknown = sorted(set(entry) - set(order))
    if unknown:
        raise ValueError(f"{entry.get('id')} has {', '.join(unknown)}, which no entry has")
    lines = []
    for key in order:
        if key not in entry:
            continue
        value = entry[key]
        if key == "variants":
            written = "[" + "".join(_entry(one, _VARIANT_ORDER, VARIANT_FACTS) + "," for one in value) + "]"
        else:
            written = _fact(value) if key in facts else repr(value)
        lines.append(f"{key!r}: {written},")
    return "{" + "".join(lines) + "}"


def with_models(text: str, models: list[dict[str, Any]]) -> str:
    """The file ``text`` with these entries in place of its own."""
    head, begin, _entries = text.partition(_BEGIN)
    if not begin:
        raise ValueError(f"the file has no line that begins with {_BEGIN}")
    body = "".join(_entry(model, _MODEL_ORDER, MODEL_FACTS) + "," for model in models)
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ruff"), "format", "--stdin-filename", str(DATA), "-"],
        input=f"{head}{begin}{body})\n",
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout
