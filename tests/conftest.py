# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the collection importable as Ansible sees it, before any test imports from it."""

from __future__ import annotations

import signal
from pathlib import Path

from ansible.plugins.loader import init_plugin_loader, inventory_loader
from hypothesis import HealthCheck, settings

# A shell starts what runs in the background with SIGINT ignored, and every program that the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent

init_plugin_loader([str(ROOT / "collections")])
inventory_loader.add_directory(str(ROOT / "inventory_plugins"))

# How long an example takes says something about the machine, not about the code: no test asserts wall time. Without a
# database an example that was found once is not found by luck only here: it belongs into the test.
settings.register_profile(
    "project", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None, derandomize=True
)
settings.load_profile("project")
