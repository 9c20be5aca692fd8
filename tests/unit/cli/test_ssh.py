# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the words of `ssh`: which session, which command there, and which ports of the VM come here."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from typer.testing import CliRunner

from linode_coder.cli import ssh


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Name and ssh's words after its options of our own, or the error."""

    def called(*words: str) -> tuple[str | None, list[str]]:
        seen: list[Any] = []
        monkeypatch.setattr(ssh, "LinodeReader", lambda: None)
        monkeypatch.setattr(ssh, "all_sessions", lambda _reader: [])
        monkeypatch.setattr(ssh, "pick", lambda _views, name: seen.append(name) or {})
        monkeypatch.setattr(ssh, "ssh_command", lambda _view, *options: ["ssh", *options, "vm"])
        monkeypatch.setattr(subprocess, "run", lambda argv: seen.append(argv) or subprocess.CompletedProcess(argv, 0))
        result = CliRunner().invoke(ssh.app, list(words))
        if isinstance(result.exception, Failure):
            raise result.exception
        assert result.exit_code == 0, result.output
        name, argv = seen
        return name, argv[1:]

    return called


EIGHT = ["-o", "ExitOnForwardFailure=yes", "-L", "127.0.0.1:8080:127.0.0.1:8080"]


@pytest.mark.parametrize(
    ("words", "name", "argv"),
    [
        (["demo"], "demo", ["vm"]),
        (["demo", "--", "uptime"], "demo", ["vm", "uptime"]),
        (["--", "echo", "a b"], None, ["vm", "echo 'a b'"]),
        (["demo", "--forward", "8080"], "demo", [*EIGHT, "vm"]),
        # A session need not be named: what follows an option is its own.
        (["--forward", "8080", "--", "cat"], None, [*EIGHT, "vm", "cat"]),
        (["--forward=8080", "demo", "--", "cat"], "demo", [*EIGHT, "vm", "cat"]),
        (
            ["demo", "--forward", "8080", "--forward", "18000:8000"],
            "demo",
            [*EIGHT, "-o", "ExitOnForwardFailure=yes", "-L", "127.0.0.1:18000:127.0.0.1:8000", "vm"],
        ),
    ],
)
def test_words(run: Any, words: list[str], name: str | None, argv: list[str]) -> None:
    assert run(*words) == (name, argv)


@pytest.mark.parametrize("ports", ["", "0", "x", "70000", "8080:", ":x", "1:2:3", "0.0.0.0:8080", "-R", "8080 -R 1"])
def test_what_is_no_port_is_refused(run: Any, ports: str) -> None:
    with pytest.raises(Failure, match="is not a port") as refused:
        run("demo", f"--forward={ports}")
    assert (refused.value.kind, refused.value.field) == ("usage", "forward")
