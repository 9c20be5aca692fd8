# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the installed collection importable as Ansible sees it, before any test imports from it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from ansible.plugins.loader import init_plugin_loader
from hypothesis import HealthCheck, settings

import linode_coder

# A shell starts what runs in the background with SIGINT ignored, and every program that the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent

# What is tested is what people install: the wheel. An editable install has no playbook in its collection, and hides that.
if Path(linode_coder.__file__).is_relative_to(ROOT / "linode_coder"):
    raise RuntimeError("The tests want the wheel, and this environment has the checkout: run them with make.")

init_plugin_loader()

# How long an example takes says something about the machine, not about the code: no test asserts wall time. Without a
# database an example that was found once is not found by luck only here: it belongs into the test.
settings.register_profile(
    "project", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None, derandomize=True
)
settings.load_profile("project")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start every program outside the checkout, where `python -c` would find what is not installed."""
    os.chdir("/")
