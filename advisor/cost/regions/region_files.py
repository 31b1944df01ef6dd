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
        carbon_series: carbon.csv      # timestamp,carbon_grams_per_kwh, or what a provider gives
"""

from __future__ import annotations

import datetime
import math
import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from advisor.common.near import near
from advisor.cost.checks import Checker, Grams, Positive, Pue, gather
from advisor.cost.currencies import currency_code
from advisor.cost.operator_files import read_yaml
from advisor.cost.regions.table import Region, find, table, written_names
from advisor.cost.tariffs.schedule import Flat, SourcedSchedule, StepSeries
from advisor.cost.tariffs.series_files import read_series, series_paths
from advisor.cost.tariffs.tariff_files import parse_tariff

_Year = Annotated[int, Meta(ge=1, le=9999)]


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
    carbon_grams_per_kwh: Grams | Annotated[dict[_Year, Grams], Meta(min_length=1)] | None = None
    """One intensity, or one for each year."""
    carbon_basis: str | None = None
    carbon_year: int | str | None = None
    carbon_source: str | None = None
    carbon_series: str | list[str] | None = None
    carbon_zone: str | None = None
    carbon_hold_seconds: Positive | None = None
    pue: Pue | None = None


def read_regions(path: str | os.PathLike[str], check: Checker | None = None) -> dict[str, Region]:
    """The regions of an operator's file; ``check`` has the currency of prices that do not say theirs."""
    document, check = read_yaml(path, check)
    regions_file: _RegionsFile = check.convert(document, _RegionsFile)
    if regions_file.currency is not None:
        check = replace(check, currency=currency_code(regions_file.currency, subject=path))
    regions: dict[str, Region] = {}

    def add(name: str, entry: Any) -> None:
        field = f"regions.{name}"
        spec: RegionSpec = check.convert(entry, RegionSpec, field)
        base = _base(name, spec, {**table(), **regions}, check, field)
        if base.name.casefold() in map(str.casefold, regions):
            raise check.error(f"expected each region once, found {base.name} before", field)
        regions[base.name] = _with_carbon(_with_price(base, spec, check, field), spec, check, field)

    gather(*(partial(add, name, entry) for name, entry in regions_file.regions.items()))
    return regions


def _base(name: str, spec: RegionSpec, known: dict[str, Region], check: Checker, field: str) -> Region:
    """What the entry starts from: the region of that name (a country in capitals), or the one it is like."""
    names = {called.casefold(): called for called, region in known.items() if region.provider != "country"}
    base = known.get(name) or known.get(names.get(name.casefold(), ""))
    if spec.like is not None:
        base = known.get(find(spec.like, {**written_names(), **names}) or "")
        if base is None:
            alike = near(spec.like, known)
            raise check.error(f"no region {spec.like!r}; near: {', '.join(alike) or 'none'}", f"{field}.like")
    if spec.like is not None or base is None:
        base = replace(base or Region(name=name, provider=""), name=name, provider="operator")
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
    return replace(base, price=replace(tariff, source=source, currency=currency, basis="operator"))


def _with_carbon(base: Region, spec: RegionSpec, check: Checker, field: str) -> Region:
    if spec.carbon_series is not None:
        if spec.carbon_grams_per_kwh is not None:
            raise check.error("expected a series or one intensity, not both", f"{field}.carbon_series")
        carbon = read_series(
            series_paths(Path(str(check.subject)).parent, spec.carbon_series),
            "carbon",
            check,
            hold_seconds=spec.carbon_hold_seconds,
            zone=spec.carbon_zone,
            basis=spec.carbon_basis,
        )
    elif spec.carbon_grams_per_kwh is not None:
        carbon = _by_year(spec.carbon_grams_per_kwh, check, f"{field}.carbon_grams_per_kwh")
    else:
        return base
    carbon = replace(
        carbon,
        source=spec.carbon_source or carbon.source,
        basis=spec.carbon_basis or carbon.basis or "operator",
        period=carbon.period if spec.carbon_year is None else str(spec.carbon_year),
    )
    return replace(base, carbon=carbon)


def _by_year(given: float | dict[int, float], check: Checker, field: str) -> SourcedSchedule:
    """One intensity, or one for each calendar year (UTC); the last year's holds until another is given."""
    source = str(check.subject)
    if not isinstance(given, dict):
        return SourcedSchedule(Flat(check.grams(given, field)), source)
    years = sorted(given)
    starts = tuple(datetime.datetime(year, 1, 1, tzinfo=datetime.UTC).timestamp() for year in years)
    grams = tuple(check.grams(given[year], f"{field}.{year}") for year in years)
    # a grid's figure is published a year or two after its year
    series = StepSeries(starts, grams, math.inf)
    return SourcedSchedule(series, source, period=f"{years[0]}-{years[-1]}")
