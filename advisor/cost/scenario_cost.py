"""Pricing one scenario: every figure from what it consumed and the prices, or the reason why it is absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from advisor.cost.carbon import sci_grams_per_unit
from advisor.cost.formulas import HOURS_PER_MONTH, JOULES_PER_KWH
from advisor.cost.power_curve import load_curve, weighted_total
from advisor.cost.price_inputs import PriceInputs
from advisor.cost.tariffs.schedule import Flat, SourcedSchedule, flat_value
from advisor.results import Scenario, derived
from advisor.results.records import stream_count

REASONS = {
    "malformed": "its entry in the result file is not readable",
    "failed": "the scenario did not finish",
    "no_energy": "neither energy nor power was measured",
    "no_gpu_energy": "the GPU's energy was not measured: only the CPU's is counted",
    "sample_gaps": "the samples have gaps, and energy in the gaps is not counted",
    "no_duration": "its duration is unknown",
    "zero_duration": "its duration is 0",
    "no_price": "no electricity price is known for the region: give one",
    "no_start_time": "the price changes over time, and the time of the scenario is unknown",
    "outside_tariff": "the tariff does not cover the time at which it ran",
    "no_rate": "no price of machine time was given: the total is electricity alone",
    "no_gpu_rate": "no price of GPU time was given",
    "no_cpu_time": "CPU time was not measured",
    "no_host_threads": "the machine's number of CPUs is unknown, so its price cannot be split by use",
    "no_carbon_intensity": "no carbon intensity is known: name a region or give one",
    "outside_carbon_series": "the carbon series does not cover the time at which it ran",
    "no_pixels": "the size or number of delivered frames is unknown",
    "no_viewers": "the number of viewers is unknown",
    "zero_viewers": "the number of viewers is 0",
    "no_video_time": "the length of the video made is unknown",
    "no_embodied": "the machine's embodied carbon was not given",
}
"""Why a figure is absent (or, for gaps and GPUs, too small), by code."""

UNPRICED_REASONS = (
    *("failed", "malformed", "no_duration", "no_energy", "no_gpu_rate", "no_price"),
    *("no_rate", "no_start_time", "outside_tariff", "zero_duration"),
)
"""Those for which a scenario has no total cost."""


class ValueOrReasons(NamedTuple):
    """A number, or the codes of why there is none."""

    value: float | None
    reasons: tuple[str, ...] = ()

    def times(self, factor: float | None, reason: str) -> ValueOrReasons:
        """Times ``factor``; the reason is for where that is unknown."""
        if self.value is None:
            return self
        return ValueOrReasons(None, (reason,)) if factor is None else ValueOrReasons(self.value * factor)


class PricesUsed(Struct, frozen=True, kw_only=True):
    """What a scenario was priced with. A price that changed meanwhile is the mean that was paid."""

    electricity_price_per_kwh: float | None
    price_source: str | None
    carbon_grams_per_kwh: float | None
    carbon_basis: str | None
    carbon_year: str | None
    carbon_source: str | None
    pue: float
    pue_source: str
    cpu_cost_per_hour: float | None
    machine_cost_per_hour: float | None
    gpu_cost_per_hour: float | None


class ScenarioCost(Struct, frozen=True, kw_only=True):
    """One scenario in one region; money in ``currency``, None for unknown with its reason in ``missing``."""

    run_id: str
    scenario: str
    region: str | None
    currency: str
    mode: str
    energy_joules: float | None = None
    facility_energy_joules: float | None = None
    energy_tier: str | None = None
    energy_basis: str | None = None
    energy_uncertainty_ratio: float | None = None
    """Half-width of a modelled source's own uncertainty over its figure."""
    cost_energy: float | None = None
    cost_compute: float | None = None
    cost_gpu: float | None = None
    """The part of ``cost_compute`` that is the GPU's time."""
    cost_total: float | None = None
    cost_energy_load_aware: float | None = None
    cost_compute_load_aware: float | None = None
    cost_total_load_aware: float | None = None
    cost_per_pixel: float | None = None
    cost_per_watch_hour: float | None = None
    cost_per_stream: float | None = None
    cost_per_stream_hour: float | None = None
    """Per hour of video of one stream."""
    facility_kwh_per_stream_hour: float | None = None
    cost_by_rung: dict[str, float] = {}
    """What each rung of a ladder adds, where the run also measured the ladder without it."""
    cost_shared_by_rungs: float | None = None
    rate_per_hour: float | None = None
    monthly_projection: float | None = None
    co2_operational_kg: float | None = None
    co2_embodied_kg: float | None = None
    co2_embodied_minimum_kg: float | None = None
    co2_embodied_maximum_kg: float | None = None
    co2_per_stream_hour_kg: float | None = None
    planned_cost_per_stream_hour: float | None = None
    """At one mean price for all, as is ``monthly_projection``: for comparing and projecting."""
    planned_co2_per_stream_hour_kg: float | None = None
    functional_unit: str | None = None
    sci_grams_per_unit: float | None = None
    inputs: PricesUsed
    validity: list[str] = []
    """Why the measurement should not be trusted; it is priced all the same."""
    missing: list[str] = []
    missing_by_figure: dict[str, list[str]] = {}
    """The reasons of each figure that is absent."""
    unpriced: list[str] = []
    """The reasons among ``missing`` for which ``cost_total`` is absent."""


class _Work(Struct, frozen=True):
    scenario: Scenario
    prices: PriceInputs
    used: derived.EnergyUsed | None
    hours: ValueOrReasons
    """Wall hours."""
    stream_hours: float | None
    """Hours of video over all streams."""
    host_threads: int | None
    viewers: float | None

    def of_video(self, figure: ValueOrReasons, amount: float | None, unknown: str) -> ValueOrReasons:
        """``figure`` over an amount of video. An idle run makes none: that is no reason for anything."""
        if self.scenario.type == "baseline":
            return ValueOrReasons(None)
        return figure.times(1 / amount if amount else None, unknown)

    def per_stream_hour(self, figure: ValueOrReasons) -> ValueOrReasons:
        """``figure`` over the hours of video of all streams."""
        return self.of_video(figure, self.stream_hours, "no_video_time")


def price_scenario(
    scenario: Scenario,
    prices: PriceInputs,
    *,
    run_id: str = "",
    host_threads: int | None = None,
    viewers: float | None = None,
) -> ScenarioCost:
    """Price one scenario.

    Parameters
    ----------
    host_threads
        CPUs of the machine; a whole machine's price is split by them in the load-aware figures.
    viewers
        How many watch; the scenario's own number where this is None.
    """
    used = derived.energy(scenario)
    video = derived.output_seconds(scenario)
    work = _Work(
        scenario,
        prices,
        used,
        _hours(scenario),
        video / 3600 if video else None,
        host_threads,
        scenario.viewers if viewers is None else viewers,
    )
    finished = scenario.status == "ok"
    figures = {"cost_total": ValueOrReasons(None, ("failed",))}
    if finished:
        figures = {**_money(work), **_carbon(work)}
    reasons = [reason for figure in figures.values() for reason in figure.reasons]
    joules = used.joules if used is not None else None
    priced = ScenarioCost(
        run_id=run_id,
        scenario=scenario.name,
        region=prices.region or None,
        currency=prices.currency,
        mode=prices.mode,
        energy_joules=joules,
        facility_energy_joules=None if joules is None else joules * prices.pue_ratio,
        energy_tier=used.tier if used is not None else None,
        energy_basis=used.basis if used is not None else None,
        energy_uncertainty_ratio=used.uncertainty_ratio if used is not None else None,
        functional_unit=prices.functional_unit,
        inputs=_inputs(work, figures),
        validity=scenario.validity,
        missing=list(dict.fromkeys([*reasons, *(_too_small(work) if finished else ())])),
        missing_by_figure={n: list(f.reasons) for n, f in figures.items() if f.value is None and f.reasons},
        unpriced=list(figures["cost_total"].reasons),
    )
    return replace(priced, **{name: figure.value for name, figure in figures.items()})


def _hours(scenario: Scenario) -> ValueOrReasons:
    seconds = derived.duration_seconds(scenario)
    if seconds is None:
        return ValueOrReasons(None, ("no_duration",))
    return ValueOrReasons(seconds / 3600) if seconds > 0 else ValueOrReasons(None, ("zero_duration",))


def _money(work: _Work) -> dict[str, ValueOrReasons]:
    scenario, prices, hours = work.scenario, work.prices, work.hours
    compute = _machine_cost(work)
    by_load = _machine_cost(work, load_aware=True)
    energy = ValueOrReasons(None)
    if prices.mode == "owned":
        energy = _over_time(work, prices.electricity, "no_price", "outside_tariff")
    total, total_by_load = (_total_cost(energy, part, prices) for part in (compute, by_load))
    rate = total.times(1 / hours.value if hours.value else None, "no_duration")
    return {
        "cost_total": total,
        "cost_energy": energy,
        "cost_compute": compute,
        "cost_gpu": _gpu_cost(work) if scenario.encoder_type == "gpu" else ValueOrReasons(None),
        "cost_energy_load_aware": energy,
        "cost_compute_load_aware": by_load,
        "cost_total_load_aware": total_by_load,
        "cost_per_pixel": work.of_video(total, derived.delivered_pixels(scenario), "no_pixels"),
        "cost_per_watch_hour": _per_watch_hour(work, total),
        "cost_per_stream": total.times(1 / max(stream_count(scenario), 1), ""),
        "cost_per_stream_hour": work.per_stream_hour(total),
        "rate_per_hour": rate,
        "monthly_projection": rate.times(HOURS_PER_MONTH, ""),
    }


def _total_cost(energy: ValueOrReasons, compute: ValueOrReasons, prices: PriceInputs) -> ValueOrReasons:
    """Of an owned machine both parts, or electricity alone where no machine is priced; else the rate."""
    if prices.mode == "cloud":
        return compute
    unpriced = (prices.cpu_per_hour, prices.machine_per_hour, prices.gpu_per_hour) == (None, None, None)
    return energy if compute.value is None and unpriced else _sum(energy, compute)


def _sum(*parts: ValueOrReasons) -> ValueOrReasons:
    """The sum; unknown as soon as a part is, for all the parts' reasons."""
    if any(part.value is None for part in parts):
        return ValueOrReasons(None, tuple(dict.fromkeys(reason for part in parts for reason in part.reasons)))
    return ValueOrReasons(sum(part.value or 0.0 for part in parts))


def _over_time(work: _Work, given: SourcedSchedule | None, unknown: str, outside: str) -> ValueOrReasons:
    """The building's kilowatt-hours times a schedule: each piece at the value of its own moment."""
    used = work.used
    if work.hours.value is None:
        return work.hours
    reasons = (("no_energy",) if used is None else ()) + ((unknown,) if given is None else ())
    if used is None or given is None:
        return ValueOrReasons(None, reasons)
    schedule, standing = given.schedule, given.per_hour * work.hours.value
    if isinstance(schedule, Flat):
        cost = used.joules * work.prices.pue_ratio / JOULES_PER_KWH * schedule.value
        return ValueOrReasons(cost + standing)
    curve = load_curve(work.scenario, used.joules)
    if curve is None:
        return ValueOrReasons(None, ("no_start_time",))
    total = weighted_total(curve.totals_by_value(schedule))
    if total is None:
        return ValueOrReasons(None, (outside,))
    return ValueOrReasons(total * work.prices.pue_ratio / JOULES_PER_KWH + standing)


def _machine_cost(work: _Work, *, load_aware: bool = False) -> ValueOrReasons:
    """The machine's time: by the wall clock, or by the CPU time used; a GPU is billed by the wall clock."""
    prices, hours = work.prices, work.hours
    if hours.value is None:
        return hours
    rate, gpu = prices.cpu_per_hour, ValueOrReasons(0.0)
    if prices.machine_per_hour is not None:
        rate = prices.machine_per_hour
        if load_aware:
            if not work.host_threads:
                return ValueOrReasons(None, ("no_host_threads",))
            rate /= work.host_threads
    if work.scenario.encoder_type == "gpu":
        gpu = _gpu_cost(work)
    if rate is None:
        return _sum(ValueOrReasons(None, ("no_rate",)), gpu)
    used = hours
    if load_aware:
        seconds = derived.core_seconds(work.scenario)
        used = ValueOrReasons(None, ("no_cpu_time",)) if seconds is None else ValueOrReasons(seconds / 3600)
    return _sum(used.times(rate, ""), gpu)


def _gpu_cost(work: _Work) -> ValueOrReasons:
    """The GPU's wall hours; inside the price of a whole machine where it has none of its own."""
    if work.prices.gpu_per_hour is not None:
        return work.hours.times(work.prices.gpu_per_hour, "")
    if work.prices.machine_per_hour is not None:
        return ValueOrReasons(0.0)
    return ValueOrReasons(None, ("no_gpu_rate",))


def _per_watch_hour(work: _Work, total: ValueOrReasons) -> ValueOrReasons:
    if not work.viewers:
        nobody = ValueOrReasons(None, ("no_viewers" if work.viewers is None else "zero_viewers",))
        return work.of_video(nobody, None, "")
    return work.of_video(total, derived.watch_hours(work.scenario, work.viewers), "no_video_time")


def _carbon(work: _Work) -> dict[str, ValueOrReasons]:
    grams = _over_time(work, work.prices.carbon, "no_carbon_intensity", "outside_carbon_series")
    operational = grams.times(1e-3, "")
    making = work.prices.embodied
    kgs = (None, None, None) if making is None else (making.kg, making.minimum_kg, making.maximum_kg)
    embodied = [_making(work, kg) for kg in kgs]
    used = ValueOrReasons(None, work.hours.reasons or ("no_energy",))
    if work.used is not None and work.hours.value is not None:
        used = ValueOrReasons(work.used.joules * work.prices.pue_ratio / JOULES_PER_KWH)
    return {
        "facility_kwh_per_stream_hour": work.per_stream_hour(used),
        "co2_operational_kg": operational,
        "co2_embodied_kg": embodied[0],
        "co2_embodied_minimum_kg": embodied[1],
        "co2_embodied_maximum_kg": embodied[2],
        "co2_per_stream_hour_kg": work.per_stream_hour(operational),
        "sci_grams_per_unit": _sci(work, operational, embodied[0]),
    }


def _making(work: _Work, kg: float | None) -> ValueOrReasons:
    """The share of making the machine, of one of its figures; not given is no reason for anything."""
    if kg is None or work.prices.embodied is None or work.hours.value is None:
        return ValueOrReasons(None) if kg is None else work.hours
    return ValueOrReasons(work.prices.embodied.share_kg(work.hours.value * 3600, kg))


def _sci(work: _Work, operational: ValueOrReasons, embodied: ValueOrReasons) -> ValueOrReasons:
    unit = work.prices.functional_unit
    if unit is None or work.scenario.type == "baseline":
        return ValueOrReasons(None)
    if operational.value is None or embodied.value is None:
        given = embodied if work.prices.embodied is not None else ValueOrReasons(None, ("no_embodied",))
        return _sum(operational, given)
    delivered, size_of_unit, reason = {
        "video_minute": (derived.output_seconds(work.scenario), 60, "no_video_time"),
        "gigapixel": (derived.delivered_pixels(work.scenario), 1e9, "no_pixels"),
        "watch_hour": (derived.watch_hours(work.scenario, work.viewers or 0), 1, "no_viewers"),
    }[unit]
    units = delivered / size_of_unit if delivered else None
    score = sci_grams_per_unit(operational.value * 1000, embodied.value * 1000, units)
    return ValueOrReasons(score, () if score is not None else (reason,))


def _too_small(work: _Work) -> list[str]:
    """Reasons why a figure that is there counts less than was used."""
    if work.used is None:
        return []
    gaps = ["sample_gaps"] if work.used.gap_seconds > 0 else []
    return gaps + (["no_gpu_energy"] if derived.lacks_gpu_energy(work.scenario) else [])


def _inputs(work: _Work, figures: Mapping[str, ValueOrReasons]) -> PricesUsed:
    prices, cost = work.prices, figures.get("cost_energy", ValueOrReasons(None)).value
    kg = figures.get("co2_operational_kg", ValueOrReasons(None)).value
    return PricesUsed(
        electricity_price_per_kwh=_paid(work, prices.electricity, cost),
        price_source=prices.electricity.source if prices.electricity else None,
        carbon_grams_per_kwh=_paid(work, prices.carbon, None if kg is None else kg * 1000),
        carbon_basis=prices.carbon.basis if prices.carbon else None,
        carbon_year=prices.carbon.period if prices.carbon else None,
        carbon_source=prices.carbon.source if prices.carbon else None,
        pue=prices.pue_ratio,
        pue_source=prices.pue_source,
        cpu_cost_per_hour=prices.cpu_per_hour,
        machine_cost_per_hour=prices.machine_per_hour,
        gpu_cost_per_hour=prices.gpu_per_hour,
    )


def _paid(work: _Work, given: SourcedSchedule | None, total: float | None) -> float | None:
    """The value that each kilowatt-hour counted with on the mean, what is paid by the hour left out."""
    kwh = 0.0 if work.used is None else work.used.joules * work.prices.pue_ratio / JOULES_PER_KWH
    if given is None or total is None or not kwh or isinstance(given.schedule, Flat):
        return flat_value(given)
    return (total - given.per_hour * (work.hours.value or 0.0)) / kwh
