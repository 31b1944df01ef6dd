"""The zones of the kernel's powercap tree: what is there, what it is called, what counts twice."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from msgspec import Struct

__all__ = ["DOMAINS", "Zone", "ZoneReadError", "find_zones", "powercap_folder", "read_microjoules"]

DOMAINS = ("package", "core", "uncore", "dram", "psys")
"""Domains in the order they are listed; core and uncore lie inside package, psys contains it."""

_ENTRY = re.compile(r"^(?P<type>[a-z][a-z0-9-]*rapl[a-z0-9-]*):(?P<parent>\d+)(?::(?P<child>\d+))?$")
_NAME = re.compile(r"^(?P<domain>[a-z]+)(?:-(?P<socket>\d+)(?:-die-(?P<die>\d+))?)?$")
# what one domain of one socket cannot exceed, where the kernel knows no limit: watts, about twice the largest
# parts sold (500 W CPUs, 24 DIMMs of about 10 W, the supply of a two-socket server)
_MOST_WATTS = {"package": 1000.0, "core": 1000.0, "uncore": 1000.0, "dram": 500.0, "psys": 4000.0}
# firmware writes the register's full scale (4095 W) for "no limit"
_NO_LIMIT_WATTS = 4000.0
# limits hold on average over their window; and a fast part may be sold under a slow one's figure
_LIMIT_MARGIN = 3.0
_LONGEST_FILE = 4096


class ZoneReadError(Exception):
    """One read that gave no value; ``reason`` is a label value."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Zone(Struct, frozen=True):
    """One zone directory.

    ``name`` is the domain and the socket (``package_0``), and the die where a socket has several
    (``package_0_die_1``).
    """

    name: str
    domain: str
    socket: int
    entry: str
    """The kernel's name of the directory, ``intel-rapl:0:1``."""
    path: str
    """The directory as found under the root that was given."""
    shown_path: str
    """The same below the root, so that a container and its host name it alike."""
    range_microjoules: int | None
    max_watts: float
    """What the zone cannot exceed on average, margin included."""
    twin_of: str | None = None
    """The zone whose counter this one shows a second time (mmio beside msr); such a zone is not counted."""


def powercap_folder(sysfs: str) -> Path:
    """Where the control types and zones are listed."""
    return Path(sysfs, "class/powercap")


def find_zones(sysfs: str) -> list[Zone]:
    """Every RAPL zone under ``sysfs``, packages first; twins carry the name they duplicate.

    Directories whose name file cannot be read, and domains nobody knows, are left out.
    """
    found = sorted(
        (zone for entry, path in _entries(sysfs) if (zone := _zone(sysfs, entry, path)) is not None),
        key=lambda z: (DOMAINS.index(z.domain), z.socket, "mmio" in z.entry, z.entry),
    )
    zones: list[Zone] = []
    by_name: dict[str, Zone] = {}
    for zone in found:
        first = by_name.get(zone.name)
        if first is not None and first.entry.partition(":")[0] != zone.entry.partition(":")[0]:
            zones.append(_with(zone, twin_of=zone.name))
            continue
        if first is not None:
            # two zones of one control type under one name: an old kernel on a part of several dies
            zone = _with(zone, name=f"{zone.name}_zone_{zone.entry.split(':')[1]}")
        by_name[zone.name] = zone
        zones.append(zone)
    return zones


def _with(zone: Zone, **changes: str) -> Zone:
    fields = {name: getattr(zone, name) for name in zone.__struct_fields__}
    return Zone(**(fields | changes))


def _entries(sysfs: str) -> list[tuple[str, str]]:
    """Zone directories by the kernel's name, from the flat listing and from inside the zones."""
    root = str(powercap_folder(sysfs))
    found: dict[str, str] = {}
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is needed, every 10 s
        except OSError:
            continue
        for name in names:
            if _ENTRY.match(name) and name not in found:
                found[name] = f"{folder}/{name}"
                waiting.append(found[name])
            elif folder == root and "rapl" in name:
                waiting.append(f"{folder}/{name}")
    return sorted(found.items())


def _zone(sysfs: str, entry: str, path: str) -> Zone | None:
    place = _ENTRY.match(entry)
    named = _NAME.match(_read_line(f"{path}/name") or "")
    if place is None or named is None or named["domain"] not in DOMAINS:
        return None
    owner = named
    if place["child"] is not None:
        parent = f"{place['type']}:{place['parent']}"
        folder = path.rpartition("/")[0]
        owner = (
            _NAME.match(_read_line(f"{folder}/{parent}/name") or _read_line(f"{folder}/name") or "") or named
        )
    if owner["socket"] is not None:
        socket = int(owner["socket"])
    else:
        socket = 0 if named["domain"] == "psys" else int(place["parent"])
    die = f"_die_{owner['die']}" if owner["die"] is not None else ""
    domain = named["domain"]
    return Zone(
        name=f"{domain}_{socket}{die}",
        domain=domain,
        socket=socket,
        entry=entry,
        path=path,
        shown_path=os.path.relpath(path, sysfs),
        range_microjoules=_positive(f"{path}/max_energy_range_uj"),
        max_watts=_max_watts(path, domain),
    )


def _max_watts(path: str, domain: str) -> float:
    """The package's own limits with a margin, else what no part of this domain exceeds."""
    known: list[float] = []
    for number in range(3):
        for what in ("max_power_uw", "power_limit_uw"):
            microwatts = _positive(f"{path}/constraint_{number}_{what}")
            if microwatts is not None and microwatts / 1e6 < _NO_LIMIT_WATTS:
                known.append(microwatts / 1e6)
    return max(known) * _LIMIT_MARGIN if known else _MOST_WATTS[domain]


def _positive(path: str) -> int | None:
    text = _read_line(path) or ""
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None


def _read_line(path: str) -> str | None:
    try:
        return _read(path).decode("ascii", "replace").strip()
    except ZoneReadError:
        return None


def read_microjoules(path: str) -> int:
    """The counter in ``path/energy_uj``.

    The file is opened anew each time: one that was replaced, locked or turned into something else under a
    kept descriptor would go on giving its last value.

    Raises
    ------
    ZoneReadError
        ``permission``, ``missing``, ``blocked`` (not a plain file: it could wait for ever), ``malformed`` or
        ``io``.
    """
    text = _read(f"{path}/energy_uj").strip()
    if not text.isdigit():
        raise ZoneReadError("malformed")
    return int(text)


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise ZoneReadError(_reason(exc)) from exc
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ZoneReadError("blocked")
        return os.read(descriptor, _LONGEST_FILE)
    except OSError as exc:
        raise ZoneReadError(_reason(exc)) from exc
    finally:
        os.close(descriptor)


def _reason(exc: OSError) -> str:
    if isinstance(exc, PermissionError):
        return "permission"
    if isinstance(exc, (FileNotFoundError, NotADirectoryError)):
        return "missing"
    if isinstance(exc, BlockingIOError):
        return "blocked"
    return "io"
