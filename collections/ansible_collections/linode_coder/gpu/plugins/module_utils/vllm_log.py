# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vLLM's log says: how far it is, and why it stopped. Texts of vLLM 0.32 and 0.33."""

from __future__ import annotations

import re

# Newest phase last; the last marker that is found names the phase.
_PHASES = (
    ("starting", re.compile(r"non-default args")),
    ("loading the configuration", re.compile(r"Resolved architecture|Using max model len")),
    ("starting the engine", re.compile(r"Initializing a V1 LLM engine")),
    ("loading the weights", re.compile(r"Starting to load model|Loading model from scratch")),
    ("compiling", re.compile(r"torch\.compile|Compiling a graph")),
    ("measuring memory", re.compile(r"Available KV cache memory|GPU KV cache size")),
    ("warming up", re.compile(r"Capturing CUDA graphs|Graph capturing finished|init engine")),
    ("starting the server", re.compile(r"Starting vLLM server|Application startup complete")),
)

_CAUSES = (
    (
        re.compile(
            r"max seq len \((\d+)\), \(([\d.]+) GiB KV cache is\s+needed.*?KV cache memory \(([\d.]+) GiB\)", re.DOTALL
        ),
        "The context of {0} tokens needs {1} GiB of KV cache, and the cards have {2} GiB left.",
        "Ask for a shorter context, a smaller model or a larger plan.",
    ),
    (
        re.compile(r"No available memory for the cache blocks"),
        "The model's weights leave no memory for the KV cache on this plan.",
        "Choose a smaller or quantised model, or a larger plan.",
    ),
    (
        re.compile(r"torch\.OutOfMemoryError|CUDA out of memory"),
        "The GPU ran out of memory.",
        "Choose a smaller model, a shorter context or a larger plan.",
    ),
    (
        re.compile(r"larger than the number of available GPUs \((\d+)\)"),
        "The engine was told to use more GPUs than the plan has ({0}).",
        "Choose a plan with more GPUs.",
    ),
    (
        re.compile(r"(\S+) is not a local folder and is not a valid model identifier"),
        "The model {0} does not exist, or is private.",
        "Check its id; for a gated model accept its licence and give a token.",
    ),
    (
        re.compile(r"[Aa]ddress already in use"),
        "Something else already listens on the engine's port.",
        "Look at what runs on the VM, or take the session down and up again.",
    ),
)


def phase_of(log: str) -> str:
    """The newest phase whose marker is in the log."""
    found = [name for name, marker in _PHASES if marker.search(log)]
    return found[-1] if found else "waiting for the container"


def cause_of(log: str) -> tuple[str, str] | None:
    """A sentence and a remedy for the newest failure the log explains; None when it explains none."""
    best: tuple[int, str, str] | None = None
    for pattern, sentence, remedy in _CAUSES:
        for match in pattern.finditer(log):
            if best is None or match.end() > best[0]:
                best = (match.end(), sentence.format(*match.groups()), remedy)
    return best[1:] if best else None
