"""``wattframe cost``: cost and carbon of measured scenarios, regions side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

import msgspec
import typer
from msgspec.structs import replace

from advisor.cost.carbon import Embodied, FunctionalUnit
from advisor.cost.checks import amount
from advisor.cost.cost_record import REASONS, Priced
from advisor.cost.price_list import PriceBook, PriceOptions
from advisor.cost.run_cost import price_run, region_front
from wattframe import pricing, tables

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@pricing.takes_prices()
def cost(
    results: pricing.Results,
    viewers: pricing.Viewers = None,
    embodied_kg: Annotated[
        float | None, typer.Option(envvar="EMBODIED_KG", help="CO2e of making the machine, in kg.")
    ] = None,
    embodied_minimum_kg: Annotated[
        float | None, typer.Option(envvar="EMBODIED_MINIMUM_KG", help="Its lowest figure.")
    ] = None,
    embodied_maximum_kg: Annotated[
        float | None, typer.Option(envvar="EMBODIED_MAXIMUM_KG", help="Its highest figure.")
    ] = None,
    lifetime_years: Annotated[
        float, typer.Option(envvar="LIFETIME_YEARS", help="Years that the machine is used.")
    ] = 4.0,
    functional_unit: Annotated[
        str | None,
        typer.Option(
            envvar="FUNCTIONAL_UNIT", help="What the SCI is per: video_minute, watch_hour or gigapixel."
        ),
    ] = None,
    json_: pricing.Json = False,
    *,
    prices: PriceOptions,
) -> int:
    """Cost and carbon of measured scenarios, in money and CO2, by region."""
    if embodied_kg is not None:
        making = Embodied(embodied_kg, lifetime_years, embodied_minimum_kg, embodied_maximum_kg)
        prices = replace(prices, embodied=making)
    if viewers is not None:
        amount(viewers, field="viewers")
    unit = cast("FunctionalUnit | None", functional_unit)
    book = PriceBook.load(replace(prices, functional_unit=unit))
    runs, code = pricing.read_runs("cost", results)
    by_run = [[price_run(run, model, viewers=viewers) for model in book.models] for run in runs]
    priced = [one for regional in by_run for together in zip(*regional, strict=True) for one in together]
    front = region_front(priced) if len(book.models) > 1 else {}
    _warn_of_bases(book)
    if json_:
        pricing.print_json([_document(one, front) for one in priced])
    elif priced:
        _table(priced, front)
    return code


def _document(one: Priced, front: Mapping[str, bool]) -> dict[str, Any]:
    """One element of the list that ``--json`` prints."""
    document: dict[str, Any] = msgspec.to_builtins(one)
    del document["unpriced"]
    year = one.inputs.carbon_year
    document["inputs"]["carbon_year"] = int(year) if year and year.isdigit() else year
    if front:
        document["on_region_front"] = front[one.region or ""]
    return document


def _warn_of_bases(book: PriceBook) -> None:
    bases = {
        model.prices.region: model.prices.carbon_basis for model in book.models if model.prices.carbon_basis
    }
    if len(set(bases.values())) > 1:
        listed = "; ".join(f"{region}: {basis}" for region, basis in bases.items())
        pricing.note("cost", f"intensities are of different bases and compare roughly: {listed}")


def _table(priced: Sequence[Priced], front: Mapping[str, bool]) -> None:
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
        cells = [pricing.shown(f) for f in (*figures, one.monthly_projection, one.cost_per_watch_hour, grams)]
        run = (one.run_id.removeprefix("test_results_"),) if several else ()
        table.add_row(*run, one.scenario, one.region or "-", *cells, ", ".join(one.missing))
    tables.console(180).print(table)


def _caption(priced: Sequence[Priced], front: Mapping[str, bool]) -> str:
    """Where the figures are from, what the reasons mean, which regions are worth a look."""
    lines = {}
    for one in priced:
        used = one.inputs
        source = used.price_source or "unknown"
        price = f"{pricing.shown(used.electricity_price_per_kwh)} {one.currency}/kWh ({source})"
        carbon = ", ".join(filter(None, (used.carbon_basis, used.carbon_year, used.carbon_source)))
        grams = f"{pricing.shown(used.carbon_grams_per_kwh)} g/kWh ({carbon or 'unknown'})"
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
