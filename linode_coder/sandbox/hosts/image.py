"""What a new host's files are: a fresh root of its own, with the machine's /usr beneath a layer of stand-ins.

Only /usr (and /bin, /lib... where those are directories of their own) of the machine is seen, copy on write. All other
directories start empty or with the few files listed here, so nothing of a home, of /etc or of /var can show up.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import gpus
from .base import HostSpec, SandboxError
from .models import listed_models

GUEST_LIBRARY = "/usr/lib/linode-coder-sandbox"
GUEST = Path(__file__).resolve().parents[1] / "guest"
# The package has its whole name there, for its programs import each other by it.
GUEST_PACKAGE = f"{GUEST_LIBRARY}/linode_coder/sandbox/guest"
NVIDIA_IMAGE = "linode/ubuntu24.04-nvidia"
# command -> the program of guest/ behind it, as its start.py takes it, and its fixed first arguments
_COMMANDS = {
    "docker": "docker.docker",
    "systemctl": "system.systemctl",
    "cloud-init": "system.cloud_init",
    "apt-get": "system.apt_get",
    "journalctl": "system.journalctl",
    "dmesg": "system.dmesg",
    **{name: f"system.host_tools {name}" for name in ("dd", "df", "lsmod", "lspci", "modprobe", "timedatectl")},
    **{name: f"system.volumes {name}" for name in ("mount", "umount", "findmnt", "blkid", "mkfs.ext4")},
    "nvidia-ctk": "gpu.nvidia_ctk",
    "reboot": "system.power reboot",
    "shutdown": "system.power shutdown",
    "poweroff": "system.power poweroff",
    "halt": "system.power poweroff",
}
_SFTP = "lib/openssh/sftp-server"
_BOUND_PYTHON = "/opt/sandbox/python"
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_EMPTY_DIRS = (
    *("boot", "dev", "home", "media", "mnt", "opt", "proc", "run", "srv", "sys"),
    *("etc/cloud", "etc/default", "etc/docker", "etc/profile.d", "etc/sandbox/boot.d", "etc/ssh", "etc/systemd/system"),
    *("etc/apt/sources.list.d", "etc/apt/keyrings", "etc/apt/apt.conf.d", "etc/modprobe.d", "etc/cdi"),
    *("var/cache/apt/archives", "var/lib/apt/lists", "var/lib/cloud", "var/lib/sandbox", "var/log", "var/mail"),
    *("var/spool/cron", "var/opt"),
)
# What programs under /usr read from /etc and what says nothing about the machine's owner.
_ETC_FROM_MACHINE = (
    *(
        "alternatives",
        "ld.so.cache",
        "ld.so.conf",
        "ld.so.conf.d",
        "ca-certificates.conf",
        "ssl/certs",
        "pki/tls/certs",
    ),
    *("bash.bashrc", "inputrc", "login.defs", "mime.types", "nsswitch.conf", "protocols", "services", "rpc", "shells"),
    *("terminfo", "localtime", "timezone", "python3", "python3.11", "python3.12", "perl", "magic", "networks"),
)
_UPPER_DIRS = (
    *("bin", "sbin", "lib", "libexec", "share", "share/keyrings", "share/doc", "share/man", "src", "include", "games"),
    *("lib/modules", "lib/systemd", "lib/systemd/system", "lib/python3", "lib/python3/dist-packages"),
    *("libexec/docker", "libexec/docker/cli-plugins", "lib/docker", "lib/openssh"),
    *("lib/firmware", "local"),
)
_OS_RELEASE = """\
PRETTY_NAME="Ubuntu 24.04.3 LTS"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION="24.04.3 LTS (Noble Numbat)"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
HOME_URL="https://www.ubuntu.com/"
SUPPORT_URL="https://help.ubuntu.com/"
BUG_REPORT_URL="https://bugs.launchpad.net/ubuntu/"
UBUNTU_CODENAME=noble
LOGO=ubuntu-logo
"""
_LSB_RELEASE = """\
DISTRIB_ID=Ubuntu
DISTRIB_RELEASE=24.04
DISTRIB_CODENAME=noble
DISTRIB_DESCRIPTION="Ubuntu 24.04.3 LTS"
"""
_PASSWD = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
man:x:6:12:man:/var/cache/man:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
_apt:x:42:65534::/nonexistent:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
sshd:x:107:65534::/run/sshd:/usr/sbin/nologin
"""
_GROUP = """\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
man:x:12:
mail:x:8:
sudo:x:27:
www-data:x:33:
shadow:x:42:
video:x:44:
render:x:993:
docker:x:988:
users:x:100:
nogroup:x:65534:
"""
# The machine's own versions of these would speak of the machine, or act on it; hosts have stand-ins or none.
_NEVER_FROM_MACHINE = (
    *(
        "docker",
        "dockerd",
        "containerd",
        "podman",
        "nvidia-smi",
        "nvidia-ctk",
        "nvidia-persistenced",
        "nvidia-settings",
    ),
    *("systemctl", "journalctl", "loginctl", "hostnamectl", "timedatectl", "cloud-init", "sudo", "snap", "dmesg"),
    *(
        "apt",
        "apt-get",
        "apt-cache",
        "dpkg",
        "dpkg-query",
        "add-apt-repository",
        "docker-compose",
        "nvidia-container-cli",
    ),
    *("reboot", "shutdown", "poweroff", "halt", "wall", "lsmod", "modprobe", "rmmod", "sshd"),
)


@dataclass(frozen=True)
class Python:
    """The interpreter that guests use: the machine's own, or the server's, bound in."""

    prefix: str | None

    @classmethod
    def find(cls) -> Python:
        """The machine's /usr/bin/python3 when it is recent enough and lives under /usr."""
        candidate = Path("/usr/bin/python3")
        if candidate.exists() and str(candidate.resolve()).startswith("/usr/bin/"):
            check = "import sys, ctypes, ssl, xml.etree.ElementTree; sys.exit(sys.version_info < (3, 11))"
            if subprocess.run([str(candidate), "-I", "-S", "-c", check], check=False, timeout=30).returncode == 0:
                return cls(None)
        return cls(sys.base_prefix)


class Image:
    """The layer of stand-ins shared by all hosts, and the making of one host's directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.layer = root / "image"
        self.python = Python(None)

    def build(self) -> None:
        """(Re)make the shared layer from this version's files; no host may be running."""
        for path in (self._root, Path("/usr")):
            if not path.is_dir():
                raise SandboxError(f"{path} is not a directory.", "The hosts need it.")
        if Path("/usr") in self._root.resolve().parents:
            raise SandboxError(
                f"The sandbox's directory {self._root} lies under /usr, which the hosts see.",
                "Set LINODE_CODER_HOME to a directory elsewhere.",
            )
        self.python = Python.find()
        remove_tree(self.layer)
        usr = self.layer / "usr"
        for name in _UPPER_DIRS:
            (usr / name).mkdir(parents=True, exist_ok=True)
        library = usr / GUEST_LIBRARY.removeprefix("/usr/")
        package = usr / GUEST_PACKAGE.removeprefix("/usr/")
        _copy_package(GUEST, package)
        for directory in (package.parent, package.parents[1], library):
            directory.chmod(0o755)
        # `docker compose` reads YAML with the library that Ansible brings; its pure Python part runs anywhere.
        parser = Path(yaml.__file__).parent
        _copy_package(parser, library / "yaml")
        for command, program in _COMMANDS.items():
            _write_command(usr / "bin" / command, program)
            if os.path.lexists(f"/usr/sbin/{command}"):
                _write_command(usr / "sbin" / command, program)
        _write_command(usr / _SFTP, "system.sftp_server")
        (usr / "lib/os-release").write_text(_OS_RELEASE)
        if self.python.prefix is not None:
            _write_python_wrapper(usr / "bin/python3")

    def create(self, spec: HostSpec, home: Path, engine: dict[str, Any]) -> None:
        """Write a new host's files under `home`: root/, local/ (its /usr/local), upper and work directories."""
        root = home / "root"
        for name in _EMPTY_DIRS:
            (root / name).mkdir(parents=True, exist_ok=True)
        for name in ("tmp", "var/tmp"):
            (root / name).mkdir()
            (root / name).chmod(0o1777)
        for name in ("bin", "sbin", "lib", "share", "etc", "src"):
            (home / "local" / name).mkdir(parents=True)
        for name in _MERGED:
            machine = Path("/", name)
            if machine.is_symlink():
                (root / name).symlink_to(machine.readlink())
            elif machine.is_dir():
                (root / name).mkdir()
        (root / "usr").mkdir()
        (root / "var/run").symlink_to("/run")
        (root / "var/lock").symlink_to("/run/lock")
        for overlay in ("usr", *separate_directories()):
            (home / "upper" / overlay).mkdir(parents=True)
            (home / "work" / overlay).mkdir(parents=True)
        self._write_etc(spec, root, engine)
        ssh = root / "root/.ssh"
        ssh.mkdir(parents=True, mode=0o700)
        ssh.parent.chmod(0o700)
        keys = ssh / "authorized_keys"
        keys.write_text(authorized_keys(spec))
        keys.chmod(0o600)
        if spec.image == NVIDIA_IMAGE:
            (root / "var/lib/sandbox/driver").touch()

    def _write_etc(self, spec: HostSpec, root: Path, engine: dict[str, Any]) -> None:
        etc = root / "etc"
        for name in _ETC_FROM_MACHINE:
            source, target = Path("/etc", name), etc / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_symlink():
                target.symlink_to(source.readlink())
            elif source.is_dir():
                shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=_unreadable)
            elif os.access(source, os.R_OK):
                shutil.copyfile(source, target)
        (etc / "os-release").symlink_to("../usr/lib/os-release")
        files = {
            "lsb-release": _LSB_RELEASE,
            "debian_version": "trixie/sid\n",
            "issue": "Ubuntu 24.04.3 LTS \\n \\l\n\n",
            "passwd": _PASSWD,
            "group": _GROUP,
            "hostname": spec.label + "\n",
            "hosts": f"127.0.0.1 localhost\n127.0.1.1 {spec.label}\n{spec.address} {spec.label}\n::1 localhost\n",
            "resolv.conf": "# a sandbox host reaches nothing but itself\n",
            "fstab": "",
            "machine-id": spec.host_uuid.replace("-", "")[:32].ljust(32, "0") + "\n",
            "profile": "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
            'for part in /etc/profile.d/*.sh; do [ -r "$part" ] && . "$part"; done; unset part\n',
            "environment": 'PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"\n',
            **sandbox_files(spec, engine),
        }
        for name, text in files.items():
            (etc / name).write_text(text)
        shadow = etc / "shadow"
        shadow.write_text("".join(f"{line.split(':')[0]}:*:20000:0:99999:7:::\n" for line in _PASSWD.splitlines()))
        shadow.chmod(0o640)

    def mounts(self, home: Path, volatile: Path | None) -> dict[str, Any]:
        """The overlays, binds and removals for one host, as the host's first process wants them."""
        upper = home if volatile is None else volatile / home.name
        overlays = [
            {
                "lower": [str(self.layer / "usr"), "/usr"] if name == "usr" else ["/" + name],
                "upper": str(upper / "upper" / name),
                "work": str(upper / "work" / name),
                "target": "/" + name,
            }
            for name in ("usr", *separate_directories())
        ]
        binds = [{"source": str(home / "local"), "target": "/usr/local", "readonly": False}]
        if self.python.prefix is not None:
            binds.append({"source": self.python.prefix, "target": _BOUND_PYTHON, "readonly": True})
        return {"overlays": overlays, "binds": binds, "hidden": self._hidden()}

    def _hidden(self) -> list[str]:
        """Homes and checkouts that lie under /usr, where the hosts would see them."""
        candidates = {Path.home().resolve(), Path(__file__).resolve().parents[3]}
        return sorted(
            str(path)
            for path in candidates
            if re.match(r"/usr/(?!local(/|$))", str(path)) and not path.name.endswith("-packages") and path.is_dir()
        )

    @staticmethod
    def driver_files(home: Path) -> dict[str, str]:
        """What the driver package brings, for a host whose image has it: path -> program text."""
        if not (home / "root/var/lib/sandbox/driver").exists():
            return {}
        return {"/usr/bin/nvidia-smi": guest_command("gpu.nvidia_smi")}

    def first_boot_removals(self) -> list[str]:
        """Commands of the machine that have no place in a host."""
        return [
            f"/usr/{directory}/{name}"
            for directory in ("bin", "sbin")
            for name in _NEVER_FROM_MACHINE
            if os.path.lexists(f"/usr/{directory}/{name}") and not (self.layer / "usr" / directory / name).exists()
        ]


def sandbox_files(spec: HostSpec, engine: dict[str, Any]) -> dict[str, str]:
    """What the stand-ins of a host read: path below /etc -> text."""
    facts = {
        "gpus": gpus.describe(str(spec.plan["id"]), spec.gpus, spec.host_uuid),
        "engine": engine,
        "models": listed_models(),
        "host": {"id": spec.instance_id, "region": spec.region, "plan": spec.plan["id"], "image": spec.image},
    }
    return {f"sandbox/{name}.json": json.dumps(fact, indent=1) + "\n" for name, fact in facts.items()}


def firmware(spec: HostSpec) -> dict[str, str]:
    """What the firmware says of the machine, as the kernel shows it: file of /sys/class/dmi/id -> text.

    cloud-init knows Linode by the vendor, and by the serial number, which is the instance's id, that it is still the same.
    """
    return {
        "sys_vendor": "Akamai",
        "product_name": "Compute Instance",
        "product_serial": str(spec.instance_id),
        "bios_vendor": "linode-coder sandbox",
    }


def authorized_keys(spec: HostSpec) -> str:
    """Content of root's authorized_keys."""
    return "".join(key.rstrip("\n") + "\n" for key in spec.authorized_keys)


def separate_directories() -> list[str]:
    """Top directories that hold programs or libraries and are not links into /usr."""
    return [name for name in _MERGED if Path("/", name).is_dir() and not Path("/", name).is_symlink()]


def remove_tree(path: Path) -> None:
    """Delete a directory tree, including the unreadable directories that overlays leave in their work directories."""
    if not os.path.lexists(path):
        return
    for directory, names, _files in os.walk(path):
        for name in names:
            child = Path(directory, name)
            if not child.is_symlink() and child.stat().st_mode & 0o700 != 0o700:
                child.chmod(0o700)
    shutil.rmtree(path)


def _unreadable(directory: str, names: list[str]) -> set[str]:
    return {name for name in names if not os.access(Path(directory, name), os.R_OK, follow_symlinks=False)}


def guest_argv(program: str) -> list[str]:
    """What runs a program of `guest` in a host, or in a container there, that has it in `GUEST_LIBRARY`."""
    return ["/usr/bin/python3", "-I", "-S", f"{GUEST_PACKAGE}/start.py", *program.split()]


def guest_command(program: str) -> str:
    """A command of a host that is one of the guest's programs; `program` may have first arguments."""
    return f'#!/bin/sh\nexec {" ".join(guest_argv(program))} "$@"\n'


def _copy_package(source: Path, target: Path) -> None:
    """Python files, with modes of their own: where they are installed perhaps nobody may write, or only their owner read."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.so"), dirs_exist_ok=True)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _write_command(path: Path, program: str) -> None:
    path.write_text(guest_command(program))
    path.chmod(0o755)


def _write_python_wrapper(path: Path) -> None:
    path.write_text(
        "#!/bin/sh\n"
        f'LD_LIBRARY_PATH={_BOUND_PYTHON}/lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}} exec {_BOUND_PYTHON}/bin/python3 "$@"\n'
    )
    path.chmod(0o755)
