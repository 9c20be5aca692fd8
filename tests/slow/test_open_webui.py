# SPDX-License-Identifier: GPL-3.0-or-later
"""Open WebUI beside the engine: where it listens, what of it stays, and that the engine's key reaches it. On a simulated host,
which plays it as tests/open_webui.py says; tests/engine holds the real one to the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests import open_webui, product
from tests.open_webui import WebUI
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
    return play(sandbox, "up", "-e", f"model={FIRST}", "-e", "webui=true", "-vvv")


@pytest.fixture(scope="module")
def webui(sandbox: RunningSandbox, first_run: str) -> Iterator[WebUI]:
    with open_webui.forwarded(sandbox, "main") as found:
        found.wait(60)
        yield found


@pytest.fixture(scope="module")
def account(webui: WebUI) -> str:
    """The session of somebody who signed up."""
    assert webui.wrong(open_webui.BEFORE_ANYBODY) == []
    return webui.sign_up()


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


def test_it_listens_on_loopback_and_shows_the_model(sandbox: RunningSandbox, webui: WebUI, account: str) -> None:
    rows = [line.split() for line in on_vm(sandbox, "cat /proc/net/tcp").splitlines()[1:]]
    # Port 8080 in hexadecimal.
    assert [row[1] for row in rows if row[3] == "0A" and row[1].endswith(":1F90")] == ["0100007F:1F90"]
    assert webui.wrong(open_webui.with_an_account(account, FIRST)) == []
    secrets = "/var/lib/linode-coder/open-webui/secret.env /opt/linode-coder/vllm/webui.env"
    assert on_vm(sandbox, f"stat -c %a /var/lib/linode-coder/open-webui {secrets}").split() == ["700", "600", "600"]
    image = on_vm(sandbox, "docker inspect --format '{{.Config.Image}}' vllm-open-webui-1")
    assert "@sha256:" in image


def test_it_stays_when_nobody_names_it(sandbox: RunningSandbox, webui: WebUI, account: str) -> None:
    assert result_of(coder(sandbox, "up", "main", "--converge", "--json"))["changed"] == 0
    switched = result_of(coder(sandbox, "switch-model", "main", SECOND, "--json"))
    assert switched["changed"] > 0
    assert webui.wrong(open_webui.served(account, SECOND)) == []


def test_a_new_key_reaches_it_and_its_accounts_stay(sandbox: RunningSandbox, webui: WebUI, account: str) -> None:
    key_file = sandbox.home / "state/sessions/main/api_key"
    before, container = key_file.read_text(), "docker inspect --format '{{.Id}}' vllm-open-webui-1"
    first = on_vm(sandbox, container)
    on_vm(sandbox, "rm /opt/linode-coder/vllm/secrets.env")
    assert result_of(coder(sandbox, "up", "main", "--converge", "--json"))["webui_port"] == 8080
    assert key_file.read_text() != before
    assert on_vm(sandbox, container) != first
    # The same session of the same account, and the engine takes the key that Open WebUI has.
    webui.wait(60)
    assert webui.wrong(open_webui.after_a_restart(account, SECOND)) == []
    webui.pending_sees_nothing()


def test_without_an_engine_it_shows_no_model(sandbox: RunningSandbox, webui: WebUI, account: str) -> None:
    on_vm(sandbox, "docker stop vllm-vllm-1")
    assert webui.wrong(open_webui.without_an_engine(account, SECOND)) == []
    on_vm(sandbox, "docker start vllm-vllm-1")


def test_it_goes_when_it_is_not_wanted(sandbox: RunningSandbox, webui: WebUI, account: str) -> None:
    gone = result_of(coder(sandbox, "up", "main", "--no-webui", "--json"))
    assert (gone["changed"] > 0, gone["webui_port"]) == (True, None)
    assert "open-webui" not in on_vm(sandbox, "docker ps --all --format '{{.Names}}'")
    on_vm(sandbox, "test ! -e /opt/linode-coder/vllm/webui.env")
    # By the role's own variable.
    play(sandbox, "up", "-e", "vllm_open_webui=true")
    webui.wait(60)
    assert webui.wrong(open_webui.served(account, SECOND)) == []
