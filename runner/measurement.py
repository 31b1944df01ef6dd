"""One measurement: readings of the meters at both ends of a window, samples between, and what follows.

Energy is always a difference of counters between the ends; the samples only say how it was spread.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, structs

from advisor.energy.attribution import HostUse, share
from advisor.energy.cpu import CpuTimes, cpu_between
from advisor.energy.gpu import GpuMeter, GpuReading
from advisor.energy.meter import (
    Meter,
    MeterReading,
    energy_between,
    energy_lost,
    host_joules,
    host_watts,
    includes_gpus,
)
from advisor.results import Power, Samples

# what was in doubt at a reading is known within seconds, and the meter keeps it for twice as many of them
_SETTLED_AFTER = 512


class _Point(Struct, frozen=True):
    reading: MeterReading
    cpu_seconds: float
    gpus: tuple[GpuReading, ...] = ()


class Measurement:
    """From `open` to `close`; `sample` in between, every ``interval_seconds`` or so.

    All that is kept are the readings. A sample is the mean over the time since the one before and bears the
    time of its end. What is left at the end and shorter than half an interval makes no sample of its own; the
    total comes from the counters, so nothing is lost with it.
    """

    def __init__(self, meter: Meter, interval_seconds: float, gpus: GpuMeter | None = None) -> None:
        self._meter = meter
        self._gpus = gpus
        self._interval = interval_seconds
        self._points: list[_Point] = []

    def open(self) -> None:
        """Take the first reading."""
        self._points = [self._point(0.0)]

    def sample(self, cpu_seconds: float) -> None:
        """Take a reading; ``cpu_seconds`` is what the scenario's processes have used so far."""
        self._points.append(self._point(cpu_seconds))
        if len(self._points) > _SETTLED_AFTER:
            former = self._points[-_SETTLED_AFTER - 1]
            settled = self._meter.settle(former.reading)
            self._points[-_SETTLED_AFTER - 1] = structs.replace(former, reading=settled)

    def close(self, cpu_seconds: float) -> None:
        """Take the last reading."""
        points = [*self._points, self._point(cpu_seconds)]
        readings = self._meter.settled([point.reading for point in points])
        self._points = [structs.replace(p, reading=r) for p, r in zip(points, readings, strict=True)]

    def _point(self, cpu_seconds: float) -> _Point:
        return _Point(self._meter.read(), cpu_seconds, () if self._gpus is None else self._gpus.read())

    @property
    def ends(self) -> tuple[MeterReading, MeterReading]:
        """The first and the last reading."""
        return self._points[0].reading, self._points[-1].reading

    @property
    def seconds(self) -> float:
        """Length by the monotonic clock."""
        return _seconds(self._points[0], self._points[-1])

    @property
    def _steps(self) -> list[tuple[_Point, _Point]]:
        """From one reading to the next, without a short rest at the end."""
        steps = list(itertools.pairwise(self._points))
        return steps if _seconds(*steps[-1]) >= self._interval / 2 else steps[:-1]

    @property
    def sample_count(self) -> int:
        """Samples, each the mean over an interval."""
        return len(self._steps)

    @property
    def longest_gap_seconds(self) -> float:
        """The longest time between two readings."""
        return max(_seconds(a, b) for a, b in itertools.pairwise(self._points))

    @property
    def host_cpu(self) -> CpuTimes | None:
        """What the machine spent on anything, and what there was: elapsed time times CPUs."""
        return cpu_between(*(reading.cpu for reading in self.ends))

    @property
    def energy_lost(self) -> bool:
        """Whether a zone that counts was readable at the start and not, or not lately, at the end."""
        return energy_lost(*self.ends)

    def power(self, idle_watts: float | None, process_cpu_seconds: float | None) -> Power | None:
        """Power and energy of the window; None when no zone could be read over it.

        Parameters
        ----------
        idle_watts
            The machine's power when nothing runs, from this run's baseline.
        process_cpu_seconds
            CPU seconds of the scenario's processes, for their share of the active energy.
        """
        start, end = self.ends
        domains = energy_between(start, end)
        total = None if self.energy_lost else host_joules(domains, end.host_rule)
        if total is None or self.seconds <= 0:
            return None
        watts = [w for w in self.samples().power_watts if w is not None]
        net = None if idle_watts is None else total - idle_watts * self.seconds
        host, cpu = HostUse.of(total, self.host_cpu), process_cpu_seconds
        return _power(
            total,
            self.seconds,
            watts,
            source=self._meter.source,
            tier="measured" if self._meter.tier == "measured" else "modelled",
            idle_watts=idle_watts,
            net_energy_joules=net,
            process_energy_joules=None if cpu is None else share(host, cpu, "active"),
            uncertainty_ratio=end.uncertainty_ratio,
            domains=domains,
            includes_gpus=includes_gpus(domains, end.host_rule),
        )

    def gpu_power(self) -> Power | None:
        """Power of all GPUs together; None without one, or when one did not tell at both ends."""
        domains = _gpu_joules(self._points[0], self._points[-1])
        if not domains or self.seconds <= 0:
            return None
        watts = [
            sum(joules.values()) / _seconds(a, b)
            for a, b in self._steps
            if (joules := _gpu_joules(a, b)) and _seconds(a, b) > 0
        ]
        source = "+".join(sorted({card.meter for card in self._points[-1].gpus}))
        return _power(
            sum(domains.values()), self.seconds, watts, source=source, tier="measured", domains=domains
        )

    def samples(self) -> Samples:
        """The series of the window."""
        steps = self._steps
        return Samples(
            timestamps=[b.reading.unix_seconds for _, b in steps],
            power_watts=[host_watts(a.reading, b.reading) for a, b in steps],
            cpu_usage_cores=[_cores(a, b) for a, b in steps],
            gpu_usage=[_mean_utilization(b.gpus) for _, b in steps] if self._points[0].gpus else [],
        )


def _power(total_joules: float, seconds: float, watts: Sequence[float], **fields: Any) -> Power:
    """Power over a window of ``seconds`` in which ``watts`` were sampled."""
    return Power(
        mean_watts=total_joules / seconds,
        median_watts=statistics.median(watts) if watts else None,
        min_watts=min(watts, default=None),
        max_watts=max(watts, default=None),
        stdev_watts=statistics.stdev(watts) if len(watts) > 1 else None,
        total_energy_joules=total_joules,
        **fields,
    )


def _seconds(a: _Point, b: _Point) -> float:
    return b.reading.monotonic_seconds - a.reading.monotonic_seconds


def _cores(a: _Point, b: _Point) -> float:
    seconds = _seconds(a, b)
    # an exact total at the end may be a tick below what running processes were seen to have used
    return max(0.0, (b.cpu_seconds - a.cpu_seconds) / seconds) if seconds > 0 else 0.0


def _gpu_joules(start: _Point, end: _Point) -> dict[str, float]:
    """Joules by card; empty as soon as one card's are unknown, since a sum without it would be too low."""
    after = {card.uuid: card.joules for card in end.gpus}
    joules: dict[str, float] = {}
    for card in start.gpus:
        last = after.get(card.uuid)
        if card.joules is None or last is None:
            return {}
        joules[f"gpu_{card.index}"] = last - card.joules
    return joules


def _mean_utilization(cards: Sequence[GpuReading]) -> float | None:
    """Mean share of time in which the cards worked, 0-1."""
    ratios = [card.utilization_ratio for card in cards if card.utilization_ratio is not None]
    return sum(ratios) / len(ratios) if ratios else None
