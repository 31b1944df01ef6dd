"""What a scenario costs in money and carbon, in one of two modes that are never mixed.

``owned``: the machine's time (a rate per CPU hour, or an amortised host per hour) plus the electricity of
the building. ``cloud``: the instance's rate alone, because the provider's electricity is in it; the
electricity is then not shown as money, while energy and carbon are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from advisor.cost import formulas
from advisor.cost.carbon import Embodied, FunctionalUnit
from advisor.cost.checks import amount
from advisor.cost.cost_record import Figure, Priced
from advisor.cost.formulas import JOULES_PER_KWH
from advisor.cost.ownership import CloudOffer, Machine, Preset, TcoAnalysis, analyse
from advisor.cost.ownership_inputs import delivery, flat_price, preset, streams_made, watts_in_use
from advisor.cost.power_curve import weighted_total
from advisor.cost.price_inputs import Mode, Prices, TariffLike, resolve
from advisor.cost.quantities import (
    core_seconds_used,
    energy_curve,
    is_number,
    one_unit,
    optional,
    wall_seconds,
    whole_threads,
)
from advisor.cost.regions.pricing import Region, RegionalPricing
from advisor.cost.scenario_cost import electricity_cost, machine_cost, price_scenario, time_cost, total_cost
from advisor.cost.tariffs.schedule import Flat, Schedule, flat_value
from advisor.errors import PricingError
from advisor.results import Scenario, as_scenario
from advisor.results.derived import delivered_pixels, energy, watch_hours

__all__ = ["CostModel"]

ScenarioLike = Scenario | Mapping[str, Any]


class CostModel:
    """Prices scenarios, or plain quantities, with one set of prices in one currency.

    Every method takes a scenario (`advisor.results.Scenario`, or a mapping as result files hold it) or plain
    quantities by keyword. None is unknown and never stands for 0; what cannot be is a `PricingError` (a
    ``ValueError``) that names the field. `price` gives all figures at once, each absent one with its reason.
    The same formulas on plain numbers are in `advisor.cost.formulas` and `advisor.cost.carbon`.

    Of a scenario these fields count, all of them optional: ``duration`` (wall seconds), ``start_time`` (Unix
    seconds), ``power`` and ``gpu_power`` (``total_energy_joules``, ``mean_watts``), ``cpu_seconds``,
    ``samples`` (``timestamps``, ``power_watts``, ``cpu_usage_cores``) or an earlier suite's ``power_watts``,
    ``cpu_usage_cores`` and ``step_seconds``; ``resolution``, ``fps``, ``outputs`` (``resolution``, ``fps``,
    ``frames``, ``duration``, ``size_bytes``), ``streams``, ``viewers``, ``encoder_type`` (``cpu`` or ``gpu``)
    and ``status``.

    Parameters
    ----------
    energy_cost_per_kwh
        Flat price of electricity; holds before ``tariff`` and the region's price. Unknown when none is given.
    cpu_cost_per_hour
        Price of one CPU for an hour. Without a price of any machine's time, an owned machine is taken to be
        there anyway: totals are electricity alone, and ``missing`` says ``no_rate``.
    gpu_cost_per_hour
        Price of the GPU for an hour; billed by the wall clock to scenarios that encode on the GPU.
    currency
        Of every price given and every cost returned, three letters.
    mode
        ``owned``: the machine's time plus the building's electricity. ``cloud``: the instance's rate alone,
        because its electricity is inside.
    instance_cost_per_hour, host_cost_per_hour
        Price of the whole machine for an hour instead of one CPU's: of a cloud instance, or of an owned host
        (see `advisor.cost.formulas.amortised_per_hour`).
    region, regions
        Where it ran, for price, carbon intensity and PUE; ``regions`` brings an operator's own figures.
    pue
        Power usage effectiveness, 1 to 3; else the region's, else 1. It multiplies energy once.
    tariff
        A price over time: a file (YAML or CSV, see docs/cost.md), its document as a mapping, or a schedule of
        `advisor.cost.tariffs.schedule`.
    carbon_grams_per_kwh
        Grid intensity in grams of CO2e, a number or a schedule; else the region's, else unknown. 0 is 0.
    embodied, functional_unit
        What making the machine emitted (`advisor.cost.carbon.Embodied`), and what the SCI is per:
        video_minute, watch_hour or gigapixel.
    price_per_joule, price_per_core_second
        ``energy_cost_per_kwh`` and ``cpu_cost_per_hour`` in other units.
    energy_cost_source
        What is said of where ``energy_cost_per_kwh`` is from.
    accept_unusual_prices
        Keep prices that look like a slip of the unit: above 5 USD per kWh or 1000 USD per hour.

    Raises
    ------
    PricingError
        A price that is negative, not finite or most likely in another unit; modes or units mixed; a region
        that is not known.

    >>> model = CostModel(energy_cost_per_kwh=0.12, cpu_cost_per_hour=0.50)
    >>> scenario = {"duration": 3600, "power": {"mean_watts": 100}, "viewers": 10}
    >>> round(model.compute_energy_cost(scenario), 6), round(model.compute_total_cost(scenario), 6)
    (0.012, 0.512)
    >>> model.price(scenario).cost_per_pixel, model.price(scenario).missing
    (None, ['no_cpu_time', 'no_pixels', 'no_carbon_intensity'])
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
        tariff: TariffLike | None = None,
        carbon_grams_per_kwh: float | Schedule | None = None,
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

    @property
    def energy_cost_per_kwh(self) -> float | None:
        """Price of electricity, whoever gave it; None where it is unknown or changes over time."""
        return flat_value(self.prices.electricity)

    @property
    def price_per_joule(self) -> float | None:
        """The same per joule.

        >>> CostModel(energy_cost_per_kwh=0.12).price_per_joule
        3.3333333333333334e-08
        """
        price = self.energy_cost_per_kwh
        return None if price is None else formulas.price_per_joule(price)

    @property
    def cpu_cost_per_hour(self) -> float | None:
        """Price of one CPU for an hour."""
        return self.prices.cpu_per_hour

    @property
    def price_per_core_second(self) -> float | None:
        """The same per second."""
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
    ) -> Priced:
        """Every figure of one scenario at once, each absent one with its reason in ``missing``.

        Parameters
        ----------
        scenario
            What was measured.
        run_id
            The result file's stem; only handed through.
        host_threads
            CPUs of the machine: a whole machine's price is split by them in the load-aware figures.
        viewers
            How many watch; the scenario's own number when not given.

        >>> model = CostModel(carbon_grams_per_kwh=50)
        >>> priced = model.price({"power": {"mean_watts": 2000}, "duration": 3600})
        >>> priced.energy_joules, priced.co2_operational_kg
        (7200000.0, 0.1)
        """
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
        hours: float | None = None,
        timestamps: Sequence[float] | None = None,
        step_seconds: float | None = None,
        start_time: float | None = None,
    ) -> float | None:
        """Cost of electricity, the building's share (PUE) included: each joule at the price of its moment.

        Parameters
        ----------
        scenario
            What was measured: its counters' energy, else the integral of its samples, else mean power times
            time. A number is ``energy_joules``.
        energy_joules, energy_kwh
            Energy of the equipment, in one of the two.
        power_watts
            One number, with ``duration_seconds`` or ``hours``; or samples, with ``timestamps`` (Unix seconds)
            or ``step_seconds`` between them, integrated by the trapezoid. A gap of more than twice the usual
            step is not bridged.
        start_time
            Unix seconds; needed where the price changes over time and no timestamps say when.

        Returns
        -------
        float or None
            None when the scenario's energy or the price of electricity is unknown, and in the mode ``cloud``,
            whose rate has it inside.

        >>> model = CostModel(energy_cost_per_kwh=0.12)
        >>> round(model.compute_energy_cost(power_watts=100, hours=1), 12)
        0.012
        >>> round(model.compute_energy_cost(power_watts=[100, 150, 200, 180, 120], step_seconds=10), 9)
        0.000213333
        """
        if scenario is not None and not is_number(scenario):
            known = as_scenario(scenario)
            if self.mode == "cloud":
                return None
            return electricity_cost(known, energy(known), self.prices).value
        schedule = self.prices.electricity if self.mode == "owned" else None
        curve = energy_curve(
            energy_joules if scenario is None else amount(scenario, field="energy_joules"),
            energy_kwh,
            power_watts,
            wall_seconds(duration_seconds, hours),
            timestamps,
            step_seconds,
            start_time,
        )
        if schedule is None:
            return None
        if isinstance(schedule, Flat):
            return formulas.energy_cost(curve.total(), schedule.value, self.prices.pue_ratio)
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
        """Cost of the machine's time: by the wall clock, or by the CPU time used.

        Parameters
        ----------
        scenario
            What was measured.
        load_aware
            Of a scenario: CPU time used in place of wall time. A GPU is billed by the wall clock either way.
        host_threads
            CPUs of the machine: needed to split the price of a whole machine by CPU time.
        duration_seconds, hours
            Wall time, in one of the two.
        core_seconds, cpu_usage_cores
            CPU time, which then counts in place of wall time: as such, or as samples of cores in use with
            ``timestamps`` (seconds) or ``step_seconds``, integrated by the trapezoid.
        gpu_hours
            Hours of the GPU beside it.

        Returns
        -------
        float or None
            None when a quantity or a price is unknown.

        >>> model = CostModel(cpu_cost_per_hour=0.36)
        >>> model.compute_compute_cost(hours=2)
        0.72
        >>> round(model.compute_compute_cost(cpu_usage_cores=[2, 2.5, 3, 2.8, 2.2], step_seconds=10), 6)
        0.0104
        """
        host_threads = whole_threads(host_threads)
        if scenario is not None:
            known = as_scenario(scenario)
            return machine_cost(known, self.prices, load_aware=load_aware, host_threads=host_threads).value
        seconds = wall_seconds(duration_seconds, hours)
        busy = core_seconds_used(core_seconds, cpu_usage_cores, timestamps, step_seconds)
        gpu_hours = optional(gpu_hours, "gpu_hours")
        if (seconds, busy, gpu_hours) == (None, None, None):
            raise PricingError(
                "expected duration_seconds, hours, core_seconds, cpu_usage_cores or gpu_hours", field="hours"
            )
        return time_cost(self.prices, seconds, busy, gpu_hours, host_threads)

    def compute_total_cost(
        self,
        scenario: ScenarioLike | None = None,
        *,
        load_aware: bool = False,
        host_threads: int | None = None,
        cost_energy: float | None = None,
        cost_compute: float | None = None,
        energy_joules: float | None = None,
        energy_kwh: float | None = None,
        power_watts: float | Sequence[float | None] | None = None,
        duration_seconds: float | None = None,
        hours: float | None = None,
        core_seconds: float | None = None,
        cpu_usage_cores: Sequence[float | None] | None = None,
        timestamps: Sequence[float] | None = None,
        step_seconds: float | None = None,
        start_time: float | None = None,
        gpu_hours: float | None = None,
    ) -> float | None:
        """Machine plus electricity where the machine is owned, the machine's rate alone in the cloud.

        Parameters
        ----------
        scenario
            What was measured.
        load_aware, host_threads
            As in `compute_compute_cost`.
        cost_energy, cost_compute
            The two parts, where they are known already.
        energy_joules, energy_kwh, power_watts, start_time
            As in `compute_energy_cost`.
        duration_seconds, hours, core_seconds, cpu_usage_cores, gpu_hours
            As in `compute_compute_cost`.
        timestamps, step_seconds
            Of all samples given.

        Returns
        -------
        float or None
            None as soon as a part is unknown.

        >>> model = CostModel(energy_cost_per_kwh=0.12, cpu_cost_per_hour=0.50)
        >>> round(model.compute_total_cost(power_watts=100, hours=1), 6)
        0.512
        >>> CostModel(mode="cloud", instance_cost_per_hour=0.68).compute_total_cost(duration_seconds=1800)
        0.34
        """
        host_threads = whole_threads(host_threads)
        if scenario is not None:
            known = as_scenario(scenario)
            if known.status != "ok":
                return None
            electricity = electricity_cost(known, energy(known), self.prices)
            compute = machine_cost(known, self.prices, load_aware=load_aware, host_threads=host_threads)
            return total_cost(electricity, compute, self.prices).value
        seconds = wall_seconds(duration_seconds, hours)
        cost_energy = optional(cost_energy, "cost_energy", minimum=-math.inf)
        cost_compute = optional(cost_compute, "cost_compute", minimum=-math.inf)
        if cost_compute is None:
            busy = core_seconds_used(core_seconds, cpu_usage_cores, timestamps, step_seconds)
            gpu_hours = optional(gpu_hours, "gpu_hours")
            cost_compute = time_cost(self.prices, seconds, busy, gpu_hours, host_threads)
        given = (energy_joules, energy_kwh, power_watts)
        if cost_energy is None and any(quantity is not None for quantity in given):
            cost_energy = self.compute_energy_cost(
                energy_joules=energy_joules,
                energy_kwh=energy_kwh,
                power_watts=power_watts,
                duration_seconds=seconds,
                timestamps=timestamps,
                step_seconds=step_seconds,
                start_time=start_time,
            )
        return total_cost(Figure(cost_energy), Figure(cost_compute), self.prices).value

    def compute_cost_per_pixel(
        self,
        scenario: ScenarioLike | float | None = None,
        pixels: float | None = None,
        *,
        cost: float | None = None,
        load_aware: bool = False,
    ) -> float | None:
        """Cost over pixels delivered, exact however small it is.

        Parameters
        ----------
        scenario
            What was measured. A number is ``cost``.
        pixels
            Pixels delivered; else width x height x frames of every output of every stream of the scenario.
        cost
            What it cost, in the model's currency; else the scenario's total.
        load_aware
            As in `compute_compute_cost`.

        Returns
        -------
        float or None
            None when the cost, the size or the number of frames is unknown.

        >>> CostModel().compute_cost_per_pixel(cost=0.5, pixels=1e9)
        5e-10
        """
        spent, known = self._spent(scenario, cost, load_aware)
        if pixels is None and known is not None:
            pixels = delivered_pixels(known)
        return None if spent is None or pixels is None else formulas.cost_per_pixel(spent, pixels)

    def compute_cost_per_watch_hour(
        self,
        scenario: ScenarioLike | float | None = None,
        viewers: float | None = None,
        hours: float | None = None,
        *,
        duration_seconds: float | None = None,
        cost: float | None = None,
        load_aware: bool = False,
        delivery_cost_per_viewer_hour: float = 0.0,
    ) -> float | None:
        """Cost for an hour that one viewer watches.

        Parameters
        ----------
        scenario
            What was measured. A number is ``cost``.
        viewers
            How many watch all of it; else the scenario's own number. Streams are not viewers.
        hours, duration_seconds
            Length of the video that each of them sees; else that of one stream of the scenario.
        cost
            What it cost, in the model's currency; else the scenario's total.
        load_aware
            As in `compute_compute_cost`.
        delivery_cost_per_viewer_hour
            What sending an hour to one viewer costs.

        Returns
        -------
        float or None
            None when the cost, the viewers or the length is unknown, and when nobody watched.

        >>> CostModel().compute_cost_per_watch_hour(cost=0.01, viewers=100, hours=1)
        0.0001
        """
        spent, known = self._spent(scenario, cost, load_aware)
        seconds = wall_seconds(duration_seconds, hours)
        if known is not None:
            viewers = known.viewers if viewers is None else viewers
            watched = watch_hours(known, 1)
            seconds = seconds if seconds is not None or watched is None else watched * 3600
        if spent is None or viewers is None or seconds is None or amount(viewers, field="viewers") == 0:
            return None
        return formulas.cost_per_watch_hour(spent, viewers, seconds / 3600, delivery_cost_per_viewer_hour)

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

        Parameters
        ----------
        purchase_price, residual_value
            What it costs, and what it is sold for in the end.
        lifetime_years, utilisation_ratio
            How long it is kept, and hours of use over hours of life, above 0 and up to 1.
        mean_watts, idle_watts
            Power in use (else the scenario's) and out of use; 0 is switched off.
        maintenance_per_year
            Money a year, whether used or not.
        streams
            Hours of video of one stream that an hour of use makes; else the scenario's, else 1.
        embodied_kg
            CO2e of making it.
        scenario
            A measurement that brings what is not given: watts, streams, viewers and bitrate.
        viewers, bitrate_kbps, delivery_cost_per_gb
            Delivery to so many viewers, per 10^9 bytes; counted where viewers and its cost are known.
        cloud_cost_per_hour, cloud_streams
            A cloud instance instead, and its hours of video an hour; else as many as the machine's.
        gpu
            A machine with GPUs instead (`advisor.cost.ownership.Machine`).
        faster, slower
            Two ways to encode (measurements, or `advisor.cost.ownership.Preset`) on this machine, for
            the number of viewers from which the slower one pays; needs ``delivery_cost_per_gb``.
        price_per_kwh
            Price of electricity to count with; needed where the model's changes over time.

        Returns
        -------
        TcoAnalysis
            Parts of an hour of use, totals, shares, break-evens, and which input moves the total most.

        >>> model = CostModel(energy_cost_per_kwh=0.12)
        >>> analysis = model.get_tco_analysis(8000, mean_watts=300, utilisation_ratio=0.5)
        >>> round(analysis.total_per_hour, 4), analysis.moves_most
        (0.4926, 'lifetime_years')
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
        price, pue, presets = flat_price(self.prices, price_per_kwh), self.prices.pue_ratio, None
        if faster is not None and slower is not None:
            presets = preset(faster, machine, price, pue), preset(slower, machine, price, pue)
        return analyse(
            machine,
            price_per_kwh=price,
            pue_ratio=pue,
            grams_per_kwh=flat_value(self.prices.carbon),
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

    def _spent(
        self, scenario: ScenarioLike | float | None, cost: float | None, load_aware: bool
    ) -> tuple[float | None, Scenario | None]:
        """What it cost, and the scenario where one was given."""
        if scenario is None or is_number(scenario):
            return cost if scenario is None else amount(scenario, field="cost", minimum=-math.inf), None
        known = as_scenario(scenario)
        return self.compute_total_cost(known, load_aware=load_aware) if cost is None else cost, known
