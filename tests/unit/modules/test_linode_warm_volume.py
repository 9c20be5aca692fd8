# SPDX-License-Identifier: GPL-3.0-or-later
"""The volume of a model and region: made once, adopted after an unclear answer, and nobody else's ever touched."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.warm_volume import (
    is_warm,
    warm_label,
    warm_tags,
    warm_volume,
)
from ansible_collections.linode_coder.gpu.plugins.modules import linode_warm_volume
from scripted_linode import Fault, ScriptedLinode

from tests.hostile import CORPUS

MODEL = "org/Coder-7B"
LABEL = warm_label(MODEL, "us-ord")
DIGEST = "0f" * 20
Run = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linode_warm_volume, "SETTLE_S", (0.01, 0.02))


@pytest.fixture
def vm(api: ScriptedLinode, tags: list[str]) -> dict[str, Any]:
    return api.add("lc-demo-1", tags)


@pytest.fixture
def attach(run: Run, vm: dict[str, Any]) -> Run:
    """The module for this VM."""

    def call(**more: Any) -> dict[str, Any]:
        given = {"model": MODEL, "region": "us-ord", "linode_id": vm["id"], "size_gb": 76, "owner": "ada"}
        return run("linode_warm_volume", **(given | more))

    return call


def kept(api: ScriptedLinode, **more: Any) -> dict[str, Any]:
    """A whole volume that no VM has."""
    return api.add_volume(LABEL, warm_tags(MODEL, "ada", 0.1, 1_700_000_000, 1_700_000_000, DIGEST), **more)


def test_without_one_it_is_missing_and_none_is_made_unasked(attach: Run, api: ScriptedLinode) -> None:
    found = attach()
    assert (found["outcome"], found["changed"], found["volume"], api.volumes) == ("missing", False, None, {})


def test_check_mode_says_what_would_be_made(attach: Run, api: ScriptedLinode) -> None:
    planned = attach(create=True, check=True)
    assert (planned["changed"], api.volumes) == (True, {})
    after = planned["diff"]["after"]
    assert (after["label"], after["size"], after["monthly"], after["encryption"]) == (LABEL, 76, 7.6, "enabled")


def test_it_is_made_with_its_tags_attached_and_encrypted_in_one_call(attach: Run, api: ScriptedLinode) -> None:
    made = attach(create=True)
    assert (made["outcome"], made["digest"], made["actions"]) == ("attached", "", [f"made {LABEL}"])
    create = next(call for call in api.calls if (call.method, call.path) == ("POST", "volumes"))
    assert is_warm(create.body) and create.body["encryption"] == "enabled" and create.body["linode_id"]
    again = attach(create=True)
    assert (again["outcome"], again["changed"]) == ("attached", False)
    assert api.count("POST", "^volumes$") == 1


def test_no_encryption_where_the_region_has_none(attach: Run, api: ScriptedLinode) -> None:
    region = next(row for row in api.catalogue["regions"] if row["id"] == "us-ord")
    region["capabilities"].remove("Block Storage Encryption")
    assert attach(create=True)["volume"]["encrypted"] is False
    region["capabilities"].remove("Block Storage")
    api.volumes.clear()
    nowhere = attach(create=True)
    assert (nowhere["outcome"], "has no Block Storage" in nowhere["sentence"]) == ("missing", True)


def test_an_unclear_answer_after_the_commit_adopts_the_one_volume(attach: Run, api: ScriptedLinode) -> None:
    for status in (500, 0, 408):
        api.volumes.clear()
        api.faults = [Fault("POST", "volumes", status, after=True)]
        adopted = attach(create=True)
        assert (adopted["outcome"], len(api.volumes)) == ("attached", 1)
        assert adopted["actions"][0].startswith(f"adopted {LABEL}")


def test_an_unclear_create_is_never_sent_again(attach: Run, api: ScriptedLinode) -> None:
    api.faults = [Fault("POST", "volumes", 500)]
    assert attach(create=True)["failure"]["kind"] == "ambiguous"
    assert (api.count("POST", "^volumes$"), api.volumes) == (1, {})


def test_a_vm_that_has_weights_of_its_own_gets_none(attach: Run, api: ScriptedLinode) -> None:
    late = attach(create=True, attach=False)
    assert (late["outcome"], late["changed"], "weights of its own" in late["sentence"]) == ("missing", False, True)
    assert api.volumes == {}


def test_a_create_that_cannot_be_looked_up_says_what_may_bill(attach: Run, api: ScriptedLinode) -> None:
    api.faults = [Fault("POST", "volumes", 500, after=True)]
    plain = api.answer

    def answer(call: Any) -> Any:
        if call.method == "POST" and call.path == "volumes":
            api.faults.append(Fault("GET", "volumes", 401, "Invalid Token", count=9))
        return plain(call)

    api.answer = answer  # type: ignore[method-assign]
    failure = attach(create=True)["failure"]
    assert failure["kind"] == "ambiguous" and f"warm drop {LABEL}" in failure["billing"][0]
    assert api.count("POST", "^volumes$") == 1


def test_a_kept_one_is_attached_and_its_use_noted(attach: Run, api: ScriptedLinode, vm: dict[str, Any]) -> None:
    row = kept(api)
    assert attach(attach=False)["outcome"] == "free" and row["linode_id"] is None
    planned = attach(check=True)
    assert (planned["changed"], row["linode_id"]) == (True, None)
    found = attach()
    assert (found["outcome"], found["digest"], row["linode_id"]) == ("attached", DIGEST, vm["id"])
    assert found["device"] == f"/dev/disk/by-id/scsi-0Linode_Volume_{LABEL}"
    used = warm_volume(row).used
    assert used is not None and time.time() - used < 60
    assert attach()["changed"] is False


def test_the_spelling_of_tags_does_not_matter(attach: Run, api: ScriptedLinode) -> None:
    row = kept(api)
    row["tags"] = [tag.upper() for tag in row["tags"]]
    assert attach()["outcome"] == "attached"


def test_one_that_another_vm_has_is_left_to_it(attach: Run, api: ScriptedLinode, tags: list[str]) -> None:
    other = api.add("lc-other-1", tags)
    row = kept(api, linode_id=other["id"], linode_label="lc-other-1")
    busy = attach(create=True)
    assert (busy["outcome"], busy["changed"], row["linode_id"]) == ("busy", False, other["id"])
    assert "in use by lc-other-1" in busy["sentence"]


def test_of_two_that_ask_at_once_one_has_it(attach: Run, api: ScriptedLinode, tags: list[str]) -> None:
    row, other, plain = kept(api), api.add("lc-other-1", tags), api.answer

    def answer(call: Any) -> Any:
        if call.path.endswith("/attach"):  # the other one was quicker
            row.update(linode_id=other["id"], linode_label="lc-other-1")
        return plain(call)

    api.answer = answer  # type: ignore[method-assign]
    lost = attach()
    assert (lost["outcome"], "failure" in lost, row["linode_id"]) == ("busy", False, other["id"])


@pytest.mark.parametrize(
    "foreign", [[], ["linode-coder"], ["lc:warm:1"], ["linode-coder", "lc:warm:1"], list(CORPUS.values())[:8]]
)
def test_what_is_not_ours_is_never_touched(attach: Run, run: Run, api: ScriptedLinode, foreign: list[str]) -> None:
    row = api.add_volume(LABEL, list(foreign))
    before = json.dumps(row)
    found = attach(create=True)
    assert (found["outcome"], found["changed"], found["volume"]) == ("foreign", False, None)
    if not is_warm(row):
        assert run("linode_warm_volume", state="absent", name=LABEL)["failure"]["kind"] == "conflict"
    assert json.dumps(row) == before and {call.method for call in api.calls} == {"GET"}


def test_recorded_keeps_the_digest_in_the_tags(attach: Run, api: ScriptedLinode) -> None:
    attach(create=True)
    assert attach(state="recorded", digest="nonsense")["failure"]["field"] == "digest"
    assert attach(state="recorded", digest=DIGEST, check=True)["changed"]
    done = attach(state="recorded", digest=DIGEST)
    (row,) = api.volumes.values()
    assert (done["outcome"], warm_volume(row).digest, warm_volume(row).filled is not None) == ("recorded", DIGEST, True)
    row["tags"].append("of-a-person")
    assert attach(state="recorded", digest=DIGEST)["changed"] is False
    attach(state="recorded", digest="1e" * 20)
    assert (warm_volume(row).digest, "of-a-person" in row["tags"]) == ("1e" * 20, True)


def test_absent_deletes_what_no_vm_has_and_only_a_404_counts(run: Run, api: ScriptedLinode, vm: dict[str, Any]) -> None:
    gone = run("linode_warm_volume", state="absent", name=LABEL)
    assert (gone["changed"], gone["outcome"]) == (False, "absent")
    row = kept(api, linode_id=vm["id"], linode_label="lc-demo-1")
    assert run("linode_warm_volume", state="absent", name=LABEL)["failure"]["kind"] == "busy"
    row.update(linode_id=None, linode_label=None)
    assert run("linode_warm_volume", check=True, state="absent", name=LABEL)["changed"] and api.volumes
    api.faults = [Fault("DELETE", "volumes/.*", 502)]
    done = run("linode_warm_volume", state="absent", name=LABEL)
    assert (done["changed"], api.volumes, api.count("DELETE")) == (True, {}, 2)


def test_the_price_stands_before_the_budget(attach: Run, api: ScriptedLinode, vm: dict[str, Any]) -> None:
    # The VM's first hour goes into it, and not one hour of a volume: also at the end of a month.
    spent = attach(create=True, budget=0.525)
    assert (spent["failure"]["field"], api.volumes) == ("budget", {})
    allowed = attach(create=True, budget=99.0)
    assert allowed["budget"]["adds"] <= 7.6 and allowed["outcome"] == "attached"
    api.volumes.clear()
    api.catalogue["types"] = []
    plain = api.answer
    api.answer = lambda call: api._page([], call) if call.path == "volumes/types" else plain(call)  # type: ignore[method-assign]
    assert "names no price" in attach(create=True)["failure"]["message"]
    assert not api.volumes


def test_info_lists_ours_with_what_may_go(run: Run, api: ScriptedLinode) -> None:
    kept(api)
    api.add_volume("of-a-person", ["linode-coder"])
    (found,) = run("linode_warm_volume_info")["volumes"]
    assert (found["name"], found["monthly"], found["model"]) == (LABEL, 7.6, MODEL)
    assert run("linode_warm_volume_info", model="org/Other")["volumes"] == []
