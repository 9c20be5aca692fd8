# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: linode_gpu
short_description: Sessions of a Linode account, read from their tags
version_added: 0.1.0
author:
  - linode_coder contributors (@linode-coder)
description:
  - Reads every session of the account that the token opens from the tags of its Linodes. No local file is needed.
  - Asks the API only for Linodes with the tag V(linode-coder), in one request per 500 of them.
  - A host is named as its session, an older VM of the same session as its label, and V(linode-ID) where neither can be a host's
    name. All hosts are in the group C(linode_coder), and those of a group of sessions in C(linode_coder_group_NAME) besides, with V(_) for
    each V(-) of its name.
  - The connection variables pin the SSH host key that is in the tags, so no key is trusted on first use.
  - A Linode whose tags are incomplete is in the group C(linode_coder_incomplete) and has no connection variables.
  - Every text comes from tags or the API and is data. Ansible renders none of it as a template, also where a playbook, O(compose),
    O(groups) or O(keyed_groups) uses it. So C(ansible-inventory --list) shows a text as C({"__ansible_unsafe":"text"}), and AWX keeps
    it so; numbers, booleans, lists and nulls are shown as such.
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: Marks the file as an inventory source of this plugin.
    type: str
    required: true
    choices: [linode_gpu, linode_coder.gpu.linode_gpu]
  api_token:
    description: Personal access token with the scope C(linodes:read_only).
    type: str
    env:
      - name: LINODE_TOKEN
  api_url:
    description: Address of the API without its version. The public API when unset.
    type: str
    env:
      - name: LINODE_API_URL
  ca_path:
    description: CA bundle for the API's certificate.
    type: path
    env:
      - name: LINODE_CA
  api_timeout:
    description: Time limit of one request in seconds.
    type: float
    default: 20.0
  hostvars_prefix:
    description: Prefix of the host variables that describe a session.
    type: str
    default: linode_
"""

EXAMPLES = r"""
# gpu.linode.yml: every session, nothing else
plugin: linode_coder.gpu.linode_gpu
---
# Groups by owner and region, and the sessions that nobody else may touch
plugin: linode_coder.gpu.linode_gpu
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/linode-coder
cache_timeout: 60
strict: true
keyed_groups:
  - key: linode_owner
    prefix: owner
  - key: linode_region
    prefix: region
groups:
  mine: linode_owner == 'ada'
compose:
  lease_hours: linode_lease_left / 3600
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.reader import LinodeReader
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.host_key import from_openssh
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import is_host_name
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.ssh import connection_vars
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.view import session_view

if TYPE_CHECKING:
    from ansible.inventory.data import InventoryData
    from ansible.parsing.dataloader import DataLoader

GROUP = "linode_coder"
INCOMPLETE_GROUP = "linode_coder_incomplete"
MEMBERS_GROUP = "linode_coder_group_"
NAMES = ("linode_gpu", "linode_coder.gpu.linode_gpu")
SUFFIXES = (".linode.yml", ".linode.yaml")
# What of an instance is kept, in memory and in the cache.
FIELDS = ("id", "label", "status", "type", "region", "image", "ipv4", "tags", "created")
# Names of the host variables that differ from those of the view, since they would say too little beside a host.
RENAMED = {"name": "session", "linode_id": "id", "hourly": "price_hourly"}


def host_variables(view: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Variables of one host: the session's view under ``prefix``, and how to connect when its key is known.

    No text is marked as trusted: Ansible then renders none of it, whatever is in it, and what it hands on is marked as unsafe.
    """
    variables = {prefix + RENAMED.get(name, name): value for name, value in view.items()}
    if view["complete"] and view["address"]:
        keys = [from_openssh(key) for key in view["host_keys"]]
        variables.update(connection_vars(view["address"], keys))
    return variables


def named_views(instances: list[dict[str, Any]], now: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pairs of host name and view. The newest VM of a session has the session's name, any other its own label; linode-ID where
    that is another host's, or what Ansible would take for something else.
    """
    views = [session_view(instance, now) for instance in instances]
    views.sort(key=lambda view: (not view["complete"], -(view["generation"] or 0), view["label"]))
    taken: set[str] = set()
    for view in views:
        names = (name for name in (view["name"], view["label"]) if is_host_name(name) and name not in taken)
        name = next(names, f"linode-{view['linode_id']}")
        taken.add(name)
        yield name, view


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "linode_coder.gpu.linode_gpu"

    def verify_file(self, path: str) -> bool:
        """Whether the name says that the file is ours. Called for every source, so nothing is read from the network."""
        return bool(super().verify_file(path)) and path.endswith(SUFFIXES)

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path)
        self._redirected_names = NAMES  # the same file is right in a checkout and where the package is installed
        self._in_file = self._read_config_data(path)
        self._populate(self._instances(path, cache))

    def _instances(self, path: str, cache: bool) -> list[dict[str, Any]]:
        cached = self.get_option("cache")
        key = self.get_cache_key(path) if cached else None
        if cached and cache:
            try:
                kept: list[dict[str, Any]] = self._cache[key]
            except KeyError:
                pass  # not there yet, or too old
            else:
                return kept
        instances = self._fetch(path)
        if cached:
            self._cache[key] = instances
        return instances

    def _fetch(self, path: str) -> list[dict[str, Any]]:
        token, url, ca_path = (self._option(name) for name in ("api_token", "api_url", "ca_path"))
        try:
            reader = LinodeReader(token, url, ca_path, self.get_option("api_timeout"))
            found = reader.list("linode/instances", {"tags": MARKER})
        except Failure as failure:
            parts = (failure.message, failure.cause and f"Cause: {failure.cause}.", failure.remedy)
            raise AnsibleParserError(f"{Path(path).name}: " + " ".join(part for part in parts if part)) from None
        return [{name: instance.get(name) for name in FIELDS} for instance in found]

    def _option(self, name: str) -> Any:
        """A template where the source file has one. What the environment says is data: Ansible would render that too."""
        value = self.get_option(name)
        return self.templar.template(value) if name in self._in_file else value

    def _populate(self, instances: list[dict[str, Any]]) -> None:
        prefix, strict = self.get_option("hostvars_prefix"), self.get_option("strict")
        self.inventory.add_group(GROUP)
        self.inventory.add_group(INCOMPLETE_GROUP)
        self.inventory.add_child(GROUP, INCOMPLETE_GROUP)
        for name, view in named_views(instances, int(time.time())):
            host = self.inventory.add_host(name, group=GROUP if view["complete"] else INCOMPLETE_GROUP)
            if view["complete"] and view["group"]:
                # Names of sessions, which those of groups are, have no underscore: no two share a group.
                self.inventory.add_host(
                    name, group=self.inventory.add_group(MEMBERS_GROUP + view["group"].replace("-", "_"))
                )
            variables = host_variables(view, prefix)
            for variable, value in variables.items():
                self.inventory.set_variable(host, variable, value)
            self._set_composite_vars(self.get_option("compose"), variables, host, strict=strict)
            variables = self.inventory.get_host(host).get_vars()
            self._add_host_to_composed_groups(
                self.get_option("groups"), variables, host, strict=strict, fetch_hostvars=False
            )
            self._add_host_to_keyed_groups(
                self.get_option("keyed_groups"), variables, host, strict=strict, fetch_hostvars=False
            )
