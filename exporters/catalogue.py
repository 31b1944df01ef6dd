"""The table of the exporters: what runs, scrapes, draws or describes them goes by it.

A new exporter is one file in this package and one row here. `tests/test_exporter_catalogue.py` then names
what it lacks: its service, job, alert, dashboard, variables and documentation.
"""

from __future__ import annotations

from msgspec import Struct


class ExporterEntry(Struct, frozen=True):
    """One exporter. Its name is that of its module, compose service and Prometheus job."""

    port: int
    serves: str
    """What it publishes, in a few words."""
    needs: str | None = None
    """Package that it cannot do without, and that not every installation has."""


EXPORTERS: dict[str, ExporterEntry] = {
    "rapl": ExporterEntry(9500, "power and energy of this host"),
    "docker_stats": ExporterEntry(9501, "containers, units and pods: CPU, memory, energy", needs="docker"),
    "results": ExporterEntry(9502, "scenarios: power, energy, scores, predictions"),
    "qoe": ExporterEntry(9503, "scenarios and live streams: VMAF, PSNR, SSIM"),
    "cost": ExporterEntry(9504, "scenarios: cost and carbon"),
}
