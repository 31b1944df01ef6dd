"""Exchange rates, which an operator gives with their date; nothing is converted without them."""

from __future__ import annotations

import datetime
import os
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from advisor.cost.checks import Checker
from advisor.cost.currencies import Rates, currency_code
from advisor.cost.operator_files import read_yaml
from advisor.cost.tariffs.schedule import SourcedSchedule, scaled
from advisor.errors import PricingError


class _RatesFile(Struct, frozen=True, forbid_unknown_fields=True):
    base: str
    date: datetime.date
    rates: Annotated[dict[str, Any], Meta(min_length=1)]
    source: str = ""
    """To remember where they are from."""


def read_rates(path: str | os.PathLike[str], check: Checker | None = None) -> Rates:
    """Read ``base``, ``date``, ``rates`` and ``source`` from YAML; ``check`` may accept unusual rates."""
    document, check = read_yaml(path, check)
    rates_file: _RatesFile = check.convert(document, _RatesFile)
    base = currency_code(rates_file.base, subject=path, field="base")
    per_base = {
        currency_code(code, subject=path, field="rates"): check.rate(units, code, base)
        for code, units in rates_file.rates.items()
    }
    if len(per_base) < len(rates_file.rates):
        raise check.error("expected each currency once", "rates")
    if per_base.get(base, 1) != 1:
        raise check.error(f"expected 1, the base's own rate, found {per_base[base]:g}", f"rates.{base}")
    return Rates(base, rates_file.date, per_base, str(path))


def converted(
    price: SourcedSchedule, wanted: str, rates: Rates | None, subject: object = None
) -> SourcedSchedule:
    """A price in the currency ``wanted``; without rates only where it is in that already.

    A price without a currency is in the one that is wanted.
    """
    currency = price.currency or wanted
    if currency == wanted:
        return replace(price, currency=wanted)
    if rates is None:
        raise PricingError(
            f"its price is in {currency}: give exchange rates (with their date) to convert it to {wanted}, "
            f"your own price, or {currency} as the currency of all",
            subject=subject or price.source,
            field="price_per_kwh",
        )
    factor = rates.factor(currency, wanted)
    schedule = scaled(price.schedule, factor)
    return replace(price, schedule=schedule, currency=wanted, per_hour=price.per_hour * factor)
