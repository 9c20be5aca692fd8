# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which variant of a model serves on a plan, with which flags, or why none does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..linode.gpu_plans import Plan
from .catalogue import SANDBOX_ORGANISATION, Model, Selection, Variant
from .catalogue_data import PLAN_DEFAULTS
from .engine_flags import CUDA_VERSION, MIN_DRIVER, engine_environment, engine_flags, utilization_of
from .measured_fits import key_of
from .memory_fit import Fit, fit, kv_dtype_of
from .sharding import spread_of, tensor_parallel_problem

# Beside the weights: system, driver, engine image and its caches, with room to fetch a second model.
DISK_RESERVE_GB = 60
# From here on a longer context is no reason to prefer a slower variant.
_AMPLE_CONTEXT = 65536


@dataclass(frozen=True)
class Engine:
    """What would run on a plan. ``fit`` is None when the plan's card is unknown."""

    model: Model
    variant: Variant
    plan: Plan
    tensor_parallel: int
    context: int | None
    fit: Fit | None
    problem: str | None  # why it would not run; None: nothing is known against it
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.id,
            "name": self.model.name,
            "variant": self.variant.id,
            "precision": self.variant.precision,
            "plan": self.plan.id,
            "tensor_parallel": self.tensor_parallel,
            "flags": engine_flags(self.model, self.variant, self.plan.card, self.tensor_parallel, self.context),
            "environment": engine_environment(self.variant),
            "fit": self.fit.as_dict() if self.fit else None,
            "problem": self.problem,
            "notes": list(self.notes),
            "disk_gb": self.variant.disk_gb,
            "min_driver": MIN_DRIVER,
            "cuda": CUDA_VERSION,
            "asked": {"context": self.context},
        }


def default_model(plan_id: str) -> str | None:
    """What is served on the plan when nobody names a model."""
    return next((variant for part, variant in PLAN_DEFAULTS if plan_id.startswith(part)), None)


def _when_unknown(context: int | None) -> str:
    """What happens when a model is started of which too little is known."""
    takes = f"asks for a context of {context} tokens" if context else "takes the longest context that fits"
    return (
        f"The engine {takes} when it starts; if that is too much, `up` fails, and the VM stays and bills until `down`."
    )


def on_plan(
    model: Model, variant: Variant, plan: Plan, context: int | None = None, tensor_parallel: int | None = None
) -> Engine:
    """The engine that serves ``variant`` on ``plan``, with what speaks against it."""
    sandbox = variant.id.startswith(SANDBOX_ORGANISATION)
    spread = tensor_parallel or (1 if sandbox else spread_of(plan.gpus, model, variant))
    notes = list(model.notes)
    result = None
    problem = None
    if plan.card:
        result = fit(
            model,
            variant,
            plan.card,
            plan.gpus,
            context,
            tensor_parallel=spread,
            utilization=utilization_of(model, variant),
            measured=plan.measured.get(key_of(variant.id, spread, kv_dtype_of(plan.card))),
        )
        if result.fits is False:
            problem = result.why
        elif result.fits is None and result.why and not sandbox:
            notes.append(f"{result.why} {_when_unknown(context)}")
        if not plan.card.bf16 and variant.precision in ("fp8", "nvfp4"):
            notes.append(f"{variant.precision} on the {plan.card.name} saves memory only, and nobody has verified it.")
    else:
        notes.append(f"The card of {plan.id} is unknown to this version, so whether the model fits is unknown.")
    if problem is None and plan.disk_mb is not None and variant.disk_gb is not None:
        disk_gb = plan.disk_mb * 2**20 / 1e9
        if disk_gb < variant.disk_gb + DISK_RESERVE_GB:
            problem = (
                f"The weights of {variant.id} take {variant.disk_gb:.0f} GB and the system {DISK_RESERVE_GB} GB, and the "
                f"disk of {plan.id} has {disk_gb:.0f} GB."
            )
    if spread < plan.gpus and not sandbox:
        why = tensor_parallel_problem(2 * spread, plan.gpus, model, variant) if 2 * spread <= plan.gpus else None
        notes.append(
            f"It uses {spread} of the {plan.gpus} GPUs: " + (why or f"the model cannot be spread over {plan.gpus}.")
        )
    if not plan.advised:
        notes.append(f"{plan.id} has {plan.vcpus} vCPUs, fewer than the engine's advice of {2 * (2 + plan.gpus)}.")
    if model.runs_code(variant):
        unpinned = model.code_problem(variant)
        at = f"{model.id} runs program code from its repository, at commit {model.revision_of(variant)}."
        notes.append(f"{unpinned} Until one is, it is not started." if unpinned else at)
    return Engine(model, variant, plan, spread, context, result, problem, tuple(notes))


def _rank(engine: Engine) -> tuple[Any, ...]:
    found = engine.fit
    turing = engine.plan.card is not None and not engine.plan.card.bf16
    context = min((found.max_context or 0) if found else 0, _AMPLE_CONTEXT)
    return (
        engine.problem is None,
        found is not None and found.fits is True,
        not (turing and engine.variant.precision in ("fp8", "nvfp4")),
        context,
        # What does not fit is explained by the smallest of them.
        (found.decode_tps or 0.0) if found and engine.problem is None else -(engine.variant.disk_gb or 0.0),
    )


def best_on_plan(
    selection: Selection, plan: Plan, context: int | None = None, tensor_parallel: int | None = None
) -> Engine:
    """The variant that was named, or the one that serves best: known to run there, with ample context, then quickest."""
    variants = [selection.variant] if selection.variant else selection.model.unasked
    engines = [on_plan(selection.model, variant, plan, context, tensor_parallel) for variant in variants]
    return max(engines, key=_rank)
