# SPDX-License-Identifier: GPL-3.0-or-later
"""What one look leaves for the next, and the findings that take more than one look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.health import last_look
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.collected import CONTINUED_S
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import Health, evaluate
from smi_documents import v13_blackwell
from test_health import METRICS, NOW, healthy, host


def only(health: Health, name: str) -> Finding:
    return next(found for found in health.findings if found.id == name)


class Looks:
    """Looks at one VM through what it keeps, as the module does it."""

    def __init__(self, directory: Path) -> None:
        self.directory = str(directory)

    def look(self, after: float, **facts: Any) -> Health:
        smi = facts.pop("smi", v13_blackwell())
        texts = healthy(metrics_txt=facts.pop("metrics", METRICS), host_json=host(clock=NOW + after, **facts))
        texts["nvidia-smi.xml"] = smi
        if facts.get("probes", {}).get("nvidia_smi", {}).get("timed_out"):
            del texts["nvidia-smi.xml"]
        health = evaluate(texts, {}, last_look.recall(self.directory))
        last_look.keep(self.directory, health.facts)
        return health


@pytest.fixture
def looks(tmp_path: Path) -> Looks:
    return Looks(tmp_path / "state")


def test_nothing_kept_is_a_first_look(looks: Looks, tmp_path: Path) -> None:
    assert last_look.recall(looks.directory) == {}
    assert [found for found in looks.look(0).findings if found.id == "vm.boot"] == []
    assert only(looks.look(300), "vm.boot").severity == "pass"
    for damage in ("", "[]", "{", '{"history": 3, "flat_since": "x", "pcie": [], "hangs": {}, "rebooted": 1}'):
        (tmp_path / "state/last_look.json").write_text(damage)
        assert {found.severity for found in looks.look(600).findings} == {"pass"}


def test_only_what_is_compared_is_kept(looks: Looks, tmp_path: Path) -> None:
    looks.look(0)
    kept = json.loads((tmp_path / "state/last_look.json").read_text())
    assert set(kept) == set(last_look.KEPT)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["last_look.json"]


def test_where_nothing_can_be_kept_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Not a directory|exists"):
        last_look.keep(str(tmp_path / "file"), {})


HANGING = {"nvidia_smi": {"rc": None, "timed_out": True, "seconds": 25}}


@pytest.mark.parametrize(("pause", "severity"), [(30, "fail"), (CONTINUED_S, "fail"), (CONTINUED_S + 1, "warn")])
def test_a_hang_counts_twice_when_it_goes_on(looks: Looks, pause: float, severity: str) -> None:
    assert only(looks.look(0, probes=HANGING), "gpu.hang").severity == "warn"
    assert only(looks.look(pause, probes=HANGING), "gpu.hang").severity == severity
    assert only(looks.look(pause + 30), "gpu.hang").severity == "pass"
    assert only(looks.look(pause + 60, probes=HANGING), "gpu.hang").severity == "warn"


def test_no_progress_goes_on_through_the_passes_of_a_watcher(looks: Looks) -> None:
    seen = [only(looks.look(after), "vllm.stuck").severity for after in (0, 130, 299, 310)]
    assert seen == ["pass", "warn", "warn", "fail"]


@pytest.mark.parametrize(
    "other", [{"metrics": METRICS.replace("100.0", "101.0")}, {"metrics": METRICS.replace("1.7e9", "1.8e9")}]
)
def test_other_requests_or_another_engine_begin_anew(looks: Looks, other: dict[str, str]) -> None:
    looks.look(0)
    looks.look(200)
    assert only(looks.look(400, **other), "vllm.stuck").severity == "pass"


def test_what_was_seen_long_ago_says_nothing_of_the_time_since(looks: Looks) -> None:
    looks.look(0)
    assert only(looks.look(CONTINUED_S + 1), "vllm.stuck").severity == "pass"


def test_a_reboot_is_told_for_an_hour_whoever_saw_it_first(looks: Looks) -> None:
    looks.look(0)
    seen = [only(looks.look(after, boot_id="boot-2"), "vm.boot").severity for after in (60, 360, 3659, 3661)]
    assert seen == ["warn", "warn", "warn", "pass"]


def test_a_slowdown_lasts_through_the_passes_of_a_watcher(looks: Looks) -> None:
    slow = v13_blackwell().replace("hw_slowdown>Not Active", "hw_slowdown>Active")
    seen = [only(looks.look(after, smi=slow), "gpu.throttle").severity for after in (0, 300, 600)]
    assert seen == ["warn", "warn", "fail"]


def test_a_link_is_compared_with_the_best_it_has_been(looks: Looks) -> None:
    def link(gen: int, width: int, state: str = "P0") -> str:
        text = v13_blackwell().replace("current_link_gen>4", f"current_link_gen>{gen}")
        text = text.replace("current_link_width>8x", f"current_link_width>{width}x")
        return text.replace("performance_state>P0", f"performance_state>{state}")

    assert only(looks.look(0, smi=link(4, 8)), "gpu.pcie").summary == "There is no earlier link speed to compare with."
    seen = [
        only(looks.look(after, smi=smi), "gpu.pcie").severity
        for after, smi in ((300, link(1, 4, "P8")), (600, link(3, 8)), (900, link(4, 4)), (9999, link(4, 4)))
    ]
    assert seen == ["pass", "warn", "fail", "fail"]


def test_a_bundle_remembers_what_its_host_did() -> None:
    first = evaluate(healthy())
    texts = healthy(host_json=host(boot_id="boot-2", previous=look_facts(first)))
    assert only(evaluate(texts), "vm.boot").severity == "warn"


def look_facts(health: Health) -> dict[str, Any]:
    return {name: health.facts[name] for name in last_look.KEPT}
