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

Exactly one of the three. Every minute of every kind of day must have exactly one price.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from advisor.cost.checks import Checker, currency_code
from advisor.cost.operator_files import check_keys, read_series, read_yaml
from advisor.cost.tariffs.schedule import Flat, Schedule, Series
from advisor.cost.tariffs.time_of_use import time_of_use

__all__ = ["TARIFF_KEYS", "Tariff", "parse_tariff", "read_tariff"]

_KINDS = ("price_per_kwh", "periods", "series")
TARIFF_KEYS = (
    *_KINDS,
    "currency",
    "time_zone",
    "holidays",
    "otherwise_per_kwh",
    "hold_seconds",
    "allow_negative",
    "source",
)


class Tariff(Struct, frozen=True):
    """A price schedule with what has to be known of it."""

    schedule: Schedule
    currency: str | None
    """None: written without a currency, so the process's own."""
    source: str
    newest_unix_seconds: float | None = None
    """For a series: when its last value began."""


def read_tariff(
    path: str | os.PathLike[str], *, currency: str = "USD", accept_unusual: bool = False
) -> Tariff:
    """Read a tariff from ``.yaml``/``.yml``, or from a ``.csv`` with ``timestamp`` and ``price_per_kwh``.

    ``currency`` is what a tariff without its own is taken to be in.
    """
    path = Path(path)
    check = Checker(path, currency, accept_unusual)
    if path.suffix.lower() == ".csv":
        return parse_tariff({"series": path.name}, check, folder=path.parent)
    if path.suffix.lower() in (".yaml", ".yml"):
        return parse_tariff(read_yaml(path), check, folder=path.parent)
    raise check.error("expected a file that ends in .yaml, .yml or .csv")


def parse_tariff(document: Mapping[str, Any], check: Checker, *, folder: Path, field: str = "") -> Tariff:
    """Turn the document of a tariff into a `Tariff`; ``folder`` is where its series lies."""
    check_keys(document, TARIFF_KEYS, subject=check.subject, field=field)
    kinds = [key for key in _KINDS if key in document]
    if len(kinds) != 1:
        problem = f"expected one of {', '.join(_KINDS)}, found {' and '.join(kinds) or 'none'}"
        raise check.error(problem, field.rstrip(".") or None)
    code = document.get("currency")
    if code is not None:
        code = currency_code(code, subject=check.subject, field=f"{field}currency")
        check = replace(check, currency=code)
    source = str(document.get("source") or check.subject)
    schedule: Schedule
    if kinds == ["series"]:
        series = _series(document, check, folder, field)
        return Tariff(series, code, source, series.times[-1])
    if kinds == ["periods"]:
        schedule = time_of_use(document, check, field)
    else:
        schedule = Flat(check.price(document["price_per_kwh"], f"{field}price_per_kwh"))
    return Tariff(schedule, code, source)


def _series(document: Mapping[str, Any], check: Checker, folder: Path, field: str) -> Series:
    name, hold = document["series"], document.get("hold_seconds")
    negative = document.get("allow_negative", False)
    if not isinstance(name, str) or not name:
        raise check.error("expected the name of a CSV file", f"{field}series")
    if hold is not None:
        hold = check.amount(hold, f"{field}hold_seconds", above=True)
    if not isinstance(negative, bool):
        raise check.error("expected true or false", f"{field}allow_negative")
    cells = replace(check, subject=folder / name)
    return read_series(
        folder / name,
        "price_per_kwh",
        check=lambda text, place: cells.price(text, place, allow_negative=negative),
        hold_seconds=hold,
    )
