"""The account of a snapshot in its new place: its clocks go on where they stood, its hosts have addresses of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import decode, moved

from .api.envelope import stamp, unstamp
from .api.store import Store
from .hosts.addresses import Addresses, is_host_address

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def sessions(state: Path) -> list[str]:
    """The names that the tags of its instances tell."""
    store = Store(state)
    try:
        names = {decode(record["api"]["tags"]).session for record in store.table("instance").values()}
    finally:
        store.close()
    return sorted(name for name in names if name)


def settle(directory: Path, seconds: int) -> None:
    """Change what lies in `directory`, that of a sandbox which does not run: every time of the account is `seconds` later,
    and every host has a new address."""
    hosts = directory / "hosts"
    addresses = _NewAddresses(hosts)
    store = Store(directory / "state.sqlite")
    try:
        for kind in store.kinds():
            for key, record in list(store.table(kind).items()):
                store.put(kind, key, _settled(record, seconds, addresses))
        numbers = list(store.table("instance"))
    finally:
        store.close()
    for number in numbers:
        addresses.rewrite(hosts / str(number) / "root/etc", "hosts")


def _settled(value: Any, seconds: int, addresses: _NewAddresses) -> Any:
    if isinstance(value, dict):
        changed = {key: _settled(inner, seconds, addresses) for key, inner in value.items()}
        if isinstance(value.get("tags"), list):
            changed["tags"] = moved(value["tags"], seconds)
        if isinstance(value.get("began"), float):  # of an event that is not over
            changed["began"] = value["began"] + seconds
        return changed
    if isinstance(value, list):
        return [_settled(inner, seconds, addresses) for inner in value]
    if isinstance(value, str):
        return stamp(unstamp(value) + seconds) if _MOMENT.fullmatch(value) else addresses.instead_of(value)
    return value


class _NewAddresses:
    """A new address for each old one, the same wherever the old one is named."""

    def __init__(self, hosts: Path) -> None:
        self._pool = Addresses(hosts / "addresses.json") if hosts.is_dir() else None
        self._instead: dict[str, str] = {}

    def instead_of(self, text: str) -> str:
        """Of an address of a host; any other text stays as it is."""
        if self._pool is None or not is_host_address(text):
            return text
        if text not in self._instead:
            self._instead[text] = self._pool.allocate()
        return self._instead[text]

    def rewrite(self, directory: Path, name: str) -> None:
        """In a file of a host. What is a link there leads somewhere else here."""
        path = directory / name
        if path.is_symlink() or directory.is_symlink() or directory.parent.is_symlink() or not path.is_file():
            return
        text = path.read_text()
        for old, new in self._instead.items():
            text = re.sub(rf"(?<![\d.]){re.escape(old)}(?![\d.])", new, text)
        path.write_text(text)
