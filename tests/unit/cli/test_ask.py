# SPDX-License-Identifier: GPL-3.0-or-later
"""What `ask` asks, what it shows of an answer, and what one word alone means where a session need not be named."""

from __future__ import annotations

import io
import sys

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineClient, Stream

from linode_coder.cli.ask import question
from linode_coder.terminal.answer import Answer
from linode_coder.terminal.console import Console


@pytest.mark.parametrize(
    ("words", "piped", "asked"),
    [
        (["Review", "this."], b"", "Review this."),
        (["Review this."], b"a diff\n", "Review this.\n\na diff"),
        ([], b"only piped\n", "only piped"),
        (["What is it?"], b"\xff\xfe", "What is it?\n\n\ufffd\ufffd"),
    ],
)
def test_what_is_piped_in_follows_the_words(
    monkeypatch: pytest.MonkeyPatch, words: list[str], piped: bytes, asked: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
    assert question(words) == asked


@pytest.mark.parametrize("words", [[], [" "]])
def test_nothing_is_no_question(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b" \n")))
    with pytest.raises(Failure, match="There is no question"):
        question(words)


def test_a_program_gets_every_byte_of_the_answer_and_none_of_the_reasoning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written))
    answer = Answer(Console(as_json=False))
    for kind, text in (("reasoning", "hm"), ("reasoning", "so"), ("content", "\u26a0\ufe0f "), ("content", "done")):
        answer.part(kind, text)
    answer.end()
    assert written.getvalue() == "\u26a0\ufe0f done\n".encode()
    assert capsys.readouterr().err == ""


def test_of_a_stream_the_answer_is_told_from_the_reasoning() -> None:
    found, shown = Stream(sent=0.0), list[tuple[str, str]]()
    for delta in ('{"reasoning": "hm"}', '{"content": "yes"}', '{"content": ""}', '{"role": "assistant"}'):
        line = f'data: {{"choices": [{{"delta": {delta}}}]}}'.encode()
        EngineClient._line(found, line, 1.0, lambda kind, text: shown.append((kind, text)))
    assert (found.text, found.content) == ("hmyes", "yes")
    assert shown == [("reasoning", "hm"), ("content", "yes")]
