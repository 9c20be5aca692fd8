"""linode-coder check: what is wrong with a session, from one look at its VM or from a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import EXIT_CODES, Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import SEVERITIES

from ..terminal import console as output
from ..terminal.console import Console
from ..terminal.line import STATES

app = typer.Typer(add_completion=False, rich_markup_mode=None)

MARKS = {"pass": "ok", "warn": "!", "unknown": "?", "fail": "x"}
_EXITS = {"pass": 0, "warn": 0, "unknown": EXIT_CODES["unknown"], "fail": EXIT_CODES["unhealthy"]}


def _followers(found: dict[str, Any], findings: list[dict[str, Any]]) -> list[str]:
    """The checks whose findings follow from this one, each once."""
    itself = {"id": found["id"], "subject": found["subject"]}
    return [other["id"] for other in findings if other.get("follows_from") == itself]


def show(console: Console, findings: list[dict[str, Any]], everything: bool) -> None:
    """The findings that matter, each with its evidence and remedy; what follows from another one is only counted."""
    shown = [
        found for found in findings if everything or (found["severity"] != "pass" and not found.get("follows_from"))
    ]
    shown.sort(key=lambda found: -SEVERITIES.index(found["severity"]))
    rows = []
    for found in shown:
        subject = "" if found["subject"] in ("vm", "container", "engine") else f" [{found['subject']}]"
        rows.append([MARKS[found["severity"]], found["severity"], found["id"], found["summary"] + subject])
    wide = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for (*cells, summary), found in zip(rows, shown, strict=True):
        row = [f"{cell:{room}}" for cell, room in zip(cells, wide, strict=False)]
        console.text("  ".join([*row, summary]), STATES[found["severity"]] if found["severity"] != "pass" else None)
        if found["severity"] in ("warn", "fail"):
            if found["evidence"]:
                first, _break, _rest = found["evidence"].partition("\n")
                console.text(f"      evidence: {first[:160]}")
            if found["remedy"]:
                console.text(f"      remedy:   {found['remedy']}")
        followers = [] if everything else _followers(found, findings)
        if followers:
            count = "1 finding that follows" if len(followers) == 1 else f"{len(followers)} findings that follow"
            console.text(f"      and {count}: {', '.join(dict.fromkeys(followers))}")
    passed = sum(found["severity"] == "pass" for found in findings)
    if passed and not everything:
        console.text("1 check passed." if passed == 1 else f"{passed} checks passed.")


def _verdict(severity: str) -> str:
    return {
        "pass": "Everything is fine.",
        "warn": "It works; look at the warnings.",
        "unknown": "Not everything could be looked at.",
        "fail": "Something is wrong.",
    }[severity]


def _bundle(path: Path, console: Console, everything: bool) -> int:
    from ansible_collections.linode_coder.gpu.plugins.module_utils.health.bundle import read_bundle
    from ansible_collections.linode_coder.gpu.plugins.module_utils.health.collected import FILES
    from ansible_collections.linode_coder.gpu.plugins.module_utils.health.consequences import with_roots
    from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import evaluate

    texts = read_bundle(path)
    missing = [name for name in FILES if name not in texts]
    health = evaluate(texts)
    findings = with_roots(health.findings)
    if console.as_json:
        console.result(
            {
                "command": "check",
                "bundle": str(path),
                "files": sorted(texts),
                "missing": missing,
                "severity": health.severity,
                "findings": findings,
                "activity": health.activity,
                "facts": health.facts,
            }
        )
    else:
        console.text(f"{path}: {', '.join(sorted(texts))}")
        show(console, findings, everything)
        console.text(_verdict(health.severity))
        if missing:
            console.text(f"Not in it, so not known: what {', '.join(missing)} would say.")
    return _EXITS[health.severity]


def _look(name: str | None, console: Console) -> dict[str, Any]:
    """Run the playbook, for one session or for all."""
    from ..playbook import variables
    from ..playbook.runner import run_playbook

    # An event of this command would not be part of the one JSON document.
    quiet = Console(as_json=False) if console.as_json else console
    return run_playbook(variables.Check(session=name), quiet).data


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the session.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every session of the account, at the same time.")] = False,
    bundle: Annotated[
        Path | None, typer.Option(help="Evaluate this archive or directory instead; no host needed.")
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--passed", help="Show every check: those that passed, and what follows from another (also -v)."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Say what is wrong with a session, and what to do about it. Exit code 6: failed, 11: not known."""
    console = Console(as_json)
    everything = everything or output.verbosity > 0
    if sum((name is not None, all_, bundle is not None)) > 1:
        raise Failure(
            "usage",
            "NAME, --all and --bundle exclude each other.",
            remedy="Give one of them.",
            field="session",
            value=name,
        )
    if bundle is not None:
        raise typer.Exit(_bundle(bundle, console, everything))
    from ..api import LinodeReader
    from ..local.sessions import all_sessions, pick

    views = all_sessions(LinodeReader())
    if all_ and not views:
        if as_json:
            console.result({"command": "check", "severity": "pass", "sessions": []})
        else:
            console.text("There is no session; nothing bills.")
        return
    data = _look(None if all_ else str(pick(views, name)["name"]), console)
    severity = data["severity"]
    if as_json:
        found = {} if all_ else {"findings": data["sessions"][0]["findings"]}
        console.result({"command": "check", "severity": severity, "sessions": data["sessions"], **found})
        raise typer.Exit(_EXITS[severity])
    for report in data["sessions"]:
        console.text(f"{report['name']} ({report['label']}): {report['severity']}")
        show(console, report["findings"], everything)
        console.text()
    console.text(_verdict(severity))
    raise typer.Exit(_EXITS[severity])
