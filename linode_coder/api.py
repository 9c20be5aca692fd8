"""Reads of the Linode API for the command line: the collection's reader, shown with -v."""

from __future__ import annotations

import sys
import time
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.linode import reader as linode_reader

from .settings.config import export_credentials
from .terminal import console


class LinodeReader(linode_reader.LinodeReader):
    def __init__(self) -> None:
        export_credentials()
        super().__init__()

    def _get_once(self, path: str, x_filter: dict[str, Any] | None) -> Any:
        started = time.monotonic()
        try:
            return super()._get_once(path, x_filter)
        finally:
            if console.verbosity >= 1:
                print(f"GET /v4/{path} {x_filter or ''} ({time.monotonic() - started:.2f} s)", file=sys.stderr)
