# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a GPU VM, on the VM: everything that is collected at once, and what it says."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from ..core import program
from ..core.docker_compose import compose_ps
from ..core.scrub import scrub, scrub_data
from ..engine import vllm_metrics
from ..engine.api_key import api_key
from ..engine.check_tokens import OwnTokens
from ..engine.client import EngineClient, EngineSilent, models_of
from . import last_look
from .catalogue import limit
from .evaluate import evaluate
from .gpu_use import cards_use
from .kernel_log import last_cursor

# Options of the modules that look.
LOOK_SPEC: dict[str, Any] = {
    "expected": {"type": "dict", "default": {}},
    "previous": {"type": "dict", "default": {}},
    "cursor": {"type": "str"},
    "bundle": {"type": "bool", "default": False},
    "canary": {"type": "bool", "default": True},
    "port": {"type": "int", "default": 8000},
    "project_dir": {"type": "path", "default": "/opt/linode-coder/vllm"},
    "state_dir": {"type": "path", "default": "/var/lib/linode-coder"},
    "nvidia_smi_timeout": {"type": "float", "default": limit("gpu.hang", "answer")},
    "canary_timeout": {"type": "float", "default": limit("vllm.gen", "answer")},
    "log_lines": {"type": "int", "default": 2000},
}
KERNEL_LINES = "5000"
# A refusal that came sooner may be asked for again; an engine that hangs has cost enough time.
QUICK_S = 1.0


def read_text(path: str | Path) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def asked(engine: EngineClient, path: str, limit: float, body: Any = None) -> dict[str, Any]:
    """Status, text, seconds and error of one question."""
    began = time.monotonic()
    status, text, error = None, "", None
    try:
        answer = engine.fetch("GET" if body is None else "POST", path, body, limit)
        status, text = answer.status, answer.text if answer.status == 200 else ""
    except EngineSilent as silent:
        error = silent.reason
    return {"status": status, "text": text, "seconds": round(time.monotonic() - began, 2), "error": error}


def look_at_engine(
    params: Mapping[str, Any], engine: EngineClient, allow_canary: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """Health, metrics, model and one token."""
    health = asked(engine, "/health", limit("vllm.health", "answer"))
    found: dict[str, Any] = {"health": {key: health[key] for key in ("status", "seconds", "error")}}
    texts = {}
    models = asked(engine, "/v1/models", 5)
    if models["status"] == 200:
        texts["models.json"] = models["text"]
    with OwnTokens(params["state_dir"]) as own:
        metrics = asked(engine, "/metrics", 10)
        if metrics["status"] == 200:
            texts["metrics.txt"] = metrics["text"]
        activity = vllm_metrics.activity(metrics["text"])
        start = activity["process_start"]
        found["activity"] = vllm_metrics.without(activity, **own.of(start))
        if allow_canary and health["status"] == 200:
            try:
                own.write(start, own.of(start))
            except OSError as error:
                found["not_asked"] = f"our tokens could not be noted: {error.strerror}"
            else:
                found["generation"] = generate(params, engine, activity, models, own)
    return found, texts


def generate(
    params: Mapping[str, Any], engine: EngineClient, activity: dict[str, Any], models: dict[str, Any], own: OwnTokens
) -> dict[str, Any]:
    """One token, unless others wait for theirs and get them."""
    if activity["readable"] and activity["waiting"]:
        time.sleep(1)
        later = vllm_metrics.activity(asked(engine, "/metrics", 10)["text"])
        if later["readable"] and later["generation_tokens"] > activity["generation_tokens"]:
            return {"skipped": f"{activity['waiting']} requests wait, and tokens flow"}
    try:
        name = models_of(json.loads(models["text"]))[0]["id"]
    except (ValueError, IndexError, RecursionError):
        return {"ok": False, "status": models["status"], "error": models["error"] or "the engine names no model"}
    answer = asked(
        engine,
        "/v1/completions",
        params["canary_timeout"],
        {"model": name, "prompt": "1", "max_tokens": 1, "temperature": 0},
    )
    try:
        usage = json.loads(answer["text"])["usage"]
        tokens = int(usage["completion_tokens"])
    except (ValueError, KeyError, TypeError):
        usage, tokens = {}, 0
    if usage:
        own.add(activity["process_start"], usage)
    return {
        "ok": answer["status"] == 200 and tokens > 0,
        **{key: answer[key] for key in ("status", "seconds", "error")},
    }


def look_at_container(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str], dict[str, Any]]:
    """Docker, the engine's container, its log, and the GPUs that it sees."""
    probes: dict[str, Any] = {}
    texts: dict[str, str] = {}
    facts: dict[str, Any] = {}
    version = program.run(["docker", "version", "--format", "{{.Server.Version}}"], limit("ctr.engine", "answer"))
    probes["docker"] = {**version.as_dict(), "down": "Cannot connect to the Docker daemon" in version.text}
    if version.rc != 0:
        return probes, texts, facts
    listed, services = compose_ps(params["project_dir"], 15)
    if listed.rc == 0 and "vllm" not in services:
        texts["container.json"] = "[]"
    if "vllm" not in services:
        probes["container"] = listed.as_dict()
        return probes, texts, facts
    name = services["vllm"]["Name"]
    with ThreadPoolExecutor(3) as pool:
        inspected = pool.submit(program.run, ["docker", "inspect", name], 10)
        # With times, to tell what this process said from what those before it did.
        logs = ["docker", "logs", "--timestamps", "--tail", str(params["log_lines"]), name]
        logged = pool.submit(program.run, logs, 15)
        inside = pool.submit(program.run, ["docker", "exec", name, "nvidia-smi", "-L"], limit("ctr.gpu", "answer"))
    probes["container"] = inspected.result().as_dict()
    if inspected.result().rc == 0:
        texts["container.json"] = inspected.result().text
    probes["engine_log"] = logged.result().as_dict()
    if logged.result().rc == 0:
        texts["engine.log"] = logged.result().text
    facts["container_gpus"] = {**inside.result().as_dict(), "text": inside.result().text[-1000:]}
    return probes, texts, facts


def look_at_kernel(cursor: str | None) -> tuple[program.Probed, str | None]:
    """The journal, else the kernel's own buffer."""
    argv = ["journalctl", "-k", "-o", "json", "--no-pager", "-n", KERNEL_LINES]
    journal = program.run([*argv, *([f"--after-cursor={cursor}"] if cursor else [])], 20)
    readable = journal.rc == 0 and "insufficient permissions" not in journal.text
    if readable:
        return journal, journal.text
    for argv in (["dmesg", "--time-format=iso"], ["dmesg"]):
        buffer = program.run(argv, 10)
        if buffer.rc == 0:
            return buffer, buffer.text
    return journal, None


def disk() -> dict[str, Any]:
    """Space and inodes of the root file system, in bytes and pieces."""
    found = {}
    for option, names in (("-k", ("size", "used", "free")), ("-i", ("inodes", "inodes_used", "inodes_free"))):
        listed = program.run(["df", "-P", option, "/"], 10)
        words = listed.text.splitlines()[-1].split() if listed.rc == 0 and listed.text.strip() else []
        numbers = [int(word) if word.isdigit() else None for word in words[1:4]]
        scale = 1024 if option == "-k" else 1
        found.update(
            {name: None if value is None else value * scale for name, value in zip(names, numbers, strict=False)}
        )
    mounts = (read_text("/proc/self/mounts") or "").splitlines()
    options = [line.split()[3].split(",") for line in mounts if line.split()[1:2] == ["/"]]
    found["read_only"] = "ro" in options[-1] if options else None
    return found


def clock_offset() -> float | None:
    """Seconds that the VM's time service says the clock is off; None when it does not know."""
    status = program.run(["timedatectl", "timesync-status"], 5)
    match = re.search(r"Offset: ([+-]?[0-9.]+)(us|ms|s|min)\b", status.text) if status.rc == 0 else None
    if match:
        return float(match[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}[match[2]]
    tracking = program.run(["chronyc", "-c", "tracking"], 5)
    fields = tracking.text.strip().split(",")
    try:
        return float(fields[4]) if tracking.rc == 0 else None
    except (IndexError, ValueError):
        return None


def pci_gpus() -> int:
    """NVIDIA display devices on the PCI bus, whether the driver knows them or not."""
    listed = program.run(["lspci", "-n", "-d", "10de:"], 10)
    if listed.rc == 0:
        return sum(bool(re.search(r" 030[02]: 10de:", line)) for line in listed.text.splitlines())
    devices = list(Path("/sys/bus/pci/devices").glob("*"))
    kinds = [(read_text(device / "vendor"), read_text(device / "class")) for device in devices]
    return sum((vendor or "").strip() == "0x10de" and (kind or "").startswith("0x03") for vendor, kind in kinds)


def memory() -> dict[str, int | None]:
    lines = dict(line.split(":", 1) for line in (read_text("/proc/meminfo") or "").splitlines() if ":" in line)
    return {
        name: int(lines[key].split()[0]) * 1024 if key in lines else None
        for name, key in (("total", "MemTotal"), ("available", "MemAvailable"), ("swap_free", "SwapFree"))
    }


def descendants(root: int) -> list[int]:
    """A process and everything below it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = (read_text(f"/proc/{entry}/stat") or "").rpartition(")")[2].split()
            if len(fields) > 1:
                parents[int(entry)] = int(fields[1])
    found, last = {root}, 0
    while len(found) != last:
        last = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return sorted(found)


def collect(params: Mapping[str, Any], previous: dict[str, Any], check_mode: bool) -> tuple[dict[str, str], str | None]:
    """Everything at once; every source has its own limit."""
    key = api_key(params["project_dir"])
    ask_engine = partial(look_at_engine, params, EngineClient(params["port"], key), params["canary"] and not check_mode)
    clock = time.time()
    with ThreadPoolExecutor(8) as pool:
        cards = pool.submit(program.run, ["nvidia-smi", "-q", "-x"], params["nvidia_smi_timeout"])
        container = pool.submit(look_at_container, params)
        engine = pool.submit(ask_engine)
        kernel = pool.submit(look_at_kernel, params["cursor"])
        disks, offset, bus = pool.submit(disk), pool.submit(clock_offset), pool.submit(pci_gpus)
    probes, texts, facts = container.result()
    spoken, answers = engine.result()
    if spoken["health"]["status"] != 200 and spoken["health"]["seconds"] < QUICK_S:
        # The log was read later, and may say that the engine serves by now.
        spoken, answers = ask_engine()
    texts.update(answers)
    smi = cards.result()
    probes["nvidia_smi"] = smi.as_dict()
    if smi.text.strip() or smi.rc is not None:
        texts["nvidia-smi.xml"] = smi.text
    logged, log = kernel.result()
    probes["kernel"] = logged.as_dict()
    if log is not None:
        texts["kernel.log"] = log
    stat = re.search(r"^btime (\d+)", read_text("/proc/stat") or "", re.MULTILINE)
    version = re.search(r"(\d{3}\.\d[\d.]*)", read_text("/proc/driver/nvidia/version") or "")
    try:
        pid = json.loads(texts["container.json"])[0]["State"]["Pid"]
    except (KeyError, IndexError, TypeError, ValueError):
        pid = 0
    host = {
        "schema": 1,
        "clock": clock,
        "clock_offset": offset.result(),
        "boot_id": (read_text("/proc/sys/kernel/random/boot_id") or "").strip() or None,
        "boot_time": int(stat[1]) if stat else None,
        "kernel": os.uname().release,
        "hostname": os.uname().nodename,
        "driver_module": version[1] if version else None,
        "pci_gpus": bus.result(),
        "disk": disks.result(),
        "memory": memory(),
        "engine_pids": descendants(pid) if pid else None,
        "engine": spoken,
        "probes": probes,
        "expected": {name: value for name, value in params["expected"].items() if name != "control_time"},
        "previous": previous,
        **facts,
    }
    texts["host.json"] = json.dumps(host, indent=1)
    return texts, key


def look(params: Mapping[str, Any], check_mode: bool, warn: Callable[[str], None]) -> dict[str, Any]:
    """Collect, evaluate and remember: the result of the module gpu_health, whose options ``params`` are."""
    previous = params["previous"] or last_look.recall(params["state_dir"])
    texts, key = collect(params, previous, check_mode)
    health = evaluate(texts, params["expected"], previous)
    if not check_mode:
        try:
            last_look.keep(params["state_dir"], health.facts)
        except OSError as error:
            warn(f"This look could not be noted for the next one: {error.strerror}")
    known = (key,) if key else ()
    found = {
        "findings": [finding.as_dict() for finding in health.findings],
        "severity": health.severity,
        "activity": health.activity,
        "facts": health.facts,
        "gpus": {"state": health.facts["smi_state"], "cards": cards_use(health.facts["gpus"])},
    }
    result: dict[str, Any] = scrub_data(found, known)
    cursor = last_cursor(texts.get("kernel.log") or "") or params["cursor"]
    if cursor:
        result["cursor"] = cursor
    if params["bundle"]:
        result["bundle"] = {name: scrub(text, known) for name, text in texts.items()}
    return result
