"""The real vLLM's processes die, freeze and find their port taken: read by `check`, healed or refused by `heal`.

What begins again by itself (a dead core, a dead worker) and what no restart helps (a taken port) must not use any of the
day's budget of container restarts.

The CPU build runs its worker in a process of its own with one card already, so a dead worker is the real thing; what
several workers say of each other's death is not to be seen here.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from linode_coder.sandbox.guest.engine.vllm_processes import SERVER
from tests.engine.broken_session import CORE, WORKER, Session, failed, session
from tests.engine.conftest import BIN, wait_for

__all__ = ["session"]


@contextmanager
def held(process: psutil.Process) -> Iterator[None]:
    """A start that does not get ahead while it is looked at."""
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@pytest.mark.parametrize(
    ("title", "said"), [(CORE, "The engine died while serving."), (WORKER, "A worker process of the engine died")]
)
def test_a_process_that_dies_ends_the_engine_which_is_started_again_and_left_to_start(
    session: Session, title: str, said: str
) -> None:
    tried = len(session.history())
    before = session.one(SERVER)
    session.one(title).kill()
    wait_for(lambda: not before.is_running(), "the engine outlives its process")
    with held(session.one(SERVER)):
        code, findings = session.check()
        starting = findings["vllm.health"]
        assert (starting["severity"], starting["cause"], starting["ladder"]) == ("warn", "starting", [])
        assert starting["summary"].startswith(said)
        # No token could be asked for, which is no failure.
        assert (code, failed(findings), findings["vllm.gen"]["severity"]) == (11, {}, "unknown")
        code, events = session.heal()
        assert (code, events["plan"]["step"], events["plan"]["stop"]["reason"]) == (6, None, "busy")
    session.serves_again()
    assert len(session.history()) == tried


def test_a_frozen_engine_says_that_it_is_healthy_and_gives_no_token(session: Session) -> None:
    core = session.one(CORE)
    core.suspend()
    code, findings = session.check()
    assert (code, failed(findings)) == (6, {"vllm.gen": "no_token"})
    assert "vllm.health" not in findings
    session.healed_by("restart_container")
    assert not core.is_running()
    session.serves_again()


# Takes the port as soon as the engine leaves it, and keeps it.
SQUATTER = """
import socket, time
while True:
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind(("127.0.0.1", 8001))
        taken.listen()
        break
    except OSError:
        taken.close()
        time.sleep(0.05)
time.sleep(3600)
"""


def test_a_port_that_another_program_holds_is_told_and_costs_no_restart(session: Session) -> None:
    tried = len(session.history())
    squatter = subprocess.Popen(
        [str(BIN / "linode-coder"), "ssh", "real", "--", shlex.join(("python3", "-c", SQUATTER))],
        env=session.coder.sandbox.env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: session.coder.processes("import socket"), "nobody waits for the port")
        session.kill_core()
        session.wait_until_it_says("Errno 98")
        code, findings = session.check()
        assert code == 6
        assert findings["vllm.health"]["ladder"] in (["alert"], [])
        assert "port_in_use" in failed(findings).values()
        code, events = session.heal()
        error = events["error"]["error"]
        assert (code, error["kind"], events["plan"]["step"]) == (6, "unhealthy", None)
        assert "config error" in error["message"] and "already listens on the engine's port" in error["message"]
        assert error["remedy"]
    finally:
        for process in session.coder.processes("import socket"):
            process.kill()
        squatter.wait(60)
    session.serves_again()
    assert len(session.history()) == tried
