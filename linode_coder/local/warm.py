"""The account's warm volumes, as commands that only read see them."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.budget_look import volumes_of
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.warm_volume import proposed, warm_volumes

from ..api import LinodeReader


def all_warm(reader: LinodeReader) -> list[dict[str, Any]] | None:
    """Each with ``proposed``, why it may be deleted, and ``linode_id``; None where the token may not read volumes."""
    rows, now = volumes_of(reader), int(time.time())
    if rows is None:
        return None
    return [
        {**volume.as_dict(), "linode_id": volume.linode_id, "proposed": proposed(volume, now)}
        for volume in warm_volumes(rows)
    ]
