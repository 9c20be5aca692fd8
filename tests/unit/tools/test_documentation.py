# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-doc` in a checkout, where roles and the inventory plugin have short names; installed archives have a tier of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tools.site.reference import documented

ROOT = Path(__file__).resolve().parents[3]
COLLECTION = ROOT / "collections/ansible_collections/linode_coder/gpu"


def test_the_inventory_plugin_has_its_short_name_in_a_checkout() -> None:
    found = documented("-t", "inventory", "linode_gpu")["linode_gpu"]["doc"]
    assert Path(found["filename"]) == ROOT / "inventory_plugins/linode_gpu.py"
    assert {"api_token", "keyed_groups", "cache"} <= set(found["options"])


def test_every_entry_point_of_a_role_is_documented_in_a_checkout() -> None:
    roles = sorted(path.name for path in (ROOT / "roles").iterdir())
    found = documented("-t", "role", *roles)
    assert sorted(found) == roles
    for role, documentation in found.items():
        for name, entry in documentation["entry_points"].items():
            assert entry["short_description"] and entry["description"], f"{role} {name}"
            assert name == "main" or (ROOT / "roles" / role / "tasks" / f"{name}.yml").is_file()


@pytest.mark.parametrize("kind", ["playbooks", "roles"])
def test_the_page_of_the_collection_names_all_of_them(kind: str) -> None:
    page = (COLLECTION / "README.md").read_text()
    section = re.split("^## ", page, flags=re.MULTILINE)
    (text,) = [part for part in section if part.lower().startswith(kind)]
    for path in (ROOT / kind).glob("*.yml" if kind == "playbooks" else "*"):
        assert f"`{path.stem}`" in text


def test_the_page_of_the_collection_names_every_module_for_the_api() -> None:
    groups = yaml.safe_load((COLLECTION / "meta/runtime.yml").read_text())["action_groups"]
    page = (COLLECTION / "README.md").read_text()
    assert sorted(re.findall(r"^\| `(linode_\w+)` \|", page, re.MULTILINE)) == sorted(groups["linode"])
