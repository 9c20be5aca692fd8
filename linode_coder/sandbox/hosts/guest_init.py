"""The first process of a simulated host: builds its root, reaps its children, starts commands for the server.

It is a fork of the keeper (`keeper.py`), so 50 of them share one interpreter's memory. It imports nothing after the
root has changed, and it ends, taking every process of the host with it, when the server closes its end or dies.
Standard library only.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import resource
import selectors
import signal
import socket
import stat
import struct
import termios
import time
from pathlib import Path
from typing import Any, NoReturn

from linode_coder.sandbox.hosts import kernel, messages

METADATA_ADDRESS = "169.254.169.254"
CONTROL_SOCKET = "/run/sandbox/init.sock"
# Device of each mounted volume or directory by its mount point, in the order in which they were mounted.
MOUNTS = Path("/run/sandbox/mounts.json")
BY_ID = Path("/dev/disk/by-id")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# Files of /proc that reach past the host, as container engines hide them.
_MASKED_FILES = ("sysrq-trigger", "kcore", "kmsg", "keys", "timer_list", "sched_debug")
_READONLY_DIRS = ("sys", "bus", "fs", "irq")
_HALT_SECONDS = 1.0


def run(sock: socket.socket, config: dict[str, Any]) -> NoReturn:
    """Set the host up as `config` says and serve `sock` until it closes; never returns."""
    status = 1
    try:
        try:
            _set_up(config)
        except OSError as error:
            messages.send(sock, {"event": "failed", "error": str(error)})
        else:
            Init(sock).serve()
            status = 0
    finally:
        os._exit(status)


def _set_up(config: dict[str, Any]) -> None:
    kernel.unshare(
        kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC,
        "mount, network, host name and IPC namespaces",
    )
    kernel.die_with_parent()
    socket.sethostname(config["hostname"])
    kernel.loopback_up(METADATA_ADDRESS)
    root = config["root"]
    kernel.bind(root, root)
    for overlay in config["overlays"]:
        kernel.overlay(overlay["lower"], overlay["upper"], overlay["work"], root + overlay["target"])
    # /sys is made by us; what is bound into it comes when it is there.
    late = [bound for bound in config["binds"] if bound["target"].startswith("/sys/")]
    for bound in config["binds"]:
        if bound not in late:
            _bind(bound, root)
    for hidden in config["hidden"]:
        kernel.mount("tmpfs", root + hidden, "tmpfs", data="mode=755,size=4k")
    _mount_dev(root + "/dev")
    _mount_sys(root + "/sys", config["dmi"], late)
    for name, mode in (("/run", "755"), ("/tmp", "1777")):
        kernel.mount("tmpfs", root + name, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"mode={mode}")
    kernel.mount("proc", root + "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.enter_root(root)
    _guard_proc(config["boot_id"])
    for name in config["run_dirs"]:
        Path(name).mkdir(parents=True, exist_ok=True)
    for name in config["remove"]:
        Path(name).unlink(missing_ok=True)
    _show_devices(config["devices"])
    for name, text in config["files"].items():
        Path(name).write_text(text)
        Path(name).chmod(0o755)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    os.umask(0o022)
    Path("/proc/self/comm").write_text("systemd")  # what tools take for a service manager
    kernel.drop_capabilities()


def _bind(bound: dict[str, Any], root: str) -> None:
    target = root + bound["target"]
    _make_mount_point(bound["source"], target)
    kernel.bind(bound["source"], target, readonly=bound["readonly"], recursive=bound["readonly"])


def _make_mount_point(source: str, target: str) -> None:
    if Path(source).is_dir():
        Path(target).mkdir(parents=True, exist_ok=True)
    else:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).touch()


def _mount_dev(dev: str) -> None:
    kernel.mount("tmpfs", dev, "tmpfs", kernel.MS_NOSUID, "mode=755,size=64k")
    for name in _DEVICES:
        Path(dev, name).touch()
        kernel.bind(f"/dev/{name}", f"{dev}/{name}")
    for name, mode in (("pts", 0o755), ("shm", 0o1777), ("mqueue", 0o1777)):
        Path(dev, name).mkdir()
        Path(dev, name).chmod(mode)
    kernel.mount("devpts", f"{dev}/pts", "devpts", kernel.MS_NOSUID, "newinstance,ptmxmode=0666,mode=620")
    kernel.mount("tmpfs", f"{dev}/shm", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")
    Path(dev, "ptmx").symlink_to("pts/ptmx")
    Path(dev, "fd").symlink_to("/proc/self/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        Path(dev, name).symlink_to(f"/proc/self/fd/{number}")


def _show_devices(devices: list[dict[str, Any]]) -> None:
    """Block devices of the volumes: files that say which directory is behind them, since nobody here may make device nodes."""
    BY_ID.mkdir(parents=True, exist_ok=True)
    shown: dict[str, str] = {}
    for link in BY_ID.iterdir():
        shown[link.name] = link.readlink().name
    wanted = {f"scsi-0Linode_Volume_{device['label']}": str(device["id"]) for device in devices}
    for name, node in shown.items():
        if name not in wanted:
            _unmount_all_of(f"/dev/{node}")
            (BY_ID / name).unlink()
            Path("/dev", node).unlink()
    # sda and sdb are the VM's own disk and its swap.
    free = iter(f"sd{letter}" for letter in "cdefghijklmnopqrstuvwxyz" if not Path(f"/dev/sd{letter}").exists())
    for name, number in wanted.items():
        if name not in shown:
            node = next(free)
            Path("/dev", node).write_text(number + "\n")
            Path("/dev", node).chmod(0o660)
            (BY_ID / name).symlink_to(f"../../{node}")


def _mounted() -> dict[str, str]:
    found: dict[str, str] = json.loads(MOUNTS.read_text()) if MOUNTS.exists() else {}
    return found


def _unmount_all_of(device: str) -> None:
    """What the kernel does not do when a device is pulled; whoever reads there finds what was there before the mount."""
    mounted = _mounted()
    for point, source in reversed(list(mounted.items())):
        if source == device:
            kernel.unmount(point)
            del mounted[point]
    MOUNTS.write_text(json.dumps(mounted))


def _mount_for(request: dict[str, Any]) -> dict[str, Any]:
    """``mount`` of the guest: a directory at another place, as from a device."""
    mounted = _mounted()
    try:
        if request["op"] == "mount":
            kernel.bind(request["directory"], request["target"])
            mounted[request["target"]] = request["device"]
        else:
            kernel.unmount(request["target"])
            mounted.pop(request["target"], None)
    except OSError as error:
        return {"error": error.strerror or str(error)}
    MOUNTS.write_text(json.dumps(mounted))
    return {}


def _mount_sys(sys_dir: str, dmi: dict[str, str], binds: list[dict[str, Any]]) -> None:
    kernel.mount("tmpfs", sys_dir, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755,size=256k")
    identity = Path(sys_dir, "class/dmi/id")
    identity.mkdir(parents=True)
    for name, value in dmi.items():
        (identity / name).write_text(value + "\n")
    lo = Path(sys_dir, "class/net/lo")
    lo.mkdir(parents=True)
    (lo / "address").write_text("00:00:00:00:00:00\n")
    devices = Path(sys_dir, "devices/virtual/dmi")
    devices.mkdir(parents=True)
    (devices / "id").symlink_to("/sys/class/dmi/id")
    for bound in binds:
        _bind(bound, sys_dir.removesuffix("/sys"))
    kernel.mount("none", sys_dir, flags=kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY)


def _guard_proc(boot_id: str) -> None:
    for name in _READONLY_DIRS:
        if Path("/proc", name).is_dir():
            kernel.bind(f"/proc/{name}", f"/proc/{name}", readonly=True, recursive=True)
    for name in _MASKED_FILES:
        if Path("/proc", name).exists():
            kernel.bind("/dev/null", f"/proc/{name}")
    Path("/run/sandbox").mkdir(mode=0o755)
    source = Path("/run/sandbox/boot_id")
    source.write_text(boot_id + "\n")
    kernel.bind(str(source), "/proc/sys/kernel/random/boot_id", readonly=True)


class Init:
    """Answers the server on one socket and the guest's own tools on `CONTROL_SOCKET`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._selector = selectors.DefaultSelector()
        self._commands: dict[int, int] = {}
        self._waiting: dict[int, socket.socket] = {}
        self._next_request = 0

    def serve(self) -> None:
        """Until the server's end closes."""
        wake_read, wake_write = socket.socketpair()
        wake_read.setblocking(False)
        wake_write.setblocking(False)
        signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        control.bind(CONTROL_SOCKET)
        control.listen(16)
        self._selector.register(self._sock, selectors.EVENT_READ)
        self._selector.register(wake_read, selectors.EVENT_READ)
        self._selector.register(control, selectors.EVENT_READ)
        messages.send(self._sock, {"event": "ready"})
        while True:
            for key, _mask in self._selector.select():
                if key.fileobj is self._sock:
                    received = messages.receive(self._sock)
                    if received is None:
                        return
                    self._handle(*received)
                elif key.fileobj is wake_read:
                    with contextlib.suppress(BlockingIOError):
                        wake_read.recv(4096)
                elif key.fileobj is control:
                    self._accept(control)
                else:
                    self._tool_request(key.fileobj)
            self._reap()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            command = self._commands.pop(pid, None)
            if command is not None:
                messages.send(self._sock, {"event": "exit", "id": command, "code": os.waitstatus_to_exitcode(status)})

    def _handle(self, message: dict[str, Any], files: list[int]) -> None:
        try:
            answer, opened = getattr(self, "_op_" + message["op"])(message, files)
            answer["id"] = message["id"]
        except OSError as error:
            answer, opened = {"id": message["id"], "error": error.strerror or str(error), "errno": error.errno}, ()
        finally:
            for fd in files:
                os.close(fd)
        messages.send(self._sock, answer, opened)
        for fd in opened:
            os.close(fd)

    # -- what the server can ask for; each returns the answer and files to send along

    def _op_spawn(self, message: dict[str, Any], files: list[int]) -> tuple[dict[str, Any], tuple[int, ...]]:
        master = -1
        if message.get("pty") is not None:
            master, slave = os.openpty()
            columns, rows, width, height = message["pty"]
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, width, height))
            stdio = [slave, slave, slave]
        else:
            slave, stdio = -1, files[:3]
        pid = os.fork()
        if pid == 0:
            self._become(message, stdio, terminal=slave >= 0)
        self._commands[pid] = message["id"]
        if slave >= 0:
            os.close(slave)
            return {"pid": pid}, (master,)
        return {"pid": pid}, ()

    @staticmethod
    def _become(message: dict[str, Any], stdio: list[int], *, terminal: bool) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            for caught in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT, signal.SIGXFSZ):
                signal.signal(caught, signal.SIG_DFL)
            os.setsid()
            # Copies above 2 first: a source may itself be one of 0, 1, 2.
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in stdio]
            for number, fd in enumerate(high):
                os.dup2(fd, number, inheritable=True)
            if terminal:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            os.chdir(message["cwd"])
            os.execve(message["program"], message["argv"], message["env"])
        except OSError as error:
            os.write(2, f"{message['program']}: {error.strerror}\n".encode())
        finally:
            os._exit(127)

    def _op_kill(self, message: dict[str, Any], files: list[int]) -> tuple[dict[str, Any], tuple[int, ...]]:
        for pid, command in self._commands.items():
            if command == message["command"]:
                with contextlib.suppress(ProcessLookupError):
                    if message["group"]:
                        os.killpg(pid, message["signal"])
                    else:
                        os.kill(pid, message["signal"])
                return {"found": True}, ()
        return {"found": False}, ()

    def _op_read(self, message: dict[str, Any], files: list[int]) -> tuple[dict[str, Any], tuple[int, ...]]:
        fd = os.open(message["path"], os.O_RDONLY | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(22, "not a regular file")
            data = os.read(fd, 96 * 1024)
        finally:
            os.close(fd)
        return {"data": base64.b64encode(data).decode()}, ()

    def _op_write(self, message: dict[str, Any], files: list[int]) -> tuple[dict[str, Any], tuple[int, ...]]:
        path = message["path"]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = f"{path}.{os.getpid()}.tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, message["mode"])
        try:
            os.write(fd, base64.b64decode(message["data"]))
        finally:
            os.close(fd)
        os.replace(temporary, path)
        return {}, ()

    def _op_remove(self, message: dict[str, Any], files: list[int]) -> tuple[dict[str, Any], tuple[int, ...]]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(message["path"])
        return {}, ()

    def _op_socket(self, message: dict[str, Any], files: list[int]) -> tuple[dict[str, Any], tuple[int, ...]]:
        family = socket.AF_INET6 if message["ipv6"] else socket.AF_INET
        return {}, (socket.socket(family, socket.SOCK_STREAM).detach(),)

    def _op_listen(self, message: dict[str, Any], files: list[int]) -> tuple[dict[str, Any], tuple[int, ...]]:
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((message["address"], message["port"]))
            sock.listen(64)
            return {}, (sock.detach(),)

    def _op_devices(self, message: dict[str, Any], files: list[int]) -> tuple[dict[str, Any], tuple[int, ...]]:
        _show_devices(message["devices"])
        return {}, ()

    def _op_hostname(self, message: dict[str, Any], files: list[int]) -> tuple[dict[str, Any], tuple[int, ...]]:
        socket.sethostname(message["name"])
        return {}, ()

    def _op_tool(self, message: dict[str, Any], files: list[int]) -> tuple[dict[str, Any], tuple[int, ...]]:
        """The server's answer to a request of a guest tool."""
        tool = self._waiting.pop(message["request"], None)
        if tool is not None:
            with contextlib.suppress(OSError):
                tool.sendall(json.dumps(message["answer"]).encode() + b"\n")
            tool.close()
        return {}, ()

    def _op_halt(self, message: dict[str, Any], files: list[int]) -> tuple[dict[str, Any], tuple[int, ...]]:
        """Ask every process to end, then end: the kernel kills what is left."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGTERM)
            os.kill(-1, signal.SIGCONT)
        until = time.monotonic() + _HALT_SECONDS
        while time.monotonic() < until:
            try:
                pid, _status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                time.sleep(0.01)
        os._exit(0)

    # -- requests of the guest's own tools (systemctl, reboot, hostnamectl): one JSON line, one JSON line back

    def _accept(self, control: socket.socket) -> None:
        tool, _address = control.accept()
        tool.settimeout(2)
        self._selector.register(tool, selectors.EVENT_READ)

    def _tool_request(self, tool: Any) -> None:
        self._selector.unregister(tool)
        try:
            request = json.loads(tool.recv(4096))
        except (OSError, ValueError):
            tool.close()
            return
        if request.get("op") in ("mount", "unmount"):
            # Only this process may, and it is about this host alone.
            with contextlib.suppress(OSError):
                tool.sendall(json.dumps(_mount_for(request)).encode() + b"\n")
            tool.close()
            return
        self._next_request += 1
        self._waiting[self._next_request] = tool
        messages.send(self._sock, {"event": "tool", "request": self._next_request, "message": request})
