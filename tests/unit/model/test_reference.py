# SPDX-License-Identifier: GPL-3.0-or-later
"""How people name a model, and what they are told where the name is more than one."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import Model
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.reference import Reference, parse_reference
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.request import make_request, resolve, unlisted
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import CORPUS

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "name", "variant"),
    [
        ("gpt-oss-20b", "gpt-oss-20b", None),
        ("me/thing-7b", "me/thing-7b", None),
        ("https://huggingface.co/me/thing-7b", "me/thing-7b", None),
        ("https://huggingface.co/me/thing-7b/", "me/thing-7b", None),
        ("http://www.huggingface.co/me/thing-7b?library=vllm", "me/thing-7b", None),
        ("https://hf.co/me/thing-7b#usage", "me/thing-7b", None),
        ("huggingface.co/me/thing-7b", "me/thing-7b", None),
        ("hf.co/me/thing-7b", "me/thing-7b", None),
        ("hf://me/thing-7b", "me/thing-7b", None),
        ("https://huggingface.co/models/me/thing-7b", "me/thing-7b", None),
        ("https://huggingface.co/me/thing-7b/tree/main", "me/thing-7b", None),
        ("https://huggingface.co/me/thing-7b/blob/main/config.json", "me/thing-7b", None),
        ("https://huggingface.co/me/thing-7b/resolve/main/config.json", "me/thing-7b", None),
        ("https://huggingface.co/me/thing-7b/discussions/3", "me/thing-7b", None),
        ("me/thing-7b@main", "me/thing-7b", None),
        ("qwen3.8-27b:fp8", "qwen3.8-27b", "fp8"),
        ("Qwen/Qwen3.8-27B:nvfp4", "Qwen/Qwen3.8-27B", "nvfp4"),
        ("gpt-oss:20b", "gpt-oss", "20b"),
    ],
)
def test_what_is_understood(text: str, name: str, variant: str | None) -> None:
    assert parse_reference(text) == Reference(name, variant)


@pytest.mark.parametrize(
    ("text", "said", "form"),
    [
        (f"me/thing@{COMMIT}", "names a commit", f'"me/thing" = "{COMMIT}"'),
        (f"me/thing@{COMMIT.upper()}", "names a commit", f'"me/thing" = "{COMMIT}"'),
        (f"https://huggingface.co/me/thing/tree/{COMMIT}", "names a commit", "--model me/thing"),
        (f"https://huggingface.co/me/thing/commit/{COMMIT}", "names a commit", "[revisions]"),
        ("me/thing@v1.0", "the revision 'v1.0'", "40 hexadecimal digits"),
        ("me/thing@0123abc", "the revision '0123abc'", "40 hexadecimal digits"),
        ("https://huggingface.co/me/thing/tree/dev", "the revision 'dev'", "--model me/thing"),
        ("me/thing:Q4_K_M", "a GGUF file (Q4_K_M)", "another format"),
        ("hf.co/me/thing-GGUF:IQ4_XS", "a GGUF file (IQ4_XS)", "another format"),
        ("unsloth/thing:UD-Q4_K_XL", "a GGUF file", "another format"),
        ("https://huggingface.co/datasets/me/thing", "something else on the Hub (datasets)", "organisation/name"),
        ("https://huggingface.co/spaces/me/thing", "something else on the Hub (spaces)", "organisation/name"),
        ("https://huggingface.co/me", "is not a model id", "organisation/name"),
        ("https://github.com/me/thing", "not an address of the Hugging Face Hub", "organisation/name"),
        ("file:///etc/passwd", "not an address of the Hugging Face Hub", "organisation/name"),
        ("http://[", "is not a model id", "organisation/name"),
        ("@me/thing", "is not a model id", "organisation/name"),
        ("me/thing@", "is not a model id", "organisation/name"),
        ("me/thing:", "is not a model id", "organisation/name"),
        ("me/thing:a b", "is not a model id", "organisation/name"),
    ],
)
def test_what_is_answered_with_the_right_form(text: str, said: str, form: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_reference(text)
    assert (caught.value.kind, caught.value.field, caught.value.value) == ("usage", "model", text)
    assert said in str(caught.value) and form in str(caught.value.remedy)


def looked_up(name: str) -> Model:
    assert name == "me/thing-7b"
    return unlisted(name)


def test_a_repository_is_looked_up_by_its_name_alone() -> None:
    found = resolve("https://huggingface.co/me/thing-7b/tree/main", looked_up)
    assert found.variant is not None and found.variant.id == "me/thing-7b"


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("https://huggingface.co/Qwen/Qwen3.8-27B-FP8", "Qwen/Qwen3.8-27B-FP8"),
        ("qwen3.8-27b:FP8", "Qwen/Qwen3.8-27B-FP8"),
        ("Qwen/Qwen3.8-27B:nvfp4", "nvidia/Qwen3.8-27B-NVFP4"),
        ("Qwen/Qwen3-14B:int4-awq", "Qwen/Qwen3-14B-AWQ"),
    ],
)
def test_a_precision_behind_a_model_is_its_variant(text: str, variant: str) -> None:
    selection = make_request(looked_up, text).selection
    assert selection is not None and selection.variant is not None and selection.variant.id == variant


@pytest.mark.parametrize(
    ("text", "said", "form"),
    [
        ("gpt-oss:20b", "is not known", "gpt-oss-20b"),
        ("qwen3-coder:30b", "is not known", "qwen3-coder-30b-a3b"),
        ("me/thing:int4", "names a part of a repository", "--model me/thing"),
        ("qwen3.8-27b:int9", "is not a variant", "Its variants"),
        ("nvidia/Qwen3.8-27B-NVFP4:fp8", "contradicts", "Leave out one"),
    ],
)
def test_what_stands_behind_a_colon_and_is_nothing(text: str, said: str, form: str) -> None:
    with pytest.raises(Failure) as caught:
        resolve(text, looked_up)
    assert said in str(caught.value) and form in str(caught.value.remedy)


@given(
    st.one_of(st.sampled_from(sorted(CORPUS.values())), st.text(max_size=60)),
    st.sampled_from(["", "me/x@", "me/x:", "hf.co/", "https://huggingface.co/me/"]),
)
def test_any_text_is_a_name_or_a_sentence(text: str, before: str) -> None:
    """What is taken for a repository has the form of one, and nothing else reaches the Hub."""

    def lookup(name: str) -> Model:
        assert all(
            part and set(part) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
            for part in name.split("/")
        )
        return unlisted(name)

    try:
        resolve(before + text, lookup)
    except Failure as failure:
        assert failure.kind == "usage" and failure.remedy
