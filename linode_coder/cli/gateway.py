"""linode-coder gateway: one endpoint on this machine for all sessions, which starts the one that is asked for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..api import LinodeReader
from ..local.sessions import all_sessions
from ..settings.config import export_credentials, only
from ..terminal.console import Console
from ..watchdog.timer import load_environment, program

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_SETTINGS = ("cap", "gateway_port", "gateway_hours", "gateway_wakes", "gateway_lease", "gateway_sessions")


@app.command()
def gateway(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the loopback (default: the configuration's, 17000).")
    ] = None,
    install: Annotated[bool, typer.Option("--install", help="Run it as a service of your systemd.")] = False,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Remove that service.")] = False,
    env_file: Annotated[
        Path | None, typer.Option(help="File of mode 0600 with LINODE_TOKEN=... and more, for a service.")
    ] = None,
    hold: Annotated[float, typer.Option(hidden=True, min=0.0)] = 25.0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines of events.")] = False,
) -> None:
    """Serve all sessions at one endpoint of this machine, and start again the one that a request asks for."""
    if install and uninstall:
        raise Failure(
            "usage", "--install and --uninstall do not go together.", remedy="Give one of them.", field="uninstall"
        )
    if importlib.util.find_spec("aiohttp") is None:
        raise Failure(
            "config",
            "The gateway needs aiohttp, which is not installed.",
            remedy="Install the gateway's extra: pip install 'linode-coder[gateway]'",
        )
    if env_file is not None:
        load_environment(env_file)
    console = Console(as_json)
    export_credentials()
    config = only(*_SETTINGS)
    if install or uninstall:
        _service(console, config.gateway_port if port is None else port, install)
        return
    # Nothing of it is started with a token that is missing.
    reader = LinodeReader()
    from ..gateway.app import Patience
    from ..gateway.serve import serve

    def tell(line: str, event: dict[str, Any]) -> None:
        if as_json:
            if event:
                console.event(event["event"], **{key: value for key, value in event.items() if key != "event"})
        else:
            console.note(line)

    serve(
        config,
        config.gateway_port if port is None else port,
        program(),
        lambda: all_sessions(reader),
        tell,
        Patience(hold=hold),
    )


def _service(console: Console, port: int, install: bool) -> None:
    from ..gateway import unit
    from ..gateway.key import gateway_key, key_file

    if not install:
        removed = unit.uninstall()
        if console.as_json:
            console.result({"command": "gateway", "service": "removed", "changed": removed})
        else:
            console.text("The service is removed; its key stays." if removed else "No service was installed.")
        return
    gateway_key()
    changed = unit.install(port)
    url = f"http://127.0.0.1:{port}/v1"
    if console.as_json:
        console.result(
            {
                "command": "gateway",
                "service": unit.UNIT,
                "changed": changed,
                "endpoint": url,
                "api_key_file": str(key_file()),
                "env_file": str(unit.environment_file()),
            }
        )
        return
    console.text(
        f"A service of this user serves {url}, {'from now on' if changed else 'as before: nothing to change'}."
    )
    console.text(f"API key   in {key_file()}")
    console.text(f"token     in {unit.environment_file()}")
    console.text("note      it stops when you log out, unless: loginctl enable-linger")
    console.text(f"look      journalctl --user -u {unit.UNIT} -f")
    console.text("undo      linode-coder gateway --uninstall")
