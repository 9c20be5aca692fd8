"""Failures on demand: the sandbox breaks exactly as often and exactly where it was asked to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from .envelope import ApiError, Json, Problems, fail
from .ratelimit import too_many
from .store import Store

# What each kind does, for `fault list` and for people who misspell one.
KINDS: dict[str, str] = {
    "capacity": "403, the plan is not available in the region",
    "unauthorized": "401 Invalid Token",
    "forbidden": "403 Unauthorized",
    "rate_limited": "429 with Retry-After",
    "busy": "400 Linode busy., before anything is done",
    "error": "--status (500, 502, 503, 408) before anything is done",
    "error_after_commit": "--status (500, 502, 503, 408) although the request was carried out",
    "edge": "an HTML page of the edge with --status (200, 400, 403, 404, 502, 503, 504) before anything is done",
    "edge_after_commit": "the same although the request was carried out",
    "maintenance": "503 with the header X-Maintenance-Mode, before anything is done",
    "reset": "connection reset before anything is done",
    "reset_after_commit": "connection reset although the request was carried out",
    "delay": "--delay seconds before the request is carried out",
    "skewed_date": "the Date header of the answer is --delay seconds ahead",
    "slow_boot": "the next boot takes --delay seconds longer",
    "boot_failure": "the next boot fails and the instance stays offline",
    "metadata_unavailable": "the metadata service of the instance answers 500",
    "volume_damaged": "a bit of the largest file on the next volume that is attached flips (narrow it with --where label=LABEL)",
}
_GUEST_ONLY = ("slow_boot", "boot_failure", "metadata_unavailable", "volume_damaged")
_STATUSES = (408, 500, 502, 503, 504)
# What the edge says in front of the API, as nginx words it; a 200 is what a sign-in page would be.
_PAGES = {
    200: "Please wait",
    400: "400 Bad Request",
    403: "403 Forbidden",
    404: "404 Not Found",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}
_TEXTS = {
    408: "Request timed out",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
CAPACITY_TEXT = "The Linode plan you chose is not currently available in the selected region"


@dataclass
class Fault:
    """One armed fault. `count` None is until cleared; `skip` matching requests pass first."""

    id: int
    kind: str
    on: str | None
    count: int | None
    skip: int
    status: int
    retry_after: int
    delay: float
    where: dict[str, str] = field(default_factory=dict)
    hits: int = 0

    def matches(self, method: str, path: str, body: Json) -> bool:
        if self.on is not None:
            wanted, _, pattern = self.on.partition(" ")
            if wanted not in ("*", "ANY", method) or not _pattern(pattern).fullmatch(path):
                return False
        return all(str(_dig(body, key)) == value for key, value in self.where.items())

    def take(self) -> bool:
        """Whether it strikes this time; counts down."""
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.count is not None:
            if self.count <= 0:
                return False
            self.count -= 1
        self.hits += 1
        return True

    def as_dict(self) -> Json:
        return dict(vars(self), spent=self.count == 0)


def _dig(body: Any, key: str) -> Any:
    for part in key.split("."):
        body = body.get(part) if isinstance(body, dict) else None
    return body


def _pattern(pattern: str) -> re.Pattern[str]:
    """``{id}`` (any name) and ``*`` stand for one segment, ``**`` for any number of them."""
    parts = []
    for part in re.split(r"(\{[^}/]*\}|\*\*|\*)", pattern.strip()):
        if part == "**":
            parts.append(".*")
        elif part == "*" or part.startswith("{"):
            parts.append("[^/]+")
        else:
            parts.append(re.escape(part))
    return re.compile("".join(parts) + "/?")


class Faults:
    """The armed faults of an account, kept in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._faults = [Fault(**record) for record in store.table("fault").values()]

    def add(self, wanted: Json) -> Fault:
        """Arm one; raises ApiError 400 naming each bad field."""
        problems = Problems()
        kind = wanted.get("kind")
        if kind not in KINDS:
            problems.add(f"{kind!r} is not a kind of fault; the kinds are {', '.join(KINDS)}", "kind")
        on = wanted.get("on")
        if on is not None and not re.fullmatch(r"([A-Z]+|\*) /\S*", str(on)):
            problems.add(f"{on!r} is not METHOD /path, such as 'POST /linode/instances'", "on")
        elif on is not None and kind in _GUEST_ONLY:
            problems.add(f"{kind} strikes instances, not requests; narrow it with where", "on")
        status = wanted.get("status") or 502
        statuses = tuple(_PAGES) if str(kind).startswith("edge") else _STATUSES
        if status not in statuses:
            problems.add(f"{status!r} is not one of {', '.join(map(str, statuses))}", "status")
        where = wanted.get("where") or {}
        if not isinstance(where, dict):
            problems.add("where must be an object of field and value", "where")
            where = {}
        numbers: dict[str, float] = {}
        for name, default in (("skip", 0), ("retry_after", 2), ("delay", 5)):
            value = wanted.get(name)
            value = default if value is None else value
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                problems.add(f"{value!r} is not a number of at least 0", name)
                value = default
            numbers[name] = value
        count = wanted.get("count", None if kind == "metadata_unavailable" else 1)
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            problems.add(f"{count!r} is not a count of at least 1, or null for until cleared", "count")
        problems.check()
        if on is None and kind == "capacity":
            on = "POST /linode/instances"
        fault = Fault(
            id=self._store.next_id("fault"),
            kind=str(kind),
            on=on,
            count=count,
            skip=int(numbers["skip"]),
            status=int(status),
            retry_after=int(numbers["retry_after"]),
            delay=float(numbers["delay"]),
            where={str(key): str(value) for key, value in where.items()},
        )
        self._faults.append(fault)
        self._keep(fault)
        return fault

    def all(self) -> list[Json]:
        return [fault.as_dict() for fault in self._faults]

    def clear(self, fault_id: int | None = None) -> int:
        """Disarm one or all; how many there were."""
        gone = [fault for fault in self._faults if fault_id is None or fault.id == fault_id]
        for fault in gone:
            self._faults.remove(fault)
            self._store.drop("fault", fault.id)
        return len(gone)

    def strike(self, kinds: tuple[str, ...], method: str, path: str, body: Json) -> Fault | None:
        """The first armed fault of these kinds that matches and is due."""
        for fault in self._faults:
            if fault.kind in kinds and fault.count != 0 and fault.matches(method, path, body):
                due = fault.take()
                self._keep(fault)
                if due:
                    return fault
        return None

    def strike_instance(self, kind: str, instance: Json) -> Fault | None:
        """As `strike`, for faults of instances: `where` is matched on the API's object."""
        return self.strike((kind,), "*", "", instance)

    def _keep(self, fault: Fault) -> None:
        self._store.put("fault", fault.id, dict(vars(fault)))


BEFORE = ("capacity", "unauthorized", "forbidden", "rate_limited", "busy", "error", "edge", "maintenance")
RESET_BEFORE = ("reset",)
AFTER = ("error_after_commit", "edge_after_commit", "reset_after_commit")


class EdgePage(Exception):
    """Answered as an HTML page, without any header of the API."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
        said = _PAGES[status]
        self.html = (
            f"<html>\r\n<head><title>{said}</title></head>\r\n<body>\r\n<center><h1>{said}</h1></center>\r\n"
            "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        )


def refusal(fault: Fault) -> ApiError | EdgePage:
    """The answer of a fault that is an answer."""
    if fault.kind.startswith("edge"):
        return EdgePage(fault.status)
    if fault.kind == "maintenance":
        # The header is what clients look for; its value and the text are unverified.
        error = fail("The API is undergoing maintenance.", status=503)
        error.headers["X-Maintenance-Mode"] = "true"
        return error
    if fault.kind == "capacity":
        return fail(CAPACITY_TEXT, status=403)
    if fault.kind == "unauthorized":
        error = fail("Invalid Token", status=401)
        error.headers["X-OAuth-Scopes"] = "unknown"
        return error
    if fault.kind == "forbidden":
        return fail("Unauthorized", status=403)
    if fault.kind == "busy":
        return fail("Linode busy.")
    if fault.kind == "rate_limited":
        return too_many(fault.retry_after)
    return fail(_TEXTS[fault.status], status=fault.status)
