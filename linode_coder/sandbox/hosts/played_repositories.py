"""NVIDIA's two apt repositories as docker hosts see them: small signed packages that drop what the real ones drop."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

from .base import SandboxError
from .gpus import DRIVER_VERSION
from .image import guest_command

CUDA = "developer.download.nvidia.com/compute/cuda/repos"
TOOLKIT = "nvidia.github.io/libnvidia-container"
DISTRIBUTIONS = ("debian13", "ubuntu2404")
TOOLKIT_VERSION = "1.20.1-1"
_BRANCH = DRIVER_VERSION.partition(".")[0]
_KEYRING = "usr/share/keyrings/cuda-archive-keyring.gpg"


def _unit(description: str, service: str, install: str = "multi-user.target") -> str:
    return f"[Unit]\nDescription={description}\n\n[Service]\n{service}\n\n[Install]\nWantedBy={install}\n"


# path -> text, as the packages and the image with a driver bring them
DRIVER_FILES: dict[str, str] = {
    "usr/bin/nvidia-smi": guest_command("gpu.nvidia_smi"),
    "usr/bin/nvidia-persistenced": "#!/bin/sh\nexec sleep infinity\n",
    "usr/lib/systemd/system/nvidia-persistenced.service": _unit(
        "NVIDIA Persistence Daemon", "ExecStart=/usr/bin/nvidia-persistenced"
    ),
    "usr/lib/sandbox-modules/nvidia.ko": f"{DRIVER_VERSION}\n",
    "usr/lib/modprobe.d/nvidia-graphics-drivers.conf": "blacklist nouveau\nalias nouveau off\n",
}
_REFRESH = "Type=oneshot\nExecStart=/usr/bin/nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml"
TOOLKIT_FILES: dict[str, str] = {
    "usr/bin/nvidia-ctk": guest_command("gpu.nvidia_ctk"),
    "usr/bin/nvidia-cdi-hook": guest_command("gpu.nvidia_ctk"),
    "usr/lib/systemd/system/nvidia-cdi-refresh.service": _unit("Refresh NVIDIA CDI specification file", _REFRESH),
}


@dataclass(frozen=True)
class Package:
    """A binary package: what apt reads of it, and the files it brings."""

    name: str
    version: str
    depends: str = ""
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    postinst: str = ""
    architecture: str = "amd64"


def _driver_packages(kernel: str) -> list[Package]:
    version = f"{DRIVER_VERSION}-1"
    firmware = {path: text for path, text in DRIVER_FILES.items() if "modules" in path or "modprobe" in path}
    tools = {path: text for path, text in DRIVER_FILES.items() if path not in firmware}
    pin = f"Package: *nvidia* cuda-drivers*\nPin: version {_BRANCH}.*\nPin-Priority: 1000\n"
    newer = "999.10.01-1"
    return [
        Package(
            f"nvidia-driver-pinning-{_BRANCH}",
            f"{_BRANCH}-1",
            files={"etc/apt/preferences.d/nvidia-driver-pinning": pin},
        ),
        Package("nvidia-open", version, f"nvidia-driver (= {version}), nvidia-kernel-open-dkms (= {version})"),
        Package("nvidia-driver", version, files=tools, postinst="systemctl daemon-reload\n"),
        Package("nvidia-kernel-open-dkms", version, files=firmware),
        # A newer branch is there too, for whoever forgets the pin.
        Package("nvidia-open", newer, f"nvidia-driver (= {newer})"),
        Package("nvidia-driver", newer, files=tools),
        # Of the distribution in truth; hosts have no other source.
        *(Package(f"linux-headers-{name}", "1-1") for name in ("amd64", "generic", kernel)),
    ]


def _toolkit_packages() -> list[Package]:
    start = (
        "mkdir -p /var/run/cdi\nsystemctl daemon-reload\nsystemctl enable --now nvidia-cdi-refresh.service || true\n"
    )
    return [
        Package("nvidia-container-toolkit-base", TOOLKIT_VERSION, files=TOOLKIT_FILES, postinst=start),
        Package("nvidia-container-toolkit", TOOLKIT_VERSION, f"nvidia-container-toolkit-base (= {TOOLKIT_VERSION})"),
    ]


def build(directory: Path) -> None:
    """Write both repositories below `directory`, at the paths that their real addresses have."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    # Its agent's socket lies in its home, and a socket's path may have 108 bytes.
    with tempfile.TemporaryDirectory(prefix="lc-gpg-") as home:
        gpg = _Gpg(Path(home))
        try:
            _write(directory, gpg)
        finally:
            gpg.close()


def _write(directory: Path, gpg: _Gpg) -> None:
    debs = directory / "debs"
    debs.mkdir()
    driver = [_pack(package, debs) for package in _driver_packages(os.uname().release)]
    for distribution in DISTRIBUTIONS:
        where = directory / CUDA / distribution / "x86_64"
        source = f"deb [signed-by=/{_KEYRING}] https://{CUDA}/{distribution}/x86_64/ /\n"
        keyring = Package(
            "cuda-keyring",
            "1.1-1",
            files={_KEYRING: gpg.public(), f"etc/apt/sources.list.d/cuda-{distribution}-x86_64.list": source},
            architecture="all",
        )
        own = debs / distribution
        own.mkdir()
        _publish(where, [*driver, _pack(keyring, own)], gpg)
    toolkit = directory / TOOLKIT
    _publish(toolkit / "stable/deb/amd64", [_pack(package, debs) for package in _toolkit_packages()], gpg)
    (toolkit / "gpgkey").write_bytes(gpg.public(armored=True))
    shutil.rmtree(debs)


class _Gpg:
    """A signing key that lives as long as the repositories."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._run("--passphrase", "", "--quick-generate-key", "sandbox repositories", "rsa2048", "sign", "never")

    def _run(self, *arguments: str, given: bytes = b"") -> bytes:
        done = subprocess.run(
            [
                "gpg",
                "--homedir",
                str(self._home),
                "--batch",
                "--quiet",
                "--yes",
                "--pinentry-mode",
                "loopback",
                *arguments,
            ],
            input=given,
            capture_output=True,
            check=False,
            timeout=120,
        )
        if done.returncode:
            raise SandboxError(
                f"gpg cannot sign the hosts' repositories: {done.stderr.decode().strip()}", "Try gpg by hand."
            )
        return done.stdout

    def public(self, *, armored: bool = False) -> bytes:
        return self._run(*(["--armor"] if armored else []), "--export")

    def sign(self, text: str) -> bytes:
        return self._run("--digest-algo", "SHA256", "--clearsign", given=text.encode())

    def close(self) -> None:
        """End the agent that gpg started."""
        subprocess.run(["gpgconf", "--homedir", str(self._home), "--kill", "all"], check=False, timeout=30)


def _pack(package: Package, where: Path) -> Path:
    root = where / f"{package.name}_{package.version}_{package.architecture}"
    (root / "DEBIAN").mkdir(parents=True)
    fields = {
        "Package": package.name,
        "Version": package.version,
        "Architecture": package.architecture,
        "Maintainer": "linode-coder sandbox <root@localhost>",
        "Depends": package.depends,
        "Description": "plays the package of this name in the sandbox",
    }
    (root / "DEBIAN/control").write_text("".join(f"{name}: {value}\n" for name, value in fields.items() if value))
    if package.postinst:
        script = root / "DEBIAN/postinst"
        script.write_text("#!/bin/sh\nset -e\n" + package.postinst)
        script.chmod(0o755)
    for name, content in package.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o755 if "/bin/" in name else 0o644)
    deb = where / f"{root.name}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(root), str(deb)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    shutil.rmtree(root)
    return deb


def _publish(where: Path, debs: list[Path], gpg: _Gpg) -> None:
    """A flat repository: the packages, their list, and the signed list of lists."""
    where.mkdir(parents=True)
    entries = []
    for deb in debs:
        shutil.copyfile(deb, where / deb.name)
        control = subprocess.run(
            ["dpkg-deb", "--field", str(deb)], check=True, capture_output=True, text=True, timeout=60
        ).stdout
        data = deb.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        entries.append(f"{control.rstrip()}\nFilename: ./{deb.name}\nSize: {len(data)}\nSHA256: {digest}\n")
    packages = "\n".join(entries).encode()
    lists = {"Packages": packages, "Packages.gz": gzip.compress(packages)}
    release = f"Origin: sandbox\nLabel: sandbox\nDate: {formatdate(usegmt=True)}\nSHA256:\n"
    for name, data in lists.items():
        (where / name).write_bytes(data)
        release += f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n"
    (where / "Release").write_text(release)
    (where / "InRelease").write_bytes(gpg.sign(release))
