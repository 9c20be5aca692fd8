# SPDX-License-Identifier: GPL-3.0-or-later
"""What an execution environment is built from, as `make ee` writes it: complete, with the versions that we say, and ours in it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
DEFINITION = ROOT / "execution-environment.yml"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ee") / "context"
    command = [str(BIN / "ansible-builder"), "create", "--context", str(path), "--output-filename", "Containerfile"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return path


def instructions(context: Path) -> Iterator[tuple[str, str]]:
    for line in (context / "Containerfile").read_text().splitlines():
        word, _space, rest = line.partition(" ")
        if word.isupper():
            yield word, rest


def test_all_that_is_copied_is_there(context: Path) -> None:
    copied = [
        rest.split()[0] for word, rest in instructions(context) if word in ("COPY", "ADD") and "--from=" not in rest
    ]
    assert "_build/configs/constraints.txt" in copied
    for source in copied:
        assert (context / source).exists(), source
    assert (context / "_build/configs/constraints.txt").read_bytes() == (ROOT / "constraints.txt").read_bytes()


def test_what_is_fetched_has_a_version(context: Path) -> None:
    text = (context / "Containerfile").read_text()
    assert "://" not in text
    (base,) = re.findall(r'^ARG EE_BASE_IMAGE="(.*)"', text, re.MULTILINE)
    assert re.search(r":(?!latest)[\w.-]+$", base)
    assert "ENV PIP_CONSTRAINT=/etc/pip-constraints.txt" in text.partition("pip_install")[0]
    versions = {
        line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    for installed in re.findall(r"pip install --no-cache-dir (.*)", text):
        for name in installed.replace("$ANSIBLE_INSTALL_REFS", "ansible-core ansible-runner").split():
            assert "==" in name or name in versions, name


def test_the_collection_is_ours_and_says_what_it_needs(context: Path, tmp_path: Path) -> None:
    galaxy = yaml.safe_load((ROOT / "collections/ansible_collections/linode_coder/gpu/galaxy.yml").read_text())
    archive = f"configs/linode_coder-gpu-{galaxy['version']}.tar.gz"
    asked = yaml.safe_load((context / "_build/requirements.yml").read_text())
    assert asked == {"collections": [{"name": archive, "type": "file"}]}
    # As the stages do it, where nothing is there before.
    place = tmp_path / "collections"
    install = [str(BIN / "ansible-galaxy"), "collection", "install", "--force", "--offline", "-r", "requirements.yml"]
    command = [*install, "--collections-path", str(place)]
    done = subprocess.run(command, cwd=context / "_build", capture_output=True, text=True, timeout=120)
    assert "linode_coder.gpu" in done.stdout and done.returncode == 0, done.stdout + done.stderr
    script = context / "_build/scripts/introspect.py"
    needs = [f"--write-{kind}={tmp_path / kind}" for kind in ("pip", "bindep")]
    done = subprocess.run(
        [sys.executable, str(script), "introspect", str(place), *needs], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "linode_api4>=" in (tmp_path / "pip").read_text()
    assert "openssh-clients [platform:rpm]" in (tmp_path / "bindep").read_text()
