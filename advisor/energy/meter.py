"""The meter: joules so far by zone, from whatever source this machine has.

Every consumer (power, a scenario's energy, a container's share, an exported series) is a difference between
two readings of these counters; nobody else touches registers.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from msgspec import Struct, structs

from advisor.energy.combined import CombinedSource
from advisor.energy.cpu import CpuTimes, cpu_times, tells_whole_machine
from advisor.energy.estimate import EstimateSource
from advisor.energy.hwmon import SENSORS, HwmonSource, SensorRule, hwmon_sensors
from advisor.energy.powercap import HOST_DOMAINS, PowercapSource, slept_seconds
from advisor.energy.redfish import RedfishClient, RedfishConfig, RedfishSource
from advisor.energy.sampler import Sampler
from advisor.energy.source import (
    Clock,
    HostRule,
    Source,
    SourceName,
    Tier,
    ZoneReport,
    shown_seconds,
    wait_seconds,
)
from advisor.energy.state import SAVE_SECONDS, SavedMeter, StateFile, Unsaved, state_file
from advisor.errors import EnergyError, InputError

DEFAULT_INTERVAL_SECONDS = 1.0
_SHORTEST_INTERVAL_SECONDS = 0.01
# no register comes round in less than four of these; a range that says so is nonsense
_SHORTEST_FOR_WRAPS_SECONDS = 0.1
# a doubtful value is decided within seconds; a zone that stays doubtful is not shown
_LONGEST_DOUBT_SECONDS = 20.0
# a reading that takes longer was interrupted: its counters and CPU times are of different moments
_UNINTERRUPTED_SECONDS = 0.02
_READ_TRIES = 3
# zones are read one after the other; what one had more or less time than the reading is evened out
_LARGEST_SKEW_SECONDS = 0.25
# registers that move show it at once; files that are written every second, within this
_MOVES_SECONDS, _MOVES_POLL_SECONDS = 1.5, 0.02
_SETTLE_SECONDS, _SETTLE_POLL_SECONDS = 7.0, 0.25
# less than that is the time between two clocks
_SLEPT_SECONDS = 0.5
# timers fire a little early or late: a window that is this much of the interval is a whole one
_WHOLE_WINDOW = 0.98


class MeterReading(Struct, frozen=True):
    """All counters at one moment."""

    unix_seconds: float
    monotonic_seconds: float
    joules: Mapping[str, float]
    """Joules by zone since the first sample, never decreasing; a zone that is unknown is absent."""
    power_watts: Mapping[str, float | None]
    """Mean power by zone over the meter's own window, the last interval; None until it has passed once."""
    cpu: CpuTimes | None
    """Of the machine; None where that is unknown, as in a system container that sees its own alone."""
    uncertainty_ratio: float | None
    """Half-width of the source's uncertainty as a ratio; None when measured."""
    zones: tuple[ZoneReport, ...] = ()
    """Every zone the source knows, shown or not, with its counts of errors."""
    host_rule: HostRule = "cpu"
    """Which zones are the machine's."""
    missed_ticks: int = 0
    """Ticks of the sampler that came too late to be taken."""

    @property
    def is_settled(self) -> bool:
        """Whether the last value of every zone that is shown was counted."""
        return all(zone.is_settled for zone in self.zones if zone.name in self.joules and zone.is_shown)


def _is_fresh(zone: ZoneReport, now: float, interval_seconds: float) -> bool:
    """Whether the zone was read lately, and its last values were not all doubtful."""
    if zone.sampled_seconds is None:
        return False
    read = zone.sampled_seconds if zone.read_seconds is None else zone.read_seconds
    longest_seconds = shown_seconds(max(interval_seconds, zone.interval_seconds or 0.0))
    doubt_seconds = max(longest_seconds, _LONGEST_DOUBT_SECONDS)
    return now - read <= longest_seconds and now - zone.sampled_seconds <= doubt_seconds


class PowerWindow:
    """The mean power of one counter over at least the interval, from its good samples alone."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque()
        self._broken_seconds: float | None = None

    def add(
        self,
        seconds: float,
        joules: float,
        interval_seconds: float,
        broken_seconds: float | None,
        awake_seconds: float = 0.0,
    ) -> None:
        """Take the joules of one moment.

        What was drawn before ``broken_seconds`` is lost. Before ``awake_seconds`` the machine was suspended:
        what it drew then is in the joules, and its time is in no clock.
        """
        points = self._points
        while points and points[0][0] < awake_seconds:
            points.popleft()
        if seconds < awake_seconds:
            return
        is_new = broken_seconds != self._broken_seconds
        if broken_seconds is not None and is_new and points and points[-1][0] < broken_seconds:
            # the power is that of the time since; a register that takes over may have been broken long ago
            last = points[-1][1]
            points.clear()
            points.append((broken_seconds, last))
        self._broken_seconds = broken_seconds
        if points and points[-1][0] >= seconds:
            return
        points.append((seconds, joules))
        enough = seconds - interval_seconds * _WHOLE_WINDOW
        while len(points) > 2 and points[1][0] <= enough:
            points.popleft()

    def watts(self, interval_seconds: float) -> float | None:
        """The mean power; None until the interval has passed once."""
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
    state
        Keeps the counters over a restart; None to begin at 0.
    host_rule
        Which zones are the machine's where it is known twice.
    clock, wall_clock
        Monotonic and Unix seconds.
    slept
        Gives the seconds that the machine was suspended since it booted.
    """

    def __init__(
        self,
        source: Source,
        *,
        procfs: str = "/proc",
        interval_seconds: float | None = None,
        state: StateFile[SavedMeter] | None = None,
        host_rule: HostRule = "cpu",
        clock: Clock = time.monotonic,
        wall_clock: Clock = time.time,
        slept: Clock = slept_seconds,
    ) -> None:
        if interval_seconds is not None and not interval_seconds >= _SHORTEST_INTERVAL_SECONDS:
            raise InputError(
                f"expected at least {_SHORTEST_INTERVAL_SECONDS} s, got {interval_seconds:g}",
                subject="sampling interval",
            )
        self._source = source
        self._procfs = procfs
        # an estimate is of what the file shows, whatever that is
        self._has_cpu_times = source.tier == "modelled" or tells_whole_machine(procfs)
        self._wanted_seconds = interval_seconds or DEFAULT_INTERVAL_SECONDS
        self._clock = clock
        self._wall_clock = wall_clock
        self._slept, self._slept_seconds, self._awake_seconds = slept, slept(), 0.0
        self._windows: dict[str, PowerWindow] = {}
        self._latest: MeterReading | None = None
        self._lock = threading.Lock()
        self._sampler = Sampler("energy sampler", self.read, lambda: self.interval_seconds)
        self._state = state
        self._saved_seconds: float | None = None
        self._host_rule = host_rule

    @property
    def source(self) -> SourceName:
        """What the machine's joules come from."""
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
        """End the thread and save the state; the counters stay."""
        self._sampler.stop()
        with self._lock:
            self._save()
        self._source.stop()  # the last: a meter over the network may not answer

    def _save(self) -> None:
        if self._state is not None:
            parts = self._source.parts if isinstance(self._source, CombinedSource) else (self._source,)
            self._state.save(SavedMeter({part.name: part.save() for part in parts}))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def latest(self) -> MeterReading | None:
        """What the last sample saw; touches no file and never waits."""
        return self._latest

    def read(self) -> MeterReading:
        """Take a fresh sample now."""
        with self._lock:
            for _ in range(_READ_TRIES):
                began = self._clock()
                self._source.sample(self._clock)
                times = cpu_times(self._procfs) if self._has_cpu_times else None
                now = self._clock()
                if now - began <= _UNINTERRUPTED_SECONDS:
                    break
            slept = self._slept()
            if slept - self._slept_seconds > _SLEPT_SECONDS:
                self._slept_seconds, self._awake_seconds = slept, began
            interval = self.interval_seconds
            reports = self._source.report()
            shown = [z for z in reports if z.is_shown and _is_fresh(z, now, interval)]
            watts = {z.name: self._watts(z, interval) for z in reports if z.role == "counted"}
            at = _moment(shown, began, now)
            self._latest = MeterReading(
                unix_seconds=self._wall_clock() - (now - at),
                monotonic_seconds=at,
                joules={z.name: z.joules if z.shown_joules is None else z.shown_joules for z in shown},
                power_watts={zone.name: watts[zone.name] for zone in shown},
                cpu=None if times is None else _with_sleep(times, slept, now),
                uncertainty_ratio=self._source.uncertainty_ratio,
                zones=reports,
                host_rule=self._host_rule,
                missed_ticks=self._sampler.missed_ticks,
            )
            if self._saved_seconds is None or now - self._saved_seconds >= SAVE_SECONDS:
                self._saved_seconds = now
                self._save()
            return self._latest

    def _watts(self, zone: ZoneReport, interval_seconds: float) -> float | None:
        window = self._windows.get(zone.name)
        if window is None:
            window = self._windows[zone.name] = PowerWindow()
        if zone.sampled_seconds is not None:
            window.add(
                zone.sampled_seconds, zone.joules, interval_seconds, zone.broken_seconds, self._awake_seconds
            )
        return window.watts(interval_seconds)

    def settled(
        self,
        readings: Sequence[MeterReading],
        *,
        longest_seconds: float = _SETTLE_SECONDS,
        sleep: Callable[[float], object] = wait_seconds,
    ) -> list[MeterReading]:
        """The readings with the joules of their own moments.

        A doubtful value adds nothing until those after it confirm it. Where a reading has one, this waits for
        them, at most ``longest_seconds``, and puts what they say into the readings.
        """
        end = self._clock() + longest_seconds
        settled = [self.settle(reading) for reading in readings]
        # one in the middle may be in doubt when the last is not: a denied leap is settled at once
        while any(not reading.is_settled for reading in settled) and self._clock() < end:
            sleep(_SETTLE_POLL_SECONDS)
            self.read()
            settled = [self.settle(reading) for reading in readings]
        return _without_taken_back(settled)

    def settle(self, reading: MeterReading) -> MeterReading:
        """The reading with what is known by now of the joules at its moment."""
        if reading.is_settled:
            return reading
        joules = dict(reading.joules)
        with self._lock:
            zones = tuple(self._settle(zone) for zone in reading.zones)
        settled = [zone for zone in zones if zone.is_settled and zone.is_shown and zone.name in joules]
        joules |= {zone.name: zone.joules for zone in settled}
        return structs.replace(reading, joules=joules, zones=zones)

    def _settle(self, zone: ZoneReport) -> ZoneReport:
        seconds = zone.read_seconds
        if zone.is_settled or seconds is None or not zone.is_shown:
            return zone
        settled = self._source.settled_joules(zone.name, seconds)
        if settled is None:
            return zone
        return structs.replace(zone, joules=settled, sampled_seconds=seconds)


def _without_taken_back(readings: Sequence[MeterReading]) -> list[MeterReading]:
    """Readings of one window, none with more joules than a later one.

    What is known by now of a moment may be less than what was shown before it: that was too much then.
    """
    least: dict[str, float] = {}
    agreeing = []
    for reading in reversed(readings):
        least |= {name: min(joules, least.get(name, joules)) for name, joules in reading.joules.items()}
        zones = tuple(
            structs.replace(zone, joules=min(zone.joules, least.get(zone.name, zone.joules)))
            for zone in reading.zones
        )
        joules = {name: least[name] for name in reading.joules}
        agreeing.append(structs.replace(reading, joules=joules, zones=zones))
    return agreeing[::-1]


def _with_sleep(times: CpuTimes, slept_seconds: float, awake_seconds: float) -> CpuTimes:
    """The CPU times with those of the time suspended, which the kernel leaves out: nobody computed then."""
    if slept_seconds <= 0.0 or awake_seconds <= 0.0:
        return times
    return structs.replace(times, total_seconds=times.total_seconds * (1.0 + slept_seconds / awake_seconds))


def _moment(shown: Sequence[ZoneReport], began: float, now: float) -> float:
    """When the counters of the host were read, which is when the reading was taken."""
    times = [
        zone.read_seconds
        for zone in shown
        if zone.domain in HOST_DOMAINS and zone.read_seconds is not None and zone.read_seconds >= began
    ]
    return sum(times) / len(times) if times else now


def open_meter(
    *,
    sysfs: str = "/sys",
    procfs: str = "/proc",
    interval_seconds: float | None = None,
    idle_watts: float | None = None,
    max_watts: float | None = None,
    estimate: bool = True,
    sensor_rules: Sequence[SensorRule] = (),
    redfish: RedfishConfig | None = None,
    host_rule: HostRule = "cpu",
    state: Path | None = None,
    on_unsaved: Unsaved | None = None,
    clock: Clock = time.monotonic,
    sleep: Callable[[float], object] = wait_seconds,
) -> Meter:
    """A meter on what measures this machine, else on the estimate.

    The processor's counters come first, then other sensors of the kernel (hwmon), then the machine's meter
    over the network. All that measure are read; the estimate serves where none gives the host's joules.

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
    sensor_rules
        An operator's rules for hwmon sensors, before those that are known.
    redfish
        The machine's meter over the network; None for none.
    host_rule
        Which zones are the machine's where it is known twice.
    state
        File in which the counters are kept over a restart on the same boot; None to begin at 0.
    on_unsaved
        Told once that it cannot be written, and why.
    clock
        Monotonic seconds.
    sleep
        Waits for counters to move: one that stands tells nothing.

    Raises
    ------
    InputError
        Impossible watts or interval.
    EnergyError
        Neither counters nor CPU times can be read.
    """
    file = state_file(state, SavedMeter, sysfs=sysfs, procfs=procfs, on_unsaved=on_unsaved)
    counters, sensors = PowercapSource(sysfs, procfs), HwmonSource(sysfs, sensor_rules)
    known = hwmon_sensors(sysfs, (*sensor_rules, *SENSORS))
    others: list[Source] = [sensors] if any(sensor.domain != "gpu" for sensor in known) else []
    if redfish is not None:
        others.append(RedfishSource(RedfishClient(redfish), redfish.interval_seconds))
    estimated = EstimateSource(procfs, idle_watts=idle_watts, max_watts=max_watts)
    saved = None if file is None else file.load()
    for part in (counters, *others, estimated):
        part.restore(saved.sources.get(part.name, {}) if saved is not None else {})
    source: Source = CombinedSource([counters, *others]) if others else counters
    if not has_moving_host(counters, clock=clock, sleep=sleep):
        sensors.sample(clock)
        if any(_gives_host(zone) for zone in sensors.report()):
            source = CombinedSource([*others, counters])
        elif redfish is not None:
            source = CombinedSource([*reversed(others), counters])
        elif estimate:
            if cpu_times(procfs) is None:
                raise EnergyError(f"no energy counters under {sysfs}, and {procfs}/stat gives no CPU times")
            source = estimated
    return Meter(
        source,
        procfs=procfs,
        interval_seconds=interval_seconds,
        state=file,
        host_rule=host_rule,
        clock=clock,
    )


def _gives_host(zone: ZoneReport) -> bool:
    return zone.domain in HOST_DOMAINS and not zone.standing and zone.sampled_seconds is not None


def counters_appear(sysfs: str = "/sys", procfs: str = "/proc") -> Callable[[], bool]:
    """Asks, each time it is called, whether the host's joules can be counted by now.

    A register that has moved since it was called the last time is seen at once.
    """
    source = PowercapSource(sysfs, procfs)
    return lambda: has_moving_host(source, longest_seconds=0.0)


def has_moving_host(
    source: PowercapSource,
    *,
    clock: Clock = time.monotonic,
    sleep: Callable[[float], object] = wait_seconds,
    longest_seconds: float = _MOVES_SECONDS,
) -> bool:
    """Whether the joules of the host come out of the source: a package or psys that can be read and moves."""
    end = clock() + longest_seconds
    source.sample(clock)
    while source.may_give_host and not source.gives_host and clock() < end:
        sleep(_MOVES_POLL_SECONDS)
        source.sample(clock)
    return source.gives_host


def host_zones(zones: Iterable[str], rule: HostRule = "cpu") -> list[str]:
    """The zones whose joules are the machine's, each joule once; empty where none of them are.

    ``cpu`` is packages plus dram, ``system`` what holds the whole machine; each stands in for the other where
    that is missing. core and uncore lie inside their package and psys contains it, so that they are never
    added. Of several meters of the machine one counts: the one over the network (which sees the supplies'
    losses), then a sensor of the board, then the processor's psys.

    >>> host_zones(["package_0", "core_0", "dram_0", "psys_0"])
    ['package_0', 'dram_0']
    >>> host_zones(["package_0", "psys_0", "psys_redfish"], "system")
    ['psys_redfish']
    """
    names = list(zones)
    has_package = any(name.startswith("package") for name in names)
    cpu = [name for name in names if name.startswith(("package", "dram"))] if has_package else []
    meters = [name for name in names if name.startswith("psys")]
    groups = [[name for name in meters if name.endswith(suffix)] for suffix in ("_redfish", "_hwmon", "")]
    system = next((group for group in groups if group), [])
    return (cpu or system) if rule == "cpu" else (system or cpu)


def host_joules(joules: Mapping[str, float], rule: HostRule = "cpu") -> float | None:
    """The machine's joules; None where no zone is the machine's. See `host_zones`.

    >>> host_joules({"package_0": 100.0, "core_0": 80.0, "dram_0": 10.0, "psys_0": 200.0})
    110.0
    """
    zones = host_zones(joules, rule)
    return sum(joules[zone] for zone in zones) if zones else None


def includes_gpus(zones: Iterable[str], rule: HostRule = "cpu") -> bool:
    """Whether the machine's joules hold those of its GPUs: where what holds the whole machine tells them.

    >>> includes_gpus(["package_0", "psys_0"]), includes_gpus(["package_0", "psys_0"], "system")
    (False, True)
    """
    return any(zone.startswith("psys") for zone in host_zones(zones, rule))


def energy_between(start: MeterReading, end: MeterReading) -> dict[str, float]:
    """Joules by zone from one reading to a later one, for the zones that both know.

    Zones are read one after the other, and a busy machine may do something else in between: the joules of a
    zone that had a little more or less time than there was from reading to reading are evened out.
    """
    before = {zone.name: zone for zone in start.zones if zone.role == "counted"}
    after = {zone.name: zone for zone in end.zones if zone.role == "counted"}
    joules = {name: zone.joules for name, zone in before.items()} | dict(start.joules)
    seconds = end.monotonic_seconds - start.monotonic_seconds
    return {
        zone: (value - joules[zone]) * _evened(before.get(zone), after.get(zone), seconds)
        for zone, value in end.joules.items()
        if zone in joules
    }


def energy_lost(start: MeterReading, end: MeterReading) -> bool:
    """Whether a zone that counts was readable at the start and not, or not lately, at the end."""
    # a twin bears its zone's name, and a meter over the network has an interval of its own
    counted = [z for z in end.zones if z.role == "counted" and z.interval_seconds is None]
    read = {z.name: z.sampled_seconds or 0.0 for z in counted}
    fresh = end.monotonic_seconds - max(0.1, 0.01 * (end.monotonic_seconds - start.monotonic_seconds))
    zones = host_zones(end.joules, end.host_rule)
    return _lost(start, end) or any(read.get(zone, fresh) < fresh for zone in zones)


def host_watts(start: MeterReading, end: MeterReading) -> float | None:
    """The machine's mean watts between two readings; None where one of its zones is gone in the second."""
    joules = None if _lost(start, end) else host_joules(energy_between(start, end), end.host_rule)
    seconds = end.monotonic_seconds - start.monotonic_seconds
    return None if joules is None or seconds <= 0 else joules / seconds


def _lost(start: MeterReading, end: MeterReading) -> bool:
    return any(zone not in end.joules for zone in host_zones(start.joules, end.host_rule))


def _evened(before: ZoneReport | None, after: ZoneReport | None, seconds: float) -> float:
    if before is None or after is None or before.sampled_seconds is None or after.sampled_seconds is None:
        return 1.0
    own_seconds = after.sampled_seconds - before.sampled_seconds
    if own_seconds <= 0 or abs(own_seconds - seconds) > _LARGEST_SKEW_SECONDS:
        return 1.0
    return seconds / own_seconds
