"""The prices of a process: what its options say, with their files, as one `CostModel` a region."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from advisor.cost.carbon import Embodied, FunctionalUnit
from advisor.cost.checks import gather
from advisor.cost.exchange_rates import Rates, read_rates
from advisor.cost.model import CostModel
from advisor.cost.operator_files import read_yaml
from advisor.cost.price_inputs import Mode
from advisor.cost.regions.pricing import RegionalPricing
from advisor.cost.tariffs.files import Tariff, read_tariff
from advisor.errors import PricingError

__all__ = ["DEFAULT_CPU_COST_PER_HOUR", "DEFAULT_ENERGY_COST_PER_KWH", "PriceBook", "PriceOptions"]

DEFAULT_ENERGY_COST_PER_KWH = 0.12
DEFAULT_CPU_COST_PER_HOUR = 0.50
_DEFAULT_SOURCE = "default"


class PriceOptions(Struct, frozen=True, kw_only=True):
    """Prices as options give them; None is what was not given.

    Without a region, a tariff and a price, electricity costs the documented default (its source then says
    ``default``). A region brings its own price, or none.
    """

    regions: Sequence[str] = ()
    mode: Mode = "owned"
    currency: str = "USD"
    energy_cost_per_kwh: float | None = None
    cpu_cost_per_hour: float | None = None
    gpu_cost_per_hour: float | None = None
    instance_cost_per_hour: float | None = None
    host_cost_per_hour: float | None = None
    pue: float | None = None
    carbon_grams_per_kwh: float | None = None
    tariff_file: Path | None = None
    regions_file: Path | None = None
    exchange_rates_file: Path | None = None
    embodied: Embodied | None = None
    functional_unit: FunctionalUnit | None = None
    accept_unusual_prices: bool = False


class PriceBook(Struct, frozen=True):
    """The models of all regions, the first one being the process's own."""

    models: tuple[CostModel, ...]
    regions: RegionalPricing
    rates: Rates | None
    files: tuple[Path, ...]
    """Everything that was read, to be watched."""

    @classmethod
    def load(cls, options: PriceOptions) -> PriceBook:
        """Read the files and build the models.

        Raises
        ------
        PricingError
            The files, regions or figures that cannot be used.
        """
        rates: Rates | None
        tariff: Tariff | None
        rates, tariff, regions = gather(*(partial(read, options) for read in (_rates, _tariff, _regions)))
        regions.rates = rates
        known = gather(*(partial(regions.region, name) for name in options.regions))
        names = tuple(dict.fromkeys(region.name for region in known)) or (None,)
        models = gather(*(partial(_model, options, name, regions, tariff) for name in names))
        return cls(tuple(models), regions, rates, tuple(_files(options)))

    def ages_seconds(self, now: float) -> dict[str, float]:
        """How old what was read is, by input: series since their last value, rates since their day."""
        ages = {}
        prices = [model.prices for model in self.models]
        newest = {
            "electricity_price": [p.electricity_newest_unix_seconds for p in prices],
            "carbon_intensity": [p.carbon_newest_unix_seconds for p in prices],
        }
        for name, moments in newest.items():
            known = [moment for moment in moments if moment is not None]
            if known:
                ages[name] = now - min(known)
        if self.rates is not None:
            ages["exchange_rates"] = self.rates.age_seconds(now)
        return ages


def _rates(options: PriceOptions) -> Any:
    return read_rates(options.exchange_rates_file) if options.exchange_rates_file else None


def _tariff(options: PriceOptions) -> Any:
    if options.tariff_file is None:
        return None
    return read_tariff(
        options.tariff_file, currency=options.currency, accept_unusual=options.accept_unusual_prices
    )


def _regions(options: PriceOptions) -> Any:
    return RegionalPricing(
        options.regions_file,
        currency=options.currency,
        accept_unusual_prices=options.accept_unusual_prices,
    )


def _model(
    options: PriceOptions, region: str | None, regions: RegionalPricing, tariff: Tariff | None
) -> CostModel:
    price, source = options.energy_cost_per_kwh, "operator"
    if price is None and tariff is None and region is None:
        price, source = DEFAULT_ENERGY_COST_PER_KWH, _DEFAULT_SOURCE
    cpu = options.cpu_cost_per_hour
    if options.mode == "owned" and cpu is None and options.host_cost_per_hour is None:
        cpu = DEFAULT_CPU_COST_PER_HOUR
    if options.mode == "cloud" and cpu is None and options.instance_cost_per_hour is None:
        raise PricingError("mode cloud needs the price of the instance", field="instance_cost_per_hour")
    return CostModel(
        price,
        cpu,
        options.gpu_cost_per_hour,
        options.currency,
        mode=options.mode,
        instance_cost_per_hour=options.instance_cost_per_hour,
        host_cost_per_hour=options.host_cost_per_hour,
        region=region,
        regions=regions,
        pue=options.pue,
        tariff=tariff,
        carbon_grams_per_kwh=options.carbon_grams_per_kwh,
        embodied=options.embodied,
        functional_unit=options.functional_unit,
        energy_cost_source=source,
        accept_unusual_prices=options.accept_unusual_prices,
    )


def _files(options: PriceOptions) -> Iterator[Path]:
    for path in (options.tariff_file, options.regions_file, options.exchange_rates_file):
        if path is not None:
            yield path
            if path.suffix.lower() in (".yaml", ".yml"):
                yield from (path.parent / name for name in _series_names(read_yaml(path)))


def _series_names(document: Any) -> Iterator[str]:
    """The CSV files that a document names."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in ("series", "carbon_series") and isinstance(value, str):
                yield value
            else:
                yield from _series_names(value)
