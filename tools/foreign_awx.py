# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test-foreign`: the modules of awx.awx set a played controller up with our playbook.

The collection comes out of the package `ansible`, which carries it; nothing else of that is kept.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The last one for Python 3.11, with awx.awx 24.6.1, which is the last release of AWX.
PACKAGE = "ansible==12.3.0"
PLACE = ROOT / ".cache/awx" / PACKAGE.replace("==", "-")


def collection() -> Path:
    """A place of collections with awx.awx alone."""
    if not PLACE.exists():
        PLACE.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetching-", dir=PLACE.parent) as directory:
            fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            subprocess.run([*fetch, "--dest", directory, PACKAGE], check=True)
            unpacked = Path(directory) / "unpacked"
            with zipfile.ZipFile(next(Path(directory).glob("ansible-*.whl"))) as wheel:
                wheel.extractall(
                    unpacked, [name for name in wheel.namelist() if name.startswith("ansible_collections/awx/")]
                )
            unpacked.rename(PLACE)
    return PLACE


def main() -> int:
    environment = {**os.environ, "AWX_COLLECTIONS": str(collection())}
    return subprocess.run(
        [str(Path(sys.executable).with_name("pytest")), "-q", "tests/foreign/test_awx.py"], cwd=ROOT, env=environment
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
