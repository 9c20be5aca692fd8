# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pull of an image and a download of weights say while they run and when they fail."""

from __future__ import annotations

import json
import re
from typing import Any

from ..core.bounded import newest, short_lines
from ..core.failure import Failure
from .diagnosis import known_refusal

_LONGEST = 2_000_000
# A pull ends with what went wrong; before it stand thousands of states of layers.
_SAID = 50
_HUB = "https://huggingface.co/"


def gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


# -- images --------------------------------------------------------------------------------------------------------


def _layers(log: str) -> tuple[int, int, int]:
    """How many are fetched, how many of these are unpacked, and how many there are."""
    log = short_lines(newest(log, _LONGEST))
    layers = set(re.findall(r"^(\w+): Pulling fs layer", log, re.MULTILINE))
    done = set(re.findall(r"^(\w+): (?:Pull complete|Already exists)", log, re.MULTILINE))
    fetched = set(re.findall(r"^(\w+): Download complete", log, re.MULTILINE)) | done
    return len(fetched), len(done), len(layers | done)


def pull_phase(log: str) -> str:
    """How many layers are there."""
    fetched, unpacked, total = _layers(log)
    return f"{fetched} of {total} layers fetched, {unpacked} unpacked" if total else "asking the registry"


def pull_progress(log: str) -> dict[str, Any] | None:
    """The same as data; None before the registry has answered. Docker says no bytes where it draws no bars."""
    fetched, _unpacked, total = _layers(log)
    return {"done": fetched, "total": total, "unit": "layers", "rate": None} if total else None


def pull_failure(image: str, log: str) -> tuple[Failure, bool]:
    """Why a pull ended without the image, and whether trying again can help."""
    log = short_lines(newest(log, _LONGEST))
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    cause = lines[-1] if lines else None
    known = known_refusal("\n".join(lines[-_SAID:]))
    if known is not None and known.slug == "disk_full":
        return Failure(
            "limit",
            f"The VM's disk is full, so the image {image} could not be unpacked.",
            cause=cause,
            remedy="Look at it with: docker system df. A larger plan has a larger disk.",
        ), False
    if known is not None and known.slug == "registry_limit":
        return Failure(
            "rate_limited",
            f"The registry refuses more pulls from this address for now, so {image} could not be fetched.",
            cause=cause,
            remedy="Wait for some minutes, or log in to the registry on the VM with: docker login.",
        ), False
    if known is not None and known.slug in ("image_not_found", "image_of_another_machine"):
        return Failure(
            "config",
            f"The registry has no image {image} for this machine, or does not show it to everybody.",
            cause=cause,
            remedy=known.remedy,
            field="image",
            value=image,
        ), False
    return Failure(
        "transient",
        f"The image {image} could not be fetched.",
        cause=cause,
        remedy="Run it again: what was fetched stays.",
    ), True


# -- weights -------------------------------------------------------------------------------------------------------


def events_of(log: str) -> list[dict[str, Any]]:
    """The download's JSON lines of its last run; what libraries print between them is passed over."""
    events: list[dict[str, Any]] = []
    for line in short_lines(newest(log, _LONGEST)).splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and "event" in event:
            if event["event"] == "begin":
                events = []
            events.append(event)
    return events


# Seconds over which the rate of a download is taken.
_RATE_SPAN_S = 30.0


def weights_rate(events: list[dict[str, Any]]) -> float | None:
    """Bytes per second of late, since the last interruption; None when nothing has arrived in that time."""
    shown: list[tuple[float, int]] = []
    for event in reversed(events):
        if event["event"] not in ("progress", "size"):
            break
        shown.append((event["time"], event["done"]))
        if shown[0][0] - event["time"] >= _RATE_SPAN_S:
            break
    if len(shown) < 2 or shown[0][0] <= shown[-1][0] or shown[0][1] <= shown[-1][1]:
        return None
    return (shown[0][1] - shown[-1][1]) / (shown[0][0] - shown[-1][0])


def weights_phase(events: list[dict[str, Any]]) -> str:
    """How much is there, how fast it comes and how long the rest takes."""
    for number, event in reversed(list(enumerate(events))):
        if event["event"] in ("progress", "size"):
            done, total = event["done"], event["total"]
            share = 100 * done // total if total else 100
            text = f"{gigabytes(done)} of {gigabytes(total)} fetched ({share} %)"
            rate = weights_rate(events[: number + 1])
            if rate is None:
                return text
            return f"{text}, {rate / 1e6:.0f} MB/s, {_remaining((total - done) / rate)} left"
        if event["event"] == "retry":
            return f"{event['kind'].replace('_', ' ')}, trying again in {event['seconds']:.0f} s"
        if event["event"] == "done":
            return "fetched"
    return "asking the hub"


def weights_progress(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The same as data, ``rate`` in bytes per second or None; None before the hub has said how much it is."""
    for number, event in reversed(list(enumerate(events))):
        if event["event"] in ("progress", "size"):
            rate = weights_rate(events[: number + 1])
            return {"done": event["done"], "total": event["total"], "unit": "bytes", "rate": rate and round(rate)}
    return None


def _remaining(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def weights_failure(model: str, events: list[dict[str, Any]]) -> Failure | None:
    """The Failure of a download that gave up; None when its last word was none of that."""
    last = events[-1] if events else {}
    if last.get("event") != "failed":
        return None
    kind, cause = last.get("kind"), last.get("message")
    page = f"{_HUB}{model}"
    if kind == "gated":
        return Failure(
            "auth",
            f"The model {model} is gated: its licence has to be accepted first.",
            cause=cause,
            remedy=f"Accept it at {page}, set HF_TOKEN to a token of that account and run it again.",
            field="model",
            value=model,
        )
    if kind == "unauthorized":
        return Failure(
            "auth",
            "The Hugging Face token is not valid.",
            cause=cause,
            remedy="Create a token with read access at https://huggingface.co/settings/tokens and set HF_TOKEN.",
            field="HF_TOKEN",
        )
    if kind == "forbidden":
        return Failure(
            "auth",
            f"The Hugging Face token does not open the model {model}.",
            cause=cause,
            remedy="Give the token read access to gated repositories and set HF_TOKEN.",
            field="HF_TOKEN",
        )
    if kind in ("not_found", "revision"):
        what = f"The model {model}" if kind == "not_found" else f"That revision of the model {model}"
        return Failure(
            "config",
            f"{what} does not exist on the Hugging Face Hub, or is private.",
            cause=cause,
            remedy="Check the repository's name (organisation/name); for a private one set HF_TOKEN.",
            field="model",
            value=model,
        )
    if kind in ("disk_full", "disk_too_small"):
        return Failure(
            "limit",
            f"The VM's disk is too small for the weights of {model}.",
            cause=cause,
            remedy="Remove models that are not served from /var/lib/linode-coder/models, or take a plan with a larger disk.",
        )
    if kind == "local":
        return Failure(
            "unhealthy",
            f"The VM cannot write the weights of {model}.",
            cause=cause,
            remedy="Look at /var/lib/linode-coder/models on the VM: who owns it, and whether its disk is sound.",
        )
    if kind == "damaged":
        return Failure(
            "transient",
            f"The weights of {model} arrive damaged again and again.",
            cause=cause,
            remedy="Run it again later; what arrived sound stays.",
        )
    if kind == "rate_limited":
        return Failure(
            "rate_limited",
            "The Hugging Face Hub refuses more downloads from this address for now.",
            cause=cause,
            remedy="Set HF_TOKEN, which raises the limit, or wait for some minutes; what was fetched stays.",
        )
    return Failure(
        "transient",
        f"The weights of {model} could not be fetched from the Hugging Face Hub.",
        cause=cause,
        remedy="Run it again: it goes on where it stopped.",
    )
