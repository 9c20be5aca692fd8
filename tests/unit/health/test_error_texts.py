# SPDX-License-Identifier: GPL-3.0-or-later
"""From a text that stands where a reading should be, to what healing and the watcher do about it: nothing.

Whatever was read before is judged as before; what a broken reading adds is neither a number nor a rung nor a deletion.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine import vllm_metrics
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.diagnosis import diagnose
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.attempts import Record
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.ladder import (
    Observation,
    Policy,
    Step,
    Stop,
    World,
    next_step,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import evaluate
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.kernel_log import kernel_lines
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.view import session_view
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.decision import decide
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.idle_clock import IdleClock, Sample, advance
from hypothesis import example, given, settings
from hypothesis import strategies as st
from smi_documents import ALL
from test_driver_troubles import LOGS as REPORTED
from test_health import EXPECTED, NOW, healthy, host
from test_nvidia_smi import ERROR_TEXTS, LEAVES
from test_xid import LINES

AT = int(NOW)
# The container sees as many cards as any of the documents has.
HEALTHY = healthy(host_json=host(container_gpus={"rc": 0, "text": "GPU 0: x (UUID: y)\nGPU 1: x (UUID: z)"}))


def judged(texts: dict[str, str], expected: dict[str, object] | None = None) -> tuple[list[Finding], Step | Stop]:
    """The findings, and what healing does when it has seen them again and again and nothing stands in its way."""
    health = evaluate(texts, expected)
    findings = health.findings
    world = World(
        created=AT - 90000,
        boot_time=AT - 80000,
        container_started=AT - 70000,
        running=0,
        waiting=0,
        idle_seconds=9000,
        earlier=tuple(Observation(AT - ago, tuple(findings)) for ago in (400, 200, 60)),
        suggested=next(
            (cause["parameters"] for cause in health.facts["engine"]["causes"] if cause["parameters"]), None
        ),
    )
    return findings, next_step(findings, Record(()), world, Policy(), AT)


def assert_nothing_new(sound: dict[str, str], broken: dict[str, str], alerts: bool = False) -> None:
    """Every rung that is asked for or taken is one that the sound texts asked for, for the same reason; but for an alert,
    where a word that nobody knows may be one."""
    before, done = judged(sound)
    asked = {(found.id, found.cause, rung) for found in before for rung in found.ladder}
    after, step = judged(broken)
    for found in after:
        new = {(found.id, found.cause, rung) for rung in found.ladder if rung != "alert" or not alerts} - asked
        assert not new, (new, found)
    if isinstance(step, Step):
        name, _subject, cause = step.fingerprint.split("|")
        rungs = {f"{rung}{idle}" for rung in (step.rung,) for idle in ("", "_when_idle")}
        rungs.add(step.rung.replace("_vm", "_when_idle"))
        assert {(name, cause or None, rung) for rung in rungs} & asked, step
    elif isinstance(done, Stop) and not alerts:
        # Nor does it call a person, or end healing.
        assert step.reason in ("nothing", "blind", done.reason), step


@given(st.data(), ERROR_TEXTS)
@settings(max_examples=500)
def test_no_leaf_of_a_document_makes_a_rung(data: st.DataObject, error: str) -> None:
    era = data.draw(st.sampled_from(sorted(ALL)))
    start, end = data.draw(st.sampled_from(LEAVES[era]))
    document = ALL[era]
    sound = {**HEALTHY, "nvidia-smi.xml": document}
    assert_nothing_new(sound, {**sound, "nvidia-smi.xml": document[:start] + error + document[end:]})


@pytest.mark.parametrize("error", ["N/A", "[Unknown Error]", "ERR!", "GPU access blocked by the operating system", ""])
@pytest.mark.parametrize("era", sorted(ALL))
def test_all_leaves_at_once_are_unknown(era: str, error: str) -> None:
    """Not a single number is left, and nothing that could be healed."""
    text = re.sub(r">[^<>\n]+<", f">{error}<", ALL[era])
    findings, step = judged({**HEALTHY, "nvidia-smi.xml": text}, EXPECTED)
    cards = [found for found in findings if found.id.startswith("gpu.") and found.subject != "vm"]
    assert all(found.severity in ("pass", "unknown") for found in cards), cards
    assert isinstance(step, Stop) and not step.trips


@given(st.sampled_from([line for line, _facts in LINES]), st.data(), ERROR_TEXTS)
@settings(max_examples=400)
def test_no_word_of_a_kernel_line_makes_a_rung(line: str, data: st.DataObject, error: str) -> None:
    words = [match.span() for match in re.finditer(r"[^\s,:()\[\]]+", line)]
    start, end = data.draw(st.sampled_from(words))
    sound = healthy(kernel_log=line)
    assert_nothing_new(sound, healthy(kernel_log=line[:start] + error + line[end:]), alerts=True)


# Without what stands before them: a line without its time may be of this boot.
SAID = sorted({line.message for report in REPORTED for text in report[1] for line in kernel_lines(text)})


@given(st.sampled_from(SAID), st.data(), ERROR_TEXTS)
@settings(max_examples=400)
def test_no_word_of_what_the_kernel_says_of_the_driver_makes_a_rung(line: str, data: st.DataObject, error: str) -> None:
    """Where no card is shown, so that what kept the driver from it counts."""
    words = [match.span() for match in re.finditer(r"[^\s,:()\[\]]+", line)]
    start, end = data.draw(st.sampled_from(words))
    nothing = {**HEALTHY, "nvidia-smi.xml": "No devices were found"}
    asked = {
        (found.id, found.cause, rung)
        for said in ("", line)
        for found in judged({**nothing, "kernel.log": said})[0]
        for rung in found.ladder
    }
    after, _step = judged({**nothing, "kernel.log": line[:start] + error + line[end:]})
    new = {(found.id, found.cause, rung) for found in after for rung in found.ladder if rung != "alert"} - asked
    assert not new, new


@given(st.data(), ERROR_TEXTS)
@settings(max_examples=200)
def test_some_leaves_at_once_make_no_more_than_a_sick_card(data: st.DataObject, error: str) -> None:
    """A card that is known by name and answers with errors may be reset and rebooted; nothing of it is replaced or deleted."""
    document = ALL[data.draw(st.sampled_from(sorted(ALL)))]
    places = [match.span(1) for match in re.finditer(r">([^<>\n]+)<", document)]
    broken = document
    for start, end in sorted(data.draw(st.sets(st.sampled_from(places), max_size=9)), reverse=True):
        broken = broken[:start] + error + broken[end:]
    before, _step = judged({**HEALTHY, "nvidia-smi.xml": document})
    asked = {(found.id, found.cause, rung) for found in before for rung in found.ladder}
    after, _step = judged({**HEALTHY, "nvidia-smi.xml": broken})
    new = {(found.id, found.cause, rung) for found in after for rung in found.ladder} - asked
    assert new <= {("gpu.readings", "sick", rung) for rung in ("reset_gpu", "reboot", "alert")}, new


LOGS = {path.name: path.read_text() for path in sorted((Path(__file__).parent / "vllm-logs").glob("*.log"))}


@given(st.sampled_from(sorted(LOGS)), st.data(), ERROR_TEXTS.filter(bool))
@settings(max_examples=100)
def test_no_number_of_an_engines_log_makes_another_parameter(name: str, data: st.DataObject, error: str) -> None:
    """A number that the engine did not say is in no suggestion."""
    log = LOGS[name]
    said = [match.span() for match in re.finditer(r"(?<![\w.])\d+(?![\w.])", log[-3000:])]
    if not said:
        return
    start, end = data.draw(st.sampled_from(said))
    tail = log[-3000:]
    broken = log[:-3000] + tail[:start] + error + tail[end:]
    known = {found.slug: found.parameters or {} for found in diagnose(log)}
    for found in diagnose(broken):
        for flag, value in (found.parameters or {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                assert known.get(found.slug, {}).get(flag) == value, found


TWO_ENGINES = """\
vllm:num_requests_running{engine="0"} 0.0
vllm:num_requests_running{engine="1"} 0.0
vllm:num_requests_waiting{engine="0"} 0.0
vllm:num_requests_waiting{engine="1"} 0.0
vllm:prompt_tokens_total{engine="0"} 100.0
vllm:prompt_tokens_total{engine="1"} 7.0
vllm:generation_tokens_total{engine="0"} 40.0
vllm:generation_tokens_total{engine="1"} 2.0
vllm:request_success_total{engine="0",finished_reason="stop"} 3.0
vllm:request_success_total{engine="1",finished_reason="stop"} 1.0
vllm:kv_cache_usage_perc{engine="0"} 0.25
process_start_time_seconds 1.7e9
"""
IDLE_FOR = 45 * 60.0


def watched(metrics: str) -> tuple[IdleClock, str]:
    """The idle clock after a pass of a watcher, and what the watcher does: the limit is reached, the paid hour ends."""
    clock = IdleClock(
        started=True,
        idle_s=IDLE_FOR,
        boot_id="boot",
        uptime=50_000,
        at=AT - 300,
        readable=True,
        prompt_tokens=107,
        generation_tokens=42,
        requests=4,
        process_start=1.7e9,
    )
    activity = vllm_metrics.activity(metrics)
    counted = {
        name: int(activity[name] or 0)
        for name in ("prompt_tokens", "generation_tokens", "requests", "running", "waiting")
    }
    start = activity["process_start"]
    after = advance(
        clock,
        Sample("boot", 50_300, AT, readable=activity["readable"], process_start=start, served=True, **counted),
    )
    created = AT - 7200 + 1100
    tags = encode(SessionTags("demo", 1, "ada", AT + 40_000, AT + 80_000, 45, 520_000, "org/M", bytes(32)))
    row = {"id": 7, "label": "lc-demo-1", "status": "running", "ipv4": ["192.0.2.9"], "created": format_time(created)}
    return after, decide(session_view({**row, "tags": tags}, AT), after, AT, 0).action


def test_an_idle_engine_is_marked() -> None:
    clock, action = watched(TWO_ENGINES)
    assert (clock.idle_s, action) == (IDLE_FOR + 300, "mark")


VALUES = [match.span(1) for match in re.finditer(r" (\S+)$", TWO_ENGINES, re.MULTILINE)]


@given(st.sampled_from(VALUES), ERROR_TEXTS)
@example(VALUES[1], "Unknown Error")
@example(VALUES[8], "ERR!")
@settings(max_examples=200)
def test_no_value_of_the_metrics_makes_an_engine_idle(place: tuple[int, int], error: str) -> None:
    start, end = place
    broken = TWO_ENGINES[:start] + error + TWO_ENGINES[end:]
    read = vllm_metrics.activity(broken)
    if read["readable"]:
        assert {**read, "process_start": 1.7e9} == vllm_metrics.activity(TWO_ENGINES)
        return
    clock, action = watched(broken)
    assert clock.idle_s == IDLE_FOR
    assert action == "keep"


@given(ERROR_TEXTS)
@settings(max_examples=50)
def test_unreadable_metrics_are_no_stuck_engine(error: str) -> None:
    first = evaluate(healthy())
    texts = healthy(metrics_txt=re.sub(r" \S+$", f" {error}", TWO_ENGINES, flags=re.MULTILINE))
    texts["host.json"] = host(clock=NOW + 600, previous=first.facts)
    stuck = next(found for found in evaluate(texts).findings if found.id == "vllm.stuck")
    assert (stuck.severity, stuck.ladder) == ("unknown", ())
