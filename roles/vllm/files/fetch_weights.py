# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch a model's files into the cache of the engine, before the engine starts and beside one that still serves.

Runs in a container of its own. Says one JSON object a line: {"event": "size"|"progress"|"retry"|"done"|"failed", ...}. What an
interrupted run fetched stays and the next one goes on from there. The token is read from the file HF_TOKEN_PATH.
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

# Each pause is a chance for the network or the hub to come back.
PAUSES = [float(part) for part in os.environ.get("FETCH_PAUSES", "2,10,30,60,120").split(",")]
SPARE_BYTES = int(os.environ.get("FETCH_SPARE_BYTES", 2 * 10**9))
# What is wrong with the VM's own disk or directories: the network has no part in it.
LOCAL = {
    errno.ENOENT,
    errno.EEXIST,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.EMFILE,
}


class DamagedError(Exception):
    """Files arrived with other bytes than the hub has."""


def say(event: str, **facts: Any) -> None:
    print(json.dumps({"event": event, "time": round(time.time(), 2), **facts}), flush=True)


def library() -> ModuleType:
    """huggingface_hub of this container, else the pinned one from the Python package index, by its hash."""
    target = str(Path(tempfile.gettempdir(), "huggingface_hub"))
    sys.path.append(target)
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        # Wheels with known hashes and nothing else: no program of a package runs while it is installed.
        pinned = [
            "--require-hashes",
            "--no-deps",
            "--only-binary=:all:",
            "-r",
            os.environ["HUGGINGFACE_HUB_REQUIREMENTS"],
        ]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--upgrade", "--target", target]
        # Standard output is for our lines alone.
        subprocess.run([*pip, *pinned], check=True, stdout=sys.stderr)
        importlib.invalidate_caches()
        return importlib.import_module("huggingface_hub")


def stored(folder: Path) -> int:
    """Bytes that lie on the disk, unfinished files with them; a sparse file counts what it holds."""
    total = 0
    for path in folder.glob("**/*"):
        try:
            if path.is_file() and not path.is_symlink():
                info = path.stat()
                total += min(info.st_size, info.st_blocks * 512)
        except FileNotFoundError:
            continue  # renamed at this moment: counted next time
    return total


def drop(link: Path) -> None:
    blob = link.resolve()
    link.unlink()
    blob.unlink(missing_ok=True)


def drop_damaged(folder: Path, snapshot: Path, files: list[RepoSibling]) -> None:
    """What the library would keep although it is wrong: a finished file of another size, an unfinished one that is too long."""
    for file in files:
        link = snapshot / file.rfilename
        if link.is_symlink() and link.exists() and link.stat().st_size != file.size:
            say("damaged", file=file.rfilename, size=link.stat().st_size, wanted=file.size)
            drop(link)
        part = folder / "blobs" / f"{file.lfs.sha256 if file.lfs else file.blob_id}.incomplete"
        if part.exists() and part.stat().st_size > file.size:
            say("damaged", file=file.rfilename, size=part.stat().st_size, wanted=file.size)
            part.unlink()


class Check:
    """Compares the bytes of finished files with the hub's checksums while others are still fetched: the library compares sizes."""

    def __init__(self, snapshot: Path, files: list[RepoSibling]) -> None:
        self.snapshot = snapshot
        self.wanted: dict[str, str] = {file.rfilename: file.lfs.sha256 for file in files if file.lfs}
        self.pool = ThreadPoolExecutor(2)
        self.found: dict[str, Future[str]] = {}

    @staticmethod
    def digest(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def look(self) -> None:
        for name in self.wanted:
            if name not in self.found and (self.snapshot / name).exists():
                self.found[name] = self.pool.submit(self.digest, self.snapshot / name)

    def finish(self) -> None:
        """DamagedError when files differ, which are gone then."""
        self.look()
        wrong = [name for name, digest in self.found.items() if digest.result() != self.wanted[name]]
        for name in wrong:
            link = self.snapshot / name
            say("damaged", file=name, size=link.stat().st_size, wanted=link.stat().st_size)
            drop(link)
        if wrong:
            raise DamagedError(f"other bytes than the hub has: {', '.join(wrong)}")


def watch(folder: Path, total: int, check: Check, stop: threading.Event) -> None:
    while not stop.wait(1.0):
        check.look()
        say("progress", done=min(stored(folder / "blobs"), total), total=total)


def kind_of(error: BaseException, errors: ModuleType) -> tuple[str, bool]:
    """Which of the things that go wrong this is, and whether waiting can help."""
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        # The library looked for files of an earlier download instead: what it could not get from the hub is the reason.
        return kind_of(error.__cause__, errors)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return "gated", False
    if isinstance(error, errors.RevisionNotFoundError):
        return "revision", False
    if status == 401 and not isinstance(error, errors.RepositoryNotFoundError):
        return "unauthorized", False
    if isinstance(error, errors.RepositoryNotFoundError):
        return "not_found", False
    if status == 403:
        return "forbidden", False
    if status == 429:
        return "rate_limited", True
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk_full", False
    if isinstance(error, DamagedError):
        return "damaged", True
    # Some of the library's own errors are OSErrors too, without a number.
    if isinstance(error, OSError) and error.errno in LOCAL:
        return "local", False
    return "network", True


def asked_pause(headers: Mapping[str, str]) -> float:
    """Seconds that an answer asks to wait: Retry-After, or what is left of the hub's window as in `RateLimit: "api";r=0;t=55`."""
    after = str(headers.get("Retry-After") or "")
    left = re.search(r";\s*t\s*=\s*(\d+)", str(headers.get("RateLimit") or ""))
    return max(float(after) if after.isdigit() else 0.0, float(left[1]) if left else 0.0)


def fetch(hub: ModuleType, model: str, revision: str) -> int:
    info = hub.HfApi().model_info(model, revision=revision, files_metadata=True)
    files = [file for file in info.siblings if file.size is not None]
    total = sum(file.size for file in files)
    if any(file.size > hub.constants.MAX_HTTP_DOWNLOAD_SIZE for file in files):
        # Only this way can such a file be had; it begins anew when it is cut.
        hub.constants.HF_HUB_DISABLE_XET = False
    home = Path(os.environ["HF_HOME"])
    folder = home / "hub" / ("models--" + model.replace("/", "--"))
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    have = min(stored(folder / "blobs"), total)
    free = shutil.disk_usage(home).free
    say("size", total=total, done=have, free=free, revision=info.sha)
    if total - have + SPARE_BYTES > free and total > have:
        say("failed", kind="disk_too_small", message=f"{total - have} bytes are to be fetched, {free} are free")
        return 1
    snapshot = folder / "snapshots" / info.sha
    drop_damaged(folder, snapshot, files)
    check = Check(snapshot, files)
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(folder, total, check, stop), daemon=True)
    watcher.start()
    try:
        path = hub.snapshot_download(model, revision=info.sha, max_workers=8)
    finally:
        stop.set()
        watcher.join()
    check.finish()
    if revision != info.sha:
        # Asked for a commit, the library does not note which branch that is, and the engine asks it offline for the branch.
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / revision).write_text(info.sha)
    # What is complete needs no hub any more: whoever asks compares these sizes with the files.
    marker = folder / "fetched.json"
    draft = marker.with_suffix(".new")
    sizes = {file.rfilename: file.size for file in files}
    draft.write_text(json.dumps({"model": model, "revision": info.sha, "path": path, "sizes": sizes}))
    draft.replace(marker)
    say("done", total=total, revision=info.sha, path=path)
    return 0


def main() -> int:
    model, revision = os.environ["MODEL"], os.environ.get("REVISION") or "main"
    say("begin", model=model, revision=revision)
    hub = library()
    from huggingface_hub import errors

    for pause in [*PAUSES, None]:
        try:
            return fetch(hub, model, revision)
        except Exception as error:  # noqa: BLE001 - whoever waits needs to read what it was, whatever it was
            kind, again = kind_of(error, errors)
            text = " ".join(str(error).split())[:600]
            if not again or pause is None:
                say("failed", kind=kind, message=text, error=type(error).__name__)
                return 1
            headers = getattr(getattr(error, "response", None), "headers", None) or {}
            pause = min(max(pause, asked_pause(headers)), 900.0)
            say("retry", kind=kind, message=text, seconds=pause)
            time.sleep(pause)
    return 1


if __name__ == "__main__":
    sys.exit(main())
