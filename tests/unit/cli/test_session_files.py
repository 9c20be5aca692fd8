# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine keeps of a session, damaged or in the way, and what ssh says when it fails."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.modules import session_secret, watchdog_notice

from linode_coder.cli import app
from linode_coder.endpoint import tunnel, tunnel_files
from linode_coder.endpoint.api_key import api_key_file
from linode_coder.endpoint.ssh_failure import ssh_failure

VIEW: dict[str, Any] = {"name": "one", "linode_id": 7, "host_keys": [], "address": "127.0.0.1"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The session's directory."""
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    directory = tmp_path / "state" / "sessions" / "one"
    directory.mkdir(parents=True)
    return directory


def fake_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    place = tmp_path / "bin"
    place.mkdir()
    (place / "ssh").write_text(f"#!/bin/sh\n{script}\n")
    (place / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")


DAMAGED = [
    "",
    "{",
    "[]",
    "null",
    "{}",
    '{"port": 1}',
    '{"port": "x", "linode_id": 7}',
    '{"port": 70000, "linode_id": 7}',
]


@pytest.mark.parametrize("content", [*DAMAGED, '{"port": null, "linode_id": 7}', "\udcff", "[" * 100_000])
def test_a_damaged_record_of_the_tunnel_is_none(home: Path, content: str) -> None:
    record = tunnel_files.target_file("one")
    record.write_bytes(content.encode(errors="surrogateescape"))
    assert tunnel.local_port("one") is None
    record.write_text('{"port": 18001, "linode_id": 7}')
    assert tunnel.local_port("one") == 18001


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\n"])
def test_a_damaged_key_is_fetched_again(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (home / "api_key").write_bytes(content)
    fake_ssh(tmp_path, monkeypatch, "echo VLLM_API_KEY=of-the-vm")
    assert api_key_file(VIEW).read_text() == "of-the-vm\n"


@pytest.mark.parametrize("said", ["VLLM_API_KEY=", "VLLM_API_KEY=  ", "", "nothing of the kind"])
def test_an_empty_key_of_the_vm_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    fake_ssh(tmp_path, monkeypatch, f"echo '{said}'")
    with pytest.raises(Failure, match=r"API key .* is empty"):
        api_key_file(VIEW)
    assert not (home / "api_key").exists()
    module = SimpleNamespace(params={"session": "one", "secrets": said}, check_mode=False)
    with pytest.raises(Failure, match=r"API key .* is empty"):
        session_secret.work(module, {})
    assert not (home / "api_key").exists()


def test_a_key_that_cannot_be_kept_is_one_sentence(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ssh(tmp_path, monkeypatch, "echo VLLM_API_KEY=of-the-vm")
    home.rmdir()
    home.write_text("")
    with pytest.raises(Failure, match="cannot be kept") as raised:
        api_key_file(VIEW)
    assert raised.value.kind == "config"


@pytest.mark.parametrize(
    ("said", "code", "kind"),
    [
        ("No ED25519 host key is known for x.\nHost key verification failed.", 255, "host_key"),
        ("ssh: connect to host x port 22: Connection refused", 255, "unreachable"),
        ("", 0, "unreachable"),  # the remote command itself ended with 255, or it passed meanwhile
    ],
)
def test_a_swapped_host_key_is_told_from_a_vm_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, code: int, kind: str
) -> None:
    fake_ssh(tmp_path, monkeypatch, f"echo '{said}' >&2\nexit {code}")
    failure = ssh_failure(VIEW)
    assert (failure.kind, failure.exit_code) == (kind, 4 if kind == "host_key" else 5)


def test_what_was_told_is_told_where_it_cannot_be_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINODE_CODER_HOME", "/proc/nowhere")
    monkeypatch.setattr(watchdog_notice, "send", lambda *_arguments: None)
    warnings: list[str] = []
    module = SimpleNamespace(
        params={"url": "https://example.com", "desktop": False, "timeout": 1}, check_mode=False, warn=warnings.append
    )
    outcome, texts = watchdog_notice.tell(module, [])
    assert outcome["webhook"]["configured"] and texts == {}
    assert len(warnings) == 2
    assert all("cannot be written" in text for text in warnings)


@pytest.mark.parametrize(
    ("arguments", "bills"),
    [
        (["check", "--bundle", "x.tar.gz"], False),
        (["check", "--bundle=x.tar.gz", "--json"], False),
        (["models"], False),
        (["check", "one"], True),
        (["up", "one"], True),
    ],
)
def test_an_interrupt_speaks_of_bills_where_there_may_be_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], bills: bool
) -> None:
    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "app", interrupted)
    assert app.run(arguments) == 130
    said = capsys.readouterr().err
    assert said.startswith("Interrupted.")
    assert ("keeps billing" in said) == bills


def test_a_crash_that_cannot_be_kept_is_still_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*_arguments: object, **_options: object) -> None:
        raise ValueError("out of the blue")

    monkeypatch.setenv("LINODE_CODER_HOME", "/proc/nowhere")
    monkeypatch.setattr(app, "app", crash)
    assert app.run(["list"]) == 1
    said = capsys.readouterr().err
    assert "could not be kept in /proc/nowhere/state/runs" in said
    assert "out of the blue" in said
    assert "Traceback" not in said
