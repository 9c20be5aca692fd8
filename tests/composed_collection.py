# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as it ships, with the roles, playbooks and inventory plugin that lie beside it in the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def composed() -> Iterator[Path]:
    """A copy of it in a directory of its own, from the built wheel."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    with tempfile.TemporaryDirectory(prefix="linode-coder-collection-") as directory:
        zipfile.ZipFile(wheel).extractall(directory)
        yield Path(directory, "ansible_collections", "linode_coder", "gpu")


def run(collection: Path, program: str, *arguments: str) -> int:
    """Run a program of this environment in the collection, with no setting and no home of whoever calls; its exit code."""
    here = Path(sys.executable).parent
    home = collection.parents[2]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"HOME": str(home), "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run([str(here / program), *arguments], cwd=collection, env=environment, check=False).returncode
