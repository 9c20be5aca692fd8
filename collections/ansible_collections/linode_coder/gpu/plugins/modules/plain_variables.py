#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: plain_variables
short_description: Refuse extra variables that are templates
version_added: 0.1.0
description:
  - Ansible trusts extra variables (C(-e), and what a controller hands on without its mark) as it trusts a playbook, and renders a
    text with braces when a task reads it, on the control node.
  - Looks at the extra variables that the playbooks of this collection read, before anything renders them, and fails if one is a
    template. It is the first task of each of them, so what somebody typed into a form or a ticket runs nothing.
  - A text that is marked C(!unsafe), as AWX marks the answers of a survey, is data whatever is in it.
  - Variables of the inventory and of the project's files may be templates. Whoever writes those is trusted.
attributes:
  action:
    description: Has an action plugin of its name that does all of it.
    support: full
  check_mode:
    description: Looks in check mode too.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Refuse templates in the extra variables
  linode_coder.gpu.plain_variables:
"""

RETURN = r"""
failure:
  description: Which variable is a template and what to do about it.
  returned: failure
  type: dict
  sample: {"kind": "usage", "message": "The variable session is a template.", "field": "session"}
"""
