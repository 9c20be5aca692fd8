# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs this: the owner of what is made from here, the same from the command line, a playbook and cron."""

from __future__ import annotations

import getpass


def this_user() -> str:
    """The login name; ``unknown`` in a container that knows no name for its user id."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"
