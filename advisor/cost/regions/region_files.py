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
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from advisor.common.near import near
from advisor.cost.checks import Checker, Grams, Positive, Pue, currency_code, gather, require_number
from advisor.cost.operator_files import read_yaml
from advisor.cost.regions.table import Region, table
from advisor.cost.tariffs.schedule import Flat, Schedule, SourcedSchedule
from advisor.cost.tariffs.series_files import read_series
from advisor.cost.tariffs.tariff_files import parse_tariff

__all__ = ["read_regions"]


class _RegionsFile(Struct, frozen=True, forbid_unknown_fields=True):
    regions: dict[str, Any]
    currency: str | None = None


class RegionSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One region, as written."""

    like: str | None = None
    country: str | None = None
    price_per_kwh: Any = None
    price_source: str | None = None
    tariff: dict[str, Any] | None = None
    carbon_grams_per_kwh: Grams | None = None
    carbon_basis: str = "operator"
    carbon_year: int | str | None = None
    carbon_source: str | None = None
    carbon_series: str | None = None
    carbon_hold_seconds: Positive | None = None
    pue: Pue | None = None


def read_regions(
    path: str | os.PathLike[str], *, currency: str = "USD", accept_unusual: bool = False
) -> dict[str, Region]:
    """The regions of an operator's file by name; prices without a currency are in ``currency``."""
    document, check = read_yaml(path, currency=currency, accept_unusual=accept_unusual)
    given: _RegionsFile = check.convert(document, _RegionsFile)
    if given.currency is not None:
        check = replace(check, currency=currency_code(given.currency, subject=path))
    regions: dict[str, Region] = {}

    def add(name: str, entry: Any) -> None:
        field = f"regions.{name}"
        spec: RegionSpec = check.convert(entry, RegionSpec, field)
        base = _base(name, spec, {**table(), **regions}, check, field)
        regions[base.name] = _with_carbon(_with_price(base, spec, check, field), spec, check, field)

    gather(*(partial(add, name, entry) for name, entry in given.regions.items()))
    return regions


def _base(name: str, spec: RegionSpec, known: dict[str, Region], check: Checker, field: str) -> Region:
    """What the entry starts from: the region of that name, or the one it says it is like."""
    like = spec.like if spec.like is not None else name
    if spec.like is not None and like not in known:
        alike = near(like, known)
        raise check.error(f"no region {like!r}; near: {', '.join(alike) or 'none'}", f"{field}.like")
    base = replace(known[like], name=name) if like in known else Region(name=name, provider="operator")
    if spec.like is not None or name not in known:
        base = replace(base, provider="operator")
    if spec.country is not None:
        base = replace(base, country=spec.country)
    if spec.pue is not None:
        base = replace(base, pue_ratio=spec.pue, pue_basis=f"operator ({check.subject})", pue_year=None)
    return base


def _with_price(base: Region, spec: RegionSpec, check: Checker, field: str) -> Region:
    if spec.tariff is not None and spec.price_per_kwh is not None:
        raise check.error("expected either price_per_kwh or the mapping of a tariff", f"{field}.tariff")
    if spec.tariff is not None:
        folder = Path(str(check.subject)).parent
        tariff = parse_tariff(spec.tariff, check, folder=folder, field=f"{field}.tariff")
    elif spec.price_per_kwh is not None:
        flat = Flat(check.price(spec.price_per_kwh, f"{field}.price_per_kwh"))
        tariff = SourcedSchedule(flat, str(check.subject))
    else:
        return base
    source, currency = spec.price_source or tariff.source, tariff.currency or check.currency
    return replace(base, price=SourcedSchedule(tariff.schedule, source, currency, "operator"))


def _with_carbon(base: Region, spec: RegionSpec, check: Checker, field: str) -> Region:
    carbon: Schedule
    if spec.carbon_series is not None:
        if spec.carbon_grams_per_kwh is not None:
            raise check.error("expected a series or one intensity, not both", f"{field}.carbon_series")
        path = Path(str(check.subject)).parent / spec.carbon_series
        carbon = read_series(
            path,
            "carbon_grams_per_kwh",
            check=lambda text, place: require_number(text, Grams, field=place, subject=path),
            hold_seconds=spec.carbon_hold_seconds,
        )
    elif spec.carbon_grams_per_kwh is not None:
        carbon = Flat(spec.carbon_grams_per_kwh)
    else:
        return base
    year = None if spec.carbon_year is None else str(spec.carbon_year)
    source = spec.carbon_source or str(check.subject)
    return replace(base, carbon=SourcedSchedule(carbon, source, None, spec.carbon_basis, year))
