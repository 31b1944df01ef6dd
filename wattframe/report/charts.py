"""The charts of a run: quality against energy, power over time, what an hour of video costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox, blended_transform_factory

from advisor.results import Samples
from wattframe.report.choice import RunChoice
from wattframe.report.drawing import (
    ACCENT,
    COLOURS,
    INK,
    MARKERS,
    NARROW,
    PAPER,
    SOFT,
    WIDE,
    Chart,
    chart,
    hint,
    one_line,
    scale,
)
from wattframe.report.numbers import number
from wattframe.report.rows import Row

Point = tuple[float, float, Row]
Place = tuple[int, int, str, str]
_MOST_POINTS, _MOST_BARS, _MOST_NAMES = 400, 40, 100
_NAME_PIXELS = 13
"""What a line of text takes of a band's width."""
_PLACES = (
    *((13, 0, "left", "center"), (-13, 0, "right", "center"), (0, 12, "center", "bottom")),
    *((0, -12, "center", "top"), (9, 9, "left", "bottom"), (-9, -9, "right", "top")),
    *((9, -9, "left", "top"), (-9, 9, "right", "bottom")),
)
"""Where a name may stand beside its point, in pixels, the best first."""


def quality_against_energy(rows: Sequence[Row], identity: str, answer: RunChoice | None) -> Chart | None:
    """VMAF over joules per second of video, one mark a scenario; None where nothing has both."""
    points: list[Point] = [
        (row.joules_per_video_second, row.vmaf, row)
        for row in rows
        if row.joules_per_video_second and row.vmaf is not None and not row.is_baseline
    ]
    if not points:
        return None
    encoders = sorted({row.encoder for _, _, row in points})
    front = answer.front if answer else ()
    names_on_front = [point.scenario for point in front]
    first = [option.scenario for option in (answer.choice, answer.reference) if option] if answer else []
    chosen = answer.choice.scenario if answer and answer.choice else None
    on_front = [(p.objective_value, p.vmaf) for p in front if p.objective_value > 0 and p.vmaf is not None]
    # more than most of a decade is read on a logarithmic axis
    wide_span = max(p[0] for p in points) > 8 * min(p[0] for p in points)

    def draw(axes: Axes, narrow: bool) -> None:
        if wide_span:
            axes.set_xscale("log")
        axes.margins(0.12 if narrow else 0.06, 0.14)
        axes.plot([p[0] for p in on_front], [p[1] for p in on_front], ":", color=SOFT, linewidth=1.2)
        for joules, vmaf, row in points:
            colour = COLOURS[encoders.index(row.encoder) % len(COLOURS)]
            marker = MARKERS[encoders.index(row.encoder) % len(MARKERS)]
            mark = axes.scatter(
                [joules], [vmaf], s=60, marker=marker, zorder=3, linewidths=1.6,
                edgecolors=colour, facecolors=PAPER if row.is_slow else colour,
            )  # fmt: skip
            hint(mark, _point_hint(row))
            if row.name == chosen:
                axes.scatter([joules], [vmaf], s=230, facecolors="none", edgecolors=ACCENT, linewidths=2)
        order = sorted(points, key=lambda p: (p[2].name not in first, p[2].name not in names_on_front, -p[1]))
        scale(axes, x=f"joules per second of video{', logarithmic' * wide_span}", y="VMAF", most=(8, 6))
        axes.figure.legend(
            handles=_keys(encoders, any(row.is_slow for _, _, row in points)),
            loc="outside upper left",
            ncols=2 if narrow else 6,
        )
        place_names(axes, [(x, y, row.name) for x, y, row in order], on_front)

    front_words = (
        "The dotted line is the front: of the scenarios that reach the VMAF asked for, those that no other "
        "clearly beats in both."
    )
    line = f" {front_words}" if len(on_front) > 1 else ""
    ring = " The ring is the choice." if any(row.name == chosen for _, _, row in points) else ""
    return chart(
        identity,
        "Quality against energy",
        f"Up and to the left is better.{line}{ring}",
        draw,
        lambda narrow: 380 if narrow else 420,
    )


def _keys(encoders: Sequence[str], slow: bool) -> list[Line2D]:
    keys = [
        Line2D(
            [], [], label=one_line(name), linestyle="", marker=MARKERS[i % len(MARKERS)],
            color=COLOURS[i % len(COLOURS)], markersize=8,
        )
        for i, name in enumerate(encoders)
    ]  # fmt: skip
    if slow:
        keys.append(
            Line2D(
                [], [], label="open: slower than real time", linestyle="", marker="o",
                markerfacecolor=PAPER, markeredgecolor=INK, markersize=8,
            )
        )  # fmt: skip
    return keys


def _point_hint(row: Row) -> str:
    parts = [f"VMAF {number(row.vmaf)}", f"{number(row.joules_per_video_second)} J per second of video"]
    parts += [f"{number(row.speed)} x real time"] if row.speed else []
    return f"{row.name}: {', '.join([*parts, *row.remarks])}"


def place_names(
    axes: Axes, names: Sequence[tuple[float, float, str]], line: Sequence[tuple[float, float]]
) -> None:
    """Write names beside their points, the first ones first; one that would cover something is left out.

    The hint of the point and the table have it. ``line`` is drawn too, and only covered where there is no
    other place.
    """
    figure = cast(Figure, axes.figure)
    figure.draw_without_rendering()  # the layout decides where points are
    renderer: Any = cast(Any, FigureCanvasAgg(figure)).get_renderer()
    inside = axes.get_window_extent(renderer)
    pixels = axes.transData.transform([(x, y) for x, y, _ in names])
    taken = [Bbox.from_bounds(x - 8, y - 8, 16, 16) for x, y in pixels]
    drawn = Path(axes.transData.transform(line)) if len(line) > 1 else None
    written: set[str] = set()
    for x, y, name in names[:_MOST_NAMES]:
        if name in written:
            continue
        places = [_written(axes, one_line(name), (x, y), place) for place in _PLACES]
        boxes = [text.get_window_extent(renderer) for text in places]
        free = [
            (drawn is not None and drawn.intersects_bbox(box, filled=False), index)
            for index, box in enumerate(boxes)
            if inside.contains(*box.min) and inside.contains(*box.max) and not box.count_overlaps(taken)
        ]
        chosen = min(free)[1] if free else None
        for index, text in enumerate(places):
            if index != chosen:
                text.remove()
        if chosen is not None:
            taken.append(boxes[chosen])
            written.add(name)


def _written(
    axes: Axes, name: str, point: tuple[float, float], place: tuple[int, int, str, str]
) -> Annotation:
    dx, dy, side, base = place
    return axes.annotate(name, point, (dx, dy), textcoords="offset points", ha=side, va=base, fontsize=11)


def power_over_time(rows: Sequence[Row], identity: str) -> Chart | None:
    """The samples of every scenario at their time, the scenarios as named bands, idle as a dashed line.

    None where no scenario has samples.
    """
    sampled = [(row, series) for row in rows if (series := _series(row.scenario.samples))]
    if not sampled:
        return None
    start = min(series[0][0] for _, series in sampled)
    whole = max(series[-1][0] for _, series in sampled) - start
    unit = 60.0 if whole > 600 else 1.0
    idle = next((row.watts for row in rows if row.is_baseline), None)

    def draw(axes: Axes, narrow: bool) -> None:
        at = blended_transform_factory(axes.transData, axes.transAxes)
        for index, (row, series) in enumerate(sampled):
            seconds = [(t - start) / unit for t, _ in series]
            band = axes.axvspan(seconds[0], seconds[-1], color=SOFT if row.is_baseline else ACCENT)
            band.set(alpha=0.06 if index % 2 else 0.14, linewidth=0)
            hint(band, f"{row.name}: {number(row.watts)} W mean, {number(row.joules)} J")
            axes.plot(seconds, [watts for _, watts in series], color=COLOURS[1], linewidth=1.6)
            middle = (seconds[0] + seconds[-1]) / 2
            if (series[-1][0] - series[0][0]) * (NARROW if narrow else WIDE) < _NAME_PIXELS * whole:
                continue  # its name would lie on its neighbours'
            axes.text(
                middle, 0.03, one_line(row.name), transform=at, rotation="vertical", ha="center", va="bottom",
                fontsize=11, clip_on=True, wrap=False,
            )  # fmt: skip
        if idle is not None:
            axes.axhline(idle, color=SOFT, linestyle="--", linewidth=1)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.05)  # a level line would lie on the frame
        axes.margins(x=0)
        scale(axes, x="minutes" if unit > 1 else "seconds", y="watts", most=(4 if narrow else 9, 5))

    return chart(
        identity,
        "Power over time",
        "Each band is one scenario. "
        + ("" if idle is None else "The dashed line is the mean of the idle run. ")
        + "Scoring happens outside the bands.",
        draw,
        lambda narrow: 300 if narrow else 340,
    )


def _series(samples: Samples | None) -> list[tuple[float, float]]:
    if samples is None or not samples.power_watts:
        return []
    pairs = zip(samples.timestamps, samples.power_watts, strict=True)
    return thinned(sorted((t, w) for t, w in pairs if w is not None), _MOST_POINTS)


def thinned(series: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most ``most`` points that keep every peak: the lowest and highest of each stretch, in order.

    >>> thinned([(0, 1.0), (1, 9.0), (2, 2.0), (3, 3.0), (4, 0.5), (5, 2.0)], 4)
    [(0, 1.0), (1, 9.0), (3, 3.0), (4, 0.5)]
    """
    if len(series) <= most:
        return list(series)
    size = -(-len(series) * 2 // most)
    extremes: list[tuple[float, float]] = []
    for first in range(0, len(series), size):
        stretch = series[first : first + size]
        extremes += sorted({min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])})
    return extremes


def cost_split(rows: Sequence[Row], identity: str, caption: str) -> Chart | None:
    """One stacked bar a scenario: electricity and machine of an hour of video; None without any."""
    parts: list[tuple[Row, float, float]] = []
    for row in rows:
        cost, hour = row.cost, row.cost_per_video_hour
        if cost and hour is not None and cost.cost_energy is not None and cost.cost_total:
            electricity = hour * cost.cost_energy / cost.cost_total
            parts.append((row, electricity, hour - electricity))
    if not parts:
        return None
    currency = next(row.cost.currency for row, *_ in parts if row.cost)
    if len(parts) > _MOST_BARS:
        caption = f"The {_MOST_BARS} cheapest of {len(parts)}; the table has all. {caption}"
    parts = sorted(parts, key=lambda part: -part[1] - part[2])[-_MOST_BARS:]

    def draw(axes: Axes, narrow: bool) -> None:
        for place, (row, electricity, machine) in enumerate(parts):
            if narrow:  # names beside the bars would take half of the page
                axes.annotate(
                    one_line(row.name), (0, place), (2, 12), textcoords="offset points", fontsize=11
                )
            amounts = f"electricity {number(electricity)}, machine {number(machine)} {currency}"
            left = 0.0
            for length, colour in ((electricity, COLOURS[1]), (machine, COLOURS[5])):
                (bar,) = axes.barh(place, length, left=left, height=0.36 if narrow else 0.62, color=colour)
                hint(bar, f"{row.name}: {amounts}")
                left += length
            axes.annotate(
                number(left), (left, place), (5, 0), textcoords="offset points", va="center", color=SOFT
            )
        axes.margins(x=0.2 if narrow else 0.08)
        scale(axes, x=f"{currency} an hour of video", most=(3 if narrow else 7, 5))
        axes.grid(visible=False, axis="y")
        names = [] if narrow else [one_line(row.name) for row, *_ in parts]
        axes.set_yticks(range(len(names)), names, color=INK)
        axes.set_xlim(left=0)
        # a few bars on a narrow page would else be as thick as their names are away from them
        axes.set_ylim(-0.5, len(parts) - (0.3 if narrow else 0.5))
        axes.figure.legend(
            handles=[
                Line2D([], [], label=label, linestyle="", marker="s", color=colour, markersize=8)
                for label, colour in (("electricity", COLOURS[1]), ("machine", COLOURS[5]))
            ],
            loc="outside upper left",
            ncols=2,
        )

    title = "Cost of an hour of video"
    return chart(identity, title, caption, draw, lambda narrow: 90 + (38 if narrow else 26) * len(parts))
