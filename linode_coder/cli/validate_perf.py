"""linode-coder validate-perf: how fast a session serves, against what is expected and what it did before."""

from __future__ import annotations

import enum
import json
import os
import shlex
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.quote import make_quote
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.wanted import Wanted
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf import gpu_samples
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.profiles import Profile, profile_for
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.progress import path_of
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.received import take
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.run import (
    begin,
    is_sandbox,
    measure,
    served_model,
    too_slow,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.verdict import judge
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER

from ..api import LinodeReader
from ..local import perf_history
from ..local.sessions import all_sessions, pick
from ..terminal.console import Console
from ..terminal.line import STATES
from ..terminal.table import Column
from .session_argument import SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)

# Seconds without a byte of an answer.
_PATIENCE_S = 600.0
# Bytes of a run that a VM tells.
_LONGEST = 32_000_000


class Where(enum.StrEnum):
    """Where the load comes from."""

    vm = "vm"
    here = "here"


class ProfileName(enum.StrEnum):
    """Those of PROFILES; a test holds them together."""

    quick = "quick"
    chat = "chat"
    autocomplete = "autocomplete"
    agent = "agent"
    saturation = "saturation"


def _levels(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise Failure(
            "usage",
            f"concurrency {text!r} is not a list of numbers.",
            remedy="For example: --concurrency 1,4,16",
            field="concurrency",
            value=text,
        ) from None


def quote_of(reader: LinodeReader, name: str) -> dict[str, Any]:
    """What is served on this plan, with which flags, and how fast the catalogue expects it to be."""
    instances = reader.list("linode/instances", {"tags": MARKER})
    return make_quote(reader, name, Wanted(), now=int(time.time()), instances=instances)


def _through_the_tunnel(view: dict[str, Any], profile: Profile, run: dict[str, Any], console: Console) -> None:
    from ..endpoint.activity import run_on_vm
    from ..endpoint.engine import client as client_of

    def ask(argv: list[str]) -> str:
        return run_on_vm(
            view["name"], f"timeout -k 1 {gpu_samples.LIMIT_S:.0f} {shlex.join(argv)} 2>&1 | head -c 100000"
        )

    client = client_of(view, timeout=_PATIENCE_S)
    model = served_model(client, view["name"], profile)
    console.note(f"Measuring through the tunnel with the profile {profile.name}; users feel it meanwhile.")
    measure(client, profile, run, model, console.note, ask)


def document_of(text: str) -> dict[str, Any] | None:
    """The document that a VM has of a run so far; None where it has none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _fetch(view: dict[str, Any], run: dict[str, Any], console: Console) -> None:
    """What was measured on the VM until now. The measurement ends when its file is taken away."""
    from ..endpoint.activity import run_on_vm
    from ..endpoint.tunnel import open_tunnel

    console.note("Fetching what was measured until now ...")
    path = shlex.quote(path_of(run))
    try:
        open_tunnel(view)
    except Failure as failure:
        console.note(f"It cannot be fetched: {failure.message}")
        return
    said = document_of(run_on_vm(view["name"], f"head -c {_LONGEST} {path} 2>/dev/null; rm -f {path}"))
    if said is not None:
        take(run, said)
    run["complete"], run["why_partial"] = False, "interrupted"


def _broke_off(error: BaseException) -> bool:
    """Whether the VM may still be measuring: a failure that says why it did not begin is none of that."""
    return not isinstance(error, Failure) or error.kind in ("unreachable", "internal")


def _on_the_vm(
    view: dict[str, Any], profile: Profile, run: dict[str, Any], given: dict[str, Any], console: Console
) -> None:
    from ..playbook import variables
    from ..playbook.runner import run_playbook

    console.note(f"Measuring on the VM with the profile {profile.name}; users feel it meanwhile.")
    # An event of this command would not be part of the one JSON document.
    quiet = Console(as_json=False) if console.as_json else console
    # The verdict is made here, where the baselines are.
    wanted = variables.ValidatePerf(
        session=run["session"], profile=profile.name, fail_when_slow=False, progress=path_of(run), **given
    )
    try:
        take(run, run_playbook(wanted, quiet).data.get("run"))
    except BaseException as error:
        if _broke_off(error):
            _fetch(view, run, quiet)
        raise


def _ms(level: dict[str, Any], kind: str, which: str, digits: int = 0) -> str:
    figures = level[kind]
    return "-" if figures is None else f"{figures[which] * 1000:.{digits}f} ms"


def _per_second(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _show(console: Console, run: dict[str, Any]) -> None:
    heads = [
        Column("STREAMS"),
        Column("TTFT P50", 2),
        Column("TTFT P99", 5),
        Column("ITL P50", 3),
        Column("ITL P99", 8),
    ]
    heads += [Column("E2E P50", 7), Column("TOKENS/S EACH"), Column("TOKENS/S ALL", 1), Column("QUEUE", 9)]
    heads.append(Column("FAILED", 6))
    rows = []
    for level in run["levels"]:
        row = [str(level["concurrency"]), _ms(level, "ttft", "p50"), _ms(level, "ttft", "p99")]
        row += [_ms(level, "itl", "p50", 1), _ms(level, "itl", "p99", 1), _ms(level, "e2e", "p50")]
        row += [_per_second(level["stream_tps"]), _per_second(level["output_tps"])]
        queue = level["engine"]["queue_max"]
        rows.append([*row, "-" if queue is None else str(queue), str(level["failed"])])
    console.table(heads, rows)
    console.text(f"Run {run['id']}, from {'the VM' if run['where'] == 'vm' else 'here through the tunnel'}.")
    verdict = run["verdict"]
    console.text(f"{verdict['severity'].upper()}  {verdict['summary']}", STATES[verdict["severity"]])
    for reason in verdict["reasons"]:
        if reason["summary"] not in verdict["summary"]:
            console.text(f"{reason['severity']}: {reason['summary']}")


def _finish(
    console: Console,
    view: dict[str, Any],
    run: dict[str, Any],
    baseline: dict[str, Any] | None,
    new_baseline: bool,
    report: Path | None,
) -> Failure | None:
    """Judge the run, record it and show it; what it fails of, or its report. What is made of a whole document belongs here."""
    baseline = baseline or perf_history.baseline_of(run)
    run["verdict"] = judge(run, baseline, perf_history.near_of(run))
    perf_history.keep(run, new_baseline)
    failure = too_slow(run)
    if report is not None:
        from ..reports import page
        from ..reports.account import month_of_vm
        from ..reports.performance import performance_report

        try:
            page.write(report, performance_report(run, [baseline] if baseline else [], month_of_vm(view)))
        except Failure as unwritten:
            # What was measured is shown all the same.
            failure, report = failure or unwritten, None
    if console.as_json:
        document = {"command": "validate-perf", "session": run["session"], "sandbox": run["sandbox"], "run": run}
        console.result({**document, "error": failure.as_dict() if failure else None})
    else:
        _show(console, run)
    if report is not None:
        console.note(f"The report is {report.absolute()}")
    return failure


@app.command("validate-perf")
def validate_perf(
    name: SessionName = None,
    profile: Annotated[ProfileName, typer.Option(help="The kind of load.")] = ProfileName.quick,
    where: Annotated[Where, typer.Option("--from", help="On the VM, or from here through the tunnel.")] = Where.here,
    concurrency: Annotated[
        str | None, typer.Option(help="Streams at once, e.g. 1,4,16; for the profile quick.")
    ] = None,
    tokens: Annotated[int | None, typer.Option(help="Tokens of each answer; for the profile quick.")] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="RUN", help="Recorded run to compare with, as perf compare takes it.")
    ] = None,
    new_baseline: Annotated[
        bool, typer.Option("--new-baseline", help="Take this for the baseline from now on.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write it with pictures, as one HTML file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Measure TTFT, ITL, end to end and tokens per second. Exit code 6 when it is too slow."""
    console = Console(as_json)
    streams = _levels(concurrency)
    kind = profile_for(profile.value, streams, tokens)
    if report is not None:
        from ..reports import page, plots

        plots.check()
        page.check(report)
    reader = LinodeReader()
    view = pick(all_sessions(reader), name)
    quote = quote_of(reader, view["name"])
    run = begin(kind, where.value, view["name"], quote, is_sandbox(os.environ.get("LINODE_API_URL")))
    # Before anything is measured: a run that does not exist is a mistake of the command line.
    held_against = None if baseline is None else perf_history.resolve(baseline, run)
    try:
        if where is Where.vm:
            _on_the_vm(view, kind, run, {"concurrency": streams, "tokens": tokens}, console)
        else:
            _through_the_tunnel(view, kind, run, console)
    except BaseException:
        # Ctrl-C: what was measured until then is not lost.
        if run["levels"]:
            _finish(console, view, run, held_against, new_baseline=False, report=report)
        raise
    failure = _finish(console, view, run, held_against, new_baseline, report)
    if failure and as_json:
        raise typer.Exit(failure.exit_code)
    if failure:
        raise failure
