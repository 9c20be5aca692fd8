"""`make test-newest`: the wheel with the lowest and with the highest versions that it allows, the latter on the newest Python.

ansible-core drops a Python a year: what is installed for the floor (3.11) is not what a newer Python gets. On the newest core
run the tests of what runs in it: those that import Ansible, and a session from first to last.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from tests import postgres_server  # noqa: E402
from tests.installed.environments import make, wheel  # noqa: E402

SESSION = "tests/slow/test_playbooks.py::test_a_session_from_first_to_last"
EXTRAS = ("--extra", "sandbox", "--extra", "report", "--extra", "postgres")
# Of the tests, not of the product: pinned, so that only the product's versions are tried.
TOOLS = ("hypothesis", "linode-cli", "openai", "pexpect", "psutil", "pytest", "pytest-timeout", "pytest-xdist")


def version_of(python: str) -> tuple[int, int] | None:
    """None for a program that is no working Python with venv."""
    code = "import ensurepip, ssl, sqlite3, sys; print(*sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60)
    if done.returncode:
        return None
    major, minor = done.stdout.split()
    return int(major), int(minor)


def newest_python() -> str | None:
    """The newest Python that ansible-core supports and that is newer than this one."""
    candidates = {found for minor in range(12, 15) if (found := shutil.which(f"python3.{minor}"))}
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates |= {str(path) for path in pyenv.glob("3.*/bin/python3")}
    found = [(version, python) for python in sorted(candidates) if (version := version_of(python))]
    newer = [(version, python) for version, python in found if sys.version_info[:2] < version < (3, 15)]
    return max(newer)[1] if newer else None


def show_versions(programs: Path) -> None:
    code = (
        "import platform; from importlib.metadata import version as v; "
        "print('Python', platform.python_version(), *(f'{name} {v(name)}' for name in "
        "('ansible-core', 'ansible-runner', 'linode-api4', 'typer', 'rich', 'tomlkit', 'aiohttp', 'asyncssh', 'psycopg')))"
    )
    subprocess.run([str(programs / "python"), "-c", code], check=True)


def imports(file: Path) -> set[str]:
    """Modules that a file imports, and names that may be modules."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = file.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join([*package, *([node.module] if node.module else [])])
            found |= {module, *(f"{module}.{name.name}" for name in node.names)}
    return found


def source(module: str) -> Path | None:
    """Where a module of ours is in this checkout."""
    base = Path(*module.split("."))
    for top in (ROOT, ROOT / "collections"):
        for file in (top / base.with_suffix(".py"), top / base / "__init__.py"):
            if file.exists():
                return file
    return None


def reaches_ansible(file: Path, seen: set[Path]) -> bool:
    """Whether it imports Ansible, or something of ours that does."""
    seen.add(file)
    for module in imports(file):
        if module.partition(".")[0] == "ansible":
            return True
        ours = source(module)
        if ours is not None and ours not in seen and reaches_ansible(ours, seen):
            return True
    return False


def units() -> list[str]:
    """The files of unit tests whose code runs inside Ansible."""
    top = ROOT / "tests/unit"
    found = []
    for file in sorted(top.rglob("test_*.py")):
        # What pytest loads for all of them is not what this one tests.
        seen = {ROOT / "tests/conftest.py"}
        shared = [at / "conftest.py" for at in file.parents if at.is_relative_to(top) and (at / "conftest.py").exists()]
        if any(reaches_ansible(each, seen) for each in (file, *shared)):
            found.append(str(file.relative_to(ROOT)))
    return found


def pins() -> list[str]:
    """Of the tools."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].replace("_", "-").lower(): line for line in lines if "==" in line}
    return [pinned[name] for name in TOOLS]


def same_history(programs: Path, place: Path) -> bool:
    """Whether the history says the same of a real PostgreSQL server and of a file, with the environment's own psycopg."""
    at = postgres_server.programs()
    if at is None:
        print("NOT TESTED: the history on PostgreSQL: apt-get install postgresql")
        return True
    # The wheel before the checkout.
    code = f"import sys; sys.path.append({str(ROOT)!r}); from tests.history_calls import main; main()"
    with postgres_server.postgres_server(at) as server, tempfile.TemporaryDirectory(dir=place) as home:
        said = []
        for url in (server.new_database("history"), ""):
            variables = {"PATH": os.environ["PATH"], "LINODE_CODER_HOME": home, "LINODE_CODER_HISTORY_URL": url}
            command = [str(programs / "python"), "-c", code]
            said.append(subprocess.run(command, env=variables, cwd=place, stdout=subprocess.PIPE, check=True).stdout)
    if said[0] != said[1] or b"acme/Coder" not in said[0]:
        print("The history says something else of PostgreSQL than of SQLite:", *said, sep="\n")
        return False
    print("The history says the same of PostgreSQL and of SQLite.")
    return True


def main() -> int:
    python = newest_python()
    if python is None:
        running = f"{sys.version_info.major}.{sys.version_info.minor}"
        print(f"NOT TESTED on the newest ansible-core: no Python newer than {running} is here (3.12, 3.13 or 3.14,")
        print("on PATH or from pyenv). What only the newest core breaks would go unnoticed.")
    with tempfile.TemporaryDirectory(prefix="lc-newest-") as directory:
        place = Path(directory)
        smoke = [sys.executable, str(ROOT / "tools/smoke.py")]
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        print("lowest versions:", flush=True)
        lowest = ("--resolution", "lowest-direct", "-r", "pyproject.toml", *EXTRAS)
        programs = make(place / "lowest", lowest, ("--no-deps", str(wheel())))
        show_versions(programs)
        if code := subprocess.run([*smoke, str(programs), "report"], env=variables, cwd=place).returncode:
            return code
        if not same_history(programs, place):
            return 1
        print("highest versions:", flush=True)
        programs = make(
            place / "highest", (f"{wheel()}[sandbox,report,postgres]",), tuple(pins()), python=python or sys.executable
        )
        show_versions(programs)
        if code := subprocess.run([*smoke, str(programs), "report"], env=variables, cwd=place).returncode:
            return code
        if not same_history(programs, place):
            return 1
        if python is None:
            return 0
        # The wheel before the checkout, whose ansible.cfg and playbooks are tested too.
        pytest = [
            str(programs / "pytest"),
            "-n",
            "2",
            "--dist",
            "loadfile",
            "-p",
            "no:cacheprovider",
            "--import-mode=append",
        ]
        pytest += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
        variables["PATH"] = f"{programs}{os.pathsep}{variables['PATH']}"
        tests = [str(ROOT / test) for test in (*units(), SESSION)]
        return subprocess.run([*pytest, *tests], env=variables, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
