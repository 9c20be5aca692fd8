# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a start of vLLM is. Texts of vLLM 0.32 and 0.33."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .log_text import last_run

# Newest phase last; the last marker that is found names the phase.
_PHASES = (
    ("starting", re.compile(r"non-default args")),
    ("loading the configuration", re.compile(r"Resolved architecture|Using max model len")),
    ("starting the engine", re.compile(r"Initializing a V1 LLM engine")),
    ("connecting the GPUs", re.compile(r"world_size=\d{1,6} rank=\d{1,6} .{0,200}backend=")),
    ("loading the weights", re.compile(r"Starting to load model|Loading model from scratch")),
    (
        "compiling",
        re.compile(
            r"for vLLM's torch\.compile|Compiling a graph|Dynamo bytecode transform|Directly load the compiled graph|"
            r"torch\.compile took"
        ),
    ),
    (
        "measuring memory",
        re.compile(r"Initial profiling/warmup run|Available KV cache memory|(?:GPU|CPU) KV cache size"),
    ),
    ("warming up", re.compile(r"Capturing CUDA graphs|Graph capturing finished|kernel warmup starting|init engine")),
    ("starting the server", re.compile(r"Starting vLLM server|Application startup complete")),
)
_BARS = (
    (
        "loading the weights",
        re.compile(
            r"checkpoint shards: {1,9}(\d{1,3})% Completed \| (\d{1,9})/(\d{1,9})(?: \[[\d:]{1,20}<([\d:]{1,20}))?"
        ),
    ),
    (
        "warming up",
        re.compile(
            r"Capturing CUDA graphs[^\r\n%]{0,100}?(\d{1,3})%\|[^|\n]{0,200}\| (\d{1,9})/(\d{1,9})(?: \[[\d:]{1,20}<([\d:]{1,20}))?"
        ),
    ),
)
_SIZE = re.compile(r"Checkpoint size: (\d{1,9}\.\d{1,9} [KMGT]iB)")


@dataclass(frozen=True)
class Progress:
    phase: str
    fraction: float | None = None
    detail: str = ""


def phase_of(log: str) -> str:
    """The newest phase of the last start whose marker is in the log."""
    run = last_run(log)
    found = [name for name, marker in _PHASES if marker.search(run)]
    # Importing takes half a minute before anything of the engine's own is said.
    return found[-1] if found else "starting" if run.strip() else "waiting for the container"


def progress_of(log: str) -> Progress:
    """The phase, and how far it is where the engine shows a bar."""
    run = last_run(log)
    phase = phase_of(log)
    for name, pattern in _BARS:
        shown = pattern.findall(run)
        if shown and name == phase:
            percent, done, total, left = shown[-1]
            size = _SIZE.search(run) if name == "loading the weights" else None
            parts = [
                f"{done} of {total}",
                f"{size[1]} in all" if size else "",
                f"{left} left" if left and done != total else "",
            ]
            return Progress(phase, min(int(percent), 100) / 100, ", ".join(filter(None, parts)))
    return Progress(phase)
