# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM says is read for what it means to us, and quoted as it is; no text of any kind makes a reading fail."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.downloads import events_of, weights_failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.vllm_metrics import activity, gauges
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.collected import FILES
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import evaluate
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import decode
from smi_documents import v13_blackwell

from tests.hostile import CORPUS, canary

TEXTS = {**CORPUS, **{f"canary, {name}": text for name, text in canary("/dev/shm/x").items()}}


def quoted(text: str) -> dict[str, str]:
    """Each file of a look with the text where a program of the VM would put it."""
    state = {"Status": text, "Error": text, "StartedAt": text, "ExitCode": text}
    return {
        "nvidia-smi.xml": v13_blackwell().replace("</product_name>", f"<![CDATA[{text}]]></product_name>"),
        "kernel.log": "\n".join(
            [json.dumps({"MESSAGE": f"NVRM: Xid (PCI:0000:01:00): 79, {text}"}), f"[1.0] NVRM: Xid (PCI:{text}): 79"]
        ),
        "engine.log": f"ERROR {text}\nFatal Python error: Segmentation fault {text}\nRuntimeError: {text}",
        "metrics.txt": f'vllm:num_requests_running{{model_name="{text}"}} {text}\n{text} 1.0\n',
        "container.json": json.dumps([{"Name": text, "State": state, "Config": {"Image": text}, text: text}]),
        "host.json": json.dumps({"boot_id": text, "clock": text, "disk": text, "engine": {"health": text}, text: text}),
        "models.json": json.dumps({"data": [{"id": text, "max_model_len": text}], text: text}),
    }


@pytest.mark.parametrize("name", TEXTS)
def test_any_text_can_be_read(name: str) -> None:
    text = TEXTS[name]
    for files in (dict.fromkeys(FILES, text), quoted(text)):
        _is_data(evaluate(files, {"model": text, "card": text}, {"boot_id": text, "gpus": text, "clock": 1.0}))
    events = events_of(f"{text}\n{json.dumps({'event': text, 'time': text})}\n{json.dumps({'event': 'failed'})}")
    assert weights_failure(text, events) is None or events
    json.dumps([activity(text), gauges(text)])


def _is_data(health: Any) -> None:
    document = [finding.as_dict() for finding in health.findings], health.facts, health.activity
    assert health.findings and json.loads(json.dumps(document))


def test_an_engines_log_is_quoted_as_it_is() -> None:
    """Not unescaped, rendered or cut at what looks like an end: so the tests above have read something."""
    text = TEXTS["canary, jinja"]
    found = evaluate(quoted(text), {}, {})
    assert text in json.dumps([finding.as_dict() for finding in found.findings])


@pytest.mark.parametrize("name", TEXTS)
def test_any_tag_can_be_read(name: str) -> None:
    text = TEXTS[name]
    parts = ("session", "gen", "owner", "lease", "cap", "idle", "rate", "model:0", "hk0", "hk1", "nk0", "nk1", "doom")
    found = decode(["linode-coder", text, *(f"lc:{part}:{text}" for part in parts)])
    assert not found.complete
    assert (found.session, found.lease_end, found.host_key) == (None, None, None)


@pytest.mark.parametrize("text", ["A", "\n", " ", "/", "'", "a.b:", "x=1,", "Error: ", "validation errors for X\n"])
def test_a_log_is_read_in_one_go(text: str) -> None:
    """However long a line is, or how many there are of one kind: what took time by its square would end with this test's limit."""
    log = text * (300_000 // len(text))
    _is_data(
        evaluate({"engine.log": f"ERROR {log}\nRuntimeError: {log}", "kernel.log": log, "metrics.txt": log}, {}, {})
    )
