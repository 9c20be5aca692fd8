# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the collection importable as Ansible sees it, before any test imports from it."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.loader import init_plugin_loader, inventory_loader

ROOT = Path(__file__).resolve().parent.parent

init_plugin_loader([str(ROOT / "collections")])
inventory_loader.add_directory(str(ROOT / "inventory_plugins"))
