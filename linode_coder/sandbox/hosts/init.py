"""PID 1 of a simulated host, and the process that makes its namespaces.

Runs as ``python -I -S init.py CONFIG.json CONTROL_FD`` with nothing but the standard library. It owns a private root, its
processes and its network; when the server dies the kernel ends all of it. Over the control socket (SOCK_SEQPACKET) the
server asks for three things, each a JSON object with file descriptors beside it:

    {"exec": argv, "env": {}, "tty": bool, "cwd": "/root"}  + stdin, stdout, stderr, status   run a program
    {"kill": pid, "signal": n}                                                                signal its process group
    {"socket": null | [address, port]}                                                        -> a socket of this network
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MS_NOSUID = 1, 32, 4096, 16384, 1 << 18, 2
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFNETMASK = 0x8916, 0x8914, 0x891C
IFF_UP_RUNNING = 0x1 | 0x40

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None, flags: int = 0, data: str = "") -> None:
    Path(target).mkdir(parents=True, exist_ok=True)
    check(
        libc.mount(source.encode(), target.encode(), kind.encode() if kind else None, flags, data.encode() or None),
        f"mount {source} on {target}",
    )


def bind(source: str, target: str, read_only: bool = False) -> None:
    place = Path(target)
    if Path(source).is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    check(libc.mount(source.encode(), target.encode(), None, MS_BIND | MS_REC, None), f"bind {source} on {target}")
    if read_only:
        flags = MS_BIND | MS_REMOUNT | MS_RDONLY
        check(libc.mount(b"none", target.encode(), None, flags, None), f"make {target} read-only")


def die_with_parent() -> None:
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")


def build_root(config: dict[str, object]) -> None:
    """Mount everything below config["root"] and make it /."""
    root, upper, work = str(config["root"]), str(config["usr_upper"]), str(config["usr_work"])
    check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "make mounts private")
    bind(root, root)
    mount("overlay", f"{root}/usr", "overlay", 0, f"lowerdir=/usr,upperdir={upper},workdir={work}")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        machine, guest = Path("/") / name, Path(root) / name
        if machine.is_symlink() and not guest.is_symlink():
            guest.symlink_to(machine.readlink())
        elif machine.is_dir() and not machine.is_symlink():
            bind(str(machine), str(guest), read_only=True)
    mount("tmpfs", f"{root}/usr/local", "tmpfs", MS_NOSUID, "mode=755")
    for name in ("bin", "sbin", "lib", "share"):
        (Path(root) / "usr/local" / name).mkdir()
    for name in ("run", "tmp", "dev"):
        mount("tmpfs", f"{root}/{name}", "tmpfs", MS_NOSUID, "mode=1777" if name == "tmp" else "mode=755")
    mount("tmpfs", f"{root}/dev/shm", "tmpfs", MS_NOSUID, "mode=1777")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        bind(f"/dev/{name}", f"{root}/dev/{name}")
    mount("devpts", f"{root}/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=620")
    for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0")):
        (Path(root) / "dev" / name).symlink_to(target)
    for name, target in (("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")):
        (Path(root) / "dev" / name).symlink_to(target)
    for source, target in dict(config["binds"]).items():  # type: ignore[call-overload]
        bind(source, root + target, read_only=True)
    mount("proc", f"{root}/proc", "proc", MS_NOSUID)
    bind(str(config["boot_id_file"]), f"{root}/proc/sys/kernel/random/boot_id", read_only=True)
    old = Path(root) / ".old"
    old.mkdir(exist_ok=True)
    os.chdir(root)
    number = SYS_PIVOT_ROOT[os.uname().machine]
    check(libc.syscall(number, b".", b".old"), "pivot_root")
    os.chdir("/")
    check(libc.umount2(b"/.old", MNT_DETACH), "detach the machine's root")
    Path("/.old").rmdir()


def raise_loopback() -> None:
    """lo with 127.0.0.1, and the metadata service's address beside it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:

        def request(code: int, name: bytes, payload: bytes) -> None:
            fcntl.ioctl(control, code, struct.pack("16s24s", name, payload))

        def address(text: str) -> bytes:
            return struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(text))

        request(SIOCSIFFLAGS, b"lo", struct.pack("h", IFF_UP_RUNNING))
        request(SIOCSIFADDR, b"lo:1", address("169.254.169.254"))
        request(SIOCSIFNETMASK, b"lo:1", address("255.255.255.255"))


def become(request: dict[str, object], fds: list[int]) -> None:
    """In the child: the descriptors in place, a session of its own, then the program."""
    os.setsid()
    for target, fd in enumerate(fds[:3]):
        os.dup2(fd, target, inheritable=True)
    if request.get("tty"):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.closerange(3, 1024)
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    argv = [str(part) for part in request["exec"]]  # type: ignore[attr-defined]
    try:
        os.chdir(str(request.get("cwd") or "/root"))
        os.execvpe(argv[0], argv, dict(request["env"]))  # type: ignore[call-overload]
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(127)


class Init:
    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.waiting: dict[int, int] = {}  # pid -> descriptor that hears how it ended

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            fd = self.waiting.pop(pid, None)
            if fd is not None:
                code = os.waitstatus_to_exitcode(status)
                try:
                    os.write(fd, f"{code}\n".encode())
                except BrokenPipeError:
                    pass  # the client went away before its program ended
                os.close(fd)

    def answer(self, request: dict[str, object], fds: list[int]) -> None:
        if "exec" in request:
            pid = os.fork()
            if pid == 0:
                become(request, fds)
            os.write(fds[3], f"{pid}\n".encode())
            self.waiting[pid] = fds[3]
            for fd in fds[:3]:
                os.close(fd)
        elif "kill" in request:
            try:
                os.killpg(int(str(request["kill"])), int(str(request["signal"])))
            except ProcessLookupError:
                pass  # it ended by itself
        elif "socket" in request:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
                place = request["socket"]
                if place:
                    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    made.bind((place[0], place[1]))  # type: ignore[index]
                    made.listen(64)
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [made.fileno()]))
                self.control.sendmsg([b"socket"], [rights])

    def serve(self) -> None:
        """Until the server closes the control socket, or dies."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        while True:
            ready, _, _ = select.select([self.control, reader], [], [])
            if reader in ready:
                os.read(reader, 4096)
            self.reap()
            if self.control in ready:
                data, ancillary, _flags, _address = self.control.recvmsg(1 << 20, socket.CMSG_SPACE(16))
                if not data:
                    return
                fds = array.array("i")
                for _level, _kind, rights in ancillary:
                    fds.frombytes(rights[: len(rights) - len(rights) % fds.itemsize])
                self.answer(json.loads(data), list(fds))


def main() -> None:
    die_with_parent()
    config = json.loads(Path(sys.argv[1]).read_text())
    control = socket.socket(fileno=int(sys.argv[2]))
    flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
    check(libc.unshare(flags), "unshare")
    pid = os.fork()
    if pid:
        control.send(f"pid {pid}".encode())
        control.close()
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    die_with_parent()
    try:
        build_root(config)
        raise_loopback()
        socket.sethostname(config["label"])
    except OSError as error:
        control.send(f"error {error}".encode())
        os._exit(1)
    os.umask(0o022)
    control.send(b"ready")
    Init(control).serve()
    os._exit(0)


if __name__ == "__main__":
    main()
