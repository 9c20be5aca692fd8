# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a team's gateway: keys on the control node, hashes on the gateway, and what its log says of them."""

from __future__ import annotations

import gzip
import json
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.people import (
    hash_of,
    read_people,
    validate_people,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.team_usage import Total

from tests.hostile import CORPUS

Call = Callable[..., dict[str, Any]]
ENTRY = {
    "at": 1000.5,
    "person": "ada",
    "endpoint": "messages",
    "status": 200,
    "seconds": 1.25,
    "bytes": 9,
    "from": "192.0.2.7",
}
ENTRY |= {"tokens_in": "7", "tokens_out": "3"}


def test_people_come_and_go_and_the_others_keep_their_keys(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "people.map"

    def people(*names: str, check: bool = False, **hashes: str) -> dict[str, Any]:
        return call("team_people", check=check, people=list(names), hashes=hashes, path=str(path))

    planned = people("bob", "ada", check=True)
    assert (planned["changed"], planned["added"], path.exists()) == (True, ["ada", "bob"], False)
    refused = people("ada", "bob", ada=hash_of("a"))
    assert (refused["failure"]["field"], path.exists()) == ("hashes", False)
    assert people("ada", ada='0" admin; "1')["failure"]["field"] == "hashes"
    made = people("ada", "bob", ada=hash_of("a"), bob=hash_of("b"))
    assert made["changed"] and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made["diff"]["after"] == path.read_text() == f'"{hash_of("a")}" ada;\n"{hash_of("b")}" bob;\n'
    # Neither again, nor with another key, nor in another order.
    assert people("bob", "ada", ada=hash_of("other"))["changed"] is False
    path.chmod(0o644)
    assert people("ada", "bob")["changed"] is True and stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    assert people("ada", check=True)["removed"] == ["bob"] and path.read_text() == before
    gone = people("ada")
    assert (gone["removed"], read_people(path.read_text())) == (["bob"], {"ada": hash_of("a")})
    # Who comes back has a new key.
    assert people("ada", "bob")["failure"]["field"] == "hashes"
    assert people()["removed"] == ["ada"] and path.read_text() == ""


def test_lines_that_somebody_else_wrote_are_nobodys(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "people.map"
    path.write_text(f'"{hash_of("a")}" ada;\ndefault root;\n"" mallory;\n"{hash_of("b")[:-1]}" bob;\n')
    mended = call("team_people", people=["ada"], path=str(path))
    assert mended["changed"] and path.read_text() == f'"{hash_of("a")}" ada;\n'


@pytest.mark.parametrize(
    "name", ["", "Ada", "a b", "a;b", 'a"', "../a", "a..b", "-a", "a" * 80, "default", "grün", "a\n", "$a"]
)
def test_names_are_words_of_nginx_and_of_paths(name: str) -> None:
    with pytest.raises(Failure) as refused:
        validate_people(["ada", name])
    assert refused.value.field == "people"


def test_no_hostile_text_is_a_name_or_changes_the_map() -> None:
    for text in CORPUS.values():
        try:
            assert all(re.fullmatch("[a-z0-9._-]+", name) for name in validate_people([text])), text
        except Failure as refused:
            assert refused.field == "people"
        assert read_people(text) == {}


def test_keys_are_made_anew_and_kept_for_their_owner(call: Call, tmp_path: Path) -> None:
    wanted = {"gateway": "team.example.org", "people": ["ada", "bob"]}
    planned = call("team_keys", check=True, **wanted)
    assert (planned["changed"], planned["hashes"]) == (True, {}) and not Path(planned["files"]["ada"]).exists()
    made = call("team_keys", **wanted)
    files = {name: Path(path) for name, path in made["files"].items()}
    keys = {name: path.read_text().strip() for name, path in files.items()}
    assert made["hashes"] == {name: hash_of(key) for name, key in keys.items()}
    assert all(len(key) == 40 and key.isalnum() for key in keys.values()) and len(set(keys.values())) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    assert {stat.S_IMODE(path.parent.stat().st_mode) for path in files.values()} == {0o700}
    # A file that was left behind never opens again.
    again = call("team_keys", **wanted)
    assert not set(again["hashes"].values()) & set(made["hashes"].values())
    assert not any(key in json.dumps([planned, made, again]) for key in keys.values())
    assert call("team_keys", gateway="team", people=[])["changed"] is False
    assert call("team_keys", gateway="../team", people=["ada"])["failure"]["field"] == "gateway"


def test_the_log_is_added_up_with_what_was_put_away(call: Call, tmp_path: Path) -> None:
    now = time.time()
    recent, old = {**ENTRY, "at": now - 60}, {**ENTRY, "at": now - 3 * 86400}
    (tmp_path / "access.log").write_text(
        json.dumps(recent) + "\n" + json.dumps({**recent, "person": "", "status": 401}) + "\n"
    )
    (tmp_path / "access.log.1").write_text(json.dumps(old) + "\nnonsense\n")
    with gzip.open(tmp_path / "access.log.2.gz", "wt") as file:
        file.write(json.dumps({**old, "person": "bob", "tokens_out": "30"}) + "\n")
    for check in (True, False):
        day = call("team_usage", check=check, directory=str(tmp_path), days=1)
        assert (day["changed"], day["refused"], [row["person"] for row in day["people"]]) == (False, 1, ["ada"])
        assert (day["people"][0]["requests"], day["people"][0]["tokens_out"]) == (1, 3)
    month = call("team_usage", directory=str(tmp_path))
    assert [(row["person"], row["requests"], row["tokens_in"], row["tokens_out"]) for row in month["people"]] == [
        ("bob", 1, 7, 30),
        ("ada", 2, 14, 6),
    ]
    (tmp_path / "access.log.2.gz").write_bytes(b"\x1f\x8b\x08damaged")
    assert "cannot be read" in call("team_usage", directory=str(tmp_path))["msg"]


def total(*entries: dict[str, Any]) -> Total:
    found = Total()
    found.add([json.dumps(entry) for entry in entries], 0)
    return found


@pytest.mark.parametrize(
    ("changed", "counted"),
    [
        ({}, {"answered": 1, "uncounted": 0}),
        ({"tokens_in": "", "tokens_out": ""}, {"answered": 1, "uncounted": 1}),
        ({"tokens_in": "", "tokens_out": "", "status": 499}, {"answered": 0, "uncounted": 1}),
        ({"tokens_in": "", "tokens_out": "", "endpoint": "models"}, {"answered": 1, "uncounted": 0}),
        ({"tokens_in": "", "tokens_out": "", "status": 429}, {"limited": 1, "answered": 0, "uncounted": 0}),
        ({"tokens_in": "", "tokens_out": "", "status": 503}, {"failed": 1, "answered": 0, "uncounted": 0}),
        ({"tokens_in": "", "tokens_out": "", "status": 404}, {"failed": 0, "answered": 0, "uncounted": 0}),
    ],
)
def test_what_a_request_counts_as(changed: dict[str, Any], counted: dict[str, int]) -> None:
    (row,) = total(ENTRY | changed).as_rows()
    assert row["requests"] == 1 and {name: row[name] for name in counted} == counted


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "200"},
        {"status": True},
        {"at": None},
        {"tokens_in": "-1"},
        {"tokens_out": "9" * 99},
        {"tokens_in": "٣"},
        {"person": 7},
    ],
)
def test_what_is_no_entry_is_left_out(changed: dict[str, Any]) -> None:
    assert total(ENTRY | changed, ENTRY).as_rows() == total(ENTRY).as_rows()


def test_no_hostile_text_is_an_entry() -> None:
    found = Total()
    found.add([*CORPUS.values(), "[" * 4000, "{" * 9999, "null", "[]", "1"], 0)
    assert found.as_rows() == [] and found.refused == 0
