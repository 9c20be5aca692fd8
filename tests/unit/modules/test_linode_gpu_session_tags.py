# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.host_key import to_openssh
from ansible_collections.linode_coder.gpu.plugins.module_utils.session_tags import decode
from scripted_linode import Fault, ScriptedLinode

NEXT = bytes(reversed(range(32)))


def test_host_key_replacement_keeps_both_keys_in_between(api: ScriptedLinode, run: Any, tags: list[str]) -> None:
    row = api.add("lc-demo-1", [*tags, "team-red"])
    old = decode(tags).host_key

    assert run("linode_gpu_session_tags", check=True, session="demo", next_host_key=to_openssh(NEXT))["changed"] is True
    assert api.count("PUT") == 0

    announced = run("linode_gpu_session_tags", session="demo", next_host_key=to_openssh(NEXT))
    assert announced["session"]["host_keys"] == [to_openssh(old), to_openssh(NEXT)]
    assert to_openssh(NEXT) in announced["connection"]["ansible_ssh_common_args"]
    assert run("linode_gpu_session_tags", session="demo", next_host_key=to_openssh(NEXT))["changed"] is False

    done = run("linode_gpu_session_tags", session="demo", host_key=to_openssh(NEXT))
    assert done["session"]["host_keys"] == [to_openssh(NEXT)]
    assert "team-red" in row["tags"]


def test_lost_answer_is_repeated(api: ScriptedLinode, run: Any, tags: list[str]) -> None:
    row = api.add("lc-demo-1", tags)
    api.faults.append(Fault("PUT", f"linode/instances/{row['id']}", 502, after=True))
    assert run("linode_gpu_session_tags", session="demo", model="org/Other")["session"]["model"] == "org/Other"


def test_refusals_have_one_sentence(api: ScriptedLinode, run: Any, tags: list[str]) -> None:
    assert run("linode_gpu_session_tags", session="demo", model="x")["failure"]["kind"] == "not_found"
    row = api.add("lc-demo-1", tags[:-1])
    incomplete = run("linode_gpu_session_tags", session="demo", model="x")["failure"]
    assert (incomplete["kind"], "host_key" in incomplete["message"]) == ("conflict", True)
    row["tags"] = tags
    bad = run("linode_gpu_session_tags", session="demo", host_key="ssh-rsa AAAA")["failure"]
    assert (bad["kind"], bad["field"]) == ("usage", "host_key")
    api.add("lc-demo-2", tags)
    assert run("linode_gpu_session_tags", session="demo", model="x")["failure"]["kind"] == "conflict"
    assert api.count("PUT") == 0
