# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and directories of a VM: what is written, what is said of it, and what is never shown."""

from __future__ import annotations

import grp
import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.linode_coder.gpu.plugins.modules import host_files

OWN = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}
SECRET = "planted-secret-content"
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def keep(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*files: dict[str, Any], check: bool = False) -> dict[str, Any]:
        given = {"files": [OWN | file for file in files], "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(given), pytest.raises(SystemExit):
            host_files.main()
        out = capsys.readouterr().out
        assert SECRET not in out
        return dict(json.loads(out))

    return call


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_directory_and_what_is_in_it_in_one_run(keep: Run, tmp_path: Path) -> None:
    base = tmp_path / "made" / "deep"
    wanted = [
        {"path": str(base), "state": "directory", "mode": "0700"},
        {"path": str(base / "a"), "content": "one\n"},
        {"path": str(base / "b"), "content": "two\n", "mode": "0755"},
    ]
    would = keep(*wanted, check=True)
    assert would["paths"] == would["created"] == [str(base), str(base / "a"), str(base / "b")]
    assert not base.parent.exists()
    first = keep(*wanted)
    assert (first["changed"], first["diff"]) == (True, would["diff"])
    # Parents that are missing are no more open than what is in them.
    assert (mode(base.parent), mode(base), mode(base / "a"), mode(base / "b")) == (0o700, 0o700, 0o644, 0o755)
    again = keep(*wanted)
    assert (again["changed"], again["paths"], again["diff"]) == (False, [], [])


def test_only_what_differs_is_written_and_shown(keep: Run, tmp_path: Path) -> None:
    same, other, loose = tmp_path / "same", tmp_path / "other", tmp_path / "loose"
    for path in (same, other, loose):
        path.write_text("before {{ braces }}\n")
        path.chmod(0o644)
    loose.chmod(0o666)
    before = same.stat().st_ino
    found = keep(
        {"path": str(same), "content": "before {{ braces }}\n"},
        {"path": str(other), "content": "after {{ braces }}\n"},
        {"path": str(loose), "content": "before {{ braces }}\n"},
    )
    assert (found["paths"], found["created"]) == ([str(other), str(loose)], [])
    text, attributes = found["diff"]
    assert (text["before"], text["after"]) == ("before {{ braces }}\n", "after {{ braces }}\n")
    assert (attributes["before"]["mode"], attributes["after"]["mode"]) == ("0666", "0644")
    assert same.stat().st_ino == before
    assert other.read_text() == "after {{ braces }}\n" and mode(loose) == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loose", "other", "same"]


def test_a_secret_is_kept_and_never_shown(keep: Run, tmp_path: Path) -> None:
    path = tmp_path / "token"
    wanted = {"path": str(path), "secret": SECRET, "mode": "0600"}
    assert keep(wanted, check=True)["changed"] and not path.exists()
    assert keep(wanted)["created"] == [str(path)]
    assert (path.read_text(), mode(path)) == (SECRET, 0o600)
    assert not keep(wanted)["changed"]
    path.write_text("another-one-that-nobody-shows")
    found = keep(wanted)
    assert found["paths"] == [str(path)] and "nobody-shows" not in json.dumps(found)
    assert path.read_text() == SECRET


def test_a_key_is_made_once(keep: Run, tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    wanted = {"path": str(path), "content": "KEY=", "key_length": 40, "mode": "0600"}
    assert keep(wanted, check=True)["changed"] and not path.exists()
    found = keep(wanted)
    key = path.read_text()
    assert len(key) == len("KEY=") + 41 and key.startswith("KEY=") and key[4:-1].isalnum()
    assert key[4:-1] not in json.dumps(found)
    path.chmod(0o644)
    assert keep(wanted)["paths"] == [str(path)]
    assert (path.read_text(), mode(path)) == (key, 0o600)
    path.unlink()
    keep(wanted)
    assert path.read_text() != key


def test_a_key_is_written_where_another_program_reads_it(keep: Run, tmp_path: Path) -> None:
    path, other = tmp_path / "secrets.env", tmp_path / "proxy_key.conf"
    key = {"path": str(path), "content": "KEY=", "key_length": 40, "mode": "0600"}
    copy = {"path": str(other), "content": '"~^{key}$" 1;\n', "key_from": str(path), "mode": "0600"}
    assert keep(key, copy, check=True)["paths"] == [str(path), str(other)]
    assert not path.exists() and not other.exists()
    assert "No such file" in keep(copy)["msg"]
    first = keep(key, copy)
    made = path.read_text().strip().removeprefix("KEY=")
    assert (other.read_text(), mode(other)) == (f'"~^{made}$" 1;\n', 0o600)
    assert made not in json.dumps(first)
    assert not keep(key, copy)["changed"]
    # With a new key comes a new copy, and nobody is shown either.
    path.write_text(f"KEY={SECRET}\n")
    assert keep(key, copy)["paths"] == [str(other)]
    assert other.read_text() == f'"~^{SECRET}$" 1;\n'
    for odd in ('x" 1; default 1; "', "x.*", "", "a b", "x\\"):
        path.write_text(f"KEY={odd}\n")
        found = keep(key, copy)
        assert found["failed"] and "remove it to get a new one" in found["msg"]
        assert other.read_text() == f'"~^{SECRET}$" 1;\n'


def test_what_is_not_wanted_goes(keep: Run, tmp_path: Path) -> None:
    tree, file = tmp_path / "tree", tmp_path / "file"
    (tree / "deep").mkdir(parents=True)
    file.touch()
    wanted = [{"path": str(path), "state": "absent"} for path in (tree, file, tmp_path / "never")]
    assert keep(*wanted, check=True)["paths"] == [str(tree), str(file)]
    assert tree.exists() and file.exists()
    assert keep(*wanted)["paths"] == [str(tree), str(file)]
    assert list(tmp_path.iterdir()) == []


def test_links(keep: Run, tmp_path: Path) -> None:
    """A file takes the place of a link and leaves its target alone; a linked directory is one."""
    target, link, directory = tmp_path / "target", tmp_path / "link", tmp_path / "directory"
    target.write_text("theirs")
    link.symlink_to(target)
    (tmp_path / "real").mkdir(mode=0o755)
    directory.symlink_to(tmp_path / "real")
    assert keep({"path": str(link), "content": "ours"})["changed"]
    assert (target.read_text(), link.read_text(), link.is_symlink()) == ("theirs", "ours", False)
    assert not keep({"path": str(directory), "state": "directory"})["changed"]


@pytest.mark.parametrize("check", [False, True])
def test_something_else_in_its_place_is_left_there(keep: Run, tmp_path: Path, check: bool) -> None:
    file, directory = tmp_path / "file", tmp_path / "directory"
    file.write_text("kept")
    directory.mkdir()
    for wanted in ({"path": str(file), "state": "directory"}, {"path": str(directory), "content": "x"}):
        failed = keep(wanted, check=check)
        assert failed["failed"] and f"{wanted['path']} is there, but it is no" in failed["msg"]
    assert file.read_text() == "kept" and directory.is_dir()


def test_a_missing_directory_is_named_and_nothing_else_happens(keep: Run, tmp_path: Path) -> None:
    failed = keep(
        {"path": str(tmp_path / "no" / "file"), "content": "x"}, {"path": str(tmp_path / "b"), "content": "x"}
    )
    assert failed["failed"] and str(tmp_path / "no" / "file") in failed["msg"]
    assert list(tmp_path.iterdir()) == []


def test_what_makes_no_sense_is_refused(keep: Run, tmp_path: Path) -> None:
    assert "content" in keep({"path": str(tmp_path / "a")})["msg"]
    assert "mutually exclusive" in keep({"path": str(tmp_path / "a"), "content": "x", "secret": SECRET})["msg"]
    assert keep({"path": str(tmp_path / "a"), "content": "x", "owner": "nobody-of-that-name"})["failed"]
    assert list(tmp_path.iterdir()) == []
