"""Pictures as SVG for a page: drawn by matplotlib, the same for the same figures, readable on light and on dark.

Nothing of a picture is a text of ours or others' as mathematics, no id is on a page twice, and none asks anybody for anything.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from markupsafe import Markup

from ..terminal.escapes import cut, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# On white and on near black alike; told apart by more than their hue.
COLOURS = ("#2f81d6", "#d9730d", "#2a9d62", "#c2509b", "#8a7d2b", "#7a6fd0", "#c04747", "#4a9aa8")
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 2, 2)))
# A colour that matplotlib writes and the page replaces by that of its text.
_TEXT = "#010203"
_LABEL = 22
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "linode-coder",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.18,
    "legend.frameon": False,
    **dict.fromkeys(
        (
            "text.color",
            "axes.edgecolor",
            "axes.labelcolor",
            "axes.titlecolor",
            "xtick.color",
            "ytick.color",
            "grid.color",
        ),
        _TEXT,
    ),
}
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"


def check() -> None:
    """Failure(config) where what draws is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise Failure(
            "config",
            "A report needs matplotlib, which is not installed.",
            remedy="Install the report's extra: pip install 'linode-coder[report]'",
        )


def label(text: object) -> str:
    """A text from outside as it stands in a picture."""
    return cut(one_line(str(text)), _LABEL)


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def dash(number: int) -> Any:
    return DASHES[number % len(DASHES)]


def picture(name: str, says: str, draw: Callable[[Axes], None], size: tuple[float, float] = (5.4, 3.0)) -> Markup:
    """An SVG element. ``name`` is a word that is no other picture's of the page, ``says`` what it shows, for who does not see it."""
    check()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    kept = io.BytesIO()
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that its font does not have: the page's has them
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        figure.savefig(kept, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(kept.getvalue(), name, says)


def _inline(svg: bytes, name: str, says: str) -> Markup:
    """The drawing as an element of a page: without namespaces and metadata, its ids begun with ``name``."""
    root = ElementTree.fromstring(svg)  # noqa: S314 - drawn here
    for parent in root.iter():
        for child in list(parent):
            if child.tag == f"{_SVG}metadata" or child.tag == f"{_SVG}style":
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        attributes = dict(element.attrib)
        element.attrib.clear()
        for key, value in attributes.items():
            if key == "id":
                value = f"{name}-{value}"
            elif key in (_XLINK, "href"):
                key, value = "href", value.replace("#", f"#{name}-", 1)
            elif key == "clip-path":
                value = value.replace("url(#", f"url(#{name}-")
            element.set(key, value.replace(_TEXT, "currentColor"))
    for gone in ("width", "height", "version"):
        root.attrib.pop(gone, None)
    root.set("role", "img")
    root.set("aria-label", says)
    # Escaped where it is written, text and attributes alike.
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704


def lines(
    name: str,
    says: str,
    series: Sequence[tuple[str, Sequence[float], Sequence[float]]],
    x: str,
    y: str,
    *,
    steps: bool = False,
    marks: bool = False,
    log_x: bool = False,
    ticks: Sequence[float] = (),
) -> Markup:
    """Curves of (label, xs, ys) in one picture. ``ticks``: the only places on the x axis that are named."""

    def draw(axes: Axes) -> None:
        for number, (called, xs, ys) in enumerate(series):
            style: dict[str, Any] = {"color": colour(number), "linestyle": dash(number), "linewidth": 1.6}
            if marks:
                style.update(marker="os^D"[number % 4], markersize=5)
            if steps:
                style.update(drawstyle="steps-post")
            axes.plot(list(xs), list(ys), label=label(called), **style)
        if log_x:
            axes.set_xscale("log")
        if ticks:
            axes.set_xticks(list(ticks), [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        highest = max((max(ys) for _called, _xs, ys in series if ys), default=0)
        axes.set_ylim(0, highest * 1.12 or 1)
        if len(series) > 1:
            axes.legend(fontsize=9)

    return picture(name, says, draw)


def bars(
    name: str, says: str, rows: Sequence[tuple[str, float]], unit: str, limit: tuple[str, float] | None = None
) -> Markup:
    """One bar for each (label, value), from the top. ``limit``: a line across, with its name."""

    def draw(axes: Axes) -> None:
        places = list(range(len(rows)))
        axes.barh(places, [value for _called, value in rows], color=COLOURS[0], height=0.62)
        axes.set_yticks(places, [label(called) for called, _value in rows])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        for place, (_called, value) in zip(places, rows, strict=True):
            axes.annotate(f" {value:.2f}", (value, place), va="center", fontsize=9)
        if limit is not None:
            axes.axvline(limit[1], color=COLOURS[1], linestyle="--", linewidth=1.4, label=label(limit[0]))
            axes.legend(fontsize=9)
        axes.margins(x=0.14)
        axes.set_xlim(left=0)
        axes.set_xlabel(unit)

    return picture(name, says, draw, (5.4, 1.1 + 0.34 * max(1, len(rows))))
