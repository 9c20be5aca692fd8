"""The tables of docs/models.md, made from the catalogue and from published starts: `python -m tools.models_page` writes them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import known_plans
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import Model, Selection, find, packaged
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue_data import SOURCES
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.choice import best_on_plan, default_model
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.view import by_price, first_that_fits

from linode_coder.cli.models import licence, parameters, sized, tokens
from tests.published_starts import STARTS, UNKNOWN, errors_of

PAGE = Path(__file__).parents[1] / "collections/ansible_collections/linode_coder/gpu/docs/models.md"
BEGIN, END = "<!-- {} begin -->", "<!-- {} end -->"


def _table(rows: list[list[str]]) -> str:
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def _where(model: Model) -> str:
    engine = first_that_fits(Selection(model), by_price(known_plans(), {}))
    if engine is None or engine.fit is None:
        return "no plan"
    speed = f"{engine.fit.decode_tps:.0f} tokens/s" if engine.fit.decode_tps else "speed unknown"
    return f"`{engine.plan.id}`, {tokens(engine.fit.max_context)}, {speed}"


def models_table() -> str:
    rows = [["model", "licence", "parameters", "context", "parsers", "variants", "smallest plan, context there, speed"]]
    for model in packaged():
        variants = "<br>".join(
            f"`{variant.id}` {variant.precision}, {sized(variant.disk_gb, 'disk_gb' in variant.uncertain)}"
            for variant in model.variants
        )
        parsers = f"{model.tool_parser or '-'} / {model.reasoning_parser or '-'}"
        rows.append(
            [
                f"`{model.id}`",
                licence(model),
                parameters(model),
                tokens(model.max_context),
                parsers,
                variants,
                _where(model),
            ]
        )
    return _table(rows)


def defaults_table() -> str:
    rows = [["plan", "cards", "default", "context", "tokens/s"]]
    for plan in known_plans():
        selection = find(packaged(), default_model(plan.id) or "")
        assert selection is not None and plan.card is not None
        engine = best_on_plan(selection, plan)
        assert engine.fit is not None
        speed = f"{engine.fit.decode_tps:.0f}" if engine.fit.decode_tps else "?"
        cards = f"{plan.gpus} x {plan.card.name}"
        rows.append(
            [f"`{plan.id}`", cards, f"`{engine.variant.id}`", tokens(engine.fit.max_context), speed],
        )
    return _table(rows)


def sources_table() -> str:
    """How many figures come from where, the surest first; what no figure comes from yet is left out."""
    parts = [part for model in packaged() for part in (model, *model.variants)]
    count = Counter(source.text for part in parts for source in part.sources.values())
    rows = [["source", "figures", "shown as certain"]]
    rows += [
        [text, str(count[text]), "yes" if certain else "no"] for text, certain in SOURCES.values() if text in count
    ]
    return _table(rows)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f} %"


def starts_table() -> str:
    rows = [["model", "cards", "weights", "room", "tokens"]]
    for start in STARTS:
        off = errors_of(start)
        parts = [_percent(off.weights), _percent(off.room), _percent(off.tokens)]
        rows.append([start.model, f"{start.gpus} x {start.card}", *parts])
    unknown = "\n".join(f"* {name}: {why}." for name, why in UNKNOWN)
    return f"{_table(rows)}\n\nNot reckoned, and called unknown:\n\n{unknown}"


TABLES = {"models": models_table, "defaults": defaults_table, "sources": sources_table, "starts": starts_table}


def with_tables(text: str) -> str:
    """The page with every table as the catalogue has it now."""
    for name, make in TABLES.items():
        before, _begin, rest = text.partition(BEGIN.format(name))
        _old, end, after = rest.partition(END.format(name))
        if not end:
            raise ValueError(f"the page has no place for the table {name}")
        text = f"{before}{BEGIN.format(name)}\n{make()}\n{END.format(name)}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
