"""mount, umount, findmnt, blkid and mkfs.ext4 of the sandbox, for its block storage volumes and directories, and no other devices.

Texts and exit codes are those of util-linux 2.39 and e2fsprogs 1.47. A mount is one of the kernel's: it shows a directory elsewhere.
"""

from __future__ import annotations

import json
import shutil
import sys
import uuid
from pathlib import Path

from .power import tell_server

DISKS = Path("/var/lib/sandbox/disks")
MOUNTS = Path("/run/sandbox/mounts.json")
FSTAB = Path("/etc/fstab")


def fail(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code


def disk_of(device: str) -> Path | None:
    """The directory behind a block device; None for what is none."""
    try:
        number = Path(device).resolve(strict=True).read_text().strip()
    except (OSError, ValueError):
        return None
    return DISKS / number if number.isdigit() and (DISKS / number).is_dir() else None


def mounted() -> dict[str, str]:
    found: dict[str, str] = json.loads(MOUNTS.read_text()) if MOUNTS.exists() else {}
    return found


def _fstab() -> list[list[str]]:
    lines = FSTAB.read_text().splitlines() if FSTAB.exists() else []
    return [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _mount(source: str, target: str, bound: bool) -> int:
    if not Path(target).is_dir():
        return fail(f"mount: {target}: mount point does not exist.", 32)
    point = str(Path(target).resolve())
    if bound:
        if not Path(source).is_dir():
            return fail(f"mount: {target}: special device {source} does not exist.", 32)
        directory = str(Path(source).resolve())
        under = [name for name in mounted() if directory == name or directory.startswith(name + "/")]
        device = "/dev/sda" if not under else mounted()[max(under, key=len)].partition("[")[0]
        device += f"[{directory[len(max(under, key=len, default='')) :]}]"
    else:
        if not Path(source).exists():
            return fail(f"mount: {target}: special device {source} does not exist.", 32)
        disk = disk_of(source)
        device = str(Path(source).resolve())
        if disk is None or not (disk / "filesystem.json").exists():
            wrong = "wrong fs type, bad option, bad superblock on"
            return fail(f"mount: {target}: {wrong} {device}, missing codepage or helper program, or other error.", 32)
        if device in mounted().values():
            return fail(f"mount: {target}: {device} already mounted on {target}.", 32)
        directory = str(disk / "fs")
    complaint = tell_server({"op": "mount", "directory": directory, "target": point, "device": device})
    return 0 if complaint is None else fail(f"mount: {target}: {complaint}.", 32)


def mount(arguments: list[str]) -> int:
    words, bound, options = [], False, ""
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word in ("-o", "--options", "-t", "--types"):
            value = rest.pop(0)
            options = value if word in ("-o", "--options") else options
        elif word in ("-a", "--all"):
            code = 0
            for source, target, kind, given, *_ in _fstab():
                done = str(Path(target).resolve()) in mounted()
                code = code if done else _from_fstab(source, target, kind, given) or code
            return code
        elif word in ("-B", "--bind"):
            bound = True
        elif word.startswith("-"):
            return fail(f"mount: unrecognized option '{word}'", 1)
        else:
            words.append(word)
    bound = bound or "bind" in options.split(",")
    if not words:
        for point, device in mounted().items():
            print(f"{device} on {point} type ext4 (rw,noatime)")
        return 0
    if len(words) == 1:
        for source, target, kind, given, *_ in _fstab():
            if target == words[0]:
                return _from_fstab(source, target, kind, given)
        return fail(f"mount: {words[0]}: can't find in /etc/fstab.", 1)
    return _mount(words[0], words[1], bound)


def _from_fstab(source: str, target: str, kind: str, options: str) -> int:
    given = options.split(",")
    if "nofail" in given and not Path(source).exists():
        return 0
    return _mount(source, target, "bind" in given)


def umount(arguments: list[str]) -> int:
    code = 0
    for target in [word for word in arguments if not word.startswith("-")]:
        point = str(Path(target).resolve())
        if point not in mounted():
            code = fail(f"umount: {target}: not mounted.", 32)
            continue
        complaint = tell_server({"op": "unmount", "target": point})
        if complaint is not None:
            code = fail(f"umount: {target}: {complaint}.", 32)
    return code


def findmnt(arguments: list[str]) -> int:
    """``--noheadings --output SOURCE --mountpoint PATH``, and without a path all of them."""
    point = arguments[arguments.index("--mountpoint") + 1] if "--mountpoint" in arguments else None
    found = [source for target, source in mounted().items() if point in (None, target)]
    for source in found:
        print(source)
    return 0 if found else 1


def blkid(arguments: list[str]) -> int:
    device = [word for word in arguments if word.startswith("/")][-1]
    disk = disk_of(device)
    if disk is None or not (disk / "filesystem.json").exists():
        return 2
    facts = json.loads((disk / "filesystem.json").read_text())
    print(f"DEVNAME={device}\nUUID={facts['uuid']}\nBLOCK_SIZE=4096\nTYPE={facts['type']}")
    return 0


def mkfs_ext4(arguments: list[str]) -> int:
    """A new file system, whatever was there: nobody is asked where nobody sits."""
    device = arguments[-1]
    print("mke2fs 1.47.0 (5-Feb-2023)", file=sys.stderr)
    disk = disk_of(device)
    if disk is None:
        return fail(f"The file {device} does not exist and no size was specified.", 1)
    if str(Path(device).resolve()) in mounted().values():
        return fail(f"{device} is mounted; will not make a filesystem here!", 1)
    shutil.rmtree(disk / "fs", ignore_errors=True)
    (disk / "fs" / "lost+found").mkdir(parents=True, mode=0o700)
    facts = {"uuid": str(uuid.uuid4()), "type": "ext4"}
    (disk / "filesystem.json").write_text(json.dumps(facts))
    blocks = int(json.loads((disk / "disk.json").read_text())["size"]) * 2**30 // 4096
    print(f"Creating filesystem with {blocks} 4k blocks and {blocks // 4} inodes\nFilesystem UUID: {facts['uuid']}")
    return 0


TOOLS = {"mount": mount, "umount": umount, "findmnt": findmnt, "blkid": blkid, "mkfs.ext4": mkfs_ext4}


def main(arguments: list[str]) -> int:
    return TOOLS[arguments[0]](arguments[1:])
