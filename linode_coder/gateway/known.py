"""Which sessions the gateway may be asked for: those that exist, those that this machine has settings of, those that are configured."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import api_key_path

from ..local import wake
from ..local.unrecorded import recorded
from .routing import Known
from .wakes import gateway_dir

# How long an answer of the account is good enough for a list.
_FRESH_S = 30.0
_NAMES, _NAME = 20, 300


def _names_file() -> Path:
    return gateway_dir() / "names.json"


def _names() -> dict[str, list[str]]:
    """By session: what its engine called its model when it was last asked."""
    try:
        found = json.loads(_names_file().read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: served(value) for key, value in found.items() if isinstance(value, list)}


def served(names: Any) -> list[str]:
    """Names as an engine may have them."""
    rows = names if isinstance(names, list) else []
    return [one for one in rows if isinstance(one, str) and 0 < len(one) <= _NAME and one.isprintable()][:_NAMES]


class Directory:
    """``look`` asks the account for all sessions, and may fail: what is known without it holds then."""

    def __init__(self, look: Callable[[], list[dict[str, Any]]], configured: Sequence[str]) -> None:
        self._look, self._configured = look, tuple(configured)
        self._views: list[dict[str, Any]] = []
        self._at: float | None = None

    def refresh(self, at_once: bool = False) -> None:
        """Blocks; at most once in half a minute."""
        now = time.monotonic()
        if at_once or self._at is None or now - self._at > _FRESH_S:
            self._at = now
            try:
                self._views = self._look()
            except (Failure, OSError):
                return

    def known(self) -> list[Known]:
        """By name: sessions whose key this machine has, that it could make, or that were taken down here."""
        settings, names = wake.remembered(), _names()
        there = {str(view["name"]): view for view in self._views if view["name"] and view["complete"]}
        ours = {name for name in there if name in settings or api_key_path(name).exists()}
        found = []
        for name in sorted(ours | set(settings) | set(self._configured)):
            one = settings.get(name)
            models = list(names.get(name, []))
            models += [str(there[name]["model"])] if name in there else []
            if one is not None:
                models += [one.model] if one.model else []
                models += [str(one.options[key]) for key in ("model", "variant") if key in one.options]
                models += [word for text in one.options.get("alias", []) for word in text.split(",") if word != "off"]
            unique = tuple(dict.fromkeys(word for word in models if word))
            awake = name in there and there[name]["status"] == "running"
            found.append(Known(name, unique, awake, one is not None and one.ended and name not in there))
        return found

    def may_wake(self, name: str) -> wake.Settings:
        """How to make it again; Failure(refused) for one that a person has ended, or that nothing is known of."""
        settings = wake.read(name)
        if settings is not None and settings.ended:
            raise Failure(
                "refused",
                f"Session {name!r} was taken down by `linode-coder down`, so the gateway does not start it.",
                remedy=f"Start it yourself: linode-coder up {name}",
                field="gateway_ended",
                value=name,
            )
        if settings is None and name not in self._configured:
            raise Failure(
                "not_found",
                f"Session {name!r} is gone, and this machine does not know how it was made.",
                remedy=f"Make it: linode-coder up {name}. Or name it in `sessions` under [gateway] in config.toml.",
                field="session",
                value=name,
            )
        return settings or wake.Settings()

    @staticmethod
    def serves(name: str, names: Sequence[str]) -> None:
        """Remember what an engine calls its model."""
        known = _names()
        if known.get(name) != list(names):
            with recorded():
                replace_file(_names_file(), json.dumps({**known, name: list(names)}) + "\n", parents=True)
