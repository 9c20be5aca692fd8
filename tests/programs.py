# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the distribution that judge ours. `make test` wants none of them installed; `.ci/run` has all, and wants them used."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from tests import postgres_server

# What Debian's package of each is called.
PACKAGES = {
    "chromium-headless-shell": "chromium-headless-shell",
    "nginx": "nginx-light",
    "initdb": "postgresql",
    "ngx_http_js_module.so": "libnginx-mod-http-js",
    "prometheus": "prometheus",
    "promtool": "prometheus",
}


def program(name: str) -> str:
    """Its path. Where it is not installed the test is skipped, or fails where ALL_PROGRAMS is set."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    return found or _missing(name)


def postgres() -> Path:
    """The same for the directory of the newest PostgreSQL server's programs."""
    return postgres_server.programs() or _missing("initdb")


def nginx_module(name: str) -> None:
    """The same for a module of nginx."""
    if not Path("/usr/lib/nginx/modules", name).exists():
        _missing(name)


def _missing(name: str) -> NoReturn:
    missing = f"{name} is not installed: apt-get install {PACKAGES[name]}"
    if os.environ.get("ALL_PROGRAMS"):
        pytest.fail(missing)
    pytest.skip(missing)
