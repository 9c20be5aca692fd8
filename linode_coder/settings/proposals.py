"""What the wizard proposes, and how its answers get into config.toml. The questions themselves are in the command."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import cost
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import parse_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import Selection, catalogue
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.engine_choice import best_on_plan, default_model
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.view import by_price

from .plans_and_prices import Market

# What people do with it, and the context that this takes: a completion sees a file or two, an agent a session's history.
GOALS = {"completion": 16384, "chat": 32768, "agent": 65536}


@dataclass(frozen=True)
class Proposal:
    """A model on the cheapest plan that serves it. ``hourly`` is None when prices are not known."""

    model: str
    name: str
    variant: str
    plan: str
    context: int | None
    tokens_per_second: float | None
    hourly: float | None


def proposals(market: Market, context: int, lease: str, max_cost: float | None, agent: bool) -> list[Proposal]:
    """What fits the context and the money, the cheapest first; at the same price the plan's own default, then the quickest."""
    seconds = parse_duration(lease, "lease")
    found = []
    for model in catalogue():
        if model.source == "sandbox" or (agent and not model.tool_parser):
            continue
        for plan in by_price(market.plans, market.prices):
            hourly = market.prices.get(plan.id)
            total = cost(0, seconds, hourly)
            if market.prices and (total is None or (max_cost is not None and total > max_cost)):
                continue
            engine = best_on_plan(Selection(model), plan, context)
            startable = engine.problem is None and engine.model.code_problem(engine.variant) is None
            if startable and engine.fit is not None and engine.fit.fits and plan.advised:
                found.append(
                    Proposal(
                        model.id,
                        model.name,
                        engine.variant.id,
                        plan.id,
                        engine.fit.max_context,
                        engine.fit.decode_tps,
                        hourly,
                    )
                )
                break
    order = {plan.id: number for number, plan in enumerate(by_price(market.plans, market.prices))}

    def rank(one: Proposal) -> tuple[float, bool, int, float]:
        own = default_model(one.plan) in (one.model, one.variant)
        return (one.hourly or 0.0, not own, order[one.plan], -(one.tokens_per_second or 0.0))

    return sorted(found, key=rank)


def changed_text(path: Path, answers: dict[str, Any]) -> tuple[str, str]:
    """The file's text before and after. Comments and whatever else is in it stay; an answer of None removes its key."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    before = path.read_text(encoding="utf-8") if path.exists() else ""
    try:
        document = tomlkit.parse(before)
    except TOMLKitError as error:
        raise Failure(
            "config",
            f"{path} is not TOML, so it is not changed.",
            cause=str(error),
            remedy="Name its errors: linode-coder config validate",
        ) from error
    for key, value in answers.items():
        if value is None:
            document.pop(key, None)
        elif document.get(key) != value:
            document[key] = value
    return before, tomlkit.dumps(document)


def difference(path: Path, before: str, after: str) -> list[str]:
    """Unified, without the secrets that the file may hold."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), str(path), str(path), lineterm="", n=1)
    return [f"{line.partition('=')[0]}= ********" if "token" in line.partition("=")[0] else line for line in lines]


def write_atomically(path: Path, text: str) -> None:
    """The whole file or none of it, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - a mode is needed
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
