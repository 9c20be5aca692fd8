"""The files of a fresh simulated host: a small Ubuntu 24.04 with stand-ins, nothing of the machine's user."""

from __future__ import annotations

import json
import shutil
import sys
import uuid
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.gpu_plans import card_of

from .base import HostSpec

GUEST = Path(__file__).parents[1] / "guest"
GUEST_LIB = "/usr/lib/linode-coder-sandbox"
STAND_INS = ("nvidia-smi", "docker", "systemctl", "cloud-init", "apt-get", "journalctl")
# What programs under /usr need of /etc, without anything that is a person's or a secret.
_SHARED_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl/certs", "python3", "services", "protocols")
_NVIDIA_IMAGE = "linode/ubuntu24.04-nvidia"
DRIVER = "580.95.05"


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def guest_python() -> tuple[str, dict[str, str]]:
    """A Python that exists inside: the system's own, else this one's installation bound at a neutral place."""
    if Path("/usr/bin/python3").exists():
        return "/usr/bin/python3", {}
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return f"/opt/python/bin/{version}", {sys.base_prefix: "/opt/python"}


def make_root(directory: Path, spec: HostSpec, engine: dict[str, object], binds: dict[str, str]) -> None:
    """Fill ``directory`` (root/, usr-upper/, usr-work/) for ``spec`` and write its init configuration."""
    root = directory / "root"
    for name in ("root", "home", "opt", "srv", "mnt", "var/log", "var/tmp", "var/cache", "etc", "sys", "boot"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "root").chmod(0o700)
    (root / "var/tmp").chmod(0o1777)
    if not (root / "var/run").is_symlink():
        (root / "var/run").symlink_to("/run")
    upper, work = directory / "usr-upper", directory / "usr-work"
    upper.mkdir(exist_ok=True)
    work.mkdir(exist_ok=True)
    for name in _SHARED_ETC:
        source = Path("/etc") / name
        if source.is_dir():
            shutil.copytree(source, root / "etc" / name, symlinks=True, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        elif source.exists():
            (root / "etc" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / "etc" / name)
    etc = root / "etc"
    write(
        etc / "os-release",
        'NAME="Ubuntu"\nVERSION_ID="24.04"\nVERSION="24.04 LTS (sandbox)"\nID=ubuntu\nID_LIKE=debian\n'
        'VERSION_CODENAME=noble\nPRETTY_NAME="Ubuntu 24.04 LTS (linode-coder sandbox)"\n',
    )
    write(etc / "passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n")
    write(etc / "group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n")
    write(etc / "hosts", f"127.0.0.1 localhost\n127.0.1.1 {spec.label}\n")
    write(etc / "hostname", spec.label + "\n")
    write(etc / "nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
    write(etc / "machine-id", uuid.uuid4().hex + "\n")
    if not (etc / "mtab").is_symlink():
        (etc / "mtab").symlink_to("/proc/self/mounts")
    write(root / "root/.ssh/authorized_keys", "".join(key + "\n" for key in spec.authorized_keys), 0o600)
    (root / "root/.ssh").chmod(0o700)
    plan = str(spec.plan["id"])
    card = card_of(plan)
    gpus = [
        {"index": index, "uuid": f"GPU-{uuid.uuid4()}", "name": card.name, "memory_mib": card.vram_gb * 1024, "cc": card.compute_capability}
        for index in range(spec.gpus)
        if card
    ]
    write(etc / "sandbox/gpus.json", json.dumps({"plan": plan, "driver": DRIVER, "gpus": gpus}))
    write(etc / "sandbox/engine.json", json.dumps(engine))
    python, python_binds = guest_python()
    library = upper / GUEST_LIB.removeprefix("/usr/")
    shutil.copytree(GUEST, library, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in STAND_INS:
        if name == "nvidia-smi" and spec.image != _NVIDIA_IMAGE:
            continue  # comes with the driver package
        target = f"{name.replace('-', '_')}.py"
        write(upper / "bin" / name, f'#!/bin/sh\nexec {python} -I -S {GUEST_LIB}/{target} "$@"\n', 0o755)
    if python_binds:
        (upper / "bin/python3").symlink_to(python)
    write(
        directory / "init.json",
        json.dumps(
            {
                "label": spec.label,
                "root": str(root),
                "usr_upper": str(upper),
                "usr_work": str(work),
                "boot_id_file": str(directory / "boot_id"),
                "binds": {**python_binds, **binds},
            }
        ),
    )
