# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page for Prometheus says of what was seen, and that alerts, dashboard and docs speak of nothing else."""

from __future__ import annotations

import importlib.resources
import json
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from prometheus_client.parser import text_string_to_metric_families

from linode_coder.metrics import page
from linode_coder.metrics.families import Seen
from linode_coder.terminal.escapes import visible
from tests.hostile import CORPUS
from tests.product import COLLECTION

AT = 1_800_000_000
VIEW: dict[str, Any] = {
    "name": "demo",
    "label": "lc-demo-1",
    "linode_id": 7,
    "plan": "g2-gpu-rtx4000a1-s",
    "region": "us-ord",
    "model": "openai/gpt-oss-20b",
    "owner": "ada",
    "status": "running",
    "hourly": 0.52,
    "cost_so_far": 1.04,
    "cost_to_lease_end": 4.16,
    "created": "2027-01-15T07:00:00Z",
    "lease_end": "2027-01-15T15:00:00Z",
    "hard_cap": "2027-01-16T07:00:00Z",
    "paid_until": "2027-01-15T09:00:00Z",
    "paused_until": None,
    "lease_left": 25200,
    "idle_minutes": 45,
}
GPU = {
    "index": 0,
    "utilization": 93.0,
    "memory_used_mib": 1024.0,
    "memory_total_mib": 16384.0,
    "temperature": 61.0,
    "power_draw": 110.5,
    "power_limit": 130.0,
}
SEEN = Seen(
    at=AT,
    answers=True,
    views=[VIEW],
    watcher={"by": "ada@desk", "at": AT - 60, "interval": 300},
    idle={7: 120},
    idle_at=AT - 60,
    health={7: {"at": AT - 60.0, "findings": {"warn": 1, "unknown": 0, "fail": 2}}},
    heals=[{"session": "demo", "healed": True, "times": 2}, {"session": "demo", "healed": False, "times": 1}],
    engines={
        "demo": {
            "running": 2,
            "waiting": 1,
            "kv_cache_use": 0.25,
            "prompt_tokens": 1000,
            "generation_tokens": 200,
        }
    },
    gpus={"demo": [GPU]},
    month={"spent": 12.5, "committed": 3.12},
    budget=50.0,
)


def samples(seen: Seen) -> dict[str, dict[tuple[str, ...], float]]:
    """By name and the labels' values, in the order of their names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(page.text(seen)):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(text for _name, text in sorted(sample.labels.items()))] = (
                sample.value
            )
    return found


def test_everything_that_was_seen_is_a_sample() -> None:
    found = samples(SEEN)
    assert found["linode_coder_session_cost_dollars"] == {("demo",): 1.04}
    assert found["linode_coder_session_lease_end_timestamp_seconds"] == {("demo",): 1_800_025_200.0}
    assert found["linode_coder_session_idle_limit_seconds"] == {("demo",): 2700.0}
    assert found["linode_coder_session_findings"] == {("demo", "fail"): 2, ("demo", "unknown"): 0, ("demo", "warn"): 1}
    assert found["linode_coder_session_heals_total"] == {("true", "demo"): 2, ("false", "demo"): 1}
    assert found["linode_coder_engine_generation_tokens_total"] == {("demo",): 200}
    assert found["linode_coder_gpu_memory_used_bytes"] == {("0", "demo"): 2**30}
    assert found["linode_coder_gpu_use_ratio"] == {("0", "demo"): pytest.approx(0.93)}
    assert found["linode_coder_watcher_last_pass_timestamp_seconds"] == {("ada@desk",): AT - 60}
    assert found["linode_coder_month_spent_dollars"] == {(): 12.5}
    ((labels, one),) = found["linode_coder_session_info"].items()
    assert one == 1 and {"demo", "us-ord", "openai/gpt-oss-20b", "ada", "running"} <= set(labels)


def test_what_is_not_known_has_no_sample() -> None:
    nothing = samples(Seen())
    assert nothing == {"linode_coder_api_up": {(): 0.0}}
    bare = {**VIEW, "hourly": None, "lease_left": None, "lease_end": None, "idle_minutes": None, "name": None}
    found = samples(Seen(at=AT, answers=True, views=[bare]))
    assert "linode_coder_session_hourly_dollars" not in found
    assert "linode_coder_session_lease_left_seconds" not in found
    assert "linode_coder_session_idle_seconds" not in found
    # A VM whose tags lost its name is told by its label.
    assert found["linode_coder_session_running"] == {("lc-demo-1",): 1.0}
    assert found["linode_coder_sessions"] == {(): 1.0}


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
def test_nothing_from_outside_leaves_its_label(text: str) -> None:
    seen = replace(SEEN, views=[{**VIEW, "owner": text, "model": text, "plan": text}])
    written = page.text(seen)
    assert len(written.splitlines()) == len(page.text(SEEN).splitlines())
    assert visible(written) == written
    assert samples(seen).keys() == samples(SEEN).keys()


def used(text: str) -> set[str]:
    return set(re.findall(r"\blinode_coder_\w+", text))


def packaged(name: str) -> str:
    return (importlib.resources.files("linode_coder") / "metrics" / name).read_text()


def queries() -> list[str]:
    """Of the dashboard."""
    panels = json.loads(packaged("dashboard.json"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_alerts_and_dashboard_ask_for_what_there_is() -> None:
    there = set(samples(SEEN)) | {"linode_coder_session_paused_until_timestamp_seconds"}
    rules = [rule for group in yaml.safe_load(packaged("alerts.yml"))["groups"] for rule in group["rules"]]
    asked = used(" ".join([*(rule["expr"] for rule in rules), *queries()]))
    assert len(asked) > 20 and asked <= there, asked - there
    # An alert says what is wrong and what to do about it.
    assert all({"summary", "description"} <= rule["annotations"].keys() and rule["labels"] for rule in rules)


def test_the_page_of_the_docs_names_every_metric() -> None:
    said = used((COLLECTION / "docs/metrics.md").read_text())
    paused = "linode_coder_session_paused_until_timestamp_seconds"
    there = set(samples(replace(SEEN, views=[{**VIEW, "paused_until": VIEW["lease_end"]}])))
    assert paused in there
    assert there == {name for name in said if name != "linode_coder_"}


def test_an_api_that_is_silent_leaves_what_was_known() -> None:
    looks: list[Seen | None] = []

    def look(before: Seen | None) -> Seen:
        looks.append(before)
        if before is not None:
            raise Failure("cloud", "The API does not answer.")
        return replace(SEEN)

    said: list[str] = []
    fresh = page.Fresh(look, 0.0, said.append)
    values = {metric.name: metric.samples for metric in fresh.collect()}
    assert values["linode_coder_api_up"][0].value == 0 and len(values["linode_coder_session_cost_dollars"]) == 1
    assert said == ["The API does not answer."] and looks[0] is None and looks[1] is not None


def test_scrapes_do_not_ask_the_account_each_time() -> None:
    looks = []

    def look(before: Seen | None) -> Seen:
        looks.append(before)
        return SEEN

    fresh = page.Fresh(look, 3600.0, print)
    for _ in range(5):
        list(fresh.collect())
    assert len(looks) == 1
