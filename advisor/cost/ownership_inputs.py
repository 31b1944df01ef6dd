"""From a model and its scenarios to the inputs of a total cost of ownership."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from advisor.cost.ownership import Delivery, Machine, Preset, hourly_cost
from advisor.cost.price_inputs import PriceInputs
from advisor.cost.tariffs.schedule import flat_value
from advisor.errors import PricingError
from advisor.results import Scenario, as_scenario
from advisor.results.derived import delivered_kbps, mean_watts, stream_hours_per_hour

__all__ = ["delivery", "flat_price", "preset", "streams_made", "watts_in_use"]


def watts_in_use(scenario: Scenario | None, given: float | None) -> float:
    """Power while in use: as given, else the scenario's mean."""
    watts = given if given is not None or scenario is None else mean_watts(scenario)
    if watts is None:
        raise PricingError("expected the power in use, or a scenario that has it", field="mean_watts")
    return watts


def streams_made(scenario: Scenario | None, given: float | None) -> float:
    """Hours of video that an hour of use makes: as given, else the scenario's, else 1."""
    if given is not None:
        return given
    return (None if scenario is None else stream_hours_per_hour(scenario)) or 1.0


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


def delivery(
    scenario: Scenario | None, viewers: float | None, kbps: float | None, cost_per_gb: float | None
) -> Delivery | None:
    """Sending to viewers; None where nobody is known to watch, or where it costs nothing that is known."""
    if scenario is not None:
        viewers = scenario.viewers if viewers is None else viewers
        kbps = delivered_kbps(scenario) if kbps is None else kbps
    if cost_per_gb is None or viewers is None:
        return None
    if kbps is None:
        raise PricingError("expected it beside viewers and the cost of delivery", field="bitrate_kbps")
    return Delivery(viewers=viewers, bitrate_kbps=kbps, delivery_cost_per_gb=cost_per_gb)
