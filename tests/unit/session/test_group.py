# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sessions are a group, how they are called, and which names clash."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.group import (
    MAX_REPLICAS,
    check_clash,
    check_member,
    is_group,
    members,
    wanted_members,
)

from tests.hostile import CORPUS


def view(name: str, group: str | None = None, status: str = "running") -> dict[str, Any]:
    return {"name": name, "group": group, "status": status, "label": f"lc-{name}-1"}


TEAM = [view("team-10", "team"), view("team-2", "team"), view("other"), view("team-1", "team")]


def test_members_are_in_the_order_of_their_numbers() -> None:
    assert [one["name"] for one in members(TEAM, "team")] == ["team-1", "team-2", "team-10"]
    assert members([view("team-1", "team", "deleting")], "team") == []


def test_a_session_goes_before_a_group_of_its_name() -> None:
    assert is_group(TEAM, "team") and not is_group(TEAM, "other") and not is_group(TEAM, None)
    assert not is_group([*TEAM, view("team")], "team")


@pytest.mark.parametrize(
    ("views", "replicas", "names"),
    [
        ([], 2, ["team-1", "team-2"]),
        (TEAM, 3, ["team-1", "team-2", "team-10"]),
        (TEAM, 5, ["team-1", "team-2", "team-3", "team-4", "team-10"]),
        ([view("team-2", "team")], 2, ["team-1", "team-2"]),
    ],
)
def test_what_is_missing_takes_the_lowest_free_numbers(
    views: list[dict[str, Any]], replicas: int, names: list[str]
) -> None:
    assert wanted_members(views, "team", replicas) == names


def test_fewer_is_for_a_person_to_say() -> None:
    with pytest.raises(Failure, match="has 3 sessions: team-1, team-2, team-10") as caught:
        wanted_members(TEAM, "team", 1)
    assert caught.value.kind == "usage"
    assert caught.value.remedy is not None
    assert "linode-coder down team-2; linode-coder down team-10" in caught.value.remedy


@pytest.mark.parametrize("replicas", [0, -1, MAX_REPLICAS + 1])
def test_a_number_that_is_none(replicas: int) -> None:
    with pytest.raises(Failure, match="no number of sessions") as caught:
        wanted_members([], "team", replicas)
    assert (caught.value.kind, caught.value.field) == ("usage", "replicas")


@pytest.mark.parametrize("session", ["team", "team-", "team-0", "team-01", "team-100", "team-x", "teams-1", "x-team-1"])
def test_how_no_member_is_called(session: str) -> None:
    with pytest.raises(Failure) as caught:
        check_member("team", session)
    assert caught.value.kind == "usage" and caught.value.remedy


@pytest.mark.parametrize("text", CORPUS.values())
def test_a_foreign_text_is_no_group(text: str) -> None:
    with pytest.raises(Failure):
        check_member(text, f"{text}-1")


@pytest.mark.parametrize(
    ("existing", "session", "group", "says"),
    [
        (TEAM, "team", None, "is the name of a group of 3 sessions"),
        ([view("team")], "team-1", "team", "There is a session team"),
        ([view("team-1")], "team-1", "team", "is not of the group team"),
        ([view("a-1-1", "a-1")], "a-1-1", "a-1", None),
        (TEAM, "team-1", "team", None),
        (TEAM, "team-1", None, None),
        ([view("team", None, "deleting")], "team-1", "team", None),
    ],
)
def test_names_that_clash(existing: list[dict[str, Any]], session: str, group: str | None, says: str | None) -> None:
    if says is None:
        check_clash(existing, session, group)
        return
    with pytest.raises(Failure, match=says) as caught:
        check_clash(existing, session, group)
    assert caught.value.kind == "conflict" and caught.value.remedy


def test_a_name_that_leaves_no_room_for_a_number() -> None:
    with pytest.raises(Failure, match="cannot be used"):
        wanted_members([], "a" * 24, 2)
