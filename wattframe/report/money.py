"""Cost and carbon of a run's scenarios, per hour of video."""

from __future__ import annotations

from msgspec import Struct

from advisor.cost.model import CostModel
from advisor.cost.run_cost import price_run
from advisor.cost.scenario_cost import REASONS, ScenarioCost
from advisor.results import Run
from advisor.results.derived import output_seconds
from wattframe.report.numbers import number

__all__ = ["Bill", "bills", "explanation", "unpriced"]


class Bill(Struct, frozen=True, kw_only=True):
    """One scenario's cost and emissions per hour of video delivered; None is unknown."""

    currency: str
    energy: float | None
    compute: float | None
    total: float | None
    carbon_grams: float | None
    priced: ScenarioCost


def bills(run: Run, model: CostModel) -> list[Bill]:
    """One bill a scenario, in the order of the run."""
    priced = price_run(run, model, scenarios=run.scenarios)
    return [_bill(p, output_seconds(s)) for p, s in zip(priced, run.scenarios, strict=True)]


def _bill(priced: ScenarioCost, video_seconds: float | None) -> Bill:
    def per_hour(amount: float | None) -> float | None:
        return amount * 3600 / video_seconds if amount is not None and video_seconds else None

    kg = per_hour(priced.co2_operational_kg)
    return Bill(
        currency=priced.currency,
        energy=per_hour(priced.cost_energy),
        compute=per_hour(priced.cost_compute),
        total=per_hour(priced.cost_total),
        carbon_grams=None if kg is None else kg * 1000,
        priced=priced,
    )


def explanation(bill: Bill) -> str:
    """The prices and the carbon intensity behind a bill, with where they are from."""
    used, currency = bill.priced.inputs, bill.currency
    parts = [f"Mode {bill.priced.mode}."]
    if used.electricity_price_per_kwh is not None and bill.energy is not None:
        price = number(used.electricity_price_per_kwh)
        parts.append(f"Electricity at {price} {currency} per kWh ({used.price_source}), PUE {used.pue:g}.")
    if used.machine_cost_per_hour is not None:
        parts.append(f"The machine at {number(used.machine_cost_per_hour)} {currency} an hour of wall time.")
    elif used.cpu_cost_per_hour is not None:
        parts.append(f"Processor time at {number(used.cpu_cost_per_hour)} {currency} an hour of wall time.")
    if used.carbon_grams_per_kwh is None:
        parts.append("No carbon: name a region with --region.")
    else:
        from_where = (used.carbon_basis, used.carbon_year, used.carbon_source)
        basis = ", ".join(str(known) for known in from_where if known is not None)
        parts.append(f"Carbon at {number(used.carbon_grams_per_kwh)} g CO2e per kWh ({basis}).")
    return " ".join(parts)


def unpriced(bill: Bill) -> list[str]:
    """Why a scenario has no total."""
    return [f"no cost: {REASONS.get(code, code)}" for code in bill.priced.unpriced]
