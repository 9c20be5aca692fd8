"""The files of an export are readable by others, and nothing is written over without being said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from linode_coder.export import files
from linode_coder.export.readme import Export, readme

ABOUT = Export(
    name="demo",
    model="org/Model-7B",
    plan="g2-gpu-rtx4000a1-s",
    region="us-ord",
    replicas=2,
    price="$1.04 an hour",
    gated=False,
    min_driver="580.65",
    api_url="https://api.linode.com",
    key_file=None,
    left_out=(),
)


def test_files_are_made_once(tmp_path: Path) -> None:
    texts = {"a.yaml": "one\n", "b.json": "two\n"}
    before = os.umask(0o077)
    try:
        assert [path.name for path in files.write(tmp_path / "new", texts)] == ["a.yaml", "b.json"]
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()} == {0o644}
    assert files.differing(tmp_path / "new", texts) == files.write(tmp_path / "new", texts) == []


def test_what_somebody_changed_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("mine\n")
    assert files.differing(tmp_path, {"a.yaml": "one\n", "b.json": "two\n"}) == [tmp_path / "a.yaml"]


def test_a_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(Failure) as refused:
            files.differing(directory, {"a": ""})
            files.write(directory, {"a": ""})
        assert (refused.value.kind, refused.value.field) == ("usage", "output")


def test_a_key_is_read_from_its_file(tmp_path: Path) -> None:
    text = readme(Export(**{**vars(ABOUT), "key_file": Path("/home/a b/key"), "gated": True}))
    assert "tr -d '\\n' < '/home/a b/key' | kubectl create secret generic vllm-api-key" in text
    assert 'printf %s "$HF_TOKEN" | kubectl create secret generic hf-token' in text
    assert "hf-token" not in readme(ABOUT)
    assert "openssl rand -hex 32" in readme(ABOUT)


def test_commands_are_blocks() -> None:
    lines = readme(ABOUT).splitlines()
    assert sum(line == "   ```sh" for line in lines) == sum(line == "   ```" for line in lines) >= 7
