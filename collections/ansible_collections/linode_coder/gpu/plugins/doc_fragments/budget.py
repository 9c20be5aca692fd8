# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation fragment of the modules that spend, or say what is spent."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  budget:
    description:
      - Dollars that all sessions of the account may cost in a calendar month (UTC), whoever made them. No limit when not set.
      - What is spent is read from tags and from the account's events, with two requests.
    type: float
  budget_records:
    description:
      - What this control node remembers of its sessions of this month, which events know no price of. Each with
        C(linode_id), C(account), C(created), C(ended) and C(hourly).
    type: list
    elements: dict
    default: []
"""
