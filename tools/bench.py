"""`make bench`: ratios of our commands against their peers, measured in one run on one sandbox.

CPU seconds (user and system of the whole process tree) are the steady figure on a shared machine, so the goals are about
them; the minimum of a few runs is quoted for both sides, which run in turns, since such a machine is faster now and slower
then. The goals were set on a machine on which a playbook that does nothing takes 1.1 CPU seconds; here they are as much smaller
or larger as that playbook is beside the command. The exit code is 1 when a goal is missed.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

sys.path.append(str(Path(__file__).parents[1]))
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode

from tests.sandbox_fixture import RunningSandbox, start_sandbox
from tools.bench_watchdog import WATCHED, watching

BIN = Path(sys.executable).parent
SEEDED = 2000


class Cost(NamedTuple):
    """Least wall and CPU seconds of a few runs."""

    wall: float
    cpu: float


missed: list[str] = []
# CPU seconds of a playbook that does nothing, where the goals in CPU seconds were set.
GOALS_NOTHING = 1.1


def once(command: list[str], env: dict[str, str]) -> Cost:
    """A command that has to succeed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, env=env, cwd="/", check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(time.monotonic() - began, cpu)


def least(costs: list[Cost]) -> Cost:
    return Cost(min(cost.wall for cost in costs), min(cost.cpu for cost in costs))


def measure(command: list[str], env: dict[str, str], runs: int = 3) -> Cost:
    return least([once(command, env) for _ in range(runs)])


def in_turns(command: list[str], peer: list[str], env: dict[str, str], runs: int = 3) -> tuple[Cost, Cost]:
    """Ours and its peer, which runs before and after each of ours."""
    ours, theirs = [], [once(peer, env)]
    for _ in range(runs):
        ours.append(once(command, env))
        theirs.append(once(peer, env))
    return least(ours), least(theirs)


def verdict(title: str, value: float, goal: float | None) -> str:
    if goal is None:
        return ""
    if value > goal:
        missed.append(f"{title}: {value:.2f}, goal {goal:.2f}")
    return f" | goal {goal:.2f} {'met' if value <= goal else 'MISSED'}"


def show(title: str, ours: Cost, goal: float | None = None) -> None:
    """One of our commands; ``goal`` is about its CPU seconds."""
    print(
        f"{title:34} {ours.wall:6.2f} s wall {ours.cpu:6.2f} s CPU{verdict(title, ours.cpu, goal)}",
        flush=True,
    )


def compare(title: str, peer_name: str, costs: tuple[Cost, Cost], goal: float | None = None) -> None:
    """One of our commands and its peer, as measured in turns; ``goal`` is about the ratio of CPU seconds."""
    ours, peer = costs
    cpu = ours.cpu / peer.cpu
    print(
        f"{title:34} {ours.wall:6.2f} s wall {ours.cpu:6.2f} s CPU | {peer_name:26} {peer.wall:6.2f} {peer.cpu:6.2f} | "
        f"ratio {ours.wall / peer.wall:5.2f} wall {cpu:5.2f} CPU{verdict(title, cpu, goal)}",
        flush=True,
    )


class Counter(BaseHTTPRequestHandler):
    """Passes requests on to the sandbox and counts them."""

    upstream = ""
    seen = 0

    def do_GET(self) -> None:
        type(self).seen += 1
        there = http.client.HTTPConnection(self.upstream, timeout=60)
        there.request("GET", self.path, headers={k: v for k, v in self.headers.items() if k.lower() != "host"})
        answer = there.getresponse()
        body = answer.read()
        there.close()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: the count is the result."""


@contextmanager
def counted(sandbox: RunningSandbox) -> Iterator[str]:
    """Address of a counting proxy before the sandbox."""
    Counter.upstream, Counter.seen = urlsplit(sandbox.url).netloc, 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Counter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def make_sessions(sandbox: RunningSandbox, wanted: int) -> None:
    """Give the first of the seeded instances the tags of sessions."""
    there = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {sandbox.env['LINODE_TOKEN']}", "Content-Type": "application/json"}
    found: list[int] = []
    for page in range(1, -(-wanted // 500) + 1):
        there.request("GET", f"/v4/linode/instances?page={page}&page_size=500", headers=headers)
        found += [row["id"] for row in json.loads(there.getresponse().read())["data"] if row["label"][:6] == "other-"]
    now = int(time.time())
    for number, instance in enumerate(found[:wanted]):
        tags = SessionTags(
            f"s{number}", 1, "bench", now + 36000, now + 72000, 45, 520000, "org/Model-7B", number.to_bytes(32, "big")
        )
        there.request("PUT", f"/v4/linode/instances/{instance}", json.dumps({"tags": encode(tags)}), headers)
        answer = there.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(body.decode())
    there.close()


def reading(env: dict[str, str], coder: str, nothing: list[str]) -> None:
    """Commands that only read, against the tools that people would use instead."""
    ansible = ["ansible", "--version"]
    listing, bare = in_turns([coder, "list"], nothing, env)
    show("list", listing, 0.25 * bare.cpu / GOALS_NOTHING)
    compare("list", "linode-cli linodes list", in_turns([coder, "list"], ["linode-cli", "linodes", "list"], env))
    compare("list", "ansible --version", in_turns([coder, "list"], ansible, env))
    help_text, bare = in_turns([coder, "--help"], nothing, env)
    pressed = [coder, "__complete", "bash", "down", ""]
    compare("completion", "playbook that does nothing", in_turns(pressed, nothing, env), 0.1 / GOALS_NOTHING)
    show("--help", help_text, 0.20 * bare.cpu / GOALS_NOTHING)
    compare("--help", "ansible --version", in_turns([coder, "--help"], ansible, env))


def inventory(sandbox: RunningSandbox, env: dict[str, str], empty: Path) -> None:
    """The dynamic inventory among many instances of others, and how it grows with the sessions."""
    bare = ["ansible-inventory", "-i", str(empty), "--list"]
    costs = {}
    for sessions in (5, 500):
        make_sessions(sandbox, sessions)
        title = f"inventory, {sessions} sessions in {SEEDED}"
        with counted(sandbox) as url:
            listed = subprocess.run(
                ["ansible-inventory", "-i", sandbox.inventory, "--list"],
                env={**env, "LINODE_API_URL": url},
                cwd="/",
                check=True,
                capture_output=True,
                text=True,
                timeout=300,
            )
            requests = Counter.seen
        hosts = len(json.loads(listed.stdout)["_meta"]["hostvars"])
        if hosts != sessions:
            raise RuntimeError(f"the inventory shows {hosts} of {sessions} sessions")
        print(f"{title:34} {requests} request(s){verdict(title + ', requests', requests, 1)}", flush=True)
        both = in_turns(["ansible-inventory", "-i", sandbox.inventory, "--list"], bare, env)
        compare(title, "bare ansible-inventory", both)
        costs[sessions] = both[0]
    each = (costs[500].cpu - costs[5].cpu) / 495 * 1000
    print(f"{'inventory, growth':34} {each:.2f} ms CPU for each further session", flush=True)


def playbook_of(directory: Path, name: str, text: str) -> str:
    path = directory / name
    path.write_text(text)
    return str(path)


def nothing(directory: Path) -> list[str]:
    """A playbook that does nothing."""
    path = playbook_of(directory, "nothing.yml", "- hosts: localhost\n  gather_facts: false\n  tasks: []\n")
    return ["ansible-playbook", "-i", ",", path]


def changing(sandbox: RunningSandbox, env: dict[str, str], coder: str, directory: Path) -> None:
    """What runs a playbook, from first to last, against one that does nothing."""
    peer = nothing(directory)

    def cost(title: str, goal: float | None, *arguments: str, runs: int = 3, ratio: float | None = None) -> None:
        found, bare = in_turns([coder, *arguments], peer, env, runs)
        compare(title, "playbook that does nothing", (found, bare), ratio)
        if goal is not None:
            show(title, found, goal * bare.cpu / GOALS_NOTHING)

    cost("watchdog, no session", 2.0, "watchdog", "--once")
    cost("up", 15.0, "up", "bench", "--yes", runs=1)
    cost("no-op up", None, "up", "bench", ratio=2.0)
    cost("no-op up, converging", 8.0, "up", "bench", "--converge", runs=2)
    cost("check", 3.0, "check", "bench")
    ping = "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.ping:\n"
    pinging = ["ansible-playbook", "-i", sandbox.inventory, playbook_of(directory, "ping.yml", ping)]
    compare("check", "ping of the same VM", in_turns([coder, "check", "bench"], pinging, env))
    cost("watchdog, one session", 4.0, "watchdog", "--once")
    cost("extend", 2.0, "extend", "bench", "1m")
    cost("pause", 2.0, "pause", "bench", "--for", "1h")
    cost("down", None, "down", "bench", "--yes", runs=1)


# An image of 10 GB, weights of 14 GB and a first start, in realistic proportions at a third of their time: it takes three minutes,
# and what Ansible needs between the phases weighs three times as much as it would.
BRING_UP = {"image": 60.0, "weights": 80.0, "engine": 40.0}


def bring_up() -> None:
    """A first `up` with long downloads: against its longest chain, and against one step after another."""
    with (
        tempfile.TemporaryDirectory() as directory,
        start_sandbox(Path(directory), hosts="simulated", guest_seconds=BRING_UP) as sandbox,
    ):
        coder = str(BIN / "linode-coder")
        done = subprocess.run(
            [coder, "up", "bench", "--yes", "--json"], env=sandbox.env, check=True, capture_output=True, timeout=1800
        )
        found = json.loads(done.stdout.splitlines()[-1])["timeline"]
        subprocess.run([coder, "down", "bench", "--yes"], env=sandbox.env, check=True, capture_output=True, timeout=600)
    title = "first up, time to a token"
    ratio = found["seconds"] / found["longest_chain"]
    print(
        f"{title:34} {found['seconds']:6.1f} s wall | longest chain {found['longest_chain']:.1f} s "
        f"({' > '.join(found['critical_path'])}), one after another {found['one_after_another']:.1f} s | "
        f"ratio {ratio:.2f}{verdict(title, ratio, 1.15)}",
        flush=True,
    )
    phases = ", ".join(f"{row['name']} {row['begins']:.1f}+{row['seconds']:.1f}" for row in found["phases"])
    print(f"{'':34} {phases}", flush=True)


# An image of 10 GB, weights of 40 GB and a first start, in the same proportions: a model for which one pays by the minute.
WARM = {"image": 60.0, "weights": 130.0, "engine": 45.0}


def warm() -> None:
    """A first `up` that fills a volume, and one that starts from it, both up to the first token."""
    with (
        tempfile.TemporaryDirectory() as directory,
        start_sandbox(Path(directory), hosts="simulated", guest_seconds=WARM) as sandbox,
    ):
        coder = str(BIN / "linode-coder")

        def run(*arguments: str) -> dict[str, Any]:
            command = [coder, *arguments, "--yes", "--json"]
            done = subprocess.run(command, env=sandbox.env, check=True, capture_output=True, timeout=1800)
            return dict(json.loads(done.stdout.splitlines()[-1]))

        cold = run("up", "bench", "--keep-warm")
        volume = cold["warm"]["volume"]["name"]
        run("down", "bench")
        kept = run("up", "bench")
        run("down", "bench")
        run("warm", "drop", volume)
    title = "warm up, time to a token"
    ratio = kept["timeline"]["seconds"] / cold["timeline"]["seconds"]
    print(
        f"{title:34} {kept['timeline']['seconds']:6.1f} s wall ({' > '.join(kept['timeline']['critical_path'])}) | cold "
        f"{cold['timeline']['seconds']:.1f} s ({' > '.join(cold['timeline']['critical_path'])}) | ratio {ratio:.2f}"
        f"{verdict(title, ratio, 0.5)}",
        flush=True,
    )


def watch() -> None:
    """A pass of the watchdog over many hosts, for each of them: most of it is wall time of the round trip."""
    with (
        tempfile.TemporaryDirectory() as directory,
        start_sandbox(Path(directory), hosts="simulated", rate_limits="off") as sandbox,
    ):
        env = {**sandbox.env, "PATH": f"{BIN}{os.pathsep}{sandbox.env['PATH']}"}
        bare = measure(nothing(Path(directory)), env)
        found = watching(sandbox, sandbox.env, str(BIN / "linode-coder"))
    title = f"watchdog, {WATCHED} healthy hosts"
    ratio = found.whole / found.plain
    print(
        f"{title:34} {found.whole:6.2f} s wall for each, {found.further:.2f} s for each further one | plain ssh, one after "
        f"another {found.plain:.2f} s | ratio {ratio:.2f}{verdict(title, ratio, 1.2)}",
        flush=True,
    )
    goal = 0.3 * bare.cpu / GOALS_NOTHING
    print(
        f"{'':34} {found.control:6.2f} s CPU of the control node for each, plain ssh {found.plain_control:.2f} s"
        f"{verdict(title + ', control node', found.control, goal)}",
        flush=True,
    )


def main() -> int:
    # Ended early it leaves nothing behind: what it started is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    wanted = sys.argv[1:] or ["up", "warm", "watchdog", "commands"]
    if "up" in wanted:
        bring_up()
    if "warm" in wanted:
        warm()
    if "watchdog" in wanted:
        watch()
    if "commands" in wanted:
        commands()
    for line in missed:
        print(f"MISSED  {line}", file=sys.stderr)
    return 1 if missed else 0


def commands() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        start_sandbox(Path(directory), hosts="simulated", seed_instances=SEEDED, rate_limits="off") as sandbox,
    ):
        env = {**sandbox.env, "PATH": f"{BIN}{os.pathsep}{sandbox.env['PATH']}"}
        empty = Path(directory) / "empty.yml"
        empty.write_text(json.dumps({"all": {"hosts": {}}}))
        coder = str(BIN / "linode-coder")
        changing(sandbox, env, coder, Path(directory))
        make_sessions(sandbox, 5)
        reading(env, coder, nothing(Path(directory)))
        inventory(sandbox, env, empty)


if __name__ == "__main__":
    sys.exit(main())
