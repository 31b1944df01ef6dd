"""Stacked bars: what an hour of video costs, and where the energy goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from wattframe.report.chart import Canvas, bottom_axis, figure
from wattframe.report.markup import Markup, el, join
from wattframe.report.numbers import linear, number, ticks

__all__ = ["Bar", "stacked_bars"]

_ROW, _GAP = 20.0, 8.0


class Bar(Struct, frozen=True):
    """One bar: its label, and the length of each part in the order of the chart's part names."""

    label: str
    parts: tuple[float, ...]
    tooltip: str


def stacked_bars(
    identity: str, title: str, caption: str, unit: str, names: Sequence[str], bars: Sequence[Bar]
) -> Markup | None:
    """One horizontal bar a scenario, its parts side by side and their sum at the end; None without bars."""
    if not bars:
        return None
    most = max(sum(bar.parts) for bar in bars) or 1.0

    def draw(full: Canvas) -> Markup:
        canvas = replace(full, left=30.0)
        # room at the right for the sum of the longest bar
        across = linear((0.0, most * (1.28 if canvas.narrow else 1.1)), canvas.x)
        marks = ticks(0.0, most, 3 if canvas.narrow else 6)
        grid = [el("line", x1=across(v), x2=across(v), y1=0, y2=canvas.y[0], class_="grid") for v in marks]
        drawn = [_bar(bar, i * (_ROW + _GAP) + 4, across) for i, bar in enumerate(bars)]
        return join([*grid, *drawn, bottom_axis(canvas, marks, across, unit)])

    keys = [
        (name, el("rect", x=1, y=1, width=14, height=14, class_=f"part{i}")) for i, name in enumerate(names)
    ]
    return figure(identity, title, caption, draw, lambda _: len(bars) * (_ROW + _GAP) + 4 + 40.0, keys)


def _bar(bar: Bar, y: float, across: Callable[[float], float]) -> Markup:
    pieces: list[Markup] = []
    start = 0.0
    for index, part in enumerate(bar.parts):
        left, right = across(start), across(start + part)
        pieces.append(
            el("rect", x=left, y=y, width=max(right - left, 0.0), height=_ROW, class_=f"part{index}")
        )
        start += part
    return el(
        "g",
        el("title", bar.tooltip),
        el("text", bar.label, x=24, y=y + 14, class_="tick end strong"),
        *pieces,
        el("text", number(start), x=across(start) + 6, y=y + 14, class_="tick"),
    )
