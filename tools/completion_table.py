# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tools.completion_table`: write the table that completion reads, from the commands themselves."""

from __future__ import annotations

import enum
import subprocess
import sys
from pathlib import Path
from typing import Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import known_plans
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue_data import MODELS

from linode_coder.cli.app import app
from linode_coder.endpoint.agents import AGENTS
from linode_coder.endpoint.clients import CLIENTS

PATH = Path(__file__).resolve().parent.parent / "linode_coder/completion/table.py"
_HEAD = '''"""Our commands with their options and arguments, for completion. Made by `python -m tools.completion_table`: not to be edited."""

from __future__ import annotations

from typing import Any

'''
# What an option or an argument takes, by its name: names that this machine remembers.
REMEMBERED = {"session": "session", "model": "model", "plan": "plan", "region": "region"}
# By command and parameter, where the name does not tell.
CHOICES: dict[tuple[str, str], str | tuple[str, ...]] = {
    ("use", "client"): tuple(CLIENTS),
    ("launch", "agent"): tuple(AGENTS),
    ("heal", "max_rung"): ("container", "host", "vm"),
    ("watchdog", "max_rung"): ("alert", "container", "host", "vm"),
    ("up", "ssh_from"): ("here", "anywhere"),
    ("wizard", "goal"): ("completion", "chat", "agent"),
    ("validate-perf", "baseline"): "run",
    ("compare", "first"): "run",
    ("compare", "second"): "run",
}


def kind_of(command: str, parameter: Any) -> str | tuple[str, ...]:
    """What can be offered for a value; an empty text where nothing can."""
    if (command, parameter.name) in CHOICES:
        return CHOICES[command, parameter.name]
    choices = getattr(parameter.type, "choices", None)
    if choices:
        return tuple(str(choice.value if isinstance(choice, enum.Enum) else choice) for choice in choices)
    if parameter.type.name in ("path", "file", "filename", "directory"):
        return "file"
    if parameter.name == "name" and "NAME" in (parameter.metavar or "") and command != "age":
        return "session"
    return REMEMBERED.get(parameter.name, "")


def node_of(name: str, command: Any) -> dict[str, Any]:
    """A command as completion needs it; ``value`` is None for an option that takes none."""
    options: dict[str, Any] = {}
    arguments: list[Any] = []
    optional = False
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            optional = optional or (not arguments and not parameter.required)
            arguments.append(kind_of(name, parameter))
            continue
        takes = not (parameter.is_flag or parameter.count)
        for option in (*parameter.opts, *parameter.secondary_opts):
            if option.startswith("--"):
                options[option] = {
                    "help": (parameter.help or "").split(". ")[0].rstrip("."),
                    "value": kind_of(name, parameter) if takes else None,
                    "many": bool(parameter.multiple),
                }
    options["--help"] = {"help": "Show how it is used", "value": None, "many": False}
    return {
        "help": (command.help or "").partition("\n")[0].rstrip("."),
        "options": options,
        "arguments": arguments,
        "optional": optional,
        "commands": {},
    }


def tree(name: str, command: Any) -> dict[str, Any]:
    """A command with all below it."""
    node = node_of(name, command)
    if hasattr(command, "list_commands"):
        context = typer.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None and not found.hidden:
                node["commands"][below] = tree(below, found)
    return node


def rendered() -> str:
    """The file, as it has to be."""
    values = {
        "MODELS": ("tuple[str, ...]", tuple(model["id"] for model in MODELS)),
        "PLANS": ("tuple[str, ...]", tuple(plan.id for plan in known_plans())),
        "TABLE": ("dict[str, Any]", tree("linode-coder", typer.main.get_command(app))),
    }
    text = _HEAD + "\n".join(f"{name}: {kind} = {value!r}" for name, (kind, value) in values.items()) + "\n"
    ruff = [str(Path(sys.executable).with_name("ruff")), "format", "--stdin-filename", str(PATH), "-"]
    return subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout


def main() -> int:
    PATH.write_text(rendered())
    return 0


if __name__ == "__main__":
    sys.exit(main())
