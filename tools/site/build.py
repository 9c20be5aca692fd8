# SPDX-License-Identifier: GPL-3.0-or-later
"""`make site`: the documentation as static pages in build/site, from the pages of the repository and from the code.

zensical refuses links that lead nowhere, between pages and to headings; what it does not see is looked at here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

from tools.site import reference
from tools.site.source import PICTURES, ROOT, moved, written

HERE = Path(__file__).parent
SOURCE, SITE = ROOT / "build/site-source", ROOT / "build/site"
# The site's own addresses, and what a page may name without a link to it being followed.
_LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}


def _nav(items: list[dict[str, str]]) -> str:
    return "[" + ", ".join(f'{{"{title}" = "{page}"}}' for item in items for title, page in item.items()) + "]"


def write_source() -> None:
    """Everything that zensical reads: pages, pictures and its configuration."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    SOURCE.mkdir(parents=True)
    for path, name in written().items():
        (SOURCE / name).write_text(moved(path.read_text(), path))
    pages, nav = reference.pages()
    for name, text in pages.items():
        (SOURCE / name).write_text(text)
    shutil.copytree(PICTURES, SOURCE / "pictures")
    shutil.copy(HERE / "look.css", SOURCE)
    configuration = (HERE / "zensical.toml").read_text().replace('"@ansible"', _nav(nav))
    # Its paths are meant from where the file is.
    (ROOT / "build/zensical.toml").write_text(configuration.replace('"build/', '"'))


class _Page(HTMLParser):
    """What a page loads by itself, what it links to, and the places in it that can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.places |= {values[name] for name in ("id", "name") if name in values}
        if tag in _LOADED and _LOADED[tag] in values and values.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(values[_LOADED[tag]])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])


def complaints(site: Path = SITE) -> list[str]:
    """What a page loads from elsewhere, and links that lead nowhere in the site."""
    pages = {path: _Page(path) for path in sorted(site.rglob("*.html"))}
    wrong = []
    for path, page in pages.items():
        name = path.relative_to(site)
        wrong += [f"{name} loads {each}" for each in page.loads if re.match(r"(?:\w+:)?//", each)]
        inside = [each for each in (*page.loads, *page.links) if not re.match(r"[\w+]+:|//", each)]
        for each in inside if name.name != "404.html" else []:
            target, _, anchor = each.partition("#")
            there = (path.parent / target).resolve() if target else path
            there = there / "index.html" if there.is_dir() else there
            if not there.is_file() or (anchor and there in pages and anchor not in pages[there].places):
                wrong.append(f"{name} links to {each}, which is not there")
    for path in site.rglob("*.css"):
        found = re.findall(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)", path.read_text())
        wrong += [f"{path.relative_to(site)} loads {each}" for each in found]
    return list(dict.fromkeys(wrong))


def main() -> int:
    zensical = str(Path(sys.argv[1]).absolute())
    write_source()
    shutil.rmtree(SITE, ignore_errors=True)
    done = subprocess.run(
        [zensical, "build", "--strict", "--clean", "-f", "zensical.toml"],
        cwd=ROOT / "build",
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        # It draws in colours, whoever reads it; a traceback of its own says nothing.
        said, _, _trace = re.sub(r"\x1b\[[\d;]*m", "", done.stdout).partition("Traceback")
        print(said, file=sys.stderr)
        return done.returncode
    wrong = complaints()
    for each in wrong:
        print(each, file=sys.stderr)
    if not wrong:
        print(f"{len(list(SITE.rglob('*.html')))} pages: {SITE / 'index.html'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
