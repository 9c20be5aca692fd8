"""What the sandbox account is: its store, catalogue, events, faults, limits and the hosts behind it."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from ..hosts.base import HostBackend
from ..own_token import TOKEN
from .auth import digest
from .envelope import Json, stamp
from .event_log import Events
from .faults import Faults
from .ratelimit import Limits
from .store import Store

USERNAME = "sandbox"

# Seconds that a job takes at least; a boot takes longer when the host does. "realistic" are medians of recordings.
PROFILES: dict[str, dict[str, float]] = {
    "instant": dict.fromkeys(
        (
            "create",
            "boot",
            "shutdown",
            "reboot",
            "rebuild",
            "resize",
            "rescue",
            "clone",
            "migrate",
            "delete",
            "disk",
            "volume",
        ),
        0.0,
    ),
    "quick": {
        "create": 0.6,
        "boot": 0.5,
        "shutdown": 0.3,
        "reboot": 0.6,
        "rebuild": 0.6,
        "resize": 0.6,
        "rescue": 0.5,
        "clone": 0.6,
        "migrate": 0.6,
        "delete": 0.4,
        "disk": 0.3,
        "volume": 0.2,
    },
    "realistic": {
        "create": 41.0,
        "boot": 20.0,
        "shutdown": 28.0,
        "reboot": 30.0,
        "rebuild": 45.0,
        "resize": 120.0,
        "rescue": 20.0,
        "clone": 110.0,
        "migrate": 300.0,
        "delete": 8.0,
        "disk": 12.0,
        "volume": 6.0,
    },
}


def load_data(name: str) -> list[Json]:
    """Rows of one of the catalogue files in api/data/."""
    text = resources.files(__package__).joinpath("data", name).read_text(encoding="utf-8")
    rows: list[Json] = json.loads(text)
    return rows


@dataclass
class Catalogue:
    """What can be bought: rows as the API lists them, and the same by id.

    The images are those of a recording of May 2026, without Kubernetes's, and Ubuntu's of that spring; their times are unverified.
    """

    types: list[Json] = field(default_factory=lambda: load_data("types.json"))
    regions: list[Json] = field(default_factory=lambda: load_data("regions.json"))
    images: list[Json] = field(default_factory=lambda: load_data("images.json"))
    kernels: list[Json] = field(default_factory=lambda: load_data("kernels.json"))
    availability: list[Json] = field(default_factory=lambda: load_data("availability.json"))

    def __post_init__(self) -> None:
        self.type: dict[str, Json] = {row["id"]: row for row in self.types}
        self.region: dict[str, Json] = {row["id"]: row for row in self.regions}
        self.image: dict[str, Json] = {row["id"]: row for row in self.images}
        self.kernel: dict[str, Json] = {row["id"]: row for row in self.kernels}

    def hourly(self, plan: str, region: str) -> float | None:
        """Price per hour there; None when the API does not say."""
        row = self.type.get(plan)
        if row is None:
            return None
        for price in row["region_prices"]:
            if price["id"] == region:
                return float(price["hourly"]) if price["hourly"] else None
        return float(row["price"]["hourly"]) if row["price"]["hourly"] else None


class State:
    """The account without what moves it on. `backend` may be set after construction, before the first request."""

    def __init__(
        self,
        backend: HostBackend | None = None,
        *,
        path: Path | None = None,
        profile: str = "quick",
        rate_limits: str = "recorded",
        timings: dict[str, float] | None = None,
    ) -> None:
        self.store = Store(path)
        self.catalogue = Catalogue()
        self.timing = {**PROFILES[profile], **(timings or {})}
        self.events = Events(self.store, USERNAME)
        self.faults = Faults(self.store)
        self.limits = Limits(rate_limits)
        self._backend = backend
        self._prepare()

    def _prepare(self) -> None:
        if "account" not in self.store.table("singleton"):
            identity = str(uuid.uuid4()).upper()
            self.store.put("singleton", "account", {"euuid": identity, "active_since": stamp(time.time())})
        own = {"id": 0, "scopes": "*", "revoked": False, "expiry": None}
        self.store.put("token_secret", digest(TOKEN), own)
        self.store.flush()

    @property
    def backend(self) -> HostBackend:
        if self._backend is None:
            raise RuntimeError("the sandbox has no backend for hosts yet")
        return self._backend

    @backend.setter
    def backend(self, backend: HostBackend) -> None:
        self._backend = backend

    def now(self) -> str:
        return stamp(time.time())

    def setting(self, name: str) -> Json:
        """A record of which there is one, {} before it was ever set."""
        return self.store.table("singleton").get(name, {})

    def instance(self, linode_id: object) -> Json | None:
        """The record: ``api`` is the API's object, the rest is what the API never shows. None for what is no id."""
        if not isinstance(linode_id, int) or isinstance(linode_id, bool):
            return None
        return self.store.table("instance").get(linode_id)

    def image(self, image_id: str) -> Json | None:
        """A public image of the catalogue or a private one of the account."""
        return self.catalogue.image.get(image_id) or self.store.table("image").get(image_id)

    def instances(self) -> list[Json]:
        return list(self.store.table("instance").values())

    def tags_in_use(self) -> list[str]:
        """Those that something has, and those made by hand."""
        tagged = [record["api"] for record in self.instances()]
        tagged += [*self.store.table("volume").values(), *self.store.table("firewall").values()]
        used = {tag for api in tagged for tag in api["tags"]}
        return sorted(used | {str(key) for key in self.store.table("tag")})

    def touch(self, record: Json, **changes: Any) -> None:
        """Change the API's object of an instance and remember it."""
        record["api"].update(changes)
        self.store.put("instance", record["api"]["id"], record)

    def note_usage(self, record: Json) -> None:
        """Remember what a deleted instance cost: it belongs on the bill after it is gone."""
        api = record["api"]
        if not record["foreign"]:
            kept = {key: api[key] for key in ("label", "type", "region", "created")}
            usage = {**kept, "until": self.now()}
            self.store.put("usage", str(api["id"]), usage)

    def forget(self) -> None:
        """Back to an empty account; hosts are somebody else's to delete."""
        self.faults.clear()
        self.store.clear()
        self.events = Events(self.store, USERNAME)
        self.faults = Faults(self.store)
        self.limits = Limits(self.limits.profile)
        self._prepare()
