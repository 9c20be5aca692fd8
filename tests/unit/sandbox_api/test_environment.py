# SPDX-License-Identifier: GPL-3.0-or-later
"""What points commands at a sandbox."""

from __future__ import annotations

from linode_coder.sandbox.control import environment
from linode_coder.sandbox.tiny_models import MODELS

FACTS = {"port": 1, "ssh_port": 22}


def test_with_the_real_engine_a_model_is_named_that_its_hub_has() -> None:
    named = environment({**FACTS, "engine": "vllm"})["LINODE_CODER_MODEL"]
    assert named.removeprefix("sandbox/") in MODELS
    assert "LINODE_CODER_MODEL" not in environment({**FACTS, "engine": "standin"})
