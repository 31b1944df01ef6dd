"""The work of days in minutes, in a process of its own: ``python -m tests.torture.memory WHAT CYCLES``.

Prints the resident memory in KiB after each tenth of the cycles. What an exporter does once in a poll or a
sample is done as fast as it goes: files rewritten, pages rendered, registers read, containers come and gone.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from advisor.containers.monitor import Monitor
from advisor.containers.records import EngineInfo
from advisor.cost.price_inputs import PriceOptions
from advisor.energy.powercap import PowercapSource
from advisor.results import Output, Power, Quality, Run, Samples, Scenario, Vmaf, write_run
from advisor.results.folder import ResultFolder
from exporters.cost import CostCollector
from exporters.predictions import Predictor
from exporters.qoe import QoeCollector, ScoringWork
from exporters.results import ResultsCollector
from exporters.runtime import Collector
from exporters.runtime.scrape import PageSource

__all__ = ["WORKS"]

Cycle = Callable[[int], None]
FILES = 50


def resident_kib() -> int:
    """Of this process."""
    gc.collect()
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])


def snapshots(folder: Path) -> Cycle:
    """The three exporters of result files: one file of 50 changes or goes, all pages are made and sent."""

    def results() -> ResultFolder:
        return ResultFolder(folder, runs=100, max_scenarios=10_000)

    clock = itertools.count(1_800_000_000, 61)  # each time a minute later: costs are worked out anew
    collectors: list[Collector] = [
        ResultsCollector(results(), Predictor(folder / "none", folder)),
        QoeCollector(results(), folder, ScoringWork(None, (folder.resolve(),))),
        CostCollector(results(), PriceOptions(), clock=lambda: float(next(clock))),
    ]
    sources = [PageSource(collector, {}) for collector in collectors]

    def cycle(number: int) -> None:
        path = folder / f"test_results_{number % FILES:03d}.json"
        if number % 7 == 3:
            path.unlink(missing_ok=True)
        elif number % 11 == 5:
            path.write_text(f"torn {number}")
        else:
            write_run(_run(path.stem, number), path)
        for source in sources:
            source.collect()
            page = source.page()
            assert page is not None
            page.text(number % 2 == 0)
            page.packed(number % 2 == 0)

    return cycle


def _run(run_id: str, number: int) -> Run:
    quality = Quality(aligned=True, vmaf=Vmaf(mean=float(number % 100), model="vmaf_v0.6.1"))
    power = Power(tier="measured", mean_watts=40.0 + number % 50, total_energy_joules=400.0 + number)
    scenarios = tuple(
        Scenario(
            name=f"{index} of {number}",
            encoder="libx264",
            duration=10.0,
            start_time=1e9 + number,
            outputs=[
                Output(
                    resolution="640x360", frames=250, duration=10.0, quality=quality if index % 2 else None
                )
            ],
            power=power,
            samples=Samples(timestamps=[1e9 + i for i in range(30)], power_watts=[40.0] * 30),
        )
        for index in range(8)
    )
    return Run(run_id=run_id, scenarios=scenarios)


def registers(folder: Path) -> Cycle:
    """The meter of registers: zones move, fail, vanish and come again."""
    from tests.support.powercap_tree import PowercapTree

    tree = PowercapTree(folder / "sys")
    for entry, name in (
        ("intel-rapl:0", "package-0"),
        ("intel-rapl:0:0", "dram"),
        ("intel-rapl:1", "package-1"),
    ):
        tree.add(entry, name)
    source = PowercapSource(str(folder / "sys"))
    seconds = itertools.count(1000.0, 0.5)

    def cycle(number: int) -> None:
        for register in tree.registers.values():
            register.true_uj += 12_345_678
        if number % 50 == 20:
            tree.remove("intel-rapl:1")
        elif number % 50 == 45:
            tree.put_back("intel-rapl:1")
        with contextlib.suppress(OSError):
            tree["intel-rapl:0"].show()
        if number % 5 == 0:
            tree["intel-rapl:0:0"].show_instead("nonsense")
        else:
            tree["intel-rapl:0:0"].heal()
        source.sample(lambda: next(seconds))
        source.report()

    return cycle


def containers(folder: Path) -> Cycle:
    """The monitor of containers: in each cycle one begins, one ends, and a window is closed."""
    from advisor.containers.changes import Ended, EngineUp, Listed, Started
    from advisor.containers.records import Container
    from tests.support.container_world import ContainerWorld

    world = ContainerWorld(folder / "world")
    monitor: Monitor = world.monitor
    monitor.apply(EngineUp(EngineInfo("26.0", "1.41", 1.0)))
    monitor.apply(Listed(()))

    def cycle(number: int) -> None:
        new, old = f"{number:064x}", f"{number - 5:064x}"
        world.tree.add(new, cpu_seconds=0.1)
        monitor.apply(Started(Container(id=new, name=f"c{number}", image="debian:12"), 0.0))
        if number >= 5:
            world.tree.remove(old)
            monitor.apply(Ended(old))
        world.pass_time(1.0, package=40.0, dram=4.0, busy=0.5)
        monitor.tick()

    return cycle


WORKS: dict[str, Callable[[Path], Cycle]] = {
    "snapshots": snapshots,
    "registers": registers,
    "containers": containers,
}


def main() -> int:
    what, cycles = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="wattframe-memory-") as name:
        folder = Path(name, "results")
        folder.mkdir()
        cycle = WORKS[what](folder)
        for number in range(cycles):
            cycle(number)
            if (number + 1) % (cycles // 10) == 0:
                sys.stdout.write(f"{resident_kib()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
