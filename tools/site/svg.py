# SPDX-License-Identifier: GPL-3.0-or-later
"""What a terminal showed as an SVG: one screen, or a film of many. Nothing in it is loaded from elsewhere, and no script runs."""

from __future__ import annotations

import html
from collections.abc import Sequence
from itertools import pairwise

from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

# Pixels. The widths of fonts differ, so every line is told how wide it is.
CELL, LINE, MARGIN, BAR = 8, 18, 14, 30
THEME = TerminalTheme(
    (22, 27, 34),
    (230, 237, 243),
    [(72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34), (88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196)],
    [(110, 118, 129), (255, 161, 152), (86, 211, 100), (227, 179, 65), (121, 192, 255), (210, 168, 255), (86, 212, 221), (240, 246, 252)],
)  # fmt: skip


def _hex(style: Style, of: str) -> str:
    color = getattr(style, of)
    return color.get_truecolor(THEME, foreground=of == "color").hex if color and not color.is_default else ""


def _line(line: str) -> str:
    """One line of the screen, with its escapes for colours, as SVG at y = 0; empty where it shows nothing."""
    text = Text.from_ansi(line)
    text.rstrip()
    if not text.plain:
        return ""
    ground, spans, column = [], [], 0
    edges = sorted({0, len(text), *(edge for span in text.spans for edge in (span.start, span.end))})
    for start, end in pairwise(edges):
        style = Style.combine(
            [Style.parse(span.style) if isinstance(span.style, str) else span.style for span in text.spans if span.start <= start < span.end]
            or [Style.null()]
        )  # fmt: skip
        fill, under = _hex(style, "color"), _hex(style, "bgcolor")
        if style.reverse:
            fill, under = under or THEME.background_color.hex, fill or THEME.foreground_color.hex
        if under:
            width = (end - start) * CELL
            ground.append(f'<rect x="{column * CELL}" y="-13" width="{width}" height="{LINE}" fill="{under}"/>')
        says = f' fill="{fill}"' if fill else ""
        says += ' font-weight="bold"' if style.bold else ""
        says += ' opacity=".65"' if style.dim else ""
        part = html.escape(text.plain[start:end])
        spans.append(f"<tspan{says}>{part}</tspan>" if says else part)
        column += end - start
    wide = len(text) * CELL
    return f'{"".join(ground)}<text textLength="{wide}" lengthAdjust="spacingAndGlyphs">{"".join(spans)}</text>'


def _page(title: str, columns: int, rows: int, style: str, defs: str, body: str) -> str:
    width, height = columns * CELL + 2 * MARGIN, rows * LINE + BAR + MARGIN
    dots = "".join(
        f'<circle cx="{20 + 18 * place}" cy="16" r="5.5" fill="{fill}"/>'
        for place, fill in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    font = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"<title>{html.escape(title)}</title>"
        f"<style>text{{font:13px {font};fill:{THEME.foreground_color.hex};white-space:pre}}{style}</style>"
        f"<defs>{defs}</defs>"
        f'<rect width="{width}" height="{height}" rx="8" fill="{THEME.background_color.hex}"/>{dots}'
        f'<svg x="{MARGIN}" y="{BAR}" width="{columns * CELL}" height="{rows * LINE}">{body}</svg></svg>\n'
    )


def still(title: str, screen: Sequence[str], columns: int) -> str:
    """One screen, without the empty lines at its end."""
    lines = [_line(line) for line in screen]
    while lines and not lines[-1]:
        lines.pop()
    body = "".join(
        f'<g transform="translate(0 {13 + place * LINE})">{line}</g>' for place, line in enumerate(lines) if line
    )
    return _page(title, columns, len(lines), "", "", body)


def film(title: str, frames: Sequence[tuple[float, Sequence[str]]], columns: int, rows: int) -> str:
    """Screens, each with the seconds for which it stays. Who wants no motion sees the last one."""
    known: dict[str, str] = {}
    reel, stops = [], []
    total, clock = sum(seconds for seconds, _screen in frames), 0.0
    for number, (seconds, screen) in enumerate(frames):
        uses = []
        for place, line in enumerate(screen[:rows]):
            drawn = _line(line)
            if drawn:
                name = known.setdefault(drawn, f"l{len(known)}")
                uses.append(f'<use href="#{name}" y="{13 + place * LINE}"/>')
        reel.append(f'<g transform="translate(0 {number * rows * LINE})">{"".join(uses)}</g>')
        stops.append(f"{clock / total:.3%}{{transform:translateY(-{number * rows * LINE}px)}}")
        clock += seconds
    last = f"transform:translateY(-{(len(frames) - 1) * rows * LINE}px)"
    style = (
        f"@keyframes f{{{''.join(stops)}}}#f{{{last};animation:f {total:.1f}s step-end infinite}}"
        f"@media(prefers-reduced-motion:reduce){{#f{{animation:none}}}}"
    )
    defs = "".join(f'<g id="{name}">{drawn}</g>' for drawn, name in known.items())
    return _page(title, columns, rows, style, defs, f'<g id="f">{"".join(reel)}</g>')
