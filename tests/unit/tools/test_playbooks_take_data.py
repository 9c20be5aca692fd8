# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks and roles put no text from elsewhere where Ansible, a shell or ssh would take it for more than a text.

What a template results in is no template again in any ansible-core that we allow. These are the ways around that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, is_trusted_as_template, trust_as_template

from tests.foreign_readers import ROOT, TREES
from tests.hostile import canary

FILES = sorted(
    path
    for place in (
        "playbooks/**/*.yml",
        "roles/*/tasks/*.yml",
        "roles/*/vars/*.yml",
        "roles/*/defaults/*.yml",
        "roles/*/handlers/*.yml",
    )
    for path in ROOT.glob(place)
)
CONDITIONS = ("when", "until", "failed_when", "changed_when", "that")
RUN = ("ansible.builtin.raw", "ansible.builtin.shell", "ansible.builtin.script", "ansible.builtin.command")
# A term of a lookup is a place in our own tree or a name of the environment, and no variable.
LOOKUP = re.compile(r"(?:lookup|query|q)\(([^)]*)\)")
TERMS = re.compile(r"\s*'[\w.]+'(?:\s*,\s*(?:'[\w./-]+'|rstrip=false))*\s*")


def pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values at any depth."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key), item
            yield from pairs(item)
    elif isinstance(value, list):
        for item in value:
            yield from pairs(item)


def content(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_there_are_some() -> None:
    assert len(FILES) > 50


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_takes_text_for_more(path: Path) -> None:
    for key, value in pairs(content(path)):
        if key in CONDITIONS:
            # A condition is an expression of ours; a template in it could become one of somebody else's.
            assert "{{" not in str(value), value
        if key in RUN:
            words = value.get("argv") if isinstance(value, dict) else value
            assert words is not None, "a command is a list of arguments"
            assert "{{" not in str(words).replace("{{ item }}", ""), value
        if key in ("hosts", "ansible.builtin.include_vars", "vars_files", "ansible.builtin.import_playbook"):
            assert "{{" not in str(value), value
        if key in ("ansible.builtin.include_tasks", "ansible.builtin.include_role", "ansible.builtin.import_role"):
            name = value.get("name", "") if isinstance(value, dict) else value
            assert "{{" not in re.sub(r"\{\{ \w+ \| ternary\('\w+', '\w+'\) \}\}", "", str(name)), value
    for arguments in LOOKUP.findall(path.read_text()):
        assert TERMS.fullmatch(arguments), arguments


def test_a_loop_over_commands_is_over_ours() -> None:
    for path in FILES:
        for task in (task for task in content(path) or [] if isinstance(task, dict)):
            if any("{{ item }}" in str(task.get(name)) for name in RUN):
                assert "{{" not in str(task["loop"]), task


@pytest.mark.parametrize(
    "word", ["trust_as_template", "TrustedAsTemplate", "AnsibleUnsafe", "wrap_var", "shell=True", "os.system"]
)
def test_no_code_of_ours_makes_templates_or_command_lines(word: str) -> None:
    found = [
        str(path.relative_to(ROOT))
        for tree in TREES
        for path in (ROOT / tree).rglob("*.py")
        if word in path.read_text() and "/sandbox/" not in str(path)
    ]
    assert found == []


def test_the_hubs_token_is_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text in canary(tmp_path / "left").values():
        if text.isprintable():
            monkeypatch.setenv("HF_TOKEN", text)
            templar = Templar(DataLoader(), variables={})
            found = templar.template(trust_as_template("{{ lookup('linode_coder.gpu.hub_token') }}"))
            assert found.strip() == text.strip()
            assert not is_trusted_as_template(found)
    assert not (tmp_path / "left").exists()
