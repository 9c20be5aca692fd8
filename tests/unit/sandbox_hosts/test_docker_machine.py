# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine has to have for docker hosts is said before anything is built."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from linode_coder.sandbox.hosts import docker_cli
from linode_coder.sandbox.hosts.base import SandboxError


def test_a_kernel_without_ipv6_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(docker_cli, "_IPV6", tmp_path / "ipv6")
    with pytest.raises(SandboxError, match="IPv6") as caught:
        asyncio.run(docker_cli.check_machine(docker_cli.DockerCli(), ()))
    assert "modprobe ipv6" in caught.value.remedy
    # With it, something else is missing here, or nothing.
    (tmp_path / "ipv6").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="docker"):
        asyncio.run(docker_cli.check_machine(docker_cli.DockerCli(), ()))
