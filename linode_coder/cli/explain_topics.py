"""What `linode-coder explain` knows: errors, exit codes, checks, rungs, causes and Xids by their names, and the pages with their
sections. Texts are Markdown, from the pages that come with the package and from the rows that healing and checks read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ansible_collections.linode_coder.gpu.plugins.module_utils.core import failure as failures
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import EXIT_CODES, Failure

from ..terminal.markdown import slug

DOCS = Path(failures.__file__).parents[3] / "docs"
_ANCHOR = re.compile(r'<a id="([^"]+)"></a>\n')


class Topic(NamedTuple):
    """``name`` is what is asked for, ``text`` is Markdown, ``page`` the one that has more, without its ending."""

    name: str
    text: str
    page: str


def _page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def _anchored(page: str) -> dict[str, str]:
    """Sections by the anchor that stands before their heading."""
    _before, *parts = _ANCHOR.split(page)
    return {anchor: text.strip() for anchor, text in zip(parts[::2], parts[1::2], strict=True)}


def _errors() -> Iterator[Topic]:
    for anchor, text in _anchored(_page("errors")).items():
        yield Topic(anchor, text, "errors")


def _exit_codes() -> Iterator[Topic]:
    page = _page("errors")
    sections = _anchored(page)
    for codes, said in re.findall(r"^\| ([\d, ]+) \| (.+) \|$", page, re.MULTILINE):
        for code in re.findall(r"\d+", codes):
            kinds = [kind for kind, number in EXIT_CODES.items() if number == int(code)]
            text = [f"# Exit code {code}"]
            text += [sections[Failure(kind, "").anchor] for kind in kinds] or [f"{said[0].upper()}{said[1:]}."]
            yield Topic(f"exit-{code}", "\n\n".join(text), "errors")


def _sections(name: str) -> Iterator[Topic]:
    text = _page(name)
    yield Topic(name, text, name)
    parts = re.split(r"^(##+) (.+)\n", text, flags=re.MULTILINE)[1:]
    headings = list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))
    for place, (depth, heading, body) in enumerate(headings):
        under = [f"{depth} {heading}\n{body}"]
        # What is deeper belongs to it.
        for deeper, title, more in headings[place + 1 :]:
            if len(deeper) <= len(depth):
                break
            under.append(f"{deeper} {title}\n{more}")
        yield Topic(f"{name}#{slug(heading)}", "".join(under), name)


def _pages() -> Iterator[Topic]:
    for path in sorted(DOCS.glob("*.md")):
        yield from _sections(path.stem)


def _rungs_of(ladder: Iterable[str]) -> str:
    names = [f"`{rung}`" for rung in ladder]
    return f"What healing may do, in this order: {', '.join(names)}." if names else "Healing does nothing about it."


def _checks() -> Iterator[Topic]:
    from ansible_collections.linode_coder.gpu.plugins.module_utils.health.catalogue import CHECKS

    for check in CHECKS.values():
        said = [f"- {word}: {check.said(text)}" for word, text in _severities(check)]
        parts = [f"# {check.id}", f"{check.what}: {check.said(check.how)}.", "\n".join(said)]
        parts += [f"Do: {check.remedy}"] if check.remedy else []
        yield Topic(check.id, "\n\n".join([*parts, _rungs_of(check.ladder)]), "checks")


def _severities(check: object) -> list[tuple[str, str]]:
    fields = (("pass", "passes"), ("warn", "warns"), ("fail", "fails"), ("unknown", "unknowns"))
    return [(word, getattr(check, name)) for word, name in fields]


def _rungs() -> Iterator[Topic]:
    from ansible_collections.linode_coder.gpu.plugins.module_utils.core.rungs import RUNGS

    for rung in RUNGS:
        parts = [f"# {rung.id}", f"A rung of healing: {rung.does}.", f"What it takes from you: {rung.takes}."]
        asks = "It is taken only after a question." if rung.asks else "It is taken without a question."
        parts.append(f"Healing takes it with `--max-rung {rung.cap}` or further. {asks}")
        yield Topic(rung.id, "\n\n".join(parts), "healing")


def _xids() -> Iterator[Topic]:
    from ansible_collections.linode_coder.gpu.plugins.module_utils.health.xid_catalogue import XIDS

    for xid in XIDS.values():
        parts = [f"# Xid {xid.code}: {xid.name}", f"Weight: {xid.severity}. {_rungs_of(xid.ladder)}"]
        yield Topic(f"xid-{xid.code}", "\n\n".join([*parts, *([f"Note: {xid.note}."] if xid.note else [])]), "checks")


def _causes() -> Iterator[Topic]:
    from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.causes import CAUSES
    from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.causes_container import ENDINGS

    for cause in dict.fromkeys((*CAUSES, *ENDINGS)):
        # What is in braces is quoted from a log, of which there is none here.
        summary = re.sub(r"\{\w+\}", "...", cause.summaries[-1])
        parts = [f"# {cause.id}", f"Why an engine does not run: {summary}", f"Do: {cause.remedy}"]
        yield Topic(cause.id, "\n\n".join([*parts, _rungs_of(cause.ladder)]), "healing")


KINDS: dict[str, Callable[[], Iterator[Topic]]] = {
    "errors": _errors,
    "exit codes": _exit_codes,
    "pages": _pages,
    "checks": _checks,
    "rungs": _rungs,
    "Xids": _xids,
    "causes of a failed engine": _causes,
}


def _meant(word: str) -> list[str]:
    """Names that it may stand for: `error-usage` also as `usage`, `exit-7` as `7`, `xid-79` as `Xid 79`."""
    word = word.strip().removeprefix("#").lower()
    dashed = re.sub(r"[\s_]+", "-", word)
    exact = dashed if "#" in dashed else dashed.removesuffix(".md")
    return [exact, word, f"error-{dashed}", f"exit-{dashed}", re.sub(r"\.md#", "#", exact), dashed.replace("-", "_")]


def topic(word: str) -> Topic | None:
    """What the word names; of an error and a cause of one name both, in one text."""
    meant = _meant(word)
    found: list[Topic] = []
    for read in KINDS.values():
        known = {each.name: each for each in read()}
        found += [known[name] for name in dict.fromkeys(meant) if name in known][:1]
    return found[0]._replace(text="\n\n".join(each.text for each in found)) if found else None


def names() -> dict[str, list[str]]:
    """All names by kind."""
    return {kind: [each.name for each in read()] for kind, read in KINDS.items()}
