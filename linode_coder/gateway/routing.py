"""Which session a request is for, by the model that it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..terminal.escapes import cut, one_line
from .errors import Refusal


@dataclass(frozen=True)
class Known:
    """A session that the gateway knows: ``models`` are the names that its engine serves, or served. ``ended``: a person took it down,
    so it is only known to say that."""

    name: str
    models: tuple[str, ...]
    awake: bool = False
    ended: bool = False


def route(sessions: Sequence[Known], model: str | None) -> str:
    """The name of the session; Refusal when none is meant, or nobody can tell which."""
    there = [one for one in sessions if not one.ended]
    for some in (there, sessions):
        by_name = [one for one in some if one.name == model]
        by_model = [one for one in some if model is not None and model in one.models]
        # Of several that serve it one that bills already.
        if found := by_name or [one for one in by_model if one.awake] or by_model:
            return min(found, key=lambda one: one.name).name
    for some in (there, sessions):
        if len(some) == 1:
            return some[0].name
    if not there:
        raise Refusal(
            404,
            "model_not_found",
            "The gateway knows no session. Make one: linode-coder up NAME. It is woken from then on.",
        )
    names = "; ".join(f"{one.name} ({', '.join(one.models)})" if one.models else one.name for one in there)
    asked = "The request names no model" if model is None else f"There is no model {cut(one_line(repr(model)), 100)}"
    raise Refusal(404, "model_not_found", cut(f"{asked}. There is: {names}.", 2000))
