"""``wattframe cost``: cost and carbon of measured scenarios, regions side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import typer

from advisor.cost.model import RegionalModels
from advisor.cost.price_inputs import PriceOptions
from advisor.cost.run_cost import price_run, region_front
from advisor.cost.scenario_cost import REASONS, ScenarioCost
from wattframe import tables
from wattframe.commands import shared

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@shared.takes_prices()
def cost(
    results: shared.Results,
    viewers: shared.Viewers = None,
    json_: shared.Json = False,
    *,
    prices: PriceOptions,
) -> int:
    """Cost and carbon of measured scenarios, in money and CO2, by region."""
    regional = shared.regional_models("cost", prices)
    runs, code = shared.read_runs("cost", results)
    by_run = [[price_run(run, model, viewers=viewers) for model in regional.models] for run in runs]
    priced = [one for columns in by_run for together in zip(*columns, strict=True) for one in together]
    front = region_front(priced) if len(regional.models) > 1 else {}
    _warn_of_bases(regional)
    if json_:
        shared.print_json([_document(one, front) for one in priced])
    elif priced:
        _table(priced, front)
    return code


def _document(one: ScenarioCost, front: Mapping[str, bool]) -> dict[str, Any]:
    """One element of the list that ``--json`` prints."""
    document: dict[str, Any] = msgspec.to_builtins(one)
    del document["unpriced"]
    year = one.inputs.carbon_year
    document["inputs"]["carbon_year"] = int(year) if year and year.isdigit() else year
    if front:
        document["on_region_front"] = front[one.region or ""]
    return document


def _warn_of_bases(regional: RegionalModels) -> None:
    prices = [model.prices for model in regional.models]
    bases = {one.region: one.carbon.basis for one in prices if one.carbon is not None}
    if len(set(bases.values())) > 1:
        listed = "; ".join(f"{region}: {basis}" for region, basis in bases.items())
        shared.note("cost", f"intensities are of different bases and compare roughly: {listed}")


def _table(priced: Sequence[ScenarioCost], front: Mapping[str, bool]) -> None:
    from rich.table import Table

    unit = priced[0].currency
    table = Table(caption=_caption(priced, front), caption_justify="left")
    several = len({one.run_id for one in priced}) > 1
    if several:
        table.add_column("run", no_wrap=True)
    headings = ("scenario", "region", "kJ", f"electricity {unit}", f"compute {unit}", f"total {unit}")
    for heading in (*headings, f"{unit}/h", f"{unit}/month", f"{unit}/watch h", "g CO2e", "absent because"):
        left = heading in ("scenario", "region", "absent because")
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    for one in priced:
        kilojoules = None if one.energy_joules is None else one.energy_joules / 1000
        grams = None if one.co2_operational_kg is None else one.co2_operational_kg * 1000
        figures = (kilojoules, one.cost_energy, one.cost_compute, one.cost_total, one.rate_per_hour)
        cells = [shared.shown(f) for f in (*figures, one.monthly_projection, one.cost_per_watch_hour, grams)]
        run = (one.run_id.removeprefix("test_results_"),) if several else ()
        table.add_row(*run, one.scenario, one.region or "-", *cells, ", ".join(one.missing))
    tables.console(180).print(table)


def _caption(priced: Sequence[ScenarioCost], front: Mapping[str, bool]) -> str:
    """Where the figures are from, what the reasons mean, which regions are worth a look."""
    lines = {}
    for one in priced:
        used = one.inputs
        source = used.price_source or "unknown"
        price = f"{shared.shown(used.electricity_price_per_kwh)} {one.currency}/kWh ({source})"
        carbon = ", ".join(filter(None, (used.carbon_basis, used.carbon_year, used.carbon_source)))
        grams = f"{shared.shown(used.carbon_grams_per_kwh)} g/kWh ({carbon or 'unknown'})"
        if one.cost_total is not None or one.co2_operational_kg is not None:
            lines[one.region] = (
                f"{one.region or 'no region'}: {price}; {grams}; PUE {used.pue:g} ({used.pue_source})"
            )
    tiers = sorted(
        {one.energy_tier or "of unknown origin" for one in priced if one.energy_joules is not None}
    )
    text = ["Energy is " + " and ".join(tiers) + "; a month is 730 hours."] if tiers else []
    reasons = dict.fromkeys(reason for one in priced for reason in one.missing)
    text += [*lines.values(), *(f"{reason}: {REASONS[reason]}" for reason in reasons)]
    if front:
        best = [region for region, on in front.items() if on]
        text.append(f"No other region is both cheaper and cleaner than: {', '.join(best)}")
    return "\n".join(text)
