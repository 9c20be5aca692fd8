# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts have registered reaches another play as it is: data."""

from __future__ import annotations

from typing import Any

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, is_trusted_as_template, trust_as_template
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

TEMPLATE = "{{ lookup('ansible.builtin.pipe', 'id') }}"
EXPRESSION = "{{ hosts | linode_coder.gpu.by_host(hostvars, 'look') }}"


def test_each_host_that_has_it() -> None:
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=["lc-demo-1,lc-demo-2,lc-other-1,"])
    manager = VariableManager(loader=loader, inventory=inventory)
    looks: dict[str, Any] = {"lc-demo-1": {"msg": TEMPLATE, "clock": None}, "lc-demo-2": {"unreachable": True}}
    for host, look in looks.items():
        manager.set_nonpersistent_facts(host, {"look": look})
    hostvars = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
    templar = Templar(loader, variables={"hostvars": hostvars, "hosts": ["lc-demo-1", "lc-demo-2", "lc-other-1"]})
    found = templar.template(trust_as_template(EXPRESSION))
    assert found == looks
    assert not is_trusted_as_template(found["lc-demo-1"]["msg"])
    assert Templar(loader, variables={"hostvars": hostvars, "hosts": []}).template(trust_as_template(EXPRESSION)) == {}
