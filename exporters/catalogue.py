"""The table of the exporters: what runs, scrapes, watches, draws or describes them is checked against it.

A new exporter is one file in this package and one row here. `tests/test_exporter_catalogue.py` then names
what it lacks: its service, job, alert, dashboard, variables and documentation.
"""

from __future__ import annotations

from msgspec import Struct


class ExporterEntry(Struct, frozen=True, kw_only=True):
    """One exporter. Its name is that of its module, compose service and Prometheus job."""

    port: int
    serves: str
    """What it publishes, in a few words."""
    prefixes: tuple[str, ...]
    """How the names of its own series begin."""
    image: str
    """Its image in docker-compose.yml, without the prefix and the tag."""
    service: str
    """Prometheus' label ``service``."""
    scrape_seconds: int
    alerts: tuple[str, ...]
    """Alerts on what it publishes, beside ExporterDown, which watches every exporter."""
    dashboards: tuple[str, ...]
    needs: str | None = None
    """Package that it cannot do without, and that not every installation has."""


EXPORTERS: dict[str, ExporterEntry] = {
    "rapl": ExporterEntry(
        port=9500,
        serves="power and energy of this host",
        prefixes=("rapl_", "gpu_"),
        image="exporter",
        service="power-monitoring",
        scrape_seconds=5,
        alerts=(
            "PowerSourceLost",
            "PowerOnlyModelled",
            "PowerUnknown",
            "PowerReadsFailing",
            "PowerSamplesRejected",
            "PackagePowerHigh",
        ),
        dashboards=("overview", "power"),
    ),
    "docker_stats": ExporterEntry(
        port=9501,
        serves="containers, units and pods: CPU, memory, energy",
        prefixes=("docker_", "cgroup_"),
        image="docker-stats-exporter",
        service="docker-overhead",
        scrape_seconds=15,
        alerts=("DockerEngineLost",),
        dashboards=("power",),
        needs="docker",
    ),
    "results": ExporterEntry(
        port=9502,
        serves="scenarios: power, energy, scores, predictions",
        prefixes=("results_",),
        image="results-exporter",
        service="analysis",
        scrape_seconds=15,
        alerts=("ModelStale", "PredictionOff", "ScenarioInvalid", "ResultFilesRefused"),
        dashboards=("results", "predictions"),
    ),
    "qoe": ExporterEntry(
        port=9503,
        serves="scenarios and live streams: VMAF, PSNR, SSIM",
        prefixes=("qoe_",),
        image="qoe-exporter",
        service="quality",
        scrape_seconds=15,
        alerts=(
            "VmafUnderFloor",
            "QualityUnaligned",
            "LiveStreamLost",
            "LivePictureFrozen",
            "LiveQualityLow",
            "LiveUnaligned",
            "LiveNotMeasured",
        ),
        dashboards=("qoe", "live", "qoe_cost"),
    ),
    "cost": ExporterEntry(
        port=9504,
        serves="scenarios: cost and carbon",
        prefixes=("cost_", "co2_"),
        image="cost-exporter",
        service="cost-analysis",
        scrape_seconds=30,
        alerts=("MonthProjectionAboveBudget", "InputStale", "PricingFilesRefused"),
        dashboards=("cost", "qoe_cost"),
    ),
}
