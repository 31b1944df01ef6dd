"""The regions that come with the package: a table of figures with their basis, year and source."""

from __future__ import annotations

import csv
import functools
import importlib.resources
from collections.abc import Mapping

from msgspec import Struct

from advisor.cost.tariffs.schedule import Flat, Schedule, flat_value

__all__ = ["Region", "table"]


class Region(Struct, frozen=True, kw_only=True):
    """One region. Prices are per kWh in ``price_currency``; ``None`` is unknown."""

    name: str
    provider: str
    country: str | None = None
    subdivision: str | None = None
    price: Schedule | None = None
    price_currency: str | None = None
    """None: the process's own currency."""
    price_basis: str | None = None
    price_period: str | None = None
    price_source: str | None = None
    price_newest_unix_seconds: float | None = None
    carbon: Schedule | None = None
    """Grams of CO2e per kWh, location-based."""
    carbon_basis: str | None = None
    carbon_year: str | None = None
    carbon_source: str | None = None
    carbon_newest_unix_seconds: float | None = None
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
    text = (
        importlib.resources.files("advisor.cost.regions").joinpath("regions.csv").read_text(encoding="utf-8")
    )
    return {region.name: region for region in map(_region, csv.DictReader(text.splitlines()))}


def _region(row: Mapping[str, str]) -> Region:
    price, carbon, pue = row["price_usd_per_kwh"], row["carbon_grams_per_kwh"], row["pue_ratio"]
    return Region(
        name=row["region"],
        provider=row["provider"],
        country=row["country"] or None,
        subdivision=row["subdivision"] or None,
        price=Flat(float(price)) if price else None,
        price_currency="USD" if price else None,
        price_basis=row["price_basis"] or None,
        price_period=row["price_period"] or None,
        price_source=row["price_source"] or None,
        carbon=Flat(float(carbon)) if carbon else None,
        carbon_basis=row["carbon_basis"] or None,
        carbon_year=row["carbon_year"] or None,
        carbon_source=row["carbon_source"] or None,
        pue_ratio=float(pue) if pue else None,
        pue_basis=row["pue_basis"] or None,
        pue_year=row["pue_year"] or None,
    )
