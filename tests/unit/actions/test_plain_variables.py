# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody typed reaches a module as text or is refused, whether AWX has marked it or not."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import context
from ansible.errors import AnsibleError
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, is_trusted_as_template, trust_as_template
from ansible.utils.vars import load_extra_vars
from ansible_collections.linode_coder.gpu.plugins.action.plain_variables import ActionModule
from ansible_collections.linode_coder.gpu.plugins.lookup.this_user import LookupModule
from ansible_collections.linode_coder.gpu.plugins.module_utils.controller.playbooks import PLAYBOOKS, Playbook, asked

from tests import product
from tests.hostile import CORPUS, canary, encodable
from tests.playbook_files import Tagged, files_of

FOLDER = product.COLLECTION / "playbooks"
TEXTS = [name for name, text in CORPUS.items() if encodable(text)]
EACH = pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda playbook: playbook.name)
Given = Callable[[str], dict[str, Any]]


@pytest.fixture
def left() -> Iterator[Path]:
    """What a canary leaves when it is run."""
    with tempfile.TemporaryDirectory(prefix="lc-", dir="/dev/shm") as directory:
        yield Path(directory) / "x"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """What Ansible makes of an argument of -e, which it trusts."""

    def call(argument: str) -> dict[str, Any]:
        monkeypatch.setattr(context, "CLIARGS", ImmutableDict(extra_vars=(trust_as_template(argument),)))
        monkeypatch.setattr(load_extra_vars, "extra_vars", {}, raising=False)
        found: dict[str, Any] = load_extra_vars(DataLoader())
        return found

    return call


def refused(variables: dict[str, Any]) -> bool:
    """What the action says, which looks at what was loaded last."""
    action = ActionModule.__new__(ActionModule)
    action._loader = DataLoader()
    action._templar = Templar(action._loader, variables=variables)
    failure = action.refused()
    assert failure is None or failure.kind == "usage"
    return failure is not None


def rendered(variables: dict[str, Any], template: str) -> Any:
    return Templar(DataLoader(), variables=variables).template(trust_as_template(template))


def as_awx(text: str) -> str:
    """What AWX hands to Ansible of the answer of a survey: awx/main/utils/safe_yaml.py."""

    class Marking(yaml.SafeDumper):
        def represent_data(self, data: Any) -> yaml.Node:
            if isinstance(data, str):
                return self.represent_scalar("!unsafe", data)
            return super().represent_data(data)

    return str(yaml.dump_all([{"session": text, "plan": [text]}], None, Dumper=Marking, default_flow_style=False))


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_refused_or_stays_what_it_is(name: str, given: Given) -> None:
    text = CORPUS[name]
    variables = given(json.dumps({"session": text, "plan": [text], "ours": {"inner": text}}))
    if not refused(variables):
        assert rendered(variables, "{{ session }}") == text
        assert rendered(variables, "{{ plan }}") == [text]


@pytest.mark.parametrize("name", canary("x"))
def test_what_would_be_run_is_refused_before_anything_renders_it(name: str, given: Given, left: Path) -> None:
    text = canary(left)[name]
    # Else the rest would say nothing.
    assert refused(given(json.dumps({"session": text}))) == (
        "{{" in text or "{%" in text or text.startswith("#jinja2:")
    )
    for variables in ({"session": text}, {"plan": ["g1", text]}, {"budget_records": [{"name": text}]}):
        loaded = given(json.dumps(variables))
        if not refused(loaded):
            assert rendered(loaded, f"{{{{ {next(iter(variables))} }}}}") == next(iter(variables.values()))
    assert not left.exists()


def test_a_name_that_no_playbook_reads_is_nobodys_business(given: Given) -> None:
    assert not refused(given(json.dumps({"ansible_ssh_private_key_file": "{{ home }}/key"})))
    assert refused(given("session={{home}}"))
    assert not refused(given("session=demo"))


@pytest.mark.parametrize("name", [*TEXTS, *canary("x")])
def test_what_awx_marks_is_text(name: str, given: Given, left: Path, tmp_path: Path) -> None:
    text = CORPUS.get(name) or canary(left)[name]
    (tmp_path / "extravars").write_text(as_awx(text))
    variables = given(f"@{tmp_path / 'extravars'}")
    assert not refused(variables)
    assert rendered(variables, "{{ session }}") == text
    assert rendered(variables, "{{ plan }}") == [text]
    assert not left.exists()


@EACH
def test_every_playbook_looks_before_anything_else(playbook: Playbook) -> None:
    play = yaml.safe_load((FOLDER / f"{playbook.name}.yml").read_text())[0]
    assert {"hosts", "tasks", "name", "gather_facts"} <= set(play) <= {"hosts", "tasks", "name", "gather_facts", "vars"}
    assert (play["hosts"], play["gather_facts"]) == ("localhost", False)
    assert set(play["tasks"][0]) == {"name", "linode_coder.gpu.plain_variables"}


def expressions(content: Any, names: set[str]) -> Iterator[str]:
    """Of a document, what is rendered and reads one of the variables."""
    if isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from expressions(value, names)
    elif isinstance(content, str) and "{{" in content and any(name in content for name in names):
        yield content


@EACH
def test_a_text_that_is_data_is_data_wherever_it_is_read(playbook: Playbook, left: Path) -> None:
    names = {variable.name for variable in asked(playbook)}
    found = {
        text
        for file in files_of(FOLDER / f"{playbook.name}.yml")
        for text in expressions(yaml.load(file.read_text(), Tagged), names)
    }
    read = 0
    for name in ("jinja", "jinja, whole", "jinja header", "jinja condition"):
        text = canary(left)[name]
        variables = dict.fromkeys(names, text)
        for expression in found:
            try:
                value = rendered(variables, expression)
            except AnsibleError:
                continue  # reads what there only is in a run, or a number
            read += 1
            assert not is_trusted_as_template(value)
            assert rendered({"again": value}, "{{ again }}") == value
    assert read or not names
    assert not left.exists()


def run(left: Path, place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(product.BIN / "ansible-playbook"), "linode_coder.gpu.down", *arguments],
        cwd=place,
        # Nobody listens there.
        env={
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "LINODE_TOKEN": "x",
            "LINODE_API_URL": "http://127.0.0.1:9/v4",
            "HOME": str(place),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_whole_run_ends_before_it_begins(left: Path, tmp_path: Path) -> None:
    done = run(left, tmp_path, "-e", json.dumps({"session": canary(left)["jinja"]}))
    assert done.returncode == 2
    assert "The variable session is a template" in done.stdout + done.stderr
    assert "TASK [Delete the VM" not in done.stdout
    assert not left.exists()


def test_the_owner_in_a_job_is_who_started_it(monkeypatch: pytest.MonkeyPatch, left: Path) -> None:
    monkeypatch.setenv("LOGNAME", "me")
    assert LookupModule().run([], {}) == LookupModule().run([], {"awx_user_name": ""}) == ["me"]
    for text in ("alice", *canary(left).values()):
        variables = {"awx_user_name": text}
        assert rendered(variables, "{{ lookup('linode_coder.gpu.this_user') }}") == text
        (found,) = LookupModule().run([], {"awx_user_name": trust_as_template(text)})
        assert found == text and not is_trusted_as_template(found)
    assert not left.exists()
