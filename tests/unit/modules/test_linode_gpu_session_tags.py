# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.host_key import to_openssh
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.lease_note import lost
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import decode, with_doom
from ansible_collections.linode_coder.gpu.plugins.modules import linode_gpu_session_tags
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


@pytest.fixture
def short_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linode_gpu_session_tags, "VERIFY_S", 0.2)
    monkeypatch.setattr(linode_gpu_session_tags, "IN_FLIGHT_S", 0.3)


@pytest.mark.usefixtures("short_verify")
def test_extending_moves_the_end_and_takes_a_mark_back(api: ScriptedLinode, run: Any, tags: list[str]) -> None:
    end = decode(tags).lease_end
    row = api.add("lc-demo-1", with_doom([*tags, "team-red"], int(time.time()) + 60))
    assert run("linode_gpu_session_tags", check=True, session="demo", extend="30m")["changed"] is True
    done = run("linode_gpu_session_tags", session="demo", extend="30m")
    assert done["session"]["doomed"] is None
    assert decode(row["tags"]).lease_end == end + 1800
    assert "team-red" in row["tags"]
    until = done["session"]["lease_end"]
    assert run("linode_gpu_session_tags", session="demo", extend_until=until)["changed"] is False
    over = run("linode_gpu_session_tags", session="demo", extend="2h")["failure"]
    assert (over["kind"], over["field"]) == ("refused", "extend")
    assert decode(row["tags"]).lease_end == end + 1800


@pytest.mark.usefixtures("short_verify")
def test_healing_and_idle_deletion_pause(api: ScriptedLinode, run: Any, tags: list[str]) -> None:
    api.add("lc-demo-1", tags)
    assert run("linode_gpu_session_tags", session="demo", pause="1h")["session"]["paused_until"]
    assert run("linode_gpu_session_tags", session="demo", pause="clear")["session"]["paused_until"] is None
    assert run("linode_gpu_session_tags", session="demo", pause="clear")["changed"] is False
    cap = decode(tags).hard_cap
    assert cap is not None
    longest = run("linode_gpu_session_tags", session="demo", pause="5d")["session"]
    assert longest["paused_until"] == longest["hard_cap"] == format_time(cap)
    short = run("linode_gpu_session_tags", session="demo", pause="0s")["failure"]
    assert (short["kind"], short["field"]) == ("usage", "pause")


@pytest.mark.usefixtures("short_verify")
def test_clocks_are_noted_on_the_firewall_and_doing_without_is_said(
    api: ScriptedLinode, run: Any, tags: list[str]
) -> None:
    api.add("lc-demo-1", tags)
    alone = run("linode_gpu_session_tags", session="demo", extend="5m")
    assert "not noted a second time" in alone["warnings"][-1]
    tagged = ["Linode-Coder", "LC:session:demo", "team-red"]
    wall = {"id": 5, "label": "lc-demo", "status": "enabled", "rules": {}, "tags": tagged}
    api.firewalls[5] = wall
    done = run("linode_gpu_session_tags", session="demo", extend="5m", pause="1h")
    now = int(time.time())
    bare = decode(tags)
    assert lost(bare, wall["tags"], now).keys() == {"lease_end", "doom", "pause"}
    assert format_time(lost(bare, wall["tags"], now)["lease_end"]) == done["session"]["lease_end"]
    assert "team-red" in wall["tags"] and len(wall["tags"]) == 5
    run("linode_gpu_session_tags", session="demo", pause="clear")
    assert lost(bare, wall["tags"], now).keys() == {"lease_end", "doom"}
    # The note is of this session, and of none of the same name later on.
    later = decode([tag for tag in tags if not tag.startswith("lc:cap:")] + ["lc:cap:1900000000"])
    assert later.complete and lost(later, wall["tags"], now) == {}


@pytest.mark.usefixtures("short_verify")
def test_an_extension_that_a_watcher_wrote_over_is_written_again(
    api: ScriptedLinode, run: Any, tags: list[str]
) -> None:
    row = api.add("lc-demo-1", list(tags))
    end = decode(tags).lease_end

    def watcher() -> None:
        while decode(row["tags"]).lease_end == end:
            time.sleep(0.005)
        row["tags"] = with_doom(tags, 1)  # what it had read before

    thread = threading.Thread(target=watcher)
    thread.start()
    run("linode_gpu_session_tags", session="demo", extend="30m")
    thread.join()
    assert decode(row["tags"]).lease_end == end + 1800
    assert decode(row["tags"]).doom is None
