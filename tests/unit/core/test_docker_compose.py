# SPDX-License-Identifier: GPL-3.0-or-later
"""What Compose says of a project's services, in the forms of its versions and with whatever it says beside."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core import program
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.docker_compose import (
    compose_command,
    compose_ps,
    compose_services,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.program import Probed

ENGINE = {"Service": "vllm", "Name": "vllm-1", "State": "running"}
PROXY = {"Service": "proxy", "Name": "proxy-1", "State": "exited"}
ONE_OFF = {"Service": "vllm", "Name": "vllm-run-5f", "State": "exited"}
WARNING = 'time="2027-01-15T07:10:00Z" level=warning msg="The \\"X\\" variable is not set."'


def says(monkeypatch: pytest.MonkeyPatch, probed: Probed) -> list[list[str]]:
    asked: list[list[str]] = []

    def run(argv: list[str], _limit: float) -> Probed:
        asked.append(argv)
        return probed

    monkeypatch.setattr(program, "run", run)
    return asked


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(json.dumps(row) for row in (ENGINE, ONE_OFF, PROXY)),
        json.dumps([ENGINE, ONE_OFF, PROXY]),
        f"{WARNING}\n{json.dumps(ENGINE)}\n\n[]\nnull\n7\n{'[' * 100_000}\n{{}}\n{json.dumps(PROXY)}\n",
    ],
)
def test_each_service_has_its_container(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    asked = says(monkeypatch, Probed(text, 0, 0.1))
    assert compose_ps("/opt/x", 15)[1] == {"vllm": ENGINE, "proxy": PROXY}
    assert asked == [compose_command("/opt/x", "ps", "--all", "--format", "json")]


class Ended(Exception):
    """The module has failed."""


@pytest.mark.parametrize(
    ("probed", "cause"),
    [
        (Probed("Cannot connect to the Docker daemon\n", 1, 0.1), "Cannot connect to the Docker daemon"),
        (Probed(json.dumps(ENGINE) + "x" * 400, None, 60.0, timed_out=True), "x" * 300),
        (Probed("", None, 60.2, timed_out=True), "no end after 60 s"),
        (Probed("", None, 0.0, error="docker: No such file or directory"), "docker: No such file or directory"),
    ],
)
def test_no_answer_is_a_failure_and_no_empty_project(
    monkeypatch: pytest.MonkeyPatch, probed: Probed, cause: str
) -> None:
    def fail_json(**result: Any) -> None:
        assert (result["failure"]["kind"], result["failure"]["cause"]) == ("unhealthy", cause)
        raise Ended

    says(monkeypatch, probed)
    assert compose_ps("/opt/x", 15)[1] == {}
    module: Any = SimpleNamespace(fail_json=fail_json)
    with pytest.raises(Ended):
        compose_services(module, "/opt/x")
