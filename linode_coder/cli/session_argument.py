"""The name of a session on the command line, which need not be given where one is meant anyhow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from typer._click import Context

SessionName = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="Name of the session (default: the current one, or the only one)."),
]


class NameFirst(TyperCommand):
    """What follows `--` is a command with its arguments, also where no session is named before; the name is empty then."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        if "--" in args:
            end = args.index("--")
            given, _rest, _order = self.make_parser(ctx).parse_args(args[:end])
            if not given.get("name"):
                args = [*args[:end], "", *args[end:]]
        return super().parse_args(ctx, args)
