# SPDX-License-Identifier: GPL-3.0-or-later
"""What is idle and what is not, on a session that serves: real requests, real metrics, the real clock on the VM."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import with_doom

from tests.ready_session import ready_session, serving
from tests.sandbox_fixture import RunningSandbox
from tests.slow.test_watchdog import age, ask, clock, coder, on_vm

RESTART = (
    "import subprocess\n"
    "subprocess.run(['docker', 'compose', '--project-directory', '/opt/linode-coder/vllm', 'restart'], check=True)\n"
)
SIGNAL = (
    "import os, pathlib, signal\n"
    "for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
    "    if b'engine.main' in path.read_bytes():\n"
    "        os.kill(int(path.parent.name), signal.%s)\n"
)
# On a busy machine `up` alone may take longer than what is allowed elsewhere.
pytestmark = pytest.mark.timeout(900)
NAME = "main"
LABEL = f"lc-{NAME}-1"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("idle")) as running:
        running.env["ANSIBLE_HOME"] = str(running.home.parent / "ansible")
        yield running


@pytest.fixture(scope="module")
def up(sandbox: RunningSandbox) -> dict[str, Any]:
    return serving(sandbox)


def look(sandbox: RunningSandbox, **environment: str) -> dict[str, Any]:
    """One pass: what it says of the session."""
    before = {name: sandbox.env.get(name) for name in environment}
    sandbox.env.update(environment)
    try:
        seen = coder(sandbox, "watchdog", "--once", "--interval", "5m", "--heal", "off")
    finally:
        for name, value in before.items():
            if value is None:
                del sandbox.env[name]
            else:
                sandbox.env[name] = value
    assert seen["failures"] == {} and seen["deleted"] == []
    return dict(seen["sessions"][0])


def instance(sandbox: RunningSandbox) -> dict[str, Any]:
    return dict(sandbox.api("GET", "linode/instances")["data"][0])


def into_the_hour(sandbox: RunningSandbox, minutes: float) -> None:
    """Make the VM so much older that it is ``minutes`` into a paid hour."""
    created = time.mktime(time.strptime(instance(sandbox)["created"], "%Y-%m-%dT%H:%M:%S")) - time.timezone
    into = (time.time() - created) % 3600
    sandbox.age(LABEL, (minutes * 60 - into) % 3600)


def stream(up: dict[str, Any], tokens: int, stop: threading.Event) -> int:
    """A streamed completion as a client asks for it; the chunks that came until ``stop`` or its end."""
    request = urllib.request.Request(
        f"{up['endpoint']}/completions",
        data=json.dumps(
            {
                "model": up["session"]["model"],
                "prompt": "go on",
                "max_tokens": tokens,
                "stream": True,
                "ignore_eos": True,
            }
        ).encode(),
        headers={
            "Authorization": f"Bearer {Path(up['api_key_file']).read_text().strip()}",
            "Content-Type": "application/json",
        },
    )
    count = 0
    with urllib.request.urlopen(request, timeout=120) as answer:
        for line in answer:
            count += line.startswith(b"data:")
            if stop.is_set():
                break
    return count


def test_the_clock_starts_with_the_first_token_that_is_served(sandbox: RunningSandbox, up: dict[str, Any]) -> None:
    """An engine that is loaded and has served nothing is not idle, however long nobody asks."""
    into_the_hour(sandbox, 55)
    on_vm(
        sandbox,
        "import pathlib\n"
        "for name in ('activity.json', 'canary.json'):\n"
        "    pathlib.Path('/var/lib/linode-coder', name).unlink(missing_ok=True)\n",
    )
    on_vm(sandbox, RESTART)
    deadline = time.monotonic() + 200
    while True:
        seen = look(sandbox)
        if clock(sandbox)["readable"]:
            break
        assert time.monotonic() < deadline
    assert seen["idle_s"] is None and clock(sandbox)["started"] is False
    age(sandbox, 9 * 3600)
    seen = look(sandbox)
    assert (seen["idle_s"], seen["decision"]["cause"]) == (None, "lease")
    ask(up)
    assert look(sandbox)["idle_s"] == 0


def test_a_long_stream_keeps_a_session_alive(sandbox: RunningSandbox, up: dict[str, Any]) -> None:
    """Over several passes at the end of a paid hour, each of them long after the limit by the clock of the one before."""
    into_the_hour(sandbox, 51)
    look(sandbox)
    sandbox.fault(kind="engine_slow", host=LABEL, delay=0.2)
    stop, came = threading.Event(), []
    client = threading.Thread(target=lambda: came.append(stream(up, 100_000, stop)))
    client.start()
    try:
        time.sleep(2)
        for _pass in range(3):
            age(sandbox, 3 * 3600)
            seen = look(sandbox)
            assert client.is_alive(), came
            assert (seen["idle_s"], seen["decision"]["action"], seen["doomed"]) == (0, "keep", None), seen["decision"]
    finally:
        stop.set()
        client.join(60)
        sandbox.fault(kind="clear", host=LABEL)
    assert came and came[0] > 3


def test_watchers_neither_reset_the_clock_nor_add_to_it(sandbox: RunningSandbox, up: dict[str, Any]) -> None:
    """Two machines, the second one new: the clock goes by the VM's time between its first look and its last."""
    into_the_hour(sandbox, 5)
    ask(up)
    look(sandbox)
    first = clock(sandbox)
    for number in range(3):
        look(sandbox, USER=f"watcher{number}", LINODE_CODER_CACHE=str(sandbox.home.parent / f"cache{number % 2}"))
    last = clock(sandbox)
    assert first["idle_s"] == 0
    assert last["idle_s"] == pytest.approx(last["uptime"] - first["uptime"], abs=0.01)
    # Our own question for a token in between is no use either.
    coder(sandbox, "check", NAME, codes=(0, 6, 11))
    look(sandbox)
    after = clock(sandbox)
    assert after["idle_s"] == pytest.approx(after["uptime"] - first["uptime"], abs=0.01)


def test_an_engine_that_cannot_be_read_stops_the_clock(sandbox: RunningSandbox, up: dict[str, Any]) -> None:
    into_the_hour(sandbox, 5)
    ask(up)
    look(sandbox)
    look(sandbox)
    before = clock(sandbox)
    on_vm(sandbox, SIGNAL % "SIGSTOP")
    seen = look(sandbox)
    frozen = clock(sandbox)
    assert (frozen["readable"], frozen["idle_s"]) == (False, before["idle_s"])
    assert seen["decision"]["cause"] == "lease"
    on_vm(sandbox, SIGNAL % "SIGCONT")
    look(sandbox)
    # What passed while it could not be read is not counted when it can be read again.
    assert clock(sandbox)["idle_s"] == before["idle_s"]


def test_status_through_the_tunnel_and_without_one(sandbox: RunningSandbox, up: dict[str, Any]) -> None:
    sandbox.fault(kind="engine_slow", host=LABEL, delay=0.2)
    stop = threading.Event()
    client = threading.Thread(target=lambda: stream(up, 100_000, stop))
    client.start()
    try:
        time.sleep(3)
        look(sandbox)
        seen = coder(sandbox, "status", NAME)
    finally:
        stop.set()
        client.join(60)
        sandbox.fault(kind="clear", host=LABEL)
    view, engine = seen["session"], seen["engine"]
    assert (seen["endpoint"]["tunnel"], seen["endpoint"]["engine"]) == ("open", "healthy")
    assert (engine["running"], engine["waiting"]) == (1, 0) and engine["tokens_per_second"] > 0
    assert 0 <= engine["kv_cache_use"] <= 1
    assert seen["clocks"]["idle_s"] == 0 and seen["watcher"]["watching"] is True
    assert view["cost_so_far"] == pytest.approx(view["started_hours"] * view["hourly"])
    assert view["cost_to_lease_end"] >= view["cost_so_far"] and view["paid_until"] > seen["observed"]

    coder(sandbox, "tunnel", NAME, "--close")
    seen = coder(sandbox, "status", NAME)
    # What is not known is not shown as a number; what the watcher saw is, with the time at which it did.
    assert (seen["endpoint"]["tunnel"], seen["endpoint"]["engine"], seen["engine"]) == ("closed", "unknown", None)
    assert (seen["clocks"]["idle_s"], seen["session"]["cost_so_far"]) == (0, view["cost_so_far"])
    assert seen["clocks"]["idle_as_of"] < seen["observed"]
    coder(sandbox, "tunnel", NAME)
    assert coder(sandbox, "status", NAME)["engine"]["running"] == 0


def test_an_idle_vm_stays_in_its_paid_hour_and_goes_just_before_the_next(
    sandbox: RunningSandbox, up: dict[str, Any]
) -> None:
    into_the_hour(sandbox, 20)
    look(sandbox)
    age(sandbox, 50 * 60)
    seen = look(sandbox)
    assert (seen["decision"]["action"], seen["decision"]["cause"]) == ("keep", "idle")
    paid = seen["paid_until"]
    assert paid > seen["decision"]["at"]

    into_the_hour(sandbox, 45)
    age(sandbox, 50 * 60)
    seen = look(sandbox)
    assert (seen["decision"]["action"], seen["decision"]["cause"]) == ("mark", "idle")
    # Paused, it stays; and the mark goes.
    coder(sandbox, "pause", NAME, "--for", "1h")
    assert look(sandbox)["decision"]["action"] == "unmark"
    coder(sandbox, "pause", NAME, "--off")

    into_the_hour(sandbox, 53)
    age(sandbox, 50 * 60)
    row = instance(sandbox)
    sandbox.api("PUT", f"linode/instances/{row['id']}", {"tags": with_doom(row["tags"], int(time.time()) - 5)})
    gone = coder(sandbox, "watchdog", "--once", "--heal", "off")["deleted"]
    assert [(one["cause"], one["name"]) for one in gone] == [("idle", NAME)]
    hours = gone[0]["hours"]
    assert gone[0]["cost"] == pytest.approx(hours * gone[0]["hourly"])
    assert sandbox.api("GET", "linode/instances")["data"] == []
