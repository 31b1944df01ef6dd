"""Currencies: their codes, and what one is worth in another on one day."""

from __future__ import annotations

import datetime
import re

from msgspec import Struct

from advisor.errors import PricingError


def currency_code(value: object, *, subject: object = None, field: str = "currency") -> str:
    """An ISO 4217 code: three capital letters; ``GBp`` and the like are hundredths, and none.

    >>> currency_code("eur")
    'EUR'
    """
    if isinstance(value, str) and re.fullmatch("(?![A-Z]{2}[a-z])[A-Za-z]{3}", value):
        return value.upper()
    raise PricingError(
        f"expected a currency code of three letters such as USD, found {value!r}",
        subject=subject,
        field=field,
    )


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
            listed = ", ".join(sorted({self.base, *self.per_base}))
            raise PricingError(
                f"expected a rate for {code}, found {listed}", subject=self.source or None, field="rates"
            )
        return self.per_base[code]

    def age_seconds(self, now: float) -> float:
        """Seconds since the rates' day began (UTC)."""
        begin = datetime.datetime.combine(self.date, datetime.time(), datetime.UTC)
        return now - begin.timestamp()
