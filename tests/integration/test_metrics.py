# SPDX-License-Identifier: GPL-3.0-or-later
"""What the real Prometheus makes of our metrics, alerts and dashboard, while a session breaks and is healed."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import prometheus
from tests.product import BIN, coder, result_of
from tests.programs import program
from tests.ready_session import ready_session, serving
from tests.sandbox_fixture import RunningSandbox

PATIENCE = 60.0
# What is asked for and may have nothing to show here: there is no budget.
WITHOUT = ("linode_coder_month_budget_dollars",)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("metrics")) as running:
        yield running


@pytest.fixture(scope="module")
def rules(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The alerts as people get them."""
    file = tmp_path_factory.mktemp("rules") / "linode_coder.yml"
    done = coder(sandbox, "metrics", "--alerts", timeout=60)
    assert done.returncode == 0
    file.write_text(done.stdout)
    return file


def test_promtool_takes_the_rules_and_the_page(sandbox: RunningSandbox, rules: Path) -> None:
    done = subprocess.run(
        [program("promtool"), "check", "rules", "--lint-fatal", str(rules)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = coder(sandbox, "metrics", timeout=60)
    assert page.returncode == 0 and 'linode_coder_session_running{session="main"} 1.0' in page.stdout
    assert prometheus.complaints(page.stdout) == set()


def alert(name: str, minute: int, **labels: str | None) -> dict[str, Any]:
    """What promtool expects of an alert; only whether it is there, since its texts are for people."""
    return {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": [{"exp_labels": labels}] if labels else []}


def test_alerts_come_and_go_when_they_should(rules: Path, tmp_path: Path) -> None:
    """Promtool plays a day in no time: a watcher that dies, a lease that is over, a queue, a budget, failing checks."""
    texts = yaml.safe_load(rules.read_text())
    for group in texts["groups"]:
        for rule in group["rules"]:
            del rule["annotations"]
    bare = tmp_path / "bare.yml"
    bare.write_text(yaml.safe_dump(texts))
    session = 'session="a"'
    series = {
        f"linode_coder_session_running{{{session}}}": "1x600",
        # Looks every five minutes for an hour, and never again.
        'linode_coder_watcher_last_pass_timestamp_seconds{by="ada@desk"}': "0+60x60 3600x540",
        'linode_coder_watcher_interval_seconds{by="ada@desk"}': "300x600",
        f"linode_coder_session_lease_end_timestamp_seconds{{{session}}}": "7200x600",
        f"linode_coder_session_idle_seconds{{{session}}}": "0x60 0+60x540",
        f"linode_coder_session_idle_limit_seconds{{{session}}}": "2700x600",
        f'linode_coder_session_findings{{{session},severity="fail"}}': "0x30 2x30 0x540",
        f'linode_coder_session_findings{{{session},severity="warn"}}': "3x600",
        f'linode_coder_session_heals_total{{{session},healed="true"}}': "0x30 1+1x5 6x560",
        "linode_coder_month_spent_dollars": "10+1x600",
        "linode_coder_month_committed_dollars": "5x600",
        "linode_coder_month_budget_dollars": "100x600",
        f"linode_coder_engine_requests_waiting{{{session}}}": "0x60 3x60 0x480",
        "linode_coder_api_up": "1x100 0x100 1x400",
    }
    session_of: dict[str, str | None] = {"session": "a"}
    critical, warning, info = ({"severity": severity} for severity in ("critical", "warning", "info"))
    expected = [
        alert("LinodeCoderNobodyWatches", 60),
        alert("LinodeCoderNobodyWatches", 90, **critical),
        alert("LinodeCoderLeaseEndsSoon", 80),
        alert("LinodeCoderLeaseEndsSoon", 100, **session_of, **info),
        alert("LinodeCoderLeaseEndsSoon", 130),
        alert("LinodeCoderLeaseOver", 170),
        alert("LinodeCoderLeaseOver", 190, **session_of, **critical),
        alert("LinodeCoderIdleTooLong", 150),
        alert("LinodeCoderIdleTooLong", 180, **session_of, **warning),
        alert("LinodeCoderFailing", 35),
        alert("LinodeCoderFailing", 45, **session_of, **warning),
        alert("LinodeCoderFailing", 65),
        alert("LinodeCoderHealedAgainAndAgain", 29),
        alert("LinodeCoderHealedAgainAndAgain", 40, **session_of, healed="true", **warning),
        alert("LinodeCoderHealedAgainAndAgain", 200),
        alert("LinodeCoderBudgetNearlySpent", 70),
        alert("LinodeCoderBudgetNearlySpent", 80, **warning),
        alert("LinodeCoderQueue", 65),
        alert("LinodeCoderQueue", 75, **session_of, **info),
        alert("LinodeCoderQueue", 125),
        alert("LinodeCoderApiSilent", 110),
        alert("LinodeCoderApiSilent", 120, **warning),
        alert("LinodeCoderApiSilent", 202),
    ]
    test = {
        "rule_files": [str(bare)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": expected,
            }
        ],
    }
    names = {rule["alert"] for group in texts["groups"] for rule in group["rules"]}
    assert names == {one["alertname"] for one in expected}
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test))
    done = subprocess.run([program("promtool"), "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def endpoint(sandbox: RunningSandbox) -> Iterator[str]:
    """Address of `metrics --listen`."""
    command = [str(BIN / "linode-coder"), "metrics", "--listen", "0", "--every", "1s"]
    with subprocess.Popen(command, env=sandbox.env, cwd="/", stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip().removeprefix("http://").removesuffix("/metrics")
        finally:
            process.terminate()
            process.wait(PATIENCE)


def until(what: Callable[[], bool], told: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, told()
        time.sleep(0.2)


def test_a_session_that_breaks_and_heals_is_seen(sandbox: RunningSandbox, rules: Path, tmp_path: Path) -> None:
    at_once = yaml.safe_load(rules.read_text())
    for group in at_once["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(at_once))
    label = serving(sandbox)["session"]["label"]
    # A session that nobody has asked anything yet may still be on its way up.
    assert coder(sandbox, "ask", "hello", timeout=120).returncode == 0

    def one_pass(heal: str) -> None:
        arguments = ("watchdog", "--once", "--interval", "5m", "--heal", heal, "--patience", "0.02", "--json")
        result_of(coder(sandbox, *arguments, timeout=240))

    with endpoint(sandbox) as address:
        config = {
            "rule_files": [str(tmp_path / "rules.yml")],
            "scrape_configs": [{"job_name": "linode_coder", "static_configs": [{"targets": [address]}]}],
        }
        with prometheus.running(tmp_path / "prometheus", config) as real:

            def fires() -> set[str]:
                found = real.ask("alerts")["alerts"]
                return {row["labels"]["alertname"] for row in found if row["state"] == "firing"}

            assert real.target()["health"] == "up"
            until(lambda: fires() == {"LinodeCoderNobodyWatches"}, fires)
            one_pass("alert")
            until(lambda: not fires(), fires)
            result_of(
                coder(sandbox, "sandbox", "fault", "add", "container_gpu_lost", "--host", label, "--json", timeout=60)
            )
            one_pass("alert")
            until(lambda: fires() == {"LinodeCoderFailing"}, fires)
            # The pass that heals has seen what was wrong; the next one sees that it is gone.
            one_pass("container")
            one_pass("alert")
            until(lambda: not fires(), fires)
            assert real.value('linode_coder_session_heals_total{session="main",healed="true"}') == 1
            assert real.value("linode_coder_engine_generation_tokens_total") is not None
            dashboard = json.loads(coder(sandbox, "metrics", "--dashboard", timeout=60).stdout)
            for panel in dashboard["panels"]:
                for target in panel["targets"]:
                    query = target["expr"].replace("$session", ".*")
                    found = real.ask("query", query=query)["result"]
                    assert found or any(name in query for name in WITHOUT), query
