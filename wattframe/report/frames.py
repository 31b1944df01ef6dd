"""VMAF over the frames of some encodes, as a drawing of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from wattframe.report.charts import thinned
from wattframe.report.drawing import COLOURS, chart, drawing, one_line, scale
from wattframe.report.page import render

FrameScores = tuple[str, Sequence[tuple[int, float]]]
"""The name of an encode, and frame number and VMAF of each of its frames."""

_MOST_POINTS = 800
_DASHES = ("-", "--", ":", "-.")
_TITLE = "VMAF over frames"
_CAPTION = "A long video is drawn by the worst and the best frame of each step, so that no dip is lost."


def write_plot(path: Path, encodes: Sequence[FrameScores]) -> None:
    """Write one line an encode as ``.svg``, or as a page of its own."""

    def draw(axes: Axes, narrow: bool) -> None:
        for index, (name, points) in enumerate(encodes):
            thin = thinned(points, _MOST_POINTS)
            axes.plot(
                [frame for frame, _ in thin],
                [score for _, score in thin],
                label=one_line(name),
                linewidth=1.5,
                color=COLOURS[index % len(COLOURS)],
                linestyle=_DASHES[index // len(COLOURS) % len(_DASHES)],
            )
        axes.set_ylim(0, 100)
        axes.margins(x=0)
        scale(axes, x="frame", y="VMAF", most=(4 if narrow else 9, 5))
        axes.figure.legend(loc="outside upper left", ncols=1)

    def height(_: bool) -> float:
        return 360 + 18 * len(encodes)

    if path.suffix == ".html":
        figure = chart("frames", _TITLE, _CAPTION, draw, height)
        text = render("frames.html", title=_TITLE, chart=figure)
    else:
        text = drawing("frames", _TITLE, draw, height, narrow=False, alone=True)
    path.write_text(text, encoding="utf-8")
