"""Power from utilisation, for machines without energy counters. Everything from here is modelled.

    P(u) = P_idle + (P_max - P_idle) * shape(u)

``u`` is the busy share of the CPUs' time. Idle and maximum watts are what the operator gives, else
per-thread averages of the CPU's family, else of any server CPU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct

from advisor.energy.cpu import CpuTimes, cpu_times, utilisation
from advisor.energy.source import Clock, SavedZone, Source, SourceName, Tier, ZoneReport
from advisor.errors import InputError
from advisor.machine import CpuInfo, cpu_info

ZONE = "package_0"
# In SPECpower_ssj2008 results of 2016 and later the straight line from idle (about 0.2 of the maximum) to
# full load lies 1 % below to 17 % above the measured power at half load; this takes the middle of that away.
_EXPONENT = 1.17
_GIVEN, _FAMILY, _ANY = "given", "family", "per_core"
# half-widths as ratios: the shape's own error where both ends are given; where they are not, the spread of
# the systems within a family and the spread of the families in the table below
_UNCERTAINTY = {_GIVEN: 0.1, _FAMILY: 0.35, _ANY: 0.5}


class _Family(Struct, frozen=True):
    vendor: str
    family: int
    models: tuple[int, ...]
    idle_watts: float
    max_watts: float
    steppings: tuple[int, ...] = ()
    """Where one model number stands for several families."""


# Watts per hardware thread of a whole server, idle and at full load: averages over the SPECpower_ssj2008
# results published until March 2026, by microarchitecture, as worked out by the Cloud Carbon Footprint
# project (coefficients of 2026-03-09); Zen 5 dense from the two results of May 2025 (EPYC 9965, 768 threads).
_INTEL, _AMD = "GenuineIntel", "AuthenticAMD"
_FAMILIES = (
    _Family(_INTEL, 6, (45,), 2.21, 8.63),  # Sandy Bridge
    _Family(_INTEL, 6, (62,), 1.71, 5.56),  # Ivy Bridge
    _Family(_INTEL, 6, (63,), 1.86, 5.60),  # Haswell
    _Family(_INTEL, 6, (79, 86), 0.71, 3.69),  # Broadwell
    _Family(_INTEL, 6, (142, 158), 1.14, 5.42),  # Coffee Lake
    _Family(_INTEL, 6, (85,), 0.61, 4.10, steppings=(0, 1, 2, 3, 4)),  # Skylake
    _Family(_INTEL, 6, (85,), 0.69, 4.06),  # Cascade Lake
    _Family(_INTEL, 6, (106, 108), 0.77, 3.76),  # Ice Lake
    _Family(_INTEL, 6, (143,), 1.04, 4.16),  # Sapphire Rapids
    _Family(_INTEL, 6, (207,), 0.81, 4.48),  # Emerald Rapids
    _Family(_INTEL, 6, (173,), 0.58, 2.53),  # Granite Rapids
    _Family(_AMD, 23, (1,), 0.85, 2.60),  # EPYC, Zen
    _Family(_AMD, 23, (49,), 0.47, 1.69),  # EPYC, Zen 2
    _Family(_AMD, 25, (1,), 0.46, 1.96),  # EPYC, Zen 3
    _Family(_AMD, 25, (17, 160), 0.74, 2.28),  # EPYC, Zen 4
    _Family(_AMD, 26, (17,), 0.20, 1.04),  # EPYC, Zen 5 dense
)
# the medians over the families since 2017, Zen 5 left out as two results are no family
_ANY_IDLE_WATTS, _ANY_MAX_WATTS = 0.72, 3.18


class PowerModel(Struct, frozen=True):
    """Idle and maximum power of this machine, and how far to trust them."""

    idle_watts: float
    max_watts: float
    basis: str
    """``given``, ``family`` or ``per_core``."""
    uncertainty_ratio: float
    """Half-width of the uncertainty as a ratio of the power."""

    def watts(self, utilisation: float) -> float:
        """Power at a utilisation from 0 to 1.

        >>> PowerModel(20.0, 100.0, "given", 0.15).watts(1.0)
        100.0
        """
        return self.idle_watts + (self.max_watts - self.idle_watts) * shape(utilisation)


def shape(utilisation: float) -> float:
    """Share of the range between idle and maximum power at a utilisation from 0 to 1.

    >>> shape(0.0), round(shape(0.5), 3), shape(1.0)
    (0.0, 0.444, 1.0)
    """
    return math.pow(min(max(utilisation, 0.0), 1.0), _EXPONENT)


def power_model(
    info: CpuInfo, *, idle_watts: float | None = None, max_watts: float | None = None
) -> PowerModel:
    """Idle and maximum watts: what is given wins over the family's, and that over the per-core default.

    Raises
    ------
    InputError
        The maximum is not above the idle power, or one of them is negative.
    """
    family = next((f for f in _FAMILIES if _is_of(info, f)), None)
    basis = _FAMILY if family is not None else _ANY
    usual_idle, usual_max = (
        (family.idle_watts, family.max_watts) if family else (_ANY_IDLE_WATTS, _ANY_MAX_WATTS)
    )
    top = max_watts if max_watts is not None else usual_max * info.threads
    idle = idle_watts if idle_watts is not None else top * usual_idle / usual_max
    if idle_watts is not None and max_watts is None and top <= idle:
        top = idle * usual_max / usual_idle
    if idle_watts is not None and max_watts is not None:
        basis = _GIVEN
    if not 0 <= idle < top:
        raise InputError(
            f"expected 0 <= idle watts < maximum watts, got idle {idle:g} W and maximum {top:g} W",
            subject="power estimate",
        )
    return PowerModel(idle, top, basis, _UNCERTAINTY[basis])


def _is_of(info: CpuInfo, family: _Family) -> bool:
    same = (info.vendor, info.family) == (family.vendor, family.family) and info.model in family.models
    return same and (not family.steppings or info.stepping in family.steppings)


class EstimateSource(Source):
    """One zone, ``package_0``, whose joules are the model's power over the time between samples."""

    name: SourceName = "estimate"
    tier: Tier = "modelled"

    def __init__(
        self,
        procfs: str = "/proc",
        *,
        idle_watts: float | None = None,
        max_watts: float | None = None,
    ) -> None:
        self._procfs = procfs
        self.model = power_model(cpu_info(procfs), idle_watts=idle_watts, max_watts=max_watts)
        self.uncertainty_ratio: float | None = self.model.uncertainty_ratio
        self._joules = 0.0
        self._last: tuple[float, CpuTimes] | None = None
        self._errors = 0

    def sample(self, clock: Clock) -> None:
        """Read the utilisation since the last sample and add its energy."""
        before = clock()
        times = cpu_times(self._procfs)
        if times is None:
            self._errors += 1
            return
        now = (before + clock()) / 2
        if self._last is not None:
            then, former = self._last
            if times.total_seconds == former.total_seconds:
                return  # no clock tick has passed: the time belongs to the next sample
            self._joules += self.model.watts(utilisation(former, times)) * max(now - then, 0.0)
        self._last = (now, times)

    def report(self) -> tuple[ZoneReport, ...]:
        """The one zone."""
        return (
            ZoneReport(
                name=ZONE,
                domain="package",
                path="stat",
                joules=self._joules,
                sampled_seconds=None if self._last is None else self._last[0],
                read_seconds=None if self._last is None else self._last[0],
                read_errors={"malformed": self._errors} if self._errors else {},
            ),
        )

    def save(self) -> Mapping[str, SavedZone]:
        """See `Source.save`."""
        if self._last is None:
            return {}
        return {ZONE: SavedZone(round(self._joules * 1e6), {}, *self._last)}

    def restore(self, zones: Mapping[str, SavedZone]) -> None:
        """See `Source.restore`: the kernel has summed the CPU time meanwhile."""
        zone = zones.get(ZONE)
        if zone is not None and zone.seconds is not None and zone.cpu is not None:
            self._joules, self._last = zone.microjoules / 1e6, (zone.seconds, zone.cpu)
