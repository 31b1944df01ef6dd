"""Pricing one scenario: from what it consumed and the prices to every figure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from advisor.cost import formulas
from advisor.cost.carbon import functional_units, sci_grams_per_unit
from advisor.cost.cost_record import Figure, Inputs, Priced
from advisor.cost.formulas import JOULES_PER_KWH
from advisor.cost.power_curve import load_curve, weighted_total
from advisor.cost.price_inputs import Prices
from advisor.cost.quantities import sum_known
from advisor.cost.tariffs.schedule import Flat, Schedule, flat_value
from advisor.results import Scenario
from advisor.results.derived import (
    EnergyUsed,
    core_seconds,
    delivered_pixels,
    duration_seconds,
    energy,
    output_seconds,
    stream_count,
    watch_hours,
)

__all__ = ["electricity_cost", "gpu_cost", "machine_cost", "price_scenario", "time_cost", "total_cost"]


class _Work(Struct, frozen=True):
    scenario: Scenario
    prices: Prices
    used: EnergyUsed | None
    hours: Figure
    """Wall hours."""
    stream_hours: float | None
    """Hours of video over all streams."""
    host_threads: int | None
    viewers: float | None


def price_scenario(
    scenario: Scenario,
    prices: Prices,
    *,
    run_id: str = "",
    host_threads: int | None = None,
    viewers: float | None = None,
) -> Priced:
    """Price one scenario.

    Parameters
    ----------
    host_threads
        CPUs of the machine; a whole machine's price is split by them in the load-aware figures.
    viewers
        How many watch; the scenario's own number where this is None.
    """
    used = energy(scenario)
    video = output_seconds(scenario)
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
    figures = {**_money(work), **_carbon(work)} if finished else {"cost_total": Figure(None, ("failed",))}
    reasons = [reason for figure in figures.values() for reason in figure.reasons]
    joules = used.joules if used is not None else None
    priced = Priced(
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
        inputs=_inputs(prices, figures, joules),
        missing=list(dict.fromkeys([*reasons, *(_too_small(work) if finished else ())])),
        unpriced=list(figures["cost_total"].reasons),
    )
    return replace(priced, **{name: figure.value for name, figure in figures.items()})


def _hours(scenario: Scenario) -> Figure:
    seconds = duration_seconds(scenario)
    if seconds is None:
        return Figure(None, ("no_duration",))
    return Figure(seconds / 3600) if seconds > 0 else Figure(None, ("zero_duration",))


def _money(work: _Work) -> dict[str, Figure]:
    scenario, prices, hours = work.scenario, work.prices, work.hours
    compute = by_load = hours
    if hours.value is not None:
        compute = machine_cost(scenario, prices)
        by_load = machine_cost(scenario, prices, load_aware=True, host_threads=work.host_threads)
    energy = Figure(None)
    if prices.mode == "owned":
        energy = electricity_cost(scenario, work.used, prices) if hours.value is not None else hours
    total, total_by_load = (total_cost(energy, part, prices) for part in (compute, by_load))
    rate = total.times(1 / hours.value if hours.value else None, "no_duration")
    per_hour = 1 / work.stream_hours if work.stream_hours else None
    return {
        "cost_total": total,
        "cost_energy": energy,
        "cost_compute": compute,
        "cost_gpu": gpu_cost(scenario, prices) if scenario.encoder_type == "gpu" else Figure(None),
        "cost_energy_load_aware": energy,
        "cost_compute_load_aware": by_load,
        "cost_total_load_aware": total_by_load,
        "cost_per_pixel": _per_pixel(scenario, total),
        "cost_per_watch_hour": _per_watch_hour(work, total),
        "cost_per_stream": total.times(1 / max(stream_count(scenario), 1), ""),
        "cost_per_stream_hour": _of_video(work, total.times(per_hour, "no_video_time")),
        "rate_per_hour": rate,
        "monthly_projection": rate.times(formulas.HOURS_PER_MONTH, ""),
    }


def total_cost(energy: Figure, compute: Figure, prices: Prices) -> Figure:
    """Of an owned machine both parts, or electricity alone where no machine is priced; else the rate."""
    if prices.mode == "cloud":
        return compute
    return energy if compute.value is None and not prices.machine_is_priced else _sum(energy, compute)


def _sum(*parts: Figure) -> Figure:
    """The sum; unknown as soon as a part is, for all the parts' reasons."""
    if any(part.value is None for part in parts):
        return Figure(None, tuple(dict.fromkeys(reason for part in parts for reason in part.reasons)))
    return Figure(sum(part.value or 0.0 for part in parts))


def electricity_cost(scenario: Scenario, used: EnergyUsed | None, prices: Prices) -> Figure:
    """Each piece of the building's energy at the price of its own moment."""
    return _over_time(scenario, used, prices, prices.electricity, "no_price", "outside_tariff")


def _over_time(
    scenario: Scenario,
    used: EnergyUsed | None,
    prices: Prices,
    schedule: Schedule | None,
    unknown: str,
    outside: str,
) -> Figure:
    """The building's kilowatt-hours times a schedule."""
    if duration_seconds(scenario) == 0:
        return Figure(None, ("zero_duration",))
    reasons = (("no_energy",) if used is None else ()) + ((unknown,) if schedule is None else ())
    if used is None or schedule is None:
        return Figure(None, reasons)
    if isinstance(schedule, Flat):
        return Figure(used.joules * prices.pue_ratio / JOULES_PER_KWH * schedule.value)
    curve = load_curve(scenario, used.joules)
    if curve is None:
        return Figure(None, ("no_start_time",))
    total = weighted_total(curve.totals_by_value(schedule))
    return Figure(None, (outside,)) if total is None else Figure(total * prices.pue_ratio / JOULES_PER_KWH)


def machine_cost(
    scenario: Scenario, prices: Prices, *, load_aware: bool = False, host_threads: int | None = None
) -> Figure:
    """The machine's time: by the wall clock, or by the CPU time used; a GPU is billed by the wall clock."""
    hours = _hours(scenario)
    if hours.value is None and (not load_aware or "zero_duration" in hours.reasons):
        return hours
    rate, gpu = prices.cpu_per_hour, Figure(0.0)
    if prices.machine_per_hour is not None:
        rate = prices.machine_per_hour
        if load_aware:
            if not host_threads:
                return Figure(None, ("no_host_threads",))
            rate /= host_threads
    if scenario.encoder_type == "gpu":
        gpu = gpu_cost(scenario, prices)
    if rate is None:
        return _sum(Figure(None, ("no_rate",)), gpu)
    used = hours
    if load_aware:
        seconds = core_seconds(scenario)
        used = Figure(None, ("no_cpu_time",)) if seconds is None else Figure(seconds / 3600)
    return _sum(used.times(rate, ""), gpu)


def time_cost(
    prices: Prices,
    wall_seconds: float | None,
    core_seconds: float | None,
    gpu_hours: float | None,
    host_threads: int | None,
) -> float | None:
    """The machine's time of plain quantities: CPU time where it is given, else wall time, and the GPU's."""
    parts: list[float | None] = []
    rate = prices.cpu_per_hour if prices.machine_per_hour is None else prices.machine_per_hour
    if core_seconds is not None:
        if prices.machine_per_hour is not None:
            rate = prices.machine_per_hour / host_threads if host_threads else None
        parts.append(None if rate is None else formulas.core_seconds_cost(core_seconds, rate))
    elif wall_seconds is not None:
        parts.append(None if rate is None else formulas.time_cost(wall_seconds / 3600, rate))
    if gpu_hours is not None:
        rate = prices.gpu_per_hour
        parts.append(None if rate is None else formulas.time_cost(gpu_hours, rate))
    return sum_known(parts)


def gpu_cost(scenario: Scenario, prices: Prices) -> Figure:
    """The GPU's wall hours; inside the price of a whole machine where it has none of its own."""
    if prices.gpu_per_hour is not None:
        return _hours(scenario).times(prices.gpu_per_hour, "")
    return Figure(0.0) if prices.machine_per_hour is not None else Figure(None, ("no_gpu_rate",))


def _per_pixel(scenario: Scenario, total: Figure) -> Figure:
    if scenario.type == "baseline":
        return Figure(None)
    pixels = delivered_pixels(scenario)
    return total.times(1 / pixels if pixels else None, "no_pixels")


def _of_video(work: _Work, figure: Figure) -> Figure:
    """An idle run makes no video: that is no reason for anything to be missing."""
    return Figure(None) if work.scenario.type == "baseline" else figure


def _per_watch_hour(work: _Work, total: Figure) -> Figure:
    if work.scenario.type == "baseline":
        return Figure(None)
    if not work.viewers:
        return Figure(None, ("no_viewers" if work.viewers is None else "zero_viewers",))
    watched = watch_hours(work.scenario, work.viewers)
    return total.times(1 / watched if watched else None, "no_video_time")


def _carbon(work: _Work) -> dict[str, Figure]:
    scenario, prices = work.scenario, work.prices
    operational = work.hours
    if work.hours.value is not None:
        grams = _over_time(
            scenario, work.used, prices, prices.carbon, "no_carbon_intensity", "outside_carbon_series"
        )
        operational = grams.times(1e-3, "")
    made = prices.embodied
    kgs = (None, None, None) if made is None else (made.kg, made.minimum_kg, made.maximum_kg)
    embodied = [_making(work, kg) for kg in kgs]
    per_hour = 1 / work.stream_hours if work.stream_hours else None
    return {
        "co2_operational_kg": operational,
        "co2_embodied_kg": embodied[0],
        "co2_embodied_minimum_kg": embodied[1],
        "co2_embodied_maximum_kg": embodied[2],
        "co2_per_stream_hour_kg": _of_video(work, operational.times(per_hour, "no_video_time")),
        "sci_grams_per_unit": _sci(work, operational, embodied[0]),
    }


def _making(work: _Work, kg: float | None) -> Figure:
    """The share of making the machine, of one of its figures; not given is no reason for anything."""
    if kg is None or work.prices.embodied is None or work.hours.value is None:
        return Figure(None) if kg is None else work.hours
    return Figure(work.prices.embodied.share_kg(work.hours.value * 3600, kg))


def _sci(work: _Work, operational: Figure, embodied: Figure) -> Figure:
    unit = work.prices.functional_unit
    if unit is None or work.scenario.type == "baseline":
        return Figure(None)
    if operational.value is None or embodied.value is None:
        given = embodied if work.prices.embodied is not None else Figure(None, ("no_embodied",))
        return _sum(operational, given)
    units = functional_units(
        unit,
        output_seconds=output_seconds(work.scenario),
        pixels=delivered_pixels(work.scenario),
        watch_hours=watch_hours(work.scenario, work.viewers) if work.viewers else None,
    )
    reason = {"video_minute": "no_video_time", "gigapixel": "no_pixels", "watch_hour": "no_viewers"}[unit]
    score = sci_grams_per_unit(operational.value * 1000, embodied.value * 1000, units)
    return Figure(score, () if score is not None else (reason,))


def _too_small(work: _Work) -> list[str]:
    """Reasons why a figure that is there counts less than was used."""
    if work.used is None:
        return []
    gaps = ["sample_gaps"] if work.used.gap_seconds > 0 else []
    gpu = work.scenario.encoder_type == "gpu" and work.used.gpu_joules is None
    return gaps + (["no_gpu_energy"] if gpu else [])


def _inputs(prices: Prices, figures: Mapping[str, Figure], joules: float | None) -> Inputs:
    kwh = None if joules is None else joules * prices.pue_ratio / JOULES_PER_KWH
    cost = figures.get("cost_energy", Figure(None)).value
    kg = figures.get("co2_operational_kg", Figure(None)).value
    return Inputs(
        electricity_price_per_kwh=_paid(prices.electricity, cost, kwh),
        price_source=prices.electricity_source,
        carbon_grams_per_kwh=_paid(prices.carbon, None if kg is None else kg * 1000, kwh),
        carbon_basis=prices.carbon_basis,
        carbon_year=prices.carbon_year,
        carbon_source=prices.carbon_source,
        pue=prices.pue_ratio,
        pue_source=prices.pue_source,
        cpu_cost_per_hour=prices.cpu_per_hour,
        machine_cost_per_hour=prices.machine_per_hour,
        gpu_cost_per_hour=prices.gpu_per_hour,
    )


def _paid(schedule: Schedule | None, total: float | None, kwh: float | None) -> float | None:
    flat = flat_value(schedule)
    return total / kwh if flat is None and total is not None and kwh else flat
