"""From a model and its scenarios to the inputs of a total cost of ownership."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from advisor.cost.ownership import Machine, Preset, hourly_cost
from advisor.cost.price_inputs import PriceInputs
from advisor.cost.tariffs.schedule import flat_value
from advisor.errors import PricingError
from advisor.results import Scenario, as_scenario
from advisor.results.derived import delivered_kbps, mean_watts, stream_hours_per_hour

__all__ = ["flat_price", "preset"]


def flat_price(prices: PriceInputs, given: float | None) -> float:
    """One price of electricity for years to come."""
    if given is not None:
        return given
    price = flat_value(prices.electricity)
    if price is not None:
        return price
    problem = "no price is known"
    place = f"region {prices.region}" if prices.region else None
    raise PricingError(f"{problem}: give the one to count with", subject=place, field="price_per_kwh")


def preset(
    given: Scenario | Mapping[str, Any] | Preset, machine: Machine, price_per_kwh: float, pue_ratio: float
) -> Preset:
    """A way to encode on the machine: at the power, the speed and the bitrate that a scenario measured."""
    if isinstance(given, Preset):
        return given
    scenario = as_scenario(given)
    measured = {
        "mean power": mean_watts(scenario),
        "hours of video an hour": stream_hours_per_hour(scenario),
        "bitrate (a ladder has several)": delivered_kbps(scenario),
    }
    for name, value in measured.items():
        if value is None:
            raise PricingError(f"its {name} is not known", subject=f"scenario {scenario.name}")
    watts, streams, kbps = (value or 0.0 for value in measured.values())
    busy = replace(machine, mean_watts=watts, streams=streams)
    cost = hourly_cost(busy, price_per_kwh, pue_ratio).machine / streams
    return Preset(cost_per_stream_hour=cost, bitrate_kbps=kbps)
