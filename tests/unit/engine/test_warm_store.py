# SPDX-License-Identifier: GPL-3.0-or-later
"""What a volume holds is good when it is as it was recorded, and nothing else is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine import warm_store as store

MODEL = "org/Coder-7B"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A volume with two weights, a link to each, and a kernel."""
    blobs, snapshot = tmp_path / "weights/blobs", tmp_path / "weights/snapshots/abc"
    for directory in (blobs, snapshot, tmp_path / "cache/vllm", tmp_path / "images"):
        directory.mkdir(parents=True)
    for name in ("one", "two"):
        (blobs / name).write_bytes(name.encode() * 1000)
        (snapshot / f"{name}.safetensors").symlink_to(f"../../blobs/{name}")
    (tmp_path / "cache/vllm/kernel.so").write_bytes(b"compiled")
    return tmp_path


@pytest.fixture
def listed(root: Path) -> dict[str, Any]:
    return store.make_list(str(root), MODEL, {})


def test_what_is_as_it_was_is_good(root: Path, listed: dict[str, Any]) -> None:
    digest = store.write_list(str(root), listed)
    assert len(digest) == 40 and store.load(str(root), digest) == listed
    read: list[int] = []
    assert store.verify(str(root), listed, store.WEIGHTS, read.append) == []
    assert sum(read) == 6000 and store.total(listed) == 6008


def test_a_bit_a_length_a_missing_file_and_another_link_are_found_and_removed(
    root: Path, listed: dict[str, Any]
) -> None:
    blob, other = root / "weights/blobs/one", root / "weights/blobs/two"
    blob.write_bytes(b"x" + blob.read_bytes()[1:])
    assert store.verify(str(root), listed, store.WEIGHTS) == ["weights/blobs/one"]
    assert not blob.exists() and other.exists()
    other.write_bytes(b"short")
    link = root / "weights/snapshots/abc/two.safetensors"
    link.unlink()
    link.symlink_to("/etc/passwd")
    wrong = store.verify(str(root), listed, store.WEIGHTS)
    assert wrong == ["weights/blobs/one", "weights/blobs/two", "weights/snapshots/abc/two.safetensors"]
    assert not os.path.lexists(link) and Path("/etc/passwd").exists()


def test_what_nobody_listed_is_removed_and_is_no_damage(root: Path, listed: dict[str, Any]) -> None:
    planted = root / "cache/vllm/planted.so"
    planted.write_bytes(b"not ours")
    os.mkfifo(root / "cache/pipe")
    (root / "weights/way-out").symlink_to("/")
    assert store.verify(str(root), listed, store.CACHE) == store.verify(str(root), listed, store.WEIGHTS) == []
    assert not planted.exists() and not (root / "cache/pipe").exists() and not os.path.lexists(root / "weights/way-out")


def test_only_the_list_with_the_digest_counts(root: Path, listed: dict[str, Any]) -> None:
    digest = store.write_list(str(root), listed)
    path = root / store.LIST
    assert store.load(str(root), "0" * 40) is None
    listed["files"]["weights/blobs/one"]["sha256"] = "0" * 64
    path.write_text(json.dumps(listed))
    assert store.load(str(root), digest) is None
    path.unlink()
    assert store.load(str(root), digest) is None
    path.symlink_to("/etc/passwd")
    assert store.load(str(root), digest) is None


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"[" * 100_000, b'{"format": 2}', b"\xff\xfe"])
def test_any_list_can_be_read(root: Path, text: bytes) -> None:
    (root / store.LIST).write_bytes(text)
    assert store.load(str(root), store.digest_of(text)) is None


def test_what_did_not_change_is_not_read_again(root: Path, listed: dict[str, Any]) -> None:
    listed["files"]["weights/blobs/one"]["sha256"] = "of the first time"
    (root / "weights/blobs/two").write_bytes(b"new")
    again = store.make_list(str(root), MODEL, {}, listed)["files"]
    assert again["weights/blobs/one"]["sha256"] == "of the first time"
    assert again["weights/blobs/two"]["size"] == 3


def test_what_is_half_fetched_is_not_listed(root: Path) -> None:
    (root / "weights/blobs/three.incomplete").write_bytes(b"half")
    assert "weights/blobs/three.incomplete" not in store.make_list(str(root), MODEL, {})["files"]


def test_empty_leaves_the_places_and_nothing_in_them(root: Path, listed: dict[str, Any], tmp_path: Path) -> None:
    store.write_list(str(root), listed)
    (root / "weights/way-out").symlink_to("/etc")
    store.empty(str(root))
    assert sorted(path.name for path in root.rglob("*")) == ["cache", "images", "weights"]
