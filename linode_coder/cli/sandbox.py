"""linode-coder sandbox: a Linode account on your own machine, started, asked, broken and stopped."""

from __future__ import annotations

import enum
import re
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import parse_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..sandbox import control
from ..terminal.console import Console
from ..terminal.table import Column

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="A Linode account on your own machine.")
fault_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="Make the sandbox fail, on purpose and exactly.",
)
app.add_typer(fault_app, name="fault")
snapshot_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="Keep the whole sandbox with its sessions as a file.",
)
app.add_typer(snapshot_app, name="snapshot")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


class Hosts(enum.StrEnum):
    none = "none"
    simulated = "simulated"
    docker = "docker"


class Engine(enum.StrEnum):
    standin = "standin"
    vllm = "vllm"


class Timing(enum.StrEnum):
    instant = "instant"
    quick = "quick"
    realistic = "realistic"


class RateLimits(enum.StrEnum):
    recorded = "recorded"
    documented = "documented"
    off = "off"


# What a snapshot says itself.
_SAVED = ("hosts", "engine", "seed_instances", "timing", "rate_limits", "guest_seconds")


@app.command()
def start(
    ctx: typer.Context,
    hosts: Annotated[
        Hosts,
        typer.Option(
            help="none: the API alone. simulated: every instance answers SSH. docker: Debian with systemd and Docker (root)."
        ),
    ] = Hosts.simulated,
    engine: Annotated[
        Engine,
        typer.Option(
            help="What serves the model on the hosts: a stand-in for vLLM, or the real one on the CPU, installed once."
        ),
    ] = Engine.standin,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the API on loopback; 0 finds and keeps one.")
    ] = 0,
    seed_instances: Annotated[int, typer.Option(min=0, max=20000, help="Running instances of other people.")] = 0,
    timing: Annotated[Timing, typer.Option(help="How long creates and boots take.")] = Timing.quick,
    rate_limits: Annotated[RateLimits, typer.Option(help="Whose rate limits.")] = RateLimits.recorded,
    guest_seconds: Annotated[
        str | None,
        typer.Option(help="How long new hosts need: image=90,weights=120,engine=60. [default: about a second each]"),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="PATH", help="Go on with a snapshot; nothing of a sandbox may be here."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start it in the background; returns when it answers."""
    console = Console(as_json)
    seconds = _seconds(guest_seconds)
    if source is not None:
        facts, started = _from_snapshot(ctx, console, source, port), True
    else:
        facts, started = control.start(
            hosts.value,
            engine.value,
            port,
            seed_instances,
            timing.value,
            rate_limits.value,
            seconds,
            say=_Progress(console),
        )
    console.step_done()
    if as_json:
        console.result({"command": "sandbox start", "started": started, "sandbox": facts})
        return
    console.text(f"The sandbox {'is ready' if started else 'runs already'} at {facts['url']} ({_hosts(facts)}).")
    console.text('Point this shell at it:  eval "$(linode-coder sandbox env)"')


def _from_snapshot(ctx: typer.Context, console: Console, source: Path, port: int) -> dict[str, Any]:
    from ..sandbox import snapshot

    for name in _SAVED:
        given = ctx.get_parameter_source(name)
        if given is not None and given.name == "COMMANDLINE":
            option = "--" + name.replace("_", "-")
            raise Failure(
                "usage",
                f"{option} is not for a snapshot, which goes on as it was saved.",
                remedy=f"Leave out {option}, or --from.",
                field=name,
            )
    return snapshot.start(source, port, say=_Progress(console))


def _seconds(text: str | None) -> dict[str, float]:
    found = {}
    for part in (text or "").split(",") if text else []:
        name, _, value = part.partition("=")
        if name not in ("image", "weights", "engine") or not re.fullmatch(r"\d{1,5}(\.\d+)?", value):
            raise Failure(
                "usage",
                f"guest-seconds {part!r} is not NAME=SECONDS.",
                remedy="The names are image, weights and engine, such as: --guest-seconds image=90,weights=120",
                field="guest_seconds",
                value=text,
            )
        found[name] = float(value)
    return found


class _Progress:
    """Steps as they come, on the console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = ""

    def __call__(self, step: str, detail: str) -> None:
        if step != self._step:
            self._step = step
            self._console.step(step)
        self._console.tick(detail)


@app.command()
def prepare(
    webui: Annotated[
        bool,
        typer.Option(
            "--webui", help="Also the real Open WebUI, which simulated hosts with the real vLLM run from then on."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Install the real vLLM for `start --engine vllm` beforehand; some minutes, once."""
    from ..sandbox import vllm_env, webui_env

    console = Console(as_json)
    progress = _Progress(console)
    there = vllm_env.complete() and (not webui or webui_env.complete())
    place = vllm_env.ensure(progress)
    webui_place = webui_env.ensure(progress) if webui else None
    console.step_done()
    if as_json:
        console.result(
            {
                "command": "sandbox prepare",
                "changed": not there,
                "directory": str(place),
                "webui_directory": None if webui_place is None else str(webui_place),
            }
        )
        return
    console.text(f"vLLM {vllm_env.VLLM} {'was already' if there else 'is'} in {place}.")
    if webui_place is not None:
        console.text(f"Open WebUI {webui_env.OPEN_WEBUI} {'was already' if there else 'is'} in {webui_place}.")


def _hosts(facts: dict[str, Any]) -> str:
    if facts["hosts"] == "none":
        return "no hosts behind its instances"
    return f"{facts['hosts']} hosts, SSH on port {facts['ssh_port']}, engine: {facts['engine']}"


@app.command()
def stop(as_json: AsJson = False) -> None:
    """Stop it and every host; the account is there again after the next start."""
    console = Console(as_json)
    stopped = control.stop()
    if as_json:
        console.result({"command": "sandbox stop", "stopped": stopped})
    else:
        console.text("The sandbox is stopped." if stopped else "No sandbox was running.")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show what runs, how many instances there are and which faults are armed."""
    console = Console(as_json)
    facts = control.call("GET", "status")
    if as_json:
        console.result({"command": "sandbox status", "sandbox": facts})
        return
    console.text(f"The sandbox answers at {facts['url']} ({_hosts(facts)}), process {facts['pid']}.")
    states = ", ".join(f"{count} {state}" for state, count in sorted(facts["instances"].items())) or "none"
    console.text(f"Instances: {states}. Faults: {len(facts['faults'])}.")


@app.command()
def env(as_json: AsJson = False) -> None:
    """Print the environment that points our commands and foreign clients at it."""
    console = Console(as_json)
    exports = control.environment(control.running())
    if as_json:
        console.result({"command": "sandbox env", "env": exports})
        return
    for name, value in exports.items():
        print(f"export {name}={shlex.quote(value)}")


@app.command()
def age(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Label or id of an instance or a firewall.")],
    by: Annotated[str, typer.Argument(metavar="DURATION", help="How much earlier it was created, e.g. 50m.")],
    as_json: AsJson = False,
) -> None:
    """Make an object older than it is: see a paid hour end, or what is left over, without waiting."""
    console = Console(as_json)
    data = control.call("POST", "age", {"name": name, "seconds": parse_duration(by, "duration")})
    if as_json:
        console.result({"command": "sandbox age", **data})
        return
    for row in data["older"]:
        console.text(f"{row['kind']} {row['label']} now counts as created at {row['created']} UTC.")


@app.command()
def reset(as_json: AsJson = False) -> None:
    """Delete every host and forget the whole account; other people's instances too."""
    console = Console(as_json)
    control.call("POST", "reset")
    if as_json:
        console.result({"command": "sandbox reset"})
    else:
        console.text("The sandbox's account is empty.")


@snapshot_app.command("save")
def save(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The file to write; it will hold keys.")],
    as_json: AsJson = False,
) -> None:
    """Write account, hosts and keys to a file; the sandbox is stopped for that and started again."""
    from ..sandbox import snapshot

    console = Console(as_json)
    console.step("Stop the sandbox, save it and start it again")
    saved = snapshot.save(path)
    console.step_done()
    if as_json:
        console.result({"command": "sandbox snapshot save", **saved})
        return
    names = ", ".join(saved["sessions"]) or "no session"
    console.text(
        f"Saved {names} in {saved['path']} ({saved['bytes'] / 1e6:.1f} MB). It holds keys: keep it to yourself."
    )
    console.text("The sandbox was stopped for that and runs again; its hosts booted.")
    console.text(
        f"Go on with it elsewhere:  LINODE_CODER_HOME=DIRECTORY linode-coder sandbox start --from {shlex.quote(saved['path'])}"
    )


def _pairs(option: str, pairs: list[str], example: str) -> dict[str, str]:
    where = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise Failure(
                "usage",
                f"--{option} {pair!r} is not NAME=VALUE.",
                remedy=f"Such as: --{option} {example}",
                field=option,
                value=pair,
            )
        where[key] = value
    return where


@fault_app.command("add")
def add(
    kind: Annotated[str, typer.Argument(help="What to break; `fault list` names the kinds.")],
    on: Annotated[
        str | None, typer.Option(help="Which requests: 'POST /linode/instances', 'GET /linode/instances/{id}'.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Break this instance's host instead (label or id).")] = None,
    count: Annotated[int | None, typer.Option(min=0, help="How often; 0 is until cleared. [default: 1]")] = None,
    skip: Annotated[int, typer.Option(min=0, help="Let this many pass first.")] = 0,
    status: Annotated[int, typer.Option(help="Status of error and edge, and of these after commit.")] = 502,
    retry_after: Annotated[int, typer.Option(min=0, help="Seconds, for rate_limited.")] = 2,
    delay: Annotated[float, typer.Option(min=0, help="Seconds, for delay and slow_boot.")] = 5.0,
    where: Annotated[list[str] | None, typer.Option(help="FIELD=VALUE of the request's body; may be repeated.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE of a host's fault, such as cause=gated; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Arm one."""
    console = Console(as_json)
    spec: dict[str, Any] = {
        "kind": kind,
        "on": on,
        "skip": skip,
        "status": status,
        "retry_after": retry_after,
        "delay": delay,
        "where": _pairs("where", where or [], "region=us-ord"),
    }
    if count is not None:
        spec["count"] = count or None
    extra = _pairs("set", settings or [], "cause=gated")
    if extra and host is None:
        raise Failure(
            "usage",
            "--set is for faults of a host.",
            remedy="Name the host with --host, or narrow a fault of requests with --where.",
            field="set",
        )
    if host is not None:
        spec = {**extra, **spec}
        spec = {key: value for key, value in {**spec, "host": host}.items() if value not in (None, {})}
    armed = control.call("POST", "faults", spec)
    if as_json:
        console.result({"command": "sandbox fault add", "fault": armed})
    else:
        console.text(f"Armed: {_describe(armed)}")


def _describe(fault: dict[str, Any]) -> str:
    if "host" in fault:
        return f"{fault['kind']} on host {fault['host']}"
    text = f"{fault['id']}: {fault['kind']}"
    if fault["on"]:
        text += f" on {fault['on']}"
    if fault["where"]:
        text += " where " + ", ".join(f"{key}={value}" for key, value in fault["where"].items())
    left = "until cleared" if fault["count"] is None else f"{fault['count']} more"
    return f"{text} ({left}, struck {fault['hits']} times)"


@fault_app.command("list")
def list_faults(as_json: AsJson = False) -> None:
    """Show the armed ones, and every kind there is."""
    console = Console(as_json)
    data = control.call("GET", "faults")
    if as_json:
        console.result({"command": "sandbox fault list", **data})
        return
    for fault in data["faults"]:
        console.text(_describe(fault))
    if not data["faults"]:
        console.text("No fault is armed.")
    console.text()
    for title, kinds in (("KIND", data["kinds"]), ("KIND (--host)", data["host_kinds"])):
        console.table([Column(title), Column("WHAT HAPPENS", text=True)], list(kinds.items()))
        console.text()


@fault_app.command("clear")
def clear(
    number: Annotated[int | None, typer.Argument(metavar="ID", help="Only this one.")] = None, as_json: AsJson = False
) -> None:
    """Disarm them."""
    console = Console(as_json)
    data = control.call("DELETE", "faults" if number is None else f"faults/{number}")
    if as_json:
        console.result({"command": "sandbox fault clear", **data})
    else:
        console.text(f"Disarmed {data['cleared']}.")
