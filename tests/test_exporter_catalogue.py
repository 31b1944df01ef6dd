"""Every exporter is run, scraped, watched, drawn and described: `exporters/catalogue.py` is the table."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import exporters
from exporters.catalogue import EXPORTERS, ExporterEntry
from tests.support.promql import dashboard_queries, metric_names
from wattframe.stack.services import exporter_services, parse_ports

ROOT = Path(__file__).resolve().parent.parent
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
CONFIG = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
JOBS = {job["job_name"]: job for job in CONFIG["scrape_configs"]}
ALERTS = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load((ROOT / "prometheus" / "rules" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
BOARD_METRICS: dict[str, set[str]] = {}
for query in dashboard_queries():
    BOARD_METRICS.setdefault(query.place.partition(":")[0], set()).update(metric_names(query.expr))


KUBERNETES = "".join(path.read_text() for path in (ROOT / "deploy" / "kubernetes" / "base").glob("*.yaml"))


def page(name: str) -> str:
    return (ROOT / name).read_text()


def missing(name: str, entry: ExporterEntry) -> Iterator[str]:
    """What an exporter of the table still lacks, each with the place where it belongs."""
    yield from _missing_in_the_stack(name, entry)
    yield from _missing_in_the_images(name, entry)
    yield from _missing_alerts(name, entry)
    for board in entry.dashboards:
        if not any(metric.startswith(entry.prefixes) for metric in BOARD_METRICS.get(board, ())):
            yield f"grafana/boards/{board}.py: a panel that asks for {' or '.join(entry.prefixes)}..."
    integration = page("docs/EXPORTER_INTEGRATION.md")
    row = f"| `{name}` | {entry.port} | `{name}` | `{entry.service}` | {entry.scrape_seconds} s |"
    if row not in integration:
        yield f"docs/EXPORTER_INTEGRATION.md: the row {row}"
    if f"\n## {name}\n" not in integration:
        yield f"docs/EXPORTER_INTEGRATION.md: a section '## {name}'"
    if f"| {entry.port} | `{name}` |" not in page("README.md"):
        yield f"README.md: a row '| {entry.port} | `{name}` |' in the table of ports"
    variable = f"{name.upper()}_PORT"
    if f"{variable}={entry.port}" not in page(".env.example").splitlines():
        yield f".env.example: {variable}={entry.port}"
    if f"`{variable}`" not in page("docs/configuration.md"):
        yield f"docs/configuration.md: the variable `{variable}`"
    if not (ROOT / "tests" / "exporters" / "golden" / f"{name}.prom").is_file():
        yield f"tests/exporters/test_{name}.py: a golden page {name}.prom"


def _missing_in_the_images(name: str, entry: ExporterEntry) -> Iterator[str]:
    """What builds, releases and deploys it."""
    dockerfile = SERVICES.get(name, {}).get("build", {}).get("dockerfile", "Dockerfile.exporter")
    if f"EXPOSE {entry.port}\n" not in page(dockerfile) or f'["exporters.{name}"]' not in page(dockerfile):
        yield f'{dockerfile}: an image with EXPOSE {entry.port} and CMD ["exporters.{name}"]'
    if f"image: {entry.image}," not in page(".github/workflows/release.yml"):
        yield f".github/workflows/release.yml: the image {entry.image}"
    if f'"{entry.image}"' not in page("scripts/notices.py"):
        yield f"scripts/notices.py: the image {entry.image} beside its lock"
    if f"containerPort: {entry.port}" not in KUBERNETES:
        yield f"deploy/kubernetes/base: a container {name} on port {entry.port}, a Service, a ServiceMonitor"
    if not re.search(rf"^\| `{name}` \| [\d.]+ \|", page("docs/deployment.md"), re.MULTILINE):
        yield f"docs/deployment.md: the exposure of wattframe@{name} (systemd-analyze security)"


def _missing_in_the_stack(name: str, entry: ExporterEntry) -> Iterator[str]:
    port = f"${{BIND_ADDRESS:-127.0.0.1}}:${{{name.upper()}_PORT:-{entry.port}}}:{entry.port}"
    service = SERVICES.get(name, {})
    if port not in service.get("ports", ()):
        yield f"docker-compose.yml: a service {name} with the port {port}"
    if f"-{entry.image}:" not in service.get("image", ""):
        yield f"docker-compose.yml: a service {name} with the image {entry.image}"
    job = JOBS.get(name, {})
    wanted = [{"targets": [f"{name}:{entry.port}"], "labels": {"service": entry.service}}]
    if job.get("static_configs") != wanted:
        yield f"prometheus/prometheus.yml: a job {name} with {wanted}"
    if job.get("scrape_interval") != f"{entry.scrape_seconds}s":
        yield f"prometheus/prometheus.yml: scrape_interval {entry.scrape_seconds}s for the job {name}"


def _missing_alerts(name: str, entry: ExporterEntry) -> Iterator[str]:
    for alert, watches in (("ExporterDown", True), ("TargetDown", False)):
        jobs = re.search(r'job[=!]~"([^"]*)"', ALERTS[alert])
        if jobs is None or name not in jobs[1].split("|"):
            verb = "watch" if watches else "leave out"
            yield f"prometheus/rules/alerts.yml: {alert} does not {verb} the job {name}"
    if not entry.alerts:
        yield f"exporters/catalogue.py: {name} has no alert on what it publishes"
    for alert in entry.alerts:
        watched = metric_names(ALERTS.get(alert, ""))
        if not any(metric.startswith(entry.prefixes) for metric in watched):
            yield f"prometheus/rules/alerts.yml: an alert {alert} on {' or '.join(entry.prefixes)}..."
        if f"`{alert}`" not in page("docs/alerts.md"):
            yield f"docs/alerts.md: the alert `{alert}`"
        if f"\n## {alert}\n" not in page("docs/runbooks.md"):
            yield f"docs/runbooks.md: a section '## {alert}'"
        tests = page("prometheus/tests/alerts.yml") + page("prometheus/tests/hours.yml")
        if f"alertname: {alert}\n" not in tests:
            yield f"prometheus/tests/alerts.yml: a test in which {alert} fires and stops"


@pytest.mark.parametrize("name", EXPORTERS)
def test_an_exporter_lacks_nothing(name: str) -> None:
    lacking = list(missing(name, EXPORTERS[name]))
    assert not lacking, "\n".join(["", *lacking])


def test_what_a_new_exporter_lacks_is_named_with_its_place() -> None:
    """A row without the rest, as somebody new would begin: the alert is among what is asked for."""
    entry = ExporterEntry(
        port=9505,
        serves="",
        prefixes=("water_",),
        image="water-exporter",
        service="water",
        scrape_seconds=15,
        alerts=(),
        dashboards=("water",),
    )
    asked = list(missing("water", entry))
    assert {line.partition(":")[0] for line in asked} == {
        *(
            "docker-compose.yml",
            "prometheus/prometheus.yml",
            "prometheus/rules/alerts.yml",
            "exporters/catalogue.py",
        ),
        *("grafana/boards/water.py", "docs/EXPORTER_INTEGRATION.md", "README.md", ".env.example"),
        *("docs/configuration.md", "docs/deployment.md", "tests/exporters/test_water.py"),
        *("Dockerfile.exporter", ".github/workflows/release.yml", "scripts/notices.py"),
        "deploy/kubernetes/base",
    }
    assert "prometheus/rules/alerts.yml: ExporterDown does not watch the job water" in asked
    assert "exporters/catalogue.py: water has no alert on what it publishes" in asked


def test_every_exporter_of_the_package_has_a_row() -> None:
    modules = [module.name for module in pkgutil.iter_modules(exporters.__path__) if not module.ispkg]
    declared = {name for name in modules if hasattr(importlib.import_module(f"exporters.{name}"), "EXPORTER")}
    assert declared == EXPORTERS.keys(), "exporters/catalogue.py: one row for each exporter of the package"


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_row_is_what_the_module_declares(name: str) -> None:
    exporter, entry = importlib.import_module(f"exporters.{name}").EXPORTER, EXPORTERS[name]
    assert (exporter.name, exporter.port) == (name, entry.port)
    foreign = [family.name for family in exporter.families if not family.name.startswith(entry.prefixes)]
    assert foreign == []


def test_ports_are_unique() -> None:
    assert len({entry.port for entry in EXPORTERS.values()}) == len(EXPORTERS)


def test_up_runs_all_that_are_installed() -> None:
    services = exporter_services(parse_ports(()), host="127.0.0.1", environment={})
    assert [(s.name, s.port, s.serves) for s in services] == [
        (name, entry.port, entry.serves) for name, entry in EXPORTERS.items()
    ]
