# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway decides without a socket: hours, leases, the words of `up`, how far it is, and what it keeps in files."""

from __future__ import annotations

import inspect
import json
import os
import socket
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import EXIT_CODES, Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import session_dir
from hypothesis import given
from hypothesis import strategies as st

from linode_coder.cli import gateway as command
from linode_coder.cli import up
from linode_coder.gateway import key, serve, unit, wakes
from linode_coder.gateway.command import Outcome, up_words
from linode_coder.gateway.errors import Refusal, keep_alive, refusal_of
from linode_coder.gateway.known import Directory, served
from linode_coder.gateway.limits import Limits, check, lease_of
from linode_coder.gateway.progress import Progress
from linode_coder.gateway.routing import Known, route
from linode_coder.local import wake
from linode_coder.settings.hours import parse_hours, within
from linode_coder.terminal.escapes import one_line
from tests.hostile import CORPUS


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def at(hour: int, minute: int = 0) -> time.struct_time:
    return time.struct_time((2026, 11, 30, hour, minute, 0, 0, 334, 0))


@pytest.mark.parametrize(
    ("hours", "minute", "inside"),
    [
        ("08:00-20:00", 8 * 60, True),
        ("08:00-20:00", 20 * 60 - 1, True),
        ("08:00-20:00", 8 * 60 - 1, False),
        ("08:00-20:00", 20 * 60, False),
        ("20:00 - 06:00", 0, True),
        ("20:00-06:00", 6 * 60, False),
        ("00:00-24:00", 24 * 60 - 1, True),
    ],
)
def test_hours_of_a_day(hours: str, minute: int, inside: bool) -> None:
    assert within(parse_hours(hours), minute) is inside


@pytest.mark.parametrize(
    "wrong", ["", "8-20", "08:00", "08:00-08:00", "08:60-20:00", "24:00-08:00", "08:00-24:01", "٠٨:٠٠-20:00"]
)
def test_what_are_no_hours(wrong: str) -> None:
    with pytest.raises(ValueError):
        parse_hours(wrong)


def test_when_it_may_start_a_session() -> None:
    limits = Limits("08:00-20:00", 2, None)
    check(limits, "main", at(8), 1)
    for now, count, field in (
        (at(7, 59), 0, "gateway_hours"),
        (at(20), 0, "gateway_hours"),
        (at(9), 2, "gateway_wakes"),
    ):
        with pytest.raises(Failure) as refused:
            check(limits, "main", now, count)
        assert (refused.value.kind, refused.value.field) == ("refused", field)
        assert "linode-coder up main" in str(refused.value.remedy)
        assert refusal_of(refused.value).status == 423


@pytest.mark.parametrize(("lease", "cap", "result"), [(None, "24h", None), ("2h", "24h", "2h"), ("25h", "24h", "24h")])
def test_a_lease_ends_with_the_cap(lease: str | None, cap: str, result: str | None) -> None:
    assert lease_of(Limits(None, 1, lease), cap) == result


def test_what_up_is_told() -> None:
    options = {
        "model": "--yes",
        "tensor_parallel": 2,
        "alias": ["a,b", "c"],
        "webui": False,
        "dead_man": True,
        "lease": "8h",
    }
    assert up_words("main", options, "2h") == [
        *("up", "--model=--yes", "--tensor-parallel=2", "--alias=a,b", "--alias=c", "--no-webui", "--dead-man"),
        *("--lease=2h", "--yes", "--json", "--", "main"),
    ]


@pytest.mark.parametrize(
    ("sessions", "model", "name"),
    [
        ([Known("a", ("m",)), Known("b", ("m",), True)], "m", "b"),
        ([Known("a", ("m",)), Known("b", ("m",))], "m", "a"),
        ([Known("a", ("b",), True), Known("b", ("m",))], "b", "b"),
        ([Known("a", ("m",))], "anything", "a"),
        ([Known("a", ("m",))], None, "a"),
        ([Known("a", ("m",)), Known("b", ("n",))], "x", None),
        ([Known("a", ("m",)), Known("b", ("n",))], None, None),
        ([Known("a", ("m",), ended=True), Known("b", ("m",))], "m", "b"),
        ([Known("a", ("m",), ended=True), Known("b", ("m",))], "a", "a"),
        ([Known("a", ("m",), ended=True), Known("b", ("m",))], "x", "b"),
        ([Known("a", ("m",), ended=True)], "x", "a"),
        ([], "m", None),
    ],
)
def test_which_session_is_meant(sessions: list[Known], model: str | None, name: str | None) -> None:
    if name is not None:
        assert route(sessions, model) == name
        return
    with pytest.raises(Refusal) as refused:
        route(sessions, model)
    assert refused.value.status == 404 and all(one.name in refused.value.message for one in sessions)


def test_every_kind_of_failure_has_a_status() -> None:
    for kind in EXIT_CODES:
        refusal = refusal_of(Failure(kind, "No.", cause="so", remedy="Do.", billing=["lc-main-1 at $1.00/h"]))
        assert 400 <= refusal.status < 600 and refusal.message == "No. Cause: so. Do. lc-main-1 at $1.00/h"
        # What is asked again has to be something that may pass.
        assert refusal.retry is None or (refusal.status == 503 and 0 < refusal.retry <= 60)


def test_how_far_it_is() -> None:
    now = [0.0]
    progress = Progress("main", lambda: now[0])
    assert not progress.accepted and progress.share == 0.0
    progress.take({"event": "plan", "estimate": {"seconds": 400}})
    line = progress.take({"event": "phase_started", "phase": "driver"})
    now[0] = 100.0
    progress.take({"event": "phase_progress", "phase": "driver", "detail": "3 of 4"})
    assert line == "main: driver (0 s so far, about 7 min to go)"
    assert progress.as_dict() == {
        **{"phase": "driver", "share": 0.25, "seconds": 100.0, "expected_seconds": 400.0, "waits_for": "3 of 4"},
    }
    now[0] = 1000.0
    assert (progress.share, progress.left) == (0.99, 0.0)


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
def test_no_text_of_up_is_more_than_text(text: str) -> None:
    """Its events say what modules, VMs and programs said; a client gets one line of them."""
    progress = Progress("main")
    for event in (
        *({"event": kind, "phase": "vm", "detail": text, "step": text} for kind in ("waiting", "phase_progress")),
        *({"event": text}, {"event": "phase_started", "phase": text}, {"event": "plan", "estimate": text}),
        *(text, [text], {"event": "plan", "estimate": {"seconds": text}}),
    ):
        progress.take(event)
    assert one_line(progress.what) == progress.what and progress.phase is None and progress.expected is None
    for api in ("chat", "responses", "messages"):
        assert keep_alive(api, text).count(b"\n") == (3 if api == "messages" else 2)
        failure = Outcome(1, {"error": {"kind": text, "message": text, "remedy": text}}, (text,)).failure()
        told = refusal_of(failure)
        assert one_line(told.message) == told.message
        assert told.event(api).count(b"\n\n") == (2 if api == "chat" else 1)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
        max_leaves=12,
    )
)
def test_any_event_can_be_taken(event: Any) -> None:
    progress = Progress("main")
    for kind in ("plan", "phase_started", "phase_progress", "waiting"):
        progress.take({**event, "event": kind} if isinstance(event, dict) else event)
    json.dumps(progress.as_dict(), allow_nan=False)


# -- files -----------------------------------------------------------------------------------------------------------

VIEW = {"name": "main", "model": "acme/coder", "plan": "g2-gpu-rtx4000a1-s"}


def test_settings_of_a_session_are_those_that_were_typed() -> None:
    wake.came_up(VIEW, {"model": "coder", "lease": "4h", "plan": None, "alias": [], "webui": False}, made=True)
    assert wake.read("main") == wake.Settings({"model": "coder", "lease": "4h", "webui": False}, "acme/coder")
    # Who only verifies it says nothing new, and who changes it does.
    wake.came_up(VIEW, {"model": None, "idle": "1h"}, made=False)
    assert wake.read("main") == wake.Settings(
        {"model": "coder", "lease": "4h", "webui": False, "idle": "1h"}, "acme/coder"
    )
    wake.switched({**VIEW, "model": "acme/big"}, {"model": "big", "context": None, "alias": ["x"]})
    found = wake.read("main")
    assert found is not None and found.model == "acme/big"
    assert found.options == {
        **{"plan": ["g2-gpu-rtx4000a1-s"], "lease": "4h", "webui": False, "idle": "1h", "model": "big", "alias": ["x"]},
    }
    assert stat.S_IMODE((session_dir("main") / "wake.json").stat().st_mode) == 0o600
    wake.taken_down("main")
    assert wake.read("main") == wake.Settings(ended=True)
    wake.taken_down("never-there")
    assert list(wake.remembered()) == ["main"]


# About the command, and not about the session that it makes.
OF_THE_COMMAND = {"context_of", "name", "replicas", "wait", "wait_for", "converge", "yes", "dry_run", "as_json"}


def test_what_up_can_be_told_of_a_session_is_remembered() -> None:
    assert set(inspect.signature(up.up).parameters) - OF_THE_COMMAND == set(wake.OPTIONS)


def test_a_member_of_a_group_stays_one() -> None:
    wake.came_up({**VIEW, "group": "team"}, {}, made=False)
    found = wake.read("main")
    assert found is not None and "--group=team" in up_words("main", found.options, None)


def test_who_finds_a_session_keeps_its_plan() -> None:
    wake.came_up(VIEW, {}, made=False)
    assert wake.read("main") == wake.Settings({"plan": ["g2-gpu-rtx4000a1-s"], "model": "acme/coder"}, "acme/coder")


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
def test_no_tag_becomes_a_word_of_a_command(text: str) -> None:
    """Of a session that somebody else has made."""
    wake.came_up({"name": "main", "model": text, "plan": text, "group": text}, {}, made=False)
    found = wake.read("main")
    # Where it cannot even be kept as a name, nothing is known.
    assert found is None or found.options == {}


WRONG = [
    *("", "[]", "{}", "null", '{"schema": 1}', "[" * 100_000, '{"schema": 1, "options": {}, "model": null}'),
    *('{"schema": 2, "options": {}, "model": null, "ended": false}',),
    *(
        json.dumps({"schema": 1, "options": options, "model": None, "ended": False})
        for options in (
            *(
                {"yes": True},
                {"model": 1},
                {"model": ""},
                {"model": "a\nb"},
                {"plan": "x"},
                {"plan": []},
                {"plan": [1]},
            ),
            *(
                {"tensor_parallel": "2"},
                {"tensor_parallel": True},
                {"max_cost": -1},
                {"webui": "yes"},
                {"model": "x" * 501},
            ),
        )
    ),
]


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_a_file_that_is_not_as_we_write_it_is_none(text: str) -> None:
    path = session_dir("main") / "wake.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert wake.read("main") is None and wake.remembered() == {}
    names = wakes.gateway_dir() / "names.json"
    names.parent.mkdir(parents=True)
    names.write_text(text)
    (wakes.gateway_dir() / "wakes.json").write_text(text)
    assert Directory(list, ()).known() == [] and wakes.today(time.time()) == []


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
def test_no_name_of_a_model_is_more_than_a_name(text: str) -> None:
    assert all(name.isprintable() for name in served([text, 1, None, {}])) and served(text) == []


def test_wakes_are_counted_by_the_day() -> None:
    now = time.mktime((2026, 11, 30, 12, 0, 0, 0, 0, -1))
    wakes.count(now - 86400)
    wakes.count(now - 60)
    wakes.count(now)
    assert wakes.today(now) == [now - 60, now]


def test_the_key_is_made_once_and_is_its_owners() -> None:
    made = key.gateway_key()
    assert key.gateway_key() == made and len(made) > 40
    assert stat.S_IMODE(key.key_file().stat().st_mode) == 0o600
    for damaged in (b"short", b"\xff" * 40):
        key.key_file().write_bytes(damaged)
        with pytest.raises(Failure) as refused:
            key.gateway_key()
        assert refused.value.kind == "config" and "short" not in refused.value.message


def test_a_port_that_is_taken_and_a_second_gateway() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Failure) as refused:
            serve.listen(port)
        assert (refused.value.kind, refused.value.message) == (
            "conflict",
            f"Port {port} of this machine cannot be listened on.",
        )
    file = serve.one_for_this_home()
    with pytest.raises(Failure) as second:
        serve.one_for_this_home()
    assert second.value.message == "A gateway of this home runs already."
    os.close(file)
    os.close(serve.one_for_this_home())


def test_the_service_quotes_what_systemd_would_misread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path / "my 100% $home"))
    text = unit.unit_text(17000)
    assert f'"{tmp_path}/my 100%% $$home/config/gateway.env"' in text
    assert "gateway --port 17000 --env-file" in text and "LINODE_TOKEN" not in text


def test_the_service_is_installed_once_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LINODE_TOKEN", "planted-secret")
    monkeypatch.setenv("HF_TOKEN", "hub-secret")
    systemctl, calls = tmp_path / "bin" / "systemctl", tmp_path / "calls"
    systemctl.parent.mkdir()
    systemctl.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{systemctl.parent}:/usr/bin:/bin")
    assert (unit.install(17000), unit.install(17000), unit.install(17001)) == (True, False, True)
    service = tmp_path / "xdg/systemd/user/linode-coder-gateway.service"
    assert "--port 17001" in service.read_text() and "secret" not in service.read_text() + calls.read_text()
    env = unit.environment_file()
    assert "HF_TOKEN=hub-secret" in env.read_text() and stat.S_IMODE(env.stat().st_mode) == 0o600
    assert calls.read_text().count("--user restart linode-coder-gateway.service") == 2
    assert (unit.uninstall(), unit.uninstall()) == (True, False)
    assert not service.exists() and not env.exists()
    systemctl.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(Failure) as refused:
        unit.install(17000)
    assert "linode-coder gateway" in str(refused.value.remedy) and not service.exists()


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Failure) as refused:
        command.gateway()
    assert refused.value.kind == "config" and "pip install 'linode-coder[gateway]'" in str(refused.value.remedy)
