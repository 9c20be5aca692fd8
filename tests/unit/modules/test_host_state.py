# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM is asked for, with its programs played by scripts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.linode_coder.gpu.plugins.modules import host_state

Ask = Callable[..., dict[str, Any]]
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")

    def make(name: str, script: str) -> None:
        path = directory / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return make


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    def call(**given: Any) -> dict[str, Any]:
        with patch_module_args(given), pytest.raises(SystemExit):
            host_state.main()
        return dict(json.loads(capsys.readouterr().out))

    return call


@pytest.mark.parametrize(
    ("script", "branches"),
    [
        ("printf '580.95.05\\n580.95.05\\n'", [580, 580]),
        ("echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9", []),
        ("echo '[Unknown Error]'", []),
        ("echo 'No devices were found'", []),
        ("true", []),
    ],
)
def test_the_driver(programs: Callable[[str, str], None], ask: Ask, script: str, branches: list[int]) -> None:
    programs("nvidia-smi", script)
    found = ask(ask=["driver"])
    assert (found["driver"]["branches"], found["changed"]) == (branches, False)
    assert found["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_vm_without_anything(ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host_state, "_LIMIT", ["/usr/bin/env", f"PATH={tmp_path}"])
    monkeypatch.setattr(host_state.AnsibleModule, "get_bin_path", lambda *_args, **_more: None)
    found = ask(
        ask=["driver", "compose", "toolkit"],
        images=[{"name": "a:1", "digest": DIGEST}],
        model="acme/Coder",
        models_dir=str(tmp_path),
        paths=[str(tmp_path), str(tmp_path / "missing")],
    )
    assert found["driver"]["branches"] == [] and found["compose"] is False
    assert found["toolkit"] == {"installed": False, "devices": []}
    assert found["images"] == {"a:1": {"present": False, "reference": "a:1"}}
    assert (found["weights"], found["paths"], found["active"]) == (False, [str(tmp_path)], [])


def test_toolkit_and_compose(programs: Callable[[str, str], None], ask: Ask) -> None:
    programs("docker", '[ "$*" = "compose version --short" ]')
    programs("nvidia-ctk", '[ "$1" = cdi ] && echo "Found 1 CDI devices" >&2 && echo nvidia.com/gpu=all')
    found = ask(ask=["compose", "toolkit"])
    assert found["compose"] is True
    assert found["toolkit"] == {"installed": True, "devices": ["nvidia.com/gpu=all"]}
    programs("nvidia-ctk", '[ "$1" = --version ]')
    assert ask(ask=["toolkit"])["toolkit"] == {"installed": True, "devices": []}


def test_units(programs: Callable[[str, str], None], ask: Ask) -> None:
    blocks = (
        ("docker", "active", "enabled"),
        ("once", "inactive", "static"),
        ("off", "inactive", "disabled"),
        ("gone", "inactive", ""),
    )
    said = "\n\n".join(f"Id={n}.service\nActiveState={a}\nUnitFileState={f}" for n, a, f in blocks)
    programs("systemctl", f"cat <<'E'\n{said}\nE")
    found = ask(units=[row[0] for row in blocks])
    assert (found["active"], found["enabled"]) == (["docker"], ["docker", "once"])


def test_an_image_is_only_there_with_the_digest_that_is_held(
    programs: Callable[[str, str], None], ask: Ask, tmp_path: Path
) -> None:
    programs("docker", f'[ "$*" = "image inspect a:1@{DIGEST}" ] && echo \'[{{"RepoDigests": ["a@{DIGEST}"]}}]\'')
    state_file = tmp_path / "engine.json"
    images = [{"name": "a:1", "digest": ""}, {"name": "b:1"}]
    assert not ask(images=images, state_file=str(state_file))["images"]["a:1"]["present"]
    state_file.write_text(json.dumps({"schema": 1, "images": {"a:1": DIGEST, "b:1": DIGEST}}))
    assert ask(images=images, state_file=str(state_file))["images"] == {
        "a:1": {"present": True, "reference": f"a:1@{DIGEST}"},
        "b:1": {"present": False, "reference": f"b:1@{DIGEST}"},
    }


def test_the_replaced_host_key(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_state, "HOST_KEY_MARKER", str(tmp_path / "marker"))
    assert ask()["host_key_replaced"] is False
    (tmp_path / "marker").touch()
    assert ask()["host_key_replaced"] is True


def test_an_image_from_an_archive_counts_with_its_digest_and_id(
    programs: Callable[[str, str], None], ask: Ask, tmp_path: Path
) -> None:
    """Docker may know no digest of what was loaded: the verified archive's counts, for that very image."""
    programs("docker", 'case "$3" in *@*) exit 1;; esac; echo \'[{"Id": "sha256:bb", "RepoDigests": []}]\'')
    state = tmp_path / "engine.json"

    def present(**loaded: str) -> bool:
        known = {"schema": 1, "images": {"nginx:1": DIGEST}, "loaded": {"nginx:1": loaded}}
        state.write_text(json.dumps(known))
        found = ask(images=[{"name": "nginx:1"}], state_file=str(state))["images"]["nginx:1"]
        assert found["reference"] == ("nginx:1" if found["present"] else f"nginx:1@{DIGEST}")
        return bool(found["present"])

    assert present(digest=DIGEST, id="sha256:bb")
    assert not present(digest=DIGEST, id="sha256:cc")
    assert not present(digest="sha256:dd", id="sha256:bb")
    assert not present()
    state.write_text(json.dumps({"schema": 1, "images": {"nginx:1": DIGEST}, "loaded": {"nginx:1": "{{ 7 * 6 }}"}}))
    assert not ask(images=[{"name": "nginx:1"}], state_file=str(state))["images"]["nginx:1"]["present"]
