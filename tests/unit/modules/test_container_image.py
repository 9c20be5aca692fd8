# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls in the background of a VM, with a played docker: several at once, held to their digests, and those that fail."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine import pull_record
from ansible_collections.linode_coder.gpu.plugins.modules import container_image

Pull = Callable[..., dict[str, Any]]
DIGEST = "sha256:" + "b" * 64
# What is there are files of the images' names; NAME.slow is waited for, and an image that is called missing fails.
DOCKER = """#!/bin/sh
cd "$IMAGES"
if [ "$1" = image ]; then
  name=${3%%@*}
  [ -e "$name" ] && echo '[{"RepoDigests": ["x@DIGEST"]}]'
  exit
fi
name=${2%%@*}
echo "$2" >> pulls
echo "aaaa: Pulling fs layer"
case $name in missing*) echo "Error response from daemon: manifest unknown" >&2; exit 1;; esac
while [ -e "$name.slow" ]; do sleep 0.05; done
echo "aaaa: Pull complete"
touch "$name"
""".replace("DIGEST", DIGEST)


@pytest.fixture
def vm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the played docker keeps its images."""
    images, programs = tmp_path / "images", tmp_path / "bin"
    images.mkdir()
    programs.mkdir()
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("IMAGES", str(images))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(pull_record, "DIRECTORY", str(tmp_path / "run" / "pulls"))
    return images


@pytest.fixture
def pull(vm: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Pull:
    def call(*names: str, state: str = "present", check: bool = False, slice: float = 5.0) -> dict[str, Any]:
        given = {
            "images": [{"name": name} for name in names],
            "state": state,
            "slice": slice,
            "state_file": str(tmp_path / "engine.json"),
            "_ansible_check_mode": check,
        }
        with patch_module_args(given), pytest.raises(SystemExit):
            container_image.main()
        return dict(json.loads(capsys.readouterr().out))

    return call


def until_there(pull: Pull, *names: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while not (found := pull(*names))["present"]:
        assert time.monotonic() < deadline, found
    return found


def test_several_are_pulled_at_the_same_time_and_held(pull: Pull, vm: Path, tmp_path: Path) -> None:
    for name in ("a:1.slow", "b:1.slow"):
        (vm / name).touch()
    assert pull("a:1", "b:1", check=True)["changed"] and not (vm / "pulls").exists()
    begun = pull("a:1", "b:1", state="pulling")
    assert (begun["changed"], begun["present"]) == (True, False)
    again = pull("a:1", "b:1", state="pulling")
    assert not again["changed"]
    # The second one ends first.
    (vm / "b:1.slow").unlink()
    assert until_there(pull, "b:1")["images"]["b:1"]["reference"] == f"b:1@{DIGEST}"
    waiting = pull("a:1", "b:1", slice=0.1)
    assert [row["present"] for row in waiting["images"].values()] == [False, True]
    assert waiting["phase"] == waiting["images"]["a:1"]["phase"] == "0 of 1 layers fetched, 0 unpacked"
    (vm / "a:1.slow").unlink()
    found = until_there(pull, "a:1", "b:1")
    assert found["phase"] == "there"
    assert all(row["started"] <= row["finished"] for row in found["images"].values())
    assert sorted((vm / "pulls").read_text().split()) == ["a:1", "b:1"]
    assert json.loads((tmp_path / "engine.json").read_text())["images"] == {"a:1": DIGEST, "b:1": DIGEST}
    assert not pull("a:1", "b:1")["changed"]


def test_one_that_cannot_be_had_fails_and_says_which(pull: Pull, vm: Path) -> None:
    (vm / "a:1").touch()
    deadline = time.monotonic() + 60
    while not (found := pull("a:1", "missing:1")).get("failed"):
        assert time.monotonic() < deadline, found
    assert (found["failure"]["kind"], found["failure"]["value"]) == ("config", "missing:1")
    assert found["images"]["a:1"]["present"] and found["phase"] == "failed"
