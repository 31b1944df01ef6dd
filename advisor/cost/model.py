"""Cost and carbon of a scenario, in one of two modes that are never mixed.

``owned``: machine time (a price per CPU hour, or an amortised host per hour) plus electricity including the
building's share. ``cloud``: the instance price alone, which includes electricity; no electricity cost is
shown, but energy and carbon are.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from advisor.cost import ownership
from advisor.cost.carbon import Embodied
from advisor.cost.checks import Checker, Positive, Threads, gather, require_number
from advisor.cost.currencies import Rates
from advisor.cost.exchange_rates import read_rates
from advisor.cost.formulas import HOURS_PER_YEAR, JOULES_PER_KWH
from advisor.cost.operator_files import read_yaml
from advisor.cost.price_inputs import (
    BUILT_IN_PRICES,
    DEFAULT_CPU_COST_PER_HOUR,
    DEFAULT_ENERGY_COST_PER_KWH,
    Mode,
    PriceInputs,
    PriceOptions,
    TariffLike,
    checked_inputs,
    planning_prices,
)
from advisor.cost.regions.pricing import RegionalPricing
from advisor.cost.regions.table import Region
from advisor.cost.run_cost import with_rung_costs
from advisor.cost.scenario_cost import ScenarioCost, price_scenario
from advisor.cost.tariffs.schedule import Schedule, SourcedSchedule, flat_value
from advisor.cost.tariffs.series_files import read_series, series_paths
from advisor.cost.tariffs.tariff_files import read_tariff
from advisor.errors import PricingError
from advisor.results import Run, Scenario, as_scenario, derived

ScenarioLike = Scenario | Mapping[str, Any]


class CostModel:
    """Prices scenarios with one set of prices in one currency.

    Every method takes a scenario: an `advisor.results.Scenario`, or a mapping as in a result file. `price`
    returns all figures, with a reason for each absent one; each ``compute_*`` method returns one figure. None
    means unknown, never 0. An impossible input raises `PricingError`, which names the field.

    A scenario's optional fields that are used: ``duration`` (wall seconds), ``start_time`` (Unix
    seconds), ``power`` and ``gpu_power`` (``total_energy_joules``, ``mean_watts``), ``cpu_seconds``,
    ``samples`` (``timestamps``, ``power_watts``, ``cpu_usage_cores``) or an earlier suite's ``power_watts``,
    ``cpu_usage_cores`` and ``step_seconds``; ``resolution``, ``fps``, ``outputs`` (``resolution``, ``fps``,
    ``frames``, ``duration``, ``size_bytes``), ``streams``, ``viewers``, ``encoder_type`` (``cpu`` or ``gpu``)
    and ``status``.

    Parameters
    ----------
    energy_cost_per_kwh
        Flat electricity price; overrides the region's price. Unknown if no price is given.
    cpu_cost_per_hour
        Price of one CPU for an hour. If an owned machine's time has no price, totals are electricity only and
        ``missing`` lists ``no_rate``.
    gpu_cost_per_hour
        Price of the GPU for an hour; charged by wall time to scenarios that encode on the GPU.
    currency
        Currency of all prices and costs, three letters.
    region, regions
        Region for price, carbon intensity and PUE; ``regions`` adds your own figures.
    tariff
        Electricity price over time: a file (YAML or CSV, see docs/cost.md), its document as a mapping, or a
        schedule of `advisor.cost.tariffs.schedule`.
    carbon_grams_per_kwh
        Carbon intensity in grams of CO2e, a number or a schedule; default: the region's, else unknown.
    embodied
        Embodied carbon of the machine.
    energy_cost_source
        Label for the price's source.
    **options
        Any other field of `advisor.cost.price_inputs.PriceOptions`: ``mode``, ``instance_cost_per_hour``,
        ``host_cost_per_hour``, ``pue``, ``functional_unit``, ``accept_unusual_prices``.

    Raises
    ------
    PricingError
        A price is negative, not finite or probably in another unit; modes or units are mixed; a region is
        unknown.

    >>> model = CostModel(energy_cost_per_kwh=0.12, cpu_cost_per_hour=0.50)
    >>> scenario = {"duration": 3600, "power": {"mean_watts": 100}, "viewers": 10}
    >>> round(model.compute_energy_cost(scenario), 6), round(model.compute_total_cost(scenario), 6)
    (0.012, 0.512)
    >>> model.price(scenario).cost_per_pixel, model.price(scenario).missing
    (None, ['no_cpu_time', 'no_pixels', 'no_carbon_intensity'])
    """

    prices: PriceInputs
    _planned: tuple[float, CostModel] | None = None

    def __init__(
        self,
        energy_cost_per_kwh: float | None = None,
        cpu_cost_per_hour: float | None = None,
        gpu_cost_per_hour: float | None = None,
        currency: str = "USD",
        *,
        region: str | Region | None = None,
        regions: RegionalPricing | None = None,
        tariff: TariffLike | None = None,
        carbon_grams_per_kwh: float | Schedule | SourcedSchedule | None = None,
        embodied: Embodied | None = None,
        energy_cost_source: str = "operator",
        **options: Any,
    ) -> None:
        carbon = None
        if isinstance(carbon_grams_per_kwh, SourcedSchedule):
            carbon = carbon_grams_per_kwh
        elif isinstance(carbon_grams_per_kwh, Schedule):
            carbon = SourcedSchedule(carbon_grams_per_kwh, "operator")
        else:
            options["carbon_grams_per_kwh"] = carbon_grams_per_kwh
        given = PriceOptions(
            currency=currency,
            energy_cost_per_kwh=energy_cost_per_kwh,
            cpu_cost_per_hour=cpu_cost_per_hour,
            gpu_cost_per_hour=gpu_cost_per_hour,
            **options,
        )
        self.prices = checked_inputs(
            given,
            regions or RegionalPricing(currency=given.currency),
            region=region,
            tariff=tariff,
            carbon=carbon,
            embodied=embodied,
            energy_cost_source=energy_cost_source,
        )

    @classmethod
    def from_inputs(cls, prices: PriceInputs) -> CostModel:
        """A model with inputs that have been checked."""
        model = cls.__new__(cls)
        model.prices = prices
        return model

    def planned(self) -> CostModel:
        """The model for comparing and projecting: one mean price and intensity for all scenarios.

        The cost of a past run depends on when it ran. Which of two scenarios is cheaper, and what a month
        will cost, must not (see `advisor.cost.price_inputs`).
        """
        day = time.time() // 86_400
        if self._planned is None or self._planned[0] != day:
            prices = planning_prices(self.prices, day * 86_400)
            self._planned = day, self if prices is self.prices else CostModel.from_inputs(prices)
        return self._planned[1]

    @property
    def currency(self) -> str:
        """Currency of all returned amounts."""
        return self.prices.currency

    @property
    def mode(self) -> Mode:
        """``owned`` or ``cloud``."""
        return self.prices.mode

    @property
    def energy_cost_per_kwh(self) -> float | None:
        """Electricity price from any source; None if it is unknown or changes over time."""
        return flat_value(self.prices.electricity)

    @property
    def price_per_joule(self) -> float | None:
        """Electricity price per joule.

        >>> CostModel(energy_cost_per_kwh=0.12).price_per_joule
        3.3333333333333334e-08
        """
        price = self.energy_cost_per_kwh
        return None if price is None else price / JOULES_PER_KWH

    @property
    def cpu_cost_per_hour(self) -> float | None:
        """Price of one CPU for an hour."""
        return self.prices.cpu_per_hour

    @property
    def price_per_core_second(self) -> float | None:
        """Price of one CPU for a second."""
        price = self.cpu_cost_per_hour
        return None if price is None else price / 3600

    @property
    def gpu_cost_per_hour(self) -> float | None:
        """Price of the GPU for an hour."""
        return self.prices.gpu_per_hour

    def price(
        self,
        scenario: ScenarioLike,
        *,
        run_id: str = "",
        host_threads: int | None = None,
        viewers: float | None = None,
    ) -> ScenarioCost:
        """All figures of one scenario; ``missing`` has the reason for each absent one.

        Parameters
        ----------
        scenario
            The measured scenario.
        run_id
            The result file's stem; copied to the result.
        host_threads
            CPUs of the machine, to split a whole machine's price in the load-aware figures.
        viewers
            Number of viewers; default: the scenario's own.

        >>> model = CostModel(carbon_grams_per_kwh=50)
        >>> cost = model.price({"power": {"mean_watts": 2000}, "duration": 3600})
        >>> cost.energy_joules, cost.co2_operational_kg
        (7200000.0, 0.1)
        """
        if viewers is not None:
            viewers = require_number(viewers, field="viewers")
        if host_threads is not None:
            host_threads = int(require_number(host_threads, Threads, field="host_threads"))
        measured = as_scenario(scenario)

        def at(prices: PriceInputs) -> ScenarioCost:
            return price_scenario(measured, prices, run_id=run_id, host_threads=host_threads, viewers=viewers)

        cost, planned = at(self.prices), self.planned()
        plan = cost if planned is self else at(planned.prices)
        reasons = cost.missing_by_figure | {
            "monthly_projection": plan.missing_by_figure.get("monthly_projection")
        }
        return replace(
            cost,
            missing_by_figure={figure: codes for figure, codes in reasons.items() if codes},
            monthly_projection=plan.monthly_projection,
            planned_cost_per_stream_hour=plan.cost_per_stream_hour,
            planned_co2_per_stream_hour_kg=plan.co2_per_stream_hour_kg,
            missing=list(dict.fromkeys([*cost.missing, *plan.missing])),
        )

    def price_run(
        self, run: Run, *, viewers: float | None = None, scenarios: Sequence[Scenario] | None = None
    ) -> list[ScenarioCost]:
        """Price ``scenarios``; default: the run's published ones (`advisor.results.derived.published`)."""
        chosen = derived.published(run) if scenarios is None else scenarios
        threads = run.host.threads if run.host is not None else None
        priced = [self.price(s, run_id=run.run_id, host_threads=threads, viewers=viewers) for s in chosen]
        return with_rung_costs(chosen, priced)

    def compute_energy_cost(self, scenario: ScenarioLike) -> float | None:
        """Electricity cost including PUE, each joule at the price of its time.

        None when the scenario's energy or the price is unknown, and in the mode ``cloud``, whose rate has it
        inside.

        >>> model = CostModel(energy_cost_per_kwh=0.12)
        >>> samples = {"power_watts": [100, 150, 200, 180, 120], "step_seconds": 10, "duration": 40}
        >>> round(model.compute_energy_cost(samples), 9)
        0.000213333
        """
        return self.price(scenario).cost_energy

    def compute_compute_cost(
        self, scenario: ScenarioLike, *, load_aware: bool = False, host_threads: int | None = None
    ) -> float | None:
        """Cost of machine time: wall time or, with ``load_aware``, CPU time.

        A GPU is billed by the wall clock either way. ``host_threads``, the CPUs of the machine, are needed to
        split the price of a whole machine by CPU time. None when a quantity or a price is unknown.

        >>> CostModel(cpu_cost_per_hour=0.36).compute_compute_cost({"duration": 7200})
        0.72
        """
        cost = self.price(scenario, host_threads=host_threads)
        return cost.cost_compute_load_aware if load_aware else cost.cost_compute

    def compute_total_cost(
        self, scenario: ScenarioLike, *, load_aware: bool = False, host_threads: int | None = None
    ) -> float | None:
        """Machine plus electricity in mode owned, the instance price alone in mode cloud.

        ``load_aware`` and ``host_threads`` are as in `compute_compute_cost`. None where a part is unknown.

        >>> CostModel(mode="cloud", instance_cost_per_hour=0.68).compute_total_cost({"duration": 1800})
        0.34
        """
        cost = self.price(scenario, host_threads=host_threads)
        return cost.cost_total_load_aware if load_aware else cost.cost_total

    def compute_cost_per_pixel(self, scenario: ScenarioLike) -> float | None:
        """Total cost per delivered pixel (width x height x frames, summed over outputs and streams).

        None when the cost, the size or the number of frames is unknown.

        >>> minute = {"duration": 60, "resolution": "1920x1080", "fps": 30, "power": {"mean_watts": 100}}
        >>> f"{CostModel(0.10).compute_cost_per_pixel(minute):.3e}"
        '4.465e-14'
        """
        return self.price(scenario).cost_per_pixel

    def compute_cost_per_watch_hour(
        self, scenario: ScenarioLike, viewers: float | None = None
    ) -> float | None:
        """Total cost per hour that one viewer watches.

        ``viewers`` all see one stream's video once; else the scenario's own number. Streams are not viewers.
        None when the cost, the viewers or the length is unknown, and when nobody watched.

        >>> CostModel(mode="cloud", instance_cost_per_hour=0.01).compute_cost_per_watch_hour(
        ...     {"duration": 3600}, viewers=100
        ... )
        0.0001
        """
        return self.price(scenario, viewers=viewers).cost_per_watch_hour

    def get_tco_analysis(
        self,
        purchase_price: float,
        *,
        mean_watts: float | None = None,
        streams: float | None = None,
        scenario: ScenarioLike | None = None,
        viewers: float | None = None,
        bitrate_kbps: float | None = None,
        delivery_cost_per_gb: float | None = None,
        cloud_cost_per_hour: float | None = None,
        cloud_streams: float | None = None,
        gpu: ownership.Machine | None = None,
        faster: ScenarioLike | ownership.Preset | None = None,
        slower: ScenarioLike | ownership.Preset | None = None,
        price_per_kwh: float | None = None,
        **machine: Any,
    ) -> ownership.TcoAnalysis:
        """Total cost of ownership of a machine, with this model's electricity, PUE and carbon intensity.

        Parameters
        ----------
        purchase_price, **machine
            The machine: any field of `advisor.cost.ownership.Machine`.
        mean_watts, streams
            Power in use, and hours of video of one stream that an hour of use makes; else the scenario's.
        scenario
            A measurement that brings what is not given: watts, streams, viewers and bitrate.
        viewers, bitrate_kbps, delivery_cost_per_gb
            Delivery to so many viewers, per 10^9 bytes; counted where viewers and its cost are known.
        cloud_cost_per_hour, cloud_streams
            A cloud instance instead, and its hours of video an hour; else as many as the machine's.
        gpu
            A machine with GPUs instead.
        faster, slower
            Two ways to encode (measurements, or `advisor.cost.ownership.Preset`) on this machine, for
            the number of viewers from which the slower one pays; needs ``delivery_cost_per_gb``.
        price_per_kwh
            Price of electricity to count with; else the model's, with its mean over a year where it changes.

        Returns
        -------
        TcoAnalysis
            Parts of an hour of use, totals, shares, break-evens, and which input moves the total most.

        >>> model = CostModel(energy_cost_per_kwh=0.12)
        >>> analysis = model.get_tco_analysis(8000, mean_watts=300, utilisation_ratio=0.5)
        >>> round(analysis.total_per_hour, 4), analysis.moves_most
        (0.4926, 'lifetime_years')
        """
        if scenario is not None:
            measured = as_scenario(scenario)
            mean_watts = derived.mean_watts(measured) if mean_watts is None else mean_watts
            streams = derived.stream_hours_per_hour(measured) if streams is None else streams
            viewers = measured.viewers if viewers is None else viewers
            bitrate_kbps = derived.delivered_kbps(measured) if bitrate_kbps is None else bitrate_kbps
        if mean_watts is None:
            raise PricingError("expected the power in use, or a scenario that has it", field="mean_watts")
        streams_made = 1.0 if streams is None else streams
        owned = ownership.Machine(
            purchase_price=purchase_price, mean_watts=mean_watts, streams=streams_made, **machine
        )
        prices = planning_prices(self.prices, time.time() // 86_400 * 86_400, HOURS_PER_YEAR)
        if price_per_kwh is None and prices.electricity is not None:
            standing = prices.electricity.per_hour
            if "standing_charge_per_hour" not in machine:
                owned = replace(owned, standing_charge_per_hour=standing)
            gpu = gpu and replace(gpu, standing_charge_per_hour=standing)
        price, pue = price_per_kwh, prices.pue_ratio
        if price is None and (price := flat_value(prices.electricity)) is None:
            place = f"region {prices.region}" if prices.region else None
            problem = "no electricity price is known: give one"
            raise PricingError(problem, subject=place, field="price_per_kwh")
        presets = cloud = delivery = None
        if faster is not None and slower is not None:
            presets = ownership.preset(faster, owned, price, pue), ownership.preset(slower, owned, price, pue)
        if cloud_cost_per_hour is not None:
            made = owned.streams if cloud_streams is None else cloud_streams
            made = require_number(made, Positive, field="cloud_streams")
            cloud = require_number(cloud_cost_per_hour, field="cloud_cost_per_hour") / made
        if viewers is not None and delivery_cost_per_gb is not None:
            if bitrate_kbps is None:
                raise PricingError("needed for the cost of delivery to viewers", field="bitrate_kbps")
            delivery = ownership.Delivery(
                viewers=viewers, bitrate_kbps=bitrate_kbps, delivery_cost_per_gb=delivery_cost_per_gb
            )
        return ownership.analyse(
            owned,
            price_per_kwh=price,
            pue_ratio=pue,
            grams_per_kwh=flat_value(prices.carbon),
            delivery=delivery,
            delivery_cost_per_gb=delivery_cost_per_gb,
            cloud_per_stream_hour=cloud,
            gpu=gpu,
            presets=presets,
            currency=self.currency,
            region=self.prices.region or None,
        )


class RegionalModels(Struct, frozen=True):
    """One model per region; the first region is the main one."""

    models: tuple[CostModel, ...]
    rates: Rates | None
    files: tuple[Path, ...]
    """Everything that was read, to be watched."""

    @classmethod
    def load(cls, options: PriceOptions, *, defaults: Collection[str] = BUILT_IN_PRICES) -> RegionalModels:
        """Read the files that ``options`` name and build the models.

        Without a region, a tariff and a price, electricity costs the documented default, and its source says
        ``default``. A region brings its own price, or none. ``defaults`` are the built-in prices that there
        is a use for: in another currency than USD they need exchange rates.

        Raises
        ------
        PricingError
            The files, regions or figures that cannot be used.
        """
        rates_file, rates = options.exchange_rates, None
        check = Checker(None, options.currency, options.accept_unusual_prices)
        with contextlib.suppress(PricingError):  # said below, with all else that is wrong
            rates = read_rates(rates_file, check) if rates_file else None
        check = replace(check, rates=rates)
        steps: tuple[Callable[[], Any], ...] = (
            lambda: rates_file and rates is None and read_rates(rates_file, check),
            lambda: options.tariff and read_tariff(options.tariff, check),
            lambda: options.carbon_series and read_series([options.carbon_series], "carbon", check),
            lambda: RegionalPricing(
                options.regions_file,
                currency=options.currency,
                rates=rates,
                accept_unusual_prices=options.accept_unusual_prices,
            ),
        )
        _, tariff, carbon, regions = gather(*steps)
        places = gather(*(partial(regions.region, name) for name in options.region))
        wanted = set(defaults)
        if tariff is not None or places:
            wanted.discard("energy_cost_per_kwh")
        options, source = _with_defaults(options, rates, wanted)
        inputs = partial(
            checked_inputs, options, regions, tariff=tariff, carbon=carbon, energy_cost_source=source
        )
        asked: dict[str, str] = {}
        for name, region in zip(options.region, places, strict=True):
            if asked.setdefault(region.name, name).casefold() != name.casefold():
                both = f"{asked[region.name]} and {name} are both {region.name}"
                hint = "(a regions file gives them figures of their own)"
                raise PricingError(f"expected different regions: {both} {hint}", field="region")
        prices = gather(*(partial(inputs, region=name) for name in asked or (None,)))
        return cls(tuple(map(CostModel.from_inputs, prices)), rates, tuple(_files(options)))

    def ages_seconds(self, now: float) -> dict[str, float]:
        """How old what was read is, by input: series since their last value, rates since their day."""
        ages: dict[str, float] = {}
        for model in self.models:
            series = {"electricity_price": model.prices.electricity, "carbon_intensity": model.prices.carbon}
            for name, given in series.items():
                if given is not None and (newest := given.newest_unix_seconds) is not None:
                    ages[name] = max(now - newest, ages.get(name, -math.inf))
        return ages if self.rates is None else ages | {"exchange_rates": self.rates.age_seconds(now)}


def _with_defaults(
    options: PriceOptions, rates: Rates | None, wanted: Collection[str]
) -> tuple[PriceOptions, str]:
    """The documented prices where nothing is given, in the options' currency and with a source."""
    source = "operator"
    if options.energy_cost_per_kwh is None and "energy_cost_per_kwh" in wanted:
        price = _default(DEFAULT_ENERGY_COST_PER_KWH, "energy_cost_per_kwh", options.currency, rates)
        options, source = replace(options, energy_cost_per_kwh=price), "default"
    unpriced = options.cpu_cost_per_hour is None and options.host_cost_per_hour is None
    if unpriced and "cpu_cost_per_hour" in wanted:
        if options.mode == "owned":
            price = _default(DEFAULT_CPU_COST_PER_HOUR, "cpu_cost_per_hour", options.currency, rates)
            options = replace(options, cpu_cost_per_hour=price)
        elif options.instance_cost_per_hour is None:
            raise PricingError("mode cloud needs the price of the instance", field="instance_cost_per_hour")
    return options, source


def _default(usd: float, field: str, currency: str, rates: Rates | None) -> float:
    if currency == "USD":
        return usd
    if rates is None:
        problem = (
            f"the built-in price, {usd:g}, is in USD: give exchange rates, or your own price in {currency}"
        )
        raise PricingError(problem, field=field)
    return usd * rates.factor("USD", currency)


def _files(options: PriceOptions) -> Iterator[Path]:
    paths = (options.tariff, options.carbon_series, options.regions_file, options.exchange_rates)
    for path in filter(None, paths):
        yield path
        if path.suffix.lower() in (".yaml", ".yml"):
            for names in _series_names(read_yaml(path)[0]):
                files = series_paths(path.parent, names)
                yield from files
                if "*" in str(names):
                    # another day's file may come to lie beside them
                    yield from {file.parent for file in files}


def _series_names(document: Any) -> Iterator[str | list[str]]:
    """The files of series that a document names."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in ("series", "carbon_series"):
                yield value
            else:
                yield from _series_names(value)
