# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a test runs a module for, the module does with `diff` what its documentation says."""

from __future__ import annotations

import importlib
import sys
from types import FrameType
from typing import Any, NoReturn

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule

COLLECTION = "ansible_collections.linode_coder.gpu.plugins."


def running_module() -> str | None:
    """Name of the one of our modules that is being run in this process."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        file = str(frame.f_globals.get("__name__"))
        if file.startswith(COLLECTION + "modules."):
            return file.rpartition(".")[2]
        frame = frame.f_back
    return None


def diff_support(name: str) -> str:
    """What the documentation of a module says: full or none."""
    documentation = yaml.safe_load(importlib.import_module(f"{COLLECTION}modules.{name}").DOCUMENTATION)
    attributes: dict[str, Any] = {}
    for fragment in documentation.get("extends_documentation_fragment", []):
        _namespace, _name, file, *part = fragment.split(".")
        fragments = importlib.import_module(f"{COLLECTION}doc_fragments.{file}").ModuleDocFragment
        text = getattr(fragments, part[0].upper() if part else "DOCUMENTATION")
        attributes |= yaml.safe_load(text).get("attributes", {})
    attributes |= documentation.get("attributes", {})
    support: str = attributes["diff_mode"]["support"]
    return support


def shows(diff: Any) -> bool:
    """Whether there is a difference in it."""
    parts = diff if isinstance(diff, list) else [diff]
    return any(part["before"] != part["after"] for part in parts if part)


def wrong_diff(support: str, result: dict[str, Any]) -> str | None:
    if support == "none":
        return "shows a diff and says that it has none" if "diff" in result else None
    if shows(result.get("diff")) != result["changed"]:
        return f"says changed={result['changed']} and shows {result.get('diff')}"
    return None


@pytest.fixture(autouse=True)
def documented_diffs(monkeypatch: pytest.MonkeyPatch) -> None:
    exit_json = AnsibleModule.exit_json

    def checked(module: AnsibleModule, **result: Any) -> NoReturn:
        name = running_module()
        wrong = wrong_diff(diff_support(name), {"changed": False, **result}) if name else None
        assert wrong is None, f"{name} {wrong}"
        exit_json(module, **result)

    monkeypatch.setattr(AnsibleModule, "exit_json", checked)
