"""One HTML file that is complete: its style is in it, and it asks nobody for anything. What stands in it is escaped where it is put in."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from markupsafe import Markup, escape

from ..terminal.escapes import one_line

# Its owner, the group and others may read it, as any document; what is secret is in none.
_MODE = 0o644
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
:root { color-scheme: light dark; --line: #d4d8dd; --soft: #5b6570; --back: #ffffff; --text: #1b1f24; --raised: #f4f6f8;
  --pass: #1a7f45; --warn: #9a5b00; --fail: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --line: #3a424b; --soft: #a3adb8; --back: #14181d; --text: #e6e9ec;
  --raised: #1d232a; --pass: #5cc98a; --warn: #e3a548; --fail: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 62rem; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p, ul { margin: .4rem 0; } ul { padding-left: 1.2rem; } .soft, figcaption, caption { color: var(--soft); font-size: .9rem; }
.verdict { border-left: .3rem solid var(--soft); background: var(--raised); padding: .6rem .9rem; margin: 1rem 0; }
.verdict strong { text-transform: uppercase; letter-spacing: .03em; }
.pass { border-color: var(--pass); } .warn { border-color: var(--warn); } .fail { border-color: var(--fail); }
.pass > strong { color: var(--pass); } .warn > strong { color: var(--warn); } .fail > strong { color: var(--fail); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: normal; }
th { font-weight: 600; font-size: .85rem; color: var(--soft); } td.number, th.number { text-align: right; }
td.number { white-space: nowrap; } th { vertical-align: bottom; } table { font-size: .92rem; } figure svg text { font-family: system-ui, sans-serif; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.2rem; margin-top: 1rem; }
figure { margin: 0; min-width: 0; break-inside: avoid; } figure svg { display: block; width: 100%; height: auto;
  stroke-linejoin: round; } code { font-size: .9em; }
@page { margin: 14mm 12mm; }
@media print { :root { --back: #fff; --text: #000; --raised: #fff; --soft: #444; --line: #bbb; --pass: #1a7f45; --warn: #9a5b00;
  --fail: #b3261e; } body { padding: 0; max-width: none; font-size: 10pt; } .scroll { overflow: visible; } h1 { margin-top: 0; }
  h2 { break-after: avoid; margin-top: 1.4rem; } table { font-size: 8pt; } th { font-size: 7.5pt; } th, td { padding-right: .4rem; }
  tr, .verdict { break-inside: avoid; } .pictures { grid-template-columns: 1fr 1fr; gap: .8rem; } }
"""

# A cell, and one that stands at the right.
_CELLS = {
    "th": (Markup("<th>{}</th>"), Markup('<th class="number">{}</th>')),
    "td": (Markup("<td>{}</td>"), Markup('<td class="number">{}</td>')),
}


def page(title: str, parts: Iterable[Markup]) -> str:
    """The whole document. ``title`` is text, ``parts`` are elements."""
    head = Markup(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="{}">\n<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{}</title>\n<style>{}</style>\n</head>\n'
    ).format(_POLICY, text(title), Markup(_STYLE))  # noqa: S704 - ours
    body = Markup("<body>\n<h1>{}</h1>\n{}\n</body>\n</html>\n").format(text(title), Markup("\n").join(parts))
    return str(head + body)


def text(value: object) -> Markup:
    """Any text, on one line, without what would steer or hide it."""
    return escape(one_line(str(value)))


def paragraph(value: object, kind: str = "") -> Markup:
    return Markup('<p class="{}">{}</p>').format(kind, text(value)) if kind else Markup("<p>{}</p>").format(text(value))


def verdict(severity: str, summary: object, word: str | None = None) -> Markup:
    """A box: what it comes to, and how bad it is, which is said in a word, the severity itself or ``word``, and not by colour alone."""
    return Markup('<div class="verdict {}"><strong>{}</strong> {}</div>').format(
        severity if severity in ("pass", "warn", "fail") else "unknown", text(word or severity), text(summary)
    )


def bullets(values: Iterable[object]) -> Markup:
    items = [Markup("<li>{}</li>").format(text(value)) for value in values]
    return Markup("<ul>{}</ul>").format(Markup("").join(items)) if items else Markup("")


def section(heading: str, *parts: Markup) -> Markup:
    """Nothing where there is nothing below it."""
    inner = [part for part in parts if part]
    return (
        Markup("<section><h2>{}</h2>\n{}</section>").format(text(heading), Markup("\n").join(inner))
        if inner
        else Markup("")
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[int] = ()) -> Markup:
    """``numbers``: columns that stand at the right. A cell that is None is unknown."""
    if not rows:
        return Markup("")

    def cells(tag: str, row: Sequence[object]) -> Markup:
        plain, right = _CELLS[tag]
        made = [
            (right if place in numbers else plain).format(text("unknown" if value is None else value))
            for place, value in enumerate(row)
        ]
        return Markup("<tr>{}</tr>").format(Markup("").join(made))

    body = Markup("\n").join(cells("td", row) for row in rows)
    return Markup('<div class="scroll"><table><thead>{}</thead><tbody>\n{}</tbody></table></div>').format(
        cells("th", heads), body
    )


def pictures(*figures: tuple[str, Markup]) -> Markup:
    """(what is said below it, the SVG) of each, side by side where there is room."""
    made = [Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(svg, text(said)) for said, svg in figures]
    return Markup('<div class="pictures">{}</div>').format(Markup("\n").join(made)) if made else Markup("")


def check(path: Path) -> None:
    """Failure(usage) for what can be no file, before the work that it is to show begins."""
    directory = path.absolute().parent
    if path.is_dir():
        raise _refused(path, "it is a directory")
    if not directory.is_dir():
        raise _refused(path, f"there is no directory {directory}")


def write(path: Path, html: str) -> None:
    """All of the page or what was there before; Failure(usage) with the reason when it cannot be written."""
    check(path)
    try:
        replace_file(path, html, mode=_MODE)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise _refused(path, error.strerror or type(error).__name__, full) from error


def _refused(path: Path, why: str, full: bool = False) -> Failure:
    return Failure(
        "usage",
        f"The report {path} cannot be written: {why}.",
        remedy="Free some space, or name a file elsewhere."
        if full
        else "Name a file in a directory of yours that exists.",
        field="report",
        value=str(path),
    )
