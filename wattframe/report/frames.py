"""VMAF over the frames of some encodes, as a drawing of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wattframe.report.chart import Canvas, bottom_axis, left_axis
from wattframe.report.markup import Markup, el, join
from wattframe.report.numbers import linear, ticks

__all__ = ["frame_plot", "write_plot"]

Series = tuple[str, Sequence[tuple[int, float]]]

_MOST_POINTS = 800
_ROW_PIXELS = 18.0
_COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#475569")
_DASHES = ("none", "6 3", "2 3", "9 3 2 3")
_STYLE = (
    "svg{font:12px system-ui,sans-serif;background:#fff}.grid{stroke:#e5e7eb}.axis{stroke:#6b7280}"
    "text{fill:#374151}.end{text-anchor:end}.middle{text-anchor:middle}"
    "polyline{fill:none;stroke-width:1.5;stroke-linejoin:round}"
)


def frame_plot(series: Sequence[Series]) -> Markup:
    """One line an encode; a long video is drawn by the worst frame of each step, so that no dip is lost."""
    legend = 12 + _ROW_PIXELS * len(series)
    canvas = Canvas(width=960, height=360 + legend, top=26 + legend, bottom=40)
    last = max((points[-1][0] for _, points in series), default=1)
    across, up = linear((0.0, float(max(last, 1))), canvas.x), linear((0.0, 100.0), canvas.y)
    parts = [
        el("style", Markup(_STYLE)),
        el("title", "VMAF over frames"),
        el("g", left_axis(canvas, ticks(0.0, 100.0, 5), up, ""), transform="translate(0,0)"),
        bottom_axis(canvas, ticks(0.0, float(max(last, 1)), 9), across, "frame"),
    ]
    for index, (name, points) in enumerate(series):
        line = {"stroke": _COLOURS[index % len(_COLOURS)]}
        line["stroke_dasharray"] = _DASHES[index // len(_COLOURS) % len(_DASHES)]
        y = 14 + _ROW_PIXELS * index
        places = " ".join(f"{across(frame):.1f},{up(score):.1f}" for frame, score in _thinned(points))
        parts += [
            el("polyline", points=places, **line),
            el("line", x1=canvas.left, x2=canvas.left + 26, y1=y, y2=y, stroke_width=2, **line),
            el("text", f"{name}: VMAF", x=canvas.left + 34, y=y + 4),
        ]
    return el(
        "svg",
        join(parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {canvas.width:g} {canvas.height:g}",
        role="img",
    )


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    step = -(-len(points) // _MOST_POINTS)
    return [min(points[i : i + step], key=lambda point: point[1]) for i in range(0, len(points), step)]


def write_plot(path: Path, series: Sequence[Series]) -> None:
    """Write the drawing as ``.svg``, or as a page of its own."""
    drawing = frame_plot(series)
    if path.suffix == ".html":
        head = el("head", el("meta", charset="utf-8"), el("title", "VMAF over frames"))
        drawing = Markup(f"<!doctype html>{el('html', head, el('body', drawing), lang='en')}")
    path.write_text(drawing, encoding="utf-8")
