"""Everything that a scenario is priced with, resolved once: whose price holds, and where each figure is from.

The operator's own figure holds before a tariff's, a tariff's before the region's. A region without a price
that can be cited stays without one: nothing falls back to a default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from msgspec import Struct

from advisor.cost.carbon import HIGHEST_PLAUSIBLE_GRAMS_PER_KWH, Embodied, FunctionalUnit
from advisor.cost.checks import Checker, currency_code, gather
from advisor.cost.exchange_rates import converted
from advisor.cost.regions.files import HIGHEST_PLAUSIBLE_PUE
from advisor.cost.regions.pricing import Region, RegionalPricing
from advisor.cost.tariffs.files import Tariff, parse_tariff, read_tariff
from advisor.cost.tariffs.schedule import Flat, Schedule

__all__ = ["Mode", "Prices", "TariffLike", "resolve"]

Mode = Literal["owned", "cloud"]
TariffLike = Tariff | Schedule | Mapping[str, Any] | str | os.PathLike[str]
"""A tariff that was read, a schedule in the model's currency, a tariff's document, or its file."""


class Prices(Struct, frozen=True, kw_only=True):
    """The inputs of every cost and every emission; None is unknown. Prices are in ``currency``."""

    currency: str
    mode: Mode = "owned"
    region: str = ""
    electricity: Schedule | None = None
    """Price per kWh."""
    electricity_source: str | None = None
    electricity_newest_unix_seconds: float | None = None
    carbon: Schedule | None = None
    """Grams of CO2e per kWh, location-based."""
    carbon_basis: str | None = None
    carbon_year: str | None = None
    carbon_source: str | None = None
    carbon_newest_unix_seconds: float | None = None
    pue_ratio: float = 1.0
    pue_source: str = "none: no building around the machine"
    cpu_per_hour: float | None = None
    """The price of one CPU for an hour."""
    machine_per_hour: float | None = None
    """The price of the whole machine for an hour: an amortised host, or a cloud instance."""
    gpu_per_hour: float | None = None
    embodied: Embodied | None = None
    functional_unit: FunctionalUnit | None = None

    @property
    def machine_is_priced(self) -> bool:
        """Whether a price of any of the machine's time was given."""
        return (self.cpu_per_hour, self.machine_per_hour, self.gpu_per_hour) != (None, None, None)


def resolve(
    *,
    currency: str = "USD",
    mode: Mode = "owned",
    energy_cost_per_kwh: float | None = None,
    energy_cost_source: str = "operator",
    tariff: TariffLike | None = None,
    region: str | Region | None = None,
    regions: RegionalPricing | None = None,
    pue: float | None = None,
    carbon_grams_per_kwh: float | Schedule | None = None,
    cpu_cost_per_hour: float | None = None,
    gpu_cost_per_hour: float | None = None,
    instance_cost_per_hour: float | None = None,
    host_cost_per_hour: float | None = None,
    embodied: Embodied | None = None,
    functional_unit: FunctionalUnit | None = None,
    accept_unusual_prices: bool = False,
) -> Prices:
    """Check what was given and decide whose figure holds; `advisor.CostModel` has the parameters."""
    check = Checker(None, currency_code(currency), accept_unusual_prices)
    if mode not in ("owned", "cloud"):
        raise check.error(f"expected owned or cloud, found {mode!r}", "mode")
    if functional_unit not in (None, *get_args(FunctionalUnit)):
        wanted = ", ".join(get_args(FunctionalUnit))
        raise check.error(f"expected one of {wanted}, found {functional_unit!r}", "functional_unit")
    regions = regions or RegionalPricing(currency=check.currency)
    if regions.currency != check.currency:
        raise check.error(f"the regions are in {regions.currency}, the model in {check.currency}", "currency")
    place = regions.region(region) if isinstance(region, str) and region else None
    if isinstance(region, Region):
        place = region
    parts = gather(
        lambda: _machine(check, mode, cpu_cost_per_hour, instance_cost_per_hour, host_cost_per_hour),
        lambda: {"gpu_per_hour": _per_hour(check, gpu_cost_per_hour, "gpu_cost_per_hour")},
        lambda: _electricity(check, energy_cost_per_kwh, energy_cost_source, tariff, place, regions),
        lambda: _carbon(check, carbon_grams_per_kwh, place),
        lambda: _building(check, pue, place),
    )
    return Prices(
        currency=check.currency,
        mode=mode,
        region=place.name if place else "",
        embodied=embodied,
        functional_unit=functional_unit,
        **{name: value for part in parts for name, value in part.items()},
    )


def _per_hour(check: Checker, value: float | None, field: str) -> float | None:
    return None if value is None else check.price(value, field, per="hour")


def _machine(
    check: Checker, mode: Mode, cpu: float | None, instance: float | None, host: float | None
) -> dict[str, Any]:
    """The price of the machine's time; the two modes' prices exclude each other."""
    if mode == "owned" and instance is not None:
        raise check.error(
            "an instance's rate has its electricity inside: expected mode cloud", "instance_cost_per_hour"
        )
    if mode == "cloud" and host is not None:
        raise check.error("an amortised host is one that is owned: expected mode owned", "host_cost_per_hour")
    if host is not None and cpu is not None:
        raise check.error("expected a rate per CPU hour or an amortised host, not both", "host_cost_per_hour")
    if instance is not None:
        return {"machine_per_hour": _per_hour(check, instance, "instance_cost_per_hour")}
    if host is not None:
        return {"machine_per_hour": _per_hour(check, host, "host_cost_per_hour")}
    return {"cpu_per_hour": _per_hour(check, cpu, "cpu_cost_per_hour")}


def _electricity(
    check: Checker,
    own: float | None,
    own_source: str,
    tariff: TariffLike | None,
    place: Region | None,
    regions: RegionalPricing,
) -> dict[str, Any]:
    if own is not None and tariff is not None:
        raise check.error("expected a price per kWh or a tariff, not both", "energy_cost_per_kwh")
    if own is not None:
        price = Flat(check.price(own, "energy_cost_per_kwh"))
        return {"electricity": price, "electricity_source": own_source}
    if isinstance(tariff, (str, os.PathLike)):
        tariff = read_tariff(tariff, currency=check.currency, accept_unusual=check.accept_unusual)
    elif isinstance(tariff, Mapping):
        tariff = parse_tariff(tariff, check, folder=Path(), field="tariff.")
    if isinstance(tariff, Tariff):
        given = tariff.currency or check.currency
        return {
            "electricity": converted(tariff.schedule, given, check.currency, regions.rates, tariff.source),
            "electricity_source": tariff.source,
            "electricity_newest_unix_seconds": tariff.newest_unix_seconds,
        }
    if tariff is not None:
        if not hasattr(tariff, "pieces"):
            raise check.error("expected a tariff's file, its document or a schedule", "tariff")
        return {"electricity": tariff, "electricity_source": own_source}
    if place is None or place.price is None:
        return {}
    given = place.price_currency or check.currency
    return {
        "electricity": converted(place.price, given, check.currency, regions.rates, f"region {place.name}"),
        "electricity_source": ", ".join(filter(None, (place.price_source, place.price_period))),
        "electricity_newest_unix_seconds": place.price_newest_unix_seconds,
    }


def _carbon(check: Checker, own: float | Schedule | None, place: Region | None) -> dict[str, Any]:
    if own is not None:
        if not hasattr(own, "pieces"):
            most = HIGHEST_PLAUSIBLE_GRAMS_PER_KWH
            own = Flat(check.amount(own, "carbon_grams_per_kwh", maximum=most))
        return {"carbon": own, "carbon_basis": "operator", "carbon_source": "operator"}
    if place is None:
        return {}
    return {
        "carbon": place.carbon,
        "carbon_basis": place.carbon_basis,
        "carbon_year": place.carbon_year,
        "carbon_source": place.carbon_source,
        "carbon_newest_unix_seconds": place.carbon_newest_unix_seconds,
    }


def _building(check: Checker, own: float | None, place: Region | None) -> dict[str, Any]:
    if own is not None:
        ratio = check.amount(own, "pue", minimum=1.0, maximum=HIGHEST_PLAUSIBLE_PUE)
        return {"pue_ratio": ratio, "pue_source": "operator"}
    if place is None or place.pue_ratio is None:
        return {}
    source = ", ".join(filter(None, (place.pue_basis, place.pue_year)))
    return {"pue_ratio": place.pue_ratio, "pue_source": source}
