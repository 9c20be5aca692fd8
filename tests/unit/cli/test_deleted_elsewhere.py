"""How often the API is asked about sessions that somebody deleted elsewhere: not once for each of many."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from linode_coder.api import LinodeReader
from linode_coder.local import history
from linode_coder.local.deleted_elsewhere import kept_here, unended

ACCOUNT = "E1AF5EEC-526F-487D-B317EBEB34C87D71"
GONE = "2026-11-01T10:30:00"


class Reader:
    """Answers as the account's events would, and notes what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any] | None]] = []

    def get(self, path: str, x_filter: dict[str, Any] | None = None) -> dict[str, Any]:
        self.asked.append((path, x_filter))
        return {"euuid": ACCOUNT}

    def list(self, path: str, x_filter: dict[str, Any]) -> list[dict[str, Any]]:
        self.asked.append((path, x_filter))
        wanted = [one["entity.id"] for one in x_filter["+or"]]
        return [
            {"entity": {"id": number}, "status": "failed" if number % 10 == 3 else "finished", "created": GONE}
            for number in wanted
            if number % 10 != 4
        ]


@pytest.fixture
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred and twenty that this machine saw."""
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    facts = {"plan": "p", "region": "r", "model": "m", "owner": "o", "created": "2026-11-01T09:00:00Z", "hourly": 0.5}
    views = [{**facts, "name": f"s{n}", "label": f"lc-s{n}-1", "linode_id": n} for n in range(120)]
    history.saw(views, ACCOUNT)
    for view in views[:30]:
        (tmp_path / "state" / "sessions" / str(view["name"])).mkdir(parents=True)


@pytest.mark.usefixtures("sessions")
def test_events_are_asked_for_many_at_once() -> None:
    reader = Reader()
    found = {row["linode_id"]: row for row in unended(cast("LinodeReader", reader), {0, 1})}
    assert [path for path, _filter in reader.asked] == ["account", *["account/events"] * 3]
    assert len(found) == 118
    assert found[7] == {**found[7], "ended": "2026-11-01T10:30:00Z", "hours": 2, "cost": 1.0}
    # A deletion that failed, and one that the events do not know.
    assert (found[3]["ended"], found[14]["ended"]) == (None, None)


@pytest.mark.usefixtures("sessions")
def test_the_account_is_asked_for_once() -> None:
    reader = Reader()
    assert len(kept_here(cast("LinodeReader", reader), {"s1"})) == 29
    assert [path for path, _filter in reader.asked] == ["account"]
