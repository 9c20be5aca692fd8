# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def by_host(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    """The variable ``name`` of each of the hosts that has it, by host."""
    variables = {host: hostvars[host] for host in hosts}
    return {host: own[name] for host, own in variables.items() if name in own}


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"by_host": by_host}
