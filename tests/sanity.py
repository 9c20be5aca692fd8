"""`make sanity`: ansible-test sanity on the collection as it ships, taken from the built wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# ansible-test bootstraps pip into environments of its own from an address that closed networks do not reach. This stand-in,
# under the name it looks for, installs the same from a wheel that pip fetched.
BOOTSTRAP = """\
import runpy, sys
sys.path.insert(0, {wheel!r})
skip = ("--no-setuptools", "--no-wheel")
sys.argv = ["pip", "install", "--upgrade", "--force-reinstall"] + [part for part in sys.argv[1:] if part not in skip]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def main() -> int:
    cache = ROOT / ".cache" / "sanity-home"
    target = cache / ".ansible" / "test" / "cache"
    target.mkdir(parents=True, exist_ok=True)
    wheels = target / "wheels"
    if not list(wheels.glob("pip-24.2-*.whl")):
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), "pip==24.2"]
        subprocess.run(fetch, check=True)
    (target / "get_pip_24_2.py").write_text(BOOTSTRAP.format(wheel=str(next(wheels.glob("pip-24.2-*.whl")))))
    (wheel,) = (ROOT / "dist").glob("*.whl")
    environment = os.environ | {
        "HOME": str(cache),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for name in [name for name in environment if name.startswith("ANSIBLE_")]:
        del environment[name]
    with tempfile.TemporaryDirectory(prefix="linode-coder-sanity-") as directory:
        zipfile.ZipFile(wheel).extractall(directory)
        collection = Path(directory) / "ansible_collections" / "linode_coder" / "gpu"
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        command = [str(Path(sys.executable).parent / "ansible-test"), "sanity", "--python", version, "--color", "no"]
        return subprocess.run([*command, *sys.argv[1:]], cwd=collection, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
