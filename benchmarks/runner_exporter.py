"""The runner beside the exporter: joules of one scenario by the result file and by the counter, tree by tree.

Trees as people own them (registers that leap, lifted limits, a zone switched off, a twin that serves, a range
that is smaller than its register, dram that stands) are driven at a constant power by a process of its own,
so that the truth is that power times the seconds. On each the real exporter is scraped ten times a second
and the real runner measures an encode. A scrape shows what the sampler saw last: the moment of a value is the
scrape that showed it first, and the counter at the ends of the runner's window lies between two of those.

    python benchmarks/runner_exporter.py [--seconds 45] [--json]

The driver says how long the trees ever stood: on a busy machine that is what the figures measure.
"""

from __future__ import annotations

import argparse
import bisect
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from random import Random

from msgspec import Struct

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advisor.results import Scenario, read_run
from benchmarks.figures import Figure, report
from benchmarks.record import ROOT
from tests.support.exporter_client import Served, scrape, served
from tests.support.powercap_tree import SMALL_RANGE_UJ, PowercapTree, Register

_STEP_SECONDS, _SCRAPE_SECONDS = 0.01, 0.1
_WARM_UP_SECONDS, _AFTER_SECONDS, _BETWEEN_STARTS_SECONDS = 12.0, 8.0, 2.0
_LEAP_SECONDS = 0.2
_PACKAGE = 'rapl_energy_joules_total{"domain": "package", "zone": "package_0"}'
_LIFTED = {
    "constraint_0_max_power_uw": 65_000_000,
    "constraint_0_power_limit_uw": 4_095_875_000,
    "constraint_1_power_limit_uw": 4_095_875_000,
}
_ENCODE = ("--input", "lavfi:testsrc2=size=128x72:rate=5", "--realtime", "--sink", "null", "--quiet")
_ENCODER = ("--encoder", "libx264", "--preset", "ultrafast")


class Driven(Struct):
    """A tree with one register that draws."""

    register: Register
    watts: float
    leap_joules: float = 0.0
    """How far it is ahead for a moment, about once a second."""
    leaps_from: float = 0.0
    leaps_until: float = 0.0


def build(root: Path) -> dict[str, Driven]:
    """The trees by name, each in a folder of that name."""

    def tree(name: str) -> PowercapTree:
        (root / name).mkdir()
        return PowercapTree(root / name)

    def package(name: str, **options: object) -> Register:
        return tree(name).add("intel-rapl:0", "package-0", **options)  # type: ignore[arg-type]

    amd = {"range_uj": SMALL_RANGE_UJ, "start_uj": 2_000_000_000, "limits_uw": {}}
    switched_off = package("switched off", limits_uw={"constraint_0_power_limit_uw": 30_000_000})
    (switched_off.folder / "enabled").write_text("0\n")
    twins = tree("a twin serves")
    twin = twins.add("intel-rapl-mmio:0", "package-0")
    first = twins.add("intel-rapl:0", "package-0")
    first.vanish()
    first.file.mkdir()
    small = package("small range", range_uj=None)
    (small.folder / "max_energy_range_uj").write_text("1000000\n")
    standing = tree("dram stands")
    above_dram = standing.add("intel-rapl:0", "package-0")
    standing.add("intel-rapl:0:0", "dram")
    return {
        "leaps of 696 J": Driven(package("leaps of 696 J", **amd), 6.2, 696.0),
        "leaps of 96 J": Driven(package("leaps of 96 J", **amd), 40.0, 96.0),
        "limits lifted": Driven(package("limits lifted", limits_uw=_LIFTED), 253.0),
        "switched off": Driven(switched_off, 250.0),
        "a twin serves": Driven(twin, 15.0),
        "small range": Driven(small, 12.0),
        "dram stands": Driven(above_dram, 30.0),
    }


def drive(root: Path) -> int:
    """Draw until stdin ends; says the watts first and at the end the longest time that the trees stood."""
    trees, chance, stop = build(root), Random(1), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    print(json.dumps({name: tree.watts for name, tree in trees.items()}), flush=True)
    start = last = time.monotonic()
    longest = 0.0
    while not stop.wait(_STEP_SECONDS):
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        for tree in trees.values():
            tree.register.true_uj = round(tree.watts * (now - start) * 1e6)
            _show(tree, now, chance)
    print(json.dumps(longest), flush=True)
    return 0


def _show(tree: Driven, now: float, chance: Random) -> None:
    if tree.leap_joules and now >= tree.leaps_from:
        tree.leaps_until, tree.leaps_from = now + _LEAP_SECONDS, now + chance.uniform(0.5, 1.5)
    ahead = tree.leap_joules if now < tree.leaps_until else 0.0
    tree.register.jump(ahead)
    tree.register.offset_uj -= round(ahead * 1e6)


class Counters:
    """Each exporter's counter, at the moments at which it was first seen to have a value."""

    def __init__(self, exporters: Mapping[str, Served]) -> None:
        self._exporters = exporters
        self._points: dict[str, list[tuple[float, float]]] = {name: [] for name in exporters}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Counters:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(_SCRAPE_SECONDS):
            for name, exporter in self._exporters.items():
                value, points = scrape(exporter).get(_PACKAGE), self._points[name]
                if value is not None and (not points or points[-1][1] != value):
                    points.append((time.time(), value))

    def joules(self, name: str, start: float, end: float) -> float:
        """From one Unix time to another."""
        return self._at(name, end) - self._at(name, start)

    def _at(self, name: str, seconds: float) -> float:
        points = self._points[name]
        place = min(max(bisect.bisect_left(points, (seconds,)), 1), len(points) - 1)
        (before, low), (after, high) = points[place - 1], points[place]
        return low + (high - low) * (seconds - before) / (after - before)


def measure(seconds: float, folder: Path) -> list[Figure]:
    """Run everything at once, the runners one after the other's start."""
    sysfs = folder / "sysfs"
    sysfs.mkdir()
    with ExitStack() as stack:
        pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        driver = stack.enter_context(
            subprocess.Popen([sys.executable, __file__, "--drive", str(sysfs)], **pipe, text=True, cwd=ROOT)  # type: ignore[call-overload]
        )
        stack.callback(driver.stdin.close)
        watts = json.loads(driver.stdout.readline())
        exporters = {
            name: stack.enter_context(
                served("exporters.rapl", "--sysfs", str(sysfs / name), "--models-dir", str(folder / "none"))
            )
            for name in watts
        }
        with Counters(exporters) as counters:
            time.sleep(_WARM_UP_SECONDS)
            runners = []
            for name in watts:
                command = [sys.executable, "run_tests.py", "single", *_ENCODE, *_ENCODER]
                options = ["--duration", f"{seconds:g}", "--sysfs", str(sysfs / name)]
                output = ["--output-dir", str(folder / name)]
                runners.append(
                    subprocess.Popen([*command, *options, *output], stdout=subprocess.DEVNULL, cwd=ROOT)
                )
                time.sleep(_BETWEEN_STARTS_SECONDS)
            for runner in runners:
                if runner.wait():
                    raise RuntimeError(f"the runner ended with {runner.returncode}")
            time.sleep(_AFTER_SECONDS)
        driver.stdin.close()
        stood = json.loads(driver.stdout.readline())
    scenarios = {name: _scenario(folder / name) for name in watts}
    figures = [figure for name, s in scenarios.items() for figure in _compare(name, s, counters, watts[name])]
    return [*figures, Figure("longest time that the trees stood", stood * 1000, "ms")]


def _scenario(folder: Path) -> Scenario:
    (path,) = folder.glob("test_results_*.json")
    run = read_run(path)
    if not run.scenarios:
        raise RuntimeError(f"{path.name}: {run.refused}")
    return run.scenarios[0]


def _compare(name: str, scenario: Scenario, counters: Counters, watts: float) -> list[Figure]:
    start, end, power = scenario.start_time, scenario.end_time, scenario.power
    if start is None or end is None or power is None or power.total_energy_joules is None:
        raise RuntimeError(f"{name}: no energy: {scenario.error}")
    joules = power.total_energy_joules
    truth, exporter = watts * (end - start), counters.joules(name, start, end)
    print(f"{name}: runner {joules:.2f} J, exporter {exporter:.2f} J, truth {truth:.2f} J", file=sys.stderr)
    return [
        Figure(f"{name}: runner and the truth", abs(joules / truth - 1) * 100, "%"),
        Figure(f"{name}: runner and exporter", abs(joules / exporter - 1) * 100, "%", goal=1.0),
    ]


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.drive is not None:
        return drive(options.drive)
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        figures = measure(options.seconds, Path(folder))
    return report(figures, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
