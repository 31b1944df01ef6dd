"""Power from utilisation, for machines without energy counters. Everything from here is modelled.

    P(u) = P_idle + (P_max - P_idle) * shape(u)

``u`` is the busy share of the CPUs' time. Idle and maximum watts are what the operator gives, else
per-thread averages of the CPU's family, else of any server CPU.
"""

from __future__ import annotations

import math

from msgspec import Struct

from advisor.energy.cpu import CpuTimes, cpu_times
from advisor.energy.source import Clock, SourceName, Tier, ZoneReport
from advisor.errors import InputError
from advisor.hardware import CpuInfo, cpu_info

__all__ = ["ZONE", "EstimateSource", "PowerModel", "power_model", "shape"]

ZONE = "package_0"
# SPECpower_ssj2008 results of 2016 and later: measured power at half load lies 0 to 15 % below the straight
# line from idle (about 0.2 of the maximum) to full load, in the middle 7.5 %, which this exponent gives
_EXPONENT = 1.17
_IDLE_SHARE = 0.2
_GIVEN, _FAMILY, _ANY = "given", "family", "per_core"
# half-widths as ratios: the shape's own error where both ends are given; the spread of systems within a
# family, and over families, of the table below where they are not
_UNCERTAINTY = {_GIVEN: 0.15, _FAMILY: 0.35, _ANY: 0.6}


class _Family(Struct, frozen=True):
    name: str
    vendor: str
    family: int
    models: tuple[int, ...]
    idle_watts: float
    max_watts: float


# Watts per hardware thread, whole server, idle and full load: averages over SPECpower_ssj2008 results by
# microarchitecture as published by the Cloud Carbon Footprint project (coefficients of 2022), two decimals.
_FAMILIES = (
    _Family("Sandy Bridge", "GenuineIntel", 6, (45,), 2.17, 8.58),
    _Family("Ivy Bridge", "GenuineIntel", 6, (62,), 3.04, 8.25),
    _Family("Haswell", "GenuineIntel", 6, (63,), 1.90, 6.01),
    _Family("Broadwell", "GenuineIntel", 6, (79, 86), 0.71, 3.69),
    _Family("Skylake", "GenuineIntel", 6, (85,), 0.64, 4.19),
    _Family("Coffee Lake", "GenuineIntel", 6, (158,), 1.14, 5.42),
    _Family("EPYC 1st generation", "AuthenticAMD", 23, (1,), 0.82, 2.55),
    _Family("EPYC 2nd generation", "AuthenticAMD", 23, (49,), 0.47, 1.69),
)
# the median of the table's maxima, with the usual idle share
_ANY_MAX_WATTS = 4.8


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
    per_thread = (
        (family.idle_watts, family.max_watts) if family else (_ANY_MAX_WATTS * _IDLE_SHARE, _ANY_MAX_WATTS)
    )
    if max_watts is not None:
        basis = _GIVEN if idle_watts is not None else basis
        top = max_watts
        idle = idle_watts if idle_watts is not None else max_watts * per_thread[0] / per_thread[1]
    else:
        top = per_thread[1] * info.threads
        idle = idle_watts if idle_watts is not None else per_thread[0] * info.threads
        if idle_watts is not None and top <= idle:
            top = idle_watts / _IDLE_SHARE
    if not 0 <= idle < top:
        raise InputError(
            f"expected 0 <= idle watts < maximum watts, got idle {idle:g} W and maximum {top:g} W",
            subject="power estimate",
        )
    return PowerModel(idle, top, basis, _UNCERTAINTY[basis])


def _is_of(info: CpuInfo, family: _Family) -> bool:
    return (info.vendor, info.family) == (family.vendor, family.family) and info.model in family.models


class EstimateSource:
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
        times = cpu_times(self._procfs)
        if times is None:
            self._errors += 1
            return
        now = clock()
        if self._last is not None:
            then, before = self._last
            if times.total_seconds == before.total_seconds:
                return  # no clock tick has passed: the time belongs to the next sample
            self._joules += self.model.watts(utilisation(before, times)) * max(now - then, 0.0)
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
                read_errors={"malformed": self._errors} if self._errors else {},
            ),
        )

    def longest_interval_seconds(self) -> float | None:
        """Any: the kernel sums the CPU time itself."""
        return None


def utilisation(before: CpuTimes, after: CpuTimes) -> float:
    """Busy share of the CPU time between two samples, 0-1; 0 where no tick has passed.

    >>> utilisation(CpuTimes(10.0, 100.0, 2), CpuTimes(15.0, 120.0, 2))
    0.25
    """
    total = after.total_seconds - before.total_seconds
    # the kernel may take back waiting time, and a CPU that goes offline takes its ticks along
    return min(max((after.busy_seconds - before.busy_seconds) / total, 0.0), 1.0) if total > 0 else 0.0
