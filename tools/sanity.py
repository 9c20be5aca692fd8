"""`make sanity`: ansible-test sanity on the collection as it ships, taken from the built wheel.

Its environments are kept outside the checkout, for each version of ansible-core, and are made by uv.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import cache_dir

ROOT = Path(__file__).parents[1]
# ansible-test bootstraps pip into environments of its own from an address that closed networks do not reach. What it finds
# under the name that it looks for makes a pip that hands everything on to uv.
BOOTSTRAP = """\
import sysconfig
from pathlib import Path

packages = Path(sysconfig.get_path("purelib"))
files = {{
    "pip/__init__.py": "",
    "pip/__main__.py": {program!r},
    "pip-{version}.dist-info/METADATA": "Metadata-Version: 2.1\\nName: pip\\nVersion: {version}\\n",
    "pip-{version}.dist-info/INSTALLER": "uv\\n",
}}
files["pip-{version}.dist-info/RECORD"] = "".join(f"{{name}},,\\n" for name in files) + "pip-{version}.dist-info/RECORD,,\\n"
for name, content in files.items():
    (packages / name).parent.mkdir(parents=True, exist_ok=True)
    (packages / name).write_text(content)
"""
PIP = """\
import os, sys

skip = ("--disable-pip-version-check", "-y")
command, *rest = [part for part in sys.argv[1:] if part not in skip]
if command == "install":
    # Nobody compiles them later: ansible-test forbids it.
    rest.append("--compile-bytecode")
os.execv({uv!r}, [{uv!r}, "--quiet", "--system-certs", "pip", command, "--python", sys.executable, *rest])
"""


def pip_version() -> str:
    """Of the pip that this ansible-test bootstraps."""
    spec = find_spec("ansible_test")
    assert spec is not None and spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0], "_internal/python_requirements.py").read_text()
    found = re.search(r"\bpip='([\d.]+)'", source)
    if found is None:
        raise SystemExit("ansible-test no longer says which pip it bootstraps: tools/sanity.py has to look elsewhere")
    return found[1]


def closing_line(said: str, *, failed: bool) -> str:
    begun = len(set(re.findall(r"^Running sanity test (.*)$", said, re.MULTILINE)))
    skipped = len(set(re.findall(r'^WARNING: Required program "(.*)" not found', said, re.MULTILINE)))
    return f"{begun - skipped - failed} passed, {int(failed)} failed, {skipped} skipped"


def main() -> int:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    home = cache_dir() / f"ansible-test-{version('ansible-core')}-python{python}"
    target = home / ".ansible" / "test" / "cache"
    target.mkdir(parents=True, exist_ok=True)
    here = Path(sys.executable).parent
    pip = pip_version()
    bootstrap = target / f"get_pip_{pip.replace('.', '_')}.py"
    (wheel,) = (ROOT / "dist").glob("*.whl")
    environment = os.environ | {"HOME": str(home), "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    for name in [name for name in environment if name.startswith("ANSIBLE_")]:
        del environment[name]
    with tempfile.TemporaryDirectory(prefix="linode-coder-sanity-") as directory, (home / "lock").open("w") as lock:
        # Who makes the environments is alone.
        made = home / "made"
        fcntl.flock(lock, fcntl.LOCK_SH if made.exists() else fcntl.LOCK_EX)
        bootstrap.write_text(BOOTSTRAP.format(version=pip, program=PIP.format(uv=str(here / "uv"))))
        zipfile.ZipFile(wheel).extractall(directory)
        collection = Path(directory) / "ansible_collections" / "linode_coder" / "gpu"
        command = [str(here / "ansible-test"), "sanity", "--python", python, "--color", "no", *sys.argv[1:]]
        said = []
        with subprocess.Popen(
            command, cwd=collection, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                print(line, end="", flush=True)
        if process.returncode == 0 and not sys.argv[1:]:
            made.touch()
    print(closing_line("".join(said), failed=process.returncode != 0))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
