"""The main job, end to end, through real SSH and real Ansible on simulated hosts."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import product
from tests.product import error_of, result_of
from tests.sandbox_fixture import PLANTED, RunningSandbox, start_sandbox

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("spine"), hosts="simulated") as running:
        yield running


coder = partial(product.coder, timeout=270)


def ansible(sandbox: RunningSandbox, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**sandbox.env, "PATH": f"{BIN}{os.pathsep}{sandbox.env['PATH']}"}
    return subprocess.run(
        list(arguments),
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def instances(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    done = subprocess.run(
        [str(BIN / "linode-cli"), "linodes", "list", "--json"],
        env=sandbox.env,
        capture_output=True,
        text=True,
        check=True,
    )
    return list(json.loads(done.stdout))


@pytest.fixture(scope="module")
def session(sandbox: RunningSandbox) -> Iterator[dict[str, Any]]:
    yield result_of(coder(sandbox, "up", "main", "--alias", "gpt-4o,claude-opus-4-8", "--yes", "--json"))
    down = result_of(coder(sandbox, "down", "main", "--yes", "--json"))
    assert down["hours"] == 1 and down["cost"] == 0.67


def test_up_ends_with_an_endpoint_that_answers(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    from openai import OpenAI

    key = Path(session["api_key_file"])
    assert key.stat().st_mode & 0o777 == 0o600
    client = OpenAI(base_url=session["endpoint"], api_key=key.read_text().strip())
    answer = client.chat.completions.create(
        model=session["session"]["model"], messages=[{"role": "user", "content": "hi"}]
    )
    assert answer.choices[0].message.content
    assert answer.usage is not None and answer.usage.completion_tokens > 0
    # Only the replaced key is trusted, and the next key's tags are gone.
    assert len(session["session"]["host_keys"]) == 1


def test_second_up_changes_nothing(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    assert result_of(coder(sandbox, "up", "main", "--json"))["changed"] == 0
    done = ansible(sandbox, "ansible-playbook", "linode_coder.gpu.up", "-e", "session=main")
    assert done.returncode == 0, done.stdout
    assert re.findall(r"changed=(\d+)", done.stdout) == ["0", "0"], done.stdout


def test_validate_reads_what_is_served(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    document = json.loads(coder(sandbox, "validate", "main", "--json").stdout)
    assert {finding["severity"] for finding in document["findings"]} == {"pass"}
    assert len(document["findings"]) == 7 and document["error"] is None
    done = ansible(sandbox, "ansible-playbook", "linode_coder.gpu.validate", "-e", "session=main")
    assert done.returncode == 0 and "Every check passed." in done.stdout, done.stdout
    error = error_of(coder(sandbox, "validate", "main", "--context", "900K", "--json"))
    assert (error["kind"], error["exit_code"], error["field"]) == ("unhealthy", 6, "endpoint.context")


def test_speed_is_measured_and_said_to_mean_nothing_here(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    few = ("--concurrency", "1,4", "--tokens", "16", "--json")
    run = json.loads(coder(sandbox, "validate-perf", "main", *few).stdout)["run"]
    assert [(row["concurrency"], row["failed"]) for row in run["levels"]] == [(1, 0), (4, 0)]
    assert all(row["ttft"]["p50"] > 0 and row["output_tps"] > 0 for row in run["levels"])
    assert all(row["engine"]["queue_max"] is not None for row in run["levels"])
    assert (run["sandbox"], run["complete"], run["where"]) == (True, True, "here")
    # How busy this machine is may be found fault with, but nothing is expected of the speed.
    assert run["verdict"]["expected"] is None and run["verdict"]["severity"] != "fail"
    there = json.loads(coder(sandbox, "validate-perf", "main", "--from", "vm", *few).stdout)["run"]
    assert (there["where"], there["complete"], there["engine"]) == ("vm", True, run["engine"])
    for each in (run, there):
        assert {sample["gpu"] for sample in each["gpu_samples"]} == set(range(each["gpus"]))
        assert all(sample["power"] and sample["throttle"] is not None for sample in each["gpu_samples"])
    shown = json.loads(coder(sandbox, "perf", "history", "main", "--json").stdout)["runs"]
    assert [one["id"] for one in shown] == [there["id"], run["id"]]
    extra = ("-e", "session=main", "-e", '{"concurrency": [1, 2], "tokens": 16}')
    done = ansible(sandbox, "ansible-playbook", "linode_coder.gpu.validate_perf", *extra)
    assert done.returncode == 0 and "streams 2, TTFT p50 " in done.stdout, done.stdout
    # The samples are for programs.
    assert "sm_clock" not in done.stdout and "sm clock" not in done.stdout
    assert error_of(coder(sandbox, "validate-perf", "main", "--concurrency", "0", "--json"))["field"] == "concurrency"
    assert error_of(coder(sandbox, "validate-perf", "main", "--baseline", "nosuch", "--json"))["field"] == "run"


def test_the_model_is_asked_from_a_pipe(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    told = json.loads(coder(sandbox, "ask", "Say", "hello.", "--json").stdout)
    assert (told["session"], told["model"]) == ("main", "coder")
    assert told["answer"] and told["tokens"] > 0
    piped = subprocess.run(
        [str(BIN / "linode-coder"), "ask", "Review this."],
        env=sandbox.env,
        input="a diff",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    # Nothing but the answer, which ends with a line.
    assert piped.stdout.strip() and piped.stdout.endswith("\n") and piped.stderr == ""
    nothing = error_of(coder(sandbox, "ask", "hi", "--max-tokens", "3", "--json"), 2)
    assert nothing["field"] == "max_tokens" and "reasoning" in nothing["cause"]
    too_much = error_of(coder(sandbox, "ask", "hi", "--max-tokens", "999999999", "--json"), 2)
    assert too_much["field"] == "prompt" and "max_tokens" in too_much["cause"]


def test_the_only_session_need_not_be_named(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    longer = result_of(coder(sandbox, "extend", "10m", "--json"))
    assert longer["session"]["name"] == "main" and longer["changed"] == 1
    assert coder(sandbox, "ssh", "--", "echo", "there").stdout == "there\n"
    missing = error_of(coder(sandbox, "switch-model", "main", "--json"), 2)
    assert missing["field"] == "model" and "MODEL" in missing["remedy"]
    same = result_of(coder(sandbox, "switch-model", session["session"]["model"], "--dry-run", "--json"))
    assert same["dry_run"] is True
    assert error_of(coder(sandbox, "pause", "--off", "--for", "1h", "--json"))["field"] == "off"
    # `use` has not made it current: there is none to leave, and then there is.
    assert json.loads(coder(sandbox, "leave", "--json").stdout) == {
        "schema": 1,
        "command": "leave",
        "name": None,
        "changed": False,
    }
    assert coder(sandbox, "use", "main", "--json").returncode == 0
    assert json.loads(coder(sandbox, "leave", "--json").stdout)["name"] == "main"


def test_options_change_what_can_change(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    asked = ("up", "main", "--lease", "10h", "--idle", "1h", "--json")
    changed = result_of(coder(sandbox, *asked))
    view = changed["session"]
    lasts = datetime.fromisoformat(view["lease_end"]) - datetime.fromisoformat(view["created"])
    assert changed["changed"] == 1
    assert view["idle_minutes"] == 60 and abs(lasts.total_seconds() - 36000) < 60
    assert result_of(coder(sandbox, *asked))["changed"] == 0
    for option, value in (("plan", "g2-gpu-rtx4000a2-s"), ("region", "fr-par"), ("cap", "2d")):
        error = error_of(coder(sandbox, "up", "main", f"--{option}", value, "--json"))
        assert (error["kind"], error["field"]) == ("refused", option)
    # The lease of the first `up` takes nothing away from an extension, and the plan says so.
    done = coder(sandbox, "up", "main", "--lease", "2h", "--json")
    assert result_of(done)["session"]["lease_end"] == view["lease_end"]
    assert "later than 2h" in json.loads(done.stdout.splitlines()[0])["quote"]["kept"][0]
    # What the configuration says is about new sessions.
    away = RunningSandbox({**sandbox.env, "LINODE_CODER_PLAN": "elsewhere"}, sandbox.url, sandbox.home, sandbox.facts)
    assert result_of(coder(away, "up", "main", "--json"))["changed"] == 0
    assert error_of(coder(away, "up", "new", "--dry-run", "--json"))["value"] == "elsewhere"


def test_a_broken_history_is_only_a_note(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    file = sandbox.home / "state" / "history.sqlite3"
    for arguments in (("list", "--all"), ("up", "main", "--converge"), ("status", "main")):
        file.write_text("no database\n" * 500)
        done = coder(sandbox, *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("note: the session history") == 1
    # `down` as far as its question, which nobody answers here.
    file.write_text("no database\n" * 500)
    done = coder(sandbox, "down", "main")
    assert done.returncode == 2 and done.stderr.count("note: the session history") == 1, done.stderr
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT name FROM sessions").fetchall() == [("main",)]


def test_the_status_playbook_fails_in_a_typed_way(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    done = ansible(sandbox, "ansible-playbook", "linode_coder.gpu.status", "-e", "session=mian", "-v")
    assert done.returncode == 2
    assert "not_found" in done.stdout and "Did you mean main?" in done.stdout


def test_check_mode_changes_nothing(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    before = instances(sandbox)
    fresh = ansible(sandbox, "ansible-playbook", "linode_coder.gpu.up", "-e", "session=fresh", "--check", "--diff")
    assert fresh.returncode == 0, fresh.stdout
    assert "lc:lease:" in fresh.stdout
    down = ansible(sandbox, "ansible-playbook", "linode_coder.gpu.down", "-e", "session=main", "--check", "--diff")
    assert down.returncode == 0, down.stdout
    assert [row["id"] for row in instances(sandbox)] == [row["id"] for row in before]


def test_every_way_sees_the_session(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    graph = ansible(sandbox, "ansible-inventory", "-i", sandbox.inventory, "--graph")
    assert "main" in graph.stdout, graph.stderr
    ping = ansible(sandbox, "ansible", "main", "-i", sandbox.inventory, "-m", "ansible.builtin.ping")
    assert '"ping": "pong"' in ping.stdout or "ping: pong" in ping.stdout, ping.stdout + ping.stderr
    listed = json.loads(coder(sandbox, "list", "--json").stdout)
    assert [view["name"] for view in listed["sessions"]] == ["main"]
    status = json.loads(coder(sandbox, "status", "main", "--json").stdout)
    seen = {key: status["endpoint"][key] for key in ("url", "tunnel", "engine")}
    assert seen == {"url": session["endpoint"], "tunnel": "open", "engine": "healthy"}


def test_use_prints_what_a_shell_can_eval(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    done = coder(sandbox, "use", "main")
    script = done.stdout + '\ncurl() { :; }\nprintf "%s %s" "$OPENAI_BASE_URL" "${#OPENAI_API_KEY}"'
    shell = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert shell.stdout == f"{session['endpoint']} 40"


def test_clients_may_ask_by_every_name(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    names = ["coder", session["session"]["model"], "gpt-4o", "claude-opus-4-8"]
    used = result_of(coder(sandbox, "use", "main", "--json"))
    assert (used["model"], used["models"]) == ("coder", names)
    printed = result_of(coder(sandbox, "use", "main", "--print", "openai", "--json"))
    assert (printed["model"], printed["models"]) == ("coder", names)
    assert f"named     {', '.join(names)}" in coder(sandbox, "status", "main").stdout
    key = Path(session["api_key_file"]).read_text().strip()
    for name, status in (("claude-opus-4-8", 200), ("claude-opus-4-1", 404)):
        request = urllib.request.Request(
            f"{session['endpoint']}/messages",
            json.dumps({"model": name, "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}).encode(),
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert (answer.status, json.load(answer)["model"]) == (status, "coder")
        except urllib.error.HTTPError as error:
            assert error.code == status
    # Asked for anew they are others; not asked for they stay.
    assert result_of(coder(sandbox, "up", "main", "--alias", "fable", "--json"))["changed"] > 0
    assert result_of(coder(sandbox, "up", "main", "--converge", "--json"))["changed"] == 0
    status = result_of(coder(sandbox, "status", "main", "--json"))
    assert status["endpoint"]["models"] == [*names[:2], "fable"]


def test_history_is_rebuilt_from_tags(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    for path in (sandbox.home / "state").glob("history.sqlite3*"):
        path.unlink()
    listed = json.loads(coder(sandbox, "list", "--json", "--all").stdout)
    assert [view["name"] for view in listed["sessions"]] == ["main"]


def test_another_host_key_is_refused(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    sandbox.fault(kind="wrong_host_key", host=session["session"]["label"])
    try:
        # The control master of an earlier connection would hide the change.
        error = error_of(coder(sandbox, "up", "main", "--json"))
    finally:
        sandbox.fault(kind="clear", host=session["session"]["label"])
    assert error["kind"] == "host_key"
    assert "another host key" in error["message"]


def test_capacity_falls_back_and_says_so(sandbox: RunningSandbox) -> None:
    sandbox.fault(kind="capacity", count=2)
    result = result_of(coder(sandbox, "up", "third", "--yes", "--json"))
    assert [row["outcome"] for row in result["attempts"]] == ["no capacity", "no capacity", "created"]
    result_of(coder(sandbox, "down", "third", "--yes", "--json"))


def ssh_rules(sandbox: RunningSandbox, name: str) -> dict[str, list[str]]:
    """Who is let in to SSH, by the label of the rule."""
    wall = next(row for row in sandbox.api("GET", "networking/firewalls")["data"] if row["label"] == f"lc-{name}")
    return {
        rule["label"]: [*rule["addresses"].get("ipv4", []), *rule["addresses"].get("ipv6", [])]
        for rule in wall["rules"]["inbound"]
        if rule["protocol"] == "TCP"
    }


def test_ssh_is_let_in_from_where_up_was_seen_to_come_from_and_follows_it(
    sandbox: RunningSandbox, session: dict[str, Any]
) -> None:
    seen = ssh_rules(sandbox, "main")["ssh-here"]
    assert len(seen) == 1 and seen[0].startswith("127.") and seen[0].endswith("/32")
    assert list(ssh_rules(sandbox, "main")) == ["ssh-here"]
    assert result_of(coder(sandbox, "up", "main", "--converge", "--json"))["changed"] == 0
    # The laptop was elsewhere: what it was seen from then is another address than now.
    wall = next(row for row in sandbox.api("GET", "networking/firewalls")["data"] if row["label"] == "lc-main")
    rules = wall["rules"]
    rules["inbound"][0]["addresses"] = {"ipv4": ["203.0.113.9/32"]}
    inbound = [{key: value for key, value in rule.items() if value is not None} for rule in rules["inbound"]]
    changed = {"inbound_policy": "DROP", "inbound": inbound, "outbound_policy": "ACCEPT", "outbound": []}
    sandbox.api("PUT", f"networking/firewalls/{wall['id']}/rules", changed)
    assert ssh_rules(sandbox, "main")["ssh-here"] == ["203.0.113.9/32"]
    let_in = ansible(sandbox, "ansible-playbook", "-i", ",", "linode_coder.gpu.let_in", "-e", "session=main")
    assert let_in.returncode == 0, let_in.stdout + let_in.stderr
    assert ssh_rules(sandbox, "main") == {"ssh-here": [seen[0], "203.0.113.9/32"]}
    # What somebody names stays, and `here` begins anew.
    result_of(coder(sandbox, "up", "main", "--ssh-from", "127.0.0.0/8", "--json"))
    assert ssh_rules(sandbox, "main") == {"ssh": ["127.0.0.0/8"]}
    result_of(coder(sandbox, "up", "main", "--converge", "--json"))
    assert ssh_rules(sandbox, "main") == {"ssh": ["127.0.0.0/8"]}
    result_of(coder(sandbox, "up", "main", "--ssh-from", "here", "--json"))
    assert ssh_rules(sandbox, "main") == {"ssh-here": seen}


def test_an_account_whose_settings_cannot_be_read_gets_the_interfaces_it_allows(sandbox: RunningSandbox) -> None:
    """And a firewall that was made for a VM that never came is taken back."""
    before = sandbox.api("GET", "account/settings")["interfaces_for_new_linodes"]
    sandbox.api("PUT", "account/settings", {"interfaces_for_new_linodes": "linode_only"})
    sandbox.fault(kind="unauthorized", on="GET /account/settings", count=1)
    try:
        sandbox.fault(kind="forbidden", on="POST /linode/instances", count=1)
        assert error_of(coder(sandbox, "up", "fourth", "--yes", "--json"))["remedy"]
        assert "lc-fourth" not in [row["label"] for row in sandbox.api("GET", "networking/firewalls")["data"]]
        sandbox.fault(kind="unauthorized", on="GET /account/settings", count=1)
        made = result_of(coder(sandbox, "up", "fourth", "--yes", "--json"))
        assert [row["outcome"] for row in made["attempts"]] == ["refused", "created"]
        result_of(coder(sandbox, "down", "fourth", "--yes", "--json"))
    finally:
        sandbox.api("PUT", "account/settings", {"interfaces_for_new_linodes": before})


def test_a_lost_answer_makes_one_vm(sandbox: RunningSandbox) -> None:
    sandbox.fault(kind="error_after_commit", status=502)
    result_of(coder(sandbox, "up", "lost", "--yes", "--json"))
    assert [row["label"] for row in instances(sandbox)].count("lc-lost-1") == 1
    result_of(coder(sandbox, "down", "lost", "--yes", "--json"))


def test_ctrl_c_says_what_bills(sandbox: RunningSandbox) -> None:
    process = subprocess.Popen(
        [str(BIN / "linode-coder"), "-v", "up", "stop", "--yes"],
        env=sandbox.env,
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "Create the VM" in line:
            process.send_signal(signal.SIGINT)
            break
    _out, rest = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert "Still billing: lc-stop-1" in rest
    assert "linode-coder down stop" in rest
    result_of(coder(sandbox, "down", "stop", "--yes", "--json"))


def test_no_secret_is_left_anywhere(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    key = Path(session["api_key_file"]).read_text().strip()
    for path in (sandbox.home / "state").rglob("*"):
        inside_vm = "sandbox/hosts" in str(path)
        if path.is_file() and not inside_vm:
            content = path.read_bytes()
            assert PLANTED.encode() not in content, path
            if path.name != "api_key":
                assert key.encode() not in content, path
    for row in instances(sandbox):
        assert not any(key in tag or PLANTED in tag for tag in row["tags"])
    assert not list(Path(sandbox.env["XDG_RUNTIME_DIR"]).glob("linode-coder-run-*"))


BAD_INPUT = (
    (["up", "Bad_Name", "--yes"], 2, "session"),
    (["up", "ok", "--lease", "0h", "--yes"], 2, "lease"),
    (["up", "ok", "--lease", "3d", "--yes"], 2, "lease"),
    (["up", "ok", "--idle", "0", "--yes"], 2, "idle"),
    (["up", "ok", "--plan", "g2-gpu-rtx4000a1-x", "--yes"], 2, "plan"),
    (["up", "ok", "--plan", "g6-nanode-1", "--yes"], 2, "plan"),
    (["up", "ok", "--region", "us-nowhere", "--yes"], 2, "region"),
    (["up", "ok", "--max-cost", "0.10", "--yes"], 3, "max_cost"),
    (["up", "ok"], 2, "yes"),
    (["up", "ok", "--alias", "--host", "--yes"], 2, "alias"),
    (["switch-model", "main", "sandbox/tiny-b", "--alias", "a b"], 2, "alias"),
    (["down", "nosuch", "--yes"], 9, "session"),
    (["status", "nosuch"], 9, "session"),
    (["use", "nosuch"], 9, "session"),
)


@pytest.mark.parametrize(("arguments", "code", "field"), BAD_INPUT, ids=[" ".join(row[0]) for row in BAD_INPUT])
def test_bad_input_is_one_sentence(sandbox: RunningSandbox, arguments: list[str], code: int, field: str) -> None:
    before = len(instances(sandbox))
    done = coder(sandbox, *arguments, "--json")
    error = error_of(done)
    assert (done.returncode, error["field"]) == (code, field)
    assert "Traceback" not in done.stderr
    assert len(instances(sandbox)) == before


def test_tokens_that_do_not_open(sandbox: RunningSandbox) -> None:
    none = {name: value for name, value in sandbox.env.items() if name != "LINODE_TOKEN"}
    sandbox_without = RunningSandbox(none, sandbox.url, sandbox.home, sandbox.facts)
    error = error_of(coder(sandbox_without, "list", "--json"))
    assert (error["kind"], error["exit_code"]) == ("auth", 4)
    made = subprocess.run(
        [
            str(BIN / "linode-cli"),
            "profile",
            "token-create",
            "--label",
            "narrow",
            "--scopes",
            "events:read_only",
            "--json",
        ],
        env=sandbox.env,
        capture_output=True,
        text=True,
        check=True,
    )
    narrow = RunningSandbox(
        {**sandbox.env, "LINODE_TOKEN": json.loads(made.stdout)[0]["token"]}, sandbox.url, sandbox.home, sandbox.facts
    )
    error = error_of(coder(narrow, "up", "ok", "--yes", "--json"))
    assert (error["kind"], error["exit_code"]) == ("scope", 4)
    assert "linodes:read_only" in error["message"]
    sandbox.fault(kind="unauthorized", on="GET /linode/instances")
    error = error_of(coder(sandbox, "down", "main", "--yes", "--json"))
    assert error["kind"] == "auth"
