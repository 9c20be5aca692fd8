# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch a model's files into the cache of the engine, before the engine starts and beside one that still serves.

Runs in a container of its own. Says one JSON object a line: {"event": "size"|"progress"|"retry"|"done"|"failed", ...}. What an
interrupted run fetched stays and the next one goes on from there. The token is read from the file HF_TOKEN_PATH.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

# Each pause is a chance for the network or the hub to come back.
PAUSES = [float(part) for part in os.environ.get("FETCH_PAUSES", "2,10,30,60,120").split(",")]
SPARE_BYTES = 2 * 10**9


def say(event, **facts):
    print(json.dumps({"event": event, "time": round(time.time(), 2), **facts}), flush=True)


def library():
    """huggingface_hub of this container, else the pinned one from the Python package index."""
    try:
        import huggingface_hub
    except ImportError:
        target = "/tmp/huggingface_hub"  # noqa: S108 - of a container that runs nothing else
        pinned = os.environ["HUGGINGFACE_HUB_REQUIREMENT"]
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--target", target, pinned],
            check=True,
        )
        sys.path.insert(0, target)
        import huggingface_hub
    return huggingface_hub


def stored(folder):
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


def drop_damaged(snapshot, wanted):
    """A finished file of another size is fetched anew; the library would keep it."""
    for name, size in wanted.items():
        link = snapshot / name
        if link.is_symlink() and link.exists() and link.stat().st_size != size:
            say("damaged", file=name, size=link.stat().st_size, wanted=size)
            link.resolve().unlink()
            link.unlink()


def watch(folder, total, stop):
    while not stop.wait(1.0):
        say("progress", done=min(stored(folder / "blobs"), total), total=total)


def kind_of(error, errors):
    """Which of the things that go wrong this is, and whether waiting can help."""
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
    return "network", True


def fetch(hub, model, revision):
    info = hub.HfApi().model_info(model, revision=revision, files_metadata=True)
    total = sum(file.size or 0 for file in info.siblings)
    home = Path(os.environ["HF_HOME"])
    folder = home / "hub" / ("models--" + model.replace("/", "--"))
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    have = min(stored(folder / "blobs"), total)
    free = shutil.disk_usage(home).free
    say("size", total=total, done=have, free=free, revision=info.sha)
    if total - have + SPARE_BYTES > free and total > have:
        say("failed", kind="disk_too_small", message=f"{total - have} bytes are to be fetched, {free} are free")
        return 1
    wanted = {file.rfilename: file.size for file in info.siblings if file.size is not None}
    drop_damaged(folder / "snapshots" / info.sha, wanted)
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(folder, total, stop), daemon=True)
    watcher.start()
    try:
        path = hub.snapshot_download(model, revision=info.sha, max_workers=8)
    finally:
        stop.set()
        watcher.join()
    if revision != info.sha:
        # Asked for a commit, the library does not note which branch that is, and the engine asks it offline for the branch.
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / revision).write_text(info.sha)
    # What is complete needs no hub any more: whoever asks compares these sizes with the files.
    marker = folder / "fetched.json"
    draft = marker.with_suffix(".new")
    draft.write_text(json.dumps({"model": model, "revision": info.sha, "path": path, "sizes": wanted}))
    draft.replace(marker)
    say("done", total=total, revision=info.sha, path=path)
    return 0


def main():
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
            asked = str(headers.get("Retry-After") or "")
            pause = min(max(pause, float(asked) if asked.isdigit() else 0.0), 900.0)
            say("retry", kind=kind, message=text, seconds=pause)
            time.sleep(pause)
    return 1


if __name__ == "__main__":
    sys.exit(main())
