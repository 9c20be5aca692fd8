# SPDX-License-Identifier: GPL-3.0-or-later
"""What a month cost, against a whole account: what exists, what this machine saw and others deleted, and the invoice of the month before."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode

from tests.sandbox_fixture import RunningSandbox, start_sandbox

CODER = str(Path(sys.executable).parent / "linode-coder")
PLAN, PRICE = "g2-gpu-rtx4000a1-s", 0.52
MONTH = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
BEFORE = (MONTH - timedelta(days=1)).strftime("%Y-%m")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("cost"), plants_vms=True) as running:
        yield running


def coder(sandbox: RunningSandbox, *arguments: str, code: int = 0, **env: str) -> str:
    done = subprocess.run(
        [CODER, *arguments],
        env={**sandbox.env, **env},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def cost(sandbox: RunningSandbox, *arguments: str, code: int = 0, **env: str) -> dict[str, Any]:
    return dict(json.loads(coder(sandbox, "cost", *arguments, "--json", code=code, **env)))


def plant(sandbox: RunningSandbox, name: str) -> int:
    now = int(time.time())
    tags = SessionTags(
        name, 1, "eve", now + 4 * 3600, now + 86400, 45, 520_000, "Qwen/Qwen2.5-Coder-7B", bytes(range(32))
    )
    body = {
        **{"label": f"lc-{name}-1", "type": PLAN, "region": "us-ord", "image": "linode/ubuntu24.04"},
        "authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"],
        "tags": [tag.upper() for tag in encode(tags)],
    }
    number = int(sandbox.api("POST", "linode/instances", body)["id"])
    while sandbox.api("GET", f"linode/instances/{number}")["status"] != "running":
        time.sleep(0.1)
    return number


def gone(sandbox: RunningSandbox, number: int) -> None:
    sandbox.api("DELETE", f"linode/instances/{number}")
    while any(row["id"] == number for row in sandbox.api("GET", "linode/instances")["data"]):
        time.sleep(0.1)


def test_a_month_from_first_to_last(sandbox: RunningSandbox, tmp_path: Path) -> None:
    assert "No session was billed" in coder(sandbox, "cost")
    # One from two and a half hours before the turn of the month on, and one of which this machine saw the beginning only.
    old, seen = plant(sandbox, "old"), plant(sandbox, "seen")
    created = datetime.fromisoformat(sandbox.api("GET", f"linode/instances/{old}")["created"]).replace(tzinfo=UTC)
    sandbox.age("lc-old-1", (created - MONTH).total_seconds() + 9000)
    assert {row["name"] for row in cost(sandbox)["sessions"]} == {"old", "seen"}
    gone(sandbox, seen)
    # This one was made and deleted without this machine.
    gone(sandbox, plant(sandbox, "theirs"))

    found = cost(sandbox, LINODE_CODER_BUDGET="500")
    rows = {row["name"]: row for row in found["sessions"]}
    assert (found["month"], found["budget"], found["sandbox"]) == (MONTH.strftime("%Y-%m"), 500.0, True)
    assert (rows["old"]["known_from"], rows["old"]["owner"], rows["old"]["ended"]) == ("tags", "eve", None)
    assert rows["old"]["cost"] == round(rows["old"]["hours"] * PRICE, 4)
    assert (rows["seen"]["known_from"], rows["seen"]["hours"], rows["seen"]["cost"]) == ("history", 1, PRICE)
    assert rows["seen"]["ended"] and rows["seen"]["idle_hours"] is None and rows["seen"]["saved"] == 0
    assert (rows["theirs"]["known_from"], rows["theirs"]["hours"], rows["theirs"]["cost"]) == ("events", 1, None)
    assert any("lc-theirs-1" in doubt for doubt in found["doubts"])
    # The account knows the price of what is unknown here.
    assert found["uninvoiced"] == pytest.approx(found["total"] + PRICE, abs=0.02)
    assert found["invoiced"] is None and any("no invoice" in note for note in found["notes"])

    before = cost(sandbox, "--month", BEFORE)
    assert [(row["name"], row["hours"], row["cost"]) for row in before["sessions"]] == [("old", 3, 1.56)]
    assert (before["invoiced"], before["differences"], before["doubts"]) == (1.56, [], [])

    alone = cost(sandbox, "seen")
    assert [row["name"] for row in alone["sessions"]] == ["seen"]
    text = coder(sandbox, "cost", "--month", BEFORE)
    assert "no real money" in text and "3 h" in text and "invoice  $1.56 before tax for all sessions, as here" in text

    lines = list(csv.DictReader(io.StringIO(coder(sandbox, "cost", "--csv"))))
    assert {line["name"]: line["cost"] for line in lines}["theirs"] == ""

    report = tmp_path / "cost.html"
    coder(sandbox, "cost", "--report", str(report))
    html = report.read_text()
    assert "<svg" in html and "Made in the sandbox" in html and "lc-theirs-1" in html


def test_a_token_that_may_not_read_the_account(sandbox: RunningSandbox) -> None:
    made = sandbox.api("POST", "profile/tokens", {"label": "blind", "scopes": "linodes:read_only"})
    found = cost(sandbox, LINODE_TOKEN=made["token"])
    assert found["invoiced"] is None and found["uninvoiced"] is None
    assert any("account:read_only" in note for note in found["notes"])
    assert any("events:read_only" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("arguments", "code", "field"),
    [
        (("--month", "2026-13"), 2, "month"),
        (("--month", "2099-01"), 2, "month"),
        (("nobody",), 9, "session"),
        (("--report", "/nowhere/at/all.html"), 2, "report"),
        (("--report", "/"), 2, "report"),
        (("--csv",), 2, "csv"),
    ],
)
def test_bad_input_is_one_sentence(sandbox: RunningSandbox, arguments: tuple[str, ...], code: int, field: str) -> None:
    said = cost(sandbox, *arguments, code=code)
    assert said["error"]["field"] == field and said["error"]["remedy"]
