"""Exchange rates, which an operator gives with their date; nothing is converted without them."""

from __future__ import annotations

import datetime
import os

from msgspec import Struct

from advisor.cost.checks import Checker, currency_code
from advisor.cost.operator_files import check_keys, read_yaml
from advisor.cost.tariffs.schedule import Flat, Scaled, Schedule
from advisor.errors import PricingError

__all__ = ["Rates", "converted", "read_rates"]


class Rates(Struct, frozen=True):
    """Units of each currency for one unit of ``base``, on one day."""

    base: str
    date: datetime.date
    per_base: dict[str, float]
    source: str = ""

    def factor(self, given: str, wanted: str) -> float:
        """What an amount in ``given`` is multiplied by to be in ``wanted``.

        >>> rates = Rates("EUR", datetime.date(2026, 1, 2), {"USD": 1.25})
        >>> rates.factor("USD", "EUR"), rates.factor("EUR", "USD"), rates.factor("GBP", "GBP")
        (0.8, 1.25, 1.0)
        """
        return 1.0 if given == wanted else self._units(wanted) / self._units(given)

    def _units(self, code: str) -> float:
        if code == self.base:
            return 1.0
        if code not in self.per_base:
            known = ", ".join(sorted({self.base, *self.per_base}))
            raise PricingError(
                f"expected a rate for {code}, found {known}", subject=self.source or None, field="rates"
            )
        return self.per_base[code]

    def age_seconds(self, now: float) -> float:
        """Seconds since the rates' day began (UTC)."""
        begin = datetime.datetime.combine(self.date, datetime.time(), datetime.UTC)
        return now - begin.timestamp()


def read_rates(path: str | os.PathLike[str]) -> Rates:
    """Read ``base``, ``date``, ``rates`` (and a ``source`` to remember) from a YAML file."""
    document, check = read_yaml(path), Checker(path)
    check_keys(document, ("base", "date", "rates", "source"), subject=path)
    base = currency_code(document.get("base"), subject=path, field="base")
    date, rates = document.get("date"), document.get("rates")
    if type(date) is not datetime.date:
        raise check.error(f"expected the day of the rates, such as 2026-11-20, found {date!r}", "date")
    if not isinstance(rates, dict) or not rates:
        raise check.error("expected currency codes with units for one unit of the base", "rates")
    per_base = {
        currency_code(code, subject=path, field="rates"): check.amount(value, f"rates.{code}", above=True)
        for code, value in rates.items()
    }
    return Rates(base, date, per_base, str(path))


def converted(
    schedule: Schedule, given: str, wanted: str, rates: Rates | None, subject: object = None
) -> Schedule:
    """A schedule of prices in ``given`` as one in ``wanted``; without rates only where they are the same."""
    if given == wanted:
        return schedule
    if rates is None:
        raise PricingError(
            f"its price is in {given}: give exchange rates (with their date) to have it in {wanted}, "
            "or your own price",
            subject=subject,
            field="price_per_kwh",
        )
    factor = rates.factor(given, wanted)
    return Flat(schedule.value * factor) if isinstance(schedule, Flat) else Scaled(schedule, factor)
