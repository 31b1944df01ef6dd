"""Quality against energy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wattframe.report.chart import Canvas, bottom_axis, figure, left_axis, mark
from wattframe.report.markup import Markup, el, join
from wattframe.report.numbers import bounds, linear, logarithmic, logarithmic_ticks, number, ticks
from wattframe.report.rows import Row, efficient

__all__ = ["quality_against_energy"]

Point = tuple[float, float, Row]


def quality_against_energy(rows: Sequence[Row], identity: str, chosen: str | None = None) -> Markup | None:
    """VMAF over joules per second of video, one mark a scenario; None where nothing has both.

    ``chosen`` is the name of the advisor's choice, which is ringed.
    """
    points: list[Point] = [
        (row.joules_per_video_second, row.vmaf, row)
        for row in rows
        if row.joules_per_video_second and row.vmaf is not None and not row.is_baseline
    ]
    if not points:
        return None
    encoders = sorted({row.encoder for _, _, row in points})
    lowest, highest = min(p[0] for p in points), max(p[0] for p in points)
    # a decade and more between the cheapest and the dearest is read on a logarithmic axis
    wide = highest > 8 * lowest
    domain = (lowest / 1.15, highest * 1.15) if wide else bounds([lowest, highest], 0.1)
    low, high = bounds([p[1] for p in points], 0.12)
    low, high = max(low, 0.0), min(high, 101.0)

    def draw(canvas: Canvas) -> Markup:
        across = (logarithmic if wide else linear)(domain, canvas.x)
        up = linear((low, high), canvas.y)
        most = 4 if canvas.narrow else 8
        marks = (logarithmic_ticks if wide else ticks)(*domain, most)
        return join(
            [
                left_axis(canvas, ticks(low, high, 6), up, "VMAF"),
                bottom_axis(canvas, marks, across, f"joules per second of video{', logarithmic' * wide}"),
                el("polyline", points=_steps(efficient(points), across, up), class_="front"),
                *(_point(p, encoders, across, up, chosen) for p in points),
                *_labels(points, across, up),
            ]
        )

    return figure(
        identity,
        "Quality against energy",
        "Up and to the left is better. The line joins the scenarios that none beats in both; "
        "energy is the host's, idle included, per second of video delivered."
        + (" The ring is the advisor's choice." if any(row.name == chosen for _, _, row in points) else ""),
        draw,
        lambda narrow: 300.0 if narrow else 380.0,
        [(name, mark(i, 8, 8, 5)) for i, name in enumerate(encoders)],
    )


def _steps(front: list[Point], across: Callable[[float], float], up: Callable[[float], float]) -> str:
    return " ".join(f"{across(e):.1f},{up(q):.1f}" for e, q, _ in front)


def _point(
    point: Point,
    encoders: list[str],
    across: Callable[[float], float],
    up: Callable[[float], float],
    chosen: str | None,
) -> Markup:
    joules, vmaf, row = point
    x, y = across(joules), up(vmaf)
    tooltip = f"{row.number} {row.name}: VMAF {number(vmaf)}, {number(joules)} J per second of video"
    ring = el("circle", cx=x, cy=y, r=11, class_="ring") if row.name == chosen else None
    return join([ring, mark(encoders.index(row.encoder), x, y, 5.5, tooltip)])


def _labels(
    points: list[Point], across: Callable[[float], float], up: Callable[[float], float]
) -> list[Markup]:
    """Numbers beside the marks, each at the first of four sides that is still free."""
    taken = [(across(e), up(q)) for e, q, _ in points]
    labels = []
    for joules, vmaf, row in points:
        x, y = across(joules), up(vmaf)
        sides = ((9.0, -8.0), (9.0, 15.0), (-16.0, -8.0), (-16.0, 15.0))
        dx, dy = max(
            sides,
            key=lambda side: min(
                (abs(x + side[0] + 4 - tx) + abs(y + side[1] - 4 - ty) for tx, ty in taken), default=0.0
            ),
        )
        taken.append((x + dx + 4, y + dy - 4))
        labels.append(el("text", str(row.number), x=x + dx, y=y + dy, class_="tick strong"))
    return labels
