"""Intel and AMD energy counters (RAPL) through the kernel's powercap tree."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from msgspec import Struct

from advisor.energy.counter import EnergyCounter
from advisor.energy.finder import ZoneFinder, powercap_folder
from advisor.energy.mirrors import MirrorWatch
from advisor.energy.patience import Patience
from advisor.energy.source import Clock, SourceName, Tier, ZoneReport
from advisor.energy.zones import Zone, ZoneReadError, read_microjoules

__all__ = ["PowercapSource", "PowercapStatus", "ZoneStatus", "describe"]

_RESCAN_SECONDS = 10.0
# of the time in which the fastest register can come round
_INTERVAL_SHARE = 0.25
_NONE: Mapping[str, int] = MappingProxyType({})
_HANGS = ZoneReadError("blocked")
_Reading: TypeAlias = tuple[int, float]
"""The raw value in microjoules and the monotonic time of its read."""


def _read(path: str, clock: Clock) -> _Reading | ZoneReadError:
    try:
        return read_microjoules(path), clock()
    except ZoneReadError as exc:
        return exc


class _Tracked:
    """A zone that is counted, with its counter and its failed reads."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.counter = EnergyCounter(zone.range_microjoules, zone.max_watts)
        self.read_errors: Counter[str] = Counter()

    def serve_from(self, zone: Zone) -> None:
        """The zone is listed again, perhaps as its twin: the counter goes on."""
        if zone.entry != self.zone.entry:
            self.counter.forget_base()
        self.counter.range_microjoules = zone.range_microjoules
        self.counter.max_watts = zone.max_watts
        self.zone = zone

    def take(self, reading: _Reading | ZoneReadError) -> int | None:
        """Put one reading into the counter, or count why there is none; its raw value."""
        if isinstance(reading, ZoneReadError):
            self.read_errors[reading.reason] += 1
            return None
        self.counter.observe(*reading)
        return reading[0]


class PowercapSource:
    """The zones under ``sysfs``, each joule once.

    Zones may appear, vanish and fail at any time: the tree is looked through again every 10 seconds.
    """

    name: SourceName = "powercap"
    tier: Tier = "measured"
    uncertainty_ratio: float | None = None

    def __init__(self, sysfs: str = "/sys") -> None:
        self._patience = Patience()
        self._finder = ZoneFinder(sysfs, self._patience)
        self._tracked: dict[str, _Tracked] = {}
        self._twins: list[Zone] = []
        self._present: tuple[str, ...] = ()
        self._readable: set[str] = set()
        self._mirrors = MirrorWatch()
        self._scanned_seconds: float | None = None
        self._longest_interval_seconds: float | None = None

    def sample(self, clock: Clock) -> None:
        """Read every zone once."""
        now = clock()
        if self._scanned_seconds is None or now - self._scanned_seconds >= _RESCAN_SECONDS:
            self._scan()
            self._scanned_seconds = now
        present = {self._tracked[name].zone.path: name for name in self._present}
        readings = self._patience.each(lambda path: _read(path, clock), present)
        raws = {}
        for path, name in present.items():
            raw = self._tracked[name].take(readings.get(path, _HANGS))
            if raw is not None:
                raws[name] = raw
        self._readable = set(raws)
        self._mirrors.observe(raws, now)

    def _scan(self) -> None:
        found = self._finder.find()
        self._twins = [zone for zone in found if zone.twin_of is not None]
        counted = [zone for zone in found if zone.twin_of is None]
        for zone in counted:
            tracked = self._tracked.get(zone.name)
            if tracked is None:
                self._tracked[zone.name] = _Tracked(zone)
            elif zone != tracked.zone:
                tracked.serve_from(zone)
        self._present = tuple(zone.name for zone in counted)
        self._mirrors.track([t.zone for t in self._tracked.values()])
        times = [t.counter.wrap_seconds for t in self._tracked.values()]
        known = [seconds for seconds in times if seconds is not None]
        self._longest_interval_seconds = min(known) * _INTERVAL_SHARE if known else None

    def report(self) -> tuple[ZoneReport, ...]:
        """Every zone known, counted ones first."""
        mirrors = self._mirrors.mirrors()
        held_back = self._mirrors.held_back(self._readable)
        counted = [
            ZoneReport(
                name=name,
                domain=t.zone.domain,
                path=t.zone.shown_path,
                joules=t.counter.joules,
                sampled_seconds=t.counter.last_good_seconds,
                role="mirror" if name in mirrors else "counted",
                duplicate_of=mirrors.get(name),
                held_back=name in held_back,
                present=name in self._present,
                range_joules=_joules(t.zone.range_microjoules),
                wraps=t.counter.wraps,
                possible_missed_wraps=t.counter.possible_missed_wraps,
                read_errors=dict(t.read_errors) if t.read_errors else _NONE,
                rejected=dict(t.counter.rejected) if t.counter.rejected else _NONE,
            )
            for name, t in self._tracked.items()
        ]
        twins = (self._twin_report(zone) for zone in self._twins)
        nameless = (
            ZoneReport(entry, "", "", 0.0, None, role="nameless", present=False, read_errors=dict(errors))
            for entry, errors in self._finder.nameless.items()
        )
        return (*counted, *twins, *nameless)

    def _twin_report(self, zone: Zone) -> ZoneReport:
        return ZoneReport(
            name=zone.name,
            domain=zone.domain,
            path=zone.shown_path,
            joules=0.0,
            sampled_seconds=None,
            role="twin",
            duplicate_of=zone.twin_of,
            range_joules=_joules(zone.range_microjoules),
        )

    def longest_interval_seconds(self) -> float | None:
        """A quarter of the shortest time in which a register can come round."""
        return self._longest_interval_seconds


def _joules(microjoules: int | None) -> float | None:
    return None if microjoules is None else microjoules / 1e6


class ZoneStatus(Struct, frozen=True):
    """Whether one zone can be used."""

    zone: str
    domain: str
    path: str
    readable: bool
    reason: str | None
    """Why it cannot be read: ``permission``, ``missing``, ``blocked``, ``malformed``, ``io``."""
    max_joules: float | None
    role: str
    duplicate_of: str | None


class PowercapStatus(Struct, frozen=True):
    """What the powercap tree offers, and how to get more of it."""

    zones: tuple[ZoneStatus, ...]
    advice: tuple[str, ...]

    @property
    def readable(self) -> bool:
        """Whether at least one counter can be read."""
        return any(zone.readable for zone in self.zones)


def describe(sysfs: str = "/sys", patience: Patience | None = None) -> PowercapStatus:
    """Try every zone once and say what stands in the way.

    Whoever asks again and again gives the same ``patience``: it knows which files hang.
    """
    patience = patience or Patience()
    finder = ZoneFinder(sysfs, patience)
    found = finder.find()
    readings = patience.each(lambda path: _read(path, time.monotonic), [zone.path for zone in found])
    zones = tuple(_status(zone, readings.get(zone.path, _HANGS)) for zone in found)
    advice = [*_advice(zones, sysfs), *_nameless_advice(finder.nameless)]
    return PowercapStatus(zones, tuple(advice))


def _nameless_advice(nameless: Mapping[str, Counter[str]]) -> list[str]:
    listed = [f"{entry} ({', '.join(errors)})" for entry, errors in nameless.items()]
    return [f"left out, as their names cannot be read: {', '.join(listed)}"] if listed else []


def _status(zone: Zone, reading: _Reading | ZoneReadError) -> ZoneStatus:
    reason = reading.reason if isinstance(reading, ZoneReadError) else None
    return ZoneStatus(
        zone=zone.name,
        domain=zone.domain,
        path=zone.shown_path,
        readable=reason is None,
        reason=reason,
        max_joules=_joules(zone.range_microjoules),
        role="counted" if zone.twin_of is None else "twin",
        duplicate_of=zone.twin_of,
    )


_PERMISSION = (
    "run with the right to read them and no other: as uid 0 in a container with "
    "'-v /sys:/host/sys:ro --cap-drop ALL --cap-add DAC_READ_SEARCH' and --sysfs /host/sys, or by systemd "
    "with AmbientCapabilities=CAP_DAC_READ_SEARCH",
    "or give a group that right at each boot: a tmpfiles.d line "
    "'z /sys/devices/virtual/powercap/*/*/energy_uj 0440 root power -' (and one with another /* "
    "for the subzones); not everybody, as the counters leak secrets between users (CVE-2020-8694)",
)


def _advice(zones: tuple[ZoneStatus, ...], sysfs: str) -> list[str]:
    folder = powercap_folder(sysfs)
    refused = [zone.zone for zone in zones if zone.reason == "permission"]
    if refused:
        who = f"no permission to read the energy counters of {', '.join(refused)} (since Linux 5.10 root's)"
        return [f"{who}: {_PERMISSION[0]}", _PERMISSION[1]]
    if zones:
        broken = [f"{zone.zone} ({zone.reason})" for zone in zones if not zone.readable]
        return [f"unreadable energy counters: {', '.join(broken)}"] if broken else []
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
