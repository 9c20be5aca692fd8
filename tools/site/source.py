# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages that are written by hand, as the site has them: all in one folder, with links that lead to each other there."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "collections/ansible_collections/linode_coder/gpu/docs"
REPOSITORY = "https://github.com/linode-coder/linode_coder"
# Where files of the repository are read, and where their bytes are.
BLOB, TREE = f"{REPOSITORY}/blob/main/", f"{REPOSITORY}/tree/main/"
RAW = "https://raw.githubusercontent.com/linode-coder/linode_coder/main/"
PICTURES = ROOT / "tools/site/pictures"

_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
_FENCE = re.compile(r"(^```[\s\S]*?^```|^ {4}[^\n]*$|`[^`\n]+`)", re.MULTILINE)
_ITEM = re.compile(r"(?:[*-]|\d+\.) +")


def written() -> dict[Path, str]:
    """Files of the repository that are pages of the site, and their names there."""
    pages = {path: path.name for path in sorted(DOCS.glob("*.md"))}
    pages[ROOT / "tools/site/index.md"] = "index.md"
    for name in ("ARCHITECTURE", "CONTRIBUTING", "SECURITY", "CHANGELOG"):
        pages[ROOT / f"{name}.md"] = "reporting.md" if name == "SECURITY" else f"{name.lower()}.md"
    for path in sorted((ROOT / "roles").glob("*/README.md")):
        pages[path] = f"role-{path.parent.name}.md"
    pages[DOCS.parent / "README.md"] = "collection.md"
    return pages


def _moved(target: str, page: Path, pages: dict[Path, str]) -> str:
    """A link of a page where the page is now. ValueError where it leads nowhere."""
    if "://" in target:
        # What has to work on the package index names the repository's host, and is a page here.
        return (
            _moved(os.path.relpath(ROOT / target.removeprefix(BLOB), page.parent), page, pages)
            if (target.startswith(BLOB))
            else target
        )
    path, mark, anchor = target.partition("#")
    if not path or target.startswith("mailto:"):
        return target
    there = (page.parent / path).resolve()
    if there in pages:
        return f"{pages[there]}{mark}{anchor}"
    if there.is_relative_to(PICTURES) and there.is_file():
        return f"pictures/{there.name}"
    if page.parent == ROOT / "tools/site" and not there.exists():
        return target  # a page that is generated; the builder looks whether it is
    if there.is_relative_to(ROOT) and there.exists():
        return f"{BLOB}{there.relative_to(ROOT)}{mark}{anchor}"
    raise ValueError(f"{page.relative_to(ROOT)}: nothing is at {target}")


def _lists(text: str) -> str:
    """Lists as the site's renderer wants them: what belongs to an item four columns in, and an empty line before the first."""
    lines: list[str] = []
    content = 0
    for line in text.splitlines():
        item = _ITEM.match(line)
        indent = len(line) - len(line.lstrip())
        if item:
            if not content and lines and lines[-1]:
                lines.append("")
            content = len(item[0])
        elif content and line and not indent and not lines[-1]:
            content = 0
        elif line.startswith("|") and lines and lines[-1] and not lines[-1].startswith("|"):
            lines.append("")
        lines.append(" " * (4 - content) + line if content and not item and indent >= content else line)
    return "\n".join(lines) + "\n"


def moved(text: str, page: Path) -> str:
    """The text of a page as the site has it: its links lead to each other there, but for what is quoted as code."""
    pages = written()
    parts = _FENCE.split(text)
    for place in range(0, len(parts), 2):
        parts[place] = _LINK.sub(lambda found: found[1] + _moved(found[2], page, pages) + found[3], parts[place])
    return _lists("".join(parts))
