"""An SFTP version 3 server on standard input and output, so that sftp and scp see the host's own files.

draft-ietf-secsh-filexfer-02 with OpenSSH's posix-rename, fsync and limits-free defaults; standard library only.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
import time

OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8
_ERRORS = {errno.ENOENT: NO_SUCH_FILE, errno.EACCES: PERMISSION_DENIED, errno.EPERM: PERMISSION_DENIED}
_SIZE, _UIDGID, _MODE, _TIMES = 1, 2, 4, 8
READ, WRITE, APPEND, CREATE, TRUNCATE, EXCLUSIVE = 1, 2, 4, 8, 16, 32


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


class Packet:
    """Reads the fields of one request."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self) -> int:
        self.at += 4
        return int(struct.unpack_from(">I", self.data, self.at - 4)[0])

    def long(self) -> int:
        self.at += 8
        return int(struct.unpack_from(">Q", self.data, self.at - 8)[0])

    def string(self) -> bytes:
        size = self.number()
        self.at += size
        return self.data[self.at - size : self.at]

    def attributes(self) -> dict[int, tuple[int, ...]]:
        flags = self.number()
        found: dict[int, tuple[int, ...]] = {}
        if flags & _SIZE:
            found[_SIZE] = (self.long(),)
        for flag, count in ((_UIDGID, 2), (_MODE, 1), (_TIMES, 2)):
            if flags & flag:
                found[flag] = tuple(self.number() for _ in range(count))
        return found


def attributes_of(info: os.stat_result) -> bytes:
    times = (int(info.st_atime) & 0xFFFFFFFF, int(info.st_mtime) & 0xFFFFFFFF)
    return struct.pack(">IQIIIII", 15, info.st_size, info.st_uid, info.st_gid, info.st_mode, *times)


def apply(target: bytes | int, wanted: dict[int, tuple[int, ...]]) -> None:
    if _SIZE in wanted:
        os.truncate(target, wanted[_SIZE][0])
    if _UIDGID in wanted:
        os.chown(target, *wanted[_UIDGID])
    if _MODE in wanted:
        os.chmod(target, stat.S_IMODE(wanted[_MODE][0]))
    if _TIMES in wanted:
        accessed, modified = wanted[_TIMES]
        os.utime(target, (accessed, modified))


class Server:
    def __init__(self) -> None:
        self.handles: dict[bytes, int | list[bytes]] = {}
        self.count = 0

    def handle(self, value: int | list[bytes]) -> bytes:
        self.count += 1
        name = str(self.count).encode()
        self.handles[name] = value
        return b"\x66" + text(name)

    def file(self, packet: Packet) -> int:
        fd = self.handles.get(packet.string())
        if not isinstance(fd, int):
            raise OSError(errno.EBADF, "no such handle")
        return fd

    def answer(self, kind: int, packet: Packet) -> bytes:
        """The reply without its id: first byte the type."""
        method = _METHODS.get(kind)
        if method is None:
            return status(UNSUPPORTED, "operation unsupported")
        try:
            return method(self, packet)
        except EOFError:
            return status(EOF, "end of file")
        except OSError as error:
            return status(_ERRORS.get(error.errno or 0, FAILURE), error.strerror or str(error))

    def open(self, packet: Packet) -> bytes:
        path, flags, wanted = packet.string(), packet.number(), packet.attributes()
        mode = os.O_RDWR if flags & READ and flags & WRITE else os.O_WRONLY if flags & WRITE else os.O_RDONLY
        for flag, meaning in (
            (APPEND, os.O_APPEND),
            (CREATE, os.O_CREAT),
            (TRUNCATE, os.O_TRUNC),
            (EXCLUSIVE, os.O_EXCL),
        ):
            mode |= meaning if flags & flag else 0
        return self.handle(os.open(path, mode, stat.S_IMODE(wanted.get(_MODE, (0o666,))[0])))

    def close(self, packet: Packet) -> bytes:
        value = self.handles.pop(packet.string(), None)
        if isinstance(value, int):
            os.close(value)
        return status(OK if value is not None else FAILURE, "")

    def read(self, packet: Packet) -> bytes:
        fd, offset, size = self.file(packet), packet.long(), packet.number()
        data = os.pread(fd, min(size, 261120), offset)
        if not data:
            raise EOFError
        return b"\x67" + text(data)

    def write(self, packet: Packet) -> bytes:
        fd, offset, data = self.file(packet), packet.long(), packet.string()
        while data:
            written = os.pwrite(fd, data, offset)
            data, offset = data[written:], offset + written
        return status(OK, "")

    def lstat(self, packet: Packet) -> bytes:
        return b"\x69" + attributes_of(os.lstat(packet.string()))

    def stat(self, packet: Packet) -> bytes:
        return b"\x69" + attributes_of(os.stat(packet.string()))

    def fstat(self, packet: Packet) -> bytes:
        return b"\x69" + attributes_of(os.fstat(self.file(packet)))

    def setstat(self, packet: Packet) -> bytes:
        apply(packet.string(), packet.attributes())
        return status(OK, "")

    def fsetstat(self, packet: Packet) -> bytes:
        apply(self.file(packet), packet.attributes())
        return status(OK, "")

    def opendir(self, packet: Packet) -> bytes:
        path = packet.string()
        return self.handle([os.path.join(path, name) for name in [b".", b"..", *os.listdir(path)]])

    def readdir(self, packet: Packet) -> bytes:
        entries = self.handles.get(packet.string())
        if not isinstance(entries, list):
            raise OSError(errno.EBADF, "no such handle")
        if not entries:
            raise EOFError
        rows = []
        for path in entries[:100]:
            try:
                info = os.lstat(path)
            except FileNotFoundError:
                continue
            name = os.path.basename(path)
            when = time.strftime("%b %d %H:%M", time.localtime(info.st_mtime))
            line = f"{stat.filemode(info.st_mode)} {info.st_nlink} {info.st_uid} {info.st_gid} {info.st_size} {when} "
            rows.append(text(name) + text(line.encode() + name) + attributes_of(info))
        del entries[:100]
        return b"\x68" + struct.pack(">I", len(rows)) + b"".join(rows)

    def remove(self, packet: Packet) -> bytes:
        os.unlink(packet.string())
        return status(OK, "")

    def mkdir(self, packet: Packet) -> bytes:
        path, wanted = packet.string(), packet.attributes()
        os.mkdir(path, stat.S_IMODE(wanted.get(_MODE, (0o777,))[0]))
        return status(OK, "")

    def rmdir(self, packet: Packet) -> bytes:
        os.rmdir(packet.string())
        return status(OK, "")

    def realpath(self, packet: Packet) -> bytes:
        path = os.path.realpath(packet.string() or b".")
        return b"\x68" + struct.pack(">I", 1) + text(path) + text(path) + struct.pack(">I", 0)

    def rename(self, packet: Packet) -> bytes:
        old, new = packet.string(), packet.string()
        if os.path.lexists(new):
            raise OSError(errno.EEXIST, "file exists")
        os.rename(old, new)
        return status(OK, "")

    def readlink(self, packet: Packet) -> bytes:
        path = os.readlink(packet.string())
        return b"\x68" + struct.pack(">I", 1) + text(path) + text(path) + struct.pack(">I", 0)

    def symlink(self, packet: Packet) -> bytes:
        # OpenSSH sends the target first, whatever the draft says.
        target, link = packet.string(), packet.string()
        os.symlink(target, link)
        return status(OK, "")

    def extended(self, packet: Packet) -> bytes:
        name = packet.string()
        if name == b"posix-rename@openssh.com":
            os.replace(packet.string(), packet.string())
        elif name == b"fsync@openssh.com":
            os.fsync(self.file(packet))
        else:
            return status(UNSUPPORTED, "operation unsupported")
        return status(OK, "")


_METHODS = {
    3: Server.open,
    4: Server.close,
    5: Server.read,
    6: Server.write,
    7: Server.lstat,
    8: Server.fstat,
    9: Server.setstat,
    10: Server.fsetstat,
    11: Server.opendir,
    12: Server.readdir,
    13: Server.remove,
    14: Server.mkdir,
    15: Server.rmdir,
    16: Server.realpath,
    17: Server.stat,
    18: Server.rename,
    19: Server.readlink,
    20: Server.symlink,
    200: Server.extended,
}


def status(code: int, message: str) -> bytes:
    return b"\x65" + struct.pack(">I", code) + text(message.encode()) + text(b"")


def main(_arguments: list[str]) -> int:
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    server = Server()
    while True:
        head = source.read(4)
        if len(head) < 4:
            return 0
        body = source.read(struct.unpack(">I", head)[0])
        if body[0] == 1:
            extensions = text(b"posix-rename@openssh.com") + text(b"1") + text(b"fsync@openssh.com") + text(b"1")
            reply = b"\x02" + struct.pack(">I", 3) + extensions
        else:
            answered = server.answer(body[0], Packet(body[5:]))
            reply = answered[:1] + body[1:5] + answered[1:]
        sink.write(struct.pack(">I", len(reply)) + reply)
        sink.flush()
