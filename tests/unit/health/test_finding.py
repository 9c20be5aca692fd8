# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings and the catalogue of checks they come from."""

from __future__ import annotations

import json

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import SEVERITIES, Finding, worst
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.rungs import NAMES, advice
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.catalogue import CHECKS


def finding(severity: str = "fail", **more: object) -> Finding:
    return Finding(id="gpu.lost", severity=severity, subject="gpu:GPU-1", summary="The GPU is gone.", **more)  # type: ignore[arg-type]


def test_a_finding_survives_json() -> None:
    lost = finding(evidence="Xid 79", cause="off_bus", ladder=("reboot", "recreate_vm"), remedy="Reboot the VM.")
    assert Finding.from_dict(json.loads(json.dumps(lost.as_dict()))) == lost


@pytest.mark.parametrize("wrong", [{"severity": "critical"}, {"ladder": ("explode",)}])
def test_severities_and_rungs_are_a_fixed_vocabulary(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="unknown"):
        finding(**wrong)


def test_the_fingerprint_tells_troubles_apart_and_looks_together() -> None:
    assert finding(evidence="at 10:00").fingerprint == finding(severity="warn", evidence="at 11:00").fingerprint
    assert finding(cause="a").fingerprint != finding(cause="b").fingerprint


def test_unknown_outranks_a_warning_and_nothing_is_unknown() -> None:
    assert worst([]) == "unknown"
    for upto in range(1, len(SEVERITIES) + 1):
        assert worst(finding(name) for name in SEVERITIES[:upto]) == SEVERITIES[upto - 1]


def test_the_catalogue_is_complete() -> None:
    for name, check in CHECKS.items():
        assert name == check.id
        assert all((check.what, check.how, check.passes, check.warns, check.fails, check.remedy)), name
        assert set(check.ladder) <= set(NAMES), name
        assert bool(check.ladder) or name == "vm.boot"
        acting = [rung for rung in check.ladder if rung != "alert"]
        assert acting == sorted(acting, key=NAMES.index), f"{name}: rungs climb"
        assert check.confirm.probes >= 2, f"{name}: a failure is confirmed before anything is touched"


def test_every_rung_has_words() -> None:
    assert advice(()) == "Nothing to do about it by itself."
    assert advice(("reset_gpu", "reboot")) == "Reset the GPU; if that does not help, reboot the VM."
    assert all(advice((rung,))[0].isupper() for rung in NAMES)
