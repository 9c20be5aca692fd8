# SPDX-License-Identifier: GPL-3.0-or-later
"""What commands hand to playbooks is what the playbooks read: a field that no task looks at would be an option without effect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from linode_coder.playbook import variables
from tests import product
from tests.playbook_files import Tagged, files_of

PLAYBOOKS = product.COLLECTION / "playbooks"
CLASSES = [
    one for one in vars(variables).values() if isinstance(one, type) and getattr(one, "playbook", None) is not None
]


def texts(found: Any) -> Iterator[str]:
    """All values of a document."""
    if isinstance(found, dict | list):
        for value in found.values() if isinstance(found, dict) else found:
            yield from texts(value)
    else:
        yield str(found)


def read_by(path: Path) -> str:
    return "\n".join(text for file in files_of(path) for text in texts(yaml.load(file.read_text(), Tagged)))


@pytest.mark.parametrize("taken", CLASSES, ids=lambda taken: taken.playbook)
def test_every_variable_is_read(taken: type[variables.Variables]) -> None:
    read = read_by(PLAYBOOKS / f"{taken.playbook}.yml")
    names = {field.name for field in fields(taken)}
    assert {name for name in names if not re.search(rf"(?<![\w.']){name}\b", read)} == set()


def test_what_is_not_given_is_left_out() -> None:
    given = variables.Extend(session="demo", until="2026-01-01T00:00:00Z", budget_records=({"linode_id": 1},)).given()
    assert given == {"session": "demo", "until": "2026-01-01T00:00:00Z", "budget_records": [{"linode_id": 1}]}
