"""linode-coder status: one session's clocks, cost and endpoint. Never starts Ansible."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.duration import format_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.failure import Failure

from .. import history
from ..api import LinodeReader
from ..console import Console, money
from ..sessions import all_sessions, pick

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def endpoint_state(name: str) -> dict[str, Any]:
    """What can be said of the endpoint without a new connection: unknown is not unhealthy."""
    from .. import tunnel

    port = tunnel.local_port(name)
    is_open = tunnel.is_open(name)
    return {
        "url": f"http://127.0.0.1:{port}/v1" if port else None,
        "tunnel": "open" if is_open else "closed",
        "engine": ("healthy" if tunnel.healthy(port) else "not answering") if is_open and port else "unknown",
    }


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the session.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show one session: clocks, cost, endpoint."""
    console = Console(as_json)
    try:
        view = pick(all_sessions(LinodeReader()), name)
    except Failure as failure:
        if failure.exit_code == 5:
            failure.billing = tuple(
                f"{record['name']} was {record['plan']} in {record['region']} and may still bill"
                for record in history.known(name)
                if not record["ended"]
            )
        raise
    endpoint = endpoint_state(view["name"])
    if as_json:
        console.result(
            {"command": "status", "observed": format_time(int(time.time())), "session": view, "endpoint": endpoint}
        )
        return
    left = view["lease_left"]
    idle = "off" if view["idle_minutes"] is None else f"{view['idle_minutes']} min"
    console.text(f"session   {view['name']}: {view['status']}, {view['label']} ({view['linode_id']})")
    console.text(f"runs on   {view['plan']} in {view['region']}, owner {view['owner']}")
    console.text(f"model     {view['model']}")
    console.text(f"endpoint  {endpoint['url'] or 'none yet'}, tunnel {endpoint['tunnel']}, engine {endpoint['engine']}")
    console.text(
        f"cost      {money(view['hourly'])}/h, {money(view['cost_so_far'])} so far, paid until {view['paid_until']}"
    )
    lease = "unknown" if left is None else format_duration(left) + " left" if left > 0 else "over"
    console.text(
        f"lease     {lease}, {money(view['cost_to_lease_end'])} to its end, hard cap {view['hard_cap']}, idle limit {idle}"
    )
    if not view["complete"]:
        console.text(f"warning   the tags lack {', '.join(view['missing'])}: no command can manage this VM safely")
    console.text(f"observed  {format_time(int(time.time()))}, from the API's tags")
