"""What numbers of money and carbon may be, and errors that name the file, the line, the field and the need.

A price that is most likely a slip of the unit (per MWh, in cents) is questioned and not silently used.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from advisor.common import checked as checking
from advisor.cost.currencies import Rates
from advisor.errors import PricingError

# No quantity is larger and no divisor smaller: products of several stay finite and do not vanish.
Number = Annotated[float, Meta(ge=-1e60, le=1e60)]
Quantity = Annotated[float, Meta(ge=0, le=1e60)]
Positive = Annotated[float, Meta(ge=1e-60, le=1e60)]
Ratio = Annotated[float, Meta(ge=1e-60, le=1)]
"""Above 0 and up to 1."""
Percent = Annotated[float, Meta(ge=0, le=100)]
Grams = Annotated[float, Meta(ge=0, le=3000)]
"""Grams of CO2e per kWh. Lignite in an old plant emits about 1 200; twice that is not a grid."""
Kbps = Annotated[float, Meta(ge=1e-60, le=1e6)]
"""Of what a viewer receives: no stream has a gigabit a second."""
Kg = Annotated[float, Meta(ge=0, le=1e5)]
"""Of a machine: a rack of GPUs comes to some ten tons."""
Threads = Annotated[float, Meta(ge=1, le=1e6)]
"""CPUs of a machine."""
Years = Annotated[float, Meta(ge=1e-60, le=100)]
"""Of a machine's life."""
Pue = Annotated[float, Meta(ge=1, le=3)]
"""Power usage effectiveness."""

_CLEANEST_PLAUSIBLE_GRAMS = 1.0
"""Quebec's hydropower emits 1.3 directly (Canada's national inventory report)."""
_PLAUSIBLE_USD = {
    "kWh": (0.0, 2.0),
    "kWh at a moment": (0.0, 5.0),
    "CPU hour": (4e-5, 10.0),
    "GPU hour": (6e-4, 1000.0),
    "hour": (3e-4, 1000.0),
    "GB": (0.0, 4.0),
}
"""Wholesale markets cap their price at 4 EUR/kWh day-ahead in the EU, 5 USD/kWh in Texas; contracts come to 1
on islands with diesel alone. The hour is about ten times the dearest eight-GPU cloud instance, a CPU's a
hundred times its usual price. At the other end, 15 USD for a single-board computer of four cores over five
years are 0.00034 an hour, 30 USD for an old GPU 0.00068; a T4 to an L40S are rented for 0.00016 to 0.00054 a
second. Delivery from the cloud costs up to 0.2 USD/GB, by satellite some USD, and 5 to 90 a TB."""
_LOWEST_PLAUSIBLE_USD = 1e-3
"""Of the highest price per kWh of a whole series: a dollar per MWh."""
_SLIPS = {"kWh": ("MWh", 1000), "GB": ("TB", 1000)}
"""The larger unit that a price may be for, and how much larger; of hours it is the month."""
# Units of a currency per US dollar to one digit or two. Only for the question "is this a slip of the unit?",
# never for a conversion: those need the operator's dated rates (`advisor.cost.exchange_rates`).
_ROUGH_UNITS_PER_USD = {
    **dict.fromkeys(("BHD", "JOD", "KWD", "OMR"), 0.4),
    **dict.fromkeys(("USD", "EUR", "GBP", "CHF"), 1.0),
    **dict.fromkeys(("AUD", "AZN", "BAM", "BGN", "CAD", "NZD", "SGD"), 1.5),
    **dict.fromkeys(("AED", "GEL", "ILS", "MYR", "PEN", "PLN", "QAR", "RON", "SAR", "TND"), 4.0),
    **dict.fromkeys(("BOB", "BRL", "CNY", "DKK", "GTQ", "HKD", "MAD", "MOP"), 7.0),
    **dict.fromkeys(("NOK", "SEK"), 10.0),
    **dict.fromkeys(("CZK", "MDL", "MXN", "ZAR"), 20.0),
    **dict.fromkeys(("DOP", "EGP", "MKD", "PHP", "THB", "TRY", "TWD", "UAH", "UYU"), 40.0),
    **dict.fromkeys(("ALL", "BDT", "INR", "RUB"), 90.0),
    **dict.fromkeys(("ETB", "ISK", "JMD", "JPY", "KES", "NPR", "RSD"), 150.0),
    **dict.fromkeys(("AMD", "CRC", "HUF", "KZT", "LKR", "PKR", "XAF", "XOF"), 400.0),
    **dict.fromkeys(("ARS", "CLP", "IQD", "KRW", "NGN"), 1_000.0),
    **dict.fromkeys(("COP", "KHR", "MNT", "TZS", "UGX"), 4_000.0),
    **dict.fromkeys(("IDR", "UZS"), 16_000.0),
    **dict.fromkeys(("LAK", "VND"), 25_000.0),
}

T = TypeVar("T")


def require_number(value: object, kind: Any = Quantity, *, field: str, subject: object = None) -> float:
    """``value`` as a number within the limits of ``kind``.

    Raises
    ------
    PricingError
        It is no number, NaN, infinite or out of the limits.

    >>> require_number("0.12", field="price_per_kwh")
    0.12
    >>> require_number(-1, field="price_per_kwh", subject="prices.yaml")
    Traceback (most recent call last):
    advisor.errors.PricingError: prices.yaml: price_per_kwh: expected a number of 0 or more, found -1
    """
    number: float = checking.checked(value, kind, field=field, subject=subject, error=PricingError)
    return number


def gather(*steps: Callable[[], T]) -> list[T]:
    """What each step returns; or one error that says all that is wrong, so that it can be mended at once.

    >>> gather(lambda: require_number(-1, field="a"), lambda: require_number("x", field="b"))
    Traceback (most recent call last):
    advisor.errors.PricingError: a: expected a number of 0 or more, found -1; b: expected a number, found 'x'
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


class CheckedInputs(checking.Checked, frozen=True):
    """The same for money and carbon: all that is wrong in one `PricingError`."""

    def __post_init__(self) -> None:
        kinds = checking.field_types(type(self))
        steps = (
            functools.partial(checking.checked, getattr(self, name), kind, field=name, error=PricingError)
            for name, kind in kinds.items()
        )
        for name, value in zip(kinds, gather(*steps), strict=True):
            force_setattr(self, name, value)


class Checker(Struct, frozen=True):
    """The checks of one subject: a file, or the options of a command."""

    subject: object = None
    currency: str = "USD"
    """What prices are in that do not say."""
    accept_unusual: bool = False
    lines: Mapping[str, int] = {}
    """The line of each field of a file."""
    rates: Rates | None = None
    """Of currencies, where the operator gave some."""

    def error(self, problem: str, field: str | None = None) -> PricingError:
        """An error that names the subject, and the line of the field or of what it is in."""
        place = field or ""
        while place and place not in self.lines:
            place = place[: max(place.rfind("."), place.rfind("["), 0)]
        line = f"line {self.lines[place]}, " if place else ""
        return PricingError(problem, subject=self.subject, field=f"{line}{field}" if field else None)

    def doubt(self, problem: str, field: str) -> PricingError:
        """An unlikely value, with the option (a flag, a variable, an argument) that takes it all the same."""
        return self.error(f"{problem} accept_unusual_prices keeps it", field)

    def convert(self, value: Any, kind: Any, field: str = "") -> Any:
        """See `advisor.common.checked.checked`."""
        try:
            return checking.checked(value, kind, field=field, error=PricingError)
        except PricingError as exc:
            raise self.error(exc.problem, exc.field) from None

    def grams(self, value: Any, field: str) -> float:
        """An intensity in grams of CO2e per kWh that is not obviously in kilograms.

        >>> Checker().grams(0.344, "carbon_grams_per_kwh")
        Traceback (most recent call last):
        advisor.errors.PricingError: carbon_grams_per_kwh: 0.344 g/kWh is cleaner than any grid: is it in kg \
(then 344)? accept_unusual_prices keeps it
        """
        number: float = self.convert(value, Grams, field)
        if 0 < number < _CLEANEST_PLAUSIBLE_GRAMS and not self.accept_unusual:
            problem = f"{number:g} g/kWh is cleaner than any grid: is it in kg (then {number * 1000:g})?"
            raise self.doubt(problem, field)
        return number

    def rate(self, value: Any, code: str, base: str) -> float:
        """Units of the currency ``code`` for one of ``base``, from a tenth to ten times the usual."""
        field = f"rates.{code}"
        number: float = self.convert(value, Positive, field)
        usual = _ROUGH_UNITS_PER_USD.get(code.upper(), math.nan) / _ROUGH_UNITS_PER_USD.get(base, math.nan)
        if not self.accept_unusual and (number < usual / 10 or number > usual * 10):
            problem = f"{number:g} {code} for one {base}, usually about {usual:.2g}: is it for one {code}"
            raise self.doubt(f"{problem} (then {1 / number:.3g})?", field)
        return number

    def price_level(self, prices: Sequence[float], field: str) -> None:
        """Question a series of prices per kWh that are all next to nothing, or most too high; 0 is free."""
        limit, highest = _LOWEST_PLAUSIBLE_USD * _ROUGH_UNITS_PER_USD.get(self.currency, 0.0), max(prices)
        if 0 < highest < limit and not self.accept_unusual:
            problem = f"no price is above {highest:g} {self.currency} per kWh: does its point part thousands"
            raise self.doubt(f"{problem} (then {highest * 1000:g})?", field)
        self.price(max(statistics.median(prices), 0.0), field)

    def price(self, value: Any, field: str, per: str = "kWh", allow_negative: bool = False) -> float:
        """A price per kWh or per hour, 0 or more, that is not obviously in another unit.

        >>> Checker().price(120, "price_per_kwh")
        Traceback (most recent call last):
        advisor.errors.PricingError: price_per_kwh: 120.0 USD per kWh is above the plausible 5: is it per \
MWh (then 0.12) or in hundredths (then 1.2)? accept_unusual_prices keeps it
        >>> Checker(currency="KRW").price(120, "price_per_kwh")
        120.0
        """
        number: float = self.convert(value, Number if allow_negative else Quantity, field)
        units = _ROUGH_UNITS_PER_USD.get(self.currency)
        if units is None or self.accept_unusual:
            return number
        least, most = (usd * units for usd in _PLAUSIBLE_USD[per])
        if per == "kWh":
            # in hundredths a cheap hour too is above it
            most = max(most, 5.0 * min(units, 1.0))
        if 0 < number < least:
            slip = f"below the plausible {least:g}: is it per second (then {number * 3600:g})?"
        elif abs(number) > most:
            unit, factor = _SLIPS.get(per.split()[0], ("month", 730))
            slip = f"above the plausible {most:g}: is it per {unit} (then {number / factor:g})"
            slip += f" or in hundredths (then {number / 100:g})?"
        else:
            return number
        raise self.doubt(f"{number} {self.currency} per {per} is {slip}", field)
