"""Numbers that an operator gives, checked once: an error names the file, the field and what was expected.

A price that is most likely a slip of the unit (per MWh, in cents) is questioned and not silently used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, SupportsFloat, TypeVar

from msgspec import Struct

from advisor.errors import PricingError

__all__ = [
    "HIGHEST_PLAUSIBLE_USD_PER_HOUR",
    "HIGHEST_PLAUSIBLE_USD_PER_KWH",
    "Checker",
    "amount",
    "amounts",
    "currency_code",
    "gather",
    "price",
]

HIGHEST_PLAUSIBLE_USD_PER_KWH = 5.0
"""Wholesale markets cap their price at about this: 4 EUR/kWh day-ahead in the EU, 5 USD/kWh in Texas."""
HIGHEST_PLAUSIBLE_USD_PER_HOUR = 1000.0
"""About ten times the dearest eight-GPU cloud instance."""

T = TypeVar("T")
_LEAST, _LARGEST = 1e-60, 1e60
"""No quantity is larger, and no divisor smaller: products of several stay finite and do not vanish."""

# Units of a currency per US dollar to one digit or two. Only for the question "is this a slip of the unit?",
# never for a conversion: those need the operator's dated rates (`advisor.cost.exchange_rates`).
_ROUGH_UNITS_PER_USD = {
    **dict.fromkeys(("USD", "EUR", "GBP", "CHF"), 1.0),
    **dict.fromkeys(("AUD", "CAD", "NZD", "SGD"), 1.5),
    **dict.fromkeys(("AED", "ILS", "PLN", "SAR"), 4.0),
    **dict.fromkeys(("BRL", "CNY", "DKK", "HKD"), 7.0),
    **dict.fromkeys(("NOK", "SEK"), 10.0),
    **dict.fromkeys(("CZK", "MXN", "ZAR"), 20.0),
    **dict.fromkeys(("PHP", "THB", "TRY", "TWD"), 40.0),
    **dict.fromkeys(("INR", "RUB"), 90.0),
    **dict.fromkeys(("JPY",), 150.0),
    **dict.fromkeys(("HUF",), 400.0),
    **dict.fromkeys(("CLP", "KRW"), 1_000.0),
    **dict.fromkeys(("COP",), 4_000.0),
    **dict.fromkeys(("IDR",), 16_000.0),
    **dict.fromkeys(("VND",), 25_000.0),
}


def amount(
    value: object,
    *,
    field: str,
    subject: object = None,
    minimum: float = 0.0,
    maximum: float = math.inf,
    above: bool = False,
) -> float:
    """``value`` as a float within ``minimum`` to ``maximum``; ``above`` excludes the minimum itself.

    Raises
    ------
    PricingError
        It is no number, NaN, infinite or out of the range.

    >>> amount("0.12", field="price_per_kwh")
    0.12
    >>> amount(-1, field="price_per_kwh", subject="prices.yaml")
    Traceback (most recent call last):
    advisor.errors.PricingError: prices.yaml: price_per_kwh: expected a number of 0 or more, found -1
    """
    number = math.nan
    # decimals, fractions and numpy's scalars are numbers too; a bool in a price is a slip
    if isinstance(value, (float, int, str, SupportsFloat)) and not isinstance(value, bool):
        number = _as_float(value)
    if abs(number) < _LARGEST and minimum <= number <= maximum and not (above and number - minimum < _LEAST):
        return number
    limits = f"above {minimum:g}" if above else f"of {minimum:g} or more"
    if minimum == -math.inf:
        limits = "that is finite"
    if maximum != math.inf:
        limits = f"above {minimum:g} and up to {maximum:g}" if above else f"from {minimum:g} to {maximum:g}"
    raise PricingError(f"expected a number {limits}, found {value!r}", subject=subject, field=field)


def amounts(
    values: Iterable[object], *, field: str, minimum: float = 0.0, holes: bool = False
) -> list[float | None]:
    """Each of ``values`` as `amount` takes it; with ``holes`` None stays None. The first bad one is named.

    >>> amounts([1, 2.5], field="watts")
    [1, 2.5]
    >>> amounts([1, -2.5], field="watts")
    Traceback (most recent call last):
    advisor.errors.PricingError: watts[1]: expected a number of 0 or more, found -2.5
    """
    given = list(values)
    # a year of samples is looked at as a whole; one by one only to name what is wrong
    if all(type(value) is float or type(value) is int for value in given):
        plain: list[Any] = given
        if not plain or (minimum <= min(plain) and -_LARGEST < sum(plain) < _LARGEST):
            return plain
    return [
        None if value is None and holes else amount(value, field=f"{field}[{index}]", minimum=minimum)
        for index, value in enumerate(given)
    ]


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError):
        return math.nan


def price(
    value: object,
    *,
    field: str,
    currency: str,
    per: str = "kWh",
    subject: object = None,
    accept_unusual: bool = False,
    allow_negative: bool = False,
) -> float:
    """A price per kWh or per hour, 0 or more, that is not obviously in another unit.

    >>> price(120, field="price_per_kwh", currency="USD")
    Traceback (most recent call last):
    advisor.errors.PricingError: price_per_kwh: 120.0 USD per kWh is above the plausible 5: is it per MWh \
(then 0.12) or in hundredths (then 1.2)? accept unusual prices to keep it
    >>> price(120, field="price_per_kwh", currency="KRW")
    120.0
    """
    number = amount(value, field=field, subject=subject, minimum=-math.inf if allow_negative else 0.0)
    highest = HIGHEST_PLAUSIBLE_USD_PER_KWH if per == "kWh" else HIGHEST_PLAUSIBLE_USD_PER_HOUR
    limit = highest * _ROUGH_UNITS_PER_USD.get(currency, math.inf)
    if abs(number) > limit and not accept_unusual:
        slip = f"per MWh (then {number / 1000:g})" if per == "kWh" else f"per month (then {number / 730:g})"
        raise PricingError(
            f"{number} {currency} per {per} is above the plausible {limit:g}: is it {slip} "
            f"or in hundredths (then {number / 100:g})? accept unusual prices to keep it",
            subject=subject,
            field=field,
        )
    return number


def gather(*steps: Callable[[], T]) -> list[T]:
    """What each step returns; or one error that says all that is wrong, so that it can be mended at once.

    >>> gather(lambda: amount(-1, field="a"), lambda: amount("x", field="b"))
    Traceback (most recent call last):
    advisor.errors.PricingError: a: expected a number of 0 or more, found -1; \
b: expected a number of 0 or more, found 'x'
    """
    results: list[T] = []
    problems: dict[str, PricingError] = {}
    for step in steps:
        try:
            results.append(step())
        except PricingError as exc:
            problems.setdefault(str(exc), exc)
    if len(problems) == 1:
        raise next(iter(problems.values()))
    if problems:
        raise PricingError("; ".join(problems))
    return results


def currency_code(value: object, *, subject: object = None, field: str = "currency") -> str:
    """An ISO 4217 code: three capital letters.

    >>> currency_code("eur")
    'EUR'
    """
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isalpha():
        return value.upper()
    raise PricingError(
        f"expected a currency code of three letters such as USD, found {value!r}",
        subject=subject,
        field=field,
    )


class Checker(Struct, frozen=True):
    """The checks of this module for one subject: a file, or the options of a command."""

    subject: object = None
    currency: str = "USD"
    """What prices are in that do not say."""
    accept_unusual: bool = False

    def error(self, problem: str, field: str | None = None) -> PricingError:
        """An error that names the subject."""
        return PricingError(problem, subject=self.subject, field=field)

    def amount(self, value: Any, field: str, **limits: float) -> float:
        """See `amount`; ``limits`` are ``minimum``, ``maximum`` and ``above``."""
        return amount(
            value,
            field=field,
            subject=self.subject,
            minimum=limits.get("minimum", 0.0),
            maximum=limits.get("maximum", math.inf),
            above=bool(limits.get("above", False)),
        )

    def price(self, value: Any, field: str, per: str = "kWh", allow_negative: bool = False) -> float:
        """See `price`."""
        return price(
            value,
            field=field,
            currency=self.currency,
            per=per,
            subject=self.subject,
            accept_unusual=self.accept_unusual,
            allow_negative=allow_negative,
        )
