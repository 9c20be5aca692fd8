"""linode-coder launch: start a coding agent against a session, with nothing to paste."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from typing import Annotated, NoReturn

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.did_you_mean import did_you_mean, nearest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..endpoint.agents import AGENTS, Agent, Start, start
from ..endpoint.api_key import api_key, api_key_file
from ..endpoint.clients import lacking
from ..endpoint.session_files import agents_dir
from ..terminal.console import Console
from .reach import endpoint_of, running_session, tunnel
from .session_argument import NameFirst, SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=NameFirst)
def launch(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help=f"One of {', '.join(AGENTS)}.")],
    name: SessionName = None,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[-- ARGS...]", help="What the agent is given, as it is.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what would be started as a JSON document instead.")
    ] = False,
) -> None:
    """Start a coding agent against a session; ends with its exit code.

    The agent's own configuration is neither written nor asked for a provider. The key is in its environment and in files for you
    alone, which go with the session's VM.
    """
    console = Console(as_json)
    # Before the tokens of our own configuration are in it: they are nothing to an agent.
    environment = dict(os.environ)
    known = _known(agent)
    path = _program(agent, known)
    view = running_session(name or None)
    key_file = api_key_file(view)
    at, _cards = endpoint_of(view, tunnel(console, view), key_file)
    if "\0" in at.name:
        raise Failure("unhealthy", "The engine calls its model by a name that no program can be told.")
    directory = agents_dir(view["name"])
    begun = start(known, at, api_key(view), directory)
    argv = [known.program, *begun.options, *(arguments or [])]
    if as_json:
        console.result(
            {
                "command": "launch",
                "session": view,
                "agent": agent,
                "argv": argv,
                # Of some the value is the key.
                "environment": sorted(begun.environment),
                "files": [str(directory / file) for file in begun.files],
                "api_key_file": str(key_file),
                "notes": lacking(agent, at),
            }
        )
        return
    for line in lacking(agent, at):
        console.note(line)
    _write(begun, view["name"])
    _become(
        path, argv, {key: value for key, value in environment.items() if key not in begun.unset} | begun.environment
    )


def _known(agent: str) -> Agent:
    if agent not in AGENTS:
        raise Failure(
            "usage",
            f"There is no agent {agent!r} that can be started.",
            remedy=f"{did_you_mean(nearest(agent, AGENTS, at_most=1))} Agents: {', '.join(AGENTS)}. For other clients: "
            "linode-coder use --print CLIENT".strip(),
            field="agent",
            value=agent,
        )
    return AGENTS[agent]


def _program(name: str, agent: Agent) -> str:
    found = shutil.which(agent.program)
    if found is None:
        raise Failure(
            "usage",
            f"{name} is not installed here: there is no program {agent.program!r}.",
            remedy=f"Install it: {agent.install}",
            field="agent",
            value=name,
        )
    return found


def _write(begun: Start, name: str) -> None:
    directory = agents_dir(name)
    try:
        for file, text in begun.files.items():
            replace_file(directory / file, text, parents=True)
    except OSError as error:
        raise Failure(
            "config",
            f"What the agent has to be told cannot be kept in {directory}.",
            cause=error.strerror,
            remedy="Make room there, or name a home that can be written: export LINODE_CODER_HOME=DIRECTORY",
        ) from error


def _become(path: str, argv: list[str], environment: dict[str, str]) -> NoReturn:
    """The agent in the place of this process: the terminal, signals and the exit code are its own."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    # What is ignored would stay ignored.
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGPIPE, signal.SIGXFSZ)}
    try:
        os.execve(path, argv, environment)  # noqa: S606 - its words are ours and the user's own
    except OSError as error:
        raise Failure(
            "config",
            f"{path} could not be started.",
            cause=error.strerror,
            remedy="Try it by itself.",
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
