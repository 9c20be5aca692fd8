# SPDX-License-Identifier: GPL-3.0-or-later
"""The one list of playbooks and variables says what the playbooks read: no more, and nothing less."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.linode_coder.gpu.plugins.module_utils.controller.playbooks import (
    INTERNAL,
    KINDS,
    NAMES,
    PLAYBOOKS,
    Playbook,
    asked,
)
from jinja2 import Environment, meta

from linode_coder.playbook import variables
from tests import product
from tests.playbook_files import Tagged, files_of

FOLDER = product.COLLECTION / "playbooks"
CONDITIONS = ("when", "until", "failed_when", "changed_when", "that")
# Ansible gives them.
MAGIC = {
    *("ansible_check_mode", "ansible_failed_result", "groups", "hostvars", "inventory_hostname"),
    *("item", "lookup", "now", "omit"),
}
EACH = pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda playbook: playbook.name)


class Anything(dict[str, Any]):
    """Filters and tests are not looked for: only names are."""

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: object, default: Any = None) -> Any:
        return lambda *_arguments: default


def environment() -> Environment:
    made = Environment()
    made.filters, made.tests = Anything(made.filters), Anything(made.tests)
    return made


def templates(content: Any, key: str = "") -> Iterator[str]:
    if isinstance(content, dict):
        for name, value in content.items():
            yield from templates(value, str(name))
    elif isinstance(content, list):
        for value in content:
            yield from templates(value, key)
    elif isinstance(content, str):
        yield f"{{{{ {content} }}}}" if key in CONDITIONS else content


def defined(content: Any) -> Iterator[str]:
    """Names that the playbook gives itself."""
    if isinstance(content, dict):
        for name, value in content.items():
            if name == "register":
                yield value
            if name in ("vars", "ansible.builtin.set_fact", "ansible.builtin.add_host") and isinstance(value, dict):
                yield from value
            yield from defined(value)
    elif isinstance(content, list):
        for value in content:
            yield from defined(value)


def taken_from_outside(path: Path) -> set[str]:
    read, own = set(), set(MAGIC)
    parser = environment()
    for file in files_of(path):
        content = yaml.load(file.read_text(), Tagged)
        own.update(defined(content))
        for text in templates(content):
            read |= meta.find_undeclared_variables(parser.parse(text))
    return read - own


def test_every_playbook_is_listed_once() -> None:
    assert [playbook.name for playbook in PLAYBOOKS] == sorted(path.stem for path in FOLDER.glob("*.yml"))


@EACH
def test_the_variables_are_those_that_it_reads(playbook: Playbook) -> None:
    read = taken_from_outside(FOLDER / f"{playbook.name}.yml")
    assert {variable.name for variable in playbook.variables} == read - INTERNAL
    assert len({variable.name for variable in playbook.variables}) == len(playbook.variables)


def test_what_is_handed_on_is_read() -> None:
    assert set().union(*(taken_from_outside(path) for path in FOLDER.glob("*.yml"))) >= INTERNAL


def test_a_variable_that_is_not_listed_would_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "some.yml"
    task = {
        "name": "Do",
        "some.module": {"option": "{{ new | default(omit) }}"},
        "when": "other | bool",
        "register": "own",
    }
    path.write_text(yaml.safe_dump([{"hosts": "localhost", "tasks": [task, {"debug": {"var": "{{ own }}"}}]}]))
    assert taken_from_outside(path) == {"new", "other"}


@pytest.mark.parametrize(
    "taken", variables.Variables.__subclasses__()[0].__subclasses__(), ids=lambda taken: taken.__name__
)
def test_what_commands_hand_over_is_listed(taken: type[variables.Variables]) -> None:
    assert {field.name for field in fields(taken)} <= NAMES


@EACH
def test_who_fills_in_a_form_is_told_what_it_asks(playbook: Playbook) -> None:
    for variable in playbook.variables:
        assert variable.kind in KINDS
        assert (variable.kind == "choice") == bool(variable.choices), variable
        if variable.unasked is None:
            assert variable.kind != "data", variable
            assert variable.question[0].isupper() and len(variable.question) <= 40, variable
            assert (variable.help or "A.").endswith("."), variable
            assert (variable.kind in ("integer", "float")) == (variable.minimum is not None), variable
        else:
            assert len(variable.unasked) > 5, variable


def test_every_playbook_has_a_job_template_or_says_why_none() -> None:
    without = {playbook.name: playbook.no_template for playbook in PLAYBOOKS if playbook.no_template is not None}
    assert set(without) == {"awx", "collect", "let_in", "replace", "team_gateway", "team_usage"}
    assert all(len(reason) > 20 for reason in without.values())
    assert {playbook.name for playbook in PLAYBOOKS if not asked(playbook)} == {
        "awx",
        "list",
        "replace",
        "team_gateway",
    }
