"""The RAPL exporter: a golden page from a fixed tree, and what happens when the tree misbehaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from advisor.energy.estimate import PowerModel
from advisor.energy.meter import Meter
from advisor.energy.powercap import PowercapSource, describe
from exporters.rapl import RaplCollector
from exporters.runtime.testing import render
from tests.support.clock import FakeClock
from tests.support.powercap_tree import SMALL_RANGE_UJ, PowercapTree

MODEL = PowerModel(10.0, 90.0, "given", 0.15)


def collector(meter: Meter, sysfs: Path, clock: FakeClock) -> RaplCollector:
    return RaplCollector(lambda: meter, lambda: describe(str(sysfs)), MODEL, clock)


def two_sockets(sysfs: Path) -> PowercapTree:
    tree = PowercapTree(sysfs)
    for socket in range(2):
        tree.add(f"intel-rapl:{socket}", f"package-{socket}", start_uj=socket * 10**10)
        tree.add(f"intel-rapl:{socket}:0", "core", start_uj=socket * 10**10)
        tree.add(f"intel-rapl:{socket}:1", "dram", range_uj=SMALL_RANGE_UJ, start_uj=socket * 10**10)
    tree.add("intel-rapl-mmio:0", "package-0")
    tree.add("intel-rapl:2", "psys")
    return tree


def test_golden_page_of_two_sockets(tmp_path: Path, golden: Callable[[str, bytes], None]) -> None:
    """Two sockets with dram, core, psys and an mmio twin, after a second of work and one unreadable file."""
    clock = FakeClock()
    tree = two_sockets(tmp_path)
    meter = Meter(PowercapSource(str(tmp_path)), procfs=str(tmp_path), clock=clock)
    meter.read()
    for entry, joules in {
        "intel-rapl:0": 100,
        "intel-rapl:0:1": 12.5,
        "intel-rapl:1": 50,
        "intel-rapl:2": 180,
    }.items():
        tree[entry].add(joules)
    tree["intel-rapl:1:1"].show_instead("nonsense")
    clock.advance(1.0)
    meter.read()
    golden("rapl.prom", render([collector(meter, tmp_path, clock)]))
