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
import threading
import time
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from linode_coder.endpoint.clients import CLIENTS, KEY_VARIABLE
from tests import product, proxy_paths
from tests.product import error_of, result_of
from tests.ready_session import ready_session, serving
from tests.sandbox_fixture import RunningSandbox

BIN = Path(sys.executable).parent
FIRST = "openai/gpt-oss-20b"
SECOND = "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"
THIRD = "acme/Coder-3B"
# The hub says nothing of its size, and the engine refuses it: weights of 130 GiB.
BROKEN = "acme/Big-70B"
OTHER_IMAGE = "docker.io/vllm/vllm-openai:v0.34.0"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("serving")) as running:
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            running.env.pop(name, None)
        running.env["HF_HOME"] = str(running.home / "no-token")
        running.env["PATH"] = f"{BIN}{os.pathsep}{running.env['PATH']}"
        yield running


coder = partial(product.coder, timeout=600)
pytestmark = pytest.mark.timeout(1200)


def play(sandbox: RunningSandbox, playbook: str, *arguments: str, code: int = 0) -> str:
    """What ansible-playbook says of a playbook for the session."""
    done = subprocess.run(
        ["ansible-playbook", f"linode_coder.gpu.{playbook}", "-e", "session=main", *arguments],
        env=sandbox.env,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=900,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def recap(text: str) -> str:
    """The line of the session's host."""
    return next(line for line in text.partition("PLAY RECAP")[2].splitlines() if line.startswith("main "))


@pytest.fixture(scope="module")
def session(sandbox: RunningSandbox) -> dict[str, Any]:
    return serving(sandbox)


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
    key, port = key_of(session), int(re.findall(r":(\d+)/", session["endpoint"])[0])
    assert proxy_paths.wrong(port, key) == []
    assert ask(session, "GET", "/v1/models", "wrong")[0] == 401
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


def test_a_change_by_hand_holds_takes_effect_and_can_be_put_back(
    sandbox: RunningSandbox, session: dict[str, Any]
) -> None:
    path = "/opt/linode-coder/vllm/vllm.yaml"
    before = engine(sandbox)["StartedAt"]
    on_vm(sandbox, f"sed -i 's/^max-num-seqs: .*/max-num-seqs: 3/' {path}")
    changed = result_of(coder(sandbox, "up", "main", "--json"))
    assert changed["changed"] > 0
    assert changed["changed_flags"] == {"max-num-seqs": 3}
    assert engine(sandbox)["StartedAt"] > before
    assert "max-num-seqs: 3" in on_vm(sandbox, f"cat {path}")
    again = result_of(coder(sandbox, "up", "main", "--json"))
    assert (again["changed"], again["changed_flags"]) == (0, {"max-num-seqs": 3})
    assert "max-num-seqs 3" in coder(sandbox, "up", "main").stdout

    key, files = key_of(session), f"sha256sum /opt/linode-coder/vllm/*; cat {path}"
    seen, at = on_vm(sandbox, files), engine(sandbox)["StartedAt"]
    put_back = ("-e", "vllm_keep_changes=false", "--diff")
    would = play(sandbox, "up", *put_back, "--check")
    assert "-max-num-seqs: 3\n" in would and "+max-num-seqs: " in would
    assert key not in would
    assert (on_vm(sandbox, files), engine(sandbox)["StartedAt"]) == (seen, at)
    assert "-max-num-seqs: 3\n" in play(sandbox, "up", *put_back)
    assert "changed=0" in recap(play(sandbox, "up", *put_back))
    assert engine(sandbox)["StartedAt"] > at
    assert result_of(coder(sandbox, "up", "main", "--json"))["changed_flags"] == {}


def test_a_check_shows_what_would_change_and_changes_nothing(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    """Another image and another flag: both files are shown, neither is written, no secret is in them."""
    files = "sha256sum /opt/linode-coder/*/* /var/lib/linode-coder/engine.json"
    before = on_vm(sandbox, files), engine(sandbox)
    (known,) = re.findall(r"image: (\S+vllm-openai\S+)", on_vm(sandbox, "cat /opt/linode-coder/vllm/compose.yaml"))
    on_vm(sandbox, f"docker pull --quiet {OTHER_IMAGE}")
    would = play(sandbox, "up", "--check", "--diff", "-e", f"vllm_image={OTHER_IMAGE}", "-e", "context=8192", "-vv")
    assert f"-    image: {known}\n" in would and f"+    image: {OTHER_IMAGE}" in would
    assert re.search(r"^-max-model-len: .+\n\+max-model-len: 8192$", would, re.MULTILINE)
    assert key_of(session) not in would
    assert (on_vm(sandbox, files), engine(sandbox)) == before


def in_a_shell(text: str, directory: Path, variable: str) -> str:
    """The variable's value once a shell has evaluated what was printed, as far as it is not the client itself."""
    script = f"aider() {{ :; }}\ncd {directory}\n{text}\n" + f'printf "|%s" "${variable}"'
    shell = subprocess.run(["/bin/sh", "-ec", script], capture_output=True, text=True)
    assert shell.returncode == 0, shell.stderr
    return shell.stdout.rpartition("|")[2]


def understood(client: str, text: str, directory: Path) -> tuple[str, str, int | None]:
    """Address, model and context as the client's own format says them; None where it has no place for a context."""
    if client == "opencode":
        provider = json.loads(text)["provider"]["linode-coder"]
        model = json.loads(text)["model"].removeprefix("linode-coder/")
        return provider["options"]["baseURL"], model, provider["models"][model]["limit"]["context"]
    if client == "zed":
        provider = json.loads(text)["language_models"]["openai_compatible"]["Linode Coder"]
        (model,) = provider["available_models"]
        return provider["api_url"], model["name"], model["max_tokens"]
    if client == "qwen":
        (model,) = json.loads(text)["modelProviders"]["openai"]
        return model["baseUrl"], json.loads(text)["model"]["name"], model["generationConfig"]["contextWindowSize"]
    if client == "vscode":
        (model,) = json.loads(text)[0]["models"]
        context = model["maxInputTokens"] + model["maxOutputTokens"]
        return model["url"].removesuffix("/chat/completions"), model["id"], context
    if client == "llm":
        (row,) = yaml.safe_load(text)
        return row["api_base"], row["model_name"], None
    if client == "codex":
        settings = tomllib.loads(text)
        provider = settings["model_providers"][settings["model_provider"]]
        assert (provider["wire_api"], provider["env_key"]) == ("responses", KEY_VARIABLE)
        return provider["base_url"], settings["model"], settings["model_context_window"]
    if client == "continue":
        (model,) = yaml.safe_load(text)["models"]
        return model["apiBase"], model["model"], model["defaultCompletionOptions"]["contextLength"]
    if client == "cline":
        rows = dict(re.findall(r"^(\S.*?) {2,}(\S.*)$", text, re.MULTILINE))
        return rows["Base URL"], rows["Model ID"], int(rows["Context Window"])
    shell = partial(in_a_shell, text, directory)
    if client == "claude":
        (name,) = {shell(f"ANTHROPIC_DEFAULT_{size}_MODEL") for size in ("OPUS", "SONNET", "HAIKU", "FABLE")}
        return shell("ANTHROPIC_BASE_URL"), name, int(shell("CLAUDE_CODE_MAX_CONTEXT_TOKENS"))
    if client == "openai":
        assert shell("OPENAI_BASE_URL") == shell("OPENAI_API_BASE")
        return shell("OPENAI_BASE_URL"), shell("OPENAI_MODEL"), None
    assert client == "aider"
    assert shell("OPENAI_API_BASE")
    (name, model), *_others = json.loads((directory / ".aider.model.metadata.json").read_text()).items()
    assert f"aider --model {name}" in text
    return shell("OPENAI_API_BASE"), name.removeprefix("openai/"), model["max_input_tokens"]


def test_the_environment_has_the_name_of_the_model(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    done = coder(sandbox, "use", "main")
    assert done.returncode == 0, done.stderr
    assert in_a_shell(done.stdout, sandbox.home, "OPENAI_MODEL") == "coder"
    assert result_of(coder(sandbox, "use", "main", "--json"))["model"] == "coder"


@pytest.mark.parametrize("client", sorted(CLIENTS))
def test_the_configuration_of_a_client(sandbox: RunningSandbox, session: dict[str, Any], client: str) -> None:
    done = coder(sandbox, "use", "main", "--print", client)
    assert done.returncode == 0, done.stderr
    text, key = done.stdout, key_of(session)
    assert key not in text + done.stderr
    port = re.findall(r":(\d+)/", session["endpoint"])[0]
    url, context = f"http://127.0.0.1:{port}/v1", session["max_model_len"]
    address, model, tokens = understood(client, text, sandbox.home)
    assert (address, model) == (url.removesuffix("/v1") if client == "claude" else url, "coder")
    assert tokens == (None if client in ("llm", "openai") else context)
    if client in ("aider", "claude", "openai"):
        name = "ANTHROPIC_AUTH_TOKEN" if client == "claude" else "OPENAI_API_KEY"
        assert in_a_shell(text, sandbox.home, name) == key
    described = result_of(coder(sandbox, "use", "main", "--print", client, "--json"))
    assert described["configuration"] + "\n" == text
    assert (described["max_model_len"], described["model"]) == (context, "coder")
    assert (described["tools"], described["images"]) == (True, False)


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


def test_the_image_is_taken_back_with_the_model(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    image = on_vm(sandbox, "docker inspect --format '{{.Config.Image}}' vllm-vllm-1")
    compose = on_vm(sandbox, "cat /opt/linode-coder/vllm/compose.yaml")
    said = play(sandbox, "switch_model", "-e", f"model={BROKEN}", "-e", f"vllm_image={OTHER_IMAGE}", code=2)
    assert f"{BROKEN} did not come up, so {FIRST} serves again." in said
    assert on_vm(sandbox, "docker inspect --format '{{.Config.Image}}' vllm-vllm-1") == image
    assert on_vm(sandbox, "cat /opt/linode-coder/vllm/compose.yaml") == compose
    assert FIRST in served(session)
    assert "changed=0" in recap(play(sandbox, "up"))


def start_switch(sandbox: RunningSandbox, model: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["ansible-playbook", "linode_coder.gpu.switch_model", "-e", "session=main", "-e", f"model={model}"],
        env={**sandbox.env, "PYTHONUNBUFFERED": "1"},
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def killed_at(sandbox: RunningSandbox, model: str, *tasks: str) -> None:
    """A switch that is killed when it comes to the last of these tasks, one after another."""
    process = start_switch(sandbox, model)
    assert process.stdout is not None
    with process.stdout:
        reached = all(any(task in line for line in process.stdout) for task in tasks)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert reached


@pytest.mark.parametrize("task", ["Select the image of the last working engine", "Start the engine"])
def test_a_rollback_that_is_killed_is_finished_by_the_next_run(
    sandbox: RunningSandbox, session: dict[str, Any], task: str
) -> None:
    killed_at(sandbox, BROKEN, "Read the last working engine", task)
    status = json.loads(coder(sandbox, "status", "main", "--json").stdout)
    assert status["session"]["model"] == FIRST
    after = result_of(coder(sandbox, "up", "main", "--json"))
    assert after["endpoint"] == session["endpoint"]
    assert FIRST in served(session)
    remembered = json.loads(on_vm(sandbox, "cat /var/lib/linode-coder/engine.json"))
    assert (remembered["wanted"]["model"], remembered["last_good"]["model"]) == (FIRST, FIRST)


class Stream(threading.Thread):
    """One streamed request through the tunnel; ``done`` tells when its last byte was there."""

    def __init__(self, session: dict[str, Any], tokens: int) -> None:
        super().__init__(daemon=True)
        self.session = session
        self.body = {"model": "coder", "prompt": "1", "max_tokens": tokens, "ignore_eos": True, "stream": True}
        self.status, self.text, self.done = 0, "", 0.0

    def run(self) -> None:
        self.status, self.text = ask(self.session, "POST", "/v1/completions", key_of(self.session), self.body)
        self.done = time.monotonic()


def test_a_switch_lets_a_stream_end_and_keeps_the_tunnel(sandbox: RunningSandbox, session: dict[str, Any]) -> None:
    """The stream begins when all is fetched, and takes so long that the engine is asked to stop in the middle of it."""
    key, label = key_of(session), session["session"]["label"]
    sandbox.fault(kind="engine_slow", host=label, delay=0.5)
    process = start_switch(sandbox, THIRD)
    assert process.stdout is not None
    stream, said, stopping = Stream(session, 110), [], 0.0
    try:
        with process.stdout:
            for line in process.stdout:
                said.append(line)
                if "Write the Compose file and the engine's flags" in line:
                    assert FIRST in served(session)
                    stream.start()
                if "Stop the engine once its requests are answered" in line:
                    stopping = time.monotonic()
        assert process.wait() == 0, "".join(said)
    finally:
        sandbox.clear_faults()
    stream.join(60)
    assert stopping
    assert stream.done > stopping
    assert stream.status == 200
    assert stream.text.rstrip().endswith("data: [DONE]")
    assert '"finish_reason": "length"' in stream.text
    assert '"error"' not in stream.text
    opened = result_of(coder(sandbox, "tunnel", "main", "--json"))
    assert (opened["endpoint"], opened["changed"], opened["engine"]) == (session["endpoint"], False, "healthy")
    assert THIRD in served(session)
    assert key_of(session) == key
    result_of(coder(sandbox, "switch-model", "main", FIRST, "--json"))


def test_a_switch_is_killed_and_run_again_although_the_download_is_cut(
    sandbox: RunningSandbox, session: dict[str, Any]
) -> None:
    sandbox.fault(kind="hub_cut", host=session["session"]["label"], count=1)
    killed_at(sandbox, SECOND, "Wait until the GPU memory is free")
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
    blobs = "/var/lib/linode-coder/models/hub/models--Qwen--Qwen2.5-Coder-7B-Instruct-AWQ/blobs"
    largest = on_vm(sandbox, f"ls -S {blobs}/* | head -1").strip()
    size = on_vm(sandbox, f"stat --format %s {largest}")
    on_vm(sandbox, f"truncate --size 1000 {largest}")
    result_of(coder(sandbox, "up", "main", "--converge", "--json"))
    rows = [json.loads(line) for line in coder(sandbox, "logs", "main", "--what", "weights").stdout.splitlines()]
    assert [row["size"] for row in rows if row["event"] == "damaged"] == [1000]
    assert on_vm(sandbox, f"stat --format %s {largest}") == size != "1000\n"
