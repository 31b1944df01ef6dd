"""What electricity costs and emits by region, from a table with sources, and from the operator.

The table (``regions.csv``) holds cloud regions and countries (ISO 3166 alpha-3). Every figure stands beside
its basis, year and source; figures of different bases (direct or life-cycle emissions) are not mixed or
guessed from each other. A price is there only where one can be cited: elsewhere the operator gives it.
Nothing falls back to a default.
"""

from __future__ import annotations

import os

from advisor.common.checked import checked
from advisor.common.near import near
from advisor.cost.checks import Checker
from advisor.cost.currencies import Rates, currency_code
from advisor.cost.exchange_rates import converted, read_rates
from advisor.cost.regions.region_files import read_regions
from advisor.cost.regions.table import Region, find, table, written_names
from advisor.cost.tariffs.schedule import Flat, Schedule
from advisor.errors import PricingError, UnknownRegionError


class RegionalPricing:
    """Regions by name, the operator's file before the table, prices in one currency.

    Parameters
    ----------
    operator_file
        YAML that adds regions and overrides figures; see docs/cost.md.
    currency
        What prices are returned in. The table's are in USD: any other needs ``rates``.
    rates
        The operator's exchange rates: a file, or what `advisor.cost.exchange_rates.read_rates` made of it.
    accept_unusual_prices
        Keep prices of the file that look like a slip of the unit.

    >>> regions = RegionalPricing()
    >>> regions.price_per_kwh("eu-north-1"), regions.carbon_grams_per_kwh("eu-north-1")
    (0.0682, 35.82)
    >>> regions.region("eu-nort-1")
    Traceback (most recent call last):
    advisor.errors.UnknownRegionError: no region 'eu-nort-1': similar: eu-north-1, eu-south-1, cn-north-1
    """

    def __init__(
        self,
        operator_file: str | os.PathLike[str] | None = None,
        *,
        currency: str = "USD",
        rates: Rates | str | os.PathLike[str] | None = None,
        accept_unusual_prices: bool = False,
    ) -> None:
        self.currency = currency_code(currency)
        check = Checker(accept_unusual=accept_unusual_prices)
        self.rates = read_rates(rates, check) if isinstance(rates, (str, os.PathLike)) else rates
        self._regions = dict(table())
        if operator_file in self._regions:
            raise PricingError(
                f"expected a regions file; for a region call region({operator_file!r})",
                field="operator_file",
            )
        if operator_file is not None:
            check = Checker(None, self.currency, accept_unusual_prices, rates=self.rates)
            self._regions |= read_regions(operator_file, check)
        # what the operator calls a region goes before what it may also be
        self._names = {**written_names(), **{name.casefold(): name for name in self._regions}}

    def names(self, provider: str | None = None) -> list[str]:
        """Every region known, or those of ``aws``, ``azure``, ``gcp``, ``country`` or ``operator``."""
        return sorted(r.name for r in self._regions.values() if provider in (None, r.provider))

    def region(self, name: str) -> Region:
        """The region called ``name``; the case does not matter.

        A provider's region goes by its name, also with the provider before it (``aws/us-east-1``) or a zone
        behind it (``us-east-1a``); a country by two or three letters, its English name, or a bidding zone in
        it (``SE3``, ``DE-LU``).

        Raises
        ------
        UnknownRegionError
            With the names that are near.

        >>> regions = RegionalPricing()
        >>> [regions.region(name).name for name in ("SE3", "germany", "West Europe", "us-central1-a")]
        ['SWE', 'DEU', 'westeurope', 'us-central1']
        """
        name = checked(name, str, field="region", error=PricingError)
        if (found := find(name, self._names)) is not None:
            return self._regions[found]
        alike = dict.fromkeys(self._names[written] for written in near(name, self._names))
        hint = f"similar: {', '.join(alike)}" if alike else "name a country by its code, such as DEU or DE"
        raise UnknownRegionError(hint, subject=f"no region {name!r}")

    def search(self, word: str) -> list[Region]:
        """The regions whose name, provider or country has ``word`` in it."""
        wanted = word.casefold()
        matching = {region_name for written, region_name in self._names.items() if wanted in written}
        matching |= {found} if (found := find(word, self._names)) is not None else set()
        among = matching | {
            n for n, r in self._regions.items() if r.country in matching or r.provider == wanted
        }
        return [self._regions[name] for name in sorted(among)]

    def price_schedule(self, name: str) -> Schedule:
        """The price per kWh over time, in this object's currency.

        Raises
        ------
        PricingError
            No price is known there, or no exchange rate leads to the currency.
        """
        region = self.region(name)
        if region.price is None:
            raise PricingError(
                "no citable price is known: give your own (energy cost per kWh, or a tariff)",
                subject=f"region {region.name}",
                field="price_per_kwh",
            )
        return converted(region.price, self.currency, self.rates, f"region {region.name}").schedule

    def price_per_kwh(self, name: str) -> float:
        """The price per kWh where it is one value; a tariff that changes over time is an error here."""
        return _one_value(self.price_schedule(name), name, "price_per_kwh")

    def carbon_grams_per_kwh(self, name: str) -> float:
        """Grams of CO2e per kWh (location-based) where it is one value; unknown is an error, 0 is 0."""
        carbon = self.region(name).carbon
        if carbon is None:
            raise PricingError(
                "no carbon intensity is known: give your own",
                subject=f"region {name}",
                field="carbon_grams_per_kwh",
            )
        return _one_value(carbon.schedule, name, "carbon_grams_per_kwh")

    def pue_ratio(self, name: str) -> float | None:
        """Power usage effectiveness; None where none is published (countries)."""
        return self.region(name).pue_ratio


def _one_value(schedule: Schedule, name: str, field: str) -> float:
    if isinstance(schedule, Flat):
        return schedule.value
    raise PricingError("changes over time: use its schedule", subject=f"region {name}", field=field)
