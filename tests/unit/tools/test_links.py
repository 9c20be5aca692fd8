# SPDX-License-Identifier: GPL-3.0-or-later
"""Links of the pages lead somewhere, here and where the package index shows README.md; what the site shows is small and self-contained."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from linode_coder.terminal.markdown import links, slug
from tools.site.build import complaints
from tools.site.source import BLOB, DOCS, PICTURES, RAW, REPOSITORY, ROOT, TREE, moved, written

PAGES = sorted(path for path in written() if path != ROOT / "tools/site/index.md")
CODE = re.compile(r"^```[\s\S]*?^```|^ {4}[^\n]*$|`[^`\n]+`", re.MULTILINE)


def places(page: Path) -> set[str]:
    """Anchors of a page, as the repository's host makes them."""
    text = re.sub(r"^```[\s\S]*?^```", "", page.read_text(), flags=re.MULTILINE)
    return {slug(each) for each in re.findall(r"^#+ (.+)$", text, re.MULTILINE)} | set(
        re.findall(r'<a id="([^"]+)">', text)
    )


def broken(page: Path, text: str) -> list[str]:
    wrong = []
    for link in links(CODE.sub("", text)):
        target = link
        for base in (BLOB, TREE, RAW):
            if link.startswith(base):
                target = str(Path(*[".."] * len(page.parent.relative_to(ROOT).parts)) / link.removeprefix(base))
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in places(there)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page, page.read_text()) == []


def test_every_page_of_the_collection_is_in_the_navigation() -> None:
    text = (ROOT / "tools/site/zensical.toml").read_text()
    assert [page.name for page in DOCS.glob("*.md") if f'= "{page.name}"' not in text] == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = ROOT / "README.md"
    text = "[a](no.md) [b](ARCHITECTURE.md#nothing) [c](ARCHITECTURE.md#layers) [d](#nothing) ![e](tools/no.svg) `[f](no.md)`"
    assert broken(page, text) == ["no.md", "ARCHITECTURE.md#nothing", "#nothing", "tools/no.svg"]
    assert broken(page, f"[a]({BLOB}README.md) [b]({BLOB}no.md)") == [f"{BLOB}no.md"]


def test_the_package_index_can_follow_the_links_of_the_readme() -> None:
    """It shows README.md alone: what is beside it has to be named with the repository's host."""
    text = CODE.sub("", (ROOT / "README.md").read_text())
    assert [link for link in links(text) if not link.startswith(("https://", "#"))] == []
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert urls["Repository"] == REPOSITORY and all(url.startswith(REPOSITORY) for url in urls.values())
    assert f"repository: {REPOSITORY}\n" in (DOCS.parent / "galaxy.yml").read_text()


@pytest.mark.parametrize("name", ["demo", "list", "status", "up"])
def test_a_picture_is_small_and_loads_nothing(name: str) -> None:
    path = PICTURES / f"{name}.svg"
    text = path.read_text()
    assert len(text.encode()) <= 150_000
    ElementTree.fromstring(text)
    assert "<script" not in text and not re.search(r"(?:href|src|url\()\W*(?:https?:)?//", text)


@pytest.mark.parametrize(
    ("html", "said"),
    [
        ('<a href="b.html#there">x</a><img src="p.svg">', ""),
        ('<a href="c.html">x</a>', "c.html, which is not there"),
        ('<a href="b.html#nowhere">x</a>', "b.html#nowhere, which is not there"),
        ('<img src="q.svg">', "q.svg, which is not there"),
        ('<script src="https://elsewhere.example/x.js"></script>', "loads https://elsewhere.example/x.js"),
        ('<link rel="stylesheet" href="//elsewhere.example/x.css">', "loads //elsewhere.example/x.css"),
    ],
)
def test_what_is_wrong_in_a_site_is_said(tmp_path: Path, html: str, said: str) -> None:
    (tmp_path / "a.html").write_text(html)
    (tmp_path / "b.html").write_text('<h2 id="there">x</h2>')
    (tmp_path / "p.svg").write_text("<svg/>")
    found = complaints(tmp_path)
    assert (len(found) == 1 and found[0].endswith(said)) if said else found == []


def test_links_of_a_page_lead_to_pages_of_the_site() -> None:
    page = DOCS / "sandbox.md"
    text = "[a](errors.md#error-usage) [b](../../../../../CONTRIBUTING.md#tiers) [c](../galaxy.yml) `[d](x.md)`\n"
    assert moved(text, page) == (
        "[a](errors.md#error-usage) [b](contributing.md#tiers) "
        f"[c]({BLOB}collections/ansible_collections/linode_coder/gpu/galaxy.yml) `[d](x.md)`\n"
    )
    with pytest.raises(ValueError, match=r"nothing is at x\.md"):
        moved("[a](x.md)", page)


def test_lists_are_written_as_the_renderer_wants_them() -> None:
    text = "Words:\n* one\n  goes on\n\n      code\n\n1. first\n\n       code\n\nwords\n"
    assert moved(text, DOCS / "sandbox.md") == (
        "Words:\n\n* one\n    goes on\n\n        code\n\n1. first\n\n        code\n\nwords\n"
    )
