# SPDX-License-Identifier: GPL-3.0-or-later
"""The tunnel comes back by itself, says what happened, and never hands out a port or a key to somebody else's program."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests import prometheus
from tests.product import coder, result_of
from tests.ready_session import ready_session, serving
from tests.sandbox_fixture import RunningSandbox

NAME = "main"
LIMIT = 120.0


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("tunnel")) as running:
        yield running


@pytest.fixture
def port(sandbox: RunningSandbox) -> int:
    """Of a tunnel that is open."""
    return int(urlsplit(serving(sandbox, NAME)["endpoint"]).port or 0)


def files(sandbox: RunningSandbox) -> Path:
    return sandbox.home / "state" / "sessions" / NAME


def read(sandbox: RunningSandbox, name: str) -> dict[str, Any]:
    return dict(json.loads((files(sandbox) / name).read_text()))


def keeper(sandbox: RunningSandbox) -> int:
    return int((files(sandbox) / "tunnel-keeper.lock").read_text())


def test_prometheus_reads_all_metrics_through_it(sandbox: RunningSandbox, port: int, tmp_path: Path) -> None:
    prometheus.judge(tmp_path, port, files(sandbox) / "api_key")


def answered(sandbox: RunningSandbox, port: int) -> bool:
    """Whether the engine answers one request with the key; the client does no more than to send it."""
    key = (files(sandbox) / "api_key").read_text().strip()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + LIMIT
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def status(sandbox: RunningSandbox) -> dict[str, Any]:
    return dict(result_of(coder(sandbox, "status", NAME, "--json", timeout=60))["endpoint"])


def test_a_dead_ssh_is_started_again(sandbox: RunningSandbox, port: int) -> None:
    before, keeps = read(sandbox, "tunnel-state.json"), keeper(sandbox)
    os.kill(before["ssh"], signal.SIGKILL)
    until(lambda: read(sandbox, "tunnel-state.json")["ssh"] not in (before["ssh"], None))
    assert answered(sandbox, port)
    seen = status(sandbox)
    assert (seen["tunnel"], seen["tunnel_why"], seen["port"]) == ("open", "ssh was ended by signal 9", port)
    assert seen["tunnel_down_s"] is not None
    assert keeper(sandbox) == keeps
    told = coder(sandbox, "status", NAME, timeout=60).stdout
    assert "tunnel    open since " in told and "s down: ssh was ended by signal 9)" in told


def test_what_is_asked_meanwhile_waits(sandbox: RunningSandbox, port: int) -> None:
    os.kill(read(sandbox, "tunnel-state.json")["ssh"], signal.SIGKILL)
    until(lambda: not read(sandbox, "tunnel-state.json")["up"])
    assert answered(sandbox, port)


def test_it_comes_back_when_the_vm_answers_again(sandbox: RunningSandbox, port: int) -> None:
    label = result_of(coder(sandbox, "status", NAME, "--json", timeout=60))["session"]["label"]
    sandbox.fault(kind="ssh_down", host=label)
    try:
        until(lambda: not read(sandbox, "tunnel-state.json")["up"])
        assert_down(sandbox, port)
    finally:
        sandbox.fault(kind="clear", host=label)
    assert until(lambda: answered(sandbox, port))
    assert status(sandbox)["tunnel"] == "open"


def assert_down(sandbox: RunningSandbox, port: int) -> None:
    seen = status(sandbox)
    assert (seen["tunnel"], seen["engine"], seen["port"]) == ("down", "unknown", port)
    assert seen["tunnel_why"] and seen["tunnel_since"]
    told = coder(sandbox, "status", NAME, timeout=60).stdout
    assert re.search("^tunnel    down since .*, it is tried again: ", told, re.MULTILINE), told
    # The port is still ours, and nobody else gets it.
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    refused = coder(sandbox, "use", NAME, timeout=120)
    assert refused.returncode == 5 and "error: " in refused.stderr and "linode-coder up" in refused.stderr


def test_a_network_that_is_gone_is_noticed(sandbox: RunningSandbox, port: int) -> None:
    """Nothing is closed and nothing comes any more: the ssh server of the sandbox is stopped."""
    before = read(sandbox, "tunnel-state.json")
    os.kill(sandbox.facts["pid"], signal.SIGSTOP)
    try:
        until(lambda: not read(sandbox, "tunnel-state.json")["up"])
        assert "not responding" in read(sandbox, "tunnel-state.json")["why"]
    finally:
        os.kill(sandbox.facts["pid"], signal.SIGCONT)
    assert until(lambda: answered(sandbox, port))
    assert read(sandbox, "tunnel-state.json")["ssh"] != before["ssh"]


def test_after_a_sleep_it_is_looked_at(sandbox: RunningSandbox, port: int) -> None:
    """What a laptop's lid does: both sleep, and the ssh that wakes up is worth nothing."""
    state = read(sandbox, "tunnel-state.json")
    pid = keeper(sandbox)
    for stopped in (state["ssh"], pid):
        os.kill(stopped, signal.SIGSTOP)
    time.sleep(9)
    os.kill(pid, signal.SIGCONT)
    until(lambda: read(sandbox, "tunnel-state.json")["ssh"] not in (state["ssh"], None))
    assert answered(sandbox, port)
    seen = status(sandbox)
    assert seen["tunnel"] == "open" and "after the machine slept" in seen["tunnel_why"]


def test_a_pause_that_harmed_nothing_changes_nothing(sandbox: RunningSandbox, port: int) -> None:
    state, pid = read(sandbox, "tunnel-state.json"), keeper(sandbox)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(9)
    os.kill(pid, signal.SIGCONT)
    after = until(lambda: (now := read(sandbox, "tunnel-state.json"))["looks"] > state["looks"] and now)
    assert (after["ssh"], after["since"]) == (state["ssh"], state["since"])
    assert answered(sandbox, port)


def test_use_repairs_an_ssh_that_hangs(sandbox: RunningSandbox, port: int) -> None:
    state = read(sandbox, "tunnel-state.json")
    os.kill(state["ssh"], signal.SIGSTOP)
    again = result_of(coder(sandbox, "use", NAME, "--json", timeout=120))
    assert again["endpoint"] == f"http://127.0.0.1:{port}/v1" and again["engine"] == "healthy"
    assert read(sandbox, "tunnel-state.json")["ssh"] != state["ssh"]


def listens(port: int) -> bool:
    """Whether anybody does on 127.0.0.1, as the kernel says it."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1] == f"0100007F:{port:04X}" and row[3] == "0A" for row in rows)


class Thief:
    """Another program with the session's port: what it was sent."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.socket.listen()
        self.socket.setblocking(False)

    def got(self) -> bytes:
        found = b""
        while True:
            try:
                connection, _address = self.socket.accept()
            except BlockingIOError:
                return found
            with connection:
                connection.settimeout(2)
                try:
                    found += connection.recv(65536)
                except OSError:
                    found += b"(connected)"


def test_a_port_that_somebody_took_is_not_used(sandbox: RunningSandbox, port: int) -> None:
    key = (files(sandbox) / "api_key").read_text().strip()
    pid, ssh = keeper(sandbox), read(sandbox, "tunnel-state.json")["ssh"]
    os.kill(pid, signal.SIGKILL)
    # A process that was killed lets go of its files before their sockets are closed.
    until(lambda: not listens(port))
    thief = Thief(port)
    try:
        seen = status(sandbox)
        assert (seen["tunnel"], seen["engine"]) == ("closed", "unknown")
        elsewhere = result_of(coder(sandbox, "use", NAME, "--json", timeout=120))
        assert elsewhere["endpoint"] != f"http://127.0.0.1:{port}/v1" and elsewhere["engine"] == "healthy"
        result_of(coder(sandbox, "use", NAME, "--print", "opencode", "--json", timeout=120))
        assert coder(sandbox, "up", NAME, "--json", timeout=300).returncode == 0
        got = thief.got()
        assert got == b"" and key.encode() not in got
    finally:
        thief.socket.close()
    # Nor is the ssh of the keeper that was killed left behind.
    assert not Path(f"/proc/{ssh}").exists() or Path(f"/proc/{ssh}/stat").read_text().split()[2] == "Z"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"port": "x"}', '{"port": 22}', "\0\xff"])
@pytest.mark.parametrize("name", ["tunnel.json", "tunnel-state.json", "tunnel-keeper.lock"])
def test_a_damaged_record_breaks_nothing(sandbox: RunningSandbox, port: int, name: str, text: str) -> None:
    (files(sandbox) / name).write_text(text, encoding="latin-1")
    assert status(sandbox)["tunnel"] in ("open", "down", "closed")
    opened = result_of(coder(sandbox, "use", NAME, "--json", timeout=120))
    assert opened["engine"] == "healthy"
    assert answered(sandbox, int(urlsplit(opened["endpoint"]).port or 0))


def test_there_is_one_keeper_and_nothing_secret_of_it(sandbox: RunningSandbox, port: int) -> None:
    for _time in range(2):
        result_of(coder(sandbox, "use", NAME, "--json", timeout=120))
    running = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"linode_coder.endpoint.tunnel_keeper" in (text := read_bytes(path))
        and NAME.encode() in text
        and f"LINODE_CODER_HOME={sandbox.home}".encode() in read_bytes(path.with_name("environ"))
    ]
    assert [path.parent.name for path in running] == [str(keeper(sandbox))]
    words = running[0].read_bytes().split(b"\0")
    assert words[1:] == [b"-P", b"-m", b"linode_coder.endpoint.tunnel_keeper", NAME.encode(), b""]
    for name in ("tunnel.log", "tunnel.json", "tunnel-state.json"):
        assert stat.S_IMODE((files(sandbox) / name).stat().st_mode) == 0o600, name
    key = (files(sandbox) / "api_key").read_text().strip()
    assert key not in (files(sandbox) / "tunnel.log").read_text()
    ssh = Path(f"/proc/{read(sandbox, 'tunnel-state.json')['ssh']}")
    assert key.encode() not in (ssh / "cmdline").read_bytes()
    assert sandbox.env["LINODE_TOKEN"].encode() not in (ssh / "environ").read_bytes()


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_closing_ends_all_of_it(sandbox: RunningSandbox, port: int) -> None:
    pid, ssh = keeper(sandbox), read(sandbox, "tunnel-state.json")["ssh"]
    # Even one that is stopped.
    os.kill(pid, signal.SIGSTOP)
    assert result_of(coder(sandbox, "tunnel", NAME, "--close", "--json", timeout=60))["changed"]
    for process in (pid, ssh):
        assert read_bytes(Path(f"/proc/{process}/cmdline")) == b""
    assert (status(sandbox)["tunnel"], status(sandbox)["tunnel_why"]) == ("closed", None)
    assert not result_of(coder(sandbox, "tunnel", NAME, "--close", "--json", timeout=60))["changed"]


def test_it_ends_with_the_vm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Deleted elsewhere: the account says so, once ssh has failed for a while."""
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("gone")) as sandbox:
        pid = keeper(sandbox)
        view = result_of(coder(sandbox, "status", NAME, "--json", timeout=60))["session"]
        sandbox.api("DELETE", f"linode/instances/{view['linode_id']}")
        until(lambda: not read_bytes(Path(f"/proc/{pid}/cmdline")))
        assert read(sandbox, "tunnel-state.json")["why"] == "the VM is gone"
        assert "ended: the VM is gone" in (files(sandbox) / "tunnel.log").read_text()
