"""Intel and AMD energy counters (RAPL) through the kernel's powercap tree."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from msgspec import Struct, structs

from advisor.energy.counter import EnergyCounter
from advisor.energy.finder import ZoneFinder, powercap_folder
from advisor.energy.mirrors import MirrorWatch
from advisor.energy.patience import Patience
from advisor.energy.source import Clock, SavedZone, Source, SourceName, ZoneReport, wait_seconds
from advisor.energy.zones import Zone, ZoneReadError, read_microjoules

HOST_DOMAINS = ("package", "psys")
"""A host's joules come from one of these."""
_RESCAN_SECONDS = 10.0
# of the time in which the fastest register can come round
_INTERVAL_SHARE = 0.25
_NONE: Mapping[str, int] = MappingProxyType({})
_HANGS = ZoneReadError("blocked")
# a read that takes longer was interrupted: the register's value is of no known time
_UNINTERRUPTED_SECONDS = 0.001
_READ_TRIES = 3
# registers move every millisecond, however little is drawn
_MOVES_SECONDS = 0.003
# a package always draws: one that stands for so long has stopped to count
_STOPPED_SECONDS = 30.0
# how long a look at all zones waits for one that stands
_LOOK_SECONDS = 0.1
# how long a register may stand at the start before that is counted
_STANDING_SECONDS = 5.0
_Reading: TypeAlias = tuple[int, float]
"""The raw value in microjoules and the monotonic time of its read."""


def slept_seconds() -> float:
    """How long this machine was suspended since it booted."""
    slept = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    return slept if slept > 0.1 else 0.0  # less is the time between the two calls


def _read(path: str, clock: Clock) -> _Reading | ZoneReadError:
    """The value and the middle of its read; a read that was interrupted is repeated."""
    best: tuple[float, _Reading] | None = None
    try:
        for _ in range(_READ_TRIES):
            before = clock()
            value = read_microjoules(path)
            after = clock()
            if best is None or after - before < best[0]:
                best = after - before, (value, (before + after) / 2)
            if best[0] <= _UNINTERRUPTED_SECONDS:
                break
    except ZoneReadError as exc:
        return exc
    return best[1] if best is not None else _HANGS


class _Register:
    """One file that shows a zone's counter."""

    def __init__(self, zone: Zone, saved: SavedZone | None) -> None:
        self.zone = zone
        self.counter = EnergyCounter(zone.range_microjoules, zone.bounds)
        saved_register = None if saved is None else saved.registers.get(zone.entry)
        self.restored_seconds = None if saved_register is None else saved_register.seconds
        if saved_register is not None:
            self.counter.restore(saved_register)
        self.passed_on = self.counter.microjoules
        """What the zone has taken over of the counter."""

    def take(self, reading: _Reading, slept: float) -> None:
        self.counter.observe(*reading, slept)
        wrap_seconds = self.counter.wrap_seconds
        if self.restored_seconds is not None and wrap_seconds is not None:
            gap = reading[1] - self.restored_seconds
            if wrap_seconds / 2 < gap <= wrap_seconds:
                self.counter.possible_missed_wraps += 1
        self.restored_seconds = None

    def tells(self, reading: _Reading | None) -> bool:
        """Whether it counted on to this reading, which is not in doubt."""
        return reading is not None and reading[1] == self.counter.moved_seconds == self.counter.final_seconds

    def pass_on(self, step: int, reading: _Reading | None) -> None:
        """Another register has brought ``step`` microjoules of the zone."""
        counter = self.counter
        if counter.began_again:
            counter.began_again, self.passed_on = False, 0
        stands = reading is not None and counter.moved_seconds is None
        # what it will bring begins with its first value, or when it moves
        if counter.final_seconds is not None and not stands:
            self.passed_on += step


class _Tracked:
    """A zone with the registers that show its counter: the joules are those of the one that serves.

    The first that gives a value and moves serves until it fails; another then goes on from where it was.
    """

    def __init__(self, zone: Zone, saved: SavedZone | None) -> None:
        self.name, self.domain = zone.name, zone.domain
        self.registers: list[_Register] = []
        self.serving: _Register | None = None
        self.microjoules = 0 if saved is None else saved.microjoules
        self.shown = 0 if saved is None else max(saved.shown, saved.microjoules)
        """Microjoules until now, as far as they are sure."""
        self.read_errors: Counter[str] = Counter()
        self.is_present = True
        self.standing = True
        self.read_seconds: float | None = None
        self._saved = saved
        self._first_seconds: float | None = None
        self._is_counted_as_standing = False
        self._until_seconds: float | None = None

    def list(self, zones: Sequence[Zone]) -> None:
        """The zones that show this counter now, the preferred first."""
        registers = {register.zone.entry: register for register in self.registers}
        self.is_present = bool(zones)
        for zone in zones:
            if (register := registers.get(zone.entry)) is not None:
                register.zone, register.counter.bounds = zone, zone.bounds  # its limits may be others
            else:
                self.registers.append(_Register(zone, self._saved))

    def take(
        self, readings: Mapping[str, _Reading | ZoneReadError], now: float, slept: float
    ) -> _Reading | None:
        """Put this round's readings into the counters; that of the register that serves."""
        fresh: dict[_Register, _Reading] = {}
        failures: list[str] = []
        for register in self.registers:
            reading = readings.get(register.zone.path, _HANGS)
            if isinstance(reading, ZoneReadError):
                failures.append(reading.reason)
            else:
                register.take(reading, slept)
                fresh[register] = reading
        if self.serving not in fresh:
            moving = (register for register in fresh if register.counter.moved_seconds is not None)
            self.serving = next(moving, self.serving)
        if self.serving is None:
            latest = next(iter(fresh.values()), None)
        elif (latest := fresh.get(self.serving)) is not None:
            self._advance(self.serving, fresh)
        if latest is not None:
            self.read_seconds = latest[1]
        if not fresh:
            self.read_errors[failures[0] if failures else "missing"] += 1
        self._look_whether_it_stands(now, bool(fresh))
        return latest

    def _advance(self, serving: _Register, fresh: Mapping[_Register, _Reading]) -> None:
        if serving.counter.began_again:
            serving.counter.began_again = False
            self.microjoules = self.shown = serving.passed_on = 0
        step = max(serving.counter.microjoules - serving.passed_on, 0)
        self.microjoules += step
        serving.passed_on += step
        # another register may have brought more than this one has counted by now
        ahead = serving.counter.microjoules + serving.counter.ahead_microjoules - serving.passed_on
        self.shown = max(self.shown, self.microjoules + max(ahead, 0))
        if not serving.counter.is_resuming and (until := serving.counter.final_seconds) is not None:
            self._until_seconds = max(until, self._until_seconds or until)
        brought_more = serving.passed_on - serving.counter.microjoules
        for register in self.registers:
            if register is serving:
                continue
            reading = fresh.get(register)
            register.pass_on(step, reading)
            # where both tell until now, it is known what one has lost, or counts more or less than the other
            if serving.tells(fresh[serving]) and register.tells(reading):
                register.passed_on = register.counter.microjoules + brought_more

    def _look_whether_it_stands(self, now: float, is_read: bool) -> None:
        if self._first_seconds is None and is_read:
            self._first_seconds = now
        counter = self.counter
        moved = None if self.serving is None else counter.moved_seconds
        if moved is None or counter.final_seconds is None:
            self.standing = True
            since = self._first_seconds
            is_long = since is not None and now - since >= _STANDING_SECONDS
        else:
            is_long = self.domain in HOST_DOMAINS and now - moved >= _STOPPED_SECONDS
            self.standing = is_long
        if is_long and is_read and not self._is_counted_as_standing:
            self.read_errors["standing"] += 1
        self._is_counted_as_standing = is_long and (is_read or self._is_counted_as_standing)

    @property
    def register(self) -> _Register:
        """The one that serves, else the preferred one."""
        return self.serving or self.registers[0]

    @property
    def counter(self) -> EnergyCounter:
        return self.register.counter

    @property
    def sampled_seconds(self) -> float | None:
        """Until when the joules are counted: one that takes over may be in doubt since long before."""
        return self.counter.final_seconds if self._until_seconds is None else self._until_seconds

    def save(self) -> SavedZone:
        saved = {
            r.zone.entry: structs.replace(point, published=r.passed_on)
            for r in self.registers
            if (point := r.counter.saved()) is not None
        }
        return SavedZone(self.microjoules, saved, shown=self.shown)


class PowercapSource(Source):
    """The zones under ``sysfs``, each joule once.

    Zones may appear, vanish and fail at any time: the tree is looked through again every 10 seconds.

    Parameters
    ----------
    sysfs, procfs
        Roots of the kernel's file systems; the second tells the processors.
    slept
        Gives the seconds that the machine was suspended since it booted.
    """

    name: SourceName = "powercap"

    def __init__(
        self, sysfs: str = "/sys", procfs: str = "/proc", *, slept: Callable[[], float] = slept_seconds
    ) -> None:
        self._patience = Patience()
        self._finder = ZoneFinder(sysfs, procfs, self._patience)
        self._slept = slept
        self._tracked: dict[str, _Tracked] = {}
        self._readable: set[str] = set()
        self._mirrors = MirrorWatch()
        self._scanned_seconds: float | None = None
        self._longest_interval_seconds: float | None = None

    @property
    def gives_host(self) -> bool:
        """Whether the joules of the host come out of it."""
        return any(not zone.standing and zone.domain in HOST_DOMAINS for zone in self._tracked.values())

    @property
    def may_give_host(self) -> bool:
        """Whether a counter of the host could be read, moving or not."""
        zones = self._tracked.values()
        return any(zone.read_seconds is not None and zone.domain in HOST_DOMAINS for zone in zones)

    def sample(self, clock: Clock) -> None:
        """Read every zone once; a register that is new, twice, as only one that moves is believed."""
        now = clock()
        if self._scanned_seconds is None or now - self._scanned_seconds >= _RESCAN_SECONDS:
            self._scan()
            self._scanned_seconds = now
        unread = [zone for zone in self._tracked.values() if zone.read_seconds is None]
        self._round(self._tracked.values(), clock)
        unread = [zone for zone in unread if zone.read_seconds is not None]
        if unread:
            wait_seconds(_MOVES_SECONDS)
            self._round(unread, clock)

    def _round(self, zones: Iterable[_Tracked], clock: Clock) -> None:
        zones = [zone for zone in zones if zone.is_present]
        paths = [register.zone.path for zone in zones for register in zone.registers]
        readings = self._patience.each(lambda path: _read(path, clock), paths)
        now, slept = clock(), self._slept()
        taken = {zone.name: one for zone in zones if (one := zone.take(readings, now, slept)) is not None}
        self._readable = set(taken) | self._readable - {zone.name for zone in zones}
        self._mirrors.observe(taken)

    def _scan(self) -> None:
        listed: dict[str, list[Zone]] = {}
        for zone in self._finder.find():
            listed.setdefault(zone.twin_of or zone.name, []).append(zone)
        for name, zones in listed.items():
            if name not in self._tracked:
                self._tracked[name] = _Tracked(zones[0], self._saved.get(name))
        for name, tracked in self._tracked.items():
            tracked.list(listed.get(name, ()))
        self._mirrors.track([zone.register.zone for zone in self._tracked.values()])
        times = [r.counter.wrap_seconds for zone in self._tracked.values() for r in zone.registers]
        shortest = min((seconds for seconds in times if seconds is not None), default=None)
        self._longest_interval_seconds = None if shortest is None else shortest * _INTERVAL_SHARE

    def report(self) -> tuple[ZoneReport, ...]:
        """Every zone known, counted ones first."""
        mirrors = self._mirrors.mirrors()
        held_back = self._mirrors.held_back(self._readable)
        counted = [
            ZoneReport(
                name=name,
                domain=zone.domain,
                path=zone.register.zone.shown_path,
                joules=zone.microjoules / 1e6,
                shown_joules=zone.shown / 1e6,
                sampled_seconds=zone.sampled_seconds,
                read_seconds=zone.read_seconds,
                broken_seconds=zone.counter.broken_seconds,
                role="mirror" if name in mirrors else "counted",
                duplicate_of=mirrors.get(name),
                held_back=name in held_back or zone.counter.is_resuming,
                standing=zone.standing,
                present=zone.is_present,
                range_joules=_joules(zone.counter.range_microjoules),
                # of all its registers, so that they do not fall when another one serves
                wraps=max(register.counter.wraps for register in zone.registers),
                possible_missed_wraps=max(r.counter.possible_missed_wraps for r in zone.registers),
                read_errors=dict(zone.read_errors) or _NONE,
                rejected=dict(sum((r.counter.rejected for r in zone.registers), Counter())) or _NONE,
            )
            for name, zone in self._tracked.items()
        ]
        twins = (
            _unread(register.zone, zone.name)
            for zone in self._tracked.values()
            for register in zone.registers
            if register is not zone.register
        )
        nameless = (
            ZoneReport(entry, "", "", 0.0, None, role="nameless", present=False, read_errors=dict(errors))
            for entry, errors in self._finder.nameless.items()
        )
        return (*counted, *twins, *nameless)

    def settled_joules(self, zone: str, seconds: float) -> float | None:
        """See `Source.settled_joules`."""
        tracked = self._tracked[zone]
        joules = tracked.counter.settled_joules(seconds)
        return None if joules is None else joules + (tracked.microjoules - tracked.register.passed_on) / 1e6

    def longest_interval_seconds(self) -> float | None:
        """A quarter of the shortest time in which a register can come round."""
        return self._longest_interval_seconds

    def save(self) -> Mapping[str, SavedZone]:
        """See `Source.save`."""
        return {name: zone.save() for name, zone in self._tracked.items()}


def _unread(zone: Zone, twin_of: str | None, read_errors: Mapping[str, int] = _NONE) -> ZoneReport:
    """A zone of which nothing is counted."""
    return ZoneReport(
        name=zone.name,
        domain=zone.domain,
        path=zone.shown_path,
        joules=0.0,
        sampled_seconds=None,
        role="counted" if twin_of is None else "twin",
        duplicate_of=twin_of,
        range_joules=_joules(zone.range_microjoules),
        read_errors=read_errors,
    )


def _joules(microjoules: int | None) -> float | None:
    return None if microjoules is None else microjoules / 1e6


class PowercapStatus(Struct, frozen=True):
    """What the powercap tree offers, and how to get more of it."""

    zones: tuple[ZoneReport, ...]
    """Nothing of them is counted; one that cannot be used has its reason as its only error."""
    advice: tuple[str, ...]


def describe(sysfs: str = "/sys", procfs: str = "/proc", patience: Patience | None = None) -> PowercapStatus:
    """Try every zone once and say what stands in the way.

    Whoever asks again and again gives the same ``patience``: it knows which files hang.
    """
    patience = patience or Patience()
    finder = ZoneFinder(sysfs, procfs, patience)
    listed = finder.find()
    paths = [zone.path for zone in listed]
    readings: dict[str, _Reading | ZoneReadError] = dict.fromkeys(paths, _HANGS)
    readings |= patience.each(lambda path: _read(path, time.monotonic), paths)
    standing = {path: one[0] for path, one in readings.items() if isinstance(one, tuple)}
    end = time.monotonic() + _LOOK_SECONDS
    while standing and time.monotonic() < end:
        wait_seconds(_MOVES_SECONDS)
        readings |= patience.each(lambda path: _read(path, time.monotonic), standing)
        looks = ((path, raw, readings[path]) for path, raw in standing.items())
        standing = {path: raw for path, raw, one in looks if isinstance(one, tuple) and one[0] == raw}
    readings |= dict.fromkeys(standing, ZoneReadError("standing"))
    failed = {path: {one.reason: 1} for path, one in readings.items() if isinstance(one, ZoneReadError)}
    zones = tuple(_unread(zone, zone.twin_of, failed.get(zone.path, _NONE)) for zone in listed)
    advice = [*_advice(zones, sysfs), *_nameless_advice(finder.nameless)]
    return PowercapStatus(zones, tuple(advice))


def _nameless_advice(nameless: Mapping[str, Counter[str]]) -> list[str]:
    listed = [f"{entry} ({', '.join(errors)})" for entry, errors in nameless.items()]
    return [f"left out because their names are not readable: {', '.join(listed)}"] if listed else []


_PERMISSION = (
    "give the process this right and no other: run it as uid 0 in a container with "
    "'-v /sys:/host/sys:ro --cap-drop ALL --cap-add DAC_READ_SEARCH' and --sysfs /host/sys, or by systemd "
    "with AmbientCapabilities=CAP_DAC_READ_SEARCH",
    "or give a group that right at each boot: a tmpfiles.d line "
    "'z /sys/devices/virtual/powercap/*/*/energy_uj 0440 root power -' (and one with another /* "
    "for the subzones); not to everybody, because the counters leak secrets between users (CVE-2020-8694)",
)


def _advice(zones: tuple[ZoneReport, ...], sysfs: str) -> list[str]:
    folder = powercap_folder(sysfs)
    refused = [zone.name for zone in zones if zone.reason == "permission"]
    if refused:
        who = f"no permission to read the energy counters of {', '.join(refused)} (root's since Linux 5.10)"
        return [f"{who}: {_PERMISSION[0]}", _PERMISSION[1]]
    if zones:
        broken = [f"{zone.name} ({zone.reason})" for zone in zones if zone.reason is not None]
        return [f"unusable energy counters: {', '.join(broken)}"] if broken else []
    if _masked(folder):
        return [
            f"{folder} is masked by the container engine: mount the whole of /sys ('-v /sys:/host/sys:ro', "
            "--cap-add DAC_READ_SEARCH, uid 0) and pass --sysfs /host/sys"
        ]
    return [
        f"no energy counters under {folder}: a virtual machine, an ARM part, or a kernel without its module "
        "(try 'modprobe intel_rapl_msr', which also serves AMD); without them power is estimated"
    ]


def _masked(folder: Path) -> bool:
    """Whether zones are listed whose directories cannot be reached: the links dangle."""
    try:
        return any("rapl" in path.name and not path.exists() for path in folder.iterdir())
    except OSError:
        return False
