# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fit lets start, the stand-in of the engine starts, and what it refuses for memory, the stand-in refuses too.

Every model of the catalogue on every kind of plan. The stand-in has arithmetic of its own, and one overhead for all cards.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import Plan, known_plans
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import packaged
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.choice import Engine, on_plan
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.engine_flags import engine_flags

from linode_coder.sandbox.guest.engine import args, memory
from linode_coder.sandbox.hosts.gpus import describe
from linode_coder.sandbox.hosts.models import listed_models

# GiB per GPU by which the two may differ: the overhead of larger cards, images, several GPUs, and what CUDA takes of a card.
CLOSE_GIB = 1.5
# One plan for every number of every card.
PLANS = {(plan.card, plan.gpus): plan for plan in reversed(known_plans())}.values()


@pytest.fixture(autouse=True, scope="module")
def known_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a host of the sandbox is told of the catalogue."""
    known = tmp_path_factory.mktemp("standin") / "models.json"
    known.write_text(json.dumps(listed_models()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SANDBOX_MODELS", str(known))
        # The parser is the same for every command line, and takes longest of all.
        patch.setattr(args, "make_parser", functools.cache(args.make_parser))
        yield


def command_line(engine: Engine, context: int | None) -> list[str]:
    words = [engine.variant.id]
    flags = engine_flags(engine.model, engine.variant, engine.plan.card, engine.tensor_parallel, context)
    for name, value in flags.items():
        if value is not False:
            words += [f"--{name}", *([] if value is True else map(str, value if isinstance(value, list) else [value]))]
    return words


def room(engine: Engine, context: int | None = None) -> memory.Room:
    card = describe(engine.plan.id, engine.plan.gpus, "host")["gpus"][0]
    options = args.parse(command_line(engine, context))
    model = memory.model_of(engine.variant.id)
    assert model is not None
    return memory.room_for(model, options, card["memory_mib"] / 1024)


def starts(found: memory.Room) -> bool:
    """As the stand-in decides: weights, then room, then the context."""
    return found.weights <= found.total - 0.5 and found.cache > 0 and found.context > 0 and found.needed <= found.cache


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.id)
def test_the_standin_agrees_with_the_fit(plan: Plan) -> None:
    admitted = refused = 0
    for model in packaged():
        for variant in model.variants:
            engine = on_plan(model, variant, plan)
            assert engine.fit is not None and plan.card is not None
            fit, found = engine.fit, room(engine)
            if variant.precision == "mxfp4":
                too_old = memory.needs_newer_card(variant.id, plan.card.compute_capability)
                assert too_old == ("compute capability" in (fit.why or "")), variant.id
            if fit.fits is not False:
                admitted += 1
                assert starts(found), (variant.id, fit, found)
                # The longest context that is promised is one that it takes.
                if fit.max_context is not None:
                    assert starts(room(engine, fit.max_context)), (variant.id, fit.max_context)
            elif fit.kv_gib is not None and fit.kv_gib < -CLOSE_GIB:
                refused += 1
                assert not starts(found), (variant.id, fit, found)
    assert admitted > 5
    # Two large cards hold all that is listed.
    assert refused > 3 or (plan.card is not None and plan.gpus * plan.card.cuda_gib > 150)
