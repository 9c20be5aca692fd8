"""linode-coder chat: a conversation with the model of a session, in the terminal."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..api import LinodeReader
from ..endpoint.conversation import Conversation
from ..local.sessions import all_sessions, pick
from ..terminal.answer import Answer
from ..terminal.console import Console
from .session_argument import SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def chat(
    name: SessionName = None,
    system: Annotated[str | None, typer.Option(help="How it is to answer.")] = None,
) -> None:
    """Talk with the model. Ctrl-C stops an answer, Ctrl-D ends the conversation."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise Failure("usage", "chat needs a terminal.", remedy='For a pipe: linode-coder ask "..."', field="stdin")
    console = Console(as_json=False)
    talk = Conversation.begin(pick(all_sessions(LinodeReader()), name), system)
    console.note(f"{talk.model}, of session {talk.session}. Ctrl-C stops an answer, Ctrl-D ends the conversation.")
    while (text := _line()) is not None:
        if not text.strip():
            continue
        answer = Answer(console)
        try:
            talk.ask(text, None, answer.part)
        except KeyboardInterrupt:
            answer.end()
            console.note("Stopped; neither the question nor its answer is remembered.")
            continue
        except Failure as failure:
            # One question that is too long, or an engine that is healed meanwhile, is not the end of the conversation.
            answer.end()
            console.failure(failure)
            continue
        answer.end()


def _line() -> str | None:
    """What the person writes next; None at the end."""
    try:
        import readline  # noqa: F401 - editing and history of the line, where Python was built with it
    except ImportError:
        pass
    try:
        return input("> ")
    except EOFError:
        print()
        return None
