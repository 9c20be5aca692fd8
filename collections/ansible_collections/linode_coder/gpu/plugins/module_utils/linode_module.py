# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every API module of this collection shares: its options, its client and its way to fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib

from .failure import Failure
from .linode_client import LINODE_API4_ERROR, LinodeApi

API_SPEC: dict[str, Any] = {
    "api_token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["LINODE_TOKEN"])},
    "api_url": {"type": "str", "fallback": (env_fallback, ["LINODE_API_URL"])},
    "ca_path": {"type": "path", "fallback": (env_fallback, ["LINODE_CA"])},
    "api_timeout": {"type": "float", "default": 30.0},
}


def fail(module: AnsibleModule, failure: Failure, **result: Any) -> None:
    message = failure.message
    for part in (failure.cause and f"Cause: {failure.cause}.", failure.remedy, *failure.billing):
        if part:
            message += " " + part
    module.fail_json(msg=message, failure=failure.as_dict(), **result)


def run(
    spec: dict[str, Any],
    work: Callable[[AnsibleModule, LinodeApi, dict[str, Any]], None],
    version: str = "v4",
    **options: Any,
) -> None:
    """Run an API module: ``work`` fills the result dict, which is returned on success and on failure."""
    module = AnsibleModule(argument_spec={**API_SPEC, **spec}, supports_check_mode=True, **options)
    if LINODE_API4_ERROR:
        module.fail_json(msg=missing_required_lib("linode_api4"), exception=LINODE_API4_ERROR)
    result: dict[str, Any] = {"changed": False}
    params = module.params
    try:
        api = LinodeApi(params["api_token"], params["api_url"], params["ca_path"], params["api_timeout"], version)
        work(module, api, result)
    except Failure as failure:
        fail(module, failure, **result)
    module.exit_json(**result)
