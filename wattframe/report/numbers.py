"""Numbers as a person reads them."""

from __future__ import annotations

import math

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


def change(after: float | None, before: float | None, points: bool = False) -> str:
    """The change in per cent, or in ``points`` of the value itself; a dash where it is not known.

    >>> change(150.0, 200.0), change(1.0, 1.0), change(91.8, 96.6, points=True), change(None, 1.0)
    ('-25 %', '0 %', '-4.8', '\\u2013')
    """
    if before is None or after is None:
        return UNKNOWN
    if points:
        return f"{after - before:+.1f}"
    if not before:
        return UNKNOWN
    percent = 100 * (after / before - 1)
    return "0 %" if abs(percent) < 0.05 else f"{percent:+.{1 if abs(percent) < 10 else 0}f} %"
