"""Numbers as a person reads them, and the ticks of an axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

__all__ = ["UNKNOWN", "bounds", "linear", "logarithmic", "logarithmic_ticks", "number", "ticks"]

UNKNOWN = "\u2013"  # an en dash, as in print


def number(value: float | None, digits: int = 3) -> str:
    """``value`` to ``digits`` significant digits without an exponent; a dash where it is unknown.

    Whole digits are never cut, thousands are set apart by a narrow space.

    >>> number(1234567.8), number(0.000123456), number(45.678), number(0.0)
    ('1\\u202f234\\u202f568', '0.000123', '45.7', '0')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:,.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace(",", "\u202f")


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most about ``most`` round values from ``low`` to ``high``, steps of 1, 2 or 5 times a power of ten.

    >>> ticks(0.0, 47.0, 5)
    [0.0, 10.0, 20.0, 30.0, 40.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def logarithmic_ticks(low: float, high: float, most: int) -> list[float]:
    """Round values of a logarithmic axis, thinned to about ``most``.

    >>> logarithmic_ticks(0.8, 120.0, 4)
    [1.0, 10.0, 100.0]
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for marks in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [m * 10.0**d for d in decades for m in marks if low <= m * 10.0**d <= high]
        if len(found) <= most:
            break
    return found or [low]


def linear(domain: tuple[float, float], pixels: tuple[float, float]) -> Callable[[float], float]:
    """The map from a value to a place on the page."""
    (low, high), (start, end) = domain, pixels
    span = high - low or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def logarithmic(domain: tuple[float, float], pixels: tuple[float, float]) -> Callable[[float], float]:
    """As `linear`, of the logarithm; the domain is above 0."""
    place = linear((math.log(domain[0]), math.log(domain[1])), pixels)
    return lambda value: place(math.log(value))


def bounds(values: Iterable[float], pad: float = 0.05) -> tuple[float, float]:
    """The range of ``values`` with ``pad`` of it on both sides; something around a single value."""
    found = list(values)
    low, high = min(found), max(found)
    margin = (high - low) * pad or abs(high) * pad or 1.0
    return low - margin, high + margin
