"""Charts as SVG that follows the page: drawn by matplotlib, coloured by the style sheet.

Every chart is drawn twice, for wide and for narrow pages: a drawing that is merely scaled down cannot be read
on a phone. What a mark says when it is pointed at is its artist's ``gid``, see `hint`.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, LogLocator, MaxNLocator, NullLocator
from msgspec import Struct

from advisor.common.exit import printable
from wattframe.report.numbers import number

WIDE, NARROW = 960.0, 360.0
"""Widths of the two drawings, in CSS pixels."""

# stand-ins for the variables of page.css, which has them for light, dark and print; in a drawing that is on
# its own they are the colours of the light page
INK, SOFT, GRID, PAPER, ACCENT = "#1c2024", "#5d666f", "#ebedef", "#ffffff", "#0b6e4f"
COLOURS = ("#0b63b0", "#c2410c", "#0b7a57", "#9333a8", "#8a6a00", "#455a64")
MARKERS = ("o", "s", "^", "D", "P", "v")
"""A series differs from its neighbour by shape as well as by colour."""
_VARIABLES = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    GRID: "var(--grid)",
    PAPER: "var(--card)",
    ACCENT: "var(--accent)",
    **{colour: f"var(--s{index})" for index, colour in enumerate(COLOURS)},
}

_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a scenario may be named $x$
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": SOFT,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "legend.borderpad": 0,
    "legend.handletextpad": 0.4,
}
_HINT = "hint:"
_NO_XML = dict.fromkeys((0xFFFE, 0xFFFF))
_SVG = "http://www.w3.org/2000/svg"
ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")


class Chart(Struct, frozen=True, kw_only=True):
    """A chart of a page: heading, the drawing for both widths, and what to know of it."""

    title: str
    caption: str
    wide: Markup
    narrow: Markup


Draw = Callable[[Axes, bool], None]
"""Draws into the axes; told whether the page is narrow."""
Height = Callable[[bool], float]
"""Pixels, told whether the page is narrow."""


def chart(identity: str, title: str, caption: str, draw: Draw, height: Height) -> Chart:
    """A chart for both widths."""
    wide, narrow = (drawing(identity, title, draw, height, narrow=narrow) for narrow in (False, True))
    return Chart(title=title, caption=caption, wide=wide, narrow=narrow)


def drawing(
    identity: str, title: str, draw: Draw, height: Height, *, narrow: bool, alone: bool = False
) -> Markup:
    """One drawing as an SVG element, named for those who cannot see it.

    ``alone`` keeps its own size and colours, for a file without the style sheet.
    """
    page = io.StringIO()
    width = NARROW if narrow else WIDE
    # the salt makes what is defined in one drawing differ from all others of the page
    style: Any = {**_STYLE, "svg.hashsalt": f"{identity}-{width:g}"}
    with mpl.rc_context(style), warnings.catch_warnings():
        # names stay text, in whatever font the page is read with
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure = Figure(figsize=(width / 72, height(narrow) / 72), dpi=72, layout="constrained")
        draw(figure.add_subplot(), narrow)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(page, format="svg", transparent=not alone, metadata=nothing)
    return _element(page.getvalue(), title, alone=alone)


def scale(axes: Axes, *, x: str | None = None, y: str | None = None, most: tuple[int, int] = (8, 6)) -> None:
    """Round ticks, written as the table writes numbers. ``x`` and ``y`` name the axes; ``most`` ticks."""
    for axis, count in ((axes.xaxis, most[0]), (axes.yaxis, most[1])):
        if axis.get_scale() == "log":
            axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=count + 2))
        else:
            axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 5, 10]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(_Numbers())
        axis.set_tick_params(length=0)
    axes.set_xlabel(x or "", loc="right")
    if y:
        # upright, above the axis: turned text takes width and is slow to read
        axes.set_title(y, loc="left", fontsize=12, color=SOFT)


class _Numbers(Formatter):
    """As the table writes numbers, with as many digits as tell all ticks apart."""

    def __call__(self, value: float, pos: int | None = None) -> str:
        return number(value)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        for digits in range(3, 12):
            labels = [number(value, digits) for value in values]
            if len(set(labels)) == len(labels):
                break
        return labels


def hint(artist: Artist, text: str) -> None:
    """What ``artist`` says when it is pointed at or reached by the keyboard."""
    artist.set_gid(_HINT + one_line(text))


def one_line(text: str) -> str:
    """A name from outside, without what XML or a line cannot hold."""
    return " ".join(printable(text).translate(_NO_XML).split())


def _element(text: str, title: str, *, alone: bool) -> Markup:
    """matplotlib's file as an element of a page: hints, and the style sheet's colours and font."""
    root = ElementTree.fromstring(text)  # noqa: S314  drawn here
    root.set("role", "img")
    root.set("aria-label", title)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    for parent in root.iter():
        for child in parent.findall(f"{{{_SVG}}}style"):
            parent.remove(child)
        name = parent.get("id", "")
        if name not in used:
            parent.attrib.pop("id", None)
        if name.startswith(_HINT):
            hint_text = name.removeprefix(_HINT)
            parent.attrib |= {"class": "hint", "data-hint": hint_text}
            explanation = ElementTree.Element(f"{{{_SVG}}}title")
            explanation.text = hint_text
            parent.insert(0, explanation)
        if not alone and "style" in parent.attrib:
            style = re.sub(
                "#[0-9a-f]{6}", lambda colour: _VARIABLES.get(colour[0], colour[0]), parent.attrib["style"]
            )
            parent.set("style", re.sub("font-family: [^;]*; ?", "", style))
    for side in ("width", "height"):
        size = root.attrib.pop(side)
        if alone:
            root.set(side, size.replace("pt", "px"))
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704  the serialiser escapes
