# SPDX-License-Identifier: GPL-3.0-or-later
"""No text from a VM or a file costs a reader more than its length: not a long line, not many, and not what a pattern begins
with again and again. A watcher reads them of every session, and one must not keep it from the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins import module_utils
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.scrub import scrub
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.downloads import (
    events_of,
    pull_failure,
    pull_phase,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.measures import measures
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import evaluate

import linode_coder
from tests.unit.health.pumped import WORST_RATIO, Use, growth, in_child, pumps, uses

# The sandbox reads what its own machine writes.
USES = list(
    {
        # One that several modules have by name is tried once.
        (use.pattern, use.anchored): use
        for use in uses(module_utils) + uses(linode_coder)
        if ".sandbox." not in use.where
    }.values()
)


# CPU seconds for all the texts of one pattern; a second look, which only a pattern that looks bad gets, may take longer.
PATTERN_S, SECOND_S = 8, 24


def bad_texts(use: Use) -> Any:
    """What a pattern takes too long for, of repetitions of its own beginnings; nothing where it is linear."""

    def slowest() -> list[tuple[str, float]]:
        for pump in sorted(pumps(use.pattern)):
            for tail in ("", "\x00"):
                ratio = growth(use.all, lambda size, pump=pump, tail=tail: pump * (size // len(pump) + 1) + tail, 3000)
                if ratio >= WORST_RATIO:
                    return [(pump[:60], round(ratio, 1))]
        return []

    found = in_child(slowest, PATTERN_S)
    if found is None or found:
        found = in_child(slowest, SECOND_S)
    return "killed" if found is None else found


@pytest.mark.timeout(1200)
def test_every_pattern_is_linear() -> None:
    """Each with repetitions of its own beginnings, which is what a hostile text would hold."""
    assert len(USES) > 600
    bad = {f"{use.where}: {use.pattern.pattern[:80]}": found for use in USES if (found := bad_texts(use))}
    assert not bad, "\n".join(f"{name}\n    {why}" for name, why in bad.items())


@pytest.mark.parametrize(
    ("pattern", "linear"),
    [
        (r"a*b", False),
        (r"error: .*: [0-9]+ of", False),
        (r"a{1,20}b", True),
        (r"^[^\n]*b", True),
        (r"error: [^:\n]{0,40}: [0-9]{1,9} of", True),
    ],
)
def test_a_pattern_that_is_not_linear_is_found(pattern: str, linear: bool) -> None:
    assert (not bad_texts(Use("here", re.compile(pattern, re.MULTILINE), anchored=False))) == linear


@pytest.mark.parametrize(("times", "linear"), [(1, True), (2, False)])
def test_a_reader_that_takes_the_square_of_its_length_is_found(times: int, linear: bool) -> None:
    def reader(text: str) -> None:
        for _character in range(len(text) ** times // 10 ** (5 * (times - 1))):
            text.count("b", 0, 500)

    found = in_child(lambda: growth(reader, lambda size: "a" * size, 25_000))
    assert (found is not None and found < WORST_RATIO) == linear


def test_a_reader_that_does_not_end_is_ended() -> None:
    def spin() -> None:
        while True:
            pass

    assert in_child(spin, 1) is None


BUS = "(PCI:0000:01:00)"
# Kernel logs and engine logs, by what is repeated in one line, in many, and in both.
KERNEL = {
    "words": "a",
    "xid": "NVRM: Xid ",
    "xid with a place": f"NVRM: Xid {BUS}: ",
    "codeless": "NVRM: GPU 0000:01:00.0: ",
    "off the bus": "NVRM: GPU at 0000:01:00 has fallen off ",
    "mismatch": "NVRM: API mismatch: ",
    "out of memory": "Out of memory: Killed process 1 (",
    "json": '{"MESSAGE": "NVRM: Xid ',
    "list": '{"MESSAGE": [',
    "recovery": "NVRM: Xid (PCI:0000:01:00): 154, recovery action changed from 0x0 (",
}
ENGINE = {
    "words": "a",
    "word": "abcdefghi ",
    "spaces": " ",
    "lines": "\n",
    "returns": "\r",
    "jit": "FlashInfer JIT ",
    "device full": "No space left on device ",
    "errno": "[Errno 28] No space left on device ",
    "address": "[Errno 98] ",
    "osc": "\x1b]",
    "csi": "\x1b[",
    "forbidden": "403 Client Error ",
    "validation": "HFValidationError: Repo id must ",
    "sequence": "max seq len (1), (1 GiB KV cache is needed ",
    "pydantic": "1 validation error for X\n  Value error, \n",
    "arguments": "non-default args: {",
    "version": "version 1.1.1",
    "graphs": "Capturing CUDA graphs ",
    "model": "execute_model CUDA out of memory. Tried to allocate 1 GiB ",
    "dots": "a.",
    "traceback": 'Traceback (most recent call last):\n  File "x", line 1, in y\n',
    "frames": '  File "/x/spec_decode/y.py", line 1, in z\n',
    "errors": "KeyError: x\nDuring handling of the above exception, another exception occurred:\n",
    "quoted": "Worker failed with error 'KeyError(\"",
    "use": "01-01 00:00:00 Avg prompt throughput: 0.0 tokens/s, Avg generation throughput: 0.0 tokens/s, Running: 1 reqs, Waiting: 0\n",
    "ranks": "world_size=2 rank=1 INFO 01-01 00:00:00 \n",
    "daemon": "Error response from daemon: ",
    "hook": "nvidia-container-cli: exec: ",
    "kernel": "cutlass Got cutlass error CUDA error: ",
    "digits": "1",
}
METRICS = {
    "words": "a",
    "labels": 'a{b="c",',
    "name": "vllm:num_requests_running{a",
    "braces": "a{} 1} ",
    "escapes": '\\"',
}
STATE = {"refusal": "OCI runtime create failed: ", "toolkit": "nvidia-container-cli: ", "words": "a", "lines": "\n"}
SECRETS = {
    "names": "TOKEN",
    "name": "A_",
    "authorization": "authorization:  ",
    "keys": "-----BEGIN PRIVATE KEY-----",
    "quotes": '"token": ',
    "bearer": "bearer ",
}


def looked_at(name: str) -> Callable[[str], Any]:
    """A whole look at a host, with one of its files."""
    others = {"container.json": json.dumps([{"State": {"Status": "running", "StartedAt": "2026-11-29T00:00:00Z"}}])}
    return lambda text: evaluate({**others, name: text})


READERS: dict[str, tuple[Callable[[str], Any], dict[str, str]]] = {
    "kernel.log": (looked_at("kernel.log"), KERNEL),
    "engine.log": (looked_at("engine.log"), ENGINE),
    "metrics.txt": (looked_at("metrics.txt"), METRICS),
    "the container's state": (
        lambda text: evaluate({"container.json": json.dumps([{"State": {"Status": "created", "Error": text}}])}),
        STATE,
    ),
    "nvidia-smi.xml": (
        looked_at("nvidia-smi.xml"),
        {
            "handle": "Unable to determine the device handle for GPU ",
            "library": "NVML library ",
            "elements": "<a>x</a>",
        },
    ),
    "figures": (measures, ENGINE),
    "pull": (
        lambda text: (pull_phase(text), pull_failure("image", text)),
        {"manifest": "manifest for ", "layer": "a: "},
    ),
    "download": (events_of, {"lists": "[", "event": '{"event": "begin"}\n', "words": "a"}),
    "secrets": (scrub, {**SECRETS, **ENGINE}),
}
CASES = [(reader, name) for reader, (_call, texts) in READERS.items() for name in texts]


@pytest.mark.parametrize(("reader", "name"), CASES, ids=[" ".join(case) for case in CASES])
def test_a_text_costs_no_more_than_its_length(reader: str, name: str) -> None:
    call, texts = READERS[reader]
    part = texts[name]
    shapes: dict[str, Callable[[int], str]] = {
        "one line": lambda size: part * (size // len(part)),
        "lines": lambda size: (part * (900 // len(part) + 1) + "\n") * (size // 900),
        "short lines": lambda size: f"{part}\n" * (size // len(part)),
    }
    for shape, make in shapes.items():
        found = in_child(lambda make=make: growth(call, make, 25_000))
        assert found is not None and found < WORST_RATIO, (shape, found)


# The largest that a bundle may hold, and what a VM may send.
HUGE = 31_000_000


@pytest.mark.parametrize(("reader", "name"), [case for case in CASES if case[0].endswith((".log", ".txt"))])
def test_of_a_log_that_is_too_long_the_newest_part_is_read(reader: str, name: str) -> None:
    """However long it is, within the CPU time that a few of its megabytes take."""
    call, texts = READERS[reader]
    part = texts[name]
    line = part * (200 // len(part) + 1) + "\n"
    assert in_child(lambda: bool(call(line * (HUGE // len(line)))) or True) is not None


def distinct_faults(size: int) -> str:
    return "".join(
        f"[{number}.0] NVRM: Xid (PCI:{number % 65536:04x}:{number % 256:02x}:00): {number % 99999}, pid=1\n"
        for number in range(size // 50)
    )


def distinct_cards(size: int) -> str:
    cards = "".join(f'<gpu id="{number:08x}:01:00.0"><uuid>GPU-{number}</uuid></gpu>' for number in range(size // 60))
    return f"<nvidia_smi_log>{cards}</nvidia_smi_log>"


def test_many_faults_and_many_cards_cost_no_more_than_their_number() -> None:
    for name, make in (("kernel.log", distinct_faults), ("nvidia-smi.xml", distinct_cards)):
        found = in_child(lambda name=name, make=make: growth(looked_at(name), make, 60_000))
        assert found is not None and found < WORST_RATIO, (name, found)
