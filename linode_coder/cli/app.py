"""The command line: commands are imported when they are called, errors become sentences with exit codes."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.did_you_mean import did_you_mean, nearest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import runs_dir
from typer.core import TyperGroup

from .. import __version__
from ..terminal import console as output
from ..terminal import streams
from ..terminal.console import Console
from ..terminal.signals import Terminated
from .help import PANELS, arrange
from .help_format import install

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter

# Typer's usage errors: BadParameter is public, its base is not exported.
UsageError: type[Any] = typer.BadParameter.__mro__[1]

# Name -> module, and what the list of commands says of it, so that `--help` imports none of them.
COMMANDS = {
    "up": ("linode_coder.cli.up", "Create a session, or finish and verify one."),
    "down": ("linode_coder.cli.down", "Delete a session's VM and show what it cost."),
    "list": ("linode_coder.cli.list", "Show every session, those that bill first."),
    "status": ("linode_coder.cli.status", "Show one session: clocks, cost, endpoint."),
    "check": ("linode_coder.cli.check", "Find what is wrong with a session, or in a collected bundle."),
    "collect": ("linode_coder.cli.collect", "Save what `check` reads as one archive, without secrets."),
    "switch-model": ("linode_coder.cli.switch_model", "Serve another model on a session's VM."),
    "use": ("linode_coder.cli.use", "Open the tunnel and print the environment for clients."),
    "launch": ("linode_coder.cli.launch", "Start a coding agent against a session."),
    "gateway": ("linode_coder.cli.gateway", "One endpoint for all sessions, which starts the one that is asked for."),
    "leave": ("linode_coder.cli.leave", "Forget the current session; it goes on."),
    "ask": ("linode_coder.cli.ask", "Ask the model one question; pipes in and out."),
    "chat": ("linode_coder.cli.chat", "Talk with the model in the terminal."),
    "logs": ("linode_coder.cli.logs", "Show the logs of the engine, the proxy, the download or the VM."),
    "ssh": ("linode_coder.cli.ssh", "Open a shell on a session's VM, or run a command there."),
    "tunnel": ("linode_coder.cli.tunnel", "Open, repair or close the tunnel to a session."),
    "extend": ("linode_coder.cli.extend", "Move the end of a session's lease, up to its hard cap."),
    "pause": ("linode_coder.cli.pause", "Pause healing and idle deletion of a session for a while."),
    "keys": ("linode_coder.cli.keys", "Show, add and remove the SSH keys that sessions know."),
    "wizard": ("linode_coder.cli.wizard", "Write the configuration from a few questions."),
    "validate": ("linode_coder.cli.validate", "Check everything before you spend money, or what a session serves."),
    "validate-perf": ("linode_coder.cli.validate_perf", "Measure how fast a session serves."),
    "perf": ("linode_coder.cli.perf", "Show recorded performance runs, and compare two of them."),
    "history": ("linode_coder.cli.history", "Show what was done, when, by whom, and how it ended."),
    "explain": ("linode_coder.cli.explain", "Explain an error, an exit code, a check or a page, in the terminal."),
    "config": ("linode_coder.cli.config", "Show and check the configuration."),
    "models": ("linode_coder.cli.models", "Show models: licence, sizes, where they fit, how fast, at which price."),
    "plans": ("linode_coder.cli.plans", "Show GPU plans: cards, price, stock, and what a model does on them."),
    "heal": ("linode_coder.cli.heal", "Take the next rung of the remedy ladder, and prove that it helped."),
    "cleanup": ("linode_coder.cli.cleanup", "Find and remove what dead sessions left behind."),
    "watchdog": ("linode_coder.cli.watchdog", "Watch every session: warn, delete what is over or idle."),
    "warm": ("linode_coder.cli.warm", "Show and delete the volumes that sessions start warm from."),
    "cost": ("linode_coder.cli.cost", "Show what a month's sessions cost, and what the invoices say."),
    "metrics": ("linode_coder.cli.metrics", "Export sessions, cost, leases, findings and GPUs to Prometheus."),
    "export": ("linode_coder.cli.export", "Write what a session serves as files for a Kubernetes cluster."),
    "completion": ("linode_coder.cli.completion", "Print a completion script for bash, zsh or fish."),
    "sandbox": ("linode_coder.cli.sandbox", "A Linode account on your own machine."),
}


class LazyGroup(TyperGroup):
    def list_commands(self, ctx: Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        arrange(command, cmd_name)
        return command

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            hint = did_you_mean(nearest(args[0], COMMANDS), f"Commands: {', '.join(COMMANDS)}.")
            raise Failure("usage", f"There is no command {args[0]!r}.", remedy=hint, field="command", value=args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        for panel, names in PANELS.items():
            with formatter.section(panel):
                formatter.write_dl([(name, COMMANDS[name][1]) for name in names])


install()
# Plain help instead of rich panels: quick, and the same with and without a terminal.
app = typer.Typer(
    cls=LazyGroup,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"linode-coder {__version__}")
        raise typer.Exit


@app.callback()
def main(
    ctx: typer.Context,
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Errors and the result only; anywhere on the line."),
    verbose: int = typer.Option(
        0, "--verbose", "-v", count=True, help="API calls; -vv Ansible's output; anywhere on the line."
    ),
) -> None:
    """Private coding LLMs on Linode GPU VMs."""
    output.verbosity = -1 if quiet else verbose
    if ctx.invoked_subcommand is None:
        print(ctx.get_help(), file=sys.stderr)
        raise typer.Exit(2)


def _crash(error: BaseException) -> Failure:
    """A bug: the traceback goes to a file, a sentence to the person."""
    path = runs_dir() / f"crash-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log"
    cause, trace = None, f"its trace is in {path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text("".join(traceback.format_exception(error)), errors="backslashreplace")
        path.chmod(0o600)
    except OSError as unwritable:
        last = traceback.extract_tb(error.__traceback__)[-1]
        cause = f"{error}, in {Path(last.filename).name}, line {last.lineno}"
        trace = f"its trace could not be kept in {path.parent} ({unwritable.strerror})"
    return Failure(
        "internal",
        f"Something unexpected happened: {type(error).__name__}.",
        cause=cause,
        remedy=f"This is a bug; {trace}. Check what exists with: linode-coder list",
    )


def _terminated(_number: int, _frame: object) -> None:
    raise Terminated


def _flags_first(arguments: list[str]) -> list[str]:
    """-q and -v mean the same before and after the command."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    flags = [word for word in arguments[:end] if word in ("-q", "--quiet", "-v", "-vv", "--verbose")]
    return flags + [word for word in arguments[:end] if word not in flags] + arguments[end:]


# What people call the numbers that the parser reads.
_KINDS = {"int": "a whole number", "float": "a number"}


def _usage(error: Any, arguments: list[str]) -> Failure:
    """The parser's complaint as a sentence, with the option and the value that was given."""
    message, field, value = error.format_message().strip(), None, None
    parameter: Any = getattr(error, "param", None)
    kind = _KINDS.get(parameter.type.name.partition(" ")[0]) if parameter is not None else None
    # The parser begins these with the value as `repr` writes it.
    given, numeric, _ = error.message.partition(" is not ")
    if kind and numeric:
        limits = (("at least", "min"), ("at most", "max"))
        bounds = [
            f"{word} {getattr(parameter.type, name)}"
            for word, name in limits
            if getattr(parameter.type, name, None) is not None
        ]
        message = f"{parameter.opts[0]} {given} is not {kind} {' and '.join(bounds)}".rstrip() + "."
        field, value = parameter.name, given.strip("'")
    message, _, near = message.partition(" Did you mean ")
    named = [word for word in arguments if word in COMMANDS][:1]
    command = error.ctx.command_path if error.ctx else " ".join(["linode-coder", *named])
    remedy = f"Did you mean {near}" if near else f"See: {command} --help"
    return Failure("usage", message.rstrip(".") + ".", remedy=remedy, field=field, value=value)


# What they do is of no VM.
_NO_VM = ("wizard", "config", "models", "plans", "completion", "explain", "sandbox", "perf", "history", "export")


def _interrupted(console: Console, code: int, arguments: list[str]) -> int:
    """Ctrl-C or SIGTERM, and where to look."""
    command = next((word for word in arguments if word in COMMANDS), None)
    bundle = any(word.partition("=")[0] == "--bundle" for word in arguments)
    console.event("error", error={"kind": "interrupted", "message": "Interrupted.", "exit_code": code})
    bills = "" if command in _NO_VM or bundle else " What exists keeps billing; see it with: linode-coder list"
    print(f"Interrupted.{bills}", file=sys.stderr)
    return code


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    code = _run(arguments)
    if sys.stdout is not None:
        sys.stdout.flush()
    error = streams.lost()
    # A reader that has seen enough is none.
    if error is None or isinstance(error, BrokenPipeError):
        return code
    remedy = "What the command does is done; free some space to see what it says."
    Console(as_json=False).failure(
        Failure("internal", "The output could not be written to its end.", cause=error.strerror, remedy=remedy)
    )
    return code or 1


def _run(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, _terminated)
    arguments = _flags_first(arguments)
    console = Console("--json" in arguments)
    try:
        result: Any = app(arguments, standalone_mode=False)
        # Typer answers Ctrl-C with 130 by itself.
        return _interrupted(console, 130, arguments) if result == 130 else result if isinstance(result, int) else 0
    except Failure as failure:
        console.failure(failure)
        return failure.exit_code
    except typer.Exit as leave:
        return leave.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(console, 130, arguments)
    except Terminated:
        return _interrupted(console, 143, arguments)
    except UsageError as error:
        console.failure(_usage(error, arguments))
        return 2
    except Exception as error:  # noqa: BLE001 - the last resort: a traceback is not an answer
        bug = _crash(error)
        console.failure(bug)
        return bug.exit_code
