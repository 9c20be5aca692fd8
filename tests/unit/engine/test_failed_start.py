# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether two starts of an engine ended with the same error, whatever differs from start to start."""

from __future__ import annotations

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.failed_start import (
    FailedStart,
    failed_start,
    last_words,
    signature,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import CORPUS

SAME = (
    ("RuntimeError: shape '[4096, 512]' is invalid", "RuntimeError: shape '[4096, 640]' is invalid"),
    ("object at 0x7f3a91c2e0d0 is gone", "object at 0x7fb8deadbeef is gone"),
    ("(EngineCore_DP0 pid=117) died", "(EngineCore_DP0 pid=20931) died"),
    ("no such file: '/tmp/tmpab_cdxyz/model.py'", "no such file: '/tmp/tmpqq0q1zzz/model.py'"),
    ("cannot open tmpabcdefgh.so", "cannot open tmpzyxwvuts.so"),
    ("segment /dev/shm/nccl-6uFz7w is full", "segment /dev/shm/nccl-AbCdEf is full"),
    ("psm_3f2a11bc is locked", "psm_9c0d77ee is locked"),
    ("2026-11-29T16:42:52.123456789Z lost", "2026-11-30T01:02:03.5Z lost"),
    ("11-29 16:42:52 lost after 17.02 GiB", "12-01 01:02:03 lost after 18 GiB"),
    ("request aabbccdd-eeff-aabb-ccdd-eeffaabbccdd failed", "request 01234567-89ab-cdef-0123-456789abcdef failed"),
    ("TypeError:  two   blanks", "TypeError: two blanks"),
)
OTHERS = (
    ("TypeError: unexpected keyword 'alpha'", "TypeError: unexpected keyword 'beta'"),
    ("KeyError: 'layers'", "ValueError: 'layers'"),
    ("cannot open /opt/model/weights", "cannot open /opt/model/tokenizer"),
)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_differs_from_start_to_start_does_not_count(one: str, other: str) -> None:
    assert signature(one) == signature(other) and signature(one)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_other_words_are_another_error(one: str, other: str) -> None:
    assert signature(one) != signature(other)


@given(st.text(max_size=2000) | st.sampled_from(sorted(CORPUS.values())))
def test_any_text_has_a_signature_that_is_its_own(text: str) -> None:
    found = signature(text)
    assert len(found) <= 300 and signature(found) == found
    assert len(last_words(text)) <= 300


def start(error: str, number: int = 1) -> str:
    return (
        f"(APIServer pid={number}) INFO 11-29 16:4{number}:00 [utils.py:233] non-default args: {{'model': 'org/M'}}\n"
        f"(EngineCore_DP0 pid={number + 9}) INFO 11-29 16:4{number}:02 [gpu_model_runner.py:1] Starting to load model\n"
        f"(EngineCore_DP0 pid={number + 9}) {error}\n"
    )


ODD = "frobnicate.FrobError: no frob of size {n} at 0x7f{n}"
SERVED = "INFO:     Application startup complete.\n"


def failed(ended: str, earlier: str = "", ends: int = 1) -> FailedStart:
    found = failed_start(ended, earlier, ends)
    assert found is not None
    return found


def test_the_same_error_at_two_starts_is_told_from_another_one() -> None:
    first, second = start(ODD.format(n=31)), start(ODD.format(n=977), 2)
    alone = failed(first)
    assert (alone.known, alone.times) == (False, 1) and "no frob of size 31" in alone.error
    again = failed(second, first, 2)
    assert again.times == 2 and "977" in again.error
    assert failed(second, start("frobnicate.FrobError: no frob file"), 2).times == 1


def test_starts_in_one_log_are_separated_by_what_each_says_first() -> None:
    assert failed(start(ODD.format(n=1)) + start(ODD.format(n=2), 2), ends=2).times == 2
    mixed = failed(start("frobnicate.OtherError: nothing of the kind") + start(ODD.format(n=2), 2), ends=2)
    assert mixed.times == 1 and "no frob of size 2" in mixed.error


def test_where_nothing_separates_them_the_count_of_restarts_tells() -> None:
    said = ODD.format(n=5) + "\n"
    assert [failed(said, "", ends).times for ends in (1, 2, 7)] == [1, 2, 2]
    assert failed_start(said, "", 0) is None


def test_an_end_without_an_explanation_is_quoted_by_its_last_words() -> None:
    assert failed(start("Fatal Python error: Segmentation fault")).error == "Fatal Python error: Segmentation fault"
    silent = failed("2026-11-29T16:42:52.1Z INFO 11-29 16:42:52 [x.py:1] Loading\n")
    assert (silent.error, silent.known) == ("Loading", False)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("", ""),
        ("one\n\n  two \n\nthree\n \n", "two; three"),
        ("KeyError: 'a'\nValueError: b\nbye\n", "ValueError: b"),
        ("docker: error: no such thing\nbye\n", "docker: error: no such thing"),
        ("2026-11-29T16:42:52.1Z (EngineCore_DP0 pid=9) ERROR 11-29 16:42:52 [core.py:9] KeyError: 'a'\n", "KeyError: 'a'"),
        ("x" * 300 + "Error: y", "x" * 292 + "Error: y"),
    ],
)  # fmt: skip
def test_the_last_words_of_a_log(log: str, said: str) -> None:
    assert last_words(log) == said


def test_what_explains_is_quoted_before_what_follows_from_it() -> None:
    said = start("frob.FrobError: no frob") + "RuntimeError: Engine core initialization failed. See root cause above.\n"
    assert failed(said).error == "FrobError: no frob"


def test_two_starts_that_end_without_an_error_are_compared_by_their_last_words() -> None:
    assert failed(start("Loading shard 1 of 9") + start("Loading shard 1 of 9", 2), ends=2).times == 2
    assert failed(start("Loading shard 1 of 9") + start("Compiling", 2), ends=2).times == 1


@pytest.mark.parametrize(
    ("ended", "earlier"),
    [
        ("", ""),
        (SERVED + ODD, ""),
        (start(ODD), start("x") + SERVED),
        (start("requests.exceptions.ConnectionError: HTTPSConnectionPool(host='h', port=443)"), ""),
        (start("huggingface_hub.errors.HfHubHTTPError: 429 Client Error: Too Many Requests for url: x"), ""),
        (start("safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata"), ""),
    ],
    ids=["silent", "served", "served before", "no network", "rate limited", "weights are fetched again"],
)
def test_what_served_passes_or_is_mended_first_is_no_failed_start(ended: str, earlier: str) -> None:
    assert failed_start(ended, earlier, 3) is None


def test_a_cause_with_a_name_is_known() -> None:
    found = failed(start("RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)"))
    assert found.known
