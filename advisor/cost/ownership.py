"""Total cost of ownership of a machine that transcodes: by the hour, by stream, by viewer, and what moves it.

An hour of use pays the machine's share of its purchase (at its utilisation), maintenance, the electricity of
the building (idle hours included), and delivery to viewers. docs/cost.md has the formulas and an example.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from advisor.cost.checks import CheckedInputs, Kbps, Positive, Pue, Quantity, Ratio, Years, require_number
from advisor.cost.formulas import HOURS_PER_YEAR, amortised_per_hour
from advisor.errors import PricingError
from advisor.results import Scenario, as_scenario, derived

_ENDS = (0.9, 1.1)
"""Of each input in turn, to see how the total swings."""


class Machine(CheckedInputs, frozen=True, kw_only=True):
    """A machine that is bought; money in the model's currency."""

    purchase_price: Quantity
    residual_value: Quantity = 0.0
    lifetime_years: Years = 4.0
    utilisation_ratio: Ratio = 1.0
    """Hours of use over hours of life."""
    mean_watts: Quantity
    """While in use."""
    idle_watts: Quantity = 0.0
    """While not in use; 0 is a machine that is switched off."""
    maintenance_per_year: Quantity = 0.0
    standing_charge_per_hour: Quantity = 0.0
    """What the tariff takes for each hour of life, whatever is used."""
    streams: Positive = 1.0
    """Hours of video of one stream that an hour of use makes."""
    embodied_kg: Quantity | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.mean_watts < 1:
            watts = self.mean_watts
            problem = f"no machine encodes with {watts:g} W: is it in kW (then {1000 * watts:g})?"
            raise PricingError(problem, field="mean_watts")


class Delivery(CheckedInputs, frozen=True, kw_only=True):
    """What sending to viewers costs."""

    viewers: Positive
    bitrate_kbps: Kbps
    delivery_cost_per_gb: Quantity
    """Per 10^9 bytes."""

    @property
    def per_viewer_hour(self) -> float:
        """Cost of an hour sent to one viewer.

        >>> round(Delivery(viewers=1, bitrate_kbps=4000, delivery_cost_per_gb=0.01).per_viewer_hour, 6)
        0.018
        """
        return _gb_per_hour(self.bitrate_kbps) * self.delivery_cost_per_gb


def _gb_per_hour(kbps: float) -> float:
    return kbps * 1000 / 8 * 3600 / 1e9


class Preset(CheckedInputs, frozen=True, kw_only=True):
    """One way to encode: what an hour of a stream costs to make, and how large it is."""

    cost_per_stream_hour: Quantity
    bitrate_kbps: Positive

    def viewers_to_prefer(self, slower: Preset, delivery_cost_per_gb: float) -> float | None:
        """Viewers from which ``slower`` pays for itself in bytes not delivered; None if it never does.

        >>> fast = Preset(cost_per_stream_hour=0.10, bitrate_kbps=3000)
        >>> slow = Preset(cost_per_stream_hour=0.28, bitrate_kbps=2600)
        >>> round(fast.viewers_to_prefer(slow, delivery_cost_per_gb=0.01))  # 0.18 GB an hour less
        100
        """
        dearer = slower.cost_per_stream_hour - self.cost_per_stream_hour
        saved_gb_per_hour = _gb_per_hour(self.bitrate_kbps - slower.bitrate_kbps)
        if dearer <= 0:
            return 0.0 if saved_gb_per_hour >= 0 else None
        saved = saved_gb_per_hour * require_number(delivery_cost_per_gb, field="delivery_cost_per_gb")
        return dearer / saved if saved > 0 else None


class HourlyCost(Struct, frozen=True, kw_only=True):
    """One hour of use."""

    capital: float
    maintenance: float
    electricity: float
    delivery: float

    @property
    def machine(self) -> float:
        """Without delivery."""
        return self.capital + self.maintenance + self.electricity

    @property
    def total(self) -> float:
        """All of it."""
        return self.machine + self.delivery


class TcoAnalysis(Struct, frozen=True, kw_only=True):
    """What a machine costs; money in ``currency``, hours are hours of use."""

    currency: str
    region: str | None
    lifetime_hours: float
    used_hours: float
    electricity_price_per_kwh: float
    pue: float
    per_hour: HourlyCost
    total_per_hour: float
    total_per_year: float
    total_over_lifetime: float
    per_stream_hour: float
    """Without delivery."""
    per_watch_hour: float | None
    shares: dict[str, float]
    """Of the total, by part; they sum to 1."""
    sensitivity: dict[str, float]
    """How much the total swings, as a ratio of it, when one input goes 10 % down and up; largest first."""
    moves_most: str | None
    cloud_per_stream_hour: float | None
    break_even_utilisation_cloud: float | None
    """Utilisation from which the machine is cheaper than the cloud; None where it never is."""
    gpu_per_stream_hour: float | None
    break_even_utilisation_gpu: float | None
    """Utilisation from which the machine with GPUs is cheaper than this one; None where it never is."""
    break_even_viewers: float | None
    """Viewers from which the slower of two presets is cheaper, delivery included; None where it never is."""
    co2_operational_grams_per_hour: float | None
    co2_embodied_grams_per_hour: float | None


def analyse(
    machine: Machine,
    *,
    price_per_kwh: float,
    pue_ratio: float = 1.0,
    grams_per_kwh: float | None = None,
    delivery: Delivery | None = None,
    cloud_per_stream_hour: float | None = None,
    gpu: Machine | None = None,
    presets: tuple[Preset, Preset] | None = None,
    delivery_cost_per_gb: float | None = None,
    currency: str = "USD",
    region: str | None = None,
) -> TcoAnalysis:
    """The whole analysis of one machine at one price of electricity.

    ``cloud_per_stream_hour`` is what an hour of a stream costs there, electricity inside; ``presets`` are a
    faster and a slower one, whose break-even needs ``delivery_cost_per_gb``.

    >>> analyse(Machine(purchase_price=8000, mean_watts=300), price_per_kwh=0.12).moves_most
    'lifetime_years'
    """
    price = require_number(price_per_kwh, field="price_per_kwh")
    pue = require_number(pue_ratio, Pue, field="pue_ratio")
    hour = hourly_cost(machine, price, pue, delivery)
    lifetime = machine.lifetime_years * HOURS_PER_YEAR
    used = lifetime * machine.utilisation_ratio
    kwh = _kwh_per_hour(machine, pue)
    sensitivity = _sensitivity(machine, price, pue, delivery)
    per_stream = hour.machine / machine.streams
    utilisation = partial(break_even_utilisation, price_per_kwh=price, pue_ratio=pue)
    return TcoAnalysis(
        currency=currency,
        region=region,
        lifetime_hours=lifetime,
        used_hours=used,
        electricity_price_per_kwh=price,
        pue=pue,
        per_hour=hour,
        total_per_hour=hour.total,
        total_per_year=hour.total * HOURS_PER_YEAR * machine.utilisation_ratio,
        total_over_lifetime=hour.total * used,
        per_stream_hour=per_stream,
        per_watch_hour=None if delivery is None else hour.total / delivery.viewers,
        shares={
            part: getattr(hour, part) / hour.total for part in HourlyCost.__struct_fields__ if hour.total
        },
        sensitivity=sensitivity,
        moves_most=next(iter(sensitivity), None),
        cloud_per_stream_hour=cloud_per_stream_hour,
        break_even_utilisation_cloud=None
        if cloud_per_stream_hour is None
        else utilisation(machine, cloud_per_stream_hour),
        gpu_per_stream_hour=None if gpu is None else hourly_cost(gpu, price, pue).machine / gpu.streams,
        break_even_utilisation_gpu=None if gpu is None else utilisation(gpu, per_stream),
        break_even_viewers=None
        if presets is None or delivery_cost_per_gb is None
        else presets[0].viewers_to_prefer(presets[1], delivery_cost_per_gb),
        co2_operational_grams_per_hour=None if grams_per_kwh is None else kwh * grams_per_kwh,
        co2_embodied_grams_per_hour=None
        if machine.embodied_kg is None
        else machine.embodied_kg * 1000 / used,
    )


def break_even_utilisation(
    machine: Machine, cost_per_stream_hour: float, *, price_per_kwh: float, pue_ratio: float = 1.0
) -> float | None:
    """The utilisation from which a machine makes a stream's hour for less than ``cost_per_stream_hour``.

    An hour of use costs F/u + I (1 - u)/u + W with F what the machine costs an hour whether used or not, I
    and W the electricity of an idle hour and of one in use; solved for u. None when full use is still dearer.

    >>> machine = Machine(purchase_price=8760 * 4, mean_watts=1000)
    >>> break_even_utilisation(machine, 2.1, price_per_kwh=0.1)
    0.5
    """
    fixed = replace(machine, utilisation_ratio=1.0)
    per_hour = hourly_cost(fixed, 0.0, pue_ratio).machine
    idle, used = (
        watts / 1000 * pue_ratio * price_per_kwh for watts in (machine.idle_watts, machine.mean_watts)
    )
    room = cost_per_stream_hour * machine.streams + idle - used
    ratio = (per_hour + idle) / room if room > 0 else None
    return ratio if ratio is not None and ratio <= 1 else None


def _kwh_per_hour(machine: Machine, pue: float) -> float:
    """The building's kilowatt-hours for an hour of use and the idle time that goes with it."""
    unused = (1 - machine.utilisation_ratio) / machine.utilisation_ratio
    return (machine.mean_watts + machine.idle_watts * unused) / 1000 * pue


def hourly_cost(machine: Machine, price: float, pue: float, delivery: Delivery | None = None) -> HourlyCost:
    """An hour of use at one price per kWh."""
    return HourlyCost(
        capital=amortised_per_hour(
            machine.purchase_price,
            machine.lifetime_years,
            residual_value=machine.residual_value,
            utilisation_ratio=machine.utilisation_ratio,
        ),
        maintenance=machine.maintenance_per_year / HOURS_PER_YEAR / machine.utilisation_ratio,
        electricity=_kwh_per_hour(machine, pue) * price
        + machine.standing_charge_per_hour / machine.utilisation_ratio,
        delivery=0.0 if delivery is None else delivery.viewers * delivery.per_viewer_hour,
    )


def _sensitivity(machine: Machine, price: float, pue: float, delivery: Delivery | None) -> dict[str, float]:
    """The swing of the total for each input, one at a time, within what the input may be."""
    hour = hourly_cost(machine, price, pue, delivery)
    if not hour.total:
        return {}
    least = {"mean_watts": min(machine.mean_watts, 1.0)}
    most = {"utilisation_ratio": 1.0, "residual_value": machine.purchase_price, "lifetime_years": 100.0}
    ends: dict[str, list[float]] = {}
    for name in _MACHINE_INPUTS:
        values = [getattr(machine, name) * factor for factor in _ENDS]
        values = [min(max(v, least.get(name, 0.0)), most.get(name, math.inf)) for v in values]
        ends[name] = [hourly_cost(_with(machine, name, v), price, pue, delivery).total for v in values]
    ends["price_per_kwh"] = [hourly_cost(machine, price * f, pue, delivery).total for f in _ENDS]
    ends["pue_ratio"] = [hourly_cost(machine, price, max(pue * f, 1.0), delivery).total for f in _ENDS]
    # viewers, their bitrate and the price of a gigabyte all scale the same product
    ends["delivery"] = [hour.machine + factor * hour.delivery for factor in _ENDS]
    swings = {name: abs(high - low) / hour.total for name, (low, high) in ends.items()}
    ranked = sorted(swings.items(), key=lambda item: -item[1])
    return {name: swing for name, swing in ranked if swing > 0}


_MACHINE_INPUTS = (
    *("purchase_price", "residual_value", "lifetime_years", "utilisation_ratio", "mean_watts"),
    *("idle_watts", "maintenance_per_year", "standing_charge_per_hour"),
)


def _with(machine: Machine, name: str, value: float) -> Machine:
    """One input changed; what is sold cannot be worth more than what was bought."""
    changed = {name: value}
    if name == "purchase_price":
        changed["residual_value"] = min(machine.residual_value, value)
    return replace(machine, **changed)


def preset(
    given: Scenario | Mapping[str, Any] | Preset, machine: Machine, price_per_kwh: float, pue_ratio: float
) -> Preset:
    """A way to encode on the machine: at the power, the speed and the bitrate that a scenario measured."""
    if isinstance(given, Preset):
        return given
    scenario = as_scenario(given)
    measured = {
        "mean power": derived.mean_watts(scenario),
        "hours of video per hour": derived.stream_hours_per_hour(scenario),
        "bitrate (a ladder has several)": derived.delivered_kbps(scenario),
    }
    for name, value in measured.items():
        if value is None:
            raise PricingError(f"its {name} is unknown", subject=f"scenario {scenario.name}")
    watts, streams, kbps = (value or 0.0 for value in measured.values())
    busy = replace(machine, mean_watts=watts, streams=streams)
    cost = hourly_cost(busy, price_per_kwh, pue_ratio).machine / streams
    return Preset(cost_per_stream_hour=cost, bitrate_kbps=kbps)
