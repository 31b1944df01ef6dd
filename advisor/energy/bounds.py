"""What a part can draw: from the limits that are in force, else from what is known of its CPU."""

from __future__ import annotations

import re

from advisor.energy.explanations import Bounds, Doubt
from advisor.energy.zones import read_positive, try_line
from advisor.machine import CpuInfo

# firmware writes the register's full scale (15 bits of 1/8 W: 4095.875 W) for "no limit", or anything else
# that no part of the domain draws
_NO_LIMIT_WATTS = {"package": 1500.0, "core": 1500.0, "uncore": 1500.0, "dram": 600.0, "psys": 4000.0}
# beyond so many times that, values are in another unit
_MOST_MARGIN = 2.0
# limits hold on average over their window of a second and more
_LIMIT_MARGIN = 3.0
# boards that lift the limits let a part draw several times its nominal power (65 W parts: 250-300 W)
_LIFTED_MARGIN = 5.0
# a limit of a few watts may be written down and not in force
_LEAST_POSSIBLE_WATTS = 100.0
# watts of a socket whose limits are unknown: more than the fastest desktop parts draw without limits (8 cores
# 250 W, 24 cores 430 W), and no socket sold draws 1 500 W
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
_DRAM_WATTS, _PSYS_WATTS = 600.0, 4000.0
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
    limit, nominal = _limits(path, _NO_LIMIT_WATTS[domain])
    doubt: Doubt = "rises"
    if limit is not None:
        possible_watts = _LIMIT_MARGIN * limit
    elif nominal is not None:
        possible_watts = max(_LIFTED_MARGIN * nominal, _by_cpu(domain, info))
    else:
        possible_watts = _by_cpu(domain, info)
        doubt = "everything" if domain in _LEAPING_DOMAINS and not _lists_limits(path) else "rises"
    return Bounds(max(possible_watts, _LEAST_POSSIBLE_WATTS), _MOST_MARGIN * _NO_LIMIT_WATTS[domain], doubt)


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


def _by_cpu(domain: str, info: CpuInfo) -> float:
    if domain in ("dram", "psys"):
        return _DRAM_WATTS if domain == "dram" else _PSYS_WATTS
    mobile = [watts for pattern, watts in _MOBILE if pattern.search(info.model_name or "")]
    return min([_POSSIBLE_WATTS + _POSSIBLE_PER_CORE * info.cores / info.sockets, _MOST_WATTS, *mobile])
