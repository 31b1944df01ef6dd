"""Energy over an hour as a real Prometheus adds it up: the RAPL exporter beside node_exporter's collector.

The hour is accelerated: ranges, scrape intervals and the sampler's interval are divided by ``--speed``
and powers are as they are, so that an hour's wraps and scrapes happen in ``3600 / speed`` seconds. Power
swings between 0 and 400 W a package within a scrape interval: ``increase`` extrapolates to the edges of its
window, and a slower swing would measure that. Truth is what was drawn between the two ends of the window.

    python benchmarks/rapl_prometheus.py [--speed 30] [--json]
"""

from __future__ import annotations

import argparse
import bisect
import contextlib
import json
import math
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.figures import Figure, report
from benchmarks.peers import NODE_EXPORTER, node_exporter
from tests.support.exporter_client import served
from tests.support.powercap_tree import LARGE_RANGE_UJ, SMALL_RANGE_UJ, PowercapTree

HOUR_SECONDS = 3600
SCRAPE_SECONDS = (5, 60)
ZONES = {"package_0": "intel-rapl:0", "dram_0": "intel-rapl:0:0", "package_1": "intel-rapl:1"}
_UPDATE_SECONDS = 0.002
# of the hour: well within the shorter scrape interval, and no divisor of either
_SWING_SECONDS = 2.3


class Outcome(Struct, frozen=True):
    """One zone over the hour at one scrape interval; errors are ratios of the truth."""

    zone: str
    scrape_seconds: int
    true_joules: float
    error_ratio: float | None
    node_exporter_error_ratio: float | None


class Driver:
    """Draws power in real time from a thread, and remembers what had been drawn when."""

    def __init__(self, sysfs: Path, speed: float) -> None:
        self.tree = PowercapTree(sysfs)
        limits = {"constraint_0_max_power_uw": 400_000_000}
        for entry, name, full in (
            ("intel-rapl:0", "package-0", LARGE_RANGE_UJ),
            ("intel-rapl:0:0", "dram", SMALL_RANGE_UJ),
            ("intel-rapl:1", "package-1", SMALL_RANGE_UJ),
        ):
            range_uj = int(full / speed)
            self.tree.add(entry, name, range_uj=range_uj, start_uj=range_uj // 3, limits_uw=limits)
        self._swing_seconds = _SWING_SECONDS / speed
        self._times: list[float] = []
        self._joules: list[dict[str, float]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Driver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.time()
        while not self._stopping.wait(_UPDATE_SECONDS):
            now = time.time()
            for number, register in enumerate(self.tree.registers.values()):
                swing = 0.5 + 0.5 * math.sin(2 * math.pi * now / self._swing_seconds + number)
                register.add((now - last) * swing * (40.0 if number == 1 else 400.0))
            last = now
            self._times.append(now)
            self._joules.append({entry: r.joules for entry, r in self.tree.registers.items()})

    def joules_at(self, seconds: float, entry: str) -> float:
        """What had been drawn at a Unix time, between two updates by proportion."""
        after = bisect.bisect_left(self._times, seconds)
        a, b = self._times[after - 1], self._times[after]
        before, later = self._joules[after - 1][entry], self._joules[after][entry]
        return before + (later - before) * (seconds - a) / (b - a)


@contextlib.contextmanager
def prometheus(folder: Path, targets: dict[str, int], speed: float) -> Iterator[str]:
    """A real Prometheus that scrapes each target at each of the accelerated intervals; gives its address."""
    jobs = [
        {
            "job_name": f"{name}-{seconds}",
            "scrape_interval": f"{round(1000 * seconds / speed)}ms",
            "scrape_timeout": f"{min(round(1000 * seconds / speed), 1000)}ms",
            "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
        }
        for name, port in targets.items()
        for seconds in SCRAPE_SECONDS
    ]
    (folder / "prometheus.yml").write_text(json.dumps({"scrape_configs": jobs}))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        *("prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"),
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url)
            yield url
        finally:
            process.terminate()


def _wait_until_ready(url: str) -> None:
    for _ in range(300):
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{url}/-/ready", timeout=1),  # noqa: S310
        ):
            return
        time.sleep(0.1)
    raise SystemExit("Prometheus did not get ready")


def _wait_for_samples(url: str, jobs: int) -> None:
    for _ in range(300):
        if query(url, "count(up == 1)", time.time()) == jobs:
            return
        time.sleep(0.1)
    raise SystemExit("Prometheus does not reach every target")


def query(url: str, expression: str, at: float) -> float | None:
    """One instant value; None where Prometheus has none."""
    arguments = urllib.parse.urlencode({"query": expression, "time": f"{at:.3f}"})
    with urllib.request.urlopen(f"{url}/api/v1/query?{arguments}", timeout=30) as answer:  # noqa: S310
        result = json.load(answer)["data"]["result"]
    return float(result[0]["value"][1]) if result else None


def run(speed: float) -> list[Outcome]:
    hour = HOUR_SECONDS / speed
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        driver = Driver(folder / "sys", speed)
        options = ("--sysfs", str(folder / "sys"), "--interval", f"{max(1 / speed, 0.01):.4f}")
        ours = stack.enter_context(served("exporters.rapl", *options))
        targets = {"rapl": ours.port}
        if shutil.which(NODE_EXPORTER):
            targets["node"] = stack.enter_context(node_exporter(folder / "sys")).port
        url = stack.enter_context(prometheus(folder, targets, speed))
        stack.enter_context(driver)
        _wait_for_samples(url, 2 * len(targets))
        time.sleep(hour + 4 * max(SCRAPE_SECONDS) / speed)
        end = time.time() - 2 * max(SCRAPE_SECONDS) / speed
        return [
            _outcome(driver, url, name, entry, seconds, end - hour, end)
            for seconds in SCRAPE_SECONDS
            for name, entry in ZONES.items()
        ]


def _outcome(
    driver: Driver, url: str, zone: str, entry: str, scrape_seconds: int, start: float, end: float
) -> Outcome:
    true = driver.joules_at(end, entry) - driver.joules_at(start, entry)
    window = f"{round(1000 * (end - start))}ms"
    ours = f'increase(rapl_energy_joules_total{{job="rapl-{scrape_seconds}",zone="{zone}"}}[{window}])'
    series = f'{{__name__=~"node_rapl_.*_joules_total",job="node-{scrape_seconds}",path=~".*/{entry}"}}'
    errors = [
        None if (joules := query(url, expression, end)) is None else joules / true - 1
        for expression in (ours, f"increase({series}[{window}])")
    ]
    return Outcome(zone, scrape_seconds, true, *errors)


def _figure(row: Outcome) -> Figure | None:
    """None where Prometheus had no value."""
    if row.error_ratio is None:
        return None
    theirs = row.node_exporter_error_ratio
    peer, error = (NODE_EXPORTER, abs(theirs) * 100) if theirs is not None else ("", None)
    what = f"energy error of {row.zone} in Prometheus over an hour, {row.scrape_seconds} s scrape"
    return Figure(what, abs(row.error_ratio) * 100, "%", peer, error)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speed", type=float, default=30.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = run(options.speed)
    if options.json:
        return report([f for row in found if (f := _figure(row)) is not None], as_json=True)
    print(f"{'zone':10} {'scrape':>7} {'true J':>12} {'rapl':>10} {'node_exporter':>14}")
    for row in found:
        errors = [_percent(row.error_ratio), _percent(row.node_exporter_error_ratio)]
        print(
            f"{row.zone:10} {row.scrape_seconds:5} s {row.true_joules:12.1f} {errors[0]:>10} {errors[1]:>14}"
        )
    return 0


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:+.3%}"


if __name__ == "__main__":
    sys.exit(main())
