# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an answer has the shape that the Linode API promises, for the parts of it that are read here."""

from __future__ import annotations

import re
from typing import Any

_INSTANCE: dict[str, type] = {"id": int, "label": str, "status": str, "tags": list, "created": str}
_FIREWALL: dict[str, type] = {"id": int, "label": str, "status": str, "tags": list, "rules": dict}
# What is read of each entry of a list; of other lists only that the entries are objects.
_ROWS: dict[str, dict[str, type]] = {
    "linode/instances": _INSTANCE,
    "networking/firewalls": _FIREWALL,
    "linode/types": {"id": str},
    "regions": {"id": str},
    "regions/availability": {"region": str, "plan": str, "available": bool},
    "images": {"id": str},
    "account/events": {"id": int, "action": str, "status": str},
}
_ONE = ((re.compile(r"linode/instances/\d+"), _INSTANCE), (re.compile(r"networking/firewalls/\d+"), _FIREWALL))
_PAGED = re.compile(r"(?:^|&)page_size=")


def _lacks(row: Any, needed: dict[str, type]) -> str | None:
    if not isinstance(row, dict):
        return "is no object"
    for name, kind in needed.items():
        if not isinstance(row.get(name), kind):
            return f"has no proper {name}"
    if "tags" in needed and not all(isinstance(tag, str) for tag in row["tags"]):
        return "has tags that are no text"
    return None


def wrong_shape(method: str, path: str, body: Any) -> str | None:
    """What is wrong with the ``body`` that answers ``method`` on ``path`` (without version, maybe with a query), or None."""
    if not isinstance(body, dict):
        return "it is no object"
    if method == "DELETE":
        return None
    path, _mark, query = path.partition("?")
    for pattern, needed in _ONE:
        if pattern.fullmatch(f"{path}/0" if method == "POST" else path):
            lack = _lacks(body, needed)
            return f"it {lack}" if lack else None
    if method != "GET" or not _PAGED.search(query):
        return None
    rows, pages = body.get("data"), body.get("pages")
    if not isinstance(rows, list):
        return "its data is no list"
    if not isinstance(pages, int) or isinstance(pages, bool) or pages < 0:
        return "its pages is no number"
    for index, row in enumerate(rows):
        lack = _lacks(row, _ROWS.get(path, {}))
        if lack:
            return f"entry {index} of its data {lack}"
    return None
