# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of Docker, of the engine's container and of the engine itself."""

from __future__ import annotations

import re

from ..core.docker_time import parse_docker_time
from ..core.finding import Finding
from ..engine.client import is_served, models_of
from ..engine.vllm_log import Diagnosis, has_served, progress_of
from .catalogue import finding
from .collected import Look, number, section

START_BUDGET_S = 1800.0
SLOW_S = 10.0
STUCK_WARN_S, STUCK_FAIL_S = 120.0, 300.0
# No answer at all, and the proxy's own answers when it reaches no engine.
_NOBODY = (None, 502, 504)
_PASSING = ("rate_limited", "network", "engine_hung")
_RESTARTS = 2
_RESTARTING_S = 600.0

_OOM = ("oom", "oom_loading", "oom_profiling", "oom_sampler", "oom_graphs", "oom_running")
_CUDA = ("illegal_memory_access", "device_assert", "ecc_error", "cuda_unknown_error", "gpu_lost")
_RECREATE = ("container_lost_gpu", "container_sees_no_gpu", "toolkit_missing", "too_many_open_files", "shared_memory")
_REBOOT = ("driver_mismatch", "gpu_lost", "ecc_error")


def ladder_of(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Rungs for a cause: what no program can decide goes straight to a person."""
    if not diagnosis.healable:
        return ("alert",)
    if diagnosis.slug in _REBOOT:
        return ("restart_container", "reboot")
    if diagnosis.slug in _RECREATE:
        return ("recreate_container", "regenerate_cdi", "alert")
    if diagnosis.parameters:
        return ("change_parameters", "alert")
    return ("restart_container", "recreate_container", "alert")


def _docker(look: Look) -> Finding:
    text, probe = look.texts.get("container.json"), look.probe("docker")
    if (text and "Cannot connect to the Docker daemon" in text) or probe.get("down") is True:
        return finding(
            "ctr.engine", "fail", "vm", "Docker does not answer.", "Cannot connect to the Docker daemon", cause="down"
        )
    if probe.get("timed_out") is True:
        return finding(
            "ctr.engine",
            "fail",
            "vm",
            "Docker does not answer.",
            f"no answer in {probe.get('seconds')} s",
            cause="hang",
        )
    seconds = number(probe.get("seconds"))
    if probe.get("rc") == 0 and seconds is not None:
        if seconds > SLOW_S / 2:
            return finding("ctr.engine", "warn", "vm", "Docker is slow.", f"{seconds:.1f} s")
        return finding("ctr.engine", "pass", "vm", "Docker answers.")
    if look.container:
        return finding("ctr.engine", "pass", "vm", "Docker answered.")
    return finding("ctr.engine", "unknown", "vm", "Docker was not asked.", str(probe.get("error") or ""))


def _missing(look: Look) -> bool:
    text = look.texts.get("container.json")
    return text is not None and (look.container == {} or bool(re.search(r"No such (?:object|container)", text)))


def _status(look: Look) -> str | None:
    status = section(look.container, "State", "Status")
    if isinstance(status, str):
        return status
    running = section(look.container, "State", "Running")
    return None if running is None else "running" if running is True else "exited"


def _state(look: Look) -> Finding:
    status, root = _status(look), look.diagnoses[0] if look.diagnoses else None
    name = str(section(look.container, "Name") or "").lstrip("/")
    if _missing(look):
        return finding(
            "ctr.state",
            "fail",
            "container",
            "The engine's container is not there.",
            cause="missing",
            ladder=("recreate_container", "alert"),
        )
    if status is None:
        if root is not None:
            return _failed(root, "The engine's log ends in a failure: " + root.sentence, root.line)
        why = "Docker does not answer." if _docker(look).severity == "fail" else "The container was not inspected."
        return finding("ctr.state", "unknown", "container", why)
    restarts = int(number(section(look.container, "RestartCount")) or 0)
    started = parse_docker_time(section(look.container, "State", "StartedAt"))
    age = look.now - started if look.now is not None and started is not None else None
    evidence = f"{name or 'container'} {status}, {restarts} restarts"
    if status == "running":
        if restarts > _RESTARTS and age is not None and age < _RESTARTING_S and not _ready(look):
            return _looping(root, evidence)
        return finding("ctr.state", "pass", "container", "The engine's container runs.", evidence)
    if status == "restarting":
        if restarts > _RESTARTS:
            return _looping(root, evidence)
        return finding(
            "ctr.state", "warn", "container", "The engine's container restarts.", evidence, cause="restarting"
        )
    if status == "paused":
        return finding(
            "ctr.state",
            "fail",
            "container",
            "The engine's container is paused.",
            evidence,
            cause="paused",
            ladder=("restart_container", "alert"),
        )
    code = section(look.container, "State", "ExitCode")
    sentence = f"The engine's container is {status} (exit code {code})."
    return _failed(
        root,
        sentence if root is None else f"{sentence} {root.sentence}",
        evidence if root is None else root.line,
        "exited",
    )


def _looping(root: Diagnosis | None, evidence: str) -> Finding:
    why = f" {root.sentence}" if root is not None else ""
    return _failed(root, f"The engine restarts again and again.{why}", root.line if root else evidence, "restart_loop")


def _failed(root: Diagnosis | None, summary: str, evidence: str, cause: str = "failed") -> Finding:
    if root is None:
        return finding("ctr.state", "fail", "container", summary, evidence, cause=cause)
    return finding(
        "ctr.state",
        "fail",
        "container",
        summary,
        evidence,
        cause=root.slug,
        ladder=ladder_of(root),
        remedy=root.remedy,
    )


def _visible(look: Look) -> Finding:
    seen = section(look.host, "container_gpus")
    if not isinstance(seen, dict):
        lost = next(
            (root for root in look.diagnoses if root.slug in ("container_lost_gpu", "container_sees_no_gpu")), None
        )
        if lost is not None:
            return finding("ctr.gpu", "fail", "container", lost.sentence, lost.line, cause=lost.slug)
        return finding("ctr.gpu", "unknown", "container", "The container was not asked for its GPUs.")
    text = str(seen.get("text") or "")
    count = len(re.findall(r"^GPU \d+:", text, re.MULTILINE))
    on_host = len(look.smi.gpus) if look.smi else 0
    if seen.get("timed_out") is True or not on_host:
        return finding(
            "ctr.gpu", "unknown", "container", "The container's GPUs cannot be compared with the VM's.", text
        )
    if count >= on_host:
        return finding("ctr.gpu", "pass", "container", "The container sees the GPUs.", f"{count} of {on_host}")
    known = re.search(r"Failed to initialize NVML: ([^\n]*)|libnvidia-ml|No devices were found", text)
    if seen.get("rc") != 0 and not known:
        return finding("ctr.gpu", "unknown", "container", "The container could not be asked for its GPUs.", text)
    cause = "lost" if "Unknown Error" in text else "library" if "libnvidia-ml" in text else "fewer"
    return finding(
        "ctr.gpu",
        "fail",
        "container",
        "The container does not see the GPUs.",
        text or f"{count} of {on_host}",
        cause=cause,
    )


def _by_log(look: Look, name: str, slugs: tuple[str, ...], none: str, ladder: tuple[str, ...] | None) -> Finding:
    if look.texts.get("engine.log") is None:
        return finding(name, "unknown", "engine", "The engine's log was not read.")
    hit = next((root for root in look.diagnoses if root.slug in slugs), None)
    if hit is None:
        return finding(name, "pass", "engine", none)
    if _alive(look) or (look.restarted and name == "ctr.cuda"):
        # A process that was started again has a context of its own.
        return finding(name, "warn", "engine", hit.sentence, hit.line, cause=hit.slug, remedy=hit.remedy)
    rungs = ladder if ladder is not None and hit.slug != "ecc_error" else ladder_of(hit)
    return finding(name, "fail", "engine", hit.sentence, hit.line, cause=hit.slug, ladder=rungs, remedy=hit.remedy)


def _alive(look: Look) -> bool:
    return bool(section(look.host, "engine", "health", "status") == 200)


def _ready(look: Look) -> bool:
    return _alive(look) or has_served(look.log)


def _health(look: Look) -> Finding:
    answer = section(look.host, "engine", "health")
    if not isinstance(answer, dict):
        return finding("vllm.health", "unknown", "engine", "The engine was not asked for its health.")
    status = answer.get("status")
    if status == 200:
        return finding("vllm.health", "pass", "engine", "The engine is healthy.")
    evidence = f"HTTP {status}" if status else str(answer.get("error") or "no answer")
    if _status(look) not in ("running", None):
        return finding("vllm.health", "fail", "engine", "No engine runs.", evidence, cause="not_running")
    # A pause that passes by itself is no explanation.
    root = look.diagnoses[0] if look.diagnoses and look.diagnoses[0].slug not in _PASSING else None
    if not _ready(look) and status in _NOBODY and (root is None or look.restarted):
        progress = progress_of(look.log)
        budget = number(look.expected.get("start_budget")) or START_BUDGET_S
        started = parse_docker_time(section(look.container, "State", "StartedAt"))
        age = look.now - started if look.now is not None and started is not None else None
        doing = progress.phase + (f", {progress.detail}" if progress.detail else "")
        if age is None or age < budget:
            return finding(
                "vllm.health",
                "warn",
                "engine",
                f"The engine is starting: {doing}."
                if root is None
                else f"{root.sentence} It is starting again: {doing}.",
                evidence if age is None else f"{age:.0f} s of at most {budget:.0f}",
                cause="starting",
                remedy="Wait.",
            )
        return finding(
            "vllm.health",
            "fail",
            "engine",
            "The engine did not start in its time.",
            f"{age:.0f} s: {doing}",
            cause="start_timeout",
        )
    if root is not None:
        return finding(
            "vllm.health",
            "fail",
            "engine",
            root.sentence,
            root.line,
            cause=root.slug,
            ladder=ladder_of(root),
            remedy=root.remedy,
        )
    return finding("vllm.health", "fail", "engine", "The engine is not healthy.", evidence, cause="unhealthy")


def _generation(look: Look) -> Finding:
    answer = section(look.host, "engine", "generation")
    if not isinstance(answer, dict):
        why = str(section(look.host, "engine", "not_asked") or "")
        return finding("vllm.gen", "unknown", "engine", "The engine was not asked for a token.", why)
    if answer.get("skipped"):
        return finding("vllm.gen", "pass", "engine", "Others get tokens at this moment.", str(answer["skipped"]))
    seconds = number(answer.get("seconds"))
    took = f"{seconds:.1f} s" if seconds is not None else ""
    if answer.get("ok") is True:
        if seconds is not None and seconds >= SLOW_S:
            return finding("vllm.gen", "warn", "engine", "A token came late.", took, cause="slow")
        return finding("vllm.gen", "pass", "engine", "A token came.", took)
    why = str(answer.get("error") or f"HTTP {answer.get('status')}")
    if not _alive(look):
        return finding("vllm.gen", "unknown", "engine", "The engine is not there to be asked for a token.", why)
    if answer.get("status") in (401, 403, 404):
        return finding("vllm.gen", "unknown", "engine", "The engine refused the question.", why)
    return finding(
        "vllm.gen",
        "fail",
        "engine",
        "No token comes although the engine says that it is healthy.",
        f"{why} {took}".strip(),
        cause="no_token",
    )


def flat_since(look: Look) -> float | None:
    """Since when requests run without a token; None while tokens flow or nothing runs."""
    now, before = look.activity, look.before.get("activity")
    if not now.get("readable") or not now["running"] or look.now is None:
        return None
    same = isinstance(before, dict) and before.get("readable") is True
    if same and isinstance(before, dict):
        # A prompt that was read since then is progress as well: the requests are others.
        counters = ("prompt_tokens", "generation_tokens", "process_start")
        same = all(before.get(key) == now[key] for key in counters) and bool(before.get("running"))
    if not same:
        return look.now
    return number(look.before.get("flat_since")) or number(look.before.get("clock")) or look.now


def _stuck(look: Look) -> Finding:
    if not look.activity.get("readable"):
        return finding("vllm.stuck", "unknown", "engine", "The engine's metrics were not read.")
    since = flat_since(look)
    running = f"{look.activity['running']} running, {look.activity['waiting']} waiting"
    if since is None or look.now is None:
        return finding("vllm.stuck", "pass", "engine", "Tokens flow, or nothing runs.", running)
    flat = look.now - since
    evidence = f"{running}, no token for {flat:.0f} s"
    if flat >= STUCK_FAIL_S:
        return finding(
            "vllm.stuck", "fail", "engine", "Requests run without a token for minutes.", evidence, cause="stuck"
        )
    if flat >= STUCK_WARN_S:
        return finding("vllm.stuck", "warn", "engine", "Requests run without a token.", evidence, cause="stuck")
    return finding("vllm.stuck", "pass", "engine", "Requests run.", evidence)


def _model(look: Look) -> Finding | None:
    wanted = look.expected.get("model")
    if not wanted:
        return None
    cards = models_of(look.models)
    if not cards:
        return finding("vllm.model", "unknown", "engine", "The engine was not asked for its model.")
    if is_served(cards, str(wanted)):
        return finding("vllm.model", "pass", "engine", "The session's model.", str(wanted))
    return finding(
        "vllm.model",
        "fail",
        "engine",
        f"Another model than the session's ({wanted}).",
        ", ".join(sorted({str(card[key]) for card in cards for key in ("id", "root") if card.get(key)})),
        cause="other_model",
    )


def check_engine(look: Look) -> list[Finding]:
    model = _model(look)
    return [
        _docker(look),
        _state(look),
        _visible(look),
        _by_log(look, "ctr.oom", _OOM, "The engine's log shows no lack of GPU memory.", None),
        _by_log(
            look,
            "ctr.cuda",
            _CUDA,
            "The engine's log shows no CUDA error.",
            ("restart_container", "recreate_container"),
        ),
        _health(look),
        _generation(look),
        _stuck(look),
        *([model] if model else []),
    ]
