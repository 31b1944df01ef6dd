"""A month of a planned load, from repeated measurements of one configuration, with an honest interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from advisor.common.statistics import summarise
from advisor.cost.checks import Positive, require_number
from advisor.cost.formulas import JOULES_PER_KWH
from advisor.cost.scenario_cost import ScenarioCost
from advisor.errors import PricingError

__all__ = ["CONFIDENCE", "Budget", "Forecast", "Interval", "forecast"]

CONFIDENCE = 0.95
_OF_A_MONTH = ("cost_total", "facility_kwh_per_stream_hour", "co2_operational_kg")
"""Figures of a scenario that a month's are made of."""


class Interval(Struct, frozen=True):
    """A mean, and where it lies with `CONFIDENCE`; without two measurements nothing is known of that."""

    mean: float
    low: float | None = None
    high: float | None = None


class Budget(Struct, frozen=True, kw_only=True):
    """What a month may take at most."""

    cost: float | None = None
    co2_kg: float | None = None


class Forecast(Struct, frozen=True, kw_only=True):
    """One configuration in one region over a month."""

    scenario: str
    hardware: str | None
    """The machine that was measured; another one costs another sum."""
    region: str | None
    currency: str
    mode: str
    streams: float
    hours_per_month: float
    stream_hours_per_month: float
    measurements: int
    """Repeats that could be priced."""
    energy_tier: str | None
    confidence: float = CONFIDENCE
    electricity_price_per_kwh: float | None
    price_source: str | None
    carbon_grams_per_kwh: float | None
    carbon_source: str | None
    cost_month: Interval | None
    energy_kwh_month: Interval | None
    co2_kg_month: Interval | None
    cost_over_budget: str | None = None
    """``no``, ``possible`` (the interval reaches over it) or ``yes``; None without a budget or a figure."""
    co2_over_budget: str | None = None
    validity: list[str] = []
    """Why the measurements should not be trusted; then none of the configuration is valid."""
    left_out: dict[str, int] = {}
    """Finished measurements that the figures are not of, by reason."""
    missing: list[str] = []


def forecast(
    repeats: Sequence[ScenarioCost],
    *,
    streams: float,
    hours_per_month: float,
    stream_hours_measured: Sequence[float | None],
    budget: Budget | None = None,
    hardware: str | None = None,
    left_out: Mapping[str, int] | None = None,
) -> Forecast:
    """What ``streams`` at once for ``hours_per_month`` take.

    Every repeat gives a figure per hour of video of one stream; the load is the streams' hours. The interval
    is that of the mean of the repeats (Student's t), wider by the source's own uncertainty where energy is
    modelled, because that does not average out.

    Parameters
    ----------
    repeats
        Measurements of one configuration, priced in one region with `advisor.cost.planning.planning_prices`.
    stream_hours_measured
        Hours of video over all streams that each repeat made.
    """
    if not repeats or len(repeats) != len(stream_hours_measured):
        raise PricingError("expected measurements, and hours of video for each", field="repeats")
    load = require_number(streams, Positive, field="streams")
    load *= require_number(hours_per_month, Positive, field="hours")
    pairs = [(p, hours) for p, hours in zip(repeats, stream_hours_measured, strict=True) if hours]

    def month(
        of: Callable[[ScenarioCost], float | None], energy_part: Callable[[ScenarioCost], float]
    ) -> Interval | None:
        rates = [(value / hours, p, hours) for p, hours in pairs if (value := of(p)) is not None]
        if not rates:
            return None
        widths = [(p.energy_uncertainty_ratio or 0.0) * abs(energy_part(p)) / hours for _, p, hours in rates]
        return _interval([value * load for value, _, _ in rates], statistics.fmean(widths) * load)

    first = repeats[0]
    cost = month(lambda p: p.cost_total, lambda p: p.cost_energy or 0.0)
    kwh = month(_facility_kwh, lambda p: _facility_kwh(p) or 0.0)
    co2 = month(lambda p: p.co2_operational_kg, lambda p: p.co2_operational_kg or 0.0)
    budget = budget or Budget()
    tiers = {p.energy_tier for p in repeats}
    return Forecast(
        scenario=first.scenario,
        hardware=hardware,
        region=first.region,
        currency=first.currency,
        mode=first.mode,
        streams=streams,
        hours_per_month=hours_per_month,
        stream_hours_per_month=load,
        measurements=sum(p.cost_total is not None for p, _ in pairs),
        energy_tier="modelled" if "modelled" in tiers else first.energy_tier,
        electricity_price_per_kwh=first.inputs.electricity_price_per_kwh,
        price_source=first.inputs.price_source,
        carbon_grams_per_kwh=first.inputs.carbon_grams_per_kwh,
        carbon_source=first.inputs.carbon_source,
        cost_month=cost,
        energy_kwh_month=kwh,
        co2_kg_month=co2,
        cost_over_budget=_over(cost, budget.cost),
        co2_over_budget=_over(co2, budget.co2_kg),
        validity=list(dict.fromkeys(reason for p in repeats for reason in p.validity)),
        left_out=dict(left_out or {}),
        missing=list(dict.fromkeys(reason for p in repeats for reason in _lacking(p))),
    )


def _lacking(priced: ScenarioCost) -> list[str]:
    """Why the figures of a month are absent or too small; other figures' reasons are theirs."""
    elsewhere = {reason for reasons in priced.missing_by_figure.values() for reason in reasons}
    ours = {reason for figure in _OF_A_MONTH for reason in priced.missing_by_figure.get(figure, ())}
    return [reason for reason in priced.missing if reason in ours or reason not in elsewhere]


def _facility_kwh(priced: ScenarioCost) -> float | None:
    joules = priced.facility_energy_joules
    return None if joules is None else joules / JOULES_PER_KWH


def _interval(values: Sequence[float], systematic: float) -> Interval | None:
    summary = summarise(values)
    if summary is None or summary.half_width is None:
        return None if summary is None else Interval(summary.mean)
    half = summary.half_width + systematic
    # what no repeat was below, the mean of them is not; a market that pays makes costs negative
    lowest = 0.0 if min(values) >= 0 else -math.inf
    return Interval(summary.mean, max(summary.mean - half, lowest), summary.mean + half)


def _over(figure: Interval | None, limit: float | None) -> str | None:
    if figure is None or limit is None:
        return None
    if figure.mean > limit:
        return "yes"
    return "possible" if figure.high is not None and figure.high > limit else "no"
