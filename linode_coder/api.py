"""Reads of the Linode API for the command line: the collection's reader, shown with -v."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode import reader as linode_reader

from .completion.names import regions_file
from .settings.config import export_credentials
from .terminal import console


def _remember_regions(rows: list[dict[str, Any]]) -> None:
    """For completion, which asks no API: regions with GPUs, and what people call them."""
    lines = [
        f"{row.get('id')}\t{row.get('label')}\n" for row in rows if "GPU Linodes" in (row.get("capabilities") or [])
    ]
    text = "".join(lines).encode("utf-8", "replace")
    path = regions_file()
    # Where a home takes no files, nothing is completed either.
    with suppress(OSError):
        if not path.exists() or path.read_bytes() != text:
            replace_file(path, text, parents=True)


class LinodeReader(linode_reader.LinodeReader):
    def __init__(self, public: bool = False) -> None:
        export_credentials()
        super().__init__(public=public)

    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        rows = super().list(path, x_filter)
        if path == "regions" and not x_filter:
            _remember_regions(rows)
        return rows

    def _get_once(self, path: str, x_filter: dict[str, Any] | None) -> Any:
        started = time.monotonic()
        try:
            return super()._get_once(path, x_filter)
        finally:
            if console.verbosity >= 1:
                print(f"GET /v4/{path} {x_filter or ''} ({time.monotonic() - started:.2f} s)", file=sys.stderr)
