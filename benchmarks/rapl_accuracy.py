"""A simulated day of power, and how much of it is counted: the meter beside node_exporter's rapl collector.

A tree as the kernel lays it out (two sockets, dram, core, psys, mmio twins, one die mirrored, registers
of 262 kJ and 65.5 kJ) is driven second by second through 0-400 W a package. On the way 1 % of the reads
fail, one zone cannot be read for ten minutes, one register is set back, and the sampler is paused for
three minutes. The meter reads it on a clock of its own; the real ``prometheus-node-exporter`` is scraped
over HTTP every 15 simulated seconds, and its counters are added up as Prometheus' ``increase`` does.
Truth is what was drawn, in microjoules.

    python benchmarks/rapl_accuracy.py [--hours 24] [--seed 1] [--without-peer] [--json]
"""

from __future__ import annotations

import argparse
import math
import random
import re
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advisor.energy.meter import Meter
from advisor.energy.powercap import PowercapSource
from benchmarks.figures import Figure, report
from benchmarks.peers import NODE_EXPORTER, node_exporter
from tests.support.clock import FakeClock
from tests.support.powercap_tree import LARGE_RANGE_UJ, SMALL_RANGE_UJ, PowercapTree

SCRAPE_SECONDS = 15
FAILING_SHARE = 0.01
_SERIES = re.compile(r'^node_rapl_\w+_joules_total\{.*path="([^"]*)".*\} (\S+)$', re.MULTILINE)


class Outcome(Struct, frozen=True):
    """One zone after the day; errors are ratios of the truth."""

    zone: str
    true_joules: float
    joules: float
    error_ratio: float
    wraps: int
    possible_missed_wraps: int
    read_errors: int
    rejected: int
    node_exporter_joules: float | None
    node_exporter_error_ratio: float | None


ZONES = {
    "package_0_die_0": "intel-rapl:0",
    "core_0_die_0": "intel-rapl:0:0",
    "dram_0_die_0": "intel-rapl:0:1",
    "package_1_die_0": "intel-rapl:1",
    "dram_1_die_0": "intel-rapl:1:0",
    "psys_0": "intel-rapl:3",
}
"""What has to be counted, and where it is."""
TWINS = {"intel-rapl-mmio:0": "intel-rapl:0", "intel-rapl-mmio:1": "intel-rapl:1"}
MIRRORS = {"intel-rapl:2": "intel-rapl:1"}


def build(sysfs: Path, random_: random.Random) -> PowercapTree:
    tree = PowercapTree(sysfs)

    def add(entry: str, name: str, range_uj: int, like: str | None = None) -> None:
        limits = {"constraint_0_max_power_uw": 50_000_000 if name == "dram" else 400_000_000}
        start = tree[like].offset_uj if like else random_.randrange(range_uj)
        tree.add(entry, name, range_uj=range_uj, start_uj=start, limits_uw=limits)

    add("intel-rapl:0", "package-0-die-0", LARGE_RANGE_UJ)
    add("intel-rapl:0:0", "core", LARGE_RANGE_UJ)
    add("intel-rapl:0:1", "dram", SMALL_RANGE_UJ)
    add("intel-rapl:1", "package-1-die-0", SMALL_RANGE_UJ)
    add("intel-rapl:1:0", "dram", SMALL_RANGE_UJ)
    add("intel-rapl:2", "package-1-die-1", SMALL_RANGE_UJ, like="intel-rapl:1")
    add("intel-rapl:3", "psys", LARGE_RANGE_UJ)
    add("intel-rapl-mmio:0", "package-0-die-0", LARGE_RANGE_UJ, like="intel-rapl:0")
    add("intel-rapl-mmio:1", "package-1-die-0", SMALL_RANGE_UJ, like="intel-rapl:1")
    return tree


class Load:
    """Power of the zones: a daily swing, jobs that come and go, and noise; 0-400 W a package."""

    def __init__(self, random_: random.Random) -> None:
        self._random = random_
        self._job = [0.0, 0.0]

    def joules(self, second: int) -> dict[str, float]:
        """Joules of this second by the kernel's name of the zone."""
        drawn: dict[str, float] = {}
        for socket in range(2):
            if self._random.random() < 1 / 300:
                self._job[socket] = self._random.choice([0.0, 0.0, 80.0, 200.0, 320.0])
            swing = 40 + 35 * math.sin(2 * math.pi * second / 86_400 + socket)
            package = min(max(swing + self._job[socket] + self._random.gauss(0, 8), 0.0), 400.0)
            drawn[f"intel-rapl:{socket}"] = package
            drawn[f"intel-rapl:{socket}:{1 - socket}"] = 4 + package / 12
        drawn["intel-rapl:0:0"] = 0.8 * drawn["intel-rapl:0"]
        drawn["intel-rapl:3"] = sum(drawn[f"intel-rapl:{s}"] for s in range(2)) + 45
        for copy, original in (TWINS | MIRRORS).items():
            drawn[copy] = drawn[original]
        return drawn


class Script:
    """What goes wrong, and when (seconds of the day, scaled to its length)."""

    def __init__(self, seconds: int) -> None:
        self.unreadable = range(int(seconds * 0.3), int(seconds * 0.3) + 600)
        self.set_back = int(seconds * 0.5)
        self.paused = range(int(seconds * 0.7), int(seconds * 0.7) + 180)


def drive(hours: float, seed: int, scrape: Callable[[], None], sysfs: Path) -> tuple[PowercapTree, Meter]:
    """The day: every second energy is drawn, some files fail, the meter samples, the peer is scraped."""
    random_, clock = random.Random(seed), FakeClock()
    tree, load, seconds = build(sysfs, random_), Load(random_), int(hours * 3600)
    script = Script(seconds)
    meter = Meter(PowercapSource(str(sysfs)), procfs=str(sysfs), clock=clock)
    meter.read()
    before: dict[str, float] = {}
    for second in range(seconds):
        clock.advance(1.0)
        for entry, joules in load.joules(second).items():
            tree[entry].add(joules)
        if second == script.set_back:
            tree["intel-rapl:0:1"].jump(-20_000.0)
        failing = [entry for entry in tree.registers if random_.random() < FAILING_SHARE]
        if second in script.unreadable:
            failing.append("intel-rapl:1")
        for entry in failing:
            tree[entry].show_instead(random_.choice(["", "nonsense"]))
        if second not in script.paused:
            joules_now = meter.read().joules
            assert all(joules_now.get(zone, value) >= value for zone, value in before.items())
            before |= joules_now
        if second % SCRAPE_SECONDS == 0:
            scrape()
        for entry in failing:
            tree[entry].heal()
    meter.read()
    return tree, meter


class Peer:
    """node_exporter's counters, added up as ``increase`` does: a lower value is a reset to 0."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._last: dict[str, float] = {}
        self.joules: dict[str, float] = {}

    def scrape(self) -> None:
        with urllib.request.urlopen(self._url, timeout=10) as answer:  # noqa: S310
            page = answer.read().decode()
        for path, text in _SERIES.findall(page):
            entry, value = path.rpartition("/")[2], float(text)
            last = self._last.get(entry)
            if last is not None:
                step = value - last if value >= last else value
                self.joules[entry] = self.joules.get(entry, 0.0) + step
            self._last[entry] = value


def outcomes(tree: PowercapTree, meter: Meter, peer: Peer | None) -> list[Outcome]:
    reading = meter.latest()
    assert reading is not None
    reports = {zone.name: zone for zone in reading.zones if zone.role == "counted"}
    rows = []
    for name, entry in ZONES.items():
        true, zone = tree[entry].joules, reports[name]
        theirs = peer.joules.get(entry) if peer is not None else None
        rows.append(
            Outcome(
                zone=name,
                true_joules=true,
                joules=zone.joules,
                error_ratio=zone.joules / true - 1,
                wraps=zone.wraps,
                possible_missed_wraps=zone.possible_missed_wraps,
                read_errors=sum(zone.read_errors.values()),
                rejected=sum(zone.rejected.values()),
                node_exporter_joules=theirs,
                node_exporter_error_ratio=None if theirs is None else theirs / true - 1,
            )
        )
    return rows


def _memory() -> str | None:
    """A folder in memory where there is one: a day is a million writes."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def run(hours: float, seed: int, *, peer: bool) -> tuple[list[Outcome], set[str]]:
    """The outcomes by zone, and the names of all zones that were shown."""
    with ExitStack() as stack:
        sysfs = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_memory())))
        scraped = Peer(stack.enter_context(node_exporter(sysfs)).port) if peer else None
        scrape = scraped.scrape if scraped is not None else (lambda: None)
        tree, meter = drive(hours, seed, scrape, sysfs)
        reading = meter.latest()
        assert reading is not None
        return outcomes(tree, meter, scraped), set(reading.joules)


def _figure(row: Outcome, hours: float) -> Figure:
    theirs = row.node_exporter_error_ratio
    peer, error = (NODE_EXPORTER, abs(theirs) * 100) if theirs is not None else ("", None)
    what = f"energy error of {row.zone}, {hours:g} h with wraps and failed reads"
    return Figure(what, abs(row.error_ratio) * 100, "%", peer, error)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without-peer", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    peer = not options.without_peer and shutil.which(NODE_EXPORTER) is not None
    rows, shown = run(options.hours, options.seed, peer=peer)
    if options.json:
        return report([_figure(row, options.hours) for row in rows], as_json=True)
    titles = (
        f"{'true J':>14} {'meter':>11} {'node_exp.':>10} {'wraps':>6} {'maybe lost':>10} {'bad reads':>9}"
    )
    print(f"{'zone':17} {titles}")
    for row in rows:
        theirs = "" if row.node_exporter_error_ratio is None else f"{row.node_exporter_error_ratio:+10.3%}"
        counts = f"{row.wraps:6} {row.possible_missed_wraps:10} {row.read_errors + row.rejected:9}"
        print(f"{row.zone:17} {row.true_joules:14.1f} {row.error_ratio:+11.5%} {theirs:>10} {counts}")
    print(f"shown, each once: {', '.join(sorted(shown))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
