# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox saved as a file and started elsewhere, twice at the same moment; and what cannot be started."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import decode

from linode_coder.sandbox.snapshot_archive import Reader, write
from tests import product
from tests.product import error_of, result_of
from tests.ready_session import ready_session
from tests.sandbox_fixture import PLANTED, RunningSandbox, start_sandbox

pytestmark = pytest.mark.timeout(600)
coder = partial(product.coder, timeout=240)


def session_of(sandbox: RunningSandbox) -> dict[str, Any]:
    (view,) = json.loads(coder(sandbox, "list", "--json").stdout)["sessions"]
    return dict(view)


def serves(sandbox: RunningSandbox) -> bool:
    """Asked through the tunnel, with the key that this machine has."""
    script = 'eval "$("$0" use main)"; curl -sf -H "Authorization: Bearer $OPENAI_API_KEY" "$OPENAI_BASE_URL/models"'
    asked = subprocess.run(
        ["/bin/bash", "-c", script, str(product.BIN / "linode-coder")],
        env=sandbox.env,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )
    return asked.returncode == 0 and '"coder"' in asked.stdout


def wait_until_it_serves(sandbox: RunningSandbox) -> None:
    deadline = time.monotonic() + 60
    while not serves(sandbox):
        assert time.monotonic() < deadline
        time.sleep(0.3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningSandbox, Path, dict[str, Any]]]:
    """The sandbox that was saved, the file, and how the session was before."""
    directory = tmp_path_factory.mktemp("saved")
    with ready_session(tmp_path_factory, directory) as running:
        before = session_of(running)
        # A second instance that is off stays off.
        foreign = {"type": "g2-gpu-rtx4000a1-s", "region": "us-ord", "image": "linode/ubuntu24.04", "label": "off"}
        off = running.api("POST", "linode/instances", {**foreign, "booted": False, "root_pass": "long-Enough-4-it"})
        deadline = time.monotonic() + 60
        while running.api("GET", f"linode/instances/{off['id']}")["status"] != "offline":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        path = directory / "ready.snapshot"
        made = result_of(coder(running, "sandbox", "snapshot", "save", str(path), "--json"))
        assert (made["path"], made["sessions"], made["bytes"]) == (str(path), ["main"], path.stat().st_size)
        assert made["sandbox"]["url"] == running.url
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        yield running, path, before


@contextmanager
def started(directory: Path, snapshot: Path) -> Iterator[RunningSandbox]:
    directory.mkdir()
    with start_sandbox(directory, snapshot=snapshot) as running:
        yield running


def test_it_goes_on_where_it_was_saved_and_twice_at_once(
    saved: tuple[RunningSandbox, Path, dict[str, Any]], tmp_path: Path
) -> None:
    origin, path, before = saved
    with ExitStack() as stack:
        copies = [stack.enter_context(started(tmp_path / name, path)) for name in ("one", "two")]
        views = [session_of(sandbox) for sandbox in (origin, *copies)]
        assert len({view["address"] for view in views}) == 3
        for sandbox, view in zip((origin, *copies), views, strict=True):
            # The host key agrees with the tags, or nothing here would be reached.
            wait_until_it_serves(sandbox)
            same = ("linode_id", "label", "plan", "region", "model", "owner", "host_keys", "hourly", "started_hours")
            assert {key: view[key] for key in same} == {key: before[key] for key in same}
            # What an address of its own is named by on the host.
            assert f"{view['address']} lc-main-1" in coder(sandbox, "ssh", "main", "--", "cat /etc/hosts").stdout
            labels = {row["label"]: row["status"] for row in sandbox.api("GET", "linode/instances")["data"]}
            assert labels == {"lc-main-1": "running", "off": "offline"}
        first, second = copies
        assert result_of(coder(first, "up", "main", "--json"))["changed"] == 0
        result_of(coder(first, "down", "main", "--yes", "--json"))
        assert serves(second)
    assert serves(origin)


def test_the_options_of_a_sandbox_without_hosts_come_along(tmp_path: Path) -> None:
    options: dict[str, Any] = {"timing": "instant", "rate_limits": "off", "seed_instances": 3}
    (tmp_path / "first").mkdir()
    with start_sandbox(tmp_path / "first", guest_seconds={"weights": 0.25}, **options) as origin:
        origin.fault(kind="capacity", count=2)
        path = tmp_path / "account.snapshot"
        coder(origin, "sandbox", "snapshot", "save", str(path))
        rows = origin.api("GET", "linode/instances")["data"]
        with started(tmp_path / "second", path) as copy:
            facts = json.loads(coder(copy, "sandbox", "status", "--json").stdout)["sandbox"]
            assert {name: facts[name] for name in options} == options
            assert (facts["guest_seconds"], facts["hosts"]) == ({"weights": 0.25}, "none")
            assert [fault["kind"] for fault in facts["faults"]] == ["capacity"]
            assert [row["label"] for row in copy.api("GET", "linode/instances")["data"]] == [
                row["label"] for row in rows
            ]


def test_the_history_of_the_other_machine_does_not_come_along(
    saved: tuple[RunningSandbox, Path, dict[str, Any]], tmp_path: Path
) -> None:
    origin, path, _before = saved
    assert (origin.home / "state/history.sqlite3").exists()
    assert PLANTED.encode() not in gzip.decompress(path.read_bytes())
    (tmp_path / "content").mkdir()
    Reader(path).extract(tmp_path / "content")
    assert {entry.name for entry in (tmp_path / "content").iterdir()} == {"sandbox", "ssh", "sessions"}
    assert [str(file.name) for file in (tmp_path / "content/sessions/main").iterdir()] == ["api_key"]
    assert {entry.name for entry in (tmp_path / "content/sandbox").iterdir()} == {"state.sqlite", "hosts"}


def older(path: Path, target: Path, seconds: float, **changes: Any) -> Path:
    """The same snapshot as if it had been saved so long ago, or otherwise."""
    content = target.with_name(target.name + ".content")
    content.mkdir()
    reader = Reader(path)
    reader.extract(content)
    manifest = {**reader.manifest, "saved": reader.manifest["saved"] - seconds, **changes}
    write(target, manifest, content, sorted(content.rglob("*")))
    shutil.rmtree(content)
    return target


def test_an_old_one_is_neither_overdue_nor_idle(
    saved: tuple[RunningSandbox, Path, dict[str, Any]], tmp_path: Path
) -> None:
    _origin, path, before = saved
    month = 30 * 86400
    with started(tmp_path / "old", older(path, tmp_path / "old.snapshot", month)) as sandbox:
        view = session_of(sandbox)
        (row,) = [row for row in sandbox.api("GET", "linode/instances")["data"] if row["label"] == "lc-main-1"]
        for key, found in (("lease_end", decode(row["tags"]).lease_end), ("hard_cap", decode(row["tags"]).hard_cap)):
            was = time.mktime(time.strptime(before[key], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
            assert found is not None and month <= found - was < month + 300
        wait_until_it_serves(sandbox)
        watched = result_of(coder(sandbox, "watchdog", "--once", "--json"))
        assert session_of(sandbox)["lease_end"] == view["lease_end"], watched
        assert session_of(sandbox)["doomed"] is None


def test_what_cannot_be_saved_is_refused_and_nothing_happens(
    saved: tuple[RunningSandbox, Path, dict[str, Any]], tmp_path: Path
) -> None:
    origin, path, _before = saved
    nobody = {**origin.env, "LINODE_CODER_HOME": str(tmp_path / "nobody")}
    running = origin.api("GET", "linode/instances")
    boots = coder(origin, "ssh", "main", "--", "cat /proc/sys/kernel/random/boot_id").stdout
    assert error_of(coder(RunningSandbox(nobody, "", tmp_path, {}), "sandbox", "snapshot", "save", "x", "--json"), 9)
    content = path.read_bytes()
    there = error_of(coder(origin, "sandbox", "snapshot", "save", str(path), "--json"), 10)
    assert (there["field"], path.read_bytes()) == ("path", content)
    error_of(coder(origin, "sandbox", "snapshot", "save", str(tmp_path / "no/x"), "--json"), 2)
    assert origin.api("GET", "linode/instances") == running
    assert coder(origin, "ssh", "main", "--", "cat /proc/sys/kernel/random/boot_id").stdout == boots


def test_when_it_cannot_be_written_the_sandbox_runs_again(saved: tuple[RunningSandbox, Path, dict[str, Any]]) -> None:
    origin, _path, _before = saved
    error = error_of(coder(origin, "sandbox", "snapshot", "save", "/proc/ready.snapshot", "--json"), 2)
    assert (error["kind"], error["field"]) == ("config", "path")
    assert session_of(origin)["status"] == "running"
    wait_until_it_serves(origin)


def cut(path: Path, target: Path) -> Path:
    target.write_bytes(path.read_bytes()[:-1000])
    return target


def text(_path: Path, target: Path) -> Path:
    target.write_text("hello")
    return target


def no_account(path: Path, target: Path) -> Path:
    manifest = Reader(path).manifest
    write(target, manifest, target.parent, [])
    return target


def broken_account(path: Path, target: Path) -> Path:
    root = target.with_name("broken")
    (root / "sandbox").mkdir(parents=True)
    (root / "sandbox/state.sqlite").write_text("no database" * 100)
    write(target, Reader(path).manifest, root, [root / "sandbox", root / "sandbox/state.sqlite"])
    shutil.rmtree(root)
    return target


BAD: dict[str, tuple[Any, int, str]] = {
    "none": (lambda _path, target: target, 2, "no snapshot of a sandbox"),
    "a directory": (lambda _path, target: target.mkdir() or target, 2, "no snapshot of a sandbox"),
    "a pipe": (lambda _path, target: os.mkfifo(target) or target, 2, "no snapshot of a sandbox"),
    "something else": (text, 2, "no snapshot of a sandbox"),
    "cut off": (cut, 2, "no snapshot of a sandbox"),
    "without an account": (no_account, 2, "no snapshot of a sandbox"),
    "with a broken account": (broken_account, 2, "no snapshot of a sandbox"),
    "of another version": (lambda path, target: older(path, target, 0, version="0.0.1"), 3, "0.0.1"),
    "of another format": (lambda path, target: older(path, target, 0, format=99), 3, "saved by linode-coder"),
    "of docker hosts": (
        lambda path, target: older(path, target, 0, options={**Reader(path).manifest["options"], "hosts": "docker"}),
        2,
        "no snapshot of a sandbox",
    ),
    "without its options": (lambda path, target: older(path, target, 0, options={}), 2, "no snapshot of a sandbox"),
    "of an engine that nobody knows": (
        lambda path, target: older(path, target, 0, options={**Reader(path).manifest["options"], "engine": "other"}),
        2,
        "no snapshot of a sandbox",
    ),
    "of no time": (lambda path, target: older(path, target, 0, saved="now"), 2, "no snapshot of a sandbox"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_one_is_one_sentence_and_leaves_nothing(
    saved: tuple[RunningSandbox, Path, dict[str, Any]], tmp_path: Path, what: str
) -> None:
    origin, path, _before = saved
    make, code, said = BAD[what]
    bad = make(path, tmp_path / "bad.snapshot")
    home = tmp_path / "home"
    elsewhere = RunningSandbox({**origin.env, "LINODE_CODER_HOME": str(home)}, "", home, {})
    error = error_of(coder(elsewhere, "sandbox", "start", "--from", str(bad), "--json"), code)
    assert said in error["message"] and error["field"] == "from"
    assert not home.exists() or list(home.rglob("*")) == []


def test_a_place_that_is_taken_is_left_alone(
    saved: tuple[RunningSandbox, Path, dict[str, Any]], tmp_path: Path
) -> None:
    origin, path, _before = saved
    runs = error_of(coder(origin, "sandbox", "start", "--from", str(path), "--json"), 10)
    assert "is running" in runs["message"]
    home = tmp_path / "home"
    (home / "state/ssh").mkdir(parents=True)
    (home / "state/ssh/id_ed25519").write_text("mine")
    elsewhere = RunningSandbox({**origin.env, "LINODE_CODER_HOME": str(home)}, "", home, {})
    taken = error_of(coder(elsewhere, "sandbox", "start", "--from", str(path), "--json"), 10)
    assert "is not empty" in taken["message"]
    assert (home / "state/ssh/id_ed25519").read_text() == "mine" and len(list(home.rglob("*"))) == 3
    shutil.rmtree(home)
    both = error_of(coder(elsewhere, "sandbox", "start", "--from", str(path), "--hosts", "none", "--json"), 2)
    assert (both["field"], home.exists()) == ("hosts", False)
    port = origin.facts["port"]
    busy = error_of(coder(elsewhere, "sandbox", "start", "--from", str(path), "--port", str(port), "--json"), 2)
    assert str(port) in busy["message"]
    assert list(home.rglob("*")) == []
