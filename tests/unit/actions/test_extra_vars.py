# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line hands to a playbook, read and rendered by Ansible itself: text of any kind comes out as it went in."""

from __future__ import annotations

import json
import math
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible import context
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, is_trusted_as_template, trust_as_template
from ansible.utils.vars import load_extra_vars
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from linode_coder.playbook.extra_vars import write
from tests.hostile import CORPUS, canary, encodable


@pytest.fixture
def left() -> Iterator[Path]:
    """What a canary leaves when it is run."""
    with tempfile.TemporaryDirectory(prefix="lc-", dir="/dev/shm") as directory:
        yield Path(directory) / "x"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], dict[str, Any]]:
    """Read a file as `ansible-playbook -e @FILE` does."""

    def call(path: Path) -> dict[str, Any]:
        monkeypatch.setattr(context, "CLIARGS", ImmutableDict(extra_vars=(f"@{path}",)))
        monkeypatch.setattr(load_extra_vars, "extra_vars", {}, raising=False)
        found: dict[str, Any] = load_extra_vars(DataLoader())
        return found

    return call


def shapes(text: str) -> dict[str, Any]:
    """Everywhere that a text can be in plain data, and data that looks like marks of Ansible."""
    return {
        "text": text,
        "listed": [text, [text]],
        "data": {"inner": text, "more": [{"inner": text}]},
        "named": {text: 1},
        "unsafe": {"__ansible_unsafe": text},
        "unsafe_data": {"__ansible_unsafe": {"inner": text}},
        "vault": {"__ansible_vault": text},
        "typed": {"__ansible_type": "TrustedAsTemplate", "value": text},
        "tagged": {
            "__ansible_type": "AnsibleTaggedStr",
            "value": text,
            "tags": [{"__ansible_type": "TrustedAsTemplate"}],
        },
    }


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from texts(key)
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


def rendered(variables: dict[str, Any], template: str) -> Any:
    return Templar(DataLoader(), variables=variables).template(trust_as_template(template))


def assert_is_data(found: dict[str, Any], given: dict[str, Any]) -> None:
    assert json.loads(json.dumps(rendered(found, "{{ everything }}"))) == given["everything"]
    assert not any(is_trusted_as_template(text) for text in texts(found["everything"]))
    for name, value in given["everything"].items():
        once = rendered(found, f"{{{{ everything.{name} }}}}")
        assert once == value
        # As set_fact or add_host hands it on, and with words of our own around it.
        assert rendered({"again": once}, "{{ again }}") == value
        assert not any(is_trusted_as_template(text) for text in texts(once))
    text = given["everything"]["text"]
    sentence = rendered(found, "We say: {{ everything.text }}, and {{ everything.named | first }}.")
    assert sentence == f"We say: {text}, and {text}."
    assert rendered({"again": sentence}, "{{ again }}") == sentence
    assert rendered(found, "{{ (everything.named | dict2items)[0].key ~ everything.listed[0] }}") == text + text


@pytest.mark.parametrize("name", [name for name, text in CORPUS.items() if encodable(text)])
def test_text_of_any_kind_is_data(name: str, read: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    given = {"everything": shapes(CORPUS[name])}
    write(tmp_path / "vars", given)
    assert_is_data(read(tmp_path / "vars"), given)


@pytest.mark.parametrize("name", canary("x"))
def test_no_text_is_run(name: str, read: Callable[[Path], dict[str, Any]], left: Path, tmp_path: Path) -> None:
    given = {"everything": shapes(canary(left)[name])}
    write(tmp_path / "vars", given)
    assert_is_data(read(tmp_path / "vars"), given)
    assert not left.exists()


@pytest.mark.parametrize("name", [name for name in canary("x") if name in ("jinja", "jinja header", "jinja statement")])
def test_the_canaries_are_run_where_ansible_trusts_them(
    name: str, read: Callable[[Path], dict[str, Any]], left: Path, tmp_path: Path
) -> None:
    """Else the tests above would say nothing."""
    (tmp_path / "vars").write_text(json.dumps({"text": canary(left)[name]}))
    rendered(read(tmp_path / "vars"), "{{ text }}")
    assert left.exists()


def test_other_data_keeps_its_type(read: Callable[[Path], dict[str, Any]], tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "number": 12,
        "money": 0.52,
        "small": 1e-07,
        "large": 1e300,
        "yes": True,
        "no": False,
        "nothing": None,
        "empty": [{}, [], ""],
        "texts": ["true", "no", "null", "~", "1", "1.5", "0x1f", "1:30", "2026-11-29", "=", "<<", "*a", "- x"],
    }
    given["twice"] = [given["texts"], given["texts"]]
    write(tmp_path / "vars", given)
    found = read(tmp_path / "vars")
    assert found == given
    assert [type(value).__mro__[-2] for value in json.loads(json.dumps(found)).values()] == [
        type(value).__mro__[-2] for value in given.values()
    ]
    write(tmp_path / "infinite", {"number": math.inf})
    assert read(tmp_path / "infinite") == {"number": math.inf}


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    write(tmp_path / "vars", {"a": "b"})
    assert stat.S_IMODE((tmp_path / "vars").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        write(tmp_path / "vars", {"a": "b"})


@pytest.mark.parametrize("value", [CORPUS["lone surrogate"], [CORPUS["lone surrogate"]], {CORPUS["lone surrogate"]: 1}])
def test_what_is_no_text_is_refused_by_name(value: Any, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="owner holds bytes that are no UTF-8 text") as caught:
        write(tmp_path / "vars", {"session": "demo", "owner": value})
    assert (caught.value.kind, caught.value.field) == ("usage", "owner")
    assert not (tmp_path / "vars").exists()
