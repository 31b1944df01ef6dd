"""What every chart shares: its frame, axes, legend and marks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from wattframe.report.markup import Markup, el, join
from wattframe.report.numbers import number

__all__ = ["SHAPES", "Canvas", "bottom_axis", "figure", "left_axis", "mark"]

SHAPES = ("circle", "square", "triangle", "diamond", "cross")
"""A series differs from its neighbour by shape as well as by colour."""


class Canvas(Struct, frozen=True):
    """Size of one drawing in pixels. The same chart is drawn twice, for wide and for narrow pages: a
    drawing that is merely scaled down cannot be read on a phone."""

    width: float
    height: float
    left: float = 48.0
    right: float = 12.0
    top: float = 26.0
    bottom: float = 40.0

    @property
    def x(self) -> tuple[float, float]:
        """From the left to the right end of the plot."""
        return self.left, self.width - self.right

    @property
    def y(self) -> tuple[float, float]:
        """From the bottom to the top of the plot."""
        return self.height - self.bottom, self.top

    @property
    def narrow(self) -> bool:
        """Whether this is the drawing for phones."""
        return self.width < 600


WIDE, NARROW = 960.0, 360.0


def figure(
    identity: str,
    title: str,
    caption: str | Markup,
    draw: Callable[[Canvas], Markup],
    height: Callable[[bool], float],
    keys: Sequence[tuple[str, Markup]] = (),
) -> Markup:
    """A chart with heading, legend and caption, drawn for both widths; ``height`` is told whether narrow."""
    drawings = [
        _svg(Canvas(width=width, height=height(width == NARROW)), draw, title, f"{identity}-{kind}", kind)
        for width, kind in ((WIDE, "wide"), (NARROW, "narrow"))
    ]
    head = el("h3", title), _legend(keys) if keys else None
    return el("figure", *head, *drawings, el("figcaption", caption), id=identity)


def _svg(canvas: Canvas, draw: Callable[[Canvas], Markup], title: str, identity: str, kind: str) -> Markup:
    """The drawing as an image with a name for those who cannot see it."""
    return el(
        "svg",
        el("title", title, id=f"{identity}-title"),
        draw(canvas),
        class_=kind,
        viewBox=f"0 0 {canvas.width:g} {canvas.height:g}",
        role="img",
        aria_labelledby=f"{identity}-title",
    )


def left_axis(canvas: Canvas, values: Iterable[float], place: Callable[[float], float], name: str) -> Markup:
    """Horizontal rules with their values, and the axis' name above them."""
    parts = [el("text", name, x=0, y=12, class_="axis-name")]
    for value in values:
        y = place(value)
        parts += [
            el("line", x1=canvas.left, x2=canvas.width - canvas.right, y1=y, y2=y, class_="grid"),
            el("text", number(value), x=canvas.left - 6, y=y + 4, class_="tick end"),
        ]
    return join(parts)


def bottom_axis(
    canvas: Canvas, values: Iterable[float], place: Callable[[float], float], name: str
) -> Markup:
    """Values below the plot, and the axis' name under them at the right."""
    base = canvas.y[0]
    parts = [
        el("line", x1=canvas.left, x2=canvas.width - canvas.right, y1=base, y2=base, class_="axis"),
        el("text", name, x=canvas.width - canvas.right, y=canvas.height - 4, class_="axis-name end"),
    ]
    for value in values:
        x = place(value)
        parts += [
            el("line", x1=x, x2=x, y1=base, y2=base + 4, class_="axis"),
            el("text", number(value), x=x, y=base + 17, class_="tick middle"),
        ]
    return join(parts)


def _legend(entries: Sequence[tuple[str, Markup]]) -> Markup:
    """Names beside their marks, as text that wraps."""
    items = [
        el("li", el("svg", sample, class_="key", viewBox="0 0 16 16", aria_hidden="true"), " ", name)
        for name, sample in entries
    ]
    return el("ul", *items, class_="legend")


def mark(series: int, x: float, y: float, size: float, tooltip: str | None = None, extra: str = "") -> Markup:
    """The mark of one series, with what it stands for when pointed at."""
    shape = SHAPES[series % len(SHAPES)]
    class_ = f"mark s{series % 6} {extra}".strip()
    hint = el("title", tooltip) if tooltip else None
    if shape == "circle":
        return el("circle", *([hint] if hint else []), cx=x, cy=y, r=size, class_=class_)
    corners = {
        "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        "triangle": [(0, -1.15), (1.1, 0.8), (-1.1, 0.8)],
        "diamond": [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
        "cross": [
            *((-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4)),
            *((0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4)),
        ],
    }[shape]
    points = " L".join(f"{x + dx * size:.1f} {y + dy * size:.1f}" for dx, dy in corners)
    return el("path", *([hint] if hint else []), d=f"M{points}Z", class_=class_)
