"""The few Linux calls that Python 3.11 has no function for, with errors that name the call and its object.

Standard library only: the keeper and the hosts' first process import it without site-packages.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import signal
import socket
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_NOATIME = 0x400
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_RELATIME = 1 << 21
MNT_DETACH = 0x2

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
# capability numbers of linux/capability.h: what would let a guest's root reach past its own host
_DROPPED_CAPABILITIES = {
    "sys_module": 16,
    "sys_rawio": 17,
    "sys_admin": 21,
    "sys_boot": 22,
    "sys_time": 25,
    "mknod": 27,
    "syslog": 34,
}
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8916, 0x891C, 0x8913, 0x8914
_IFF_UP = 0x1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def supported_machine() -> bool:
    """Whether this processor's system call numbers are known here."""
    return platform.machine() in _PIVOT_ROOT


def unshare(flags: int, what: str) -> None:
    """unshare(2); `what` names the namespaces in the error."""
    _check(_libc.unshare(flags), f"unshare {what}")


def setns(fd: int, kind: int) -> None:
    """setns(2)."""
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        source.encode(), target.encode(), fstype.encode() or None, ctypes.c_ulong(flags), data.encode() or None
    )
    _check(result, f"mount {fstype or source} on {target}")


def bind(source: str, target: str, *, readonly: bool = False, recursive: bool = False) -> None:
    """Bind mount; a read-only one keeps the flags that the kernel locks in a user namespace."""
    mount(source, target, flags=MS_BIND | (MS_REC if recursive else 0))
    if readonly:
        held = os.statvfs(target).f_flag
        # The ST_* values of statvfs(3) equal the MS_* values for these.
        keep = held & (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME)
        if held & 4096:  # ST_RELATIME
            keep |= MS_RELATIME
        mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | keep)


def unmount(target: str) -> None:
    """umount2(2), lazily."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def enter_root(path: str) -> None:
    """Make `path` (a mount point) the root of this mount namespace and let go of the old one."""
    os.chdir(path)
    number = _PIVOT_ROOT[platform.machine()]
    _check(_libc.syscall(ctypes.c_long(number), b".", b"."), f"pivot_root {path}")
    unmount(".")
    os.chdir("/")


def die_with_parent() -> None:
    """SIGKILL for this process as soon as the thread that forked it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl PR_SET_PDEATHSIG")


def drop_capabilities() -> None:
    """What this process executes from now on cannot touch modules, devices, clocks or mounts, even as root."""
    for name, number in _DROPPED_CAPABILITIES.items():
        _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), f"drop CAP_{name.upper()}")


def loopback_up(extra_address: str) -> None:
    """Bring `lo` of this network namespace up, with one more IPv4 address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
        for call, value in ((_SIOCSIFADDR, extra_address), (_SIOCSIFNETMASK, "255.255.255.255")):
            address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(sock, call, struct.pack("16s16s", b"lo:0", address))


def overlay(lower: list[str], upper: str, work: str, target: str) -> None:
    """An overlay inside a user namespace (Linux 5.11 and later); `lower` from top to bottom."""
    parts = (
        "lowerdir=" + ":".join(_escaped(part) for part in lower),
        "upperdir=" + _escaped(upper),
        "workdir=" + _escaped(work),
        "userxattr",
    )
    mount("overlay", target, "overlay", 0, ",".join(parts))


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")
