"""The regions that come with the package: a table of figures with their basis, year and source."""

from __future__ import annotations

import csv
import functools
import importlib.resources
import re
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from advisor.cost.tariffs.schedule import Flat, SourcedSchedule, flat_value


class Region(Struct, frozen=True, kw_only=True):
    """One region; None is unknown."""

    name: str
    provider: str
    country: str | None = None
    price: SourcedSchedule | None = None
    """Per kWh."""
    carbon: SourcedSchedule | None = None
    """Grams of CO2e per kWh, location-based."""
    pue_ratio: float | None = None
    pue_basis: str | None = None
    pue_year: str | None = None

    @property
    def price_per_kwh(self) -> float | None:
        """The price where it is one value; None for a tariff that changes over time."""
        return flat_value(self.price)

    @property
    def carbon_grams_per_kwh(self) -> float | None:
        """The intensity where it is one value; None for a series."""
        return flat_value(self.carbon)


@functools.cache
def table() -> Mapping[str, Region]:
    """The regions that come with the package, by name."""
    return {region.name: region for region in map(_region, _rows("regions.csv"))}


@functools.cache
def written_names() -> Mapping[str, str]:
    """The region that each way to write it stands for, in small letters; a country by letters or name."""
    names = {
        written.casefold(): row["alpha_3"]
        for row in _rows("countries.csv")
        for written in (row["alpha_2"], row["name"], *row["also"].split(";"))
        if written
    }
    return names | {name.casefold(): name for name in table()}


def find(written: str, names: Mapping[str, str]) -> str | None:
    """The region that a text stands for, of those that ``names`` has in small letters.

    >>> find("aws/us-east-1", {"us-east-1": "us-east-1"})
    'us-east-1'
    """
    spellings = map(str.casefold, _spellings(written.strip()))
    return next((names[spelling] for spelling in spellings if spelling in names), None)


def _spellings(name: str) -> Iterator[str]:
    yield name
    # "America/Jamaica" is the time zone of other places too: only a provider may stand before a slash
    name = re.sub(r"^((aws|azure|gcp|country|operator)/|BZN\|)", "", name, flags=re.IGNORECASE)
    yield name
    yield name.replace(" ", "")
    yield re.sub(r"(?<=\d)-?[a-f]$", "", name)
    # in small letters "us-east" is half a provider's region and no zone of a country
    bidding_zone = re.fullmatch(r"([A-Z]{2})([-_(][A-Z][A-Za-z]+\d?\)?)+", name)
    bidding_zone = bidding_zone or re.fullmatch(r"([A-Za-z]{2})_?\d", name)
    if bidding_zone:
        yield bidding_zone[1]


def _rows(name: str) -> Iterable[dict[str, str]]:
    text = importlib.resources.files("advisor.cost.regions").joinpath(name).read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines())


def _region(row: Mapping[str, str]) -> Region:
    pue = row["pue_ratio"]
    return Region(
        name=row["region"],
        provider=row["provider"],
        country=row["country"] or None,
        price=_figure(row, "price_usd_per_kwh", "price", "period", "USD"),
        carbon=_figure(row, "carbon_grams_per_kwh", "carbon", "year"),
        pue_ratio=float(pue) if pue else None,
        pue_basis=row["pue_basis"] or None,
        pue_year=row["pue_year"] or None,
    )


def _figure(
    row: Mapping[str, str], column: str, kind: str, period: str, currency: str | None = None
) -> SourcedSchedule | None:
    if not row[column]:
        return None
    about = (row[f"{kind}_source"], currency, row[f"{kind}_basis"], row[f"{kind}_{period}"])
    return SourcedSchedule(Flat(float(row[column])), *about)
