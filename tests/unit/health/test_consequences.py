# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from another finding: told under it, and as it was for everything that decides."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.attempts import Record
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.ladder import Observation, Policy, World, next_step
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.catalogue import CHECKS
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.consequences import RULES, roots, with_roots
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import evaluate
from smi_documents import v13_blackwell
from test_health import EXPECTED, NOW, container, healthy, host

XID_79 = "[  100.0] NVRM: Xid (PCI:0000:00:02): 79, pid=1, name=VLLM::EngineCor, GPU has fallen off the bus.\n"
DEAD = {"health": {"status": None, "error": "Connection refused"}, "generation": {"error": "Connection refused"}}
GATED = (
    "401 Client Error. Cannot access gated repo for url https://huggingface.co/a/b. Access to model a/b is restricted\n"
)


def found(check: str, severity: str, subject: str = "vm", cause: str | None = None) -> Finding:
    return Finding(check, severity, subject, f"{check} is {severity}.", cause=cause)


def standing(texts: dict[str, str]) -> list[str]:
    """The checks that a person reads of."""
    health = evaluate(texts, EXPECTED, {"boot_id": "boot-1"})
    told = with_roots(health.findings)
    return [one["id"] for one in told if one["severity"] != "pass" and one["follows_from"] is None]


def of_lost_card() -> dict[str, str]:
    """One whose readings all say that it is lost."""
    head, rest = v13_blackwell().split("<gpu ", 1)
    card, end = rest.rsplit("</gpu>", 1)
    kept = ("product_name", "uuid", "gpu_bus_id")
    card = re.sub(r"<(\w+)>([^<>\n]+)</\1>", lambda m: m[0] if m[1] in kept else f"<{m[1]}>GPU is lost</{m[1]}>", card)
    return healthy() | {"kernel.log": XID_79, "nvidia-smi.xml": f"{head}<gpu {card}</gpu>{end}"}


def test_a_lost_card_is_two_findings() -> None:
    assert standing(of_lost_card()) == ["gpu.lost", "gpu.xid"]


def test_an_engine_that_dies_of_its_lost_card_is_no_finding_of_its_own() -> None:
    texts = of_lost_card() | {
        "container.json": container("exited", ExitCode=1),
        "host.json": host(engine=DEAD),
        "engine.log": "torch.AcceleratorError: CUDA error: GPU is lost\n",
    }
    assert standing(texts) == ["gpu.lost", "gpu.xid"]


def test_an_engine_that_dies_of_something_else_is() -> None:
    texts = of_lost_card() | {"container.json": container("exited", ExitCode=1), "host.json": host(engine=DEAD)}
    texts["engine.log"] = GATED
    assert standing(texts) == ["gpu.lost", "gpu.xid", "ctr.state"]


def test_no_nvidia_smi_is_one_finding() -> None:
    texts = healthy()
    del texts["nvidia-smi.xml"]
    texts["host.json"] = host(probes={"docker": {"rc": 0, "seconds": 0.1}})
    assert standing(texts)[:1] == ["gpu.hang"]
    assert not [name for name in standing(texts)[1:] if name.startswith(("drv.", "gpu."))]


def test_it_stays_with_its_own_card() -> None:
    seen = [
        found("gpu.lost", "fail", "gpu:a"),
        found("gpu.temp", "unknown", "gpu:a"),
        found("gpu.temp", "unknown", "gpu:b"),
        found("gpu.ecc.unc", "fail", "gpu:a"),
    ]
    assert roots(seen) == [None, 0, None, None]


def test_the_first_reason_is_named() -> None:
    seen = [
        found("vllm.gen", "unknown", "engine"),
        found("vllm.health", "fail", "engine", "not_running"),
        found("ctr.state", "fail", "container", "exited"),
        found("gpu.lost", "fail", "gpu:a"),
    ]
    assert roots(seen) == [3, 3, 3, None]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.root} {rule.follows[0]}")
def test_a_suspicion_explains_no_failure(rule: Any) -> None:
    root = found(rule.root, "unknown", "vm", "same")
    assert {tuple(roots([root, found(name, "fail", "vm", "same")])) for name in rule.follows} == {(None, None)}


def test_no_check_explains_itself_over_others() -> None:
    explains: dict[str, set[str]] = {}
    for rule in RULES:
        assert {rule.root, *rule.follows} <= set(CHECKS)
        explains.setdefault(rule.root, set()).update(rule.follows)

    def below(name: str, path: tuple[str, ...] = ()) -> None:
        assert name not in path, path
        for follower in explains.get(name, ()):
            below(follower, (*path, name))

    for name in explains:
        below(name)


LOOKS = {
    "a lost card": of_lost_card(),
    "a lost card and a dead engine": of_lost_card() | {"host.json": host(engine=DEAD)},
    "a gated model": healthy() | {"engine.log": GATED, "container.json": container("exited", ExitCode=1)},
    "nothing from nvidia-smi": healthy() | {"nvidia-smi.xml": "NVIDIA-SMI has failed because it couldn't communicate"},
    "no Docker": healthy() | {"container.json": "Cannot connect to the Docker daemon"},
    "hardly anything": {"host.json": host()},
}


@pytest.mark.parametrize("name", LOOKS)
def test_healing_decides_as_before(name: str) -> None:
    """Every finding reaches it, whole: what is told of them makes no difference."""
    findings = evaluate(LOOKS[name], EXPECTED).findings
    told = json.loads(json.dumps(with_roots(findings)))
    again = tuple(Finding.from_dict(one) for one in told)
    assert again == tuple(findings)
    world = World(created=int(NOW) - 9000, boot_time=int(NOW) - 5000, seen_at=int(NOW))
    earlier = (Observation(int(NOW) - 200, again),)
    world = replace(world, earlier=earlier)
    decisions = [next_step(seen, Record(), world, Policy(), int(NOW)) for seen in (findings, again)]
    assert decisions[0] == decisions[1]
