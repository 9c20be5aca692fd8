# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation fragment of the modules that look at a VM: where they find the engine, and who looks."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  state_dir:
    description: Where the idle clock and the notes of each look are kept.
    type: path
    default: /var/lib/linode-coder
"""

    PROJECT = r"""
options:
  project_dir:
    description: Directory of the engine's Compose project.
    type: path
    default: /opt/linode-coder/vllm
"""

    PORT = r"""
options:
  port:
    description: Port of the engine on loopback.
    type: int
    default: 8000
"""

    WATCHER = r"""
options:
  watcher:
    description: Who is looking. Kept with the time, so that people can see that somebody does.
    type: str
  interval:
    description: After how many seconds this watcher looks again.
    type: int
    default: 300
"""
