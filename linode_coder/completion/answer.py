"""What may come next on a command line: `linode-coder __complete SHELL WORD...`, the last word being the one to complete.

It runs at every press of a key, so it imports next to nothing: the commands are in a table that is made from them.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from .table import TABLE

# Instead of candidates: the shell offers files.
FILES = ":files"


class Candidate(NamedTuple):
    """A word and what it is."""

    word: str
    text: str


def _value(kind: str | tuple[str, ...], names: Any) -> list[Candidate] | str:
    """What an option or an argument of this kind may be; ``names`` gives those that this machine remembers."""
    if isinstance(kind, tuple):
        return [Candidate(word, "") for word in kind]
    if kind == "file":
        return FILES
    return [Candidate(*pair) for pair in names(kind)] if kind else []


def _last(value: str) -> tuple[str, str]:
    """Of a list with commas: what stands, and what is being written."""
    before, comma, rest = value.rpartition(",")
    return before + comma, rest


def candidates(words: list[str], names: Any) -> list[Candidate] | str:
    """What may stand in the place of the last of ``words``, which follow the program's name; FILES for any file.

    ``names`` takes a kind (session, run, model, plan, region) and gives pairs of a name and a description.
    """
    *before, current = words or [""]
    node, place, waiting = TABLE, 0, None
    for word in before:
        if word == "--":
            return FILES
        if waiting is not None:
            waiting = None
        elif word.startswith("-") and word != "-":
            option = node["options"].get(word)
            waiting = option["value"] if option and option["value"] is not None else None
        elif word in node["commands"]:
            node, place = node["commands"][word], 0
        else:
            place += 1
    if waiting is not None:
        return _of_value(waiting, current, "", names)
    name, equals, value = current.partition("=")
    if current.startswith("--") and equals:
        option = node["options"].get(name)
        return _of_value(option["value"], value, name + "=", names) if option and option["value"] is not None else []
    if current.startswith("-"):
        seen = {word.partition("=")[0] for word in before}
        return [
            Candidate(name, option["help"])
            for name, option in node["options"].items()
            if name.startswith(current) and (option["many"] or name not in seen)
        ]
    found = [Candidate(name, below["help"]) for name, below in node["commands"].items()]
    if node["arguments"]:
        if place < len(node["arguments"]):
            more = _value(node["arguments"][place], names)
            if isinstance(more, str):
                return more
            found += more
            # Where the session may be left out, what follows it may stand there.
            if place == 0 and node["optional"] and len(node["arguments"]) > 1:
                after = _value(node["arguments"][1], names)
                found += after if not isinstance(after, str) else []
        elif not node["commands"]:
            return []
    return [candidate for candidate in found if candidate.word.startswith(current)]


def _of_value(kind: str | tuple[str, ...], current: str, prefix: str, names: Any) -> list[Candidate] | str:
    found = _value(kind, names)
    if isinstance(found, str):
        return found
    stands, written = _last(current)
    return [
        Candidate(prefix + stands + candidate.word, candidate.text)
        for candidate in found
        if candidate.word.startswith(written)
    ]


def joined(words: list[str]) -> tuple[list[str], int]:
    """Bash takes --option=value for three words: they are one. With it, how much of the last word bash itself has written."""
    whole: list[str] = []
    for word in words:
        if word == "=" and whole and whole[-1].startswith("--"):
            whole[-1] += "="
        elif whole and whole[-1].startswith("--") and whole[-1].endswith("="):
            whole[-1] += word
        else:
            whole.append(word)
    last = whole[-1] if whole else ""
    return whole, len(last.partition("=")[0]) + 1 if last.startswith("--") and "=" in last else 0


def main(arguments: list[str]) -> int:
    """Candidates, one a line, with a tabulator before what they are."""
    from .names import remembered

    shell, words = (arguments[0], arguments[1:]) if arguments else ("", [])
    written = 0
    if shell == "bash":
        words, written = joined(words)
    found = candidates(words, remembered)
    if isinstance(found, str):
        lines = [found]
    elif shell == "bash":
        lines = [candidate.word[written:] for candidate in found]
    else:
        lines = [f"{candidate.word}\t{candidate.text}" for candidate in found]
    sys.stdout.write("".join(line + "\n" for line in lines))
    return 0
