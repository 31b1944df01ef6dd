"""The operator's own regions and figures, from a YAML file.

::

    currency: EUR                      # of every price in this file; else the process's own
    regions:
      eu-north-1:                      # overrides figures of a region that is known
        price_per_kwh: 0.051
        price_source: contract 2026
        pue: 1.07
      basement:                        # adds one; what it does not say is as in ``like``
        like: DEU
        tariff: {time_zone: Europe/Berlin, periods: [...]}
        carbon_series: carbon.csv      # timestamp,carbon_grams_per_kwh
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from advisor.cost.carbon import HIGHEST_PLAUSIBLE_GRAMS_PER_KWH
from advisor.cost.checks import Checker, currency_code, gather
from advisor.cost.operator_files import check_keys, near, read_series, read_yaml
from advisor.cost.regions.table import Region, table
from advisor.cost.tariffs.files import Tariff, parse_tariff
from advisor.cost.tariffs.schedule import Flat, Schedule, Series

__all__ = ["HIGHEST_PLAUSIBLE_PUE", "read_regions"]

HIGHEST_PLAUSIBLE_PUE = 3.0

_OPERATOR_KEYS = (
    "like",
    "country",
    "price_per_kwh",
    "price_source",
    "tariff",
    "carbon_grams_per_kwh",
    "carbon_basis",
    "carbon_year",
    "carbon_source",
    "carbon_series",
    "carbon_hold_seconds",
    "pue",
)


def read_regions(
    path: str | os.PathLike[str], *, currency: str = "USD", accept_unusual: bool = False
) -> dict[str, Region]:
    """The regions of an operator's file by name; prices without a currency are in ``currency``."""
    document = read_yaml(path)
    check_keys(document, ("currency", "regions"), subject=path)
    if "currency" in document:
        currency = currency_code(document["currency"], subject=path)
    check = Checker(path, currency, accept_unusual)
    entries = document.get("regions")
    if not isinstance(entries, dict):
        raise check.error("expected a mapping of region names to their figures", "regions")
    found: dict[str, Region] = {}

    def add(name: str, entry: Any) -> None:
        field = f"regions.{name}."
        if not isinstance(entry, dict):
            raise check.error("expected a mapping", field.rstrip("."))
        check_keys(entry, _OPERATOR_KEYS, subject=path, field=field)
        base = _base(name, entry, {**table(), **found}, check, field)
        found[base.name] = _with_carbon(_with_price(base, entry, check, field), entry, check, field)

    gather(*(partial(add, str(name), entry) for name, entry in entries.items()))
    return found


def _base(
    name: str, entry: Mapping[str, Any], known: Mapping[str, Region], check: Checker, field: str
) -> Region:
    """What the entry starts from: the region of that name, or the one it says it is like."""
    like = entry.get("like", name)
    if "like" in entry and like not in known:
        alike = near(str(like), known, 3)
        raise check.error(f"no region {like!r}; near: {', '.join(alike) or 'none'}", f"{field}like")
    base = replace(known[like], name=name) if like in known else Region(name=name, provider="operator")
    if "like" in entry or name not in known:
        base = replace(base, provider="operator")
    if "country" in entry:
        base = replace(base, country=str(entry["country"]))
    if "pue" in entry:
        pue = check.amount(entry["pue"], f"{field}pue", minimum=1.0, maximum=HIGHEST_PLAUSIBLE_PUE)
        base = replace(base, pue_ratio=pue, pue_basis=f"operator ({check.subject})", pue_year=None)
    return base


def _with_price(base: Region, entry: Mapping[str, Any], check: Checker, field: str) -> Region:
    if "price_per_kwh" not in entry and "tariff" not in entry:
        return base
    if "tariff" in entry:
        if not isinstance(entry["tariff"], dict) or "price_per_kwh" in entry:
            raise check.error("expected either price_per_kwh or the mapping of a tariff", f"{field}tariff")
        folder = Path(str(check.subject)).parent
        tariff = parse_tariff(entry["tariff"], check, folder=folder, field=f"{field}tariff.")
    else:
        flat = Flat(check.price(entry["price_per_kwh"], f"{field}price_per_kwh"))
        tariff = Tariff(flat, None, str(check.subject))
    return replace(
        base,
        price=tariff.schedule,
        price_currency=tariff.currency or check.currency,
        price_basis="operator",
        price_period=None,
        price_source=str(entry.get("price_source") or tariff.source),
        price_newest_unix_seconds=tariff.newest_unix_seconds,
    )


def _with_carbon(base: Region, entry: Mapping[str, Any], check: Checker, field: str) -> Region:
    most = HIGHEST_PLAUSIBLE_GRAMS_PER_KWH
    carbon: Schedule
    if "carbon_series" in entry:
        if "carbon_grams_per_kwh" in entry or not isinstance(entry["carbon_series"], str):
            raise check.error(
                "expected the name of a CSV file and no other intensity", f"{field}carbon_series"
            )
        hold = entry.get("carbon_hold_seconds")
        if hold is not None:
            hold = check.amount(hold, f"{field}carbon_hold_seconds", above=True)
        path = Path(str(check.subject)).parent / entry["carbon_series"]
        cells = replace(check, subject=path)
        carbon = read_series(
            path,
            "carbon_grams_per_kwh",
            check=lambda text, place: cells.amount(text, place, maximum=most),
            hold_seconds=hold,
        )
    elif "carbon_grams_per_kwh" in entry:
        grams = check.amount(entry["carbon_grams_per_kwh"], f"{field}carbon_grams_per_kwh", maximum=most)
        carbon = Flat(grams)
    else:
        return base
    return replace(
        base,
        carbon=carbon,
        carbon_basis=str(entry.get("carbon_basis") or "operator"),
        carbon_year=str(entry["carbon_year"]) if "carbon_year" in entry else None,
        carbon_source=str(entry.get("carbon_source") or check.subject),
        carbon_newest_unix_seconds=carbon.times[-1] if isinstance(carbon, Series) else None,
    )
