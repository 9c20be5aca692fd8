#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_warm_volume_info
short_description: List the volumes that sessions start warm from
version_added: 0.1.0
description:
  - Answers every warm volume of the account from its tags, with its price and its last use, in one request per 500 volumes.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.linode.reading
options:
  model:
    description: Only those of this model.
    type: str
"""

EXAMPLES = r"""
- name: See what is kept warm, and what it costs
  linode_coder.gpu.linode_warm_volume_info:
  register: warm
"""

RETURN = r"""
volumes:
  description: The volumes, the dearest first. Money is dollars, times are ISO-8601 in UTC.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Label of the volume.
      type: str
      returned: success
    model:
      description: Model that it holds, null when its tags do not say so.
      type: str
      returned: success
    monthly:
      description: Price of a month.
      type: float
      returned: success
    last_used:
      description: When a session used it last.
      type: str
      returned: success
    filled:
      description: When it was recorded as whole, null when it never was.
      type: str
      returned: success
    attached_to:
      description: Label of the VM that has it.
      type: str
      returned: success
    proposed:
      description: Why it may be deleted, null for one that should stay.
      type: str
      returned: success
  sample: [{"name": "lc-warm-coder-v012345678", "model": "org/Coder", "monthly": 7.0, "attached_to": null, "proposed": null}]
"""

import time
from typing import Any

from ..module_utils.core.local_module import Call
from ..module_utils.linode.client import LinodeApi
from ..module_utils.linode.module import api_module
from ..module_utils.session.tags import MARKER
from ..module_utils.session.warm_volume import proposed, warm_volumes


def work(module: Call, api: LinodeApi, result: dict[str, Any]) -> None:
    now, wanted = int(time.time()), module.params["model"]
    result["volumes"] = [
        {**volume.as_dict(), "proposed": proposed(volume, now)}
        for volume in warm_volumes(api.list("volumes", {"tags": MARKER}))
        if wanted in (None, volume.model)
    ]


MODULE = api_module({"model": {"type": "str"}}, work)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
