"""The name of a session on the command line, which need not be given where one is meant anyhow."""

from __future__ import annotations

from typing import Annotated

import typer

SessionName = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="Name of the session (default: the current one, or the only one)."),
]
