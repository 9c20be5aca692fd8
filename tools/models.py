"""`make models`: re-reads what the Hub says of every repository of the packaged catalogue, for a person to review.

Shows what differs and the change as a diff, and writes it only with --write. What a person entered (source ``person``) stays;
what makes no sense is refused; what the Hub only confirms gets it as its source. Nothing is asked but the Hub of HF_ENDPOINT.
"""

from __future__ import annotations

import argparse
import copy
import difflib
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import (
    Model,
    missing_figures,
    packaged_model,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue_data import MODELS
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub import hub_lookup

from tools.catalogue_file import DATA, with_models

Entry = dict[str, Any]
Verdict = Literal["new", "changed", "confirmed", "kept", "refused"]
# Of the repository of the model itself, and of that of each variant.
_OF_MODEL = ("licence", "gated", "layers", "heads", "attention", "expert_width", "dense_widths", "max_context")
# The Hub counts what is stored, a recipe what the publisher says: only where nobody said it.
_IF_UNKNOWN = ("parameters_b", "active_b")
# Bytes for each parameter that weights of a precision take; what lies outside is another model, or half of one.
_BYTES = {"bf16": (1.7, 2.6), "fp16": (1.7, 2.6), "fp8": (0.8, 1.6), "int8": (0.8, 1.6)}
_FOUR_BIT = (0.35, 1.3)
_LIMITS = {
    "layers": (1, 512),
    "heads": (1, 1024),
    "max_context": (1024, 2**25),
    "disk_gb": (0.1, 4000.0),
    "block": (16, 1024),
}
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{1,39}", re.ASCII)
# Sizes this close are the same: one counts the tokenizer's files, the other does not.
_SAME = 0.005


@dataclass(frozen=True)
class Change:
    """What the Hub says of one figure. ``place`` is model.field or repository.field; ``why`` explains what is not taken."""

    place: str
    verdict: Verdict
    old: Any
    new: Any
    why: str = ""

    def __str__(self) -> str:
        old = "unknown" if self.old is None else repr(self.old)
        said = {
            "new": f"is {self.new!r}, and was unknown",
            "changed": f"is {self.new!r}, and was {old}",
            "confirmed": f"is {self.new!r}, as it was",
            "kept": f"stays {old}, as a person entered it; the Hub says {self.new!r}",
            "refused": f"stays {old}; the Hub says {self.new!r}: {self.why}",
        }[self.verdict]
        return f"{self.verdict:9}  {self.place}  {said}"


def _senseless(field: str, value: Any, entry: Entry, precision: str | None = None) -> str | None:
    """Why ``value`` cannot be that figure of the entry; None when it can."""
    if field in _LIMITS:
        low, high = _LIMITS[field]
        if not low <= value <= high:
            return f"it is not within {low} to {high}"
    if field == "licence" and not _LICENCE.fullmatch(value):
        return "it is not the name of a licence"
    if field == "disk_gb" and "parameters_b" in entry:
        each = value / entry["parameters_b"][0]
        low, high = _BYTES.get(precision or "", _FOUR_BIT)
        if not low <= each <= high:
            return f"that is {each:.2f} bytes for each parameter, and {precision} takes {low} to {high}"
    if field == "attention":
        if any(group.get("kv_heads", 0) > entry.get("heads", (1024,))[0] for group in value):
            return "it has more KV heads than heads"
        if _has_index(entry.get(field, ([],))[0]) and not _has_index(value):
            return "it leaves out the index that sparse attention keeps"
    return None


def _has_index(attention: list[dict[str, Any]]) -> bool:
    kinds = {group["kind"] for group in attention}
    return "latent" in kinds and len(kinds) > 1


def _same(old: Any, new: Any) -> bool:
    """Whether two figures are one: sizes with a little room, kinds of layers in whatever order."""
    if isinstance(new, float) and isinstance(old, int | float):
        return abs(new - old) <= _SAME * new
    if isinstance(new, list) and isinstance(old, list) and all(isinstance(one, dict) for one in (*old, *new)):
        return sorted(map(repr, map(sorted, map(dict.items, old)))) == sorted(
            map(repr, map(sorted, map(dict.items, new)))
        )
    return bool(old == new)


def _verdict(place: str, fact: Any, new: Any, why: str | None) -> Change | None:
    """What becomes of the figure ``fact`` when the Hub says ``new``; None when nothing does."""
    old, source = (fact[0], fact[1]) if fact else (None, None)
    if fact and _same(old, new):
        return None if source in ("hub", "person") else Change(place, "confirmed", old, old)
    if source == "person":
        return Change(place, "kept", old, new)
    if why:
        return Change(place, "refused", old, new, why)
    return Change(place, "changed" if fact else "new", old, new)


def _said_of_model(said: Model) -> Iterator[tuple[str, Any]]:
    """The figures of a model that its repository tells, as the file has them."""
    # Of packed weights the number of parameters is reckoned from their size, which is no reading.
    counted = _IF_UNKNOWN if said.variants[0].precision in ("bf16", "fp16") else ()
    for field in (*_OF_MODEL, *counted):
        value = getattr(said, field)
        if field == "attention" and value is not None:
            value = [{key: figure for key, figure in asdict(group).items() if figure} for group in value]
        elif field == "dense_widths":
            value = list(value) or None
        # The Hub calls a licence of the publisher's own "other".
        if value is not None and value not in ("unknown", "other"):
            yield field, value


def compare(entry: Entry, said: dict[str, Model]) -> list[Change]:
    """What the answers of the Hub, by repository, change in an entry of the catalogue."""
    found = []
    whole = said.get(entry["hf"]) or next((said[one["id"]] for one in entry["variants"] if one["id"] in said), None)
    if whole is not None:
        for field, value in _said_of_model(whole):
            if field in _IF_UNKNOWN and field in entry:
                continue
            found.append(_verdict(f"{entry['id']}.{field}", entry.get(field), value, _senseless(field, value, entry)))
    for variant in entry["variants"]:
        answer = said.get(variant["id"])
        if answer is None:
            continue
        (stored,) = answer.variants
        if stored.precision not in ("unknown", "mixed", variant["precision"]):
            why = f"the weights are {stored.precision}, and the entry says {variant['precision']}"
            found.append(Change(f"{variant['id']}.precision", "refused", variant["precision"], stored.precision, why))
            continue
        for field in ("disk_gb", "block"):
            value = getattr(stored, field)
            if value is not None:
                why_not = _senseless(field, value, entry, variant["precision"])
                found.append(_verdict(f"{variant['id']}.{field}", variant.get(field), value, why_not))
    return [change for change in found if change is not None]


def applied(entry: Entry, changes: Sequence[Change], day: str) -> Entry:
    """The entry with the changes that are taken; the Hub is then the source of each. Failure when it makes no sense."""
    new = copy.deepcopy(entry)
    for change in changes:
        if change.verdict in ("kept", "refused"):
            continue
        place, _dot, field = change.place.rpartition(".")
        part = next((one for one in new["variants"] if one["id"] == place), new)
        part[field] = (change.new, "hub", day)
    packaged_model(new, entry["id"])
    return new


def _repositories(entry: Entry) -> list[str]:
    return list(dict.fromkeys([entry["hf"], *(one["id"] for one in entry["variants"])]))


def ask(entry: Entry, lookup: Callable[[str], Model]) -> tuple[dict[str, Model], list[str]]:
    """What the Hub says of the repositories of an entry, and what it does not."""
    said, problems = {}, []
    for name in _repositories(entry):
        try:
            model = lookup(name)
        except Failure as failure:
            problems.append(f"{name}: {failure.message}")
            continue
        if model.source == "hub":
            said[name] = model
        else:
            problems.append(f"{name}: {' '.join(model.notes)}")
    return said, problems


def refresh(
    entries: Sequence[Entry], lookup: Callable[[str], Model], day: str
) -> tuple[list[Entry], list[Change], list[str]]:
    """The entries as the Hub has them, what changed in them, and what could not be read or makes no sense."""
    fresh, changes, problems = [], [], []
    for entry in entries:
        said, silent = ask(entry, lookup)
        problems += silent
        found = compare(entry, said)
        try:
            fresh.append(applied(entry, found, day))
        except Failure as failure:
            problems.append(f"{entry['id']} stays as it is: {failure.message}")
            fresh.append(entry)
            continue
        changes += found
    return fresh, changes, problems


def gaps(entries: Sequence[Entry]) -> list[str]:
    """What is still unknown of each model, and of each of its variants."""
    found = []
    for entry in entries:
        model = packaged_model(entry, entry["id"])
        names = dict.fromkeys(name for variant in model.variants for name in missing_figures(model, variant))
        if names:
            found.append(f"{model.id}: {', '.join(names)}")
    return found


def _plain(text: str) -> str:
    """Without what would move a cursor: a name or a reason can come from the Hub."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def main(arguments: Sequence[str] | None = None, data: Path = DATA, entries: Sequence[Entry] = MODELS) -> int:
    parser = argparse.ArgumentParser(prog="make models", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the change into the catalogue")
    parser.add_argument("--model", action="append", default=[], metavar="ID", help="only this entry (repeatable)")
    options = parser.parse_args(arguments)
    known = [entry["id"] for entry in entries]
    if unknown := [name for name in options.model if name not in known]:
        parser.error(f"{unknown[0]} is no entry of the catalogue; there are {', '.join(known)}")
    wanted = [entry for entry in entries if not options.model or entry["id"] in options.model]
    # Neither the user's own models nor what this machine was told before.
    with tempfile.TemporaryDirectory() as home, patch.dict(os.environ, LINODE_CODER_HOME=home):
        fresh, changes, problems = refresh(wanted, hub_lookup, time.strftime("%Y-%m-%d", time.gmtime()))
    by_id = {entry["id"]: entry for entry in fresh}
    text = data.read_text()
    written = with_models(text, [by_id.get(entry["id"], entry) for entry in entries])
    for line in difflib.unified_diff(text.splitlines(), written.splitlines(), data.name, data.name, lineterm=""):
        print(line)
    for change in sorted(changes, key=lambda one: one.verdict):
        if change.verdict != "confirmed":
            print(change)
    for problem in problems:
        print(f"problem    {_plain(problem)}")
    for gap in gaps(fresh):
        print(f"unknown    {gap}")
    count = sum(change.verdict == "confirmed" for change in changes)
    print(f"{count} figures confirmed, {sum(one.verdict in ('new', 'changed') for one in changes)} new or changed.")
    if written != text and options.write:
        data.write_text(written)
        print(f"Written: {data}. Next: make install, python -m tools.models_page, and the tests of tests/unit/model.")
    elif written != text:
        print("Nothing is written: make models WRITE=1 does that, once you have read the above.")
    return 1 if problems or any(change.verdict == "refused" for change in changes) else 0


if __name__ == "__main__":
    sys.exit(main())
