# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role fetches is what was written down: digests of images, hashes of the library that fetches the weights."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from linode_coder.sandbox import vllm_env
from linode_coder.sandbox.guest.engine import answers
from tests import product

ROLE = product.COLLECTION / "roles" / "vllm"
DEFAULTS, VARS = ROLE / "defaults/main.yml", ROLE / "vars/main.yml"
OF_IMAGES = ("vllm_image", "vllm_proxy_image", "vllm_fetch_image", "vllm_open_webui_image")


def digests(tmp_path: Path, api: str, **given: str) -> dict[str, str]:
    """As Ansible itself renders the role's defaults for this API."""
    names = {name: "{{ " + name + "_digest }}" for name in OF_IMAGES}
    command = [
        str(Path(sys.executable).with_name("ansible")),
        "localhost",
        "-m",
        "ansible.builtin.debug",
        "-a",
        "var=found",
    ]
    extra = [f"@{DEFAULTS}", f"@{VARS}", json.dumps({"found": names}), json.dumps(given)]
    done = subprocess.run(
        [*command, *(word for text in extra for word in ("-e", text))],
        env={**os.environ, "LINODE_API_URL": api, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.partition("=>")[2])
    return {name: str(digest) for name, digest in found["found"].items()}


def test_a_published_digest_is_held_to_and_only_for_its_tag(tmp_path: Path) -> None:
    found = digests(tmp_path, "https://api.linode.com")
    # Of the engine's tag no digest was published where this project could read it.
    assert found.pop("vllm_image") == ""
    assert (
        all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in found.values()) and len(set(found.values())) == 3
    )
    own = digests(tmp_path, "", vllm_proxy_image="docker.io/library/nginx:1.30-alpine")
    assert own["vllm_proxy_image"] == ""
    assert own["vllm_fetch_image"] == found["vllm_fetch_image"]


def test_a_sandbox_plays_images_of_its_own(tmp_path: Path) -> None:
    assert set(digests(tmp_path, "http://127.0.0.1:8080/").values()) == {""}


def test_the_specification_names_the_same_defaults() -> None:
    options = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load(DEFAULTS.read_text())
    for name in OF_IMAGES:
        for each in (name, f"{name}_digest"):
            assert options[each]["default"] == defaults[each]


def test_every_requirement_has_a_hash() -> None:
    text = (ROLE / "files/huggingface_hub.txt").read_text()
    lines = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#")).replace("\\\n", "")
    for line in lines.splitlines():
        assert re.fullmatch(r"[a-z0-9_-]+==[0-9a-z.]+( +--hash=sha256:[0-9a-f]{64} *)+", line), line
    from linode_coder.sandbox import guest

    played = (Path(str(guest.__file__)).parent / "hub/huggingface_hub/__init__.py").read_text()
    (version,) = re.findall(r'^__version__ = "(.+)"', played, re.MULTILINE)
    assert f"huggingface_hub=={version} " in text


def test_nothing_else_is_installed() -> None:
    program = (ROLE / "files/fetch_weights.py").read_text()
    for option in ("--require-hashes", "--no-deps", "--only-binary=:all:"):
        assert f'"{option}"' in program


@pytest.mark.parametrize("name", ["compose.yaml.j2", "weights.yaml.j2"])
def test_images_are_named_by_what_was_pulled(name: str) -> None:
    """Every image is a reference with a digest that the role looked up, never a bare tag."""
    images = re.findall(r"^ +image: (.+)$", (ROLE / "templates" / name).read_text(), re.MULTILINE)
    assert images and all(re.fullmatch(r"\{\{ .*\.reference \}\}", image) for image in images)


def test_the_sandbox_plays_the_engine_that_the_role_serves() -> None:
    """The real one on the CPU, and the stand-in for it."""
    tag = str(yaml.safe_load(DEFAULTS.read_text())["vllm_image"]).rpartition(":")[2]
    assert {f"v{vllm_env.VLLM}", f"v{answers.VERSION}"} == {tag}
