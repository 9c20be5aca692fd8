"""`make thousand`: what a thousand sessions make of the commands that read all of them, measured on the sandbox.

SESSIONS says how many (1000), ONLY is a pattern of the commands' titles (all of them). The API is the sandbox's, with the rate limits that Linode documents; no VM is behind it, and
all of this runs in a network of its own, whose only way out swallows every packet: what SSH meets there is a VM that is off,
which is the worst that a pass of the watchdog can meet. Needs root, for that network.

For each command: wall and CPU seconds and the most memory of it and its children, the requests that the API answered, and
those that it refused with 429.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import firewall_label, instance_label
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER, SessionTags, encode

from tests.sandbox_fixture import RunningSandbox, start_sandbox

BIN = Path(sys.executable).parent
SESSIONS = int(os.environ.get("SESSIONS", "1000"))
# What `cleanup` has to remove: firewalls of sessions whose VM somebody deleted elsewhere.
DEAD = max(1, SESSIONS // 20)
PLAN, REGION, MODEL = "g2-gpu-rtx4000a1-s", "us-ord", "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"
_INSIDE = "--inside"
_AWAY = (
    "link set lo up",
    "link add away type veth peer name gone",
    "address add 10.255.255.1/24 dev away",
    "link set away up",
    "link set gone up",
    # At the other end nobody is asked for an address, and nobody forwards.
    "neighbour add 10.255.255.2 lladdr 02:00:00:00:00:01 dev away nud permanent",
    "route add default via 10.255.255.2",
)


def own_network() -> None:
    """Go on in a network whose packets reach nobody."""
    os.execvp("unshare", ["unshare", "--net", sys.executable, __file__, _INSIDE])


def make(sandbox: RunningSandbox, count: int) -> None:
    """Sessions as `up` leaves them: a VM with all tags, and a firewall."""
    now = int(time.time())

    def one(number: int) -> None:
        name = f"s{number}"
        key = os.urandom(32)
        tags = SessionTags(name, 1, "ada", now + 8 * 3600, now + 24 * 3600, 45, 520_000, MODEL, key)
        wall = {
            "label": firewall_label(name),
            "tags": [MARKER, f"lc:session:{name}"],
            "rules": {"inbound": [], "inbound_policy": "DROP", "outbound": [], "outbound_policy": "ACCEPT"},
        }
        body = {
            "label": instance_label(name, 1),
            "type": PLAN,
            "region": REGION,
            "image": "linode/debian12",
            "root_pass": os.urandom(24).hex() + "Aa1!",
            "tags": encode(tags),
            "firewall_id": sandbox.api("POST", "networking/firewalls", wall)["id"],
        }
        sandbox.api("POST", "linode/instances", body)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(1, count + 1)))


def kill_some(sandbox: RunningSandbox, count: int) -> None:
    """Delete VMs as Cloud Manager would: their firewalls stay."""
    rows = sandbox.api("GET", "linode/instances?page_size=500")["data"][:count]
    for row in rows:
        sandbox.api("DELETE", f"linode/instances/{row['id']}")
    deadline = time.monotonic() + 60
    gone = {row["id"] for row in rows}
    while gone & {row["id"] for row in sandbox.api("GET", "linode/instances?page_size=500")["data"]}:
        if time.monotonic() > deadline:
            raise RuntimeError("the VMs do not go")
        time.sleep(0.2)
    for row in rows:
        # What is younger may still be being made.
        sandbox.age(row["label"].removesuffix("-1"), 3600)


def counted(sandbox: RunningSandbox) -> dict[str, tuple[int, int]]:
    with urllib.request.urlopen(f"{sandbox.url}_sandbox/status", timeout=60) as answer:
        said: dict[str, Any] = json.load(answer)["requests"]
    return {kind: (row["answered"], row["refused"]) for kind, row in said.items()}


def measured(sandbox: RunningSandbox, title: str, command: list[str]) -> None:
    """Run it and print its line."""
    before, began = counted(sandbox), time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, env=sandbox.env, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _pid, status, used = os.wait4(process.pid, 0)
        wall, code = time.monotonic() - began, os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        said, complaint = out.read(), err.read()
    after = counted(sandbox)
    requests = {
        kind: [now - was for now, was in zip(after[kind], before.get(kind, (0, 0)), strict=True)] for kind in after
    }
    requests = {kind: pair for kind, pair in requests.items() if any(pair)}
    words = ", ".join(
        f"{answered} {kind}" + (f" and {refused} refused" if refused else "")
        for kind, (answered, refused) in requests.items()
    )
    cpu = used.ru_utime + used.ru_stime
    print(
        f"{title:34} exit {code:3} {wall:8.2f} s wall {cpu:8.2f} s CPU {used.ru_maxrss // 1024:5} MiB "
        f"{len(said) / 1e6:6.2f} MB out | {words or 'no request'}",
        flush=True,
    )
    if code and os.environ.get("VERBOSE"):
        print(complaint.decode(errors="replace")[-2000:], flush=True)


def main() -> None:
    if sys.argv[1:] != [_INSIDE]:
        own_network()
    for line in _AWAY:
        subprocess.run(["ip", *line.split()], check=True)
    coder, inventory = str(BIN / "linode-coder"), str(BIN / "ansible-inventory")
    with tempfile.TemporaryDirectory(prefix="lc-thousand-") as text:
        at = Path(text)
        began = time.monotonic()
        with start_sandbox(at, "none", plants_vms=True, timing="instant", rate_limits="off") as sandbox:
            make(sandbox, SESSIONS)
        print(f"{SESSIONS} sessions made in {time.monotonic() - began:.0f} s", flush=True)
        with start_sandbox(at, "none", plants_vms=True, timing="instant", rate_limits="documented") as sandbox:
            everything(sandbox, coder, inventory)


def everything(sandbox: RunningSandbox, coder: str, inventory: str) -> None:
    def measure(title: str, command: list[str]) -> None:
        if re.search(os.environ.get("ONLY", ""), title):
            measured(sandbox, title, command)

    source = ["-i", sandbox.inventory]
    measure("list", [coder, "list"])
    measure("list --json", [coder, "list", "--json"])
    measure("status NAME", [coder, "status", "s7", "--json"])
    measure("complete a name", [coder, "__complete", "bash", "status", "s"])
    measure("metrics", [coder, "metrics"])
    measure("cost", [coder, "cost", "--json"])
    measure("ansible-inventory --graph", [inventory, *source, "--graph"])
    measure("ansible-inventory --list", [inventory, *source, "--list"])
    measure("up --dry-run", [coder, "up", "another", "--dry-run"])
    measure("cleanup, nothing dead", [coder, "cleanup", "--dry-run", "--json"])
    kill_some(sandbox, DEAD)
    measure(f"cleanup, {DEAD} dead", [coder, "cleanup", "--everyone", "--yes", "--json"])
    measure("watchdog --once --heal off", [coder, "watchdog", "--once", "--heal", "off", "--json"])
    measure("watchdog --once", [coder, "watchdog", "--once", "--json"])


if __name__ == "__main__":
    main()
