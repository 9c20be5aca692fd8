# SPDX-License-Identifier: GPL-3.0-or-later
"""What healing remembers in the tags counts in whatever case the account returns it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.attempts import BREAKER_TAG, Attempt
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.provider import Provider

NOW = 1_800_000_000


class Shouting:
    """An account that returns every tag in capitals."""

    def __init__(self) -> None:
        self.row: dict[str, Any] = {
            **{"id": 7, "label": "lc-demo-1", "status": "running", "type": "g2", "region": "us-ord"},
            **{"created": "2027-01-15T06:30:00", "tags": ["LINODE-CODER", "LC:SESSION:demo", "Team-Red"]},
        }
        self.puts = 0

    def list(self, _path: str, _filter: object = None) -> list[dict[str, Any]]:
        return [dict(self.row)]

    def get(self, path: str, _filter: object = None) -> Any:
        return {"data": []} if path.startswith("account/events") else dict(self.row)

    def put(self, _path: str, body: dict[str, Any]) -> None:
        self.puts += 1
        self.row["tags"] = [tag.upper() if tag.startswith("lc") else tag for tag in body["tags"]]


def test_an_attempt_is_found_again_and_a_breaker_is_written_once() -> None:
    api = Shouting()
    clock: Any = SimpleNamespace(now=lambda: NOW, sleep=lambda _seconds: None)
    provider = Provider(api, clock, "demo", settle=0)  # type: ignore[arg-type]
    attempt = Attempt("reboot", "0a1b2c3d", NOW, "ab12")
    assert provider.reserve(provider.look(), attempt) is None
    assert provider.reserve(provider.look(), attempt) is None and api.puts == 1
    provider.open_breaker(7)
    provider.open_breaker(7)
    assert api.puts == 2 and BREAKER_TAG in provider.look()["tags"]
    assert provider.forget(7) and api.row["tags"] == ["LINODE-CODER", "LC:SESSION:demo", "Team-Red"]
