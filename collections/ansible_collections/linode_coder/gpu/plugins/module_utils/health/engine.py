# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of Docker, of the engine's container and of the engine itself."""

from __future__ import annotations

import re

from ..core.docker_time import parse_docker_time
from ..core.finding import Finding
from ..engine.cause import Diagnosis
from ..engine.client import is_served, models_of
from ..engine.diagnosis import row_named
from ..engine.log_text import has_served
from ..engine.phases import progress_of
from ..engine.silence import connecting_since, flat_tail
from .catalogue import finding, limit
from .collected import CONTINUED_S, Look, number, section, state_of

# No answer at all, and the proxy's own answers when it reaches no engine.
_NOBODY = (None, 502, 504)


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
        if seconds > limit("ctr.engine", "slow"):
            return finding("ctr.engine", "warn", "vm", "Docker is slow.", f"{seconds:.1f} s")
        return finding("ctr.engine", "pass", "vm", "Docker answers.")
    if look.container:
        return finding("ctr.engine", "pass", "vm", "Docker answered.")
    return finding("ctr.engine", "unknown", "vm", "Docker was not asked.", str(probe.get("error") or ""))


def _missing(look: Look) -> bool:
    text = look.texts.get("container.json")
    return text is not None and (look.container == {} or bool(re.search(r"No such (?:object|container)", text)))


def _status(look: Look) -> str | None:
    return state_of(look.container)


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
    # The same error at two starts is told before a third one has failed.
    again = _loops(look, restarts) or (look.failed_start is not None and look.failed_start.times > 1)
    if status == "running":
        if again and age is not None and age < limit("ctr.state", "young") and not _ready(look):
            return _looping(root, evidence)
        return finding("ctr.state", "pass", "container", "The engine's container runs.", evidence)
    if status == "restarting":
        if again:
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


def _loops(look: Look, restarts: int) -> bool:
    # Docker counts every end since the container was made; an engine that served before its last one does start.
    return restarts >= limit("ctr.state", "deaths" if look.restarted else "loop")


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
        ladder=root.ladder,
        remedy=root.remedy,
    )


def _visible(look: Look) -> Finding:
    seen = section(look.host, "container_gpus")
    if not isinstance(seen, dict):
        lost = next((root for root in look.diagnoses if root.check == "ctr.gpu"), None)
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


def _by_log(look: Look, name: str, none: str) -> Finding:
    """What the engine's log says of the trouble that a check is about."""
    if look.texts.get("engine.log") is None:
        return finding(name, "unknown", "engine", "The engine's log was not read.")
    hit = next((root for root in look.diagnoses if root.check == name), None)
    if hit is None:
        return finding(name, "pass", "engine", none)
    if _alive(look) or (look.restarted and name == "ctr.cuda"):
        # A process that was started again has a context of its own.
        return finding(name, "warn", "engine", hit.sentence, hit.line, cause=hit.slug, remedy=hit.remedy)
    # A CUDA error may come once: a start in the same way is tried before its flags are changed.
    rungs = hit.rungs if name == "ctr.cuda" else hit.ladder
    return finding(name, "fail", "engine", hit.sentence, hit.line, cause=hit.slug, ladder=rungs, remedy=hit.remedy)


def _alive(look: Look) -> bool:
    return bool(section(look.host, "engine", "health", "status") == 200)


def _ready(look: Look) -> bool:
    return _alive(look) or has_served(look.log)


def _silent(look: Look) -> Diagnosis | None:
    """GPUs that never find each other: nothing fails, and nothing more is said."""
    since = connecting_since(look.log, look.now)
    if since is None or look.now is None or look.now - since < limit("vllm.health", "quiet"):
        return None
    return row_named("gpus_do_not_connect", f"no line for {look.now - since:.0f} s while the GPUs are connected")


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
    root = look.diagnoses[0] if look.diagnoses and not look.diagnoses[0].passes else None
    root = root or _silent(look)
    if not _ready(look) and status in _NOBODY and (root is None or look.restarted):
        progress = progress_of(look.log)
        budget = number(look.expected.get("start_budget")) or limit("vllm.health", "start")
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
            "The engine did not start in time.",
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
            ladder=root.ladder,
            remedy=root.remedy,
        )
    return finding("vllm.health", "fail", "engine", "The engine is not healthy.", evidence, cause="unhealthy")


def _generation(look: Look) -> Finding:
    answer = section(look.host, "engine", "generation")
    if not isinstance(answer, dict):
        why = str(section(look.host, "engine", "not_asked") or "")
        return finding("vllm.gen", "unknown", "engine", "The engine was not asked for a token.", why)
    if answer.get("skipped"):
        return finding("vllm.gen", "pass", "engine", "The engine is serving other requests.", str(answer["skipped"]))
    seconds = number(answer.get("seconds"))
    took = f"{seconds:.1f} s" if seconds is not None else ""
    if answer.get("ok") is True:
        if seconds is not None and seconds >= limit("vllm.gen", "slow"):
            return finding(
                "vllm.gen", "warn", "engine", "The engine took long to generate a token.", took, cause="slow"
            )
        return finding("vllm.gen", "pass", "engine", "The engine generated a token.", took)
    why = str(answer.get("error") or f"HTTP {answer.get('status')}")
    if not _alive(look):
        return finding(
            "vllm.gen", "unknown", "engine", "The engine does not run, so it was not asked for a token.", why
        )
    if answer.get("status") in (401, 403, 404):
        return finding("vllm.gen", "unknown", "engine", "The engine refused the question.", why)
    return finding(
        "vllm.gen",
        "fail",
        "engine",
        "The engine reports that it is healthy but generates no token.",
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
    if look.activity.get("readable"):
        since = flat_since(look)
        running = f"{look.activity['running']} running, {look.activity['waiting']} waiting"
        flat = None if since is None or look.now is None else look.now - since
    else:
        seen = _flat_in_log(look)
        if seen is None:
            return finding("vllm.stuck", "unknown", "engine", "The engine's metrics were not read.")
        running, flat = seen
    if flat is None:
        return finding("vllm.stuck", "pass", "engine", "Tokens flow, or nothing runs.", running)
    evidence = f"{running}, no token for {flat:.0f} s"
    if flat >= limit("vllm.stuck", "stuck"):
        return finding(
            "vllm.stuck",
            "fail",
            "engine",
            "Requests have been running for minutes without a token.",
            evidence,
            cause="stuck",
        )
    if flat >= limit("vllm.stuck", "slow"):
        return finding("vllm.stuck", "warn", "engine", "Requests run without a token.", evidence, cause="stuck")
    return finding("vllm.stuck", "pass", "engine", "Requests run.", evidence)


def _flat_in_log(look: Look) -> tuple[str, float] | None:
    """Where the metrics are not to be had: the requests that the log counts at its end, and for how long without a token."""
    tail = flat_tail(look.log, look.now)
    if tail is None or look.diagnoses or _status(look) not in ("running", None):
        return None
    if look.now is not None and abs(look.now - tail.at) > CONTINUED_S:
        return None
    return f"{tail.running} running, {tail.waiting} waiting", tail.seconds


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
        _by_log(look, "ctr.oom", "The engine's log shows no lack of GPU memory."),
        _by_log(look, "ctr.cuda", "The engine's log shows no CUDA error."),
        _health(look),
        _generation(look),
        _stuck(look),
        *([model] if model else []),
    ]
