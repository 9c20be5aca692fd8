# SPDX-License-Identifier: GPL-3.0-or-later
"""Our generator's figures are those of an endpoint whose timing is known, however many streams there are."""

from __future__ import annotations

from statistics import median

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineClient
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf import load
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.figures import level_of

from tests.timed_engine import timed_engine

FIRST, GAP, TOKENS = 0.1, 0.02, 40


@pytest.mark.parametrize("streams", [1, 8, 32])
def test_figures_are_those_of_the_endpoint(streams: int) -> None:
    """Beside what the endpoint says that it did, so that a loaded machine, on which it is late itself, changes nothing."""
    with timed_engine(FIRST, GAP) as engine:
        prompts = load.Prompts("accuracy", 256)
        bodies = [load.body("coder", prompts.prompt(str(each)), TOKENS) for each in range(2 * streams)]
        found = load.drive(EngineClient(engine.port, "key"), bodies, streams)
    level = level_of(streams, found.streams, found.seconds, found.lags, {})
    assert (level["requests"], level["failed"], level["output_tokens"]) == (2 * streams, 0, 2 * streams * TOKENS)
    for kind, room in (("ttft", 0.03), ("itl", 0.002)):
        true = median(one[kind] for one in engine.said)
        assert level[kind]["p50"] == pytest.approx(true, rel=0.02, abs=room), kind
    assert level["stream_tps"] == pytest.approx(1 / GAP, rel=0.2)
