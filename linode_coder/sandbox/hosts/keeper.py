"""Keeps the namespaces of all simulated hosts, in one process tree that cannot outlive the server.

    server -> launcher (its own user namespace) -> keeper (PID 1 of a PID namespace) -> the first process of each host

The launcher maps root of the user namespace to the invoking user (or, when that is root, every user to itself), so
hosts need no privilege and a host's root has none over the machine. When the server dies, its end of the socket
closes and the keeper ends; the kernel then ends everything inside the keeper's PID namespace, and with the last process of a
mount namespace its mounts go. Standard library only; started with `python -I -S`.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from linode_coder.sandbox.hosts import guest_init, kernel, messages

LOCK_FILE = "keeper.lock"
VOLATILE = "volatile"


def main() -> int:
    """`argv`: file descriptor of the server's socket, the directory of the hosts."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    root = Path(sys.argv[2])
    kernel.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lock = os.open(root / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        messages.send(sock, {"event": "failed", "step": "lock", "error": "another sandbox keeps these hosts"})
        return 1
    try:
        _own_user_namespace()
        pid = os.fork()
    except OSError as error:
        messages.send(sock, {"event": "failed", "step": "namespace", "error": str(error)})
        return 1
    if pid == 0:
        os.close(lock)
        status = 1
        try:
            kernel.die_with_parent()
            status = _keep(sock, root)
        finally:
            os._exit(status)
    sock.close()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF


def _own_user_namespace() -> None:
    uid, gid = os.getuid(), os.getgid()
    to_helper_read, to_helper = os.pipe()
    from_helper, from_helper_write = os.pipe()
    helper = os.fork()
    if helper == 0:
        # Only a process outside the new namespace may map more than its own user.
        os.close(to_helper)
        status = 1
        try:
            os.read(to_helper_read, 1)
            _map_users(os.getppid(), uid, gid)
            status = 0
        except OSError as error:
            os.write(from_helper_write, str(error).encode())
        finally:
            os._exit(status)
    os.close(from_helper_write)
    kernel.unshare(kernel.CLONE_NEWUSER, "user namespace")
    os.write(to_helper, b".")
    complaint = os.read(from_helper, 4096)
    os.waitpid(helper, 0)
    for fd in (to_helper_read, to_helper, from_helper):
        os.close(fd)
    if complaint:
        raise OSError(1, f"mapping users: {complaint.decode()}")
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID, "mount and process namespaces")


def _map_users(pid: int, uid: int, gid: int) -> None:
    proc = Path("/proc", str(pid))
    if uid == 0:
        # Whoever is root here: all users that exist in this namespace, each as itself.
        for kind in ("uid", "gid"):
            lines = Path("/proc/self", f"{kind}_map").read_text().splitlines()
            spans = ((int(line.split()[0]), int(line.split()[2])) for line in lines)
            (proc / f"{kind}_map").write_text("".join(f"{first} {first} {count}\n" for first, count in spans))
        return
    (proc / "setgroups").write_text("deny")
    (proc / "uid_map").write_text(f"0 {uid} 1\n")
    (proc / "gid_map").write_text(f"0 {gid} 1\n")


def _keep(sock: socket.socket, root: Path) -> int:
    try:
        kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
        volatile = _probe(root)
    except OSError as error:
        messages.send(sock, {"event": "failed", "step": "probe", "error": str(error)})
        return 1
    messages.send(sock, {"event": "ready", "volatile": volatile})
    gc.collect()
    gc.freeze()  # forks then share these pages
    return Keeper(sock).serve()


def _probe(root: Path) -> bool:
    """Try an overlay over /usr; True when it needs a tmpfs because the hosts' file system cannot carry one."""
    try:
        _try_overlay(root / "probe")
    except OSError:
        volatile = root / VOLATILE
        volatile.mkdir(exist_ok=True)
        kernel.mount("tmpfs", str(volatile), "tmpfs", data="mode=700")
        _try_overlay(volatile / "probe")
        return True
    return False


def _try_overlay(base: Path) -> None:
    for name in ("upper", "work", "merged"):
        (base / name).mkdir(parents=True, exist_ok=True)
    merged = str(base / "merged")
    kernel.overlay(["/usr"], str(base / "upper"), str(base / "work"), merged)
    kernel.unmount(merged)


class Keeper:
    """Forks one first process per host on request and reports how each ended."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._hosts: dict[int, int] = {}

    def serve(self) -> int:
        """Until the server's end closes; the status to exit with."""
        wake_read, wake_write = socket.socketpair()
        wake_read.setblocking(False)
        wake_write.setblocking(False)
        signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            selector.register(wake_read, selectors.EVENT_READ)
            while True:
                for key, _mask in selector.select():
                    if key.fileobj is wake_read:
                        with contextlib.suppress(BlockingIOError):
                            wake_read.recv(4096)
                        continue
                    received = messages.receive(self._sock)
                    if received is None:
                        return 0
                    self._handle(*received)
                self._reap()

    def _handle(self, message: dict[str, Any], files: list[int]) -> None:
        if message["op"] == "boot":
            try:
                pid = self._fork_host(message["config"], files[0])
            except OSError as error:
                messages.send(self._sock, {"event": "failed", "host": message["host"], "error": str(error)})
            else:
                self._hosts[pid] = message["boot"]
        elif message["op"] == "kill":
            for pid, boot in self._hosts.items():
                if boot == message["boot"]:
                    os.kill(pid, signal.SIGKILL)
        for fd in files:
            os.close(fd)

    def _fork_host(self, config: dict[str, Any], control: int) -> int:
        kernel.unshare(kernel.CLONE_NEWPID, "process namespace")
        try:
            pid = os.fork()
            if pid == 0:
                self._first_process(config, control)
        finally:
            # Only what is forked in between belongs to the host.
            kernel.setns(self._own_pid_namespace, kernel.CLONE_NEWPID)
        return pid

    def _first_process(self, config: dict[str, Any], control: int) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            self._sock.close()
            os.close(self._own_pid_namespace)
            host = socket.socket(fileno=os.dup(control))
            os.closerange(3, host.fileno())
            os.closerange(host.fileno() + 1, 4096)
            guest_init.run(host, config)
        finally:
            os._exit(1)

    def _reap(self) -> None:
        while self._hosts:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            boot = self._hosts.pop(pid, None)
            if boot is not None:
                code = os.waitstatus_to_exitcode(status)
                messages.send(self._sock, {"event": "ended", "boot": boot, "code": code})
