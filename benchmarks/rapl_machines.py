"""Machines at random and a laptop's five days through the meter: how far its counters are from the truth.

``--machines`` drives trees of `tests.support.random_machines` (vendors, sockets, limits lifted or off, files
lost, leaps, set-backs, standing zones) for five minutes each. ``--days`` drives one AMD laptop:
one read in five is up to 900 J ahead, it sleeps eight hours a night and twice a day for a while, after every
second sleep its register begins at 0, and what it draws asleep is counted by the register otherwise.

    python benchmarks/rapl_machines.py [--machines 500] [--days 5] [--seed 0] [--json]
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advisor.energy.meter import Meter
from advisor.energy.powercap import PowercapSource
from benchmarks.figures import Figure, report
from tests.support.clock import FakeClock
from tests.support.powercap_tree import SMALL_RANGE_UJ, PowercapTree
from tests.support.random_machines import drive

MODEL = "AMD Ryzen 7 7840HS w/ Radeon 780M Graphics"
CPU = f"processor\t: {{0}}\nvendor_id\t: AuthenticAMD\nmodel name\t: {MODEL}\n"
ASLEEP_WATTS = 0.4


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def machines(count: int, seed: int) -> list[Figure]:
    wrong, worst, excess, rejected = [], 0.0, 0.0, 0
    for number in range(seed, seed + count):
        with tempfile.TemporaryDirectory(dir=_memory()) as folder:
            outcome = drive(Path(folder), number)
        worst = max(worst, outcome.worst_error)
        excess = max(excess, outcome.largest_excess_joules)
        rejected += outcome.rejected
        if outcome.problems:
            wrong.append(outcome.label)
            print(outcome.label, *outcome.problems, sep="\n   ", file=sys.stderr)
    return [
        Figure(f"of {count} machines, with a counter that is wrong", len(wrong), "machines"),
        Figure("largest error of a counter without set-backs", worst * 100, "%"),
        Figure("largest joules above the truth at any second", excess, "J"),
        Figure("values left out", rejected, "values"),
    ]


def laptop(days: float, seed: int) -> Figure:
    chance, clock = random.Random(seed), FakeClock()
    slept = 0.0
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        root = Path(folder)
        (root / "cpuinfo").write_text("\n".join(CPU.format(core) for core in range(8)))
        register = PowercapTree(root).add("intel-rapl:0", "package-0", range_uj=SMALL_RANGE_UJ, limits_uw={})
        source = PowercapSource(folder, folder, slept=lambda: slept)
        meter = Meter(source, procfs=folder, clock=clock)
        meter.read()
        watts, awake, sleeps = 6.0, 0, 0
        while awake < days * 16 * 3600 + 60:
            awake += 1
            clock.advance(1.0)
            if chance.random() < 0.02:
                watts = chance.choice([3.0, 6.0, 6.0, 12.0, 25.0, 54.0])
            register.add(watts * chance.uniform(0.8, 1.2))
            if awake % (5 * 3600 + 1200) == 0:
                hours = 8.0 if sleeps % 3 == 2 else chance.uniform(0.1, 1.5)
                sleeps += 1
                slept += hours * 3600
                if sleeps % 2:
                    register.add(ASLEEP_WATTS * hours * 3600)
                else:
                    register.jump(-register.raw_uj / 1e6)
            leaps = chance.random() < 0.2
            if leaps:
                ahead = round(chance.uniform(50.0, 900.0) * 1e6)
                register.show_instead(f"{(register.raw_uj + ahead) % SMALL_RANGE_UJ}\n")
            reading = meter.read()
            if leaps:
                register.heal()
        joules, truth = reading.joules.get("package_0", math.nan), register.joules
    what = f"energy error of an AMD laptop over {days:g} days with leaps, {sleeps} sleeps"
    return Figure(what, abs(joules / truth - 1) * 100, "%", goal=0.1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=500)
    parser.add_argument("--days", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = [laptop(options.days, options.seed)] if options.days else []
    figures += machines(options.machines, options.seed) if options.machines else []
    return report(figures, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
