"""How a cost grows with its input: lines over logarithmic axes, as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from wattframe.report.markup import Markup, el, join

from benchmarks.figures import Figure, shown

__all__ = ["PLOTS", "Plot", "draw"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760.0, 400.0, 70.0, 250.0, 40.0, 46.0
_COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#475569", "#0891b2")
_STYLE = (
    "svg{font:12px system-ui,sans-serif;background:#fff}.grid{stroke:#e5e7eb}text{fill:#374151}"
    ".end{text-anchor:end}.middle{text-anchor:middle}.title{font-weight:600;font-size:14px}"
    "polyline{fill:none;stroke-width:2;stroke-linejoin:round}"
)
Line = tuple[str, Sequence[tuple[float, float]], bool]
"""Name, points, and whether it is a peer's (dashed)."""


class Plot(Struct, frozen=True):
    """One drawing: figures of one benchmark and one unit over their size, and the peers of the first."""

    name: str
    benchmark: str
    title: str
    what: tuple[str, ...]
    peers: tuple[str, ...] = ()


_SNAPSHOTS = ("results", "qoe", "cost")
PLOTS = (
    Plot(
        "bench-scrape-zones",
        "scrape",
        "Scrape of rapl, p50, by zones",
        ("scrape of rapl, p50",),
        ("prometheus-node-exporter", "prometheus_client"),
    ),
    Plot(
        "bench-scrape-scenarios",
        "snapshots",
        "Scrape with gzip, p50, by scenarios",
        tuple(f"scrape of {name}, gzip, p50" for name in _SNAPSHOTS),
        ("nginx", "prometheus_client"),
    ),
    Plot(
        "bench-memory-scenarios",
        "snapshots",
        "Memory after the scrapes, by scenarios",
        tuple(f"memory of {name}" for name in _SNAPSHOTS),
        ("prometheus_client",),
    ),
    Plot(
        "bench-ready-scenarios",
        "snapshots",
        "Start to ready, by scenarios",
        tuple(f"start to ready of {name}" for name in _SNAPSHOTS),
    ),
    Plot(
        "bench-rebuild-scenarios",
        "rebuild",
        "CPU of a rebuild after one new file, by scenarios",
        tuple(f"CPU of a rebuild of {name}" for name in _SNAPSHOTS),
        ("prometheus_client",),
    ),
    Plot(
        "bench-scrape-containers",
        "docker_scrape",
        "Scrape of docker_stats, p50, by containers",
        ("scrape of docker_stats, p50",),
        ("docker stats",),
    ),
    Plot(
        "bench-cpu-containers",
        "docker_scrape",
        "CPU of docker_stats between scrapes, by containers",
        ("CPU of docker_stats between scrapes",),
    ),
)


def draw(plot: Plot, figures: Sequence[Figure]) -> Markup:
    """The drawing. Both axes are logarithmic; a line of slope one grows with its input."""
    lines = list(_lines(plot, figures))
    used = [figure for figure in figures if figure.what in plot.what]
    xs, ys = zip(*(point for _, points, _ in lines for point in points), strict=True)
    across = _scale(min(xs), max(xs), _LEFT, _WIDTH - _RIGHT)
    low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))
    up = _scale(low, high, _HEIGHT - _BOTTOM, _TOP)
    body = [
        el("style", Markup(_STYLE)),
        el("title", plot.title),
        el("text", plot.title, x=_LEFT, y=20, class_="title"),
        *_rows(low, high, up, used[0].unit),
        *_columns(sorted(set(xs)), across, used[0].of),
        *(_line(number, line, across, up) for number, line in enumerate(lines)),
    ]
    return el(
        "svg",
        join(body),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        role="img",
    )


def _lines(plot: Plot, figures: Sequence[Figure]) -> Iterator[Line]:
    for what in plot.what:
        points = {f.size: f.value for f in figures if f.what == what and f.size and f.value > 0}
        yield what.removeprefix("scrape of "), sorted(points.items()), False
    for peer in plot.peers:
        same = [f for f in figures if f.what == plot.what[0] and f.peer == peer and f.size and f.peer_value]
        name = peer if len(plot.what) == 1 else f"{peer}, for the first"
        yield name, sorted((f.size or 0.0, f.peer_value or 0.0) for f in same), True


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = math.log(high / low) or 1.0
    return lambda value: start + (end - start) * math.log(value / low) / span


def _rows(low: float, high: float, up: Callable[[float], float], unit: str) -> Iterator[Markup]:
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        y = up(10.0**power)
        yield el("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid")
        yield el("text", shown(10.0**power, unit), x=_LEFT - 8, y=y + 4, class_="end")


def _columns(sizes: Sequence[float], across: Callable[[float], float], of: str) -> Iterator[Markup]:
    for size in sizes:
        x = across(size)
        yield el("line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="grid")
        yield el("text", f"{size:g}", x=x, y=_HEIGHT - _BOTTOM + 18, class_="middle")
    yield el("text", of, x=(_LEFT + _WIDTH - _RIGHT) / 2, y=_HEIGHT - 8, class_="middle")


def _line(number: int, line: Line, across: Callable[[float], float], up: Callable[[float], float]) -> Markup:
    name, points, is_peer = line
    stroke = {"stroke": _COLOURS[number % len(_COLOURS)], "stroke_dasharray": "6 4" if is_peer else "none"}
    places = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
    dots = [el("circle", cx=across(x), cy=up(y), r=3, fill=stroke["stroke"]) for x, y in points]
    x, y = _WIDTH - _RIGHT + 16, _TOP + 12 + 20 * number
    key = el("line", x1=x, x2=x + 26, y1=y, y2=y, stroke_width=2, **stroke)
    return join([el("polyline", points=places, **stroke), *dots, key, el("text", name, x=x + 34, y=y + 4)])
