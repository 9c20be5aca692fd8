# SPDX-License-Identifier: GPL-3.0-or-later
"""`export lke`: what runs is what is exported, nothing secret is in it, and every wrong input is a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.product import coder
from tests.ready_session import ready_session
from tests.sandbox_fixture import RunningSandbox
from tests.terminal.emulator import drawn
from tests.unit.cli.terminal import at_terminal


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("export")) as running:
        running.env.update(HF_HUB_OFFLINE="1", TZ="UTC")
        yield running


def export(sandbox: RunningSandbox, *arguments: str) -> dict[str, Any]:
    done = coder(sandbox, "export", "lke", *arguments, "--json", timeout=60)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def words(values: dict[str, Any]) -> list[str]:
    found: list[str] = values["servingEngineSpec"]["modelSpec"][0]["vllmConfig"]["extraArgs"]
    return found


def test_what_runs_is_exported(sandbox: RunningSandbox, tmp_path: Path) -> None:
    said = export(sandbox, "main", "--output", str(tmp_path), "--replicas", "3")
    view = json.loads(coder(sandbox, "status", "main", "--json", timeout=60).stdout)["session"]
    assert (said["plan"], said["region"], said["changed"]) == (view["plan"], view["region"], True)
    values = yaml.safe_load((tmp_path / "values.yaml").read_text())
    assert values == said["values"]
    (model,) = values["servingEngineSpec"]["modelSpec"]
    assert (model["modelURL"], model["replicaCount"]) == (view["model"], 3)
    assert view["model"] in words(values)
    body = json.loads((tmp_path / "cluster.json").read_text())
    assert body == said["cluster"]
    assert body["node_pools"] == [{"type": view["plan"], "count": 3}]
    assert said["price"]["hourly"] == pytest.approx(3 * view["hourly"])
    assert (said["price"]["high_availability_hourly"], said["price"]["node_balancer_hourly"]) == (0.09, 0.015)
    key = (sandbox.home / "state" / "sessions" / "main" / "api_key").read_text().strip()
    everything = "".join(path.read_text() for path in tmp_path.iterdir())
    assert key not in everything
    assert str(sandbox.home / "state" / "sessions" / "main" / "api_key") in everything


def test_what_a_person_changed_on_the_vm_is_exported(sandbox: RunningSandbox, tmp_path: Path) -> None:
    file = "/opt/linode-coder/vllm/vllm.yaml"
    change = f"cp {file} /root/kept && echo 'swap-space: 7' >> {file}"
    assert coder(sandbox, "ssh", "main", "--", change, timeout=60).returncode == 0
    try:
        assert "--swap-space=7" in words(export(sandbox, "main", "--output", str(tmp_path))["values"])
    finally:
        assert coder(sandbox, "ssh", "main", "--", f"cp /root/kept {file}", timeout=60).returncode == 0


def test_nothing_is_written_over_unasked(sandbox: RunningSandbox, tmp_path: Path) -> None:
    assert export(sandbox, "main", "--output", str(tmp_path))["changed"] is True
    assert export(sandbox, "main", "--output", str(tmp_path))["changed"] is False
    mine = tmp_path / "values.yaml"
    mine.write_text("mine\n")
    done = coder(sandbox, "export", "lke", "main", "--output", str(tmp_path), timeout=60)
    assert (done.returncode, mine.read_text()) == (2, "mine\n")
    assert "values.yaml" in done.stderr
    assert export(sandbox, "main", "--output", str(tmp_path), "--yes")["changed"] is True
    assert mine.read_text() != "mine\n"


WRONG = {
    "no such session": (("nobody",), 9, "There is no session 'nobody'"),
    "no name": (("No Body",), 2, "session name 'No Body' cannot be used"),
    "a session and a model": (("main", "--model", "gpt-oss-20b"), 2, "--model says nothing of session 'main'"),
    "no such model": (("--model", "gpt-oss-20"), 2, "model 'gpt-oss-20' is not known"),
    "no such plan": (("--plan", "g2-gpu"), 2, "plan 'g2-gpu' is not known"),
    "a plan that cannot be a node": (("--plan", "g1-gpu-rtx6000-1"), 3, "cannot be a node of LKE"),
    "no such region": (("--region", "atlantis"), 2, "atlantis"),
    "too many": (("--replicas", "101"), 2, "replicas 101 is not a number from 1 to 100"),
    "no number": (("--replicas", "two"), 2, "--replicas 'two' is not a whole number"),
    "no such version": (("--kubernetes", "1.2"), 2, "Kubernetes 1.2 is not offered"),
    "no version": (("--kubernetes", "newest"), 2, "kubernetes 'newest' is not a version"),
    "a file": (("--output", "/etc/passwd"), 2, "/etc/passwd cannot be written: it is a file"),
    "too large": (("--model", "gpt-oss-120b", "--plan", "g2-gpu-rtx4000a1-s"), 3, "does not fit"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_sentence(sandbox: RunningSandbox, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, code, sentence = WRONG[case]
    for name, value in sandbox.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir("/")
    seen = at_terminal(monkeypatch, "export", "lke", *arguments, columns=240)
    assert sentence in seen.err, seen
    assert not seen.out
    assert not Path("/lke-vllm").exists()
    done = coder(sandbox, "export", "lke", *arguments, timeout=60)
    assert done.returncode == code, done.stderr


def test_without_a_token_the_version_is_named(sandbox: RunningSandbox, tmp_path: Path) -> None:
    def anonymous(*more: str) -> Any:
        arguments = ("export", "lke", "--model", "gpt-oss-20b", "--output", str(tmp_path), *more)
        return coder(sandbox, *arguments, timeout=60, LINODE_TOKEN="", LINODE_CLI_TOKEN="")

    done = anonymous("--kubernetes", "1.34")
    assert done.returncode == 0, done.stderr
    refused = anonymous()
    assert "--kubernetes" in refused.stderr
    assert refused.returncode != 0


@pytest.mark.parametrize("columns", [40, 80])
def test_it_fits(sandbox: RunningSandbox, tmp_path: Path, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in sandbox.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    seen = at_terminal(monkeypatch, "export", "lke", "main", "--output", "out", columns=columns)
    text = drawn((seen.out + seen.err).replace("\n", "\r\n"))
    long = [line for line in text if len(line) > columns]
    # A path of the test's own directory may be longer than the terminal.
    assert [line for line in long if "/" not in line] == []
