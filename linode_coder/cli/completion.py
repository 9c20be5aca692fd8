"""linode-coder completion: print what makes a shell complete our commands."""

from __future__ import annotations

import enum
from importlib.resources import files
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class Shell(enum.StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


@app.command()
def completion(shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="Whose completion.")]) -> None:
    """Print the completion of a shell: commands, options, sessions, models, plans and regions.

    source <(linode-coder completion bash)
    """
    print((files("linode_coder") / "completion" / f"linode-coder.{shell}").read_text(), end="")
