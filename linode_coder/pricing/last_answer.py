"""What the API says of GPU plans and prices now, or said when it last answered, with the age of that."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import is_gpu_plan
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.reader import api_base

from ..api import LinodeReader, plans_file
from ..settings.config import has_token

# A file of sixteen plans has some kilobytes.
_MOST = 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """``plans`` are objects of the API, of GPU plans only; ``asked`` is in seconds since the epoch, None where there never was an
    answer. ``why`` says why the API was not asked now, or did not answer; None where ``plans`` are what it says now."""

    plans: list[dict[str, Any]]
    asked: int | None
    why: str | None = None


def _is_price(price: Any) -> bool:
    hourly = price.get("hourly") if isinstance(price, dict) else None
    return isinstance(hourly, (int, float)) and not isinstance(hourly, bool) and 0 <= hourly < 1e6


def _is_plan(row: Any) -> bool:
    """Whether it has the shape that is read here: a file may be half of one, or another program's."""
    return (
        isinstance(row, dict)
        and isinstance(row.get("id"), str)
        and isinstance(row.get("gpus"), int)
        and is_gpu_plan(row)
        and all(isinstance(row.get(key), (int, type(None))) for key in ("vcpus", "memory", "disk"))
        and _is_price(row.get("price"))
        and isinstance(row.get("region_prices"), (list, type(None)))
        and all(_is_price(price) and isinstance(price.get("id"), str) for price in row.get("region_prices") or [])
    )


def _remembered(url: str, why: str) -> Answer:
    """The last answer of the API at ``url``: another one has other prices."""
    try:
        with plans_file().open("rb") as file:
            said = json.loads(file.read(_MOST))
        asked, api, rows = said["asked"], said["api"], said["plans"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Answer([], None, why)
    if api != url or not isinstance(asked, int) or not isinstance(rows, list) or not all(map(_is_plan, rows)):
        return Answer([], None, why)
    return Answer(rows, asked, why)


def plans_now_or_then(timeout: float) -> Answer:
    """The API's answer, for which each attempt waits ``timeout`` seconds; without one the last that came. Never a Failure."""
    url = ""
    try:
        if not has_token():
            return _remembered(api_base(None), "there is no API token")
        url = api_base(None)
        rows = [row for row in LinodeReader(timeout=timeout).list("linode/types") if is_gpu_plan(row)]
    except Failure as failure:
        return _remembered(url, failure.message)
    return Answer(rows, int(time.time()))
