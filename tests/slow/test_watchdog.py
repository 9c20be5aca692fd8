# SPDX-License-Identifier: GPL-3.0-or-later
"""The watchdog on a session that serves: what is use and what is not, through real SSH and the real metrics page."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode, with_doom
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.view import session_view

from tests.ready_session import ready_session, serving
from tests.sandbox_fixture import RunningSandbox
from tests.webhook import Webhook, listening

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("watchdog")) as running:
        running.env["ANSIBLE_HOME"] = str(running.home.parent / "ansible")
        yield running


def coder(sandbox: RunningSandbox, *arguments: str, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
    done = subprocess.run(
        [str(BIN / "linode-coder"), *arguments, "--json"],
        env=sandbox.env,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=900,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode in codes, done.stdout[-2000:] + done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def up(sandbox: RunningSandbox) -> dict[str, Any]:
    session = serving(sandbox)
    ask(session)  # its clock begins with the first token, which `up` asks for
    return session


def on_vm(sandbox: RunningSandbox, script: str) -> str:
    """The output of a Python program on the VM."""
    code = (
        "import sys; from linode_coder.endpoint.tunnel import ssh_command; import json, os;"
        "os.execvp('ssh', [*ssh_command(json.loads(sys.argv[1])), 'python3 -'])"
    )
    view = session_view(sandbox.api("GET", "linode/instances")["data"][0], int(time.time()))
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(view)],
        env=sandbox.env,
        input=script,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def clock(sandbox: RunningSandbox) -> dict[str, Any]:
    return dict(json.loads(on_vm(sandbox, "print(open('/var/lib/linode-coder/activity.json').read())"))["clock"])


def age(sandbox: RunningSandbox, seconds: int) -> None:
    """What the VM's clock would say after so much time without a token."""
    on_vm(
        sandbox,
        "import json, pathlib\n"
        "path = pathlib.Path('/var/lib/linode-coder/activity.json')\n"
        "record = json.loads(path.read_text())\n"
        f"record['clock']['idle_s'] = {seconds}\n"
        "path.write_text(json.dumps(record))\n",
    )


def ask(up: dict[str, Any]) -> None:
    request = urllib.request.Request(
        f"{up['endpoint']}/completions",
        data=json.dumps({"model": up["session"]["model"], "prompt": "hello", "max_tokens": 4}).encode(),
        headers={
            "Authorization": f"Bearer {Path(up['api_key_file']).read_text().strip()}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["usage"]["completion_tokens"] > 0


def watch(sandbox: RunningSandbox, *more: str) -> dict[str, Any]:
    return coder(sandbox, "watchdog", "--once", "--heal", "off", *more)


def test_tokens_are_use_and_looking_is_not(sandbox: RunningSandbox, up: dict[str, Any]) -> None:
    seen = watch(sandbox)
    assert (seen["unobserved"], seen["failures"], seen["changed"]) == ({}, {}, 0)
    assert clock(sandbox)["started"] is True
    age(sandbox, 1000)
    # A check generates a token of its own, which is no use. A watcher of another machine shares the clock.
    coder(sandbox, "check", "main", codes=(0, 6, 11))
    again = watch(sandbox)["sessions"][0]
    assert again["idle_s"] >= 1000
    ask(up)
    assert watch(sandbox)["sessions"][0]["idle_s"] == 0


def test_a_timer_on_the_vm_comes_and_goes_and_its_token_is_seen_by_nobody(
    sandbox: RunningSandbox, up: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"label": "dead man", "scopes": "linodes:read_write"}
    secret = sandbox.api("POST", "profile/tokens", wanted)["token"]
    monkeypatch.setitem(sandbox.env, "LINODE_CODER_DEAD_MAN_TOKEN", secret)
    look = (
        "import json, os, stat\n"
        "directory = '/opt/linode-coder/dead-man/'\n"
        "timer = os.path.exists('/etc/systemd/system/linode-coder-dead-man.timer')\n"
        "mode = oct(stat.S_IMODE(os.stat(directory + 'token').st_mode)) if timer else None\n"
        "token = open(directory + 'token').read().strip() if timer else None\n"
        "number = json.load(open(directory + 'config.json'))['linode_id'] if timer else None\n"
        "print(json.dumps([timer, os.path.exists(directory), mode, token, number]))\n"
    )
    for changes in (True, False):
        made = coder(sandbox, "up", "main", "--dead-man")
        assert (made["changed"] > 0) is changes
    number = up["session"]["linode_id"]
    assert json.loads(on_vm(sandbox, look)) == [True, True, "0o600", secret, number]
    coder(sandbox, "up", "main", "--no-dead-man")
    assert json.loads(on_vm(sandbox, look)) == [False, False, None, None, None]
    for path in sandbox.home.rglob("*"):
        if path.is_file() and path.stat().st_size < 10_000_000 and "hosts" not in path.parts:
            assert secret.encode() not in path.read_bytes(), path


def test_a_vm_that_never_answers_holds_up_nothing(sandbox: RunningSandbox, up: dict[str, Any]) -> None:
    """It lets SSH in and takes commands, and the pass goes on without it: what is over elsewhere is still ended."""
    now = int(time.time())
    over = SessionTags("over", 1, "ada", now - 600, now + 86400, 45, 520_000, "org/M", bytes(range(32)), doom=now - 300)
    body = {"label": "lc-over-1", "type": "g2-gpu-rtx4000a1-s", "region": "us-ord", "image": "linode/ubuntu24.04"}
    sandbox.api("POST", "linode/instances", {**body, "root_pass": "planted-Secret-42!", "tags": encode(over)})
    sandbox.fault(host=HOST, kind="ssh_stalls")
    try:
        done = subprocess.run(
            [str(BIN / "ansible-playbook"), "-i", ",", "linode_coder.gpu.watchdog", "-e", "look_timeout=4 heal=off"],
            env=sandbox.env
            | {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "PATH": f"{BIN}:{sandbox.env['PATH']}"},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        labels = [row["label"] for row in sandbox.api("GET", "linode/instances")["data"]]
        assert labels == [HOST]
        assert "The VM did not answer in 4 s." in done.stdout
        # A command says the same: a finding, instead of waiting for ever.
        checked = subprocess.run(
            [str(BIN / "ansible-playbook"), "-i", ",", "linode_coder.gpu.check", "-e", "session=main look_timeout=4"],
            env=sandbox.env | {"PATH": f"{BIN}:{sandbox.env['PATH']}"},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        assert "did not answer in 4 s" in checked.stdout and "vm.ssh" in checked.stdout
    finally:
        sandbox.fault(host=HOST, kind="clear")
    assert watch(sandbox)["unobserved"] == {}


HOST = "lc-main-1"
SEGFAULT = {"kind": "engine_start_fails", "text": "Fatal Python error: Segmentation fault", "stage": "load"}
CRASH = {"kind": "engine_crash", "count": 1, "text": "Segmentation fault"}


@pytest.fixture
def hook(sandbox: RunningSandbox) -> Iterator[Webhook]:
    with listening() as running:
        sandbox.env["LINODE_CODER_NOTIFY_URL"] = running.url
        yield running
        del sandbox.env["LINODE_CODER_NOTIFY_URL"]


def heal(sandbox: RunningSandbox, patience: str = "0") -> dict[str, Any]:
    """What a pass that heals did about the one session, without its waiting times."""
    seen = coder(sandbox, "watchdog", "--once", "--heal", "host", "--patience", patience)
    assert (seen["failures"], seen["deleted"], seen["marked"]) == ({}, [], {})
    report = seen["healing"].get(HOST) or {"step": None, "stop": None, "outcome": None, "attempt": None}
    return {**report, "changed": seen["changed"]}


def heal_until(sandbox: RunningSandbox, done: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Passes until one comes out as ``done`` says; those that did or refused something."""
    reports = []
    for _pass in range(10):
        report = heal(sandbox)
        if report["step"] or (report["stop"] or {}).get("needs_person"):
            reports.append(report)
        if done(report):
            return reports
        time.sleep(1)
    raise AssertionError(reports or report)


@pytest.mark.timeout(2400)
def test_a_pass_takes_a_rung_until_it_is_healed_and_a_person_is_told_once(
    sandbox: RunningSandbox, up: dict[str, Any], hook: Webhook
) -> None:
    healthy = heal(sandbox)
    assert (healthy["changed"], healthy["step"], hook.bodies) == (0, None, [])

    for fault in ({**SEGFAULT, "until": "recreate_container"}, CRASH):
        sandbox.fault(host=HOST, **fault)
    tried = heal_until(sandbox, lambda report: report["outcome"] == "healed")
    assert [(one["step"]["rung"], one["outcome"]) for one in tried] == [
        ("restart_container", "failed"),
        ("recreate_container", "healed"),
    ]
    assert hook.notices() == [("healed", HOST)] and "recreate_container helped" in hook.bodies[0]["text"]
    again = heal(sandbox)
    assert (again["changed"], again["step"]) == (0, None)

    # The same trouble within a day goes on where it was: no rung is left, and only a person starts healing again.
    for fault in (SEGFAULT, CRASH):
        sandbox.fault(host=HOST, **fault)
    given_up = heal_until(sandbox, lambda report: (report["stop"] or {}).get("trips", False))
    assert "No rung is left" in given_up[-1]["stop"]["message"] and given_up[-1]["attempt"] is None
    for _pass in range(2):
        stopped = heal(sandbox)
        assert (stopped["stop"]["reason"], stopped["attempt"]) == ("needs_human", None)
        assert stopped["breaker"]
    assert hook.notices() == [("healed", HOST), ("needs_person", HOST)]
    sandbox.fault(kind="clear", host=HOST)
    # Its container engine waits longer before each restart, and until then it would be healed again.
    wait_until_it_serves(sandbox)
    coder(sandbox, "heal", "main", "--ack")
    assert heal_until(sandbox, lambda report: report["step"] is None and report["changed"] == 0) == []
    assert len(hook.notices()) == 2


CONFIG, CONTEXT = "/opt/linode-coder/vllm/vllm.yaml", "max-model-len: 40960"


def set_up(sandbox: RunningSandbox, line: str) -> str:
    """Give the engine's container another flag, as a person does by hand; the line that it had before."""
    return on_vm(
        sandbox,
        "import pathlib, re, subprocess\n"
        f"path = pathlib.Path({CONFIG!r})\n"
        "text = path.read_text()\n"
        "print(re.search('(?m)^max-model-len: .*', text)[0])\n"
        f"path.write_text(re.sub('(?m)^max-model-len: .*', {line!r}, text))\n"
        "command = ['docker', 'compose', '--project-directory', str(path.parent), 'up', '--detach', '--force-recreate', 'vllm']\n"
        "subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n",
    ).strip()


@pytest.mark.timeout(1200)
def test_a_start_that_fails_the_same_way_again_is_told_once_and_restarted_once_at_most(
    sandbox: RunningSandbox, up: dict[str, Any], hook: Webhook
) -> None:
    assert heal(sandbox)["step"] is None  # it is seen to serve: what never did is left its time first
    sandbox.fault(
        host=HOST, kind="engine_start_fails", text="frob.FrobError: no frob of 12 bytes at 0x7f12ab", stage="load"
    )
    before = set_up(sandbox, CONTEXT)
    seen = heal_until(sandbox, lambda report: (report["stop"] or {}).get("reason") == "start_error")
    assert [one["step"]["rung"] for one in seen[:-1]] in ([], ["restart_container"])
    assert "no frob of 12 bytes" in seen[-1]["stop"]["message"] and seen[-1]["breaker"] is None
    # The next pass, and one of a control node that was never told anything.
    assert heal(sandbox)["stop"]["tells"] is False
    (sandbox.home / "state/told.json").unlink()
    assert heal(sandbox)["step"] is None
    assert hook.notices() == [("needs_person", HOST)]
    assert "no frob of 12 bytes" in hook.bodies[0]["text"] and "linode-coder up" in hook.bodies[0]["text"]
    sandbox.fault(kind="clear", host=HOST)
    set_up(sandbox, before)
    wait_until_it_serves(sandbox)


@pytest.mark.timeout(1800)
def test_what_can_wait_for_an_idle_moment_does(sandbox: RunningSandbox, up: dict[str, Any], hook: Webhook) -> None:
    def boot() -> str:
        return on_vm(sandbox, "print(open('/proc/sys/kernel/random/boot_id').read())")

    before = boot()
    sandbox.fault(host=HOST, kind="row_remap_pending")
    ask(up)
    # After 25 minutes without a token. The boot that made it is no reason to wait: it has served since.
    waits = heal(sandbox, patience="5")
    assert (waits["step"], waits["stop"]["reason"], boot()) == (None, "nothing", before)
    age(sandbox, 1600)
    done = heal_until(sandbox, lambda report: report["outcome"] == "healed")
    assert [(one["step"]["rung"], one["outcome"]) for one in done] == [("reboot", "healed")] and boot() != before
    assert hook.notices() == [("healed", HOST)]
    up.update(coder(sandbox, "up", "main"))


def test_an_idle_session_is_marked_its_use_takes_the_mark_back_and_a_crash_is_not_idle(
    sandbox: RunningSandbox, up: dict[str, Any]
) -> None:
    # A watcher that looks every half hour may delete at any time of the paid hour.
    hourly = ("--interval", "30m")
    # The engine may have been started since the last look, which counts as use, once.
    wait_for_clock(sandbox, *hourly)
    age(sandbox, 46 * 60)
    marked = watch(sandbox, *hourly)
    assert "nobody has used it for 46 min" in marked["marked"]["lc-main-1"]
    notice = on_vm(sandbox, "print(open('/run/motd.d/60-linode-coder').read())")
    assert "will be deleted after" in notice
    ask(up)
    assert list(watch(sandbox, *hourly)["unmarked"]) == ["lc-main-1"]
    assert on_vm(sandbox, "import os; print(os.path.exists('/run/motd.d/60-linode-coder'))").strip() == "False"

    age(sandbox, 46 * 60)
    watch(sandbox, *hourly)
    instance = sandbox.api("GET", "linode/instances")["data"][0]
    due = with_doom(instance["tags"], int(time.time()) - 5)
    sandbox.api("PUT", f"linode/instances/{instance['id']}", {"tags": due})
    on_vm(
        sandbox,
        "import subprocess; subprocess.run(['docker', 'compose', '--project-directory', '/opt/linode-coder/vllm', 'stop'], check=True)",
    )
    crashed = watch(sandbox, *hourly)
    assert (crashed["deleted"], crashed["sessions"][0]["decision"]["action"]) == ([], "wait")
    on_vm(
        sandbox,
        "import subprocess; subprocess.run(['docker', 'compose', '--project-directory', '/opt/linode-coder/vllm', 'start'], check=True)",
    )
    wait_for_clock(sandbox, *hourly)
    # The restart counts as use, once.
    assert clock(sandbox)["idle_s"] < 120
    age(sandbox, 50 * 60)
    watch(sandbox, *hourly)
    instance = sandbox.api("GET", "linode/instances")["data"][0]
    due = with_doom(instance["tags"], int(time.time()) - 5)
    sandbox.api("PUT", f"linode/instances/{instance['id']}", {"tags": due})
    gone = watch(sandbox, "--interval", "30m")["deleted"]
    hours = -(-(time.time() - parse_time(instance["created"])) // 3600)
    assert [(row["name"], row["cause"], row["hours"]) for row in gone] == [("main", "idle", hours)]
    assert sandbox.api("GET", "linode/instances")["data"] == []
    assert sandbox.api("GET", "networking/firewalls")["data"] == []
    assert not Path(up["api_key_file"]).exists()


def wait_until_it_serves(sandbox: RunningSandbox) -> None:
    deadline = time.monotonic() + 120
    while coder(sandbox, "check", "main", codes=(0, 6, 11))["severity"] not in ("pass", "warn"):
        assert time.monotonic() < deadline
        time.sleep(2)


def wait_for_clock(sandbox: RunningSandbox, *more: str) -> None:
    """Look until a watcher can read the engine."""
    deadline = time.monotonic() + 120
    while True:
        watch(sandbox, *more)
        if clock(sandbox)["readable"]:
            return
        assert time.monotonic() < deadline
