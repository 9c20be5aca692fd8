"""What `up` has to be told to make a session again: a file for each, written when `up` succeeds, of the options that were typed.

What was not typed comes from the configuration, as it did then. There is no secret in it: a key is named by its file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import session_dir, state_dir
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import validate_session_name

from .unrecorded import recorded

_SCHEMA, _FILE = 1, "wake.json"
# Characters of a text in it, and texts of a list: more is not ours.
_TEXT, _LIST = 500, 100
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}", re.ASCII)
_PLAN = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _TEXT and value.isprintable()


def _texts(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= _LIST and all(map(_text, value))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


# Options of `up` that say what a session is, by their names in Python.
OPTIONS: dict[str, Callable[[Any], bool]] = {
    "model": _text,
    "variant": _text,
    "context": _text,
    "tensor_parallel": lambda value: _number(value) and isinstance(value, int),
    "alias": _texts,
    "traces": _text,
    "plan": _texts,
    "region": _texts,
    "lease": _text,
    "cap": _text,
    "idle": _text,
    "max_cost": _number,
    "authorized_key": _texts,
    "ssh_from": _texts,
    "dead_man": _flag,
    "webui": _flag,
    "keep_warm": _flag,
    "group": _text,
}


@dataclass(frozen=True)
class Settings:
    """``options`` are those of `up`; ``model`` is what it served last; ``ended``: a person has taken it down since."""

    options: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    ended: bool = False


def _file(name: str) -> Path:
    return session_dir(name) / _FILE


def read(name: str) -> Settings | None:
    """None when nothing is known, or the file is not as we write it: nothing is made of half of what somebody wanted."""
    try:
        found = json.loads(_file(name).read_text())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("schema") != _SCHEMA:
        return None
    options, model, ended = found.get("options"), found.get("model"), found.get("ended")
    if not isinstance(options, dict) or not isinstance(ended, bool) or not (model is None or _text(model)):
        return None
    if not all(key in OPTIONS and OPTIONS[key](value) for key, value in options.items()):
        return None
    return Settings(options, model, ended)


def _write(name: str, settings: Settings) -> None:
    document = {
        "schema": _SCHEMA,
        "options": settings.options,
        "model": settings.model,
        "ended": settings.ended,
    }
    with recorded():
        replace_file(_file(name), json.dumps(document, indent=1) + "\n", parents=True)


def came_up(view: Mapping[str, Any], typed: Mapping[str, Any], made: bool) -> None:
    """`up` has succeeded with the options that were ``typed``; ``made``: it made the session, which existed before otherwise."""
    given = {key: value for key, value in typed.items() if value not in (None, [], ())}
    if not made:
        before = read(view["name"])
        # Whoever made it said more than whoever finds it.
        known = before.options if before else _as_tagged(view)
        given = {**known, **given}
    _write(view["name"], Settings(given, view["model"]))


def switched(view: Mapping[str, Any], typed: Mapping[str, Any]) -> None:
    """Another model is served: what was said of the one before does not hold for it."""
    before = read(view["name"])
    about_model = ("model", "variant", "context", "tensor_parallel", "alias")
    kept = {} if before is None else {key: value for key, value in before.options.items() if key not in about_model}
    given = {key: value for key, value in typed.items() if value not in (None, [], ())}
    _write(view["name"], Settings({**_as_tagged(view), **kept, **_model_of(view), **given}, view["model"]))


def _model_of(view: Mapping[str, Any]) -> dict[str, Any]:
    """What the tags say that it serves, if that can be the name of a repository: it becomes a word of a command."""
    model = view["model"]
    return {"model": model} if isinstance(model, str) and _REPOSITORY.fullmatch(model) else {}


def _as_tagged(view: Mapping[str, Any]) -> dict[str, Any]:
    """What can be told of a session that this machine has not made."""
    plan = {"plan": [view["plan"]]} if _PLAN.fullmatch(str(view["plan"])) else {}
    return {**plan, **_model_of(view), **_group_of(view)}


def _group_of(view: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {"group": validate_session_name(view["group"])} if view.get("group") else {}
    except Failure:
        return {}


def taken_down(name: str) -> None:
    """A person wants it gone: the settings are forgotten, and that it is not to come back by itself is not."""
    if session_dir(name).is_dir():
        _write(name, Settings(ended=True))


def remembered() -> dict[str, Settings]:
    """Of every session that this machine has settings of."""
    found = {}
    for path in (state_dir() / "sessions").glob(f"*/{_FILE}"):
        name = path.parent.name
        try:
            validate_session_name(name)
        except Failure:
            continue
        settings = read(name)
        if settings is not None:
            found[name] = settings
    return found
