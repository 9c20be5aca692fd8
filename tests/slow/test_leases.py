# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases and watchers on an account without hosts: everything that tags and the API alone decide."""

from __future__ import annotations

import calendar
import json
import math
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pexpect
import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import (
    SessionTags,
    decode,
    encode,
    with_doom,
)

from linode_coder.terminal.when import when
from tests import product
from tests.product import error_of, result_of
from tests.sandbox_fixture import RunningSandbox, start_sandbox
from tests.webhook import listening

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    directory = tmp_path_factory.mktemp("leases")
    with start_sandbox(directory, timing="instant", plants_vms=True) as running:
        running.env.update(
            ANSIBLE_HOME=str(directory / "ansible"),
            ANSIBLE_NOCOLOR="1",
            PATH=f"{BIN}{os.pathsep}{running.env['PATH']}",
        )
        yield running


def make(sandbox: RunningSandbox, name: str, lease: float = 3600, cap: float = 86400, **more: Any) -> dict[str, Any]:
    """A VM as `up` creates it, whose lease ends ``lease`` seconds from now: also in the past."""
    now = int(time.time())
    tags = SessionTags(name, 1, "ada", int(now + lease), int(now + cap), 45, 520_000, "org/M", bytes(range(32)))
    body = {
        "label": f"lc-{name}-1",
        "type": "g2-gpu-rtx4000a1-s",
        "region": "us-ord",
        "image": "linode/ubuntu24.04",
        "authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"],
        "tags": encode(tags),
        **more,
    }
    created = sandbox.api("POST", "linode/instances", body)
    deadline = time.monotonic() + 60
    while sandbox.api("GET", f"linode/instances/{created['id']}")["status"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return dict(created)


def tags_of(sandbox: RunningSandbox, instance: dict[str, Any]) -> list[str]:
    return list(sandbox.api("GET", f"linode/instances/{instance['id']}")["tags"])


def exists(sandbox: RunningSandbox, instance: dict[str, Any]) -> bool:
    try:
        sandbox.api("GET", f"linode/instances/{instance['id']}")
    except urllib.error.HTTPError as error:
        assert error.code == 404
        return False
    return True


def mark(sandbox: RunningSandbox, instance: dict[str, Any], doom: float) -> None:
    tags = with_doom(tags_of(sandbox, instance), int(doom))
    sandbox.api("PUT", f"linode/instances/{instance['id']}", {"tags": tags})


coder = partial(product.coder, timeout=240)


def test_extend_moves_the_end_up_to_the_cap(sandbox: RunningSandbox) -> None:
    vm = make(sandbox, "longer", lease=3600, cap=4 * 3600)
    mark(sandbox, vm, time.time() + 300)
    before = decode(tags_of(sandbox, vm))
    assert before.lease_end is not None
    done = coder(sandbox, "extend", "longer", "1h", "--json")
    after = result_of(done)["session"]
    assert (after["lease_end"], after["doomed"]) == (format_time(before.lease_end + 3600), None)
    created = calendar.timegm(time.strptime(vm["created"], "%Y-%m-%dT%H:%M:%S"))
    hours = math.ceil((before.lease_end + 3600 - created) / 3600)
    assert after["cost_to_lease_end"] == pytest.approx(0.52 * hours)
    assert decode(tags_of(sandbox, vm)).lease_end == before.lease_end + 3600

    over = error_of(coder(sandbox, "extend", "longer", "5h", "--json"))
    assert (over["kind"], over["exit_code"], over["field"]) == ("refused", 3, "extend")
    until = after["lease_end"]
    assert result_of(coder(sandbox, "extend", "longer", "--until", until, "--json"))["changed"] == 0
    for wrong in (["--until", "yesterday"], ["soon"], [], ["1h", "--until", "18:00"]):
        assert error_of(coder(sandbox, "extend", "longer", *wrong, "--json"))["exit_code"] == 2
    assert error_of(coder(sandbox, "extend", "nobody", "1h", "--json"))["exit_code"] == 9
    assert decode(tags_of(sandbox, vm)).lease_end == before.lease_end + 3600
    sandbox.api("DELETE", f"linode/instances/{vm['id']}")


def test_up_with_the_options_of_before_changes_nothing_after_an_extension(sandbox: RunningSandbox) -> None:
    vm = make(sandbox, "again", lease=3600, cap=86400)
    coder(sandbox, "extend", "again", "2h", "--json")
    told = coder(sandbox, "up", "again", "--lease", "1h", "--max-cost", "0.6", "--dry-run", "--json")
    quote = next(json.loads(line) for line in told.stdout.splitlines() if '"plan"' in line)["quote"]
    assert (quote["changes"], len(quote["kept"])) == ({}, 2)
    assert "linode-coder down again" in quote["kept"][0]
    sandbox.api("DELETE", f"linode/instances/{vm['id']}")


def test_a_pause_is_written_shown_and_ended(sandbox: RunningSandbox) -> None:
    vm = make(sandbox, "paused", lease=3600, cap=4 * 3600)
    before = decode(tags_of(sandbox, vm))
    after = result_of(coder(sandbox, "pause", "paused", "--for", "1h", "--json"))
    assert after["changed"] == 1 and after["session"]["lease_end"] == format_time(before.lease_end or 0)
    paused = decode(tags_of(sandbox, vm)).pause
    assert paused is not None and 3500 < paused - time.time() <= 3600
    assert "until " + when(paused) in coder(sandbox, "status", "paused").stdout
    assert "(paused)" in coder(sandbox, "list").stdout
    ended = play(sandbox, "pause", session="paused", pause="clear")
    assert ended.returncode == 0 and decode(tags_of(sandbox, vm)).pause is None, ended.stdout
    assert result_of(coder(sandbox, "pause", "paused", "--off", "--json"))["changed"] == 0
    for wrong in (["--for", "0s"], ["--for", "soon"], ["--for", "1h", "--off"]):
        assert error_of(coder(sandbox, "pause", "paused", *wrong, "--json"))["exit_code"] == 2
    assert error_of(coder(sandbox, "pause", "nobody", "--json"))["exit_code"] == 9
    assert tags_of(sandbox, vm) == encode(before.whole())
    sandbox.api("DELETE", f"linode/instances/{vm['id']}")


def play(sandbox: RunningSandbox, name: str, **extra: Any) -> subprocess.CompletedProcess[str]:
    given = [part for key, value in extra.items() for part in ("-e", f"{key}={value}")]
    return subprocess.run(
        ["ansible-playbook", f"linode_coder.gpu.{name}", *given],
        cwd="/",
        env=sandbox.env,
        capture_output=True,
        text=True,
        timeout=240,
    )


def watch(sandbox: RunningSandbox, code: int = 0, *more: str) -> dict[str, Any]:
    """One pass of the command: its result."""
    done = coder(sandbox, "watchdog", "--once", "--json", *more)
    assert done.returncode == code, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return next(event for event in events if event["event"] == "result")


def deletions(sandbox: RunningSandbox) -> list[str]:
    """Labels in the deletions that the account's events know, also the refused ones."""
    events = sandbox.api("GET", "account/events?page_size=500")["data"]
    return sorted(event["entity"]["label"] for event in events if event["action"] == "linode_delete")


def test_two_looks_end_a_lease_and_nothing_else(sandbox: RunningSandbox) -> None:
    over, kept = make(sandbox, "over", lease=-60), make(sandbox, "kept")
    stranger = make(sandbox, "stranger", tags=["linode-coder"], label="database")
    first = watch(sandbox)
    assert list(first["marked"]) == ["lc-over-1"] and "its lease ends" in first["marked"]["lc-over-1"]
    assert set(first["unobserved"]) == {"lc-over-1", "lc-kept-1"}
    doom = decode(tags_of(sandbox, over)).doom
    assert doom is not None and doom >= time.time() + 500
    again = watch(sandbox)
    assert (again["marked"], again["deleted"], again["changed"]) == ({}, [], 0)
    assert decode(tags_of(sandbox, over)).doom == doom
    mark(sandbox, over, time.time() - 5)
    # As AWX would run it.
    last = play(sandbox, "watchdog")
    assert last.returncode == 0, last.stdout + last.stderr
    # YAML output wraps long lines.
    assert "1 started hour(s), $0.52" in " ".join(last.stdout.split())
    assert [exists(sandbox, vm) for vm in (over, kept, stranger)] == [False, True, True]
    assert tags_of(sandbox, stranger) == ["linode-coder"]
    for vm in (kept, stranger):
        sandbox.api("DELETE", f"linode/instances/{vm['id']}")


def test_a_lease_that_ends_while_the_api_is_down_is_ended_later_and_the_hours_are_told(sandbox: RunningSandbox) -> None:
    vm = make(sandbox, "outage", lease=-60)
    mark(sandbox, vm, time.time() - 5)
    for spec in (
        {"kind": "error", "on": "* /**", "status": 503, "count": None},
        {"kind": "reset", "on": "* /**", "count": None},
        {"kind": "unauthorized", "on": "GET /linode/instances", "count": None},
    ):
        sandbox.fault(**spec)
        error = error_of(coder(sandbox, "watchdog", "--once", "--json"))
        assert error["exit_code"] in (4, 5)
        sandbox.clear_faults()
        assert exists(sandbox, vm)
    # Asked for, the answer lost, and then nothing more to be learned: not called gone.
    sandbox.fault(kind="error_after_commit", on="DELETE /linode/instances/{id}", status=502)
    sandbox.fault(kind="unauthorized", on="GET /linode/instances/{id}", count=None, skip=1)
    failed = coder(sandbox, "watchdog", "--once", "--json")
    error = error_of(failed)
    assert (error["kind"], error["exit_code"]) == ("auth", 4)
    assert "is billing at $0.52/h" in error["billing"][0]
    assert '"deleted": []' in failed.stdout
    sandbox.clear_faults()
    # It went in the meantime; nothing is left to do, and nothing is invented.
    assert watch(sandbox)["deleted"] == [] and not exists(sandbox, vm)

    vm = make(sandbox, "outage2", lease=-60)
    mark(sandbox, vm, time.time() - 5)
    sandbox.fault(kind="error", on="DELETE /linode/instances/{id}", status=500)
    # A 500 says nothing, and the VM shows no sign of it: asked for once more.
    gone = watch(sandbox)["deleted"]
    assert [(row["label"], row["hours"], row["cost"]) for row in gone] == [("lc-outage2-1", 1, 0.52)]
    shown = result_of(coder(sandbox, "list", "--all", "--json"))["gone"]
    assert {row["name"]: row["hours"] for row in shown}["outage2"] == 1


def test_what_nobody_looks_after_goes_after_two_sightings_and_its_grace(sandbox: RunningSandbox) -> None:
    half = make(sandbox, "half", tags=["linode-coder", "lc:session:half"])
    stranger = make(sandbox, "theirs", tags=["linode-coder"], label="database2")
    assert watch(sandbox)["marked"] == {}  # it may still be being made
    for label in ("lc-half-1", "database2"):
        sandbox.age(label, 3700)
    began = time.time()
    assert "no lease" in watch(sandbox)["marked"]["lc-half-1"]
    doom = decode(tags_of(sandbox, half)).doom
    assert doom is not None and doom >= began + 1800
    assert watch(sandbox)["deleted"] == []
    mark(sandbox, half, time.time() - 5)
    gone = watch(sandbox)["deleted"]
    assert [(row["label"], row["cause"], row["hours"]) for row in gone] == [("lc-half-1", "orphan", 2)]
    assert exists(sandbox, stranger) and tags_of(sandbox, stranger) == ["linode-coder"]
    sandbox.api("DELETE", f"linode/instances/{stranger['id']}")


def test_a_lock_is_respected_and_reported(sandbox: RunningSandbox) -> None:
    vm = make(sandbox, "locked", lease=-60)
    mark(sandbox, vm, time.time() - 5)
    lock = sandbox.api("POST", "locks", {"entity_type": "linode", "entity_id": vm["id"], "lock_type": "cannot_delete"})
    before = deletions(sandbox)
    for _ in range(2):
        seen = watch(sandbox)
        assert "cannot_delete" in seen["blocked"]["lc-locked-1"] and "keeps billing" in seen["blocked"]["lc-locked-1"]
        assert seen["deleted"] == []
    assert deletions(sandbox) == before
    sandbox.api("DELETE", f"locks/{lock['id']}")
    assert [row["label"] for row in watch(sandbox)["deleted"]] == ["lc-locked-1"]


def test_people_are_told_once_by_the_webhook_of_the_configuration(sandbox: RunningSandbox, tmp_path: Path) -> None:
    over, locked = make(sandbox, "told", lease=-60), make(sandbox, "held", lease=-60)
    lock = sandbox.api(
        "POST", "locks", {"entity_type": "linode", "entity_id": locked["id"], "lock_type": "cannot_delete"}
    )
    config = tmp_path / "home" / "config" / "config.toml"
    config.parent.mkdir(parents=True)
    with listening() as hook:
        token = sandbox.env["LINODE_TOKEN"]
        config.write_text(
            f'notify_url = "{hook.url}"\nlinode_token = "{token}"\nheal = "alert"\nwatchdog_interval = "9m"\n'
        )
        config.chmod(0o600)
        around = {"LINODE_CODER_HOME": str(tmp_path / "home"), "LINODE_TOKEN": ""}

        def look(*more: str, code: int = 0) -> dict[str, Any]:
            done = coder(sandbox, "watchdog", "--once", "--json", "-vv", *more, **around)
            assert done.returncode == code, done.stdout + done.stderr
            assert not any(secret in done.stdout + done.stderr for secret in (token, "planted-secret"))
            events = [json.loads(line) for line in done.stdout.splitlines()]
            return next(event for event in events if event["event"] == "result")

        # A webhook that is down is no reason to stop: the mark is written, and the message waits.
        hook.status = 503
        first = look()
        assert list(first["marked"]) == ["lc-told-1"] and first["failures"] == {}
        assert first["told"]["webhook"] == {"configured": True, "sent": 0, "waiting": 1, "why": "it answered 503"}
        # Nobody promised another pass.
        assert "interval" not in json.loads((tmp_path / "home/state/watcher.json").read_text())
        hook.status = 200
        for _pass in range(2):
            assert look()["told"]["webhook"]["why"] is None
        assert hook.notices() == [("marked", "lc-told-1"), ("blocked", "lc-held-1")]
        assert "its lease ends" in hook.bodies[0]["text"] and hook.bodies[0]["text"] == hook.bodies[0]["content"]

        sandbox.fault(kind="error", on="* /**", status=503, count=None)
        for _pass in range(2):
            assert look(code=5)["failure"]["kind"] == "transient"
        sandbox.clear_faults()
        assert hook.notices()[2:] == [("failed", "account")]
        mark(sandbox, over, time.time() - 5)
        assert [row["label"] for row in look()["deleted"]] == ["lc-told-1"]
        assert hook.notices()[3:] == [("deleted", "lc-told-1")] and "$0.52" in hook.bodies[-1]["text"]
        for wrong in ('watchdog_interval = "2h"\n', 'heal = "always"\n', 'notify_url = "somewhere"\n'):
            config.write_text(f'linode_token = "{token}"\n{wrong}')
            refused = coder(sandbox, "watchdog", "--once", "--json", **around)
            assert error_of(refused)["exit_code"] == 2, wrong
    for path in (tmp_path / "home").rglob("*"):
        if path.is_file() and path != config:
            assert not any(secret in path.read_bytes() for secret in (token.encode(), b"planted-secret")), path
    sandbox.api("DELETE", f"locks/{lock['id']}")
    sandbox.api("DELETE", f"linode/instances/{locked['id']}")


def test_a_wrong_clock_deletes_nothing(sandbox: RunningSandbox) -> None:
    vm = make(sandbox, "skewed", lease=-60)
    mark(sandbox, vm, time.time() - 5)
    sandbox.fault(kind="skewed_date", on="* /**", delay=400, count=None)
    seen = watch(sandbox)
    assert "behind the API's" in seen["blocked"]["lc-skewed-1"]
    assert seen["skew"] < -390
    assert exists(sandbox, vm)
    sandbox.clear_faults()
    assert [row["label"] for row in watch(sandbox)["deleted"]] == ["lc-skewed-1"]


def test_busy_is_waited_for(sandbox: RunningSandbox) -> None:
    vm = make(sandbox, "busy", lease=-60)
    mark(sandbox, vm, time.time() - 5)
    sandbox.fault(kind="rate_limited", on="DELETE /linode/instances/{id}", retry_after=1)
    sandbox.fault(kind="rate_limited", on="GET /linode/instances", retry_after=1)
    assert [row["label"] for row in watch(sandbox)["deleted"]] == ["lc-busy-1"]


def test_one_pass_deletes_only_so_many(sandbox: RunningSandbox) -> None:
    vms = [make(sandbox, f"many{number}", lease=-60) for number in range(3)]
    for vm in vms:
        mark(sandbox, vm, time.time() - 5)
    first = watch(sandbox, 0, "--max-deletions", "1")
    assert (len(first["deleted"]), len(first["deferred"])) == (1, 2)
    assert len(watch(sandbox)["deleted"]) == 2


def test_five_watchers_at_once_delete_once(sandbox: RunningSandbox) -> None:
    doomed, kept = make(sandbox, "doomed", lease=-60), make(sandbox, "alive")
    mark(sandbox, doomed, time.time() - 5)
    fresh = make(sandbox, "fresh", lease=-60)
    before = deletions(sandbox)
    command = [str(BIN / "linode-coder"), "watchdog", "--once", "--json"]
    watchers = [
        subprocess.Popen(
            command,
            env={**sandbox.env, "LINODE_CODER_HOME": str(sandbox.home.parent / f"node{number}")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(5)
    ]
    for watcher in watchers:
        out, err = watcher.communicate(timeout=280)
        assert watcher.returncode == 0, out + err
    assert not exists(sandbox, doomed)
    assert deletions(sandbox) == sorted([*before, "lc-doomed-1"])
    marks = [tag for tag in tags_of(sandbox, fresh) if tag.startswith("lc:doom:")]
    assert len(marks) == 1
    assert decode(tags_of(sandbox, kept)).doom is None
    for vm in (fresh, kept):
        sandbox.api("DELETE", f"linode/instances/{vm['id']}")


def test_status_refreshes_until_ctrl_c_and_leaves_the_screen_as_it_was(sandbox: RunningSandbox) -> None:
    vm = make(sandbox, "live")
    child = pexpect.spawn(
        str(BIN / "linode-coder"),
        ["status", "live", "--watch", "--every", "1"],
        env={**sandbox.env, "TERM": "xterm"},  # type: ignore[arg-type]
        cwd="/",
        encoding="utf-8",
        timeout=200,
        dimensions=(40, 100),
    )
    child.expect_exact("\x1b[?1049h")
    seen = set()
    while len(seen) < 3:
        child.expect(
            r"\x1b\[Hlive: .*status .*running.*, \$0\.52 to the lease's end.*paid hour ([^\x1b]+) left.*observed  "
        )
        seen.add(child.match.group(1))  # type: ignore[union-attr]
    # An API that does not answer is told and waited for.
    sandbox.fault(kind="error", on="GET /linode/instances", status=503, count=None)
    child.expect("live: .*status .*running.*Trying again")
    sandbox.clear_faults()
    child.expect(r"observed  (\S+ \S+), from the API's tags\x1b\[K\x1b\[J")
    child.sendintr()
    child.expect_exact("\x1b[?25h\x1b[?1049l")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130 and "linode-coder list" in child.before
    # Away from a terminal it is one block after another, without control characters.
    done = subprocess.run(
        ["timeout", "-s", "INT", "20", str(BIN / "linode-coder"), "status", "live", "--watch", "--every", "1"],
        env=sandbox.env,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout.count("session   live") > 1 and "\x1b" not in done.stdout
    sandbox.api("DELETE", f"linode/instances/{vm['id']}")


def test_a_timer_is_written_without_secrets_and_removed_again(sandbox: RunningSandbox, tmp_path: Path) -> None:
    table = tmp_path / "crontab.txt"
    table.write_text("# mine\n1 2 * * * true\n")
    program = tmp_path / "crontab"
    program.write_text(f'#!/bin/sh\nif [ "$1" = -l ]; then cat {table}; else cat > {table}; fi\n')
    program.chmod(0o755)
    token = sandbox.api("POST", "profile/tokens", {"label": "cron"})["token"]
    around = {
        "PATH": f"{tmp_path}{os.pathsep}{sandbox.env['PATH']}",
        "LINODE_CODER_HOME": str(tmp_path / "home"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "LINODE_TOKEN": token,
    }
    shown = coder(sandbox, "watchdog", "install", "--systemd", "--print", **around)
    assert "OnUnitActiveSec=300s" in shown.stdout and token not in shown.stdout
    for new in (True, False):
        made = result_of(coder(sandbox, "watchdog", "install", "--cron", "--interval", "10m", "--json", **around))
        assert (made["changed"], made["env"]) == (new, "made" if new else "kept")
    text = table.read_text()
    assert text.startswith("# mine\n1 2 * * * true\n") and text.count("*/10 * * * * ") == 1
    assert token not in text
    env_file = Path(made["env_file"])
    assert env_file.stat().st_mode & 0o777 == 0o600 and f"LINODE_TOKEN={token}\n" in env_file.read_text()
    line = next(line for line in text.splitlines() if line.startswith("*/10"))
    done = subprocess.run(
        ["/bin/sh", "-c", line.removeprefix("*/10 * * * * ")],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    record = json.loads((tmp_path / "home" / "state" / "watcher.json").read_text())
    assert record["interval"] == 600 and record["ok"] is True
    env_file.chmod(0o644)
    assert error_of(coder(sandbox, "watchdog", "--once", "--env-file", str(env_file), "--json"))["exit_code"] == 2
    env_file.chmod(0o600)
    gone = result_of(coder(sandbox, "watchdog", "uninstall", "--json", **around))
    assert (gone["removed"], env_file.exists()) == (["cron"], False)
    assert table.read_text() == "# mine\n1 2 * * * true\n"
    for wrong in (["install"], ["install", "--cron", "--interval", "7m"], ["--interval", "2h"], ["--heal", "vm"]):
        assert error_of(coder(sandbox, "watchdog", *wrong, "--json", **around))["exit_code"] == 2


def test_the_timer_on_the_vm_deletes_its_own_vm_and_only_when_no_watcher_came(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    program = tmp_path / "dead_man.py"
    program.write_text((ROOT / "roles" / "dead_man" / "files" / "dead_man.py").read_text())
    token = tmp_path / "token"
    token.write_text(sandbox.env["LINODE_TOKEN"] + "\n")

    def run_on(vm: dict[str, Any], code: int = 0) -> str:
        (tmp_path / "config.json").write_text(json.dumps({"linode_id": vm["id"], "api_url": sandbox.url}))
        done = subprocess.run(
            [sys.executable, "-I", str(program)],
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert sandbox.env["LINODE_TOKEN"] not in done.stdout + done.stderr
        return done.stdout

    alive, over = make(sandbox, "dm-alive"), make(sandbox, "dm-over", lease=-60)
    forgotten, other = make(sandbox, "dm-forgotten", lease=-1900), make(sandbox, "dm-other", lease=-1900)
    assert "goes on" in run_on(alive) and "deletes itself in" in run_on(over)
    sandbox.fault(kind="error", on="GET /linode/instances/{id}", status=503)
    assert "answered 503" in run_on(forgotten, 1)
    sandbox.fault(kind="unauthorized", on="GET /linode/instances/{id}")
    assert "answered 401" in run_on(forgotten, 1)
    sandbox.fault(kind="reset", on="GET /linode/instances/{id}")
    assert "the next run asks again" in run_on(forgotten, 1)
    lock = sandbox.api(
        "POST", "locks", {"entity_type": "linode", "entity_id": forgotten["id"], "lock_type": "cannot_delete"}
    )
    assert "goes on billing" in run_on(forgotten) and exists(sandbox, forgotten)
    sandbox.api("DELETE", f"locks/{lock['id']}")
    assert "is deleted" in run_on(forgotten)
    deadline = time.monotonic() + 60
    while exists(sandbox, forgotten):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "answered 404" in run_on(forgotten, 1)
    for vm in (alive, over, other):
        assert exists(sandbox, vm)
        sandbox.api("DELETE", f"linode/instances/{vm['id']}")


def test_a_timer_on_the_vm_needs_a_token_of_its_own(sandbox: RunningSandbox) -> None:
    for given in ({}, {"LINODE_CODER_DEAD_MAN_TOKEN": sandbox.env["LINODE_TOKEN"]}):
        refused = error_of(coder(sandbox, "up", "dm", "--dead-man", "--yes", "--json", **given))
        assert (refused["exit_code"], refused["field"]) == (2, "dead_man_token")
    assert sandbox.api("GET", "linode/instances")["data"] == []
