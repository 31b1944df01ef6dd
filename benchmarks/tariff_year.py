"""A year of 15-minute samples under a time-of-use tariff with both clock changes: exactness and time.

Beside it the plain way: a loop that asks the standard library for the local time of every sample and pays
each step at the price of its beginning. Both come to the same here, because this tariff changes on the hour;
the plain way is wrong as soon as an edge falls inside a step. The truth is summed in integers.

    python -m benchmarks.tariff_year [--turns 7] [--json]
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from zoneinfo import ZoneInfo

from advisor import CostModel
from advisor.cost.tariffs.time_of_use import time_of_use
from benchmarks.figures import Figure, quantile, report

ZONE = ZoneInfo("Europe/Berlin")
STEP = 900
LOOP = "a plain loop"
TARIFF = {
    "time_zone": "Europe/Berlin",
    "periods": [{"price_per_kwh": 0.3, "days": "weekdays", "hours": "06:00-22:00"}],
    "otherwise_per_kwh": 0.2,
}


def plain(stamps: list[int], watts: list[int]) -> float:
    """Step by step, in floating point."""
    cost = 0.0
    for index, moment in enumerate(stamps[:-1]):
        cost += STEP * (watts[index] + watts[index + 1]) / 2 * cents(moment) / 100 / 3.6e6
    return cost


def exact(stamps: list[int], watts: list[int]) -> Fraction:
    """The same in integers; one fraction at the end."""
    cents_half_joules = sum(
        cents(moment) * STEP * (watts[i] + watts[i + 1]) for i, moment in enumerate(stamps[:-1])
    )
    return Fraction(cents_half_joules, 2 * 100 * 3_600_000)


def cents(moment: int) -> int:
    """The tariff by the standard library alone."""
    local = datetime.datetime.fromtimestamp(moment, ZONE)
    return 30 if local.weekday() < 5 and 6 <= local.hour < 22 else 20


def timed(call: Callable[[], float | None], turns: int) -> tuple[float, float]:
    """What it returns, and the median of its CPU seconds."""
    seconds, result = [], None
    for _ in range(turns):
        begin = time.process_time()
        result = call()
        seconds.append(time.process_time() - begin)
    return result or 0.0, quantile(seconds, 0.5)


def measure(turns: int) -> Iterator[Figure]:
    """Time and error of both."""
    begin, end = (round(datetime.datetime(year, 1, 1, tzinfo=ZONE).timestamp()) for year in (2026, 2027))
    stamps = list(range(begin, end + 1, STEP))
    watts = [100 + (index * 7919) % 211 for index in range(len(stamps))]
    model = CostModel(tariff=time_of_use(TARIFF))
    samples = {"timestamps": stamps, "power_watts": watts}
    scenario = {"name": "year", "duration": end - begin, "samples": samples}
    ours, seconds = timed(lambda: model.compute_energy_cost(scenario), turns)
    loop, loop_seconds = timed(lambda: plain(stamps, watts), turns)
    truth, count = exact(stamps, watts), len(stamps)
    errors = [abs(float(Fraction(cost) / truth - 1)) for cost in (ours, loop)]
    yield Figure("CPU of a year", seconds * 1e3, "ms", LOOP, loop_seconds * 1e3, size=count, of="samples")
    yield Figure("relative error of a year", errors[0], "", LOOP, errors[1], size=count, of="samples")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    return report(list(measure(options.turns)), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
