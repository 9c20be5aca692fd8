"""Reads of the Linode API for the command line: the collection's reader, shown with -v."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import state_dir
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode import reader as linode_reader
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import is_gpu_plan

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


def plans_file() -> Path:
    """The last answer about GPU plans, as ``pricing/last_answer.py`` reads it."""
    return state_dir() / "plans.json"


def _remember_plans(url: str, rows: list[dict[str, Any]]) -> None:
    """For who asks without a network: what of an answer says how many GPUs a plan has and what it costs."""
    kept = ("id", "class", "gpus", "vcpus", "memory", "disk", "price", "region_prices")
    plans = [{key: row.get(key) for key in kept} for row in rows if is_gpu_plan(row)]
    answer = {"schema": 1, "asked": int(time.time()), "api": url, "plans": plans}
    with suppress(OSError):
        replace_file(plans_file(), json.dumps(answer).encode("ascii"), parents=True)


class LinodeReader(linode_reader.LinodeReader):
    def __init__(self, public: bool = False, timeout: float = 20) -> None:
        export_credentials()
        super().__init__(public=public, timeout=timeout)

    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        rows = super().list(path, x_filter)
        if path == "regions" and not x_filter:
            _remember_regions(rows)
        if path == "linode/types" and not x_filter:
            _remember_plans(self.url, rows)
        return rows

    def _get_once(self, path: str, x_filter: dict[str, Any] | None) -> Any:
        started = time.monotonic()
        try:
            return super()._get_once(path, x_filter)
        finally:
            if console.verbosity >= 1:
                print(f"GET /v4/{path} {x_filter or ''} ({time.monotonic() - started:.2f} s)", file=sys.stderr)
