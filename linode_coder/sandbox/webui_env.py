"""The real Open WebUI for the sandbox's simulated hosts with the real engine, from the Python package index.

Without what it only needs to index documents, to hear and to read pictures: torch and the packages that bring it, which would be
four fifths of the rest. It says so once in its log when it starts ("Error updating models") and chats without them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import cache_dir

from .own_environment import PYTHON, Program, Say, Step, made, own_index

OPEN_WEBUI = "0.12.4"
_LEFT_OUT = (
    *("accelerate", "faster-whisper", "onnxruntime", "opencv-python-headless", "rapidocr"),
    *("sentence-transformers", "torch", "transformers"),
)
_NEEDED_GB = 3
_PROGRAM = Program("Open WebUI", "leave it out: hosts play it then.")
# Where the hosts see it; its Python is that of the real engine.
GUEST_PACKAGES = "/opt/open-webui/packages"


def directory() -> Path:
    return cache_dir() / f"open-webui-{OPEN_WEBUI}-{PYTHON}"


def complete() -> bool:
    return made(directory(), _steps(directory()))


def ensure(say: Say) -> Path:
    """The finished environment; several callers at once wait for the first."""
    place = directory()
    if complete():
        return place
    if sys.version_info[:2] not in ((3, 11), (3, 12)):
        raise Failure(
            "config",
            f"Open WebUI {OPEN_WEBUI} has no build for Python {sys.version_info.major}.{sys.version_info.minor}.",
            remedy=f"Run linode-coder with Python 3.11 or 3.12, or {_PROGRAM.instead}",
        )
    _PROGRAM.check_room(place, _NEEDED_GB)
    _PROGRAM.make(place, _steps(place), say)
    return place


def _steps(place: Path) -> tuple[Step, ...]:
    python = str(place / "env/bin/python")

    def environment(say: Say) -> None:
        shutil.rmtree(place / "env", ignore_errors=True)
        _PROGRAM.run(say, "make Open WebUI's environment", sys.executable, "-m", "venv", str(place / "env"))
        _PROGRAM.run(say, "install uv", python, "-m", "pip", "--disable-pip-version-check", "install", "uv")

    def packages(say: Say) -> None:
        index = own_index(python)
        left_out = place / "left_out.txt"
        left_out.write_text("".join(f"{name} ; python_version < '3'\n" for name in _LEFT_OUT))
        _PROGRAM.run(
            say,
            f"install Open WebUI {OPEN_WEBUI} (1.3 GB on disk)",
            *(str(place / "env/bin/uv"), "pip", "install", "--system-certs", "--compile-bytecode"),
            *("--python", python, "--override", str(left_out), f"open-webui=={OPEN_WEBUI}"),
            **({"UV_DEFAULT_INDEX": index} if index else {}),
        )

    return (("environment", environment), ("packages", packages))


def setup(python: str, libraries: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Its part of /etc/sandbox/engine.json, and read-only mounts, where it is installed; nothing elsewhere. It runs by
    the engine's ``python``, with the same ``libraries``."""
    if not complete():
        return {}, {}
    variables = {"PYTHONPATH": GUEST_PACKAGES, "PYTHONDONTWRITEBYTECODE": "1", "LD_LIBRARY_PATH": libraries}
    settings = {"python": python, "env": variables}
    return {"open_webui": settings}, {str(directory() / "env/lib" / PYTHON / "site-packages"): GUEST_PACKAGES}
