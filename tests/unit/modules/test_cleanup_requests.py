# SPDX-License-Identifier: GPL-3.0-or-later
"""How often `cleanup` asks: what one more dead resource adds must not depend on how large the account is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER
from scripted_linode import ScriptedLinode

Run = Callable[..., dict[str, Any]]


def walls(api: ScriptedLinode, count: int) -> list[str]:
    """Firewalls of sessions that are gone."""
    labels = [f"lc-gone{number}" for number in range(count)]
    for number, label in enumerate(labels, 1):
        api.firewalls[number] = {
            **{"id": number, "label": label, "tags": [MARKER], "entities": [], "rules": {}, "status": "enabled"},
            "created": "2026-01-01T00:00:00",
        }
    return labels


def lists(api: ScriptedLinode) -> int:
    return api.count("GET", "^(linode/instances|networking/firewalls)$")


def test_the_account_is_not_read_again_for_each_of_many(run: Run, api: ScriptedLinode, tags: list[str]) -> None:
    for number in range(1200):  # three pages
        api.add(f"lc-other{number}-1", tags, created="2026-01-01T00:00:00")
    labels = walls(api, 20)
    assert sorted(run("linode_gpu_cleanup", remove=labels)["removed"]) == sorted(labels)
    # Once for what there is; then for each one page: a VM that may have been made under its name by now.
    assert lists(api) == 3 + 1 + len(labels)


@pytest.mark.parametrize("how", ["label", "tag"])
def test_a_firewall_whose_session_has_a_vm_by_now_stays(
    run: Run, api: ScriptedLinode, tags: list[str], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (label,) = walls(api, 1)
    answer, asked = api.answer, []

    def made_meanwhile(call: Any) -> Any:
        asked.append(call.path)
        if asked.count("linode/instances") == 2 and not api.instances:
            mine = [tag.replace("lc:session:demo", "lc:session:gone0") for tag in tags]
            api.add("lc-gone0-1" if how == "label" else "renamed", [MARKER] if how == "label" else mine)
        return answer(call)

    monkeypatch.setattr(api, "answer", made_meanwhile)
    assert run("linode_gpu_cleanup", remove=[label])["removed"] == []
    assert 1 in api.firewalls


def test_vms_are_asked_for_before_any_is_waited_for(run: Run, api: ScriptedLinode) -> None:
    rows = [api.add(f"lc-orphan{number}-1", [MARKER], created="2026-01-01T00:00:00") for number in range(3)]
    done = run("linode_gpu_cleanup", remove=[row["label"] for row in rows])
    assert sorted(done["removed"]) == sorted(row["label"] for row in rows)
    methods = [call.method for call in api.calls if call.path.startswith("linode/instances/")]
    last = len(methods) - 1 - methods[::-1].index("DELETE")
    # A look before each deletion, and none in between to see whether it is over.
    assert methods[: last + 1] == ["GET", "DELETE"] * 3
