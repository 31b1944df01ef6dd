"""What scenarios are priced with: the options that an operator gives, and what they come to.

`PriceOptions` declares every price once: its limits, flag, variable and help. The flags of the
commands, the options of the exporter, the parameters of `advisor.CostModel` and the table in docs/cost.md are
made from it. `checked_inputs` decides whose figure holds: the operator's own before a tariff's, a tariff's
before the region's. A region without a price that can be cited stays without one. `planning_prices` makes
one price and one intensity for all: what is compared is not priced at the hour of its measurement.
"""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import fields, force_setattr, replace

from advisor.common.booleans import parse_boolean
from advisor.common.checked import checked
from advisor.common.home import expanded
from advisor.cost.carbon import Embodied, FunctionalUnit
from advisor.cost.checks import CheckedInputs, Checker, Grams, Kg, Pue, Quantity, Years, gather
from advisor.cost.currencies import currency_code
from advisor.cost.exchange_rates import converted
from advisor.cost.formulas import HOURS_PER_MONTH
from advisor.cost.regions.pricing import RegionalPricing
from advisor.cost.regions.table import Region
from advisor.cost.tariffs.schedule import Flat, Schedule, SourcedSchedule, covered
from advisor.cost.tariffs.tariff_files import parse_tariff, read_tariff
from advisor.errors import InputError, PricingError

Mode = Literal["owned", "cloud"]
TariffLike = SourcedSchedule | Schedule | Mapping[str, Any] | str | os.PathLike[str]
"""A tariff that was read, a schedule in the model's currency, a tariff's document, or its file."""

DEFAULT_ENERGY_COST_PER_KWH = 0.12
DEFAULT_CPU_COST_PER_HOUR = 0.50
BUILT_IN_PRICES = ("energy_cost_per_kwh", "cpu_cost_per_hour")
"""The options that have a default, in USD."""


def _option(env: str, help: str, per: str | None = None) -> Meta:
    """``per`` is for prices: ``kWh``, ``CPU hour``, ``GPU hour`` or ``hour``."""
    return Meta(description=help, extra={"env": env, "per": per})


class PriceOptions(CheckedInputs, frozen=True, kw_only=True):
    """Prices as an operator gives them, checked; None is what was not given."""

    region: Annotated[
        tuple[str, ...], _option("REGION", "Region of price, carbon intensity and PUE; comma-separated.")
    ] = ()
    mode: Annotated[
        Mode,
        _option("COST_MODE", "owned: machine and electricity; cloud: the instance price alone."),
    ] = "owned"
    currency: Annotated[str, _option("CURRENCY", "Currency of all prices and costs, three letters.")] = "USD"
    energy_cost_per_kwh: Annotated[
        Quantity | None,
        _option(
            "ENERGY_COST_PER_KWH",
            "Electricity, per kWh; else the tariff's, else the region's, else "
            f"{DEFAULT_ENERGY_COST_PER_KWH} where no region is named.",
            "kWh",
        ),
    ] = None
    cpu_cost_per_hour: Annotated[
        Quantity | None,
        _option(
            "CPU_COST_PER_HOUR",
            f"One CPU for an hour; else {DEFAULT_CPU_COST_PER_HOUR:.2f} where nothing prices the machine.",
            "CPU hour",
        ),
    ] = None
    gpu_cost_per_hour: Annotated[
        Quantity | None, _option("GPU_COST_PER_HOUR", "One hour of the GPU.", "GPU hour")
    ] = None
    instance_cost_per_hour: Annotated[
        Quantity | None, _option("INSTANCE_COST_PER_HOUR", "Cloud: one hour of the instance.", "hour")
    ] = None
    host_cost_per_hour: Annotated[
        Quantity | None, _option("HOST_COST_PER_HOUR", "Owned: one hour of the amortised host.", "hour")
    ] = None
    pue: Annotated[
        Pue | None, _option("PUE", "Power usage effectiveness, 1 to 3 (else the region's, else 1).")
    ] = None
    carbon_grams_per_kwh: Annotated[
        Grams | None, _option("CARBON_GRAMS_PER_KWH", "Grid intensity, g CO2e/kWh (else the region's).")
    ] = None
    carbon_series: Annotated[
        Path | None, _option("CARBON_SERIES_FILE", "Carbon intensity over time, CSV or JSON.")
    ] = None
    tariff: Annotated[
        Path | None, _option("TARIFF_FILE", "Electricity price over time, YAML, CSV, JSON or XML.")
    ] = None
    regions_file: Annotated[
        Path | None, _option("REGIONS_FILE", "File with your own regions and figures, YAML.")
    ] = None
    exchange_rates: Annotated[
        Path | None, _option("EXCHANGE_RATES_FILE", "Exchange rates with their date, YAML.")
    ] = None
    embodied_kg: Annotated[
        Kg | None, _option("EMBODIED_KG", "Embodied carbon of the machine, kg of CO2e.")
    ] = None
    embodied_minimum_kg: Annotated[
        Kg | None, _option("EMBODIED_MINIMUM_KG", "Its minimum, if sources differ.")
    ] = None
    embodied_maximum_kg: Annotated[Kg | None, _option("EMBODIED_MAXIMUM_KG", "Its maximum.")] = None
    lifetime_years: Annotated[Years, _option("LIFETIME_YEARS", "Lifetime of the machine in years.")] = 4.0
    functional_unit: Annotated[
        FunctionalUnit | None,
        _option("FUNCTIONAL_UNIT", "Unit of the SCI: video_minute, watch_hour or gigapixel."),
    ] = None
    accept_unusual_prices: Annotated[
        bool, _option("ACCEPT_UNUSUAL_PRICES", "Accept prices that look like a unit error.")
    ] = False

    def __post_init__(self) -> None:
        named: Any = self.region
        listed = ",".join([named] if isinstance(named, str) else named)
        parts = tuple(part.strip() for part in listed.split(",") if part.strip())
        force_setattr(self, "region", parts)
        super().__post_init__()
        force_setattr(self, "currency", currency_code(self.currency))
        check = Checker(None, self.currency, self.accept_unusual_prices)
        priced = [(o.name, o.per) for o in PRICE_OPTIONS if o.per and getattr(self, o.name) is not None]
        steps = [partial(check.price, getattr(self, name), name, per) for name, per in priced]
        if self.carbon_grams_per_kwh is not None:
            steps.append(partial(check.grams, self.carbon_grams_per_kwh, "carbon_grams_per_kwh"))
        gather(*steps)
        if self.carbon_series is not None and self.carbon_grams_per_kwh is not None:
            raise PricingError("expected a series or one intensity, not both", field="carbon_series")
        for name in ("embodied_minimum_kg", "embodied_maximum_kg"):
            if self.embodied_kg is None and getattr(self, name) is not None:
                raise PricingError("needs embodied_kg", field=name)
        if self.mode == "owned" and self.instance_cost_per_hour is not None:
            raise PricingError(
                "an instance price includes electricity: expected mode cloud",
                field="instance_cost_per_hour",
            )
        if self.mode == "cloud" and self.host_cost_per_hour is not None:
            raise PricingError("an amortised host is owned: expected mode owned", field="host_cost_per_hour")
        if self.host_cost_per_hour is not None and self.cpu_cost_per_hour is not None:
            raise PricingError(
                "expected a rate per CPU hour or an amortised host, not both", field="host_cost_per_hour"
            )

    @property
    def embodied(self) -> Embodied | None:
        """What making the machine emitted, where it was given."""
        if self.embodied_kg is None:
            return None
        return Embodied(
            self.embodied_kg, self.lifetime_years, self.embodied_minimum_kg, self.embodied_maximum_kg
        )


class PriceOption(NamedTuple):
    """One field of `PriceOptions` as a flag and a variable."""

    name: str
    flag: str
    env: str
    kind: Any
    """The type of its value, without limits; ``tuple`` for several texts."""
    limits: Any
    """The type with its limits."""
    default: Any
    help: str
    per: str | None

    def parse(self, text: str) -> Any:
        """The value that ``text`` stands for; a ValueError says what was expected."""
        if self.kind is tuple:
            return text
        if self.kind is Path and not expanded(text).is_file():
            raise ValueError("expected a file that exists")
        given: str | float = text
        if self.kind is float:
            with suppress(ValueError):
                given = float(text)  # ".12" too, as a command takes it
        try:
            return parse_boolean(text) if self.kind is bool else checked(given, self.limits)
        except InputError as exc:
            # whoever reads options says himself what was found
            raise ValueError(exc.problem.partition(", found ")[0]) from None


def _price_options() -> tuple[PriceOption, ...]:
    options = []
    for field in fields(PriceOptions):
        kind, *_, about = get_args(field.type)
        plain = get_args(kind)[0] if type(None) in get_args(kind) else kind
        plain = getattr(plain, "__origin__", plain)
        options.append(
            PriceOption(
                field.name,
                f"--{field.name.replace('_', '-')}",
                about.extra["env"],
                str if plain is Literal else plain,
                field.type,
                None if field.default is NODEFAULT else field.default,
                about.description,
                about.extra["per"],
            )
        )
    return tuple(options)


PRICE_OPTIONS = _price_options()


class PriceInputs(Struct, frozen=True, kw_only=True):
    """The inputs of every cost and every emission; None is unknown. Prices are in ``currency``."""

    currency: str
    mode: Mode = "owned"
    region: str = ""
    electricity: SourcedSchedule | None = None
    """Price per kWh."""
    carbon: SourcedSchedule | None = None
    """Grams of CO2e per kWh, location-based."""
    pue_ratio: float = 1.0
    pue_source: str = "default"
    cpu_per_hour: float | None = None
    """The price of one CPU for an hour."""
    machine_per_hour: float | None = None
    """The price of the whole machine for an hour: an amortised host, or a cloud instance."""
    gpu_per_hour: float | None = None
    embodied: Embodied | None = None
    functional_unit: FunctionalUnit | None = None


def checked_inputs(
    options: PriceOptions,
    regions: RegionalPricing,
    *,
    region: str | Region | None = None,
    tariff: TariffLike | None = None,
    carbon: SourcedSchedule | None = None,
    embodied: Embodied | None = None,
    energy_cost_source: str = "operator",
) -> PriceInputs:
    """Decide whose figure holds in ``region``; `advisor.CostModel` says what the others are."""
    if regions.currency != options.currency:
        problem = f"the regions are in {regions.currency}, the model in {options.currency}"
        raise PricingError(problem, field="currency")
    place = region if region is None or isinstance(region, Region) else regions.region(region)
    machine = (
        options.host_cost_per_hour
        if options.instance_cost_per_hour is None
        else options.instance_cost_per_hour
    )
    return PriceInputs(
        currency=options.currency,
        mode=options.mode,
        region=place.name if place else "",
        cpu_per_hour=options.cpu_cost_per_hour if machine is None else None,
        machine_per_hour=machine,
        gpu_per_hour=options.gpu_cost_per_hour,
        embodied=embodied or options.embodied,
        functional_unit=options.functional_unit,
        electricity=_electricity(options, energy_cost_source, tariff, place, regions),
        carbon=_carbon(options.carbon_grams_per_kwh, carbon, place),
        **_building(options.pue, place),
    )


def _electricity(
    options: PriceOptions,
    source: str,
    tariff: TariffLike | None,
    place: Region | None,
    regions: RegionalPricing,
) -> SourcedSchedule | None:
    check = Checker(None, options.currency, options.accept_unusual_prices, rates=regions.rates)
    if options.energy_cost_per_kwh is not None and tariff is not None:
        raise check.error("expected a price per kWh or a tariff, not both", "energy_cost_per_kwh")
    if options.energy_cost_per_kwh is not None:
        return SourcedSchedule(Flat(options.energy_cost_per_kwh), source, check.currency)
    if tariff is None:
        if place is None or place.price is None:
            return None
        price = converted(place.price, check.currency, regions.rates, f"region {place.name}")
        return replace(price, source=", ".join(filter(None, (price.source, price.period))))
    if isinstance(tariff, (str, os.PathLike)):
        tariff = read_tariff(tariff, check)
    elif isinstance(tariff, Mapping):
        tariff = parse_tariff(tariff, check, folder=Path(), field="tariff")
    if not isinstance(tariff, SourcedSchedule):
        if not isinstance(tariff, Schedule):
            raise check.error("expected a tariff's file, its document or a schedule", "tariff")
        tariff = SourcedSchedule(tariff, source)
    return converted(tariff, check.currency, regions.rates)


def _carbon(
    grams: float | None, given: SourcedSchedule | None, place: Region | None
) -> SourcedSchedule | None:
    if grams is not None:
        return SourcedSchedule(Flat(grams), "operator", basis="operator")
    if given is not None:
        return given if given.basis else replace(given, basis="operator")
    return None if place is None else place.carbon


def _building(pue: float | None, place: Region | None) -> dict[str, Any]:
    if pue is not None:
        return {"pue_ratio": pue, "pue_source": "operator"}
    if place is None or place.pue_ratio is None:
        return {}
    source = ", ".join(filter(None, (place.pue_basis, place.pue_year)))
    return {"pue_ratio": place.pue_ratio, "pue_source": source}


def planning_prices(prices: PriceInputs, now: float, hours: float = HOURS_PER_MONTH) -> PriceInputs:
    """Prices for comparing and for the months to come: what changes over time counts with its mean.

    What a measurement paid at its own moment says nothing of the other hours. A time-of-use plan is averaged
    over the ``hours`` from ``now`` (Unix seconds) on, a series over the last ``hours`` that it covers, its
    holes left out. The sources say of what time the means are.
    """
    electricity, carbon = (_mean(given, now, hours * 3600) for given in (prices.electricity, prices.carbon))
    if electricity is prices.electricity and carbon is prices.carbon:
        return prices
    return replace(prices, electricity=electricity, carbon=carbon)


def _mean(given: SourcedSchedule | None, now: float, longest: float) -> SourcedSchedule | None:
    if given is None or isinstance(given.schedule, Flat):
        return given
    start, end, span = now, now + longest, covered(given.schedule)
    if span is not None:
        end = span[1] if math.isfinite(span[1]) else now
        start = max(span[0], end - longest)
    pieces = list(given.schedule.pieces(start, end))
    stretches = [(until - since, value) for since, until, value in pieces if value is not None]
    seconds = sum(length for length, _ in stretches)
    if not seconds:
        return None
    mean = sum(length * value for length, value in stretches) / seconds
    about_mean = _told(seconds, end - start - seconds, end, now)
    return replace(given, schedule=Flat(mean), source=f"{given.source}; {about_mean}")


def _told(seconds: float, hole_seconds: float, end: float, now: float) -> str:
    """How long the mean is over, and how old it is.

    >>> _told(10800.0, 7200.0, 1704085200.0, 1704085200.0 + 790 * 86400)
    'mean of 3 h (2 h without a value) up to 2024-01-01 05:00 UTC, 790 days ago'
    """
    last = datetime.datetime.fromtimestamp(end, datetime.UTC)
    days = int((now - end) // 86_400)
    age = f", {days} days ago" if days > 0 else ""
    holes = f" ({hole_seconds / 3600:.4g} h without a value)" if hole_seconds > 0 else ""
    return f"mean of {seconds / 3600:.4g} h{holes} up to {last:%Y-%m-%d %H:%M} UTC{age}"
