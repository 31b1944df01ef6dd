"""Power over the time of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from advisor.results import Samples
from wattframe.report.chart import Canvas, bottom_axis, figure, left_axis
from wattframe.report.markup import Markup, el, join
from wattframe.report.numbers import bounds, linear, number, ticks
from wattframe.report.rows import Row

__all__ = ["power_over_time", "thinned"]

_MOST_POINTS = 400


def power_over_time(rows: Sequence[Row], identity: str) -> Markup | None:
    """The samples of every scenario at their time, the scenarios as numbered bands, idle as a dashed line.

    None where no scenario has samples.
    """
    sampled = [(row, series) for row in rows if (series := _series(row.scenario.samples))]
    if not sampled:
        return None
    start = min(series[0][0] for _, series in sampled)
    end = max(series[-1][0] for _, series in sampled)
    top = bounds([w for _, series in sampled for _, w in series] + [0.0], 0.08)[1]
    idle = next((row.watts for row in rows if row.is_baseline), None)
    minutes = end - start > 600
    unit = 60.0 if minutes else 1.0

    def draw(canvas: Canvas) -> Markup:
        across = linear((0.0, (end - start) / unit), canvas.x)
        up = linear((0.0, top), canvas.y)
        time = lambda seconds: across((seconds - start) / unit)  # noqa: E731  the map of this drawing
        bands = [_band(canvas, row, series, time) for row, series in sampled]
        lines = [el("polyline", points=_points(series, time, up), class_="power") for _, series in sampled]
        return join(
            [
                *bands,
                left_axis(canvas, ticks(0.0, top, 5), up, "watts"),
                bottom_axis(
                    canvas,
                    ticks(0.0, (end - start) / unit, 4 if canvas.narrow else 9),
                    across,
                    "minutes" if minutes else "seconds",
                ),
                _idle_line(canvas, idle, up),
                *lines,
            ]
        )

    return figure(
        identity,
        "Power over time",
        "Each band is one scenario, numbered as in the table. The dashed line is the idle run's mean; "
        "quality is computed after a band ends, so that it is never part of it.",
        draw,
        lambda narrow: 260.0 if narrow else 320.0,
    )


def _series(samples: Samples | None) -> list[tuple[float, float]]:
    if samples is None or not samples.power_watts:
        return []
    pairs = zip(samples.timestamps, samples.power_watts, strict=True)
    return thinned(sorted((t, w) for t, w in pairs if w is not None), _MOST_POINTS)


def thinned(series: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most ``most`` points that keep every peak: the lowest and highest of each stretch, in order.

    >>> thinned([(0, 1.0), (1, 9.0), (2, 2.0), (3, 3.0), (4, 0.5), (5, 2.0)], 4)
    [(0, 1.0), (1, 9.0), (3, 3.0), (4, 0.5)]
    """
    if len(series) <= most:
        return series
    size = -(-len(series) * 2 // most)
    kept: list[tuple[float, float]] = []
    for first in range(0, len(series), size):
        stretch = series[first : first + size]
        kept += sorted({min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])})
    return kept


def _points(
    series: list[tuple[float, float]], time: Callable[[float], float], up: Callable[[float], float]
) -> str:
    return " ".join(f"{time(t):.1f},{up(w):.1f}" for t, w in series)


def _band(
    canvas: Canvas, row: Row, series: list[tuple[float, float]], time: Callable[[float], float]
) -> Markup:
    left, right = time(series[0][0]), time(series[-1][0])
    bottom, top = canvas.y
    name = "idle" if row.is_baseline else str(row.number)
    fits = right - left > 7 * len(name) + 2
    return el(
        "g",
        el("title", f"{row.name}: {number(row.watts)} W mean over {number(row.seconds)} s"),
        el(
            "rect",
            x=left,
            y=top,
            width=max(right - left, 1.0),
            height=bottom - top,
            class_="band idle" if row.is_baseline else "band",
        ),
        el("text", name, x=(left + right) / 2, y=top + 13, class_="tick middle strong") if fits else None,
    )


def _idle_line(canvas: Canvas, idle: float | None, up: Callable[[float], float]) -> Markup | None:
    if idle is None:
        return None
    y = up(idle)
    return el("line", x1=canvas.left, x2=canvas.width - canvas.right, y1=y, y2=y, class_="idle-line")
