# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode
from scripted_linode import ScriptedLinode

TOKEN = "planted-secret-token"
MODULES = "ansible_collections.linode_coder.gpu.plugins.modules."


@pytest.fixture
def api() -> Iterator[ScriptedLinode]:
    with ScriptedLinode() as running:
        yield running


@pytest.fixture
def tags() -> list[str]:
    """The complete tags of a session called demo."""
    now = int(time.time())
    return encode(SessionTags("demo", 1, "ada", now + 3600, now + 7200, 45, 520000, "org/Model-7B", bytes(range(32))))


@pytest.fixture
def run(
    api: ScriptedLinode,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Callable[..., dict[str, Any]]:
    """Run one of our modules in this process against ``api`` and return its result."""
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    # In a process that has Ansible's controller loaded, warnings go to its display and not into the result.
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text, **_more: warnings.append(text))

    def call(name: str, /, check: bool = False, **arguments: Any) -> dict[str, Any]:
        module = importlib.import_module(MODULES + name)
        given = {"api_token": TOKEN, "api_url": api.url, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(given | arguments), pytest.raises(SystemExit):
            module.main()
        out = capsys.readouterr().out
        assert TOKEN not in out
        return json.loads(out) | {"warnings": list(warnings)}

    return call


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """Run one module in this process, with only what it is given, and return its result."""
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(AnsibleModule, "warn", lambda *_arguments, **_more: None)

    def run(name: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
        module = importlib.import_module(MODULES + name)
        given = arguments | {"_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(given), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return run


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put a shell script in front of the PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    def write(name: str, text: str) -> None:
        path = programs / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)

    return write


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter pauses: the scripted API has nothing that settles."""
    module = importlib.import_module(MODULES + "linode_gpu_instance")
    monkeypatch.setattr(module, "SETTLE_S", (0.01, 0.01))
    monkeypatch.setattr(module, "DELETE_AGAIN_S", 0.2)
