"""``wattframe forecast``: a month of a planned load, and budgets that become alert rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from advisor.common.exit import print_json
from advisor.common.near import did_you_mean
from advisor.cost.budget_rules import write_rules
from advisor.cost.checks import Positive, require_number
from advisor.cost.forecast import Budget, MonthForecast, MonthInterval, forecast
from advisor.cost.price_inputs import PriceOptions
from advisor.cost.scenario_cost import REASONS
from advisor.errors import InputError
from advisor.results import Run, Scenario
from advisor.results.derived import machine_of, repeats, trusted, with_whole_inputs, without_copies
from wattframe.commands.arguments import Json, Results, ResultsOption, application, named_paths, read_runs
from wattframe.commands.prices import EMISSIONS_OF_MAKING, regional_models, takes_prices
from wattframe.console import console, note, print_table, shown

_HOURS_OF_A_LONG_MONTH = 744

app = application()


@app.command(name="forecast")
@takes_prices(*EMISSIONS_OF_MAKING)
def main(
    paths: Results = None,
    results_option: ResultsOption = None,
    streams: Annotated[float, typer.Option(help="Concurrent streams.")] = 1.0,
    hours: Annotated[float, typer.Option(help="Hours per month; 730 = all month.")] = 730.0,
    scenario: Annotated[
        list[str] | None, typer.Option(help="Name of the scenario to project (default: all).")
    ] = None,
    budget_month: Annotated[float | None, typer.Option(help="Budget per month, in the currency.")] = None,
    budget_co2_month: Annotated[float | None, typer.Option(help="Budget per month, in kg of CO2e.")] = None,
    write_rules_to: Annotated[
        Path | None, typer.Option("--write-rules", help="Write the budgets as Prometheus alert rules.")
    ] = None,
    json_: Json = False,
    *,
    prices: PriceOptions,
) -> int:
    """Project monthly cost, energy and carbon of a measured configuration: streams x hours."""
    if hours > _HOURS_OF_A_LONG_MONTH:
        problem = f"expected hours of a month, at most {_HOURS_OF_A_LONG_MONTH}, found {hours:g}"
        raise InputError(problem, subject="--hours")
    regional = regional_models("forecast", prices)
    budget = Budget(
        cost=_limit(budget_month, "--budget-month"), co2_kg=_limit(budget_co2_month, "--budget-co2-month")
    )
    if write_rules_to is not None and budget == Budget():
        raise InputError("expected --budget-month or --budget-co2-month beside it", subject="--write-rules")
    runs, code = read_runs("forecast", named_paths(paths, results_option))
    copies: list[str] = []
    measured = _measured(with_whole_inputs(without_copies(runs, copies)), scenario)
    for line in copies:
        note("forecast", line)
    plans = [
        forecast(
            [planned.price(s) for s in configuration.scenarios],
            hardware=configuration.machine,
            streams=streams,
            hours_per_month=hours,
            budget=budget,
            left_out=configuration.left_out,
        )
        for configuration in measured
        for planned in [model.planned() for model in regional.models]
    ]
    if write_rules_to is not None:
        write_rules(write_rules_to, plans, budget)
        note("forecast", f"alert rules written to {write_rules_to}")
    if json_:
        print_json(plans)
    else:
        _table(plans)
    return code


def _limit(value: float | None, option: str) -> float | None:
    return None if value is None else require_number(value, Positive, field=option)


class _Measured(Struct, frozen=True):
    """The measurements of one configuration on one machine that are used, and why others are not."""

    machine: str
    scenarios: list[Scenario]
    left_out: dict[str, int]


def _measured(runs: Sequence[Run], names: Sequence[str] | None) -> list[_Measured]:
    """Finished measurements of each configuration on each machine; where one is valid, the valid ones."""
    machines: dict[str, list[Scenario]] = {}
    for run in runs:
        machines.setdefault(machine_of(run), []).extend(run.scenarios)
    measured: list[_Measured] = []
    for machine, scenarios in machines.items():
        for name, group in repeats(Run(run_id=machine, scenarios=tuple(scenarios))).items():
            finished = [s for s in group if s.status == "ok" and s.type != "baseline"]
            if finished and (not names or name in names):
                used = trusted(finished)
                reasons = [
                    f"not valid: {', '.join(s.validity)}"
                    for s in finished
                    if s.validity and not used[0].validity
                ]
                others = sum(s.name == name for s in scenarios) - len(group)
                reasons += ["measured with other settings"] * others
                measured.append(_Measured(machine, used, dict(Counter(reasons))))
                for reason, count in measured[-1].left_out.items():
                    note("forecast", f"{name}: left out {count} {reason}")
    for name in names or ():
        if name not in [m.scenarios[0].name for m in measured]:
            all_names = sorted({s.name for run in runs for s in run.scenarios})
            raise InputError(did_you_mean(name, all_names), subject=f"no finished scenario {name!r}")
    return measured


def _table(plans: Sequence[MonthForecast]) -> None:
    several = len({plan.hardware for plan in plans}) > 1
    rows = []
    for plan in plans:
        machine = (plan.hardware or "-",) if several else ()
        figures = (
            (plan.currency, plan.cost_month, plan.cost_over_budget),
            ("kWh", plan.energy_kwh_month, None),
            ("kg CO2e", plan.co2_kg_month, plan.co2_over_budget),
        )
        for unit, figure, verdict in figures:
            rows.append((plan.scenario, *machine, plan.region or "-", unit, _range(figure), verdict or ""))
    headings = ("scenario", *(("machine",) if several else ()), "region", "of", "mean", "over budget")
    print_table(headings, rows, text=("machine", "region", "of"), title="a month")
    for line in _caption(plans):
        console().print(line)


def _caption(plans: Sequence[MonthForecast]) -> list[str]:
    lines = ["In brackets: 95 % confidence interval of the mean; it needs two measurements or more."]
    for plan in plans:
        hours = shown(plan.stream_hours_per_month, 6)
        times = "once" if plan.measurements == 1 else f"{plan.measurements} times"
        measured = f"measured {times}, energy {plan.energy_tier or 'of unknown origin'}"
        doubts = f"; used although not valid: {', '.join(plan.validity)}" if plan.validity else ""
        machine = f" on {plan.hardware}" if len({other.hardware for other in plans}) > 1 else ""
        lines.append(f"{plan.scenario}{machine}: {hours} hours of video; {measured}{doubts}.")
    for plan in plans:
        price = f"{shown(plan.electricity_price_per_kwh)} {plan.currency}/kWh"
        grams = f"{shown(plan.carbon_grams_per_kwh)} g/kWh"
        sources = f"{plan.price_source or 'unknown'}), {grams} ({plan.carbon_source or 'unknown'})"
        lines.append(f"{plan.region or 'no region'}: {price} ({sources}")
    lines += [f"{reason}: {REASONS[reason]}" for plan in plans for reason in plan.missing]
    return list(dict.fromkeys(lines))


def _range(figure: MonthInterval | None) -> str:
    if figure is None:
        return "-"
    if figure.low is None:
        return shown(figure.mean)
    return f"{shown(figure.mean)} ({shown(figure.low)} to {shown(figure.high)})"
