# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that once ended a look instead of being read: one VM's log is no reason to know nothing of it, or of the others."""

from __future__ import annotations

import json

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core import program
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.bounded import newest, short_lines
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import parse_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.scrub import scrub, scrub_data
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine import vllm_metrics
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.diagnosis import diagnose
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.downloads import events_of
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.measures import measures
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import evaluate
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.nvidia_smi import read_nvidia_smi
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import decode

from tests.hostile import CORPUS

MANY = "1" * 5000


@pytest.mark.parametrize(
    "line",
    [
        f"max seq len ({MANY}), ({MANY} GiB KV cache is needed, larger than KV cache memory (1.2.3 GiB)",
        "Free memory on device cuda:0 (1.2.3/4.5.6 GiB) on startup is less than desired",
        f"World size ({MANY}) is larger than the number of available GPUs ({MANY})",
        f"CUDA out of memory occurred when warming up sampler with {MANY} dummy requests",
        f"max_num_seqs ({MANY}) exceeds available Mamba cache blocks ({MANY})",
        f"Total number of attention heads ({MANY}) must be divisible by tensor parallel size (0)",
        f"User-specified max_model_len ({MANY}) is greater than the derived max_model_len (x={MANY})",
    ],
)
def test_a_number_that_is_none_is_read_past(line: str) -> None:
    diagnose(line + "\n")
    evaluate({"engine.log": line})


def test_figures_that_are_none_are_left_out() -> None:
    log = "Available KV cache memory: 1.2.3.4 GiB\nGPU KV cache size: ,,, tokens\nModel loading took . GiB\n"
    assert "kv_cache_tokens" not in measures(log)
    assert decode([f"lc:lease:{MANY}", f"lc:gen:{MANY}"]).lease_end is None
    with pytest.raises(Failure):
        parse_duration(MANY + "h", "lease")


@pytest.mark.parametrize("name", CORPUS)
def test_what_a_look_found_stays_data_when_its_secrets_are_taken_out(name: str) -> None:
    evidence = f'authorization: "{CORPUS[name]}" api_key="{CORPUS[name]}'
    found = {"findings": [{"evidence": evidence, "sentence": CORPUS[name]}], "count": 3, "none": None}
    clean = scrub_data(found)
    assert clean["count"] == 3 and clean["none"] is None
    assert json.loads(json.dumps(clean)) == clean
    assert clean["findings"][0]["evidence"] == scrub(evidence)


def test_a_private_key_whose_end_is_cut_off_is_hidden_too() -> None:
    body = "\n".join(["A" * 64] * 20)
    whole = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----"
    assert scrub(f"before {whole} after {whole[:-40]}") == "before *** after ***"
    assert "A" * 10 not in scrub(json.dumps({"key": whole[:600]}))


def test_the_newest_part_of_a_text_is_read_in_whole_lines() -> None:
    assert newest("first\nsecond\nthird\n", 14) == "second\nthird\n"
    assert newest("a" * 100, 10) == "a" * 10
    assert short_lines("abcdef\nabc\n", 4) == "abcd\nabc\n"
    log = f"{'x' * 2_000_000}\nINFO 11-29 00:00:00 [x.py:1] Application startup complete.\nCUDA error: out of memory\n"
    assert [found.slug for found in diagnose(log)] == ["oom_running"]


def test_a_program_that_says_too_much_costs_no_memory() -> None:
    said = program.run(["python3", "-c", "for _ in range(300): print('x' * 99999)\nprint('the end')"], 60)
    assert said.rc == 0 and said.text.endswith("the end\n") and len(said.text) == 8_000_000
    endless = program.run(["sh", "-c", "while :; do echo y; done"], 0.5)
    assert endless.timed_out and endless.rc is None and endless.text.startswith("y\n")
    # What it leaves behind with its output open is not waited for beyond the limit.
    left = program.run(["sh", "-c", "echo said; sleep 60 &"], 0.5)
    assert left.text == "said\n" and left.timed_out


def test_what_is_too_long_to_be_from_a_tool_is_unreadable_and_not_nothing() -> None:
    card = "<gpu id='0'><uuid>GPU-1</uuid></gpu>"
    assert read_nvidia_smi(f"<nvidia_smi_log>{card}{'<a>b</a>' * 600_000}</nvidia_smi_log>").state == "unreadable"
    page = "vllm:num_requests_running 1\n" * 100_000
    assert vllm_metrics.activity(page)["readable"] is False
    long = 'vllm:num_requests_running{a="' + "b" * 5000 + '"} 1\n'
    assert vllm_metrics.activity(long)["readable"] is False
    assert events_of("[" * 100_000 + '\n{"event": "done"}\n') == [{"event": "done"}]


def test_a_document_that_is_very_deep_is_read_or_unreadable() -> None:
    deep = "<nvidia_smi_log><gpu id='0'>" + "<a>" * 20_000 + "</a>" * 20_000 + "</gpu></nvidia_smi_log>"
    evaluate({"nvidia-smi.xml": deep})
    evaluate({"nvidia-smi.xml": deep.replace("<gpu id='0'>", "").replace("</gpu>", "")})
