"""linode-coder ask: one question to the model of a session, from the command line or a pipe."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..api import LinodeReader
from ..endpoint.conversation import Conversation
from ..local.sessions import all_sessions, pick
from ..terminal.answer import Answer
from ..terminal.console import Console

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def question(words: list[str]) -> str:
    """What is asked: the words, and after them what is piped in. Failure(usage) for nothing at all."""
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read().decode("utf-8", "replace")
    parts = [part for part in (" ".join(words).strip(), piped.strip()) if part]
    if not parts:
        raise Failure(
            "usage",
            "There is no question.",
            remedy='Write it after the command, or pipe it in: git diff | linode-coder ask "Review this."',
            field="prompt",
        )
    return "\n\n".join(parts)


@app.command()
def ask(
    prompt: Annotated[list[str] | None, typer.Argument(metavar="[PROMPT]...", help="The question.")] = None,
    session: Annotated[
        str | None,
        typer.Option("--session", "-s", metavar="NAME", help="Whose model (default: the current session's)."),
    ] = None,
    system: Annotated[str | None, typer.Option(help="How it is to answer.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="End the answer after so many tokens.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document at the end.")] = False,
) -> None:
    """Ask the model one question; the answer streams to stdout. What is piped in follows the question.

    git diff | linode-coder ask "Write a commit message for this."
    """
    console = Console(as_json)
    text = question(prompt or [])
    talk = Conversation.begin(pick(all_sessions(LinodeReader()), session), system)
    answer = Answer(console)
    started = time.monotonic()
    found = talk.ask(text, max_tokens, answer.part)
    answer.end()
    if as_json:
        console.result(
            {
                "command": "ask",
                "session": talk.session,
                "model": talk.model,
                "answer": found.content,
                "prompt_tokens": found.prompt_tokens,
                "tokens": found.tokens,
                "seconds": round(time.monotonic() - started, 3),
            }
        )
