# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages to a real receiver: once, never with the address in an answer, and never in the way of a pass."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.linode_coder.gpu.plugins.modules import watchdog_notice

from tests.webhook import Webhook, listening

Run = Callable[..., dict[str, Any]]
BLOCKED = {"blocked": {"lc-demo-1": "lc-demo-1 is locked, it keeps billing."}}
MARKED = {
    "sessions": [{"label": "lc-demo-1", "settled": True, "decision": {"action": "mark", "doom": 7}}],
    "marked": {"lc-demo-1": "lc-demo-1 will be deleted."},
}


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Webhook]:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    with listening() as running:
        monkeypatch.setenv("LINODE_CODER_NOTIFY_URL", running.url)
        yield running


@pytest.fixture
def notify(run: Run, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the module in this process, with the home that ``run`` made."""

    def call(report: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
        with patch_module_args({"decided": report, "_ansible_check_mode": check, **more}), pytest.raises(SystemExit):
            watchdog_notice.main()
        out = capsys.readouterr().out
        assert "planted-secret" not in out
        return dict(json.loads(out))

    return call


def test_a_lock_and_a_mark_are_told_once(notify: Run, hook: Webhook, tmp_path: Path) -> None:
    assert notify(BLOCKED, check=True)["webhook"]["sent"] == 0 and hook.bodies == []
    first = notify({**BLOCKED, **MARKED})
    assert (first["webhook"], first["changed"]) == ({"configured": True, "sent": 2, "waiting": 0, "why": None}, True)
    for _pass in range(3):
        again = notify(BLOCKED)
        assert (again["webhook"]["sent"], again["changed"], len(again["notices"])) == (0, False, 1)
    assert hook.notices() == [("marked", "lc-demo-1"), ("blocked", "lc-demo-1")]
    assert len(hook.bodies) == 1 and "keeps billing" in hook.bodies[0]["text"]
    (record,) = tmp_path.glob("state/told.json")
    assert record.stat().st_mode & 0o777 == 0o600 and "planted-secret" not in record.read_text()


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("500", "it answered 500"),
        ("302", "it answered 302"),
        ("drip", "did not answer within 1 s"),
        ("down", "refused"),
    ],
)
def test_a_webhook_that_fails_is_told_and_the_message_waits(notify: Run, hook: Webhook, how: str, why: str) -> None:
    url: dict[str, Any] = {"url": "http://127.0.0.1:9/planted-secret"} if how == "down" else {}
    hook.status, hook.drip = (int(how), False) if how.isdigit() else (200, how == "drip")
    began = time.monotonic()
    failed = notify(MARKED, timeout=1, **url)
    assert time.monotonic() - began < 50, "a byte at a time must not hold the pass"
    assert why in failed["webhook"]["why"] and failed["webhook"]["waiting"] == 1 and not failed["changed"]
    hook.status, hook.drip = 200, False
    assert notify({})["webhook"] == {"configured": True, "sent": 1, "waiting": 0, "why": None}
    assert hook.notices() == [("marked", "lc-demo-1")]


def test_without_any_way_nothing_is_lost_of_what_lasts(
    notify: Run, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LINODE_CODER_NOTIFY_URL")
    assert notify(BLOCKED)["webhook"] == {"configured": False, "sent": 0, "waiting": 0, "why": None}
    assert "http" in notify(BLOCKED, url="ftp://example.org/planted-secret")["webhook"]["why"]
    assert notify(BLOCKED, url=hook.url)["webhook"]["sent"] == 1


def test_the_desktop_is_told_where_there_is_one(
    notify: Run, hook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, log = tmp_path / "bin" / "notify-send", tmp_path / "shown"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nfor word in "$@" "$DBUS_SESSION_BUS_ADDRESS"; do echo "$word" >> {log}; done\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    assert notify(BLOCKED)["desktop"]["configured"] is False
    bus = tmp_path / "run" / "bus"
    bus.parent.mkdir()
    bus.touch()
    for sent in (1, 0):
        assert notify(BLOCKED)["desktop"] == {"configured": True, "sent": sent, "waiting": 0, "why": None}
    assert log.read_text().splitlines() == [
        "--app-name=linode-coder",
        "--",
        "linode-coder",
        BLOCKED["blocked"]["lc-demo-1"],
        f"unix:path={bus}",
    ]
    program.write_text("#!/bin/sh\necho no such bus >&2\nexit 1\n")
    failed = notify(MARKED)
    assert failed["desktop"]["why"] == "no such bus" and failed["webhook"]["sent"] == 1
    assert notify(MARKED, desktop=False)["desktop"]["configured"] is False


def test_a_spoiled_record_begins_anew(notify: Run, hook: Webhook, tmp_path: Path) -> None:
    notify(BLOCKED)
    (tmp_path / "state" / "told.json").write_text("{")
    assert notify(BLOCKED)["webhook"]["sent"] == 1
    assert notify(BLOCKED)["webhook"]["sent"] == 0


def test_what_came_of_waiting_for_capacity_is_told(notify: Run, hook: Webhook) -> None:
    vm = {"label": "lc-demo-1", "linode_id": 7, "plan": "p", "region": "us-ord", "hourly": 0.52}
    told = notify({}, waited={"session": "demo", "since": 1000, "vm": vm})
    assert (
        told["webhook"]["sent"] == 1 and "lc-demo-1 (p in us-ord) runs and bills at $0.52/h" in hook.bodies[0]["text"]
    )
    notify({}, waited={"session": "demo", "since": 2000, "why": "There is no capacity in any place."})
    assert "demo: no VM. There is no capacity" in hook.bodies[1]["text"]
    assert hook.notices() == [("capacity", "demo")] * 2
