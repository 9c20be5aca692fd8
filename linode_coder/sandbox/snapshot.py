"""A sandbox in one file: its account, its hosts, and what this machine needs to reach their sessions.

Of the account every time is moved by the age of the snapshot when it is started: leases, caps and bills go on where they
stood. Inside the hosts it is as after a reboot: files are as they were, processes are new, the idle clock has not run.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import (
    sandbox_dir,
    session_dir,
    ssh_key_path,
    state_dir,
)

from .. import __version__
from . import control
from .hosts.base import VOLUMES
from .own_environment import Say
from .snapshot_account import sessions, settle
from .snapshot_archive import DamagedError, Reader, write

FORMAT = 1
# What `control.start` is given again; it finds the port.
_OPTIONS = ("hosts", "engine", "timing", "rate_limits", "seed_instances", "guest_seconds")

# What a sandbox that can be saved has; timing and rate limits are looked up by the server.
_KNOWN = {"hosts": ("none", "simulated"), "engine": ("standin", "vllm")}


def save(target: Path) -> dict[str, Any]:
    """Write the running sandbox, which is stopped for that and started again; its facts then, and what was saved."""
    facts = control.running()
    if facts["hosts"] == "docker":
        raise Failure(
            "refused",
            "A sandbox with docker hosts cannot be saved: their files belong to the Docker Engine.",
            remedy="Use simulated hosts: linode-coder sandbox start --hosts simulated",
        )
    target = target.expanduser().absolute()
    if os.path.lexists(target):
        raise Failure(
            "conflict",
            f"{target} exists.",
            remedy="Name another file, or remove it.",
            field="path",
            value=str(target),
        )
    if not target.parent.is_dir():
        raise Failure(
            "usage",
            f"There is no directory {target.parent}.",
            remedy="Make it first, or name another file.",
            field="path",
            value=str(target),
        )
    options = {name: facts[name] for name in _OPTIONS}
    control.stop()
    try:
        saved = _write(target, options)
    finally:
        facts, _started = control.start(**options)  # on the same port, unless somebody took it
    return {**saved, "sandbox": facts}


def _write(target: Path, options: dict[str, Any]) -> dict[str, Any]:
    draft = target.with_name(f".linode-coder-snapshot.{os.getpid()}.new")
    manifest = {"format": FORMAT, "version": __version__, "saved": time.time(), "options": options}
    names = sessions(sandbox_dir() / "state.sqlite")
    try:
        size = write(draft, manifest, state_dir(), _parts(names))
        draft.rename(target)
    except OSError as error:
        raise Failure(
            "config",
            f"The snapshot could not be written to {target}.",
            cause=str(error),
            remedy="Make room, or name another file; the sandbox is as it was.",
            field="path",
            value=str(target),
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return {"path": str(target), "bytes": size, "sessions": names}


def _parts(names: list[str]) -> Iterator[Path]:
    """What belongs to it, directories before what lies in them. No history: its numbers would be of other VMs there."""
    directory, key = sandbox_dir(), ssh_key_path()
    yield directory
    yield directory / "state.sqlite"
    if (directory / "hosts").is_dir():
        yield directory / "hosts"
        for host in sorted(path for path in (directory / "hosts").iterdir() if path.name.isdigit()):
            yield from _host(host)
        if (directory / "hosts" / VOLUMES).is_dir():
            yield from _tree(directory / "hosts" / VOLUMES)
    if key.exists():
        yield from (key.parent, key, key.with_name(key.name + ".pub"))
    kept = [session_dir(name) for name in names if (session_dir(name) / "api_key").exists()]
    if kept:
        yield kept[0].parent
    for session in kept:
        yield from (session, session / "api_key")


def _host(home: Path) -> Iterator[Path]:
    """Of a host: all but what an overlay works with, which is empty when it is mounted."""
    yield home
    for path in sorted(home.iterdir()):
        if path.name == "work":
            yield from (path, *sorted(path.iterdir()))
        else:
            yield from _tree(path)


def _tree(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        for directory, names, files in os.walk(path, onerror=_raise):
            yield from (Path(directory, name) for name in sorted([*names, *files]))


def _raise(error: OSError) -> None:
    raise error


def start(source: Path, port: int = 0, say: Say = lambda _step, _detail: None) -> dict[str, Any]:
    """Start what was saved at `source` as this machine's sandbox, which has none and nothing of sessions; its facts."""
    source = source.expanduser().absolute()
    _check_place()
    with _damage(source):
        if not source.is_file():
            raise DamagedError("there is no such file")
        reader = Reader(source)
        options = _options(reader.manifest)
        age = max(0, round(time.time() - float(reader.manifest["saved"])))
    state = state_dir()
    state.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = state.with_name(f".{state.name}.{os.getpid()}.new")
    draft.mkdir(mode=0o700)
    try:
        with _damage(source):
            reader.extract(draft)
            if not (draft / "sandbox/state.sqlite").is_file():
                raise DamagedError("it has no account")
            settle(draft / "sandbox", age)
        draft.rename(state)
    except BaseException:
        _remove(draft)
        raise
    try:
        return control.start(**options, port=port, say=say)[0]
    except BaseException:
        _remove(state)
        raise


def _check_place() -> None:
    if control.record() is not None:
        raise Failure(
            "conflict",
            "A sandbox is running.",
            remedy="Stop it, and give the other one a place of its own: LINODE_CODER_HOME=DIRECTORY",
        )
    state = state_dir()
    if state.exists() and any(state.iterdir()):
        raise Failure(
            "conflict",
            f"{state} is not empty, and a snapshot brings keys and an account of its own.",
            remedy="Set LINODE_CODER_HOME to a new directory.",
            value=str(state),
        )


def _options(manifest: dict[str, Any]) -> dict[str, Any]:
    version = manifest["version"]
    if (manifest["format"], version) != (FORMAT, __version__):
        raise Failure(
            "refused",
            f"The snapshot was saved by linode-coder {version}, and this is {__version__}.",
            remedy="Start it with that version, or save a new one: linode-coder sandbox snapshot save PATH",
            field="from",
        )
    options = {name: manifest["options"][name] for name in _OPTIONS}
    for name, known in _KNOWN.items():
        if options[name] not in known:
            raise DamagedError(f"its {name} {options[name]!r} are none that can be saved")
    return options


@contextmanager
def _damage(source: Path) -> Iterator[None]:
    """What is wrong with the file, or with the place for its content, as a sentence."""
    try:
        yield
    except (DamagedError, sqlite3.DatabaseError, ValueError, KeyError, TypeError) as error:
        raise Failure(
            "usage",
            f"{source} is no snapshot of a sandbox, or not a whole one.",
            cause=str(error),
            remedy="Save one: linode-coder sandbox snapshot save PATH",
            field="from",
            value=str(source),
        ) from error
    except OSError as error:
        raise Failure(
            "config",
            f"The snapshot {source} could not be unpacked.",
            cause=str(error),
            remedy=f"Look at the file, and at the disk of {state_dir()}.",
            field="from",
            value=str(source),
        ) from error


def _remove(directory: Path) -> None:
    from .hosts.image import remove_tree

    remove_tree(directory)
