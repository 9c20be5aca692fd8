# SPDX-License-Identifier: GPL-3.0-or-later
"""``with_docker.py COMMAND...``: run it with a Docker Engine, started for it where none answers, and stopped after it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_SECONDS = 60


def answers() -> bool:
    return subprocess.run(["docker", "version"], capture_output=True, timeout=60).returncode == 0


def main() -> int:
    missing = [tool for tool in ("docker", "mmdebstrap") if shutil.which(tool) is None]
    if missing:
        print(f"{' and '.join(missing)} missing: apt-get install docker.io mmdebstrap", file=sys.stderr)
        return 2
    if answers():
        return subprocess.run(sys.argv[1:]).returncode
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        print("no Docker Engine answers, and starting one takes root and dockerd (package docker.io)", file=sys.stderr)
        return 2
    log = Path(tempfile.gettempdir(), "linode-coder-dockerd.log")
    with log.open("wb") as output:
        engine = subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + _SECONDS
        while not answers():
            if engine.poll() is not None or time.monotonic() > deadline:
                print(f"dockerd does not start:\n{log.read_text(errors='replace')[-2000:]}", file=sys.stderr)
                return 2
            time.sleep(0.5)
        return subprocess.run(sys.argv[1:]).returncode
    finally:
        engine.send_signal(signal.SIGTERM)
        engine.wait(_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
