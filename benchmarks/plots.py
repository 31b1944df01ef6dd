"""How a cost grows with its input: lines over logarithmic axes, as SVG."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure as Drawing
from msgspec import Struct

from benchmarks.figures import Figure, shown

__all__ = ["PLOTS", "Plot", "draw"]

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


def draw(plot: Plot, figures: Sequence[Figure]) -> str:
    """The drawing as SVG. Both axes are logarithmic; a line of slope one grows with its input."""
    used = next(figure for figure in figures if figure.what in plot.what)
    drawing = Drawing(figsize=(7.6, 4), layout="constrained")
    axes = drawing.add_subplot(xscale="log", yscale="log", xlabel=used.of)
    axes.set_title(plot.title, loc="left")
    sizes = set()
    for name, points, is_peer in _lines(plot, figures):
        across, up = zip(*points, strict=True)
        axes.plot(across, up, marker="o", markersize=3, linestyle="--" if is_peer else "-", label=name)
        sizes.update(across)
    axes.set_xticks(sorted(sizes), [f"{size:g}" for size in sorted(sizes)])
    axes.yaxis.set_major_formatter(lambda value, _: shown(value, used.unit))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    text = io.StringIO()
    # text stays text, and the same figures give the same file
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "wattframe"}):
        drawing.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue().rstrip()


def _lines(plot: Plot, figures: Sequence[Figure]) -> Iterator[Line]:
    for what in plot.what:
        points = {f.size: f.value for f in figures if f.what == what and f.size and f.value > 0}
        yield what.removeprefix("scrape of "), sorted(points.items()), False
    for peer in plot.peers:
        same = [f for f in figures if f.what == plot.what[0] and f.peer == peer and f.size and f.peer_value]
        name = peer if len(plot.what) == 1 else f"{peer}, for the first"
        yield name, sorted((f.size or 0.0, f.peer_value or 0.0) for f in same), True
