"""A month of a planned load, from repeated measurements of one configuration, with an honest interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from advisor.common.statistics import summarise
from advisor.cost.checks import Positive, require_number
from advisor.cost.scenario_cost import ScenarioCost
from advisor.errors import PricingError

CONFIDENCE = 0.95
_OF_A_MONTH = ("cost_total", "facility_kwh_per_stream_hour", "co2_operational_kg")
"""Figures of a scenario that a month's are made of."""


class MonthInterval(Struct, frozen=True):
    """A mean, and where it lies with `CONFIDENCE`; without two measurements nothing is known of that."""

    mean: float
    low: float | None = None
    high: float | None = None


class Budget(Struct, frozen=True, kw_only=True):
    """What a month may take at most."""

    cost: float | None = None
    co2_kg: float | None = None


class MonthForecast(Struct, frozen=True, kw_only=True):
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
    cost_month: MonthInterval | None
    energy_kwh_month: MonthInterval | None
    co2_kg_month: MonthInterval | None
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
    budget: Budget | None = None,
    hardware: str | None = None,
    left_out: Mapping[str, int] | None = None,
) -> MonthForecast:
    """What ``streams`` at once for ``hours_per_month`` take.

    Every repeat has its figures per hour of video of one stream; the load is the streams' hours. The interval
    is that of the mean of the repeats (Student's t), wider by the source's own uncertainty where energy is
    modelled, because that does not average out.

    Parameters
    ----------
    repeats
        Measurements of one configuration, priced in one region at the prices of `planning_prices`.
    """
    if not repeats:
        raise PricingError("expected measurements, found none", field="repeats")
    load = require_number(streams, Positive, field="streams")
    load *= require_number(hours_per_month, Positive, field="hours")

    def month(
        figure: str, energy_share: Callable[[ScenarioCost], float] = lambda _: 1.0
    ) -> MonthInterval | None:
        rates = [(rate, p) for p in repeats if (rate := getattr(p, figure)) is not None]
        if not rates:
            return None
        widths = [(p.energy_uncertainty_ratio or 0.0) * abs(rate * energy_share(p)) for rate, p in rates]
        return _interval([rate * load for rate, _ in rates], statistics.fmean(widths) * load)

    first = repeats[0]
    cost = month("cost_per_stream_hour", lambda p: (p.cost_energy or 0.0) / (p.cost_total or 1.0))
    kwh, co2 = month("facility_kwh_per_stream_hour"), month("co2_per_stream_hour_kg")
    budget = budget or Budget()
    tiers = {p.energy_tier for p in repeats}
    return MonthForecast(
        scenario=first.scenario,
        hardware=hardware,
        region=first.region,
        currency=first.currency,
        mode=first.mode,
        streams=streams,
        hours_per_month=hours_per_month,
        stream_hours_per_month=load,
        measurements=sum(p.cost_per_stream_hour is not None for p in repeats),
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


def _interval(values: Sequence[float], systematic: float) -> MonthInterval | None:
    summary = summarise(values)
    if summary is None or summary.half_width is None:
        return None if summary is None else MonthInterval(summary.mean)
    half = summary.half_width + systematic
    # what no repeat was below, the mean of them is not; a market that pays makes costs negative
    lowest = 0.0 if min(values) >= 0 else -math.inf
    return MonthInterval(summary.mean, max(summary.mean - half, lowest), summary.mean + half)


def _over(figure: MonthInterval | None, limit: float | None) -> str | None:
    if figure is None or limit is None:
        return None
    if figure.mean > limit:
        return "yes"
    return "possible" if figure.high is not None and figure.high > limit else "no"
