"""The formulas of carbon, each one small function of plain numbers; docs/cost.md has sources and examples.

Operational emissions are location-based: energy of the building times the intensity of the grid that it hangs
on, without certificates. Embodied emissions are the share of what making the hardware emitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from advisor.cost.checks import amount
from advisor.cost.formulas import HOURS_PER_YEAR, JOULES_PER_KWH
from advisor.errors import PricingError

__all__ = [
    "HIGHEST_PLAUSIBLE_GRAMS_PER_KWH",
    "TDP_CURVE",
    "Embodied",
    "FunctionalUnit",
    "allocated",
    "compute_kwh",
    "devices_grams",
    "embodied_grams",
    "functional_units",
    "grid_mix_grams_per_kwh",
    "operational_grams",
    "resource_kwh",
    "sci_grams_per_unit",
    "tdp_energy_kwh",
    "tdp_ratio",
]

HIGHEST_PLAUSIBLE_GRAMS_PER_KWH = 3000.0
"""Burning lignite in an old plant emits about 1 200 g/kWh; twice that is not a grid."""

TDP_CURVE = ((0.0, 0.12), (10.0, 0.32), (50.0, 0.75), (100.0, 1.02))
"""Utilisation in percent, power as a ratio of TDP. Source: Teads, AWS EC2 carbon footprint dataset, 2021."""

FunctionalUnit = Literal["video_minute", "watch_hour", "gigapixel"]


def operational_grams(energy_kwh: float, grams_per_kwh: float, pue_ratio: float = 1.0) -> float:
    """Grams of CO2e of energy that the equipment used, the building's share (PUE) once.

    >>> operational_grams(2, 50)
    100.0
    """
    facility_kwh = amount(energy_kwh, field="energy_kwh") * amount(pue_ratio, field="pue_ratio", minimum=1.0)
    return facility_kwh * amount(grams_per_kwh, field="grams_per_kwh")


def grid_mix_grams_per_kwh(shares: Mapping[str, float], grams_per_kwh: Mapping[str, float]) -> float:
    """Intensity of a mix of sources: the mean weighted by their shares, which sum to 1.

    >>> grid_mix_grams_per_kwh({"coal": 0.25, "wind": 0.75}, {"coal": 1000, "wind": 12})
    259.0
    """
    total = sum(amount(share, field=f"shares.{name}") for name, share in shares.items())
    if abs(total - 1) > 1e-6:
        raise PricingError(f"expected shares that sum to 1, found {total:g}", field="shares")
    missing = sorted(shares.keys() - grams_per_kwh.keys())
    if missing:
        raise PricingError(f"expected an intensity for {', '.join(missing)}", field="grams_per_kwh")
    return sum(
        share * amount(grams_per_kwh[name], field=f"grams_per_kwh.{name}") for name, share in shares.items()
    )


def allocated(total: float, used: float, lifetime: float, share: float = 1.0) -> float:
    """The part of a total that belongs to ``used`` out of ``lifetime`` (one unit of time); at most all of it.

    >>> allocated(100, used=4000, lifetime=2000)
    100.0
    """
    ratio = amount(used, field="used") / amount(lifetime, field="lifetime", above=True)
    return amount(total, field="total") * min(ratio, 1.0) * amount(share, field="share", maximum=1.0)


def embodied_grams(
    total_grams: float, used_seconds: float, lifetime_seconds: float, reserved_share: float = 1.0
) -> float:
    """Grams of making the hardware that belong to its use: by time (at most all of it) and by share reserved.

    Source: the term M of the Software Carbon Intensity specification (ISO/IEC 21031:2024).

    >>> embodied_grams(1_000_000, 3600, 4 * 365 * 86400)
    28.538812785388128
    """
    return allocated(total_grams, used_seconds, lifetime_seconds, reserved_share)


def sci_grams_per_unit(
    operational: float, embodied: float = 0.0, functional_units: float | None = None
) -> float | None:
    """Software Carbon Intensity, (O + M) / R in grams per functional unit; None when R is 0 or not declared.

    >>> sci_grams_per_unit(5.02, functional_units=100)
    0.050199...
    """
    if not functional_units:
        return None
    grams = amount(operational, field="operational") + amount(embodied, field="embodied")
    return grams / amount(functional_units, field="functional_units", above=True)


def functional_units(
    unit: FunctionalUnit,
    *,
    output_seconds: float | None = None,
    pixels: float | None = None,
    watch_hours: float | None = None,
) -> float | None:
    """How many functional units were delivered; None when that is unknown.

    >>> functional_units("video_minute", output_seconds=90)
    1.5
    """
    if unit == "video_minute":
        return None if output_seconds is None else output_seconds / 60
    if unit == "gigapixel":
        return None if pixels is None else pixels / 1e9
    if unit == "watch_hour":
        return watch_hours
    raise PricingError(
        f"expected video_minute, watch_hour or gigapixel, found {unit!r}", field="functional_unit"
    )


class Embodied(Struct, frozen=True):
    """What making the host emitted; sources differ, so a least and a most may stand beside it."""

    kg: float
    lifetime_years: float
    minimum_kg: float | None = None
    maximum_kg: float | None = None
    reserved_share: float = 1.0

    def __post_init__(self) -> None:
        amount(self.kg, field="embodied_kg")
        amount(self.lifetime_years, field="lifetime_years", above=True)
        amount(self.reserved_share, field="reserved_share", maximum=1.0)
        if self.minimum_kg is not None:
            amount(self.minimum_kg, field="embodied_minimum_kg", maximum=self.kg)
        if self.maximum_kg is not None:
            amount(self.maximum_kg, field="embodied_maximum_kg", minimum=self.kg)

    def share_kg(self, used_seconds: float, total_kg: float | None = None) -> float:
        """Kilograms that belong to ``used_seconds`` of the host; ``total_kg`` replaces the middle figure.

        >>> round(Embodied(1000, 4).share_kg(3600), 6)
        0.028539
        """
        lifetime_seconds = self.lifetime_years * HOURS_PER_YEAR * 3600
        kg = self.kg if total_kg is None else total_kg
        return allocated(kg, used_seconds, lifetime_seconds, self.reserved_share)


def compute_kwh(
    *,
    utilisation_ratio: float,
    vcpu_hours: float,
    min_watts: float,
    max_watts: float,
    pue_ratio: float = 1.0,
    replication: float = 1.0,
) -> float:
    """Energy of virtual CPUs that nobody metered: power between idle and full, by utilisation.

    Source: Cloud Carbon Footprint's methodology ("average watts").

    >>> compute_kwh(utilisation_ratio=0.5, vcpu_hours=1000, min_watts=1, max_watts=3)
    2.0
    """
    ratio = amount(utilisation_ratio, field="utilisation_ratio", maximum=1.0)
    low = amount(min_watts, field="min_watts")
    watts = low + ratio * (amount(max_watts, field="max_watts", minimum=low) - low)
    kwh = watts * amount(vcpu_hours, field="vcpu_hours") / 1000
    return kwh * amount(pue_ratio, field="pue_ratio", minimum=1.0) * amount(replication, field="replication")


def resource_kwh(
    quantity: float,
    *,
    watt_hours_per_unit: float,
    pue_ratio: float = 1.0,
    replication: float = 1.0,
) -> float:
    """Energy of storage held, memory held or data sent, which nobody metered, by a coefficient.

    Source: Cloud Carbon Footprint's methodology, in Wh: a TB-hour of SSD 1.2, of HDD 0.65; a GB-hour of
    memory 0.392; a GB over the network 1.

    >>> round(resource_kwh(1, watt_hours_per_unit=1.2, pue_ratio=1.135), 9)
    0.001362
    """
    watt_hours = amount(quantity, field="quantity") * amount(watt_hours_per_unit, field="watt_hours_per_unit")
    building = amount(pue_ratio, field="pue_ratio", minimum=1.0)
    return watt_hours / 1000 * building * amount(replication, field="replication")


def devices_grams(
    devices: Iterable[tuple[float, float]], *, hours: float, grams_per_kwh: float, pue_ratio: float = 1.0
) -> float:
    """Grams of a job on ``(count, watts each)`` devices that run for ``hours``.

    >>> devices_grams([(1, 2), (2, 3), (8, 1)], hours=1, grams_per_kwh=200)
    3.2
    """
    watts = sum(amount(n, field="devices.count") * amount(w, field="devices.watts") for n, w in devices)
    return operational_grams(watts * amount(hours, field="hours") / 1000, grams_per_kwh, pue_ratio)


def tdp_ratio(utilisation_percent: float, curve: Sequence[tuple[float, float]] = TDP_CURVE) -> float:
    """Power as a ratio of TDP, on straight lines between the points of ``curve``.

    The points are (utilisation in percent, ratio), rising, and cover the utilisation asked for.

    >>> tdp_ratio(45)
    0.69625
    """
    lowest, highest = curve[0][0], curve[-1][0]
    percent = amount(utilisation_percent, field="utilisation_percent", minimum=lowest, maximum=highest)
    for (low, before), (high, after) in pairwise(curve):
        if percent <= high:
            return before + (percent - low) / (high - low) * (after - before)
    raise PricingError("expected two points or more", field="curve")


def tdp_energy_kwh(
    utilisation_percent: float,
    *,
    tdp_watts: float,
    seconds: float,
    vcpus_allocated: float = 1.0,
    vcpus_total: float = 1.0,
) -> float:
    """Energy of a share of a processor from its utilisation and TDP.

    >>> tdp_energy_kwh(20, tdp_watts=100, seconds=5, vcpus_total=8)
    7.421875e-06
    """
    joules = (
        tdp_ratio(utilisation_percent)
        * amount(tdp_watts, field="tdp_watts")
        * amount(seconds, field="seconds")
    )
    total = amount(vcpus_total, field="vcpus_total", above=True)
    share = amount(vcpus_allocated, field="vcpus_allocated", maximum=total) / total
    return joules / JOULES_PER_KWH * share
