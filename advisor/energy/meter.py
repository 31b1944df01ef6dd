"""The meter: joules so far by zone, from whatever source this machine has.

Every consumer (power, a scenario's energy, a container's share, an exported series) is a difference between
two readings of these counters; nobody else touches registers.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from msgspec import Struct

from advisor.energy.cpu import cpu_times
from advisor.energy.estimate import EstimateSource
from advisor.energy.powercap import PowercapSource, describe
from advisor.energy.sampler import Sampler
from advisor.energy.source import Clock, Source, SourceName, Tier, ZoneReport
from advisor.errors import EnergyError, InputError

__all__ = ["Meter", "MeterReading", "energy_between", "host_joules", "open_meter"]

DEFAULT_INTERVAL_SECONDS = 1.0
_SHORTEST_INTERVAL_SECONDS = 0.01
# no register comes round in less than four of these; a range that says so is nonsense
_SHORTEST_FOR_WRAPS_SECONDS = 0.1
# a zone is shown for this many intervals after its last good value, so that one failed read is no gap
_FRESH_INTERVALS = 3.5
_FRESH_SECONDS = 5.0
# timers fire a little early or late: a window that is this much of the interval is a whole one
_WHOLE_WINDOW = 0.98


class MeterReading(Struct, frozen=True):
    """All counters at one moment."""

    unix_seconds: float
    monotonic_seconds: float
    joules: Mapping[str, float]
    """Joules by zone since the first sample, never decreasing; a zone that cannot be read is absent."""
    power_watts: Mapping[str, float | None]
    """Mean power by zone over the meter's own window, the last interval; None until it has passed once."""
    cpu_busy_seconds: float | None
    cpu_total_seconds: float | None
    uncertainty_ratio: float | None
    """Half-width of the source's uncertainty as a ratio; None when measured."""
    zones: tuple[ZoneReport, ...] = ()
    """Every zone the source knows, shown or not, with its counts of errors."""
    missed_ticks: int = 0
    """Ticks of the sampler that came too late to be taken."""


def _seen_since(zone: ZoneReport, seconds: float) -> bool:
    return zone.sampled_seconds is not None and zone.sampled_seconds >= seconds


class _Window:
    """The mean power of one zone over at least the interval, from its good samples alone."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque()

    def add(self, seconds: float, joules: float, interval_seconds: float) -> None:
        points = self._points
        if points and points[-1][0] == seconds:
            return
        points.append((seconds, joules))
        enough = seconds - interval_seconds * _WHOLE_WINDOW
        while len(points) > 2 and points[1][0] <= enough:
            points.popleft()

    def watts(self, interval_seconds: float) -> float | None:
        if len(self._points) < 2:
            return None
        (start, before), (end, after) = self._points[0], self._points[-1]
        seconds = end - start
        return (after - before) / seconds if seconds >= interval_seconds * _WHOLE_WINDOW else None


class Meter:
    """Samples a source and keeps its newest reading; usable with and without its own thread.

    Parameters
    ----------
    source
        Where joules come from.
    procfs
        Root of the process file system, for the CPU times that attribution needs.
    interval_seconds
        Seconds between samples of the thread, shortened where the source could lose a wrap; None for 1 s.
    clock, wall_clock
        Monotonic and Unix seconds.
    """

    def __init__(
        self,
        source: Source,
        *,
        procfs: str = "/proc",
        interval_seconds: float | None = None,
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
    ) -> None:
        if interval_seconds is not None and not interval_seconds >= _SHORTEST_INTERVAL_SECONDS:
            raise InputError(
                f"expected at least {_SHORTEST_INTERVAL_SECONDS} s, got {interval_seconds:g}",
                subject="sampling interval",
            )
        self._source = source
        self._procfs = procfs
        self._wanted_seconds = interval_seconds or DEFAULT_INTERVAL_SECONDS
        self._clock = clock
        self._wall_clock = wall_clock
        self._windows: dict[str, _Window] = {}
        self._latest: MeterReading | None = None
        self._lock = threading.Lock()
        self._sampler = Sampler("energy sampler", self.read, lambda: self.interval_seconds)

    @property
    def source(self) -> SourceName:
        """What the joules come from: ``powercap`` or ``estimate``."""
        return self._source.name

    @property
    def tier(self) -> Tier:
        """``measured`` or ``modelled``."""
        return self._source.tier

    @property
    def interval_seconds(self) -> float:
        """Seconds between two samples of the thread, at most a quarter of the shortest wrap."""
        longest = self._source.longest_interval_seconds()
        if longest is None:
            return self._wanted_seconds
        return min(self._wanted_seconds, max(longest, _SHORTEST_FOR_WRAPS_SECONDS))

    def start(self) -> None:
        """Take the first sample now and go on in a thread."""
        self.read()
        self._sampler.start()

    def stop(self) -> None:
        """End the thread; the counters stay."""
        self._sampler.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def latest(self) -> MeterReading | None:
        """What the last sample saw; touches no file and never waits."""
        return self._latest

    def read(self) -> MeterReading:
        """Take a fresh sample now."""
        with self._lock:
            self._source.sample(self._clock)
            times = cpu_times(self._procfs)
            now, interval = self._clock(), self.interval_seconds
            oldest = now - max(interval * _FRESH_INTERVALS, _FRESH_SECONDS)
            reports = self._source.report()
            shown = [z for z in reports if z.is_shown and _seen_since(z, oldest)]
            self._latest = MeterReading(
                unix_seconds=self._wall_clock(),
                monotonic_seconds=now,
                joules={zone.name: zone.joules for zone in shown},
                power_watts={zone.name: self._watts(zone, interval) for zone in shown},
                cpu_busy_seconds=times.busy_seconds if times else None,
                cpu_total_seconds=times.total_seconds if times else None,
                uncertainty_ratio=self._source.uncertainty_ratio,
                zones=reports,
                missed_ticks=self._sampler.missed_ticks,
            )
            return self._latest

    def _watts(self, zone: ZoneReport, interval_seconds: float) -> float | None:
        window = self._windows.get(zone.name)
        if window is None:
            window = self._windows[zone.name] = _Window()
        if zone.sampled_seconds is not None:
            window.add(zone.sampled_seconds, zone.joules, interval_seconds)
        return window.watts(interval_seconds)


def open_meter(
    *,
    sysfs: str = "/sys",
    procfs: str = "/proc",
    interval_seconds: float | None = None,
    idle_watts: float | None = None,
    max_watts: float | None = None,
    estimate: bool = True,
) -> Meter:
    """A meter on the energy counters where one can be read, else on the estimate from utilisation.

    Parameters
    ----------
    sysfs, procfs
        Roots of the kernel's file systems (in a container often ``/host/sys`` and ``/host/proc``).
    interval_seconds
        Seconds between samples, at most a quarter of the shortest wrap; None for 1 s.
    idle_watts, max_watts
        Ends of the estimate's curve, in watts; None for those of the CPU's family, else by its threads.
    estimate
        Whether the estimate may stand in. Without it, an unreadable tree gives a meter without zones, which
        shows them as soon as they can be read.

    Raises
    ------
    InputError
        Impossible watts or interval.
    EnergyError
        Neither counters nor CPU times can be read.
    """
    if not estimate or describe(sysfs).readable:
        source: Source = PowercapSource(sysfs)
    else:
        source = EstimateSource(procfs, idle_watts=idle_watts, max_watts=max_watts)
        if cpu_times(procfs) is None:
            raise EnergyError(f"no energy counters under {sysfs}, and {procfs}/stat gives no CPU times")
    return Meter(source, procfs=procfs, interval_seconds=interval_seconds)


def host_joules(joules: Mapping[str, float]) -> float | None:
    """The machine's joules: packages plus dram, each once; psys only where there is nothing else.

    core and uncore lie inside their package and psys contains it, so that they are never added.

    >>> host_joules({"package_0": 100.0, "core_0": 80.0, "dram_0": 10.0, "psys_0": 200.0})
    110.0
    """
    for domains in (("package", "dram"), ("psys",)):
        parts = [value for zone, value in joules.items() if zone.startswith(domains)]
        if any(zone.startswith(domains[0]) for zone in joules):
            return sum(parts)
    return None


def energy_between(start: MeterReading, end: MeterReading) -> dict[str, float]:
    """Joules by zone from one reading to a later one, for the zones that both have."""
    return {zone: value - start.joules[zone] for zone, value in end.joules.items() if zone in start.joules}
