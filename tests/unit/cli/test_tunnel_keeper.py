# SPDX-License-Identifier: GPL-3.0-or-later
"""How the keeper of a tunnel decides, and whose a port is."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from linode_coder.cli.session_text import tunnel_story
from linode_coder.endpoint import port_owner, tunnel_files
from linode_coder.endpoint.keeper import FIRST_PAUSE, LONGEST_PAUSE, STEADY_S, pauses
from linode_coder.endpoint.tunnel_keeper import TICK_S, Keeper, slept


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    (tmp_path / "state/sessions/demo").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def keep(port: int, pid: int) -> subprocess.Popen[bytes]:
    """A process that holds the keeper's lock, with a number that may be another one's."""
    tunnel_files.write(
        tunnel_files.target_file("demo"),
        tunnel_files.Target(port=port, linode_id=1, address="192.0.2.1", host_keys=[]),
    )
    tunnel_files.keeper_file("demo").write_text(str(pid))
    code = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print('', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tunnel_files.keeper_file("demo"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout and process.stdout.readline()
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.communicate()


def test_pauses_grow_and_are_forgotten_after_a_steady_tunnel() -> None:
    after = pauses()
    found = [after(0.0) for _each in range(9)]
    assert found[0] == FIRST_PAUSE == 0.5
    assert all(later == min(before * 2, LONGEST_PAUSE) for before, later in itertools.pairwise(found))
    assert found[-1] == LONGEST_PAUSE == 30.0
    # One that came up and went at once is another failure.
    assert after(STEADY_S / 2) == LONGEST_PAUSE
    assert after(STEADY_S) == FIRST_PAUSE
    assert after(0.0) == FIRST_PAUSE * 2


@pytest.mark.parametrize(
    ("wall", "monotonic", "expected"),
    [
        (TICK_S, TICK_S, False),
        (TICK_S + 3, TICK_S + 3, False),
        # The machine slept: only the wall clock went on. This process was stopped: both did.
        (3600, TICK_S, True),
        (60, 60, True),
        # Somebody set the clock back.
        (-3600, TICK_S, False),
    ],
)
def test_a_jump_of_the_clocks_is_seen(wall: float, monotonic: float, expected: bool) -> None:
    assert slept(wall, monotonic) is expected


def test_a_port_is_his_who_listens(listener: socket.socket) -> None:
    port = port_of(listener)
    assert port_owner.listens(os.getpid(), port)
    assert not port_owner.listens(1 if os.getpid() != 1 else 2, port)
    # Connected to it is not listening on it.
    with socket.create_connection(("127.0.0.1", port)), socket.create_server(("127.0.0.1", 0)) as other:
        assert not port_owner.listens(os.getppid(), port)
        unused = port_of(other)
    assert not port_owner.listens(os.getpid(), unused)


def test_without_a_living_keeper_the_port_is_nobodys(listener: socket.socket) -> None:
    process = keep(port_of(listener), os.getpid())
    assert port_owner.our_port("demo") == (port_of(listener), os.getpid())
    end(process)
    # The number is still written there, and its process listens: but nobody holds the lock.
    assert port_owner.our_port("demo") is None


def test_nothing_is_sent_to_a_port_that_another_process_has(listener: socket.socket) -> None:
    process = keep(port_of(listener), pid=os.getppid())
    try:
        connection = port_owner.OwnConnection("demo", timeout=5)
        with pytest.raises(port_owner.NotOurs):
            connection.request("GET", "/v1/models", headers={"Authorization": "Bearer planted"})
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    finally:
        end(process)


def test_nothing_is_sent_when_the_keeper_went_while_it_connected(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter([(port_of(listener), 7), (port_of(listener), 8)])
    tunnel_files.write(
        tunnel_files.target_file("demo"),
        tunnel_files.Target(port=port_of(listener), linode_id=1, address="192.0.2.1", host_keys=[]),
    )
    monkeypatch.setattr(port_owner, "our_port", lambda _name: next(said))
    with pytest.raises(port_owner.NotOurs):
        port_owner.OwnConnection("demo", timeout=5).request("GET", "/", headers={"Authorization": "Bearer planted"})
    accepted, _address = listener.accept()
    with accepted:
        assert accepted.recv(100) == b""


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"x"', '{"port": null}', '{"port": 1}', '{"port": "x"}'])
def test_damaged_files_count_as_none(text: str) -> None:
    for path in (tunnel_files.target_file("demo"), tunnel_files.state_file("demo"), tunnel_files.keeper_file("demo")):
        path.write_text(text)
    assert tunnel_files.read_target("demo") is None
    assert tunnel_files.read_state("demo") is None
    assert tunnel_files.keeper("demo") is None
    assert port_owner.our_port("demo") is None


def test_files_are_for_their_owner_only() -> None:
    path = tunnel_files.target_file("demo")
    before = os.umask(0)
    try:
        tunnel_files.write(path, tunnel_files.Target(port=1, linode_id=1, address="192.0.2.1", host_keys=[]))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ("head -c 300000 /dev/zero | tr '\\0' x >&2; printf '\\n\\033[31mlast\\n' >&2; exit 255", "?[31mlast"),
        ("printf 'a\\nb\\n\\n' >&2; exit 255", "b"),
        ("exit 255", "ssh ended with status 255"),
        ("kill -9 $$", "ssh was ended by signal 9"),
    ],
)
def test_why_an_ssh_ended_is_one_short_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, says: str, expected: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setenv("LINODE_TOKEN", "planted")
    target = tunnel_files.Target(port=1, linode_id=1, address="192.0.2.1", host_keys=[])

    async def start() -> str | None:
        with tunnel_files.keeper_file("demo").open("a+") as lock:
            script = f'test -z "$LINODE_TOKEN" || exit 7; {says}'
            return await Keeper("demo", target, ["sh", "-c", script], lock, lambda _text: None).start()

    assert asyncio.run(start()) == expected


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ({"tunnel": "closed"}, "closed"),
        ({"tunnel": "open", "tunnel_since": "T"}, "open since T"),
        (
            {"tunnel": "open", "tunnel_since": "T", "tunnel_why": "W", "tunnel_down_s": 14.2},
            "open since T (before that 14 s down: W)",
        ),
        ({"tunnel": "down", "tunnel_since": "T", "tunnel_why": "W"}, "down since T, it is tried again: W"),
        ({"tunnel": "closed", "tunnel_since": "T", "tunnel_why": "the VM is gone"}, "closed since T: the VM is gone"),
    ],
)
def test_status_tells_what_happened(endpoint: dict[str, object], expected: str) -> None:
    assert tunnel_story({"tunnel_since": None, "tunnel_why": None, "tunnel_down_s": None} | endpoint) == expected
