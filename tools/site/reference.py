# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of the site that are made from the code, when the site is built: commands, plans, causes, faults, and all of Ansible."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
import yaml
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.causes import CAUSES
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.causes_container import ENDINGS
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import known_plans

from linode_coder.cli.app import COMMANDS, app
from linode_coder.playbook import variables
from linode_coder.sandbox.api.faults import KINDS
from linode_coder.sandbox.api.host_faults import HOST_KINDS
from tools.site.source import BLOB, ROOT, moved

COLLECTION = "linode_coder.gpu"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(header), ["---" for _ in header], *(list(row) for row in rows)]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |" for row in lines
    )


def code(text: object) -> str:
    return f"`{text}`" if text not in (None, "") else ""


# -- commands ----------------------------------------------------------------------------------------------------------


def _prose(text: str) -> str:
    """A help text: paragraphs as they are, and what is indented, such as examples, as commands."""
    text = textwrap.dedent(text.replace("\b\n", "").replace("\x08\n", "")).strip()
    lines = [f"    {line}" if line.startswith("  ") else line for line in text.splitlines()]
    return re.sub(r"(?m)^(?! {4})(.+)\n( {4})", r"\1\n\n\2", "\n".join(lines))


def _plainly(text: str) -> str:
    """What would be taken for markup is none."""
    return text.replace("<", "&lt;").replace("*", "\\*")


def _command(command: Any, context: Any, depth: int) -> Iterator[str]:
    yield f"{'#' * depth} {context.command_path}"
    yield _prose(command.help or "")
    nested = getattr(command, "list_commands", None)
    if not nested:
        yield "    " + command.get_usage(context).removeprefix("Usage: ").replace("\n", "\n    ")
    records: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record and record[0] != "--help":
            panel = getattr(parameter, "rich_help_panel", None) or "Options"
            records.setdefault(panel, []).append(record)
    for panel, listed in records.items():
        rows = [(code(names), _plainly(text)) for names, text in listed]
        yield table(("option" if panel == "Options" else panel.lower(), "meaning"), rows)
    if command.epilog:
        yield _prose(command.epilog)
    for name in nested(context) if nested else ():
        inner = command.get_command(context, name)
        if inner is not None and not getattr(inner, "hidden", False):
            yield from _command(inner, type(context)(inner, info_name=name, parent=context), depth + 1)


def commands() -> str:
    group: Any = typer.main.get_command(app)
    context = typer.Context(group, info_name="linode-coder")
    parts = ["# Commands", "What `linode-coder COMMAND --help` says, made from the program itself."]
    parts.append(
        table(
            ("command", "what it does"),
            [(f"[`{name}`](#linode-coder-{name})", text) for name, (_module, text) in COMMANDS.items()],
        )
    )
    parts.append(
        "`-q` (errors and the result only), `-v` (the API calls) and `-vv` (Ansible's output) may stand anywhere on the line."
    )
    for name in COMMANDS:
        command = group.get_command(context, name)
        parts += _command(command, type(context)(command, info_name=name, parent=context), 2)
    return "\n\n".join(part for part in parts if part) + "\n"


# -- plans, causes, faults ---------------------------------------------------------------------------------------------


def plans() -> str:
    rows = []
    for plan in known_plans():
        card = plan.card
        rows.append(
            (
                code(plan.id),
                f"{plan.gpus} x {card.name}" if card else f"{plan.gpus} of a card that is not known here",
                f"{plan.gpus * card.vram_gb} GB" if card else "?",
                card.compute_capability if card else "?",
                f"{card.bandwidth_gbs:g} GB/s" if card else "?",
                str(plan.vcpus or "?"),
                f"{plan.memory_mb // 1024} GB" if plan.memory_mb else "?",
                f"{plan.disk_mb // 1024} GB" if plan.disk_mb else "?",
                "" if plan.advised else "fewer processors than the engine asks for",
            )
        )
    header = (
        "plan",
        "cards",
        "memory of the cards",
        "capability",
        "bandwidth of a card",
        "vCPUs",
        "memory",
        "disk",
        "note",
    )
    return (
        "\n\n".join(
            (
                "# Plans",
                "GPU plans that are known without an account. Prices and stock differ by region and are never packaged: "
                "`linode-coder plans` asks the API for them, and says what a model would do on each.",
                table(header, rows),
            )
        )
        + "\n"
    )


def causes() -> str:
    rows = []
    for cause in dict.fromkeys((*CAUSES, *ENDINGS)):
        said = re.sub(r"\{\w+\}", "...", cause.summaries[-1])
        rows.append(
            (code(cause.id), _plainly(said), _plainly(cause.remedy), ", ".join(cause.ladder).replace("_", " ") or "-")
        )
    return (
        "\n\n".join(
            (
                "# Causes of a failed engine",
                "What `linode-coder check`, `up` and `logs` can name as the reason why an engine or its container does not run. "
                "Rungs are those of [healing](healing.md#rungs). In the terminal: `linode-coder explain oom`.",
                table(("cause", "what is told", "what a person does", "rungs"), rows),
            )
        )
        + "\n"
    )


def faults() -> str:
    def listed(kinds: dict[str, str]) -> str:
        return table(("kind", "what it does"), [(code(kind), _plainly(text)) for kind, text in kinds.items()])

    return (
        "\n\n".join(
            (
                "# Faults of the sandbox",
                "What `linode-coder sandbox fault add KIND` breaks on purpose. `linode-coder sandbox fault list` shows the same.",
                "## Of the API",
                "    linode-coder sandbox fault add capacity --count 2",
                listed(KINDS),
                "## Of a host",
                "    linode-coder sandbox fault add gpu_lost --host lc-demo-1",
                listed(HOST_KINDS),
            )
        )
        + "\n"
    )


# -- Ansible -----------------------------------------------------------------------------------------------------------

_MARKUP = re.compile(r"\b(?:C|V|O|RV|E|P)\(((?:\\.|[^()\\]|\([^()]*\))*)\)")


def _said(text: object) -> str:
    """Ansible's markup as Markdown: a text, or a list of paragraphs."""
    if isinstance(text, list):
        return " ".join(_said(each) for each in text)
    said = _MARKUP.sub(lambda found: code(found[1].replace("\\", "")), str(text))
    said = re.sub(r"\bM\(linode_coder\.gpu\.(\w+)\)", r"[`\1`](module-\1.md)", said)
    said = re.sub(r"\bM\(([\w.]+)\)", r"`\1`", said)
    said = re.sub(r"\bL\(([^,()]+),\s*([^()]+)\)", r"[\1](\2)", said)
    said = re.sub(r"\bU\(([^()]+)\)", r"<\1>", said)
    said = re.sub(r"\bB\(([^()]+)\)", r"**\1**", said)
    return re.sub(r"\bI\(([^()]+)\)", r"*\1*", said)


def _options(options: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    for name, option in sorted(options.items()):
        kind = option.get("type", "str")
        if option.get("elements"):
            kind = f"{kind} of {option['elements']}"
        default = option.get("default")
        needed = "required" if option.get("required") else code(json.dumps(default)) if default is not None else ""
        choices = option.get("choices") or ()
        one_of = f" One of {', '.join(code(choice) for choice in choices)}." if choices else ""
        yield code(prefix + name), kind, needed, _said(option.get("description", "")) + one_of
        yield from _options(option.get("suboptions") or option.get("options") or {}, f"{prefix}{name}.")


def _returns(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, value in sorted(values.items()):
        kind = value.get("type", "")
        kind = f"{kind} of {value['elements']}" if value.get("elements") else kind
        yield code(prefix + name), kind, _said(value.get("description", ""))
        yield from _returns(value.get("contains") or {}, f"{prefix}{name}.")


def documented(*arguments: str) -> dict[str, Any]:
    """What ansible-doc says in JSON, of the collection of the checkout."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-doc")), "--json", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _plugin(kind: str, name: str, documentation: dict[str, Any]) -> str:
    doc = documentation["doc"]
    parts = [f"# {name}", f"A {kind} of `{COLLECTION}`: {_said(doc['short_description']).rstrip('.')}."]
    description = doc["description"]
    parts += [_said(each) for each in (description if isinstance(description, list) else [description])]
    if doc.get("options"):
        parts += ["## Options", table(("option", "type", "default", "meaning"), _options(doc["options"]))]
    if documentation.get("examples"):
        parts += ["## Examples", f"```yaml\n{documentation['examples'].strip()}\n```"]
    if documentation.get("return"):
        parts += ["## What it returns", table(("key", "type", "meaning"), _returns(documentation["return"]))]
    return "\n\n".join(parts) + "\n"


def _role(name: str, documentation: dict[str, Any]) -> str:
    page = ROOT / "roles" / name / "README.md"
    parts = [moved(page.read_text(), page).strip(), "## All variables"]
    parts.append(f"What `ansible-doc -t role {COLLECTION}.{name}` says, made from the role's argument specification.")
    for entry, spec in sorted(documentation["entry_points"].items(), key=lambda item: item[0] != "main"):
        parts += [
            f"### {entry}",
            _said(spec["short_description"]).rstrip(".") + ".",
            _said(spec.get("description", "")),
        ]
        if spec.get("options"):
            parts.append(table(("variable", "type", "default", "meaning"), _options(spec["options"])))
    return "\n\n".join(parts) + "\n"


def playbooks() -> str:
    classes = {
        each.playbook: each
        for each in vars(variables).values()
        if isinstance(each, type) and issubclass(each, variables.Variables) and "playbook" in vars(each)
    }
    parts = [
        "# Playbooks",
        "Each is complete without the command line: `ansible-playbook linode_coder.gpu.NAME -e session=demo`, in a checkout "
        "`ansible-playbook playbooks/NAME.yml`. Extra variables are the options of the command of the same name, and each ends "
        "with [`report`](module-report.md).",
    ]
    for path in sorted((ROOT / "playbooks").glob("*.yml")):
        text = path.read_text()
        first = text.partition("\n---\n")[2] or text
        comment = " ".join(
            line.lstrip("# ")
            for line in first.splitlines()[
                : next((n for n, line in enumerate(first.splitlines()) if line.startswith("- ")), 0)
            ]
            if line.startswith("#") and "SPDX" not in line
        )
        plays = [play["name"] for play in yaml.safe_load(text) if "name" in play]
        parts += [f"## {path.stem}", comment, "Its plays: " + "; ".join(dict.fromkeys(plays)) + "." if plays else ""]
        if path.stem in classes:
            fields = dataclasses.fields(classes[path.stem])
            rows = [
                (
                    code(field.name),
                    code(field.type),
                    "required"
                    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
                    else "",
                )
                for field in fields
            ]
            parts.append(table(("variable that the command gives", "type", ""), rows))
        parts.append(f"[Source]({BLOB}playbooks/{path.name})")
    return "\n\n".join(part for part in parts if part) + "\n"


def ansible() -> tuple[dict[str, str], list[dict[str, str]]]:
    """Pages by name, and their part of the navigation."""
    modules = sorted(
        path.stem
        for path in (ROOT / "collections/ansible_collections/linode_coder/gpu/plugins/modules").glob("[a-z]*.py")
    )
    roles = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
    pages, nav = {"playbooks.md": playbooks()}, [{"Collection": "collection.md"}, {"Playbooks": "playbooks.md"}]
    described = documented("-t", "role", *roles)
    for name in roles:
        pages[f"role-{name}.md"] = _role(name, described[name])
        nav.append({f"Role {name}": f"role-{name}.md"})
    (inventory,) = documented("-t", "inventory", "linode_gpu").values()
    pages["inventory-linode_gpu.md"] = _plugin("plugin for inventories", "linode_gpu", inventory)
    nav.append({"Inventory linode_gpu": "inventory-linode_gpu.md"})
    described = documented("-t", "module", *(f"{COLLECTION}.{name}" for name in modules))
    rows = []
    for name in modules:
        pages[f"module-{name}.md"] = _plugin("module", name, described[f"{COLLECTION}.{name}"])
        rows.append(
            (f"[`{name}`](module-{name}.md)", _said(described[f"{COLLECTION}.{name}"]["doc"]["short_description"]))
        )
    pages["modules.md"] = (
        f"# Modules\n\nAll modules of `{COLLECTION}`, as `ansible-doc` has them.\n\n{table(('module', 'what it does'), rows)}\n"
    )
    nav.append({"Modules": "modules.md"})
    nav += [{name: f"module-{name}.md"} for name in modules]
    return pages, nav


def pages() -> tuple[dict[str, str], list[dict[str, str]]]:
    """All generated pages by name, and the navigation of those of Ansible."""
    made, nav = ansible()
    return {**made, "commands.md": commands(), "plans.md": plans(), "causes.md": causes(), "faults.md": faults()}, nav
