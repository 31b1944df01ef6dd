"""Enrichment of many scenarios from a real Prometheus, beside one query per scenario and metric.

promtool makes the history of one host: 30 days of energy and power of two zones, host CPU and two containers,
scraped every 15 s. Scenarios of a minute lie in it as a matrix leaves them, in runs of 20 with pauses of half
a minute, and spread evenly, which is the worst that can be: all of the time is near some scenario. Both ways
ask the same server in one run: the peer is a plain `requests` session that is kept alive, one range query
for each scenario and metric, as a loop over scenarios asks. Needs ``prometheus`` and ``promtool``.

    python -m benchmarks.enrichment [--scenarios 2000] [--days 30] [--scrape 15] [--json]
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

import msgspec
import numpy as np
import requests
from numpy.typing import NDArray

from advisor.prometheus.client import PrometheusClient
from advisor.prometheus.enrichment import ObservationCache, enrich
from advisor.results import Run, Scenario
from advisor.results.derived import energy
from benchmarks.figures import Figure, report

BASE = 1_767_600_000
METRICS = (
    "rapl_energy_joules_total",
    "rapl_power_watts",
    "docker_engine_cpu_percent",
    "docker_container_cpu_seconds_total",
)
IDLE_WATTS = 30.0
GOAL = 1 / 2
"""Of the time of one query per scenario and metric. Reading raw samples without an object for each reached a
twentieth, and took 430 lines more to save some seconds of a command that runs now and then."""
DRAM_WATTS = 4.0


def windows(count: int, days: int, run_length: int = 1) -> list[tuple[float, float, float]]:
    """Start, end (seconds after BASE) and watts above idle of each scenario; runs are spread evenly."""
    apart = days * 86400 / -(-count // run_length)
    starts = [i // run_length * apart + i % run_length * 90 + 300.3 for i in range(count)]
    return [(start, start + 60, 20.0 + i % 90) for i, start in enumerate(starts)]


def history(loads: list[tuple[float, float, float]], days: int, scrape: int) -> Iterator[str]:
    """The history in OpenMetrics, series by series."""
    times = np.arange(0.0, days * 86400, scrape)
    joules, watts = IDLE_WATTS * times, np.full(len(times), IDLE_WATTS)
    for start, end, extra in loads:
        first, last = np.searchsorted(times, (start, end))
        joules[first:last] += extra * (times[first:last] - start)
        joules[last:] += extra * (end - start)
        watts[first:last] += extra
    dram = np.full(len(times), DRAM_WATTS)
    families: dict[tuple[str, str], dict[str, NDArray[np.float64]]] = {
        ("rapl_energy_joules", "counter"): {'zone="package_0"': joules, 'zone="dram_0"': DRAM_WATTS * times},
        ("rapl_power_watts", "gauge"): {'zone="package_0"': watts, 'zone="dram_0"': dram},
        ("docker_engine_cpu_percent", "gauge"): {'engine="a"': watts / 2},
        ("docker_container_cpu_seconds", "counter"): {
            f'container="{name}"': 0.1 * times for name in ("web", "db")
        },
        ("rapl_source_info", "gauge"): {'source="powercap",tier="measured"': np.ones(len(times))},
    }
    for (name, kind), series in families.items():
        yield f"# TYPE {name} {kind}\n"
        suffix = "_total" if kind == "counter" else ""
        for labels, values in series.items():
            head = f'{name}{suffix}{{instance="a",{labels}}}'
            for t, value in zip(times.tolist(), values.tolist(), strict=True):
                yield f"{head} {value!r} {BASE + int(t)}\n"
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


def one_by_one(url: str, run: Run) -> list[float]:
    """Joules of each scenario, last less first of a range query for each metric and scenario."""
    found = []
    with requests.Session() as session:
        for s in run.scenarios:
            asked = {"start": f"{s.start_time}", "end": f"{s.end_time}", "step": "1s"}
            answers = [
                session.get(f"{url}/api/v1/query_range", params={"query": metric, **asked}).json()
                for metric in METRICS
            ]
            series = [[float(v) for _, v in one["values"]] for one in answers[0]["data"]["result"]]
            found.append(sum(values[-1] - values[0] for values in series))
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
    found: list[Figure] = []
    for run_length, layout in ((20, "runs of 20"), (1, "evenly spread")):
        found += measure(options.scenarios, options.days, options.scrape, run_length, layout)
    return report(found, as_json=options.json)


def measure(count: int, days: int, scrape: int, run_length: int, layout: str) -> list[Figure]:
    """Both ways over one history."""
    loads = windows(count, days, run_length)
    scenarios = tuple(
        Scenario(name=f"s{i}", start_time=BASE + start, end_time=BASE + end, duration=end - start)
        for i, (start, end, _) in enumerate(loads)
    )
    run = Run(run_id="test_results_20260105_080000", scenarios=scenarios)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "history.om").open("w") as file:
            file.writelines(history(loads, days, scrape))
        # blocks of two days, as a server that has compacted them has
        make = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=54h"]
        make += ["history.om", "data"]
        subprocess.run(make, cwd=folder, check=True, capture_output=True)
        with served(folder) as url, PrometheusClient(url, timeout_seconds=300) as client:
            enrich([msgspec.structs.replace(run, scenarios=scenarios[:1])], client)  # imports, connections
            began = time.perf_counter()
            plain = one_by_one(url, run)
            alone, alone_requests = time.perf_counter() - began, len(METRICS) * len(scenarios)
            cache = ObservationCache(folder / "cache.sqlite")
            began = time.perf_counter()
            done = enrich([run], client, cache=cache)
            together = time.perf_counter() - began
            began = time.perf_counter()
            again = enrich([run], client, cache=cache)
            known = time.perf_counter() - began
    true = [(IDLE_WATTS + DRAM_WATTS + extra) * (end - start) for start, end, extra in loads]
    joules = [found.joules if (found := energy(s)) else 0.0 for s in done.runs[0].scenarios]
    worst, plain_worst = (
        100 * max(abs(j / t - 1) for j, t in zip(found, true, strict=True)) for found in (joules, plain)
    )
    peer, size, of = "one query per scenario and metric", count, "scenarios"
    what = f"enrichment, {layout}"
    return [
        Figure(what, together, "s", peer, alone, GOAL, size=size, of=of),
        Figure(what, done.requests, "requests", peer, alone_requests, size=size, of=of),
        Figure(f"{what}, second run", known, "s", peer, alone, size=size, of=of),
        Figure(f"{what}, second run", again.requests, "requests", peer, alone_requests, size=size, of=of),
        Figure(f"enriched, {layout}", len(done.enriched), "", goal=size, at_least=True, size=size, of=of),
        Figure(f"largest error of energy, {layout}", worst, "%", goal=0.1, size=size, of=of),
        Figure(f"error of last less first, {layout}", plain_worst, "%", size=size, of=of),
    ]


if __name__ == "__main__":
    sys.exit(main())
