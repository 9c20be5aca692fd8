# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that run inside Ansible's process: what comes back of an argument is data, and when they do not run there."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, is_trusted_as_template, trust_as_template
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.local_module import LocalModule, given
from ansible_collections.linode_coder.gpu.plugins.plugin_utils.local_action import LocalAction

ACTIONS = Path(sys.modules[LocalAction.__module__].__file__ or "").parents[1] / "action"
PACKAGE = "ansible_collections.linode_coder.gpu.plugins."
TEMPLATE = "{{ lookup('ansible.builtin.pipe', 'id') }}"


def echo(module: Any, result: dict[str, Any]) -> None:
    result.update(told=module.params["text"], more=module.params["data"], where=str(Path.cwd()))
    if module.params["data"] == {"fail": True}:
        raise Failure("config", module.params["text"], value=module.params["text"])


ECHO = LocalModule(
    {
        "text": {"type": "str"},
        "data": {"type": "dict"},
        "token": {"type": "str", "no_log": True},
        "number": {"type": "int"},
    },
    echo,
    {"required_one_of": [("text", "data")]},
)


class Normal:
    """In the place of Ansible's own way to run a module."""

    def __init__(self, **_given: Any) -> None:
        pass

    def run(self, task_vars: Any = None) -> dict[str, Any]:
        return {"as": "module"}


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    def call(
        arguments: dict[str, Any],
        become: Any = None,
        transport: str = "local",
        python: str = sys.executable,
        **task: Any,
    ) -> dict[str, Any]:
        loader = DataLoader()
        loader.set_basedir(str(tmp_path))
        given = {"async_val": 0, "environment": [], "delegate_to": None, "check_mode": False, "action": "echo"}

        class Action(LocalAction):
            local = ECHO

        action = Action(
            task=SimpleNamespace(args=arguments, **(given | task)),
            connection=SimpleNamespace(transport=transport, become=become, _shell=SimpleNamespace(tmpdir=None)),
            play_context=None,
            loader=loader,
            templar=Templar(loader=loader, variables={}),
        )
        action._shared_loader_obj = SimpleNamespace(
            action_loader=SimpleNamespace(get=lambda _name, **more: Normal(**more))
        )
        variables = {"ansible_python_interpreter": python}
        delegated = {"ansible_delegated_vars": {"elsewhere": variables}}
        return action.run(task_vars=delegated if task.get("delegate_to") else variables)

    before = Path.cwd()
    yield call
    assert Path.cwd() == before


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from (key, *strings(one))
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("data", [{"deep": [{"er": trust_as_template(TEMPLATE)}]}, {"fail": True}])
def test_what_comes_back_of_a_trusted_template_is_not_trusted(run: Run, data: dict[str, Any]) -> None:
    text = trust_as_template(TEMPLATE)
    assert is_trusted_as_template(text)
    result = run({"text": text, "data": data})
    assert result.get("failed", False) is (data == {"fail": True})
    found = [one for one in strings(result) if one == TEMPLATE]
    assert found and not any(map(is_trusted_as_template, strings(result)))
    assert {type(one) for one in strings(result)} == {str}
    assert is_trusted_as_template(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"text": "a", "other": 1}, "Unsupported parameters for (echo) module: other. Supported parameters include:"),
        ({"text": "a", "number": "planted-secret", "token": "planted-secret"}, "unable to convert to int"),
        ({}, "one of the following is required: text, data"),
    ],
)
def test_arguments_are_checked_as_a_modules_are(run: Run, arguments: dict[str, Any], said: str) -> None:
    result = run(arguments)
    assert result["failed"] is True and said in result["msg"]
    assert "planted-secret" not in str(result)


@pytest.mark.parametrize("empty", ["", None])
def test_an_option_that_was_left_empty_is_not_given(run: Run, empty: str | None) -> None:
    assert run({"text": "a", "number": empty, "data": empty}) == run({"text": "a"})
    assert "required: text, data" in run({"text": empty})["msg"]
    assert "Unsupported parameters" in run({"text": "a", "other": empty})["msg"]
    spec = {"zero": {}, "off": {}, "left": {}, "needed": {"required": True}}
    kept = {"zero": 0, "off": False, "needed": empty}
    assert given({**kept, "left": empty}, spec) == kept
    assert given({"zero": " ", "off": [], "left": {}}, spec) == {"zero": " ", "off": [], "left": {}}


def test_a_secret_argument_appears_nowhere(run: Run, tmp_path: Path) -> None:
    result = run({"text": "it is planted-secret, no?", "token": "planted-secret"})
    assert "planted-secret" not in str(result) and "********" in result["told"]
    assert "invocation" not in result and result["where"] == str(tmp_path)


OTHERWISE: list[dict[str, Any]] = [
    {"become": "su"},
    {"transport": "ssh"},
    {"python": "/usr/bin/another-python3"},
    {"async_val": 10},
    {"environment": [{"LINODE_TOKEN": "another"}]},
    {"environment": [None, trust_as_template("{{ more }}")]},
    {"delegate_to": "elsewhere", "python": "/usr/bin/another-python3"},
]


@pytest.mark.parametrize(
    "plain", [{}, {"environment": [None, {}]}, {"delegate_to": "elsewhere"}, {"python": "auto_silent"}]
)
def test_in_process_where_nothing_speaks_against_it(run: Run, plain: dict[str, Any]) -> None:
    assert run({"text": "a"}, **plain)["told"] == "a"


@pytest.mark.parametrize("otherwise", OTHERWISE, ids=str)
def test_as_a_module_where_somebody_wants_more(run: Run, otherwise: dict[str, Any]) -> None:
    assert run({"text": "a"}, **otherwise) == {"as": "module"}


def test_every_action_does_what_the_module_of_its_name_does() -> None:
    names = sorted(path.stem for path in ACTIONS.glob("*.py"))
    assert len(names) > 12
    for name in names:
        action = importlib.import_module(f"{PACKAGE}action.{name}").ActionModule
        if issubclass(action, LocalAction):
            module = importlib.import_module(f"{PACKAGE}modules.{name}")
            assert action.local is module.MODULE
            # `_work` hides what no_log says at the top of the specification.
            inner = [option for one in module.MODULE.spec.values() for option in (one.get("options") or {}).values()]
            assert not any(option.get("no_log") for option in inner)
