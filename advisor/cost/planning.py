"""One price and one intensity for all: what is compared is not priced at the hour of its measurement."""

from __future__ import annotations

import datetime
import math

from msgspec.structs import replace

from advisor.cost.formulas import HOURS_PER_MONTH
from advisor.cost.price_inputs import PriceInputs
from advisor.cost.tariffs.schedule import Flat, SourcedSchedule, covered

_MONTH_SECONDS = HOURS_PER_MONTH * 3600


def planning_prices(prices: PriceInputs, now: float) -> PriceInputs:
    """Prices for comparing and for the months to come: what changes over time counts with its mean.

    What a measurement paid at its own moment says nothing of the other hours. A time-of-use plan is averaged
    over the 730 hours from ``now`` (Unix seconds) on, a series over the last 730 hours that it covers, its
    holes left out. The sources say of what time the means are.
    """
    electricity, carbon = _mean(prices.electricity, now), _mean(prices.carbon, now)
    if electricity is prices.electricity and carbon is prices.carbon:
        return prices
    return replace(prices, electricity=electricity, carbon=carbon)


def _mean(given: SourcedSchedule | None, now: float) -> SourcedSchedule | None:
    if given is None or isinstance(given.schedule, Flat):
        return given
    start, end, span = now, now + _MONTH_SECONDS, covered(given.schedule)
    if span is not None:
        end = span[1] if math.isfinite(span[1]) else now
        start = max(span[0], end - _MONTH_SECONDS)
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
