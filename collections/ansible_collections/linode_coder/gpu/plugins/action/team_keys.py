# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ..modules.team_keys import MODULE
from ..plugin_utils.local_action import LocalAction


class ActionModule(LocalAction):
    local = MODULE
