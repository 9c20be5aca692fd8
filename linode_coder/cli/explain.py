"""linode-coder explain: what an error, an exit code, a check or a page says, in the terminal. Reads only what is installed."""

from __future__ import annotations

import re
import shutil
from typing import Annotated

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.did_you_mean import did_you_mean, nearest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..terminal.console import Console
from ..terminal.markdown import links, plain
from .explain_topics import Topic, names, topic

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_COLUMNS = 100  # longer lines are hard to read


@app.command()
def explain(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ANCHOR]",
            help="What an error's docs line names, an exit code, a check, a rung, a cause, an Xid, a page or its section.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Explain an error, an exit code, a check or another word of ours; without one list them all."""
    console = Console(as_json)
    if words:
        _one(console, " ".join(words))
    else:
        _all(console)


def _one(console: Console, word: str) -> None:
    found = topic(word)
    if found is None:
        every = [name for group in names().values() for name in group]
        short = {name.removeprefix("error-") for name in every} | set(every)
        near = [name for name in every if word.lower() in name][:3] or nearest(word.lower(), sorted(short))
        raise Failure(
            "usage",
            f"There is nothing to explain under {word!r}.",
            remedy=did_you_mean(near, "All names: linode-coder explain"),
            field="anchor",
            value=word,
        )
    see = _see_also(found)
    if console.as_json:
        console.result(
            {"command": "explain", "anchor": found.name, "page": found.page, "text": found.text, "see_also": see}
        )
        return
    for line in plain(found.text, _columns()):
        console.text(line)
    if see:
        console.text()
        console.text("See also:")
    for name in see:
        console.text(f"  linode-coder explain {name}")


def _see_also(found: Topic) -> list[str]:
    """Names of what it links to, and of the page that it is from."""
    see = []
    for target in links(found.text):
        page, _, anchor = target.partition("#")
        if "://" in target or "/" in page or not (page or anchor):
            continue
        see.append(anchor if anchor.startswith("error-") else f"{page.removesuffix('.md') or found.page}#{anchor}")
    see = [name.removesuffix("#") for name in see]
    whole = [] if found.name == found.page else [found.page]
    return list(dict.fromkeys([*see, *whole]))


def _all(console: Console) -> None:
    groups = names()
    if console.as_json:
        console.result({"command": "explain", "anchors": groups})
        return
    for kind, group in groups.items():
        # Sections are many, and their pages name them.
        short = [re.sub(r"^error-", "", name) for name in group if "#" not in name]
        console.text(f"{kind}:")
        for line in plain(", ".join(short), _columns() - 2):
            console.text(f"  {line}")
    console.text()
    console.text("One of them: linode-coder explain NAME. A section of a page: linode-coder explain leases#a-budget")


def _columns() -> int:
    return min(shutil.get_terminal_size().columns, _COLUMNS)
