# SPDX-License-Identifier: GPL-3.0-or-later
"""The real Open WebUI beside the real vLLM, both as the role starts them: it answers as its table says, which the one that the
sandbox plays is held to (tests/slow/test_open_webui.py), and asks the engine for no more than was recorded. The real Prometheus
reads that engine's metrics.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from linode_coder.sandbox import webui_env
from tests import open_webui, prometheus
from tests.engine.conftest import PATIENCE, Coder
from tests.open_webui import Row, WebUI
from tests.sandbox_fixture import start_sandbox

MODEL, CONTAINER = "sandbox/tiny-coder-1m", "vllm-open-webui-1"


@pytest.fixture(scope="module")
def coder(tmp_path_factory: pytest.TempPathFactory, vllm: Path) -> Iterator[Coder]:
    webui_env.ensure(lambda step, detail: None)
    with start_sandbox(tmp_path_factory.mktemp("webui"), hosts="simulated", engine="vllm") as sandbox:
        yield Coder(sandbox)


@pytest.fixture(scope="module")
def session(coder: Coder) -> dict[str, Any]:
    return coder.done("up", "real", "--model", MODEL, "--webui", "--lease", "8h", "--yes")


@pytest.fixture(scope="module")
def webui(coder: Coder, session: dict[str, Any]) -> Iterator[WebUI]:
    with open_webui.forwarded(coder.sandbox, "real") as found:
        found.wait(PATIENCE)
        yield found


@pytest.fixture(scope="module")
def account(webui: WebUI) -> str:
    assert webui.wrong(open_webui.BEFORE_ANYBODY) == []
    return webui.sign_up()


def test_it_answers_as_its_table_says(coder: Coder, session: dict[str, Any], webui: WebUI, account: str) -> None:
    assert session["webui_port"] == 8080
    version = json.loads(webui.ask(Row("GET", "/api/version", 200, None))[1])
    # The played one has no deployment.
    assert version == {"version": webui_env.OPEN_WEBUI, "deployment_id": ""}
    assert webui.wrong(open_webui.with_an_account(account, MODEL)) == []


def test_a_chat_in_its_pages_carries_no_tools(webui: WebUI, account: str) -> None:
    """The model has room for 4096 tokens; its own tools would take 5,000, and many engines have no parser for calls."""
    message = webui.chat_in_a_browser(account, MODEL, PATIENCE)
    assert "error" not in message
    assert message["usage"]["prompt_tokens"] < 100 and message["usage"]["completion_tokens"] > 0


def test_it_asks_the_engine_for_models_and_chats_only(coder: Coder, webui: WebUI, account: str) -> None:
    metrics = coder.on_vm("real", "curl --silent http://127.0.0.1:8001/metrics")
    asked = re.findall(
        r'^http_requests_total\{handler="([^"]+)",method="(\w+)",status="(\w+)"\}', metrics, re.MULTILINE
    )
    chats = {("/v1/models", "GET", "2xx"), ("/v1/chat/completions", "POST", "2xx")}
    # `up` asks for a token itself.
    assert chats <= set(asked) <= {*chats, ("/v1/completions", "POST", "2xx")}


def test_prometheus_reads_all_metrics(session: dict[str, Any], account: str, webui: WebUI, tmp_path: Path) -> None:
    """Of the engine that has just answered chats, as those of its stand-in (tests/integration/test_tunnel.py)."""
    assert webui.wrong(open_webui.served(account, MODEL)) == []
    prometheus.judge(tmp_path, int(urlsplit(session["endpoint"]).port or 0), Path(session["api_key_file"]))


def test_accounts_outlive_a_restart(coder: Coder, webui: WebUI, account: str) -> None:
    coder.on_vm("real", "docker", "restart", CONTAINER)
    webui.wait(PATIENCE)
    assert webui.wrong(open_webui.after_a_restart(account, MODEL)) == []
    webui.pending_sees_nothing()


def test_a_new_key_reaches_it(coder: Coder, session: dict[str, Any], webui: WebUI, account: str) -> None:
    before = Path(session["api_key_file"]).read_text()
    coder.on_vm("real", "docker stop vllm-vllm-1 && rm /opt/linode-coder/vllm/secrets.env")
    assert webui.wrong(open_webui.without_an_engine(account, MODEL)) == []
    coder.done("up", "real", "--converge")
    assert Path(session["api_key_file"]).read_text() != before
    webui.wait(PATIENCE)
    assert webui.wrong(open_webui.served(account, MODEL)) == []
    log = coder.on_vm("real", "docker", "logs", CONTAINER)
    assert f"v{webui_env.OPEN_WEBUI} - building" in log
