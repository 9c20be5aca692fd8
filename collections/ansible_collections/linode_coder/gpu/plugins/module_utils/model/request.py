# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody asks to be served: which model, which variant, how much context, over how many GPUs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..core.did_you_mean import did_you_mean
from ..core.failure import Failure
from .catalogue import (
    SANDBOX_ORGANISATION,
    Model,
    Selection,
    Variant,
    catalogue,
    find,
    near_names,
    pinned,
    user_file,
    variant_of,
)
from .catalogue_data import DEFAULT_MODEL
from .context_length import parse_context
from .reference import Reference, parse_reference
from .served_names import parse_aliases
from .sharding import tensor_parallel_problem
from .traces import parse_traces

_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)

# Answers what is known of a repository that the catalogue does not list; Failure when it cannot be served.
Lookup = Callable[[str], Model]


@dataclass(frozen=True)
class Request:
    """``selection`` is None when nothing was named: then the plan decides. ``aliases`` are None when none were asked for."""

    selection: Selection | None
    context: int | None = None
    tensor_parallel: int | None = None
    aliases: tuple[str, ...] | None = None
    traces: str | None = None


def validate_model_name(text: str) -> Reference:
    """What the text names; Failure(usage) for what can be no model."""
    if len(text) <= 300 and text.isprintable() and text.strip() == text and " " not in text:
        named = parse_reference(text)
        if named.name and len(named.name) <= 96:
            return named
    raise Failure(
        "usage",
        f"model {text!r} is not a model id.",
        remedy=f"Use an id of the form organisation/name, for example {DEFAULT_MODEL}, or one of: linode-coder models",
        field="model",
        value=text,
    )


def unlisted(name: str) -> Model:
    """A model of which nothing but the name is known."""
    sandbox = name.startswith(SANDBOX_ORGANISATION)
    return Model(
        id=name,
        name=name,
        hf=name,
        family="sandbox" if sandbox else "unknown",
        licence="none" if sandbox else "unknown",
        gated=False if sandbox else None,
        parameters_b=None,
        active_b=None,
        max_context=None,
        variants=(Variant(name, "unknown", None),),
        tool_parser="hermes" if sandbox else None,
        source="sandbox" if sandbox else "unknown",
    )


def unknown_model(name: str, text: str) -> Failure:
    """``name`` is what is compared with the known ones, ``text`` what was asked for."""
    hint = did_you_mean(near_names(catalogue(), name), "See what there is: linode-coder models")
    return Failure("usage", f"model {text!r} is not known.", remedy=hint, field="model", value=text)


def resolve(text: str, lookup: Lookup) -> Selection:
    """The model of that name from the catalogue, or from wherever ``lookup`` looks."""
    named = validate_model_name(text)
    name = named.name
    found = find(catalogue(), name)
    if found is not None and named.variant is not None:
        # Whoever names the base model and a precision wants that of the model, not of the base's own repository.
        whole = found if found.variant is None or found.variant.id != found.model.hf else Selection(found.model)
        return variant_of(whole, named.variant)
    if found is not None:
        return found
    if named.variant is not None and _ID.fullmatch(name):
        raise Failure(
            "usage",
            f"model {text!r} names a part of a repository ({named.variant}), and the engine loads whole ones.",
            remedy=f"Use --model {name}, or the repository that holds the model as {named.variant}.",
            field="model",
            value=text,
        )
    if not _ID.fullmatch(name):
        # Other programs separate size and name with a colon: gpt-oss:20b.
        raise unknown_model(f"{name}-{named.variant}" if named.variant else name, text)
    (model,) = pinned((unlisted(name) if name.startswith(SANDBOX_ORGANISATION) else lookup(name),))
    return Selection(model, model.variants[0])


def make_request(
    lookup: Lookup,
    model: str | None = None,
    variant: str | None = None,
    context: str | int | None = None,
    tensor_parallel: int | None = None,
    aliases: Iterable[Any] | None = None,
    traces: str | None = None,
) -> Request:
    """The request, checked as far as that needs no plan."""
    selection = resolve(model, lookup) if model else None
    if variant:
        selection = variant_of(selection, variant) if selection else resolve(variant, lookup)
        if selection.variant is None:
            raise Failure(
                "usage",
                f"variant {variant!r} is a model with several variants.",
                remedy=f"Use --model {variant}, or one of {', '.join(item.id for item in selection.model.variants)}.",
                field="variant",
                value=variant,
            )
    tokens = parse_context(context)
    limit = selection.model.max_context if selection else None
    if selection and tokens is not None and limit is not None and tokens > limit:
        raise Failure(
            "usage",
            f"context {tokens} is more than {selection.model.id} has, which is {limit} tokens.",
            remedy=f"Ask for --context {limit} or less, or choose another model: linode-coder models",
            field="context",
            value=tokens,
        )
    if tensor_parallel is not None:
        chosen = selection.model if selection else None
        problem = (
            tensor_parallel_problem(tensor_parallel, tensor_parallel, chosen, selection.variant if selection else None)
            if chosen
            else None
            if tensor_parallel > 0
            else f"Tensor parallel of {tensor_parallel} is less than one GPU."
        )
        if problem:
            raise Failure(
                "usage",
                problem,
                remedy="Use 1, 2 or 4, or leave it out to have it chosen.",
                field="tensor_parallel",
                value=tensor_parallel,
            )
    return Request(selection, tokens, tensor_parallel, parse_aliases(aliases), parse_traces(traces))


def check_access(model: Model, variant: Variant, has_token: bool) -> None:
    """Failure when the weights are known to need a token and there is none."""
    if model.gated_for(variant) and not has_token:
        raise Failure(
            "config",
            f"{variant.id} is gated, and there is no Hugging Face token.",
            remedy=f"Accept its licence at https://huggingface.co/{variant.id}, then export HF_TOKEN.",
            field="hf_token",
        )


def check_code(model: Model, variant: Variant) -> None:
    """Failure when the engine would run program code that nobody has read."""
    problem = model.code_problem(variant)
    if problem:
        raise Failure(
            "refused",
            problem,
            remedy=f"Read its code at https://huggingface.co/{variant.id}/commits/main and write the commit that you trust into "
            f'{user_file()}: [revisions] and below it "{variant.id}" = "<40 hexadecimal digits>".',
            field="revision",
            value=model.revision_of(variant),
        )
