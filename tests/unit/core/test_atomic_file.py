# SPDX-License-Identifier: GPL-3.0-or-later
"""A file is the old one or the new one, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import resource
import stat
import tempfile
import threading
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core import atomic_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import move, replace_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "here" / "kept.json"
    found.parent.mkdir()
    found.write_text("old")
    return found


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def beside(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_it_has_the_mode_that_was_asked_for(path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        replace_file(path, "new", mode)
    finally:
        os.umask(before)
    assert (path.read_text(), mode_of(path), beside(path)) == ("new", mode, [path.name])


def test_it_is_its_owners_alone_unless_said_otherwise(path: Path) -> None:
    path.chmod(0o666)
    replace_file(path, b"\xff\x00")
    assert (path.read_bytes(), mode_of(path)) == (b"\xff\x00", 0o600)


def test_a_secret_is_never_in_a_file_that_others_may_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fsync = os.fsync

    def look(descriptor: int) -> None:
        found = os.fstat(descriptor)
        seen.append((stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    replace_file(path, "secret", 0o600, owner=(os.getuid(), os.getgid()))
    assert seen == [(0o600, os.getuid(), os.getgid(), 6)]


@pytest.mark.parametrize(("mode", "directory_mode"), [(0o600, 0o700), (0o644, 0o755)])
def test_directories_are_made_when_asked_for(tmp_path: Path, mode: int, directory_mode: int) -> None:
    path = tmp_path / "a" / "b" / "kept"
    with pytest.raises(FileNotFoundError):
        replace_file(path, "new", mode)
    assert not path.parent.parent.exists()
    replace_file(path, "new", mode, parents=True)
    assert (path.read_text(), mode_of(path.parent)) == ("new", directory_mode)


def test_a_link_is_replaced_and_what_it_leads_to_stays(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    elsewhere.write_text("of somebody else")
    path.unlink()
    path.symlink_to(elsewhere)
    replace_file(path, "new")
    assert (path.is_symlink(), path.read_text(), elsewhere.read_text()) == (False, "new", "of somebody else")


def test_what_others_left_beside_it_is_not_written_through(path: Path) -> None:
    planted = [path.with_name(f".{path.name}.{os.getpid()}"), path.with_name(path.name + ".new")]
    for each in planted:
        each.symlink_to(path.with_name("victim"))
    replace_file(path, "new")
    assert path.read_text() == "new" and not path.with_name("victim").exists()


def test_a_directory_in_its_place_is_an_error(path: Path) -> None:
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(path, "new")
    assert beside(path) == [path.name]


@pytest.mark.parametrize("step", ["fchmod", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_goes_wrong_leaves_the_old_one_and_nothing_beside_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    def fail(*_args: object) -> None:
        raise error

    monkeypatch.setattr(atomic_file.os, step, fail)
    with pytest.raises(type(error)):
        replace_file(path, "new")
    assert (path.read_text(), beside(path)) == ("old", [path.name])


def test_a_disk_that_takes_half_of_it_leaves_the_old_one(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            replace_file(path, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (path.read_text(), beside(path)) == ("old", [path.name])


def test_a_disk_that_takes_nothing_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(OSError, match="Read-only"):
        replace_file(path, "new")
    assert (path.read_text(), beside(path)) == ("old", [path.name])


def test_many_writers_leave_one_whole_file(path: Path) -> None:
    texts = [str(number) * 50_000 for number in range(8)]
    threads = [threading.Thread(target=replace_file, args=(path, text)) for text in texts for _again in range(5)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert path.read_text() in {*texts, "old"}
    assert path.read_text() in texts and beside(path) == [path.name]


def test_durable_waits_for_the_directory_as_well(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[bool] = []
    fsync = os.fsync

    def look(descriptor: int) -> None:
        kinds.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    replace_file(path, "new")
    assert kinds == [False]
    replace_file(path, "newer", durable=True)
    assert kinds == [False, False, True]
    move(path, path.with_name("moved"), durable=True)
    assert kinds == [False, False, True, True] and beside(path) == ["moved"]
