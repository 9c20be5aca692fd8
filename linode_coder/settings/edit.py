"""How the wizard's answers get into config.toml."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure


def changed_text(path: Path, answers: dict[str, Any]) -> tuple[str, str]:
    """The file's text before and after. Comments and whatever else is in it stay; an answer of None removes its key."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    before = path.read_text(encoding="utf-8") if path.exists() else ""
    try:
        document = tomlkit.parse(before)
    except TOMLKitError as error:
        raise Failure(
            "config",
            f"{path} is not TOML, so it is not changed.",
            cause=str(error),
            remedy="Name its errors: linode-coder config validate",
        ) from error
    for key, value in answers.items():
        if value is None:
            document.pop(key, None)
        elif document.get(key) != value:
            document[key] = value
    return before, tomlkit.dumps(document)


def difference(path: Path, before: str, after: str) -> list[str]:
    """Unified, without the secrets that the file may hold."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), str(path), str(path), lineterm="", n=1)
    secret = ("token", "_url")
    return [
        f"{line.partition('=')[0]}= ********" if any(word in line.partition("=")[0] for word in secret) else line
        for line in lines
    ]
