# SPDX-License-Identifier: GPL-3.0-or-later
"""What serves on a VM and how it is reached: proxy, weights, switch-model, logs, ssh, tunnel, clients. On simulated hosts."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from linode_coder.clients import CLIENTS
from tests import product
from tests.product import error_of, result_of
from tests.sandbox_fixture import RunningSandbox, start_sandbox

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FIRST = "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"
SECOND = "openai/gpt-oss-20b"
# The hub says nothing of its size, and the engine refuses it: weights of 130 GiB.
BROKEN = "acme/Big-70B"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("serving"), hosts="simulated") as running:
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            running.env.pop(name, None)
        running.env["HF_HOME"] = str(running.home / "no-token")
        running.env["PATH"] = f"{BIN}{os.pathsep}{running.env['PATH']}"
        yield running


coder = partial(product.coder, timeout=240)


@pytest.fixture(scope="module")
def session(sandbox: RunningSandbox) -> dict[str, Any]:
    return result_of(coder(sandbox, "up", "main", "--model", FIRST, "--yes", "--json"))


def ask(session: dict[str, Any], method: str, path: str, key: str | None = None, body: Any = None) -> tuple[int, str]:
    port = int(re.findall(r":(\d+)/", session["endpoint"])[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def key_of(session: dict[str, Any]) -> str:
    return Path(session["api_key_file"]).read_text().strip()


def served(session: dict[str, Any]) -> list[str]:
    status, text = ask(session, "GET", "/v1/models", key_of(session))
    assert status == 200, text
    return [card["id"] for card in json.loads(text)["data"]]


def on_vm(sandbox: RunningSandbox, command: str) -> str:
    done = coder(sandbox, "ssh", "main", "--", command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def engine(sandbox: RunningSandbox) -> dict[str, Any]:
    return dict(json.loads(on_vm(sandbox, "docker inspect vllm-vllm-1"))[0]["State"])


def test_the_proxy_lets_through_what_it_lists_and_nothing_else(session: dict[str, Any]) -> None:
    key = key_of(session)
    for path in ("/health", "/metrics", "/version"):
        assert ask(session, "GET", path)[0] == 200, path
    assert ask(session, "GET", "/v1/models")[0] == 401
    assert ask(session, "GET", "/v1/models", "wrong")[0] == 401
    assert ask(session, "GET", "/v1/models", key)[0] == 200
    for method, path in (
        ("POST", "/invocations"),
        ("POST", "/tokenize"),
        ("POST", "/pause"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/healthz"),
        ("POST", "/v1/load_lora_adapter"),
        ("GET", "/v1/../docs"),
        ("GET", "//docs"),
    ):
        assert ask(session, method, path, key, {})[0] == 404, path
    prompt = {"model": FIRST, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    status, text = ask(session, "POST", "/v1/chat/completions", key, prompt)
    assert status == 200
    assert text.count("data: ") > 2
    assert text.rstrip().endswith("data: [DONE]")


def test_only_ssh_listens_beyond_loopback(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    rows = [line.split() for line in on_vm(sandbox, "cat /proc/net/tcp").splitlines()[1:]]
    listening = {row[1] for row in rows if row[3] == "0A"}
    # Port 8000 and 8001 in hexadecimal, on 127.0.0.1; 169.254.169.254 is the metadata service that the sandbox plays.
    assert {"0100007F:1F40", "0100007F:1F41"} <= listening
    assert all(address.startswith("0100007F:") or address == "FEA9FEA9:0050" for address in listening), listening


def test_the_project_can_be_read_and_keeps_its_secrets(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    directory = "/opt/linode-coder/vllm"
    modes = dict(line.split() for line in on_vm(sandbox, f"stat -c '%n %a' {directory} {directory}/*").splitlines())
    assert modes[directory] == "700"
    assert modes[f"{directory}/secrets.env"] == "600"
    project = yaml.safe_load(on_vm(sandbox, f"cat {directory}/compose.yaml"))["services"]
    assert re.fullmatch(r"docker\.io/vllm/vllm-openai:v[\d.]+@sha256:[0-9a-f]{64}", project["vllm"]["image"])
    assert project["vllm"]["stop_grace_period"] == "90s"
    assert project["vllm"]["restart"] == "unless-stopped"
    flags = yaml.safe_load(on_vm(sandbox, f"cat {directory}/vllm.yaml"))
    assert (flags["model"], flags["host"], flags["shutdown-timeout"]) == (FIRST, "127.0.0.1", 60)
    remembered = json.loads(on_vm(sandbox, "cat /var/lib/linode-coder/engine.json"))
    assert remembered["last_good"]["model"] == FIRST
    assert remembered["measured"]["max_model_len"] == session["max_model_len"]
    assert remembered["measured"]["kv_cache_tokens"] > 0
    key = key_of(session)
    everything = on_vm(sandbox, f"cat {directory}/compose.yaml {directory}/vllm.yaml /proc/*/cmdline | tr '\\0' ' '")
    assert key not in everything


def test_a_change_by_hand_holds_and_takes_effect(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    path = "/opt/linode-coder/vllm/vllm.yaml"
    before = engine(sandbox)["StartedAt"]
    on_vm(sandbox, f"sed -i 's/^max-num-seqs: .*/max-num-seqs: 3/' {path}")
    changed = result_of(coder(sandbox, "up", "main", "--json"))
    assert changed["changed"] > 0
    assert engine(sandbox)["StartedAt"] > before
    assert "max-num-seqs: 3" in on_vm(sandbox, f"cat {path}")
    assert result_of(coder(sandbox, "up", "main", "--json"))["changed"] == 0


@pytest.mark.parametrize("client", sorted(CLIENTS))
def test_the_configuration_of_a_client(sandbox: RunningSandbox, session: dict[str, Any], client: str) -> None:
    done = coder(sandbox, "use", "main", "--print", client)
    assert done.returncode == 0, done.stderr
    text, key = done.stdout, key_of(session)
    assert key not in text + done.stderr
    port = re.findall(r":(\d+)/", session["endpoint"])[0]
    assert f"http://127.0.0.1:{port}" in text
    assert "coder" in text
    context = session["max_model_len"]
    if client in ("opencode", "zed"):
        assert f": {context}" in json.dumps(json.loads(text))
    elif client == "codex":
        assert tomllib.loads(text)["model_context_window"] == context
    elif client == "continue":
        assert yaml.safe_load(text)["models"][0]["defaultCompletionOptions"]["contextLength"] == context
    elif client == "cline":
        assert re.search(rf"Context Window +{context}\n", text)
    else:
        name = "ANTHROPIC_AUTH_TOKEN" if client == "claude" else "OPENAI_API_KEY"
        script = 'aider() { :; }\ncat() { case $1 in /*) command cat "$1";; esac; }\n' + text + f'\nprintf %s "${name}"'
        shell = subprocess.run(["/bin/sh", "-ec", script], capture_output=True, text=True, cwd=sandbox.home)
        assert shell.stdout.endswith(key), shell.stderr
    described = result_of(coder(sandbox, "use", "main", "--print", client, "--json"))
    assert described["configuration"] + "\n" == text
    assert (described["max_model_len"], described["model"]) == (context, "coder")


def test_logs_ssh_and_tunnel(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    text = coder(sandbox, "logs", "main").stdout
    assert "Application startup complete" in text
    assert len(coder(sandbox, "logs", "main", "--tail", "2").stdout.splitlines()) == 2
    rows = result_of(coder(sandbox, "logs", "main", "--what", "weights", "--json"))["lines"]
    assert json.loads(rows[-1])["event"] == "done"
    proxy = result_of(coder(sandbox, "logs", "main", "--what", "proxy", "--since", "1h", "--json"))["lines"]
    assert any("/v1/models" in line for line in proxy)
    assert not any('"GET /health ' in line for line in proxy)
    follower = subprocess.Popen(
        [str(BIN / "linode-coder"), "logs", "main", "-f", "--tail", "1"],
        env=sandbox.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert follower.stdout is not None
    assert follower.stdout.readline()
    os.killpg(follower.pid, signal.SIGINT)
    follower.communicate(timeout=60)
    assert follower.returncode == 130

    done = coder(sandbox, "ssh", "main", "--", "printf", "%s|", "a b", "$HOME")
    assert done.stdout == "a b|$HOME|"
    assert coder(sandbox, "ssh", "main", "--", "exit 7").returncode == 7
    argv = result_of(coder(sandbox, "ssh", "main", "--json"))["argv"]
    assert argv[0] == "ssh" and "StrictHostKeyChecking=yes" in argv

    assert result_of(coder(sandbox, "tunnel", "main", "--close", "--json"))["changed"]
    assert not result_of(coder(sandbox, "tunnel", "main", "--close", "--json"))["changed"]
    opened = result_of(coder(sandbox, "tunnel", "main", "--json"))
    assert (opened["endpoint"], opened["changed"], opened["engine"]) == (session["endpoint"], True, "healthy")


BAD_INPUT = (
    (["logs", "nosuch"], 9, "session"),
    (["logs", "main", "--since", "yesterday"], 2, "since"),
    (["ssh", "nosuch"], 9, "session"),
    (["tunnel", "nosuch"], 9, "session"),
    (["use", "main", "--print", "vim"], 2, "print"),
    (["switch-model", "nosuch", SECOND], 9, "session"),
    (["switch-model", "main", "qwen3-coder"], 2, "model"),
    (["switch-model", "main", "qwen3-coder-next"], 3, "model"),
    (["switch-model", "main", SECOND, "--context", "9999999"], 2, "context"),
)


@pytest.mark.parametrize(("arguments", "code", "field"), BAD_INPUT, ids=[" ".join(row[0]) for row in BAD_INPUT])
def test_bad_input_is_one_sentence(
    sandbox: RunningSandbox, session: dict[str, Any], arguments: list[str], code: int, field: str
) -> None:
    done = coder(sandbox, *arguments, "--json")
    assert error_of(done, code)["field"] == field
    assert "Traceback" not in done.stderr


def test_a_model_that_the_hub_does_not_give_leaves_the_old_one_serving(
    sandbox: RunningSandbox, session: dict[str, Any]
) -> None:
    before = engine(sandbox)
    error = error_of(coder(sandbox, "switch-model", "main", "meta-llama/Llama-9-8B", "--json"), 4)
    assert "licence" in error["message"]
    assert engine(sandbox) == before
    assert FIRST in served(session)


def test_a_model_that_does_not_come_up_is_taken_back(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    error = error_of(coder(sandbox, "switch-model", "main", BROKEN, "--json"), 6)
    assert error["message"] == f"{BROKEN} did not come up, so {FIRST} serves again."
    assert "memory" in error["cause"]
    assert FIRST in served(session)
    status = json.loads(coder(sandbox, "status", "main", "--json").stdout)
    assert status["session"]["model"] == FIRST
    assert json.loads(on_vm(sandbox, "cat /var/lib/linode-coder/engine.json"))["wanted"]["model"] == FIRST


def test_a_switch_is_killed_and_run_again_although_the_download_is_cut(
    sandbox: RunningSandbox, session: dict[str, Any]
) -> None:
    sandbox.fault(kind="hub_cut", host=session["session"]["label"], count=1)
    process = subprocess.Popen(
        ["ansible-playbook", "playbooks/switch_model.yml", "-e", "session=main", "-e", f"model={SECOND}"],
        env={**sandbox.env, "PYTHONUNBUFFERED": "1"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout:
        reached = any("Wait until the GPU is empty" in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert reached
    events = [json.loads(line) for line in coder(sandbox, "logs", "main", "--what", "weights").stdout.splitlines()]
    assert [event["kind"] for event in events if event["event"] == "retry"] == ["network"]
    # The second attempt found what the first had fetched.
    sizes = [event["done"] for event in events if event["event"] == "size"]
    assert sizes[0] == 0 and sizes[-1] > 0

    after = result_of(coder(sandbox, "switch-model", "main", SECOND, "--json"))
    assert (after["before"], after["session"]["model"], after["endpoint"]) == (FIRST, SECOND, session["endpoint"])
    assert SECOND in served(session)
    assert result_of(coder(sandbox, "switch-model", "main", SECOND, "--json"))["changed"] == 0
    assert result_of(coder(sandbox, "up", "main", "--json"))["changed"] == 0


def test_weights_that_were_cut_short_are_fetched_again(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    blobs = "/var/lib/linode-coder/models/hub/models--openai--gpt-oss-20b/blobs"
    on_vm(sandbox, f"truncate --size 1000 $(ls -S {blobs}/* | head -1)")
    result_of(coder(sandbox, "up", "main", "--converge", "--json"))
    rows = [json.loads(line) for line in coder(sandbox, "logs", "main", "--what", "weights").stdout.splitlines()]
    assert [row["size"] for row in rows if row["event"] == "damaged"] == [1000]
    assert on_vm(sandbox, f"find {blobs}/ -size -2k -name '*' -type f | wc -l")
