"""What `up`, `list`, `down` and `cost` say of warm volumes."""

from __future__ import annotations

from typing import Any

from ..terminal.console import money


def describe(quote: dict[str, Any] | None) -> list[str]:
    """What a quote says of it, for people: price first, since it bills on without a VM."""
    if quote is None:
        return []
    name, size = quote["name"], quote["size_gb"]
    price = f"{size} GB, {money(quote['monthly'])} a month" if size else "unknown"
    if quote["new"]:
        return [
            f"warm     a new volume {name} ({price}) bills until `linode-coder warm drop {name}`, with or without a VM"
        ]
    if quote["sentence"]:
        return [f"warm     {quote['sentence']}"]
    if quote["state"] == "attached":
        return [f"warm     the volume {name} ({price}) is this session's"]
    state = "nothing of it is fetched" if quote["filled"] else "it is filled by this session"
    return [f"warm     the volume {name} in {quote['region']} ({price}) holds this model, and {state}"] if size else []


def describe_started(warm: dict[str, Any] | None) -> list[str]:
    """What a session started from, and why it did not."""
    if not warm:
        return []
    volume, lines = warm.get("volume"), []
    if warm.get("mounted") and volume:
        lines.append(
            f"warm      {volume['name']}, {volume['size_gb']} GB, {money(volume['monthly'])} a month until `warm drop`"
        )
    return lines + ([f"warm      {warm['sentence']}"] if warm.get("sentence") else [])


def stays(volume: dict[str, Any]) -> str:
    """One that bills without a VM."""
    return (
        f"The warm volume {volume['name']} stays: {money(volume['monthly'])} a month until `linode-coder warm drop "
        f"{volume['name']}`."
    )


def one_line(volume: dict[str, Any]) -> str:
    """A volume among sessions."""
    used = f"in use by {volume['attached_to']}" if volume["attached_to"] else "in no use"
    return (
        f"kept warm: {volume['name']} ({volume['model'] or 'model unknown'} in {volume['region']}), {volume['size_gb']} GB, "
        f"{money(volume['monthly'])} a month, {used}"
    )
