"""What a scenario costs in money and carbon, in one of two modes that are never mixed.

``owned``: the machine's time (a rate per CPU hour, or an amortised host per hour) plus the electricity of
the building. ``cloud``: the instance's rate alone, because the provider's electricity is in it; the
electricity is then not shown as money, while energy and carbon are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from advisor import money
from advisor.carbon import Embodied, FunctionalUnit
from advisor.errors import PricingError
from advisor.loadcurve import weighted_total
from advisor.metered import as_scenario, metered, watch_hours
from advisor.money import JOULES_PER_KWH
from advisor.priced import Priced
from advisor.prices import Mode, Prices, resolve
from advisor.pricing import electricity_cost, machine_cost, price_scenario
from advisor.quantities import energy_curve, one_unit, sum_known
from advisor.regions import Region, RegionalPricing
from advisor.results import Scenario
from advisor.scenario import delivered_pixels
from advisor.tariff import Flat, Schedule
from advisor.tariff_file import Tariff
from advisor.tco import CloudOffer, Machine, Preset, TcoAnalysis, analyse
from advisor.tco_inputs import delivery, flat_price, preset, streams_made, watts_in_use

__all__ = ["CostModel"]

ScenarioLike = Scenario | Mapping[str, Any]


class CostModel:
    """Prices scenarios, or plain quantities, with one set of prices in one currency.

    Parameters
    ----------
    energy_cost_per_kwh
        Flat price of electricity; holds before ``tariff`` and the region's price. Unknown when none is given.
    cpu_cost_per_hour
        Price of one CPU for an hour.
    gpu_cost_per_hour
        Price of the GPU for an hour; billed by the wall clock to scenarios that encode on the GPU.
    currency
        Of every price given and every cost returned.
    mode
        ``owned``: machine plus electricity; ``cloud``: the rate alone.
    instance_cost_per_hour, host_cost_per_hour
        Price of the whole machine for an hour instead of one CPU's: of a cloud instance, or of an owned host
        (see `advisor.money.amortised_per_hour`).
    region, regions
        Where it ran, for price, carbon intensity and PUE; ``regions`` brings an operator's own figures.
    pue
        Power usage effectiveness, 1 or more; else the region's, else 1.
    tariff
        A price over time (`advisor.tariff_file.read_tariff`).
    carbon_grams_per_kwh
        Intensity of the grid; else the region's, else unknown. 0 is 0.
    embodied, functional_unit
        What making the machine emitted, and what the SCI is per.
    price_per_joule, price_per_core_second
        ``energy_cost_per_kwh`` and ``cpu_cost_per_hour`` in other units.

    Raises
    ------
    PricingError
        A price that is negative, not finite or most likely in another unit; modes or units mixed.

    >>> model = CostModel(energy_cost_per_kwh=0.12, cpu_cost_per_hour=0.50)
    >>> round(model.compute_total_cost({"duration": 3600, "power": {"mean_watts": 100}}), 6)
    0.512
    """

    def __init__(
        self,
        energy_cost_per_kwh: float | None = None,
        cpu_cost_per_hour: float | None = None,
        gpu_cost_per_hour: float | None = None,
        currency: str = "USD",
        *,
        mode: Mode = "owned",
        instance_cost_per_hour: float | None = None,
        host_cost_per_hour: float | None = None,
        region: str | Region | None = None,
        regions: RegionalPricing | None = None,
        pue: float | None = None,
        tariff: Tariff | Schedule | None = None,
        carbon_grams_per_kwh: float | None = None,
        embodied: Embodied | None = None,
        functional_unit: FunctionalUnit | None = None,
        price_per_joule: float | None = None,
        price_per_core_second: float | None = None,
        energy_cost_source: str = "operator",
        accept_unusual_prices: bool = False,
    ) -> None:
        self.prices: Prices = resolve(
            currency=currency,
            mode=mode,
            energy_cost_per_kwh=one_unit(
                energy_cost_per_kwh, price_per_joule, JOULES_PER_KWH, "energy_cost_per_kwh", "price_per_joule"
            ),
            energy_cost_source=energy_cost_source,
            tariff=tariff,
            region=region,
            regions=regions,
            pue=pue,
            carbon_grams_per_kwh=carbon_grams_per_kwh,
            cpu_cost_per_hour=one_unit(
                cpu_cost_per_hour, price_per_core_second, 3600, "cpu_cost_per_hour", "price_per_core_second"
            ),
            gpu_cost_per_hour=gpu_cost_per_hour,
            instance_cost_per_hour=instance_cost_per_hour,
            host_cost_per_hour=host_cost_per_hour,
            embodied=embodied,
            functional_unit=functional_unit,
            accept_unusual_prices=accept_unusual_prices,
        )

    @property
    def currency(self) -> str:
        """The currency of everything that this model returns."""
        return self.prices.currency

    @property
    def mode(self) -> Mode:
        """``owned`` or ``cloud``."""
        return self.prices.mode

    def price(
        self,
        scenario: ScenarioLike,
        *,
        run_id: str = "",
        host_threads: int | None = None,
        viewers: float | None = None,
    ) -> Priced:
        """Every figure of one scenario at once, each absent one with its reason."""
        return price_scenario(
            as_scenario(scenario), self.prices, run_id=run_id, host_threads=host_threads, viewers=viewers
        )

    def compute_energy_cost(
        self,
        scenario: ScenarioLike | float | None = None,
        *,
        energy_joules: float | None = None,
        energy_kwh: float | None = None,
        power_watts: float | Sequence[float | None] | None = None,
        duration_seconds: float | None = None,
        timestamps: Sequence[float] | None = None,
        step_seconds: float | None = None,
        start_time: float | None = None,
    ) -> float | None:
        """Cost of electricity, the building's share (PUE) included; of a scenario, or of plain quantities.

        Energy is ``energy_joules`` (also as the first argument), ``energy_kwh``, ``power_watts`` over
        ``duration_seconds``, or samples of ``power_watts`` at ``timestamps`` (Unix seconds) or every
        ``step_seconds``. ``start_time`` (Unix seconds) is needed where the price changes over time and no
        timestamps say when. None: the scenario's energy, or the price of electricity, is unknown.

        >>> round(CostModel(energy_cost_per_kwh=0.12).compute_energy_cost(energy_joules=360_000), 12)
        0.012
        """
        if scenario is not None and not isinstance(scenario, (int, float)):
            known = as_scenario(scenario)
            return electricity_cost(known, metered(known), self.prices).value
        schedule = self.prices.electricity
        if schedule is None:
            return None
        curve = energy_curve(
            scenario if energy_joules is None else energy_joules,
            energy_kwh,
            power_watts,
            duration_seconds,
            timestamps,
            step_seconds,
            start_time,
        )
        if isinstance(schedule, Flat):
            return money.energy_cost(curve.total(), schedule.value, self.prices.pue_ratio)
        if timestamps is None and start_time is None:
            raise PricingError("the price changes over time: say when", field="start_time")
        total = weighted_total(curve.totals_by_value(schedule))
        return None if total is None else total * self.prices.pue_ratio / JOULES_PER_KWH

    def compute_compute_cost(
        self,
        scenario: ScenarioLike | None = None,
        *,
        load_aware: bool = False,
        host_threads: int | None = None,
        duration_seconds: float | None = None,
        hours: float | None = None,
        core_seconds: float | None = None,
        cpu_usage_cores: Sequence[float | None] | None = None,
        timestamps: Sequence[float] | None = None,
        step_seconds: float | None = None,
        gpu_hours: float | None = None,
    ) -> float | None:
        """Cost of the machine's time: wall hours, or with ``load_aware`` the CPU time used.

        Plain quantities: ``duration_seconds`` or ``hours`` of wall time; ``core_seconds``, or samples of
        ``cpu_usage_cores`` at ``timestamps`` or every ``step_seconds``, for CPU time; ``gpu_hours`` beside
        them. ``host_threads`` splits the price of a whole machine. None: a quantity or a price is unknown.

        >>> model = CostModel(cpu_cost_per_hour=0.36)
        >>> round(model.compute_compute_cost(cpu_usage_cores=[2, 2.5, 3, 2.8, 2.2], step_seconds=10), 6)
        0.0104
        """
        if cpu_usage_cores is not None:
            curve = money.integrate(cpu_usage_cores, timestamps=timestamps, step_seconds=step_seconds)
            core_seconds = curve.total()
        if scenario is not None:
            known = as_scenario(scenario)
            return machine_cost(known, self.prices, load_aware=load_aware, host_threads=host_threads).value
        if hours is None and duration_seconds is not None:
            hours = duration_seconds / 3600
        prices, parts = self.prices, []
        if core_seconds is not None:
            rate = prices.cpu_per_hour
            if prices.machine_per_hour is not None:
                rate = prices.machine_per_hour / host_threads if host_threads else None
            parts.append(None if rate is None else money.core_seconds_cost(core_seconds, rate))
        elif hours is not None:
            rate = prices.cpu_per_hour if prices.machine_per_hour is None else prices.machine_per_hour
            parts.append(None if rate is None else money.time_cost(hours, rate))
        if gpu_hours is not None:
            rate = prices.gpu_per_hour
            parts.append(None if rate is None else money.time_cost(gpu_hours, rate))
        if not parts:
            raise PricingError("expected duration_seconds, hours, core_seconds or gpu_hours", field="hours")
        return sum_known(parts)

    def compute_total_cost(
        self,
        scenario: ScenarioLike | None = None,
        *,
        load_aware: bool = False,
        host_threads: int | None = None,
        cost_energy: float | None = None,
        cost_compute: float | None = None,
        energy_joules: float | None = None,
        duration_seconds: float | None = None,
        core_seconds: float | None = None,
        gpu_hours: float | None = None,
    ) -> float | None:
        """Machine plus electricity where the machine is owned, the machine's rate alone in the cloud.

        Of a scenario; or of ``cost_energy`` and ``cost_compute``; or of quantities as the two methods above
        take them. None as soon as a part is unknown.

        >>> CostModel(mode="cloud", instance_cost_per_hour=0.68).compute_total_cost(duration_seconds=1800)
        0.34
        """
        if scenario is not None:
            priced = self.price(scenario, host_threads=host_threads)
            return priced.cost_total_load_aware if load_aware else priced.cost_total
        if cost_compute is None and (duration_seconds, core_seconds, gpu_hours) != (None, None, None):
            cost_compute = self.compute_compute_cost(
                duration_seconds=duration_seconds,
                core_seconds=core_seconds,
                gpu_hours=gpu_hours,
                host_threads=host_threads,
            )
        if self.mode == "cloud":
            return cost_compute
        if cost_energy is None and energy_joules is not None:
            cost_energy = self.compute_energy_cost(energy_joules=energy_joules)
        return sum_known([cost_energy, cost_compute])

    def compute_cost_per_pixel(
        self,
        scenario: ScenarioLike | float | None = None,
        pixels: float | None = None,
        *,
        cost: float | None = None,
        load_aware: bool = False,
    ) -> float | None:
        """Cost over pixels delivered (width x height x frames of every output of every stream).

        Of a scenario, or of a ``cost`` (also as the first argument) and ``pixels``.

        >>> CostModel().compute_cost_per_pixel(cost=0.5, pixels=1e9)
        5e-10
        """
        cost = self._cost(scenario, cost, load_aware)
        if pixels is None and scenario is not None and not isinstance(scenario, (int, float)):
            pixels = delivered_pixels(as_scenario(scenario))
        return None if cost is None or pixels is None else money.cost_per_pixel(cost, pixels)

    def compute_cost_per_watch_hour(
        self,
        scenario: ScenarioLike | float | None = None,
        viewers: float | None = None,
        hours: float | None = None,
        *,
        cost: float | None = None,
        load_aware: bool = False,
        delivery_cost_per_viewer_hour: float = 0.0,
    ) -> float | None:
        """Cost for an hour that one viewer watches.

        Of a scenario and its ``viewers`` (its own number when none is given; streams are not viewers), or of
        a ``cost`` (also as the first argument), ``viewers`` and ``hours`` of video.

        >>> CostModel().compute_cost_per_watch_hour(cost=0.01, viewers=100, hours=1)
        0.0001
        """
        cost = self._cost(scenario, cost, load_aware)
        if scenario is not None and not isinstance(scenario, (int, float)):
            known = as_scenario(scenario)
            viewers = known.viewers if viewers is None else viewers
            hours = watch_hours(known, 1) if hours is None else hours
        if cost is None or viewers is None or hours is None:
            return None
        return money.cost_per_watch_hour(cost, viewers, hours, delivery_cost_per_viewer_hour)

    def get_tco_analysis(
        self,
        purchase_price: float,
        *,
        residual_value: float = 0.0,
        lifetime_years: float = 4.0,
        utilisation_ratio: float = 1.0,
        mean_watts: float | None = None,
        idle_watts: float = 0.0,
        maintenance_per_year: float = 0.0,
        streams: float | None = None,
        embodied_kg: float | None = None,
        scenario: ScenarioLike | None = None,
        viewers: float | None = None,
        bitrate_kbps: float | None = None,
        delivery_cost_per_gb: float | None = None,
        cloud_cost_per_hour: float | None = None,
        cloud_streams: float | None = None,
        gpu: Machine | None = None,
        faster: ScenarioLike | Preset | None = None,
        slower: ScenarioLike | Preset | None = None,
        price_per_kwh: float | None = None,
    ) -> TcoAnalysis:
        """Total cost of ownership of a machine, with this model's electricity, PUE and carbon intensity.

        ``scenario`` brings what is not given: mean watts, streams (hours of video that an hour of use makes),
        viewers and bitrate. Delivery is counted when ``viewers`` and ``delivery_cost_per_gb`` are known.
        ``cloud_...`` and ``gpu`` are alternatives that break-evens are worked out against; ``cloud_streams``
        is as many as the machine's when not given. ``faster`` and ``slower`` are two presets, whose
        break-even needs the cost of delivery. ``price_per_kwh`` is needed where the price changes over time.

        >>> model = CostModel(energy_cost_per_kwh=0.12)
        >>> round(model.get_tco_analysis(8000, mean_watts=300, utilisation_ratio=0.5).total_per_hour, 4)
        0.4926
        """
        known = None if scenario is None else as_scenario(scenario)
        machine = Machine(
            purchase_price=purchase_price,
            residual_value=residual_value,
            lifetime_years=lifetime_years,
            utilisation_ratio=utilisation_ratio,
            mean_watts=watts_in_use(known, mean_watts),
            idle_watts=idle_watts,
            maintenance_per_year=maintenance_per_year,
            streams=streams_made(known, streams),
            embodied_kg=embodied_kg,
        )
        carbon, presets = self.prices.carbon, None
        if faster is not None and slower is not None:
            presets = preset(faster, self.prices), preset(slower, self.prices)
        return analyse(
            machine,
            price_per_kwh=flat_price(self.prices, price_per_kwh),
            pue_ratio=self.prices.pue_ratio,
            grams_per_kwh=carbon.value if isinstance(carbon, Flat) else None,
            delivery=delivery(known, viewers, bitrate_kbps, delivery_cost_per_gb),
            delivery_cost_per_gb=delivery_cost_per_gb,
            cloud=None
            if cloud_cost_per_hour is None
            else CloudOffer(cost_per_hour=cloud_cost_per_hour, streams=cloud_streams or machine.streams),
            gpu=gpu,
            presets=presets,
            currency=self.currency,
            region=self.prices.region or None,
        )

    def _cost(
        self, scenario: ScenarioLike | float | None, cost: float | None, load_aware: bool
    ) -> float | None:
        if isinstance(scenario, (int, float)):
            return float(scenario)
        return cost if scenario is None else self.compute_total_cost(scenario, load_aware=load_aware)
