# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that serve, for tests whose subject is not how they came up.

Each kind is brought up once per run with the product under test, by whoever needs it first, and saved with `sandbox snapshot
save`; everybody else goes on with that file. It lies in the directory that TEST_SNAPSHOTS names, which several runs
may share, else in the run's own; its name tells the product apart by the content of its files, so another build never sees it.
"""

from __future__ import annotations

import fcntl
import functools
import gzip
import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import linode_coder
from tests import product
from tests.sandbox_fixture import PLANTED, RunningSandbox, start_sandbox

# The session of each kind, by the arguments of `up`; its name comes first.
KINDS: dict[str, tuple[str, ...]] = {
    "one": ("main",),
    "four cards": ("sick", "--plan", "g2-gpu-rtx4000a4-m"),
    "group": ("team", "--replicas", "2"),
}


@functools.cache
def build() -> str:
    """The product under test, and what it runs on: a digest of its files."""
    digest = hashlib.sha256(f"{platform.python_version()} {metadata.version('ansible-core')}".encode())
    for root in (Path(linode_coder.__file__).parent, product.COLLECTION):
        for path in sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            digest.update(f"\0{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _place(factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("TEST_SNAPSHOTS")
    if named:
        place = Path(named)
    else:
        own = factory.getbasetemp()
        # Workers of one run have directories beside each other.
        place = (own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own) / "snapshots"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return place


def snapshot(factory: pytest.TempPathFactory, kind: str) -> Path:
    """The file, made when nobody has made it yet."""
    place = _place(factory)
    made_of = hashlib.sha256(f"{build()} {KINDS[kind]}".encode()).hexdigest()[:16]
    path = place / f"{kind.replace(' ', '-')}-{made_of}.snapshot"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with tempfile.TemporaryDirectory(prefix="ready-", dir=place) as directory:
                _make(Path(directory), kind, path)
    return path


def _make(directory: Path, kind: str, path: Path) -> None:
    with start_sandbox(directory, hosts="simulated") as sandbox:
        for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            sandbox.env.pop(variable, None)
        sandbox.env["HF_HOME"] = str(directory / "no-token")
        product.result_of(product.coder(sandbox, "up", *KINDS[kind], "--yes", "--json", timeout=600))
        draft = directory / "ready.snapshot"
        product.result_of(product.coder(sandbox, "sandbox", "snapshot", "save", str(draft), "--json", timeout=120))
    assert PLANTED.encode() not in gzip.decompress(draft.read_bytes())
    draft.rename(path)


def serving(sandbox: RunningSandbox, name: str = "main") -> dict[str, Any]:
    """The session as `up` reports it: ``session``, ``endpoint``, ``api_key_file`` and ``max_model_len``; its tunnel is open
    and its engine has answered."""
    deadline = time.monotonic() + 120
    while True:
        done = product.coder(sandbox, "use", name, "--print", "opencode", "--json", timeout=120)
        if done.returncode == 0:
            # `use` makes it the current one, which `up` does not.
            (sandbox.home / "state" / "current").unlink()
            # Where it had to wait for something, it says so in lines before.
            return dict(json.loads(done.stdout.splitlines()[-1]))
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.3)


@contextmanager
def ready_session(
    factory: pytest.TempPathFactory, directory: Path, kind: str = "one", plants_vms: bool = False
) -> Iterator[RunningSandbox]:
    """As `start_sandbox` with simulated hosts in `directory`, with the session of a kind, which serves.

    Its host booted a moment ago. What is checked after `start_sandbox` is checked here too.
    """
    path = snapshot(factory, kind)
    with start_sandbox(directory, plants_vms=plants_vms, snapshot=path) as sandbox:
        serving(sandbox, KINDS[kind][0])
        yield sandbox
