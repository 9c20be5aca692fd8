# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot's archive is read without trusting it, and its account goes on where it stood."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, decode, encode

from linode_coder.sandbox.api.store import Store
from linode_coder.sandbox.hosts.addresses import is_host_address
from linode_coder.sandbox.snapshot_account import settle
from linode_coder.sandbox.snapshot_archive import DamagedError, Reader, write

HOUR = 3600


def everything(root: Path) -> list[Path]:
    return sorted(root.rglob("*"))


def described(root: Path) -> dict[str, Any]:
    """Every file with what matters of it."""
    found = {}
    for path in everything(root):
        entry = path.lstat()
        content: Any = None
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = path.read_bytes()
        elif path.is_dir():
            content = os.listxattr(path)
        found[str(path.relative_to(root))] = (stat.S_IFMT(entry.st_mode), stat.S_IMODE(entry.st_mode), content)
    return found


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Files of the kinds that a host has."""
    root = tmp_path / "from"
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/program").write_text("#!/bin/sh\n")
    (root / "a/b/program").chmod(0o755)
    (root / "a/secret").write_bytes(os.urandom(3_000_000))
    (root / "a/secret").chmod(0o600)
    (root / "a/again").hardlink_to(root / "a/secret")
    (root / "a/run").symlink_to("/run")
    (root / "a/dangling").symlink_to("nothing")
    os.mknod(root / "a/gone", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    (root / "a/hides").mkdir()
    os.setxattr(root / "a/hides", "user.overlay.opaque", b"y")
    (root / "a/closed").mkdir()
    (root / "a/closed/in").write_text("x")
    (root / "a/closed").chmod(0o555)
    (root / "a/sticky").mkdir()
    (root / "a/sticky").chmod(0o1777)
    return root


def test_every_kind_of_file_comes_back_as_it_was(host: Path, tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    size = write(path, {"format": 1}, host, everything(host))
    assert (path.stat().st_size, stat.S_IMODE(path.stat().st_mode)) == (size, 0o600)
    target = tmp_path / "to"
    target.mkdir()
    reader = Reader(path)
    assert reader.manifest == {"format": 1}
    reader.extract(target)
    assert described(target) == described(host)
    assert (target / "a/again").samefile(target / "a/secret")


def test_it_is_never_written_over_what_is_there(host: Path, tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        write(path, {}, host, [])
    assert path.read_text() == "precious"


def test_a_part_of_it_or_another_byte_in_it_is_damage(host: Path, tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    write(path, {"format": 1}, host, everything(host))
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    for number, data in enumerate([b"", b"hello", whole[:7], whole[: len(whole) // 2], whole[:-3], bytes(changed)]):
        path.write_bytes(data)
        target = tmp_path / f"to{number}"
        target.mkdir()
        with pytest.raises(DamagedError):
            Reader(path).extract(target)


def member(name: str, kind: bytes = tarfile.REGTYPE, **more: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, 0o755
    for field, value in more.items():
        setattr(info, field, value)
    return info


DIRECTORY = member("d", tarfile.DIRTYPE)
HOSTILE: dict[str, list[tarfile.TarInfo]] = {
    "an absolute name": [member("/outside")],
    "a name that climbs": [DIRECTORY, member("d/../../outside")],
    "a name that hides where it leads": [DIRECTORY, member("d//x")],
    "through a link": [member("d", tarfile.SYMTYPE, linkname=".."), member("d/outside")],
    "over a link": [member("d", tarfile.SYMTYPE, linkname="../outside"), member("d")],
    "a link instead of a directory": [DIRECTORY, member("d", tarfile.SYMTYPE, linkname="..")],
    "a hard link to what is not in it": [member("d", tarfile.LNKTYPE, linkname="../precious")],
    "a hard link to a link": [
        member("s", tarfile.SYMTYPE, linkname="../precious"),
        member("d", tarfile.LNKTYPE, linkname="s"),
    ],
    "in no directory": [member("d/x")],
    "a device": [member("d", tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "a disk": [member("d", tarfile.BLKTYPE, devmajor=8, devminor=0)],
    "a pipe": [member("d", tarfile.FIFOTYPE)],
    "the same twice": [member("d"), member("d")],
    "a giant": [member("d", size=40_000_000_000)],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_nothing_is_written_outside(tmp_path: Path, what: str) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        manifest = tarfile.TarInfo("manifest.json")
        manifest.size = 2
        tar.addfile(manifest, io.BytesIO(b"{}"))
        for info in HOSTILE[what]:
            tar.addfile(info)
    path = tmp_path / "snapshot"
    path.write_bytes(gzip.compress(raw.getvalue()))
    (tmp_path / "precious").write_text("precious")
    target = tmp_path / "to"
    target.mkdir()
    reader = Reader(path)
    with pytest.raises(DamagedError):
        reader.extract(target)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["precious", "snapshot", "to"]
    assert (tmp_path / "precious").stat().st_nlink == 1


def test_programs_that_run_as_their_owner_do_not_come_along(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    program = tmp_path / "from/su"
    program.write_text("")
    program.chmod(0o4755)
    write(tmp_path / "snapshot", {}, tmp_path / "from", [program])
    (tmp_path / "to").mkdir()
    Reader(tmp_path / "snapshot").extract(tmp_path / "to")
    assert stat.S_IMODE((tmp_path / "to/su").stat().st_mode) == 0o755


def tags(now: int) -> list[str]:
    # An unusual name and model: what looks like a time in them is none.
    return encode(
        SessionTags(
            "s-1800000000",
            1,
            "ada",
            now + HOUR,
            now + 9 * HOUR,
            45,
            520_000,
            "1800000000",
            bytes(32),
            None,
            now + 60,
            now,
        )
    )


def test_every_clock_of_the_account_goes_on_where_it_stood(tmp_path: Path) -> None:
    now = 1_800_000_000
    store = Store(tmp_path / "state.sqlite")
    instance = {
        "id": 7,
        "label": "lc-s-1",
        "created": "2027-01-15T08:00:00",
        "ipv4": ["127.20.1.2"],
        "tags": [*tags(now), f"lc-heal:reboot:0123abcd:{now}:0a1b", "not-ours:1800000000"],
    }
    store.put("instance", 7, {"api": instance, "user_data": "127.20.1.2 in a text", "on_host": True})
    notes = [f"lc:lease-note:{now + 9 * HOUR}:{now + HOUR}", f"lc:pause-note:{now + 9 * HOUR}:{now}"]
    store.put("firewall", 8, {"id": 8, "created": "2027-01-15T08:00:00", "tags": notes})
    store.put("event", 9, {"api": {"created": "2027-01-15T08:00:00"}, "began": 5.5, "expected": 2.5, "job": {}})
    store.put("event", 10, {"api": {}, "began": None, "job": {"address": "127.20.1.3"}})
    store.close()
    etc = tmp_path / "hosts/7/root/etc"
    etc.mkdir(parents=True)
    (etc / "hosts").write_text("127.0.0.1 localhost\n127.20.1.2 lc-s-1\n127.20.1.22 other\n")

    settle(tmp_path, HOUR)

    store = Store(tmp_path / "state.sqlite")
    moved = store.table("instance")[7]
    address = moved["api"]["ipv4"][0]
    assert is_host_address(address) and address != "127.20.1.2"
    assert moved["api"]["created"] == "2027-01-15T09:00:00"
    assert moved["api"]["tags"] == [
        *tags(now + HOUR),
        f"lc-heal:reboot:0123abcd:{now}:0a1b",  # the note on the VM says the same
        "not-ours:1800000000",
    ]
    assert decode(moved["api"]["tags"]).complete
    assert moved["user_data"] == "127.20.1.2 in a text"
    later = now + HOUR
    assert store.table("firewall")[8]["tags"] == [
        f"lc:lease-note:{later + 9 * HOUR}:{later + HOUR}",
        f"lc:pause-note:{later + 9 * HOUR}:{later}",
    ]
    assert store.table("firewall")[8]["created"] == "2027-01-15T09:00:00"
    assert (store.table("event")[9]["began"], store.table("event")[9]["expected"]) == (3605.5, 2.5)
    other = store.table("event")[10]["job"]["address"]
    assert is_host_address(other) and other not in ("127.20.1.3", address)
    store.close()
    assert (etc / "hosts").read_text() == f"127.0.0.1 localhost\n{address} lc-s-1\n127.20.1.22 other\n"
    assert json.loads((tmp_path / "hosts/addresses.json").read_text())["next"] > 0


def test_what_a_host_made_a_link_is_not_written_through(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    store.put("instance", 7, {"api": {"ipv4": ["127.20.1.2"], "tags": []}})
    store.close()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "hosts").write_text("127.20.1.2 mine\n")
    (tmp_path / "hosts/7/root").mkdir(parents=True)
    (tmp_path / "hosts/7/root/etc").symlink_to(outside)
    settle(tmp_path, 0)
    assert (outside / "hosts").read_text() == "127.20.1.2 mine\n"
