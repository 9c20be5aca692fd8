# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from linode_coder.sandbox.hosts.volumes import DISKS, Volumes


@pytest.fixture
def homes(tmp_path: Path) -> list[Path]:
    made = [tmp_path / name for name in ("70000001", "70000002")]
    for home in made:
        (home / "root").mkdir(parents=True)
    return made


def volume(number: int = 5) -> dict[str, object]:
    return {"id": number, "label": f"lc-{number}", "size": 20}


def test_what_it_holds_goes_from_host_to_host_and_survives_them(tmp_path: Path, homes: list[Path]) -> None:
    volumes, (one, two) = Volumes(tmp_path), homes
    volumes.attach(one, volume())
    assert volumes.attached(one) == {5: {"label": "lc-5", "size": 20}}
    (one / "root" / DISKS / "5/fs").mkdir()
    (one / "root" / DISKS / "5/fs/weights").write_text("kept")
    volumes.attach(one, volume())
    volumes.detach_all(one)
    assert (volumes.attached(one), (tmp_path / "volumes/5/fs/weights").read_text()) == ({}, "kept")
    volumes.attach(two, volume())
    assert (two / "root" / DISKS / "5/fs/weights").read_text() == "kept"
    volumes.detach(two, 5)
    volumes.drop(5)
    assert not (tmp_path / "volumes/5").exists()
    volumes.drop(5)


def test_damage_is_one_bit_of_the_largest_file(tmp_path: Path) -> None:
    held = tmp_path / "volumes/5/fs"
    held.mkdir(parents=True)
    (held / "small").write_bytes(b"1")
    (held / "large").write_bytes(b"1234")
    Volumes(tmp_path).damage(5)
    assert ((held / "small").read_bytes(), (held / "large").read_bytes()) == (b"1", b"0234")
    Volumes(tmp_path).damage(6)  # of nothing there is nothing to damage
