"""linode-coder wizard: a few questions, and their answers as config.toml."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration, parse_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.context_length import parse_context
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub import hub_lookup
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.request import make_request
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.lease import new_lease, parse_idle

from ..pricing.plans_and_prices import Market, read_market
from ..pricing.proposals import GOALS, Proposal, proposals
from ..settings import config
from ..settings.edit import changed_text, difference
from ..settings.files import toml_path
from ..terminal.console import Console, money
from ..terminal.line import plain
from ..terminal.question import can_ask, confirm, typed_line
from ..terminal.table import Column, table
from ..terminal.width import columns

app = typer.Typer(add_completion=False, rich_markup_mode=None)

T = TypeVar("T")
SHOWN = 8


class Interview:
    """Asks on stderr what no option answered. Without a terminal, or with --yes, the default is taken."""

    def __init__(self, asking: bool) -> None:
        self.asking = asking

    def answer(self, option: str, given: Any, question: str, default: Any, check: Callable[[str], T]) -> T:
        """A checked answer. A bad one is asked for again, a bad option is refused."""
        if given is not None:
            return self._checked(option, given, check)
        while self.asking:
            print(f"{question} [{default}] ", end="", file=sys.stderr, flush=True)
            line = typed_line()
            if not line:
                raise Failure("refused", "The answers ended early, so nothing was written.", remedy="Run it again.")
            try:
                return self._checked(option, line.strip() or default, check)
            except Failure as failure:
                print(f"{failure.message} {failure.remedy or ''}", file=sys.stderr)
        return check(str(default))

    @staticmethod
    def _checked(option: str, value: Any, check: Callable[[str], T]) -> T:
        try:
            return check(str(value))
        except config.WrongValue as wrong:
            raise Failure(
                "usage",
                f"{option} {value!r} is not {wrong}.",
                remedy="Correct it.",
                field=option,
                value=value,
            ) from wrong


def _goal(text: str) -> str:
    close = [goal for goal in GOALS if goal.startswith(text.lower())] if text else []
    if len(close) != 1:
        raise config.WrongValue(f"one of {', '.join(GOALS)}")
    return close[0]


def _money(text: str) -> float | None:
    return None if text.lower() in ("none", "no", "off") else config.BY_KEY["max_cost"].parse(text)


def _clocks(lease: str | None, idle: str | None) -> Callable[[str], tuple[str, str]]:
    def check(text: str) -> tuple[str, str]:
        words = text.replace(",", " ").split()
        if not 1 <= len(words) <= 2:
            raise config.WrongValue("a lease and an idle limit, for example: 8h 45m")
        chosen = (lease or words[0], idle or (words[1] if len(words) == 2 else config.BY_KEY["idle"].default))
        new_lease(0, chosen[0], _cap(chosen[0]))
        parse_idle(chosen[1])
        return chosen

    return check


def _cap(lease: str) -> str:
    """The configured cap, or as much more as the lease needs."""
    configured = str(config.read().values["cap"])
    return configured if parse_duration(configured, "cap") >= parse_duration(lease, "lease") else lease


def _region(market: Market) -> Callable[[str], str | None]:
    def check(text: str) -> str | None:
        if text.lower() in ("any", "all", ""):
            return None
        region = config.BY_KEY["region"].parse(text)
        if market.prices:
            for name in region:
                read_market(Console(as_json=False), name)
        return ",".join(region)

    return check


def _show(found: list[Proposal], market: Market) -> None:
    heads = [Column(""), Column("MODEL"), Column("PLAN", 1), Column("CONTEXT", 3), Column("TOKENS/S", 2), Column("$/H")]
    rows = []
    for number, one in enumerate(found, 1):
        speed = f"{one.tokens_per_second:.0f}" if one.tokens_per_second else "?"
        rows.append(
            [str(number), one.name, one.plan, str(one.context or "?"), speed, money(one.hourly) if one.hourly else "-"]
        )
    for line in table(heads, rows, columns(sys.stderr)).lines:
        print(plain(line), file=sys.stderr)
    if not market.prices:
        print(f"{market.note} The order is by size.", file=sys.stderr)


def _model(found: list[Proposal]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text.isascii() and text.isdigit() and 1 <= int(text) <= len(found):
            return found[int(text) - 1].model
        make_request(hub_lookup, text)
        return text

    return check


@app.command()
def wizard(
    goal: Annotated[str | None, typer.Option(help="completion, chat or agent.")] = None,
    region: Annotated[str | None, typer.Option(help="Region to try first, or any.")] = None,
    lease: Annotated[str | None, typer.Option(help="How long a session may live.")] = None,
    idle: Annotated[str | None, typer.Option(help="Idle limit, or off.")] = None,
    max_cost: Annotated[str | None, typer.Option(help="Dollars that one session may cost, or none.")] = None,
    model: Annotated[str | None, typer.Option(help="Model of `linode-coder models`, or organisation/name.")] = None,
    context: Annotated[str | None, typer.Option(help="Context length in tokens, e.g. 32k.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; defaults where no option says else.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Ask for goal, region, clocks, budget, model and context, show what changes, and write config.toml."""
    console = Console(as_json)
    if not yes and not can_ask():
        raise Failure(
            "usage",
            "There is no terminal to ask on.",
            remedy="Give the answers as options: linode-coder wizard --goal agent --region us-ord --yes",
            field="yes",
        )
    ask = Interview(asking=not yes)
    path = toml_path()
    changed_text(path, {})  # a broken file is refused before the first question
    now = config.read().values
    chosen_goal = ask.answer("goal", goal, f"What will you use it for ({', '.join(GOALS)})?", "chat", _goal)
    market = read_market(console)
    configured = ",".join(now["region"]) or "any"
    chosen_region = ask.answer("region", region, "In which region (any: the cheapest)?", configured, _region(market))
    if chosen_region and market.prices:
        market = read_market(console, chosen_region.partition(",")[0])
    clocks = f"{lease} {idle}" if lease and idle else None
    default_clocks = f"{lease or now['lease']} {idle or now['idle']}"
    chosen_lease, chosen_idle = ask.answer(
        "lease", clocks, "How long may a session live, and how long idle?", default_clocks, _clocks(lease, idle)
    )
    limit = ask.answer("max_cost", max_cost, "Dollars that one session may cost?", now["max_cost"] or "none", _money)
    wanted = parse_context(context) or GOALS[chosen_goal]
    found = proposals(market, wanted, chosen_lease, limit, chosen_goal == "agent")[:SHOWN]
    if not found and model is None:
        span = format_duration(parse_duration(chosen_lease, "lease"))
        money_left = "the plans" if limit is None else f"${limit:.2f} for {span}"
        raise Failure(
            "refused",
            f"No model of the catalogue with a context of {wanted} tokens fits {money_left}.",
            remedy="Allow more, a shorter lease or a shorter context, or name a model.",
            field="max_cost",
        )
    if ask.asking and model is None:
        _show(found, market)
    chosen_model = ask.answer("model", model, "Which model (number or name)?", 1, _model(found))
    make_request(hub_lookup, chosen_model, None, wanted)
    chosen_context = ask.answer("context", context, "Context in tokens?", wanted, config.BY_KEY["context"].parse)
    make_request(hub_lookup, chosen_model, None, chosen_context)
    picked = next((one for one in found if one.model == chosen_model), None)
    answers: dict[str, Any] = {
        "model": chosen_model,
        "context": chosen_context,
        "plan": [picked.plan] if picked else None,
        "region": chosen_region.split(",") if chosen_region else None,
        "lease": chosen_lease,
        "cap": _cap(chosen_lease) if _cap(chosen_lease) != config.BY_KEY["cap"].default else None,
        "idle": chosen_idle,
        "max_cost": limit,
    }
    _write(console, answers, ask.asking)


def _write(console: Console, answers: dict[str, Any], asking: bool) -> None:
    path = toml_path()
    before, after = changed_text(path, answers)
    lines = difference(path, before, after)
    for line in lines:
        console.text(line)
    if lines and asking:
        confirm("Write it?", "linode-coder wizard")
    if lines:
        replace_file(path, after, parents=True)
    console.text(f"Written to {path}." if lines else f"{path} says this already.")
    console.text("Check it: linode-coder validate. Begin: linode-coder up NAME")
    if console.as_json:
        settings = {key: value for key, value in answers.items() if value is not None}
        console.result({"command": "wizard", "path": str(path), "changed": bool(lines), "settings": settings})
