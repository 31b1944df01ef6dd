"""The formulas of money, each one small function of plain numbers; docs/cost.md has sources and examples.

Prices are in one currency, which the caller keeps; nothing here rounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from advisor.cost.checks import amount, amounts
from advisor.cost.power_curve import LoadCurve
from advisor.errors import PricingError

__all__ = [
    "BYTES_PER_GIB",
    "HOURS_PER_MONTH",
    "HOURS_PER_YEAR",
    "JOULES_PER_KWH",
    "amortised_per_hour",
    "break_even_viewers",
    "core_seconds_cost",
    "cost_per_pixel",
    "cost_per_watch_hour",
    "energy_cost",
    "hourly_from_monthly",
    "integrate",
    "monthly_from_hourly",
    "per_byte_hour_from_monthly_gib",
    "price_per_joule",
    "split_price",
    "time_cost",
    "utilisation_ratio",
]

JOULES_PER_KWH = 3.6e6
HOURS_PER_MONTH = 730.0
"""8 760 hours a year over 12 months: what cloud price lists use."""
HOURS_PER_YEAR = 8760.0
BYTES_PER_GIB = 2**30


def price_per_joule(price_per_kwh: float) -> float:
    """Currency per joule from currency per kWh.

    >>> price_per_joule(0.12)
    3.3333333333333334e-08
    """
    return price_per_kwh / JOULES_PER_KWH


def energy_cost(energy_joules: float, price_per_kwh: float, pue_ratio: float = 1.0) -> float:
    """What energy of the equipment costs at one price, with the building's share (PUE) once.

    >>> round(energy_cost(100 * 3600, 0.12), 12)
    0.012
    """
    joules = amount(energy_joules, field="energy_joules")
    return joules * _pue(pue_ratio) * amount(price_per_kwh, field="price_per_kwh") / JOULES_PER_KWH


def time_cost(hours: float, price_per_hour: float) -> float:
    """What something held for ``hours`` costs.

    >>> time_cost(0.5, 0.50)
    0.25
    """
    return amount(hours, field="hours") * amount(price_per_hour, field="price_per_hour")


def core_seconds_cost(core_seconds: float, price_per_core_hour: float) -> float:
    """What CPU time used costs, whatever the wall clock said.

    >>> round(core_seconds_cost(104, 0.36), 12)  # 0.36 an hour is 0.0001 a second
    0.0104
    """
    seconds = amount(core_seconds, field="core_seconds")
    return seconds / 3600 * amount(price_per_core_hour, field="price_per_core_hour")


def integrate(
    values: Iterable[float | None],
    *,
    timestamps: Sequence[float] | None = None,
    step_seconds: float | None = None,
    field: str = "samples",
) -> LoadCurve:
    """Samples as a curve, over their own ``timestamps`` or with one ``step_seconds`` between them.

    Watts give joules, cores in use give core-seconds. ``field`` is what errors call the samples.

    >>> integrate([100, 150, 200, 180, 120], step_seconds=10).total()
    6400.0
    """
    if (timestamps is None) == (step_seconds is None):
        raise PricingError("expected either timestamps or step_seconds", field="timestamps")
    if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable):
        raise PricingError(f"expected a sequence of numbers, found {values!r}", field=field)
    known = amounts(values, field=field, holes=True)
    count = sum(value is not None for value in known)
    if count < 2:
        raise PricingError(f"expected two samples or more to integrate, found {count}", field=field)
    if timestamps is None:
        step = amount(step_seconds, field="step_seconds", above=True)
        return LoadCurve.from_samples([index * step for index in range(len(known))], known)
    if isinstance(timestamps, (str, Mapping)) or not isinstance(timestamps, Iterable):
        raise PricingError(f"expected a sequence of seconds, found {timestamps!r}", field="timestamps")
    moments = cast("list[float]", amounts(timestamps, field="timestamps", minimum=-math.inf))
    return LoadCurve.from_samples(moments, known)


def cost_per_pixel(cost: float, pixels: float) -> float:
    """Currency per pixel delivered (width x height x frames, summed over outputs).

    >>> f"{cost_per_pixel(0.0001666666666666667, 1920 * 1080 * 30 * 60):.3e}"
    '4.465e-14'
    """
    return _cost(cost) / amount(pixels, field="pixels", above=True)


def cost_per_watch_hour(
    cost: float, viewers: float, hours: float, delivery_cost_per_viewer_hour: float = 0.0
) -> float:
    """Currency per hour that one viewer watches: the encode shared by all, and the delivery that each needs.

    >>> cost_per_watch_hour(0.01, viewers=100, hours=1)
    0.0001
    """
    watched = amount(viewers, field="viewers", above=True) * amount(hours, field="hours", above=True)
    return _cost(cost) / watched + amount(
        delivery_cost_per_viewer_hour, field="delivery_cost_per_viewer_hour"
    )


def break_even_viewers(
    extra_encode_cost: float, saved_bytes_per_hour: float, price_per_byte: float, hours: float
) -> float | None:
    """Viewers from which a dearer encode pays for itself in bytes that are not delivered.

    None when it saves no bytes: it never does. 0 when it is not dearer.

    >>> round(break_even_viewers(0.40, saved_bytes_per_hour=90e6, price_per_byte=0.02e-9, hours=1), 2)
    222.22
    """
    if extra_encode_cost <= 0:
        return 0.0 if saved_bytes_per_hour >= 0 else None
    saved = saved_bytes_per_hour * amount(price_per_byte, field="price_per_byte")
    saved *= amount(hours, field="hours", above=True)
    return extra_encode_cost / saved if saved > 0 else None


def amortised_per_hour(
    purchase_price: float,
    lifetime_years: float,
    *,
    residual_value: float = 0.0,
    utilisation_ratio: float = 1.0,
    maintenance_per_hour: float = 0.0,
) -> float:
    """Currency per hour of use of a host that was bought.

    ``maintenance_per_hour`` is per hour of use.

    >>> round(amortised_per_hour(8000, 4), 3), round(amortised_per_hour(8000, 4, utilisation_ratio=0.5), 3)
    (0.228, 0.457)
    """
    bought = amount(purchase_price, field="purchase_price")
    residual = amount(residual_value, field="residual_value", maximum=bought)
    hours = amount(lifetime_years, field="lifetime_years", above=True) * HOURS_PER_YEAR
    used = hours * amount(utilisation_ratio, field="utilisation_ratio", above=True, maximum=1.0)
    return (bought - residual) / used + amount(maintenance_per_hour, field="maintenance_per_hour")


def hourly_from_monthly(price_per_month: float) -> float:
    """Currency per hour; a month is 730 hours.

    >>> round(hourly_from_monthly(20), 6)
    0.027397
    """
    return price_per_month / HOURS_PER_MONTH


def monthly_from_hourly(price_per_hour: float) -> float:
    """Currency per month of 730 hours.

    >>> monthly_from_hourly(0.50)
    365.0
    """
    return price_per_hour * HOURS_PER_MONTH


def per_byte_hour_from_monthly_gib(price_per_gib_month: float) -> float:
    """Currency per byte-hour of memory from currency per GiB-month.

    >>> per_byte_hour_from_monthly_gib(4.0)  # doctest: +ELLIPSIS
    5.103...e-12
    """
    return hourly_from_monthly(price_per_gib_month) / BYTES_PER_GIB


def split_price(total: float, weights: Mapping[str, float]) -> dict[str, float]:
    """Split one price over resources in proportion to their base prices (OpenCost specification, appendix A).

    >>> split_price(35, {"gpu": 30, "cpu": 30, "ram": 10})
    {'gpu': 15.0, 'cpu': 15.0, 'ram': 5.0}
    """
    whole = amount(
        math.fsum(amount(w, field=name) for name, w in weights.items()), field="weights", above=True
    )
    return {name: total * weight / whole for name, weight in weights.items()}


def utilisation_ratio(usage: float, allocation: float) -> float:
    """Used over allocated, in any one unit.

    >>> utilisation_ratio(1.0, 4.0)
    0.25
    """
    return amount(usage, field="usage") / amount(allocation, field="allocation", above=True)


def _cost(value: float) -> float:
    """Below 0 where a market pays for taking."""
    return amount(value, field="cost", minimum=-math.inf)


def _pue(value: float) -> float:
    return amount(value, field="pue_ratio", minimum=1.0)
