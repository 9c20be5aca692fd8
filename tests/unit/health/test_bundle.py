# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles: what goes in without secrets, what comes out without harm."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.scrub import scrub
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.bundle import read_bundle, write_bundle
from hypothesis import given, settings
from hypothesis import strategies as st

SECRETS = [
    ('"Env": ["VLLM_API_KEY={}", "PATH=/bin"]', "q9w8e7r6t5y4u3i2"),
    ("HF_TOKEN={}", "hf_AbCdEfGhIjKlMnOpQrSt"),
    ("token hf_{} in a line", "AbCdEfGhIjKlMnOpQrSt"),
    ("LINODE_TOKEN={}", "a1" * 32),
    ("some {} alone", "0f" * 32),
    ("Authorization: Bearer {}", "abc.def-ghi_jkl"),
    ("'--api-key', '{}', '--port'", "s3cr3t-value"),
    ("--api-key={} --port", "s3cr3t-value"),
    ("{{'api_key': '{}', 'model': 'x'}}", "s3cr3t-value"),
    ("https://user:{}@example.org/x", "s3cr3t-value"),
]


@pytest.mark.parametrize(("template", "secret"), SECRETS)
def test_secrets_go_and_the_rest_stays(template: str, secret: str) -> None:
    text = template.format(secret)
    cleaned = scrub(text)
    assert secret not in cleaned and "***" in cleaned
    assert scrub(cleaned) == cleaned


def test_known_secrets_go_whatever_they_look_like() -> None:
    assert scrub("GET /v1 key=plainword end", ("plainword",)) == "GET /v1 key=*** end"


def test_what_is_no_secret_stays() -> None:
    text = (
        'GPU-6ba7b810-9dad-11d1-80b4-00c04fd430c8 "Image": "sha256:'
        + "ab" * 32
        + '" prompt_tokens_total 12 max_tokens=1'
    )
    assert scrub(text) == text


def test_an_archive_comes_back(tmp_path: Path) -> None:
    texts = {"nvidia-smi.xml": "<x/>", "host.json": "{}", "engine.log": "ä\n"}
    path = tmp_path / "demo.tar.gz"
    write_bundle(path, texts)
    assert read_bundle(path) == texts
    assert path.stat().st_mode & 0o777 == 0o600
    directory = tmp_path / "dir"
    directory.mkdir()
    (directory / "kernel.log").write_bytes(b"\xff\xfe NVRM")
    (directory / "other.txt").write_text("x")
    assert set(read_bundle(directory)) == {"kernel.log"}


@pytest.mark.parametrize("kind", ["a link out", "a link within", "a dangling link", "a pipe", "a directory"])
def test_a_directory_shows_its_own_regular_files_only(tmp_path: Path, kind: str) -> None:
    """Somebody else's directory may point anywhere on this machine."""
    (tmp_path / "secret").write_text("not of the bundle")
    directory = tmp_path / "dir"
    directory.mkdir()
    (directory / "host.json").write_text("{}")
    place = directory / "kernel.log"
    if kind == "a pipe":
        os.mkfifo(place)
    elif kind == "a directory":
        place.mkdir()
    else:
        place.symlink_to(
            {"a link out": tmp_path / "secret", "a link within": "host.json", "a dangling link": "x"}[kind]
        )
    with pytest.raises(Failure, match=r"The directory .*kernel\.log") as raised:
        read_bundle(directory)
    assert raised.value.kind == "refused"


def archive(path: Path, *members: tuple[str, bytes, int]) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, data, kind in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = bytes([kind]), len(data) if kind == 48 else 0, "/etc/passwd"
            made.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../kernel.log", 48),
        ("/etc/kernel.log", 48),
        ("a/../../kernel.log", 48),
        ("kernel.log", 50),
        ("kernel.log", 49),
        ("kernel.log", 51),
    ],
)
def test_unsafe_members_are_refused(tmp_path: Path, name: str, kind: int) -> None:
    with pytest.raises(Failure) as caught:
        read_bundle(archive(tmp_path / "x.tar.gz", ("host.json", b"{}", 48), (name, b"x", kind)))
    assert caught.value.exit_code == 3


def test_a_folder_inside_is_fine(tmp_path: Path) -> None:
    assert read_bundle(archive(tmp_path / "x.tgz", ("demo/kernel.log", b"a", 48))) == {"kernel.log": "a"}


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=60, deadline=None)
def test_garbage_is_one_sentence(tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: bool) -> None:
    path = tmp_path_factory.mktemp("garbage") / "x.tar.gz"
    if cut:
        write_bundle(path, {"kernel.log": "NVRM " * 400})
        data = path.read_bytes()[: 20 + len(data) % 60]
    path.write_bytes(data)
    with pytest.raises(Failure) as caught:
        read_bundle(path)
    assert caught.value.exit_code == 2


def test_nothing_there_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.tar.gz", tmp_path):
        with pytest.raises(Failure) as caught:
            read_bundle(path)
        assert (caught.value.exit_code, caught.value.field) == (2, "bundle")


def test_what_is_too_large_is_one_sentence_and_not_read(tmp_path: Path) -> None:
    directory = tmp_path / "dir"
    directory.mkdir()
    with (directory / "kernel.log").open("wb") as file:
        file.truncate(40_000_000_000)
    member = tarfile.TarInfo("other.bin")
    member.size = 40_000_000_000
    with gzip.open(tmp_path / "x.tar.gz", "wb") as made:
        made.write(member.tobuf())
    for path, name in ((directory, "kernel.log"), (tmp_path / "x.tar.gz", "other.bin")):
        with pytest.raises(Failure) as caught:
            read_bundle(path)
        assert (caught.value.exit_code, caught.value.field) == (2, "bundle")
        assert name in caught.value.message and "32 MB" in caught.value.message


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Failure) as caught:
        read_bundle(tmp_path / "pipe")
    assert "neither" in caught.value.message
