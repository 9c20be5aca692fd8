# SPDX-License-Identifier: GPL-3.0-or-later
"""What the configuration comes to: GPUs, price and budget, each with its source, and the age of an answer that is not of now."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linode_coder import api
from linode_coder.cli import app
from linode_coder.pricing import last_answer
from linode_coder.pricing.configured import configured
from linode_coder.pricing.last_answer import Answer
from linode_coder.settings import config
from tests.hostile import CORPUS

URL = "http://127.0.0.1:9"  # where nothing listens
NOW = 1_800_000_000


def plan(name: str, gpus: int, hourly: float, elsewhere: float | None = None) -> dict[str, Any]:
    return {
        **{"id": name, "class": "gpu", "gpus": gpus, "vcpus": 16, "memory": 65536, "disk": 524288},
        "price": {"hourly": hourly},
        "region_prices": [{"id": "br-gru", "hourly": elsewhere}] if elsewhere else [],
    }


ROWS = [plan("g2-gpu-rtx4000a1-l", 1, 1.25, 1.75), plan("g2-gpu-rtx4000a2-m", 2, 1.5), plan("g9-gpu-new8", 8, 9.0)]


def remember(rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, age: float = 0) -> None:
    then = time.time() - age
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: then)
        api._remember_plans(URL, rows)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    monkeypatch.setenv("LINODE_API_URL", URL)
    monkeypatch.setenv("LINODE_TOKEN", "token")
    monkeypatch.setenv("LINODE_CODER_RETRY_SCALE", "0")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    config.export_credentials.cache_clear()


def hardware(capsys: pytest.CaptureFixture[str]) -> Any:
    assert app.run(["config", "show", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["hardware"]


@pytest.mark.usefixtures("offline")
def test_the_last_answer_is_shown_with_its_age(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    remember(ROWS, monkeypatch, age=3 * 3600 + 60)
    monkeypatch.setenv("LINODE_CODER_PLAN", "g2-gpu-rtx4000a1-l,g9-gpu-new8")
    monkeypatch.setenv("LINODE_CODER_BUDGET", "40")
    found = hardware(capsys)
    first, second = found["plans"]
    assert (first["plan"], first["plan_source"]) == ("g2-gpu-rtx4000a1-l", "environment LINODE_CODER_PLAN")
    assert (first["gpus"], first["gpus_source"], first["gpu_source"]) == (1, "api", "packaged")
    assert (first["hourly"], first["hourly_elsewhere"]) == (1.25, {"br-gru": 1.75})
    assert (second["gpus"], second["gpu"], second["gpu_source"]) == (8, None, None)
    assert (found["budget"], found["budget_source"]) == (40.0, "environment LINODE_CODER_BUDGET")
    assert found["prices"]["from"] == "remembered"
    assert 3 * 3600 <= found["prices"]["age"] < 4 * 3600
    assert app.run(["config", "show"]) == 0
    text = capsys.readouterr().out
    assert "API, 3 h 1 min ago" in text
    assert "$1.25 an hour; $1.75 in br-gru" in text
    assert "The API was not read, so prices are of" in text


@pytest.mark.usefixtures("offline")
def test_without_any_answer_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LINODE_CODER_PLAN", "g2-gpu-rtx4000a2-m,g2-gpu-rtx4000a2-zz")
    found = hardware(capsys)
    known, unknown = found["plans"]
    assert (known["gpus"], known["gpus_source"], known["hourly"]) == (2, "packaged", None)
    assert (unknown["gpus"], unknown["known"]) == (None, False)
    assert (found["prices"]["from"], found["prices"]["age"]) == ("nowhere", None)
    assert app.run(["config", "show"]) == 0
    text = capsys.readouterr().out
    assert "The API was not read, so no price is known here" in text
    assert "g2-gpu-rtx4000a2-zz, not known" in text


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("why", ["token", "configuration"])
def test_what_keeps_it_from_asking_is_said(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    remember(ROWS, monkeypatch)
    if why == "token":
        monkeypatch.delenv("LINODE_TOKEN")
        monkeypatch.setenv("HOME", str(tmp_path))
    else:
        monkeypatch.setenv("LINODE_API_URL", "ftp://nowhere")
    found = hardware(capsys)
    said = {"token": "there is no API token", "configuration": "environment LINODE_API_URL"}[why]
    assert said in found["prices"]["why"]
    # An answer of another API is none.
    assert found["prices"]["from"] == ("remembered" if why == "token" else "nowhere")


def test_the_cheapest_that_suits_is_named_where_no_plan_is_set() -> None:
    reading = config.Reading({setting.key: setting.default for setting in config.SETTINGS})
    found = configured(reading, Answer(ROWS, NOW), NOW)
    assert [one["plan"] for one in found["plans"]] == ["g2-gpu-rtx4000a1-l"]
    assert found["plans"][0]["plan_source"].startswith("default: cheapest for ")
    assert found["prices"] == {"from": "api", "asked": "2027-01-15T08:00:00Z", "age": 0, "why": None}
    reading.values["model"] = "nobody/knows-this"
    assert configured(reading, Answer(ROWS, NOW), NOW)["plans"] == []


BROKEN = [
    "",
    "[]",
    "{",
    "[" * 100_000,
    '{"asked": 1}',
    json.dumps({"asked": "x", "api": URL, "plans": []}),
    json.dumps({"asked": 1, "api": URL, "plans": {}}),
    json.dumps({"asked": 1, "api": URL, "plans": [{**ROWS[0], "price": {"hourly": "1"}}]}),
    json.dumps({"asked": 1, "api": URL, "plans": [{**ROWS[0], "region_prices": [{"hourly": 1}]}]}),
    json.dumps({"asked": 1, "api": "http://another", "plans": ROWS}),
]


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("text", [*BROKEN, *CORPUS.values()])
def test_a_file_that_is_no_answer_is_none(text: str) -> None:
    api.plans_file().parent.mkdir(parents=True)
    api.plans_file().write_bytes(text.encode("utf-8", "surrogatepass"))
    assert last_answer.plans_now_or_then(1).asked is None


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_value_may_stand_in_a_remembered_plan(value: Any) -> None:
    for key in ROWS[0]:
        last_answer._is_plan({**ROWS[0], key: value})
