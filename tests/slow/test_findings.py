# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding of the catalogue, made by a fault in the sandbox and read by `linode-coder check` over SSH."""

from __future__ import annotations

import json
import os
import tarfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import EXIT_CODES
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.bundle import read_bundle, write_bundle

from tests import product
from tests.findings_table import BATCHES, BUNDLES, DEEDS, STARTS, Found
from tests.ready_session import ready_session, serving
from tests.sandbox_fixture import RunningSandbox

LAST_LOOK = "/var/lib/linode-coder/last_look.json"
PROJECT = "/opt/linode-coder/vllm"
EXITS = {"pass": 0, "warn": 0, "unknown": EXIT_CODES["unknown"], "fail": EXIT_CODES["unhealthy"]}
coder = partial(product.coder, timeout=400)


class Session:
    """One session with four cards, and what is done to it."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox
        self.view = serving(sandbox, "sick")["session"]
        self.label = str(self.view["label"])
        self.cards = [
            line.split("UUID: ")[1].rstrip(")") for line in self.on_vm("nvidia-smi -L").splitlines() if "UUID" in line
        ]
        assert len(self.cards) == 4

    def arm(self, **fault: Any) -> None:
        self.sandbox.fault(host=self.label, **fault)

    def on_vm(self, line: str) -> str:
        done = coder(self.sandbox, "ssh", "sick", "--", line)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Of its VM."""
        return dict(self.sandbox.api(method, f"linode/instances/{self.view['linode_id']}{path}", body))

    def check(self, *more: str, **environment: str) -> dict[str, Any]:
        done = coder(self.sandbox, "check", *(more or ("sick",)), "--json", **environment)
        document = dict(json.loads(done.stdout))
        assert done.returncode == EXITS[document["severity"]], done.stderr
        return document

    def until(self, what: str, seconds: float, ready: Any) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < deadline, what
            time.sleep(0.5)

    def restart(self) -> None:
        self.on_vm(f"cd {PROJECT} && docker compose restart -t 1")

    def container(self) -> dict[str, Any]:
        return dict(json.loads(self.on_vm("docker inspect vllm-vllm-1"))[0])

    def waits(self) -> bool:
        """Whether the container is not started again for some seconds."""
        before = self.container()
        time.sleep(3)
        after = self.container()
        return bool(after["State"]["Restarting"]) and before["RestartCount"] == after["RestartCount"]

    def mend(self) -> None:
        """Nothing is armed, and the engine serves."""
        self.arm(kind="clear")
        self.restart()
        health = (
            "python3 -c 'import urllib.request; urllib.request.urlopen(\"http://127.0.0.1:8000/health\")' 2>/dev/null"
        )
        self.until(
            "the engine came back", 120, lambda: coder(self.sandbox, "ssh", "sick", "--", health).returncode == 0
        )

    def age(self, seconds: float) -> None:
        """As if the last look had been so long ago."""
        look = json.loads(self.on_vm(f"cat {LAST_LOOK}"))
        look["clock"] -= seconds
        if look["flat_since"] is not None:
            look["flat_since"] -= seconds
        for sample in look["history"]:
            sample["time"] -= seconds
        self.on_vm(f"cat > {LAST_LOOK} <<'EOF'\n{json.dumps(look)}\nEOF")

    def assert_found(self, document: dict[str, Any], wanted: list[Found]) -> None:
        found = [
            (entry["id"], entry["severity"], entry["subject"], (entry["ladder"] or [None])[0])
            for entry in document["findings"]
        ]
        for name, severity, subject, rung in wanted:
            if subject.startswith("gpu:"):
                subject = f"gpu:{self.cards[int(subject[4:])]}"
            assert (name, severity, subject, rung) in found, [
                entry for entry in document["findings"] if entry["id"] == name
            ]
        for entry in document["findings"]:
            assert entry["severity"] in ("pass", "unknown") or entry["remedy"], entry
            assert entry["severity"] != "unknown" or not entry["ladder"], entry


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("findings"), "four cards") as running:
        yield Session(running)


@pytest.fixture(scope="module")
def baseline(session: Session) -> dict[str, Any]:
    """A healthy look under load: nothing is found, and how good the links are is remembered."""
    for card in range(4):
        session.arm(kind="gpu_busy", gpu=str(card))
    return session.check()


def test_a_healthy_session_has_no_finding(baseline: dict[str, Any]) -> None:
    bad = [entry for entry in baseline["findings"] if entry["severity"] != "pass"]
    assert (baseline["severity"], bad) == ("pass", [])


@pytest.mark.parametrize("batch", BATCHES)
def test_every_fault_of_a_host_is_found(session: Session, baseline: dict[str, Any], batch: str) -> None:
    session.arm(kind="clear")
    for fault, _found in BATCHES[batch]:
        session.arm(**fault)
    document = session.check()
    session.arm(kind="clear")
    wanted = [found for _fault, more in BATCHES[batch] for found in more]
    session.assert_found(document, wanted)
    # Nothing else fails: a fault is not found where it is not.
    failed = {entry["id"] for entry in document["findings"] if entry["severity"] == "fail"}
    assert failed <= {name for name, _severity, _subject, _rung in wanted}


def test_a_hang_costs_its_limit_and_nothing_else_and_fails_when_it_comes_again(
    session: Session, baseline: dict[str, Any]
) -> None:
    session.mend()
    session.arm(kind="hang", delay=90)
    first, second = session.check(), session.check()
    session.arm(kind="clear")
    session.assert_found(second, DEEDS["`hang` twice"])
    others = [
        entry
        for entry in first["findings"]
        if entry["id"] not in ("ctr.gpu", "gpu.hang") and not entry["id"].startswith(("gpu.", "drv."))
    ]
    assert {entry["severity"] for entry in others} == {"pass"}, others
    assert {entry["id"] for entry in others} >= {"vm.disk", "vm.mem", "ctr.state", "vllm.gen", "vllm.stuck"}
    hang = next(entry for entry in first["findings"] if entry["id"] == "gpu.hang")
    assert 25 <= float(hang["evidence"].split()[3]) < 30, hang["evidence"]


def test_what_lasts_fails(session: Session, baseline: dict[str, Any]) -> None:
    session.arm(kind="clear")
    session.arm(kind="thermal", gpu="1")
    session.arm(kind="throttle", gpu="2")
    # The looks of the tests before would be among the last ten minutes', and healthy, the more so the faster they were.
    session.on_vm(f"rm --force {LAST_LOOK}")
    for _look in range(2):
        session.check()
        # With the time that a look takes here itself, three of them lie in the window.
        session.age(240)
    document = session.check()
    session.arm(kind="clear")
    for how in ("`thermal` for 10 minutes", "`throttle` for 10 minutes"):
        session.assert_found(document, DEEDS[how])


def test_requests_without_progress(session: Session, baseline: dict[str, Any]) -> None:
    session.arm(kind="clear")
    session.arm(kind="engine_slow", delay=3600)
    body = json.dumps({"model": session.view["model"], "prompt": "1", "max_tokens": 8})
    session.on_vm(
        f". {PROJECT}/secrets.env; cat > /tmp/ask.py <<'EOF'\n"
        "import sys, urllib.request\n"
        f"request = urllib.request.Request('http://127.0.0.1:8000/v1/completions', {body!r}.encode(), "
        "{'Content-Type': 'application/json', 'Authorization': 'Bearer ' + sys.argv[1]})\n"
        "urllib.request.urlopen(request, timeout=3000).read()\nEOF\n"
        'setsid python3 /tmp/ask.py "$VLLM_API_KEY" >/tmp/ask.log 2>&1 </dev/null &'
    )
    session.check()
    session.age(120)
    warned = session.check()
    session.age(180)
    failed = session.check()
    session.mend()
    ways = [how for how in DEEDS if "a request" in how]
    session.assert_found(warned, DEEDS[ways[0]])
    session.assert_found(failed, DEEDS[ways[1]])


@pytest.mark.parametrize("start", STARTS)
def test_every_fault_of_a_start_is_found(session: Session, baseline: dict[str, Any], start: str) -> None:
    fault, wanted = STARTS[start]
    session.arm(kind="clear")
    session.arm(**fault)
    if start == "restarting":
        session.arm(kind="engine_start_fails", cause="oom_capture")
    session.restart()
    if fault["kind"] == "engine_start_fails":
        session.until("it restarts", 120, lambda: session.container()["RestartCount"] > 2)
        # It stays between two starts, so that the look does not depend on where it finds it.
        session.arm(kind="restart_late", delay=3600)
        session.until("it waits for long", 180, session.waits)
    elif start == "restarting":
        session.until("it waits", 120, lambda: session.container()["State"]["Restarting"])
    elif start == "hung":
        session.until(
            "it serves", 120, lambda: "startup complete" in session.on_vm("docker logs --tail 40 vllm-vllm-1")
        )
    document = session.check()
    session.mend()
    session.assert_found(document, wanted)


@pytest.mark.parametrize("how", BUNDLES)
def test_a_bundle_that_lacks_something(session: Session, baseline: dict[str, Any], how: str, tmp_path: Path) -> None:
    texts = read_bundle(bundle_of(session, tmp_path))
    if "alone" in how:
        texts = {"kernel.log": texts["kernel.log"]}
    else:
        host = json.loads(texts["host.json"])
        texts["host.json"] = json.dumps({**host, "boot_id": None})
    part = tmp_path / "part"
    part.mkdir()
    for name, text in texts.items():
        (part / name).write_text(text)
    session.assert_found(session.check("--bundle", str(part)), BUNDLES[how])


def test_a_bundle_of_a_healthy_host_and_a_part_of_it(
    session: Session, baseline: dict[str, Any], tmp_path: Path
) -> None:
    session.mend()
    whole = session.check("--bundle", str(bundle_of(session, tmp_path)))
    assert (whole["severity"], whole["missing"]) == ("pass", [])
    part = tmp_path / "part"
    part.mkdir()
    (part / "container.json").write_text(read_bundle(tmp_path / "sick.tar.gz")["container.json"])
    some = session.check("--bundle", str(part))
    assert (some["severity"], some["files"]) == ("unknown", ["container.json"])
    assert {"host.json", "nvidia-smi.xml"} <= set(some["missing"])
    told = coder(session.sandbox, "check", "--bundle", str(part))
    assert told.returncode == EXITS["unknown"] and "Not in it" in told.stdout


WRONG = {
    "there is none": (lambda _path: None, 2),
    "an empty directory": (lambda path: path.mkdir(), 2),
    "no archive": (lambda path: path.write_text("hello"), 2),
    "cut off": (lambda path: (write_bundle(path, {"kernel.log": "NVRM " * 9000}), os.truncate(path, 60)), 2),
    "a pipe": (os.mkfifo, 2),
    "leads out": (lambda path: _archive(path, "../kernel.log"), 3),
    "a giant": (lambda path: _archive(path, "kernel.log", 40_000_000_000), 2),
}


def _archive(path: Path, name: str, size: int = 0) -> None:
    with tarfile.open(path, "w") as made:
        member = tarfile.TarInfo(name)
        member.size = size
        made.addfile(member)


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_bundle_is_one_sentence(session: Session, tmp_path: Path, what: str) -> None:
    make, code = WRONG[what]
    path = tmp_path / "bundle"
    make(path)
    error = product.error_of(coder(session.sandbox, "check", "--bundle", str(path), "--json"), code)
    assert error["field"] == "bundle" and "Traceback" not in error["message"]


def bundle_of(session: Session, directory: Path) -> Path:
    path = directory / "sick.tar.gz"
    product.result_of(coder(session.sandbox, "collect", "sick", "-o", str(path), "--json"))
    return path


def test_what_the_provider_says(session: Session, baseline: dict[str, Any]) -> None:
    session.mend()
    session.check()
    tags = session.api("GET", "")["tags"]
    session.api("PUT", "", {"tags": [tag for tag in tags if not tag.startswith(("lc:hk", "lc:nk"))]})
    # Over a connection of its own: the one of the look before is still open, and knows the host.
    unknown = session.check(ANSIBLE_SSH_ARGS="-o ControlMaster=no -o ControlPath=none")
    session.api("PUT", "", {"tags": tags})
    session.assert_found(unknown, DEEDS["tags without the host key"])
    session.api("POST", "/shutdown")
    session.until("it is off", 120, lambda: session.api("GET", "")["status"] == "offline")
    session.assert_found(session.check(), DEEDS["a shutdown"])
    session.arm(kind="slow_boot", delay=60)
    session.api("POST", "/boot", {})
    session.until("it boots", 60, lambda: session.api("GET", "")["status"] == "booting")
    session.assert_found(session.check(), DEEDS["`slow_boot` and a boot"])
    session.until("it runs", 180, lambda: session.api("GET", "")["status"] == "running")
    session.until("SSH is there", 60, lambda: coder(session.sandbox, "ssh", "sick", "--", "true").returncode == 0)
    for _look in range(2):
        session.assert_found(session.check(), DEEDS["another boot"])


def test_the_whole_account_is_looked_at_whatever_one_of_its_hosts_does(
    session: Session, baseline: dict[str, Any]
) -> None:
    product.result_of(coder(session.sandbox, "up", "well", "--plan", "g2-gpu-rtx4000a1-s", "--yes", "--json"))
    session.arm(kind="ssh_down")
    document = session.check("--all")
    session.arm(kind="clear")
    by_name = {report["name"]: report for report in document["sessions"]}
    assert (document["severity"], set(by_name)) == ("fail", {"sick", "well"})
    assert [(entry["id"], entry["severity"]) for entry in by_name["sick"]["findings"]] == [
        ("vm.status", "pass"),
        ("vm.ssh", "fail"),
    ]
    assert (by_name["well"]["severity"], by_name["well"]["reached"]) == ("pass", True)
