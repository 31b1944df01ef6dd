"""Enrichment of many scenarios from a real Prometheus, beside one query per scenario and metric.

promtool makes the history: 30 days of counters and gauges of two zones, scraped every 15 s, with scenarios of
a minute spread over them. Both ways ask the same server in the same run; energies are compared. Needs
``prometheus`` and ``promtool`` on the PATH.

    python benchmarks/enrichment.py [--scenarios 2000] [--days 30] [--scrape 15]
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from advisor.enrichment import ObservationCache, enrich
from advisor.prometheus import PrometheusClient
from advisor.results import Run, Scenario
from advisor.scenario import energy
from benchmarks.figures import Figure, report

BASE = 1_767_600_000
METRICS = ("rapl_energy_joules_total", "rapl_power_watts")
IDLE_WATTS = 30.0
GOAL = 1 / 50
DRAM_WATTS = 4.0


def windows(count: int, days: int) -> list[tuple[float, float, float]]:
    """Start, end (seconds after BASE) and watts above idle of each scenario."""
    apart = days * 86400 / count
    return [(i * apart + 300.3, i * apart + 360.3, 20.0 + i % 90) for i in range(count)]


def history(loads: list[tuple[float, float, float]], days: int, scrape: int) -> Iterator[str]:
    """The history in OpenMetrics, series by series."""
    times = range(0, days * 86400, scrape)
    joules: list[float] = []
    watts: list[float] = []
    spent, current = 0.0, 0
    for t in times:
        while current < len(loads) and loads[current][1] <= t:
            start, end, extra = loads[current]
            spent += (end - start) * extra
            current += 1
        start, _, extra = loads[current] if current < len(loads) else (float("inf"), 0.0, 0.0)
        running = max(t - start, 0.0)
        joules.append(IDLE_WATTS * t + spent + running * extra)
        watts.append(IDLE_WATTS + (extra if running > 0 else 0.0))
    yield "# TYPE rapl_energy_joules counter\n"
    for zone, values in (("package_0", joules), ("dram_0", [DRAM_WATTS * t for t in times])):
        for t, value in zip(times, values, strict=True):
            yield f'rapl_energy_joules_total{{instance="a",zone="{zone}"}} {value} {BASE + t}\n'
    yield "# TYPE rapl_power_watts gauge\n"
    for zone, values in (("package_0", watts), ("dram_0", [DRAM_WATTS] * len(watts))):
        for t, value in zip(times, values, strict=True):
            yield f'rapl_power_watts{{instance="a",zone="{zone}"}} {value} {BASE + t}\n'
    yield "# EOF\n"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A Prometheus over the blocks in ``folder``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 15s}\n")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                "--storage.tsdb.retention.time=100y",
                f"--web.listen-address={url}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        for _ in range(600):
            try:
                if requests.get(f"http://{url}/-/ready", timeout=1).ok:
                    break
            except requests.ConnectionError:
                pass
            time.sleep(0.1)
        yield f"http://{url}"
    finally:
        server.terminate()
        server.wait(60)


def one_by_one(client: PrometheusClient, run: Run) -> list[float]:
    """Joules by one range query for each scenario and metric, as a loop over scenarios would ask."""
    found = []
    for s in run.scenarios:
        start, end = s.start_time or 0.0, s.end_time or 0.0
        joules = 0.0
        for metric in METRICS:
            for series in client.query_range(f'{metric}{{zone=~"package.*|dram.*"}}', start, end, 1):
                if metric == METRICS[0]:
                    joules += series.values[-1] - series.values[0]
        found.append(joules)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenarios", type=int, default=2000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--scrape", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        raise SystemExit("needs prometheus and promtool")
    loads = windows(options.scenarios, options.days)
    scenarios = tuple(
        Scenario(name=f"s{i}", start_time=BASE + start, end_time=BASE + end, duration=end - start)
        for i, (start, end, _) in enumerate(loads)
    )
    run = Run(run_id="test_results_20260105_080000", scenarios=scenarios)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "history.om").open("w") as file:
            file.writelines(history(loads, options.days, options.scrape))
        make = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "history.om", "data"]
        subprocess.run(make, cwd=folder, check=True, capture_output=True)
        with served(folder) as url, PrometheusClient(url, timeout_seconds=300) as client:
            began = time.perf_counter()
            one_by_one(client, run)
            alone, alone_requests = time.perf_counter() - began, client.requests_sent
            cache = ObservationCache(folder / "cache.sqlite")
            began = time.perf_counter()
            done = enrich([run], client, cache=cache)
            together = time.perf_counter() - began
            began = time.perf_counter()
            again = enrich([run], client, cache=cache)
            known = time.perf_counter() - began
    worst = max(
        abs(found.joules / ((IDLE_WATTS + DRAM_WATTS + extra) * (end - start)) - 1)
        for s, (start, end, extra) in zip(done.runs[0].scenarios, loads, strict=True)
        if (found := energy(s))
    )
    peer, size, of = "one query per scenario and metric", options.scenarios, "scenarios"
    found = [
        Figure("enrichment", together, "s", peer, alone, GOAL, size=size, of=of),
        Figure("enrichment", done.requests, "requests", peer, alone_requests, size=size, of=of),
        Figure("enrichment, second run", known, "s", peer, alone, size=size, of=of),
        Figure("enrichment, second run", again.requests, "requests", peer, alone_requests, size=size, of=of),
        Figure("scenarios enriched", len(done.enriched), "", goal=size, at_least=True, size=size, of=of),
        Figure("largest error of an enriched energy", worst * 100, "%", goal=0.1, size=size, of=of),
    ]
    return report(found, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
