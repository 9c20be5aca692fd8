"""Where the playbooks are: in this checkout, or in the installed collection."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

CHECKOUT = Path(__file__).parents[2]
OWN_CONFIG = Path(__file__).with_name("ansible.cfg")


def playbook(name: str) -> tuple[Path, dict[str, str]]:
    """Path of a playbook, and the environment that Ansible needs to run it."""
    environment = {
        # ansible-playbook of the environment that this command is installed in, whether or not it is activated.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_PIPELINING": "True",
        # As many VMs at the same time as in a checkout, whose ansible.cfg an installed collection does not have.
        "ANSIBLE_FORKS": os.environ.get("ANSIBLE_FORKS", "20"),
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",
        # There is one, and it is empty: loading what could read others takes a while.
        "ANSIBLE_INVENTORY_ENABLED": "host_list",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
        "ANSIBLE_NOCOLOR": "1",
    }
    config = CHECKOUT / "ansible.cfg"
    if config.exists():
        return CHECKOUT / "playbooks" / f"{name}.yml", {**environment, "ANSIBLE_CONFIG": str(config)}
    spec = importlib.util.find_spec("ansible_collections.linode_coder.gpu")
    places = list(spec.submodule_search_locations or []) if spec else []
    for place in places:
        path = Path(place) / "playbooks" / f"{name}.yml"
        if path.exists():
            return path, {**environment, "ANSIBLE_CONFIG": str(OWN_CONFIG)}
    raise Failure(
        "internal",
        f"The playbook {name} is not installed.",
        remedy="Reinstall: pip install --force-reinstall linode-coder",
    )
