# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vllm.yaml: the engine's flags as a flat file that vLLM reads with ``--config`` and a person can edit.

One ``flag-name: value`` a line, the value a JSON scalar or one line of JSON, which is YAML too; ``#`` begins a comment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..core.failure import Failure

_LINE = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):(?:[ \t]+(.*))?")
# A word without quotes, as people write YAML.
_PLAIN = re.compile(r"[A-Za-z0-9/._~+-][^#\"'{}\[\]]*")
_COMMENT = re.compile(r"\s#")
_WORDS = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False, "null": None, "~": None}
# What JSON leaves as it is and YAML does not take.
_UNPRINTABLE = re.compile("[\x7f-\x84\x86-\x9f\u0085\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def _refuse(number: int, line: str, why: str) -> Failure:
    return Failure(
        "config",
        f"Line {number} of vllm.yaml {why}: {line.strip()[:80]}",
        remedy="Write one flag-name: value a line, the value a number, true, false, a quoted text or one line of JSON.",
        field="vllm.yaml",
        value=line,
    )


def _plain(text: str) -> str | None:
    """A word without quotes, a comment after it left out."""
    comment = _COMMENT.search(text)
    word = (text[: comment.start()] if comment else text).rstrip()
    return word if _PLAIN.fullmatch(word) else None


def _value(text: str) -> Any:
    """ValueError when it is neither JSON nor a plain or single-quoted word; a comment may follow."""
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        quoted = re.fullmatch(r"'((?:[^']|'')*)'\s*(?:#.*)?", text)
        if quoted:
            return quoted.group(1).replace("''", "'")
        word = _plain(text)
        if word is None or re.search(r":\s|:$", word):
            raise
        return _WORDS.get(word.lower(), word)
    rest = text[end:]
    if rest.strip() and not re.match(r"\s+#", rest):
        if text[0] not in '"{[':
            word = _plain(text)
            if word is not None:
                return word
        raise ValueError("something follows the value")
    return value


def parse(text: str) -> dict[str, Any]:
    """The flags in the file's order; Failure(config) naming the line that cannot be read."""
    flags: dict[str, Any] = {}
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if not line.strip() or line.lstrip().startswith("#") or line.strip() == "---":
            continue
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            raise _refuse(number, line, "is not a flag with its value")
        name, given = match.group(1), (match.group(2) or "").strip()
        if name in flags:
            raise _refuse(number, line, f"sets {name} a second time")
        if not given:
            raise _refuse(number, line, "has no value")
        try:
            flags[name] = _value(given)
        except ValueError as error:
            raise _refuse(number, line, "has a value that cannot be read") from error
    return flags


def render(flags: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> str:
    """The file's text. ``comments`` are put above their flags, the one of "" above everything."""
    comments = comments or {}
    lines = [f"# {line}" for line in comments.get("", "").splitlines()]
    for name, value in flags.items():
        if not _LINE.fullmatch(f"{name}:"):
            raise ValueError(f"not the name of a flag: {name!r}")
        lines += [f"# {line}" for line in comments.get(name, "").splitlines()]
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        lines.append(f"{name}: " + _UNPRINTABLE.sub(lambda match: f"\\u{ord(match.group()):04x}", text))
    return "\n".join(lines) + "\n"
