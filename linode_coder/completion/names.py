"""The names that this machine remembers: sessions and runs from the history, models and plans as packaged, regions as last read.

Where the history is on a server nobody asks it at the press of a key: then it is the sessions that this machine keeps files of.

They come from an account and from a hub: only what is no syntax of any shell is offered.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .table import MODELS, PLANS

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/@+-")
_PLAIN = _SAFE | frozenset(" ,()")
# Bytes of a file with regions: there are fifty.
_MOST = 64 * 1024


def safe(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without names that a shell or a terminal could take for more, each once; descriptions lose what is no plain text."""
    found: dict[str, str] = {}
    for name, text in pairs:
        if name and not name.startswith("-") and _SAFE.issuperset(name):
            found.setdefault(name, "".join(char for char in text if char in _PLAIN))
    return list(found.items())


def _home(kind: str, variable: str, default: str) -> Path:
    """As core/paths.py has it, without its imports."""
    home = os.environ.get("LINODE_CODER_HOME")
    if home:
        return Path(home).expanduser() / kind
    return Path(os.environ.get(variable) or Path.home() / default) / "linode-coder"


def regions_file() -> Path:
    """Where the regions that an account offers are remembered: lines of an id, a tabulator and what people call it."""
    return _home("state", "XDG_STATE_HOME", ".local/state") / "regions"


def _on_a_server() -> bool:
    """Whether the file of this machine is no history any more."""
    if os.environ.get("LINODE_CODER_HISTORY_URL"):
        return True
    try:
        with (_home("config", "XDG_CONFIG_HOME", ".config") / "config.toml").open(
            encoding="utf-8", errors="replace"
        ) as file:
            return any(line.lstrip().startswith("history_url") for line in file.read(_MOST).splitlines())
    except OSError:
        return False


def _recorded(query: str) -> list[tuple[str, ...]]:
    """Rows of the history; none while it is being written."""
    import sqlite3

    path = _home("state", "XDG_STATE_HOME", ".local/state") / "history.sqlite3"
    if not path.is_file() or _on_a_server():
        return []
    connection = None
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.05)
        return [tuple(str(value or "") for value in row) for row in connection.execute(query)]
    except sqlite3.Error:
        return []
    finally:
        if connection is not None:
            connection.close()


def _sessions() -> list[tuple[str, str]]:
    # Enough for a large team: what was typed of a name is compared later, and an older one has to be among them.
    rows = _recorded("SELECT name, model, region FROM sessions WHERE ended IS NULL ORDER BY id DESC LIMIT 5000")
    found = [(name, f"{model} in {region or '?'}") for name, model, region in rows]
    if not found and _on_a_server():
        kept = _home("state", "XDG_STATE_HOME", ".local/state") / "sessions"
        found = [(each.name, "") for each in sorted(kept.glob("*")) if each.is_dir()]
    return found


def _runs() -> list[tuple[str, str]]:
    rows = _recorded("SELECT run, session, severity FROM perf_runs ORDER BY id DESC LIMIT 200")
    found = [(run, f"{name}, {severity}") for run, name, severity in rows]
    return [("last", "the newest run"), ("baseline", ""), *found] if found else []


def _regions() -> list[tuple[str, str]]:
    try:
        with regions_file().open(encoding="utf-8", errors="replace") as file:
            lines = file.read(_MOST).splitlines()
    except OSError:
        return []
    parts = [line.partition("\t") for line in lines]
    return [(name, text) for name, _tab, text in parts]


def remembered(kind: str) -> list[tuple[str, str]]:
    """Names of a kind (session, run, model, plan or region), each with what it is."""
    if kind == "session":
        return safe(_sessions())
    if kind == "run":
        return safe(_runs())
    if kind == "region":
        return safe(_regions())
    return safe((name, "") for name in {"model": MODELS, "plan": PLANS}.get(kind, ()))
