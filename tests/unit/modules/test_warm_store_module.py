# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounting a warm volume, reading and recording it; the programs of the VM are scripts, the files are real."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine import state as engine_state
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine import warm_store as store
from ansible_collections.linode_coder.gpu.plugins.modules import warm_store

Call = Callable[..., dict[str, Any]]
Program = Callable[[str, str], None]
MODEL = "org/Coder-7B"
NGINX = "docker.io/library/nginx:1.28-alpine"


@pytest.fixture
def vm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Program) -> Path:
    """A VM with a new volume on /dev/sdc: nothing is mounted and nothing has a file system."""
    monkeypatch.setattr(warm_store, "FSTAB", str(tmp_path / "fstab"))
    monkeypatch.setattr(warm_store, "RUN_DIRECTORY", str(tmp_path / "run"))
    (tmp_path / "fstab").write_text("/dev/sda / ext4 errors=remount-ro 0 1\n")
    (tmp_path / "sdc").touch()
    program("findmnt", f"[ -e {tmp_path}/mounted ] && cat {tmp_path}/mounted || exit 1\n")
    program("blkid", f"[ -e {tmp_path}/kind ] && cat {tmp_path}/kind || exit 2\n")
    program("mkfs.ext4", f'echo "mkfs $*" >> {tmp_path}/log\n')
    program(
        "mount",
        f'echo "mount $*" >> {tmp_path}/log; [ -e {tmp_path}/mounted ] || echo {tmp_path}/sdc > {tmp_path}/mounted\n',
    )
    return tmp_path


def asked(vm: Path, **more: Any) -> dict[str, Any]:
    places = {"mount_point": str(vm / "warm"), "models_dir": str(vm / "models"), "cache_dir": str(vm / "cache")}
    return (
        {"model": MODEL, "device": str(vm / "sdc"), "wait": 0.1, "state_file": str(vm / "engine.json")} | places | more
    )


def until_done(call: Call, **arguments: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        found = call("warm_store", **arguments)
        if found.get("done") or time.monotonic() > deadline:
            return found


def test_a_new_one_is_formatted_and_mounted_once_and_at_every_boot(call: Call, vm: Path) -> None:
    planned = call("warm_store", check=True, **asked(vm, may_format=True))
    assert planned["changed"] and not (vm / "log").exists()
    done = call("warm_store", **asked(vm, may_format=True))
    assert (done["changed"], done["mounted"], done["sentence"]) == (True, True, None)
    steps = (vm / "log").read_text().splitlines()
    assert [step.split()[0] for step in steps] == ["mkfs", "mount", "mount", "mount"]
    weights = vm / "models/hub/models--org--Coder-7B"
    assert steps[2] == f"mount --bind {vm}/warm/weights {weights}"
    fstab = (vm / "fstab").read_text().splitlines()
    assert fstab[0].startswith("/dev/sda ") and len(fstab) == 4 and all("nofail" in line for line in fstab[1:])
    again = call("warm_store", **asked(vm, may_format=True))
    assert (again["changed"], again["mounted"]) == (False, True)
    assert (vm / "fstab").read_text().splitlines() == fstab


def test_a_file_system_is_made_only_where_there_is_none_and_the_volume_is_new(call: Call, vm: Path) -> None:
    cold = call("warm_store", **asked(vm))
    assert (cold["changed"], cold["mounted"]) == (False, False) and "no file system" in cold["sentence"]
    for kind in ("TYPE=xfs", "TYPE=crypto_LUKS"):
        (vm / "kind").write_text(kind + "\n")
        other = call("warm_store", **asked(vm, may_format=True))
        assert (other["mounted"], kind[5:] in other["sentence"]) == (False, True)
    assert not (vm / "log").exists()
    (vm / "kind").write_text("TYPE=ext4\n")
    assert call("warm_store", **asked(vm))["mounted"]
    assert "mkfs" not in (vm / "log").read_text()


def test_a_vm_with_weights_of_its_own_and_one_without_the_device_start_cold(call: Call, vm: Path) -> None:
    own = vm / "models/hub/models--org--Coder-7B/blobs"
    own.mkdir(parents=True)
    assert "weights of its own" in call("warm_store", **asked(vm, may_format=True))["sentence"]
    missing = call("warm_store", **asked(vm, device=str(vm / "sdz")))
    assert "did not appear" in missing["sentence"]
    assert not (vm / "log").exists()


def test_a_failed_mount_says_what_mount_said(call: Call, vm: Path, program: Program) -> None:
    program("mount", "echo mount: bad superblock; exit 32\n")
    failed = call("warm_store", **asked(vm, may_format=True))
    assert failed["failure"]["cause"] == "mount: bad superblock" and failed["failure"]["remedy"]


@pytest.fixture
def filled(call: Call, vm: Path, program: Program) -> tuple[Path, str]:
    """The volume, whole, and the digest of its list."""
    program(
        "docker",
        f'echo "$*" >> {vm}/docker\n'
        'case "$2" in inspect) echo \'[{"Id": "sha256:aa"}]\';; save) printf archive > "$4";; esac\n',
    )
    call("warm_store", **asked(vm, may_format=True))
    (vm / "warm/weights/blobs").mkdir()
    (vm / "warm/weights/blobs/one").write_bytes(b"1" * 1000)
    image = {"name": NGINX, "digest": "sha256:bb"}
    done = until_done(call, **asked(vm, state="recorded", images=[image]))
    assert done["changed"] and done["done"]
    (vm / "docker").unlink()
    return vm / "warm", done["digest"]


def test_what_was_recorded_is_read_and_loaded(call: Call, vm: Path, filled: tuple[Path, str]) -> None:
    root, digest = filled
    assert call("warm_store", check=True, **asked(vm, state="read", digest=digest))["done"]
    read = until_done(call, **asked(vm, state="read", digest=digest))
    assert (read["damaged"], read["sentence"]) == ([], None)
    assert (vm / "docker").read_text().startswith(f"image load --input {root}/images/")
    state = engine_state.load(str(vm / "engine.json"))
    assert state["images"] == {NGINX: "sha256:bb"} and state["loaded"][NGINX]["id"] == "sha256:aa"
    (vm / "docker").unlink()
    assert until_done(call, **asked(vm, state="read", digest=digest))["changed"] is False
    assert not (vm / "docker").exists()


def test_a_damaged_archive_is_never_loaded(call: Call, vm: Path, filled: tuple[Path, str]) -> None:
    root, digest = filled
    archive = root / store.IMAGES / store.archive_of(NGINX)
    archive.write_bytes(b"Archive")
    read = until_done(call, **asked(vm, state="read", digest=digest))
    assert read["damaged"] == [NGINX] and NGINX in read["sentence"]
    assert not archive.exists() and not (vm / "docker").exists()


def test_with_another_list_all_of_it_goes(call: Call, vm: Path, filled: tuple[Path, str]) -> None:
    root, _digest = filled
    read = until_done(call, **asked(vm, state="read", digest="0" * 40))
    assert read["damaged"] == [store.LIST] and "filled anew" in read["sentence"]
    assert not list((root / "weights").iterdir()) and not (vm / "docker").exists()


def test_a_second_record_saves_no_image_again(call: Call, vm: Path, filled: tuple[Path, str]) -> None:
    _root, digest = filled
    image = {"name": NGINX, "digest": "sha256:bb"}
    again = until_done(call, **asked(vm, state="recorded", images=[image], digest=digest))
    assert again["digest"] == digest and not (vm / "docker").exists()


def test_an_image_that_cannot_be_saved_is_said(call: Call, vm: Path, program: Program) -> None:
    program("docker", "echo no space left on device; exit 1\n")
    call("warm_store", **asked(vm, may_format=True))
    failed = until_done(call, **asked(vm, state="recorded", images=[{"name": NGINX}]))
    assert failed["failure"]["cause"] == "no space left on device"
