"""What a VM says of its engine is data, and nonsense is no engine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from linode_coder.endpoint.engine_files import engine_of
from tests.hostile import CORPUS

WANTED: dict[str, Any] = {
    "model": "org/M",
    "image": "a/b:c",
    "flags": {"max-model-len": 8192},
    "environment": {"A": 1},
    "aliases": [],
}


def said(flags: str, **changes: Any) -> str:
    return json.dumps({"schema": 1, "wanted": {**WANTED, **changes}}) + "\0" + flags


def test_the_flags_are_those_of_the_file() -> None:
    assert engine_of(said('model: "org/M"\nmax-model-len: 4096\n')) == {
        **{"model": "org/M", "image": "a/b:c", "flags": {"max-model-len": 4096}},
        "environment": {"A": "1"},
    }


@pytest.mark.parametrize(
    "answer",
    ["", "\0", "{}\0", "[]\0a: 1", '{"schema": 1, "wanted": null}\0a: 1', '{"schema": 2, "wanted": {}}\0', "[" * 9999],
)
def test_nonsense_is_no_engine(answer: str) -> None:
    assert engine_of(answer) is None
    assert engine_of(said("a: 1\n", model=7)) is None
    assert engine_of(said("a: 1\n", image=None)) is None


def test_flags_that_cannot_be_read_are_said() -> None:
    with pytest.raises(Failure, match=r"Line 1 of vllm\.yaml"):
        engine_of(said("max-model-len\n"))


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS.keys())
def test_any_text_of_a_vm_is_data(text: str) -> None:
    found = engine_of(said(f"served-model-name: {json.dumps([text])}\n", model=text))
    assert found is not None
    assert (found["model"], found["flags"]) == (text, {"served-model-name": [text]})
