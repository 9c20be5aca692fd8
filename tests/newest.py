"""`make test-newest`: unit tests and a part of the integration tests on the newest ansible-core that a newer Python runs.

ansible-core drops a Python a year: what is installed for the floor (3.11) is not what a newer Python gets.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
INTEGRATION = (
    "tests/integration/test_validate.py",
    "tests/slow/test_playbooks.py::test_a_session_from_first_to_last",
    "tests/integration/test_spine.py::test_up_ends_with_an_endpoint_that_answers",
    "tests/integration/test_spine.py::test_second_up_changes_nothing",
)


def version_of(python: str) -> tuple[int, int] | None:
    """None for a program that is no working Python with venv."""
    code = "import ensurepip, ssl, sqlite3, sys; print(*sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60)
    if done.returncode:
        return None
    major, minor = done.stdout.split()
    return int(major), int(minor)


def newest_python() -> tuple[str, tuple[int, int]] | None:
    """The newest Python that ansible-core supports and that is newer than this one."""
    candidates = {found for minor in range(12, 15) if (found := shutil.which(f"python3.{minor}"))}
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates |= {str(path) for path in pyenv.glob("3.*/bin/python3")}
    found = [(version, python) for python in sorted(candidates) if (version := version_of(python))]
    newer = [(version, python) for version, python in found if sys.version_info[:2] < version < (3, 15)]
    return (max(newer)[1], max(newer)[0]) if newer else None


def constraints() -> str:
    """Our pins without those that belong to the floor's Python."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return "\n".join(
        line for line in lines if not re.match(r"(ansible-core|ansible-compat|ansible-lint|molecule)==", line)
    )


def main() -> int:
    found = newest_python()
    if found is None:
        running = f"{sys.version_info.major}.{sys.version_info.minor}"
        print(f"NOT TESTED on the newest ansible-core: no Python newer than {running} is here (3.12, 3.13 or 3.14,")
        print("on PATH or from pyenv). What only the newest core breaks would go unnoticed.")
        return 0
    python, version = found
    venv = ROOT / f".venv-{version[0]}.{version[1]}"
    program = str(venv / "bin" / "python")
    if not (venv / ".complete").exists():
        print(f"installing into {venv.name} ...", flush=True)
        subprocess.run([python, "-m", "venv", "--clear", str(venv)], check=True)
        pins = venv / "constraints.txt"
        pins.write_text(constraints() + "\n")
        install = [program, "-m", "pip", "install", "--quiet", "-c", str(pins), "-e", ".[sandbox,demo]"]
        tools = ["hypothesis", "linode-cli", "pexpect", "psutil", "pytest", "pytest-timeout", "pytest-xdist"]
        subprocess.run([*install, *tools], cwd=ROOT, check=True)
        (venv / ".complete").touch()
    core = subprocess.run(
        [program, "-c", "import ansible.release; print(ansible.release.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    print(f"Python {version[0]}.{version[1]}, ansible-core {core.stdout.strip()}", flush=True)
    environment = os.environ | {"PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    pytest = [program, "-m", "pytest", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider"]
    for part in (["tests/unit"], INTEGRATION):
        code = subprocess.run([*pytest, *part], cwd=ROOT, env=environment).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
