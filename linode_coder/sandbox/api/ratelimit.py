"""Rate limits per caller, with the numbers the API announces."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from .envelope import ApiError, fail

# (requests, seconds) by class of request.
#
# "recorded" is what X-RateLimit-Limit said in recorded traffic of 2026; "documented" is the table of the rate limit
# page of September 2026, which is stricter for lists. Where only one of the two knows a class, both use it.
PROFILES: dict[str, dict[str, tuple[int, float]]] = {
    "recorded": {
        "general": (1840, 60),
        "collection": (1840, 60),
        "public": (400, 60),
        "create": (20, 15),
        "images": (20, 60),
        "volumes": (100, 60),
        "stats": (50, 60),
        "stackscripts": (60, 60),
    },
    "documented": {
        "general": (1600, 60),
        "collection": (200, 60),
        "public": (200, 60),
        "create": (20, 15),
        "images": (20, 60),
        "volumes": (100, 60),
        "stats": (50, 60),
        "stackscripts": (60, 60),
    },
}


@dataclass
class Limits:
    """Fixed windows by (caller, class).

    `profile` is a key of PROFILES, or ``off``: counted and announced, never refused.
    The window starts with the first request; X-RateLimit-Reset is its end in seconds since the epoch.
    """

    profile: str = "recorded"
    # By class: requests that were let through, and refused ones.
    counts: dict[str, list[int]] = field(default_factory=dict)
    _windows: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict)

    def spend(self, caller: str, kind: str, now: float | None = None) -> dict[str, str]:
        """Headers for the answer; raises ApiError 429 with Retry-After when the window is used up."""
        now = time.time() if now is None else now
        limit, seconds = PROFILES["recorded" if self.profile == "off" else self.profile][kind]
        started, used = self._windows.get((caller, kind), (now, 0))
        counted = self.counts.setdefault(kind, [0, 0])
        if now - started >= seconds:
            started, used = now, 0
        reset = started + seconds
        headers = {"X-RateLimit-Limit": str(limit), "X-RateLimit-Reset": str(math.ceil(reset))}
        if used >= limit and self.profile != "off":
            counted[1] += 1
            error = too_many(max(1, math.ceil(reset - now)))
            error.headers.update(headers, **{"X-RateLimit-Remaining": "0"})
            raise error
        counted[0] += 1
        self._windows[caller, kind] = (started, used + 1)
        headers["X-RateLimit-Remaining"] = str(max(0, limit - used - 1))
        if len(self._windows) > 5000:
            self._windows = {key: value for key, value in self._windows.items() if now - value[0] < 60}
        return headers


def too_many(retry_after: int) -> ApiError:
    error = fail("Too many requests", status=429)
    error.headers["Retry-After"] = str(retry_after)
    return error
