# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.timeline import timeline


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"timeline": timeline}
