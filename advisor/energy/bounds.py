"""What a part can draw: from the limits that are in force, else from what is known of its CPU."""

from __future__ import annotations

import re

from msgspec import structs

from advisor.energy.counter import Bounds
from advisor.energy.zones import read_positive, try_line
from advisor.machine import CpuInfo

# firmware writes the register's full scale (15 bits of 1/8 W: 4095.875 W) for "no limit", or anything else
# that no part of the domain draws
_NO_LIMIT_WATTS = {"package": 1500.0, "core": 1500.0, "uncore": 1500.0, "dram": 600.0, "psys": 4000.0}
# beyond so many times that, values are in another unit
_MOST_MARGIN = 2.0
# limits hold on average over their window of a second and more
_ORDINARY_MARGIN, _POSSIBLE_MARGIN = 1.5, 3.0
# boards that lift the limits let a part draw several times its nominal power (65 W parts: 250-300 W)
_LIFTED_MARGIN = 5.0
# a limit of a few watts may be written down and not in force
_LEAST_ORDINARY_WATTS, _LEAST_POSSIBLE_WATTS = 75.0, 100.0
# watts of a socket whose limits are unknown. Possible: more than the fastest desktop parts draw without
# limits (8 cores 250 W, 24 cores 430 W), and no socket sold draws 1 500 W. Ordinary: what most parts draw at
# full load, EPYC 4 W, desktop 10-15 W a core, and at least 150 W.
_ORDINARY_WATTS, _ORDINARY_PER_CORE, _LEAST_UNKNOWN_WATTS = 50.0, 10.0, 150.0
_POSSIBLE_WATTS, _POSSIBLE_PER_CORE, _MOST_WATTS = 260.0, 20.0, 1500.0
# mobile parts by the suffix of their model: the supply of the machine is 65 W (U, P, Y), 240 W (H, HS, HK)
# or 330 W (HX)
_MOBILE = (
    (
        re.compile(r"\b(?:i[3579]|ultra \d|ryzen\b.*?)[ -]\w*\d{3,5}(?:u|p|y|g[147]|v)\b", re.IGNORECASE),
        120.0,
    ),
    (re.compile(r"\b(?:i[3579]|ultra \d|ryzen\b.*?)[ -]\w*\d{3,5}(?:h|hs|hk)\b", re.IGNORECASE), 240.0),
    (re.compile(r"\b(?:i[3579]|ultra \d|ryzen\b.*?)[ -]\w*\d{3,5}hx\b", re.IGNORECASE), 330.0),
)
_DRAM_WATTS, _PSYS_WATTS = (150.0, 600.0), (500.0, 4000.0)
# AMD's parts, of which mobile ones leap ahead for a read, have these registers, and limits for none of them
_LEAPING_DOMAINS = ("package", "core")


def part_bounds(path: str, domain: str, info: CpuInfo) -> Bounds:
    """Bounds of one zone.

    Parameters
    ----------
    path
        The zone's folder, with its ``constraint_*`` files.
    domain
        One of `advisor.energy.zones.DOMAINS`.
    info
        The machine's processors.
    """
    return structs.replace(
        _part_bounds(path, domain, info), most_watts=_MOST_MARGIN * _NO_LIMIT_WATTS[domain]
    )


def _part_bounds(path: str, domain: str, info: CpuInfo) -> Bounds:
    limit, nominal = _limits(path, _NO_LIMIT_WATTS[domain])
    if limit is not None:
        return _bounds(_ORDINARY_MARGIN * limit, _POSSIBLE_MARGIN * limit)
    by_cpu = _by_cpu(domain, info)
    if nominal is None:
        may_leap = domain in _LEAPING_DOMAINS and not _lists_limits(path)
        return structs.replace(by_cpu, doubt="everything" if may_leap else "rises")
    ordinary = max(_ORDINARY_MARGIN * nominal, min(by_cpu.ordinary_watts, _LIFTED_MARGIN * nominal))
    return _bounds(ordinary, max(_LIFTED_MARGIN * nominal, by_cpu.possible_watts))


def _bounds(ordinary: float, possible: float) -> Bounds:
    possible = max(possible, _LEAST_POSSIBLE_WATTS)
    return Bounds(min(max(ordinary, _LEAST_ORDINARY_WATTS), possible), possible)


def _limits(path: str, full_scale_watts: float) -> tuple[float | None, float | None]:
    """The largest limit in force and the part's nominal power in watts; None where there is none.

    A limit at full scale is none, nor is any while the zone is switched off.
    """
    limits, nominal = [], []
    for number in range(3):
        limits.append(_watts(f"{path}/constraint_{number}_power_limit_uw"))
        nominal.append(_watts(f"{path}/constraint_{number}_max_power_uw"))
    parts = [watts for watts in nominal if watts is not None and watts < full_scale_watts]
    if try_line(f"{path}/enabled") == "0":
        return None, max(parts, default=None)
    given = [watts for watts in limits if watts is not None and watts < full_scale_watts]
    highest = max([*given, *parts], default=None)
    is_lifted = any(watts is not None and watts >= full_scale_watts for watts in limits)
    return (None if is_lifted else highest), highest


def _lists_limits(path: str) -> bool:
    """Whether the zone, or the package in which it lies, says any limit."""
    folder, _, entry = path.rpartition("/")
    files = [
        f"{place}/constraint_{number}_{what}_uw"
        for place in (path, folder, f"{folder}/{entry.rpartition(':')[0]}")
        for number in range(3)
        for what in ("power_limit", "max_power")
    ]
    return any(read_positive(file) is not None for file in files)


def _watts(path: str) -> float | None:
    microwatts = read_positive(path)
    return None if microwatts is None else microwatts / 1e6


def _by_cpu(domain: str, info: CpuInfo) -> Bounds:
    if domain == "dram":
        return Bounds(*_DRAM_WATTS)
    if domain == "psys":
        return Bounds(*_PSYS_WATTS)
    cores = info.cores / info.sockets
    mobile = [watts for pattern, watts in _MOBILE if pattern.search(info.model_name or "")]
    possible = min([_POSSIBLE_WATTS + _POSSIBLE_PER_CORE * cores, _MOST_WATTS, *mobile])
    ordinary = max(_ORDINARY_WATTS + _ORDINARY_PER_CORE * cores, _LEAST_UNKNOWN_WATTS)
    return _bounds(min(ordinary, possible), possible)
