"""Tariffs as an operator writes them: flat, time of use, or a series from a CSV file.

::

    currency: EUR
    price_per_kwh: 0.21              # flat; or

    time_zone: Europe/Berlin         # time of use; or
    holidays: [2026-01-01, 2026-12-25]
    periods:
      - {name: day, price_per_kwh: 0.28, days: weekdays, hours: "06:00-22:00"}
    otherwise_per_kwh: 0.19          # everything that no period names

    series: day_ahead.csv            # timestamp,price_per_kwh; held step by step
    hold_seconds: 3600               # how long its last value holds
    allow_negative: true             # in each of the three: a market may pay for taking

Exactly one of the three. Every minute of every kind of day must have exactly one price.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from advisor.common.near import did_you_mean
from advisor.cost.checks import Checker, Positive, currency_code
from advisor.cost.operator_files import read_yaml
from advisor.cost.tariffs.schedule import Flat, Schedule, SourcedSchedule
from advisor.cost.tariffs.series_files import read_series
from advisor.cost.tariffs.time_of_use import TariffSpec, TimeOfUseSpec, time_of_use

__all__ = ["parse_tariff", "read_tariff"]


class FlatSpec(TariffSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One price, as written."""

    price_per_kwh: Any


class SeriesSpec(TariffSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of prices over time, as written."""

    series: str
    hold_seconds: Positive | None = None


_SPECS: dict[str, type[TariffSpec]] = {
    "price_per_kwh": FlatSpec,
    "periods": TimeOfUseSpec,
    "series": SeriesSpec,
}
"""The key that says which kind of tariff a document is."""


def read_tariff(
    path: str | os.PathLike[str], *, currency: str = "USD", accept_unusual: bool = False
) -> SourcedSchedule:
    """Read a tariff from ``.yaml``/``.yml``, or from a ``.csv`` with ``timestamp`` and ``price_per_kwh``.

    ``currency`` is what a tariff without its own is taken to be in.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        check = Checker(path, currency, accept_unusual)
        return parse_tariff({"series": path.name}, check, folder=path.parent)
    if path.suffix.lower() in (".yaml", ".yml"):
        document, check = read_yaml(path, currency=currency, accept_unusual=accept_unusual)
        return parse_tariff(document, check, folder=path.parent)
    raise Checker(path).error("expected a file that ends in .yaml, .yml or .csv")


def parse_tariff(
    document: Mapping[str, Any], check: Checker, *, folder: Path, field: str = ""
) -> SourcedSchedule:
    """Read the document of a tariff; ``folder`` is where its series lies."""
    dotted = f"{field}." if field else ""
    names = {name for kind in _SPECS.values() for name in kind.__struct_fields__}
    for name in document:
        if name not in names:
            raise check.error(did_you_mean(name, names), f"{dotted}{name}")
    kinds = [key for key in _SPECS if key in document]
    if len(kinds) != 1:
        problem = f"expected one of {', '.join(_SPECS)}, found {' and '.join(kinds) or 'none'}"
        raise check.error(problem, field or None)
    spec: TariffSpec = check.convert(document, _SPECS[kinds[0]], field)
    code = spec.currency
    if code is not None:
        code = currency_code(code, subject=check.subject, field=f"{dotted}currency")
        check = replace(check, currency=code)
    source = spec.source or str(check.subject)
    schedule: Schedule
    if isinstance(spec, SeriesSpec):
        path = folder / spec.series
        cells = replace(check, subject=path, lines={})
        schedule = read_series(
            path,
            "price_per_kwh",
            check=lambda text, place: cells.price(text, place, allow_negative=spec.allow_negative),
            hold_seconds=spec.hold_seconds,
        )
    elif isinstance(spec, TimeOfUseSpec):
        schedule = time_of_use(spec, check, dotted)
    elif isinstance(spec, FlatSpec):
        price = check.price(spec.price_per_kwh, f"{dotted}price_per_kwh", allow_negative=spec.allow_negative)
        schedule = Flat(price)
    return SourcedSchedule(schedule, source, code)
