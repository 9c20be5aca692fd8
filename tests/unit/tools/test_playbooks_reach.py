# SPDX-License-Identifier: GPL-3.0-or-later
"""How VMs are reached stands in one place of the playbooks, and says all that our modules say of it."""

from __future__ import annotations

import yaml
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.ssh import connection_vars

from tests.foreign_readers import ROOT

REACH = ROOT / "playbooks" / "tasks" / "reach.yml"


def test_every_connection_variable_is_handed_on() -> None:
    (task,) = yaml.safe_load(REACH.read_text())
    said = connection_vars("192.0.2.7", [bytes(32)])
    handed = {name: value for name, value in task["ansible.builtin.add_host"].items() if name.startswith("ansible_")}
    assert handed == {name: f"{{{{ item.connection.{name} }}}}" for name in said}


def test_nothing_else_says_how_a_vm_is_reached() -> None:
    names = connection_vars("192.0.2.7", []).keys()
    for path in (*ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("roles/*/tasks/*.yml")):
        # A new host key is pinned at once, in the middle of a play.
        own = {"ansible_ssh_common_args"} if path.name == "replace_host_key.yml" else set()
        if path != REACH:
            assert {name for name in names if name in path.read_text()} == own, path
