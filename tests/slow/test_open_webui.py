# SPDX-License-Identifier: GPL-3.0-or-later
"""Open WebUI beside the engine: where it listens, what of it stays, and that the engine's key reaches it. On a simulated host."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import product
from tests.product import result_of
from tests.sandbox_fixture import RunningSandbox, start_sandbox

BIN = Path(sys.executable).parent
FIRST, SECOND = "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ", "openai/gpt-oss-20b"
TOKEN = "hf_planted-token-of-a-login"
coder = partial(product.coder, timeout=600)
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """With a Hugging Face token as logging in leaves it, and none in the environment."""
    with start_sandbox(tmp_path_factory.mktemp("webui"), hosts="simulated") as running:
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
            running.env.pop(name, None)
        login = running.home / "hugging-face"
        login.mkdir()
        (login / "token").write_text(TOKEN + "\n")
        running.env["HF_HOME"] = str(login)
        running.env["PATH"] = f"{BIN}{os.pathsep}{running.env['PATH']}"
        yield running


def play(sandbox: RunningSandbox, playbook: str, *arguments: str) -> str:
    done = subprocess.run(
        ["ansible-playbook", f"linode_coder.gpu.{playbook}", "-e", "session=main", *arguments],
        env=sandbox.env,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=900,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def on_vm(sandbox: RunningSandbox, command: str) -> str:
    done = coder(sandbox, "ssh", "main", "--", command)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def first_run(sandbox: RunningSandbox) -> str:
    """What a first run says at its most talkative."""
    return play(sandbox, "up", "-e", f"model={FIRST}", "-e", "vllm_open_webui=true", "-vvv")


def webui(sandbox: RunningSandbox, path: str, session: str = "", body: dict[str, Any] | None = None) -> Any:
    """An answer as one of its users gets it, from the VM's loopback."""
    request = ["curl", "--silent", "--max-time", "20", "-H", f"Authorization: Bearer {session}"]
    request += ["--data", json.dumps(body)] if body else []
    return json.loads(on_vm(sandbox, shlex.join([*request, f"http://127.0.0.1:8080{path}"])))


def models(sandbox: RunningSandbox, session: str) -> list[str]:
    return [card["id"] for card in webui(sandbox, "/api/models", session)["data"]]


@pytest.fixture(scope="module")
def account(sandbox: RunningSandbox, first_run: str) -> str:
    """The session of somebody who signed up."""
    return str(webui(sandbox, "/api/v1/auths/signup", body={"email": "a@example.org"})["token"])


def test_the_token_of_a_login_reaches_the_vm_and_no_log(sandbox: RunningSandbox, first_run: str) -> None:
    assert on_vm(sandbox, "cat /opt/linode-coder/weights/hf_token") == TOKEN
    assert on_vm(sandbox, "stat -c %a /opt/linode-coder/weights/hf_token").strip() == "600"
    key = (sandbox.home / "state/sessions/main/api_key").read_text().strip()
    assert "fetch_weights.py" in first_run
    for secret in (TOKEN, key):
        assert secret not in first_run
        assert secret not in on_vm(
            sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; cat /opt/linode-coder/*/compose.yaml"
        )


def test_it_listens_on_loopback_and_shows_the_model(sandbox: RunningSandbox, account: str) -> None:
    rows = [line.split() for line in on_vm(sandbox, "cat /proc/net/tcp").splitlines()[1:]]
    # Port 8080 in hexadecimal.
    assert [row[1] for row in rows if row[3] == "0A" and row[1].endswith(":1F90")] == ["0100007F:1F90"]
    assert FIRST in models(sandbox, account)
    assert webui(sandbox, "/api/models", "nobody.0000") == {"detail": "401 Unauthorized"}
    modes = on_vm(sandbox, "stat -c %a /var/lib/linode-coder/open-webui /opt/linode-coder/vllm/webui.env").split()
    assert modes == ["700", "600"]
    image = on_vm(sandbox, "docker inspect --format '{{.Config.Image}}' vllm-open-webui-1")
    assert "@sha256:" in image


def test_it_stays_when_nobody_names_it(sandbox: RunningSandbox, account: str) -> None:
    assert result_of(coder(sandbox, "up", "main", "--converge", "--json"))["changed"] == 0
    switched = result_of(coder(sandbox, "switch-model", "main", SECOND, "--json"))
    assert switched["changed"] > 0
    assert SECOND in models(sandbox, account)


def test_a_new_key_reaches_it_and_its_accounts_stay(sandbox: RunningSandbox, account: str) -> None:
    key_file = sandbox.home / "state/sessions/main/api_key"
    before, container = key_file.read_text(), "docker inspect --format '{{.Id}}' vllm-open-webui-1"
    first = on_vm(sandbox, container)
    on_vm(sandbox, "rm /opt/linode-coder/vllm/secrets.env")
    result_of(coder(sandbox, "up", "main", "--converge", "--json"))
    assert key_file.read_text() != before
    assert on_vm(sandbox, container) != first
    # The same session of the same account, and the engine takes the key that Open WebUI has.
    assert SECOND in models(sandbox, account)


def test_it_goes_when_it_is_not_wanted(sandbox: RunningSandbox, account: str) -> None:
    play(sandbox, "up", "-e", "vllm_open_webui=false")
    assert "open-webui" not in on_vm(sandbox, "docker ps --all --format '{{.Names}}'")
    on_vm(sandbox, "test ! -e /opt/linode-coder/vllm/webui.env")
    play(sandbox, "up", "-e", "vllm_open_webui=true")
    assert SECOND in models(sandbox, account)
