"""Looks through the kernel's powercap tree: which zones there are, and which of them count twice."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from msgspec import structs

from advisor.energy.bounds import part_bounds
from advisor.energy.patience import Patience
from advisor.energy.zones import DOMAINS, Zone, ZoneReadError, read_line, read_positive
from advisor.machine import CpuInfo, cpu_info

_ENTRY = re.compile(r"^(?P<type>[a-z][a-z0-9-]*rapl[a-z0-9-]*):(?P<parent>\d+)(?::(?P<child>\d+))?$")
_NAME = re.compile(r"^(?P<domain>[a-z]+)(?:-(?P<socket>\d+)(?:-die-(?P<die>\d+))?)?$")


def powercap_folder(sysfs: str) -> Path:
    """Where the control types and zones are listed."""
    return Path(sysfs, "class/powercap")


class ZoneFinder:
    """Finds the zones under ``sysfs`` again and again, and remembers what it knew of one that fails.

    Parameters
    ----------
    sysfs
        Root of the file system; of a container's mount perhaps only ``devices/virtual/powercap`` is there.
    procfs
        Tells the processors, which bound what a zone can draw.
    patience
        Reads the files, so that one that hangs costs its zone alone; its keys are the zones' paths.
    """

    def __init__(self, sysfs: str, procfs: str, patience: Patience) -> None:
        self._sysfs = sysfs
        self._info = cpu_info(procfs)
        self._patience = patience
        self._zones: dict[str, Zone] = {}
        self.nameless: dict[str, Counter[str]] = {}
        """How often what is listed could not be told, by the kernel's name for it and the reason."""

    def find(self) -> list[Zone]:
        """Every RAPL zone, packages first; twins carry the name they duplicate.

        Domains nobody knows are left out.
        """
        paths = _paths(self._sysfs)
        looks = self._patience.each(self._look, paths)
        former, self._zones = self._zones, {}
        for path in paths:
            zone = looks.get(path, ZoneReadError("blocked"))
            if isinstance(zone, ZoneReadError):
                zone = self._remembered(path, zone.reason, former)
            if zone is not None:
                self._zones[path] = zone
        return _told_apart(self._zones.values())

    def _remembered(self, path: str, reason: str, former: dict[str, Zone]) -> Zone | None:
        if path in former and reason != "missing":
            return former[path]
        self.nameless.setdefault(path.rpartition("/")[2], Counter())[reason] += 1
        return None

    def _look(self, path: str) -> Zone | ZoneReadError | None:
        try:
            return _zone(self._sysfs, path, self._info, self._zones.get(path))
        except ZoneReadError as exc:
            return exc


def _told_apart(zones_found: Iterable[Zone]) -> list[Zone]:
    """In order, with twins marked and every counted zone under a name of its own."""
    order = sorted(zones_found, key=lambda z: (DOMAINS.index(z.domain), z.socket, "mmio" in z.entry, z.entry))
    zones: list[Zone] = []
    by_name: dict[str, Zone] = {}
    for zone in order:
        first = by_name.get(zone.name)
        if first is not None and first.entry.partition(":")[0] != zone.entry.partition(":")[0]:
            zones.append(structs.replace(zone, twin_of=zone.name))
            continue
        if first is not None:
            # two zones of one control type under one name: an old kernel on a part of several dies
            zone = structs.replace(zone, name=f"{zone.name}_zone_{zone.entry.split(':')[1]}")
        by_name[zone.name] = zone
        zones.append(zone)
    return zones


def _paths(sysfs: str) -> list[str]:
    """Zone directories, each once: from the flat listing, from inside the zones, and from the devices."""
    roots = [str(powercap_folder(sysfs)), f"{sysfs}/devices/virtual/powercap"]
    zones: dict[str, str] = {}
    waiting = [*roots]
    while waiting:
        folder = waiting.pop(0)
        for name in _names(folder):
            path = f"{folder}/{name}"
            if _ENTRY.match(name):
                # a container engine's mask leaves links that lead nowhere
                if name not in zones and os.path.isdir(path):  # noqa: PTH112 - every 10 s
                    zones[name] = path
                    waiting.append(path)
            elif folder in roots and "rapl" in name:
                waiting.append(path)
    return [path for _, path in sorted(zones.items())]


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is needed, every 10 s
    except OSError:
        return []


def _zone(sysfs: str, path: str, info: CpuInfo, former: Zone | None) -> Zone | None:
    """What one directory says of itself; None for a domain nobody knows."""
    folder, _, entry = path.rpartition("/")
    place = _ENTRY.match(entry)
    named = _NAME.match(read_line(f"{path}/name"))
    if place is None or named is None:
        raise ZoneReadError("malformed")
    domain = named["domain"]
    if domain not in DOMAINS:
        return None
    owner = named
    if place["child"] is not None:
        owner = _owner(folder, f"{place['type']}:{place['parent']}") or named
    if owner["socket"] is not None:
        socket = int(owner["socket"])
    else:
        socket = 0 if domain == "psys" else int(place["parent"])
    die = f"_die_{owner['die']}" if owner["die"] is not None else ""
    return Zone(
        name=f"{domain}_{socket}{die}",
        domain=domain,
        socket=socket,
        entry=entry,
        path=path,
        shown_path=os.path.relpath(path, sysfs),
        # a register's range never changes, and one read of it may fail
        range_microjoules=read_positive(f"{path}/max_energy_range_uj")
        or (former.range_microjoules if former is not None else None),
        bounds=part_bounds(path, domain, info),
    )


def _owner(folder: str, parent: str) -> re.Match[str] | None:
    """The name of a subzone's package, which is beside it in the flat listing and around it elsewhere."""
    for path in (f"{folder}/{parent}/name", f"{folder}/name"):
        with contextlib.suppress(ZoneReadError):
            return _NAME.match(read_line(path))
    return None
