# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every API module of this collection shares: its options and its client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import env_fallback

from ..core.local_module import Call, LocalModule
from .client import LinodeApi

API_SPEC: dict[str, Any] = {
    "api_token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["LINODE_TOKEN"])},
    "api_url": {"type": "str", "fallback": (env_fallback, ["LINODE_API_URL"])},
    "ca_path": {"type": "path", "fallback": (env_fallback, ["LINODE_CA"])},
    "api_timeout": {"type": "float", "default": 30.0},
}


def api_module(
    spec: dict[str, Any],
    work: Callable[[Call, LinodeApi, dict[str, Any]], None],
    version: str = "v4",
    **rules: Any,
) -> LocalModule:
    """A module whose ``work`` gets a client of the API as well."""

    def with_api(call: Call, result: dict[str, Any]) -> None:
        params = call.params
        api = LinodeApi(params["api_token"], params["api_url"], params["ca_path"], params["api_timeout"], version)
        work(call, api, result)

    return LocalModule({**API_SPEC, **spec}, with_api, rules)
