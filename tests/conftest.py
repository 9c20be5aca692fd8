# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the installed collection importable as Ansible sees it, before any test imports from it."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import linode_coder

# The first import of Ansible reads the ansible.cfg of this directory: that of a checkout names the checkout's collection.
with contextlib.chdir("/"):
    from ansible.plugins.loader import init_plugin_loader

    from tests.documented_diff import documented_diffs

__all__ = ["documented_diffs"]

# A shell starts what runs in the background with SIGINT ignored, and every program that the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent

init_plugin_loader()

# What is tested is what people install: the wheel. An editable install has no playbook in its collection, and hides that.
for module in (linode_coder, importlib.import_module("ansible_collections.linode_coder.gpu.plugins.module_utils")):
    if any(Path(str(module.__file__)).is_relative_to(ROOT / tree) for tree in ("linode_coder", "collections")):
        raise RuntimeError(
            f"The tests want the wheel, and this is the checkout: {module.__file__}. Run them with make."
        )

# How long an example takes says something about the machine, not about the code: no test asserts wall time. Without a
# database an example that was found once is not found by luck only here: it belongs into the test.
settings.register_profile(
    "project", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None, derandomize=True
)
settings.load_profile("project")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start every program outside the checkout, where `python -c` would find what is not installed."""
    os.chdir("/")
