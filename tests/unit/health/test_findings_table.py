# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of what the sandbox breaks covers the catalogue, so that the slow test that walks it does."""

from __future__ import annotations

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.catalogue import CHECKS

from linode_coder.sandbox.api.host_faults import HOST_KINDS, complaint
from tests.findings_table import BATCHES, NOWHERE, STARTS, all_found, severities


@pytest.mark.parametrize("name", CHECKS)
def test_every_severity_of_every_check_is_made_in_the_sandbox(name: str) -> None:
    made = all_found()
    for severity in severities(CHECKS[name]):
        assert ((name, severity) in made) != ((name, severity) in NOWHERE), (name, severity)


def test_what_is_made_is_in_the_catalogue() -> None:
    for name, severity in all_found():
        assert severity == "pass" or severity in severities(CHECKS[name]), (name, severity)
    assert all(NOWHERE.values())


def test_the_faults_are_the_sandboxes() -> None:
    faults = [fault for batch in BATCHES.values() for fault, _found in batch] + [fault for fault, _ in STARTS.values()]
    assert {fault["kind"] for fault in faults} <= set(HOST_KINDS)
    assert [said for fault in faults if (said := complaint(fault)) is not None] == []
