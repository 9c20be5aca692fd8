# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation fragment of what the next rung of healing is decided by, on the VM and without it."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  earlier:
    description: Observations before it, each with C(at), in seconds since the epoch, and C(findings).
    type: list
    elements: dict
    default: []
  policy:
    description: V(off), V(alert), V(container), V(host), V(vm), or the highest rung that may be taken.
    type: str
    choices:
      - "off"
      - alert
      - container
      - host
      - vm
      - restart_container
      - recreate_container
      - change_parameters
      - restart_services
      - regenerate_cdi
      - reload_driver
      - reset_gpu
      - reboot
      - power_cycle
      - recreate_vm
    default: vm
  patience:
    description: Factor on every waiting time.
    type: float
    default: 1.0
  now:
    description:
      - A person insists. Nothing is waited for that only time settles, such as a recent boot, or requests that run.
      - A failure is still confirmed, and budgets, the breaker and what Linode is working on still count.
    type: bool
    default: false
"""
