"""``wattframe cost``: cost and carbon of measured scenarios, regions side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from advisor.common.exit import print_json
from advisor.cost.model import RegionalModels
from advisor.cost.price_inputs import PriceOptions
from advisor.cost.run_cost import region_front
from advisor.cost.scenario_cost import REASONS, ScenarioCost
from wattframe.commands.arguments import Json, Results, ResultsOption, application, named_paths, read_runs
from wattframe.commands.prices import Viewers, regional_models, takes_prices
from wattframe.console import console, note, print_table, shown

app = application()


@app.command()
@takes_prices()
def cost(
    paths: Results = None,
    results_option: ResultsOption = None,
    viewers: Viewers = None,
    json_: Json = False,
    *,
    prices: PriceOptions,
) -> int:
    """Show cost and carbon of measured scenarios, by region."""
    regional = regional_models("cost", prices)
    runs, code = read_runs("cost", named_paths(paths, results_option))
    by_run = [[model.price_run(run, viewers=viewers) for model in regional.models] for run in runs]
    priced = [one for columns in by_run for together in zip(*columns, strict=True) for one in together]
    front = region_front(priced) if len(regional.models) > 1 else {}
    _warn_of_bases(regional)
    if json_:
        print_json([_document(one, front) for one in priced])
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
        note("cost", f"carbon intensities have different bases and are only roughly comparable: {listed}")


def _table(priced: Sequence[ScenarioCost], front: Mapping[str, bool]) -> None:
    """What compares comes first, per hour of video; then the runs as they were."""
    unit = priced[0].currency
    several = len({one.run_id for one in priced}) > 1
    titles = {
        "per hour of video": (unit, "kWh", "g CO2e", f"{unit} watched"),
        f"as measured, in {unit}": ("kJ", "electricity", "compute", "total"),
        f"by machine time, in {unit}": ("an hour", "a month"),
    }
    for title, numbers in titles.items():
        rows = []
        for one in priced:
            run = (one.run_id.removeprefix("test_results_"),) if several else ()
            rows.append((one.scenario, *run, one.region or "-", *map(shown, _figures(one, title))))
        if all(set(row[-len(numbers) :]) == {"-"} for row in rows):
            continue
        headings = ("scenario", *(("run",) if several else ()), "region", *numbers)
        print_table(headings, rows, text=("run", "region"), title=title)
    for line in _caption(priced, front):
        console().print(line)


_LISTED = 5
"""Names in a line below the tables; --json has them all."""


def _figures(one: ScenarioCost, title: str) -> tuple[float | None, ...]:
    if title == "per hour of video":
        kg = one.co2_per_stream_hour_kg
        grams = None if kg is None else kg * 1000
        return one.cost_per_stream_hour, one.facility_kwh_per_stream_hour, grams, one.cost_per_watch_hour
    if title.startswith("as measured"):
        kilojoules = None if one.energy_joules is None else one.energy_joules / 1000
        return kilojoules, one.cost_energy, one.cost_compute, one.cost_total
    return one.rate_per_hour, one.monthly_projection


_SHOWN = {
    "cost_per_stream_hour": "money per hour of video",
    "facility_kwh_per_stream_hour": "energy per hour of video",
    "co2_per_stream_hour_kg": "carbon per hour of video",
    "cost_per_watch_hour": "money per hour watched",
    "cost_energy": "electricity",
    "cost_compute": "compute",
    "cost_total": "the total",
}
"""The figures of the tables whose absence is explained under them."""


def _absences(priced: Sequence[ScenarioCost]) -> list[str]:
    """Which figures are absent, why, and of which scenarios."""
    unasked = set() if any(one.cost_per_watch_hour is not None for one in priced) else {"no_viewers"}
    figures: dict[tuple[str, str], dict[str, None]] = {}
    for one in priced:
        for figure, words in _SHOWN.items():
            for reason in one.missing_by_figure.get(figure, ()):
                if reason not in unasked:
                    figures.setdefault((reason, one.scenario), {})[words] = None
    scenarios: dict[tuple[str, str], list[str]] = {}
    for (reason, name), of in figures.items():
        scenarios.setdefault((reason, ", ".join(of)), []).append(name)
    lines = []
    for (reason, words), names in scenarios.items():
        everywhere = len(names) == len({one.scenario for one in priced})
        listed = "all" if everywhere else _listed(names, ", ")
        lines.append(f"No figure for {words} ({listed}): {reason}: {REASONS[reason]}")
    explained = {reason for reason, _ in figures} | unasked
    partly = dict.fromkeys(reason for one in priced for reason in one.missing if reason not in explained)
    return lines + [f"{reason}: {REASONS[reason]}" for reason in partly]


def _doubts(priced: Sequence[ScenarioCost]) -> list[str]:
    """The scenarios that are not valid, and why."""
    names = {one.scenario: ", ".join(one.validity) for one in priced if one.validity}
    listed = _listed([f"{name} ({reasons})" for name, reasons in names.items()], "; ")
    return [f"Not valid, but priced: {listed}"] if names else []


def _listed(names: Sequence[str], between: str) -> str:
    if len(names) > _LISTED:
        names = [*names[:_LISTED], f"and {len(names) - _LISTED} more"]
    return between.join(names)


def _caption(priced: Sequence[ScenarioCost], front: Mapping[str, bool]) -> list[str]:
    """Where the figures are from, why some are absent, which regions are worth a look."""
    lines = {}
    for one in priced:
        used = one.inputs
        source = used.price_source or "unknown"
        price = f"{shown(used.electricity_price_per_kwh)} {one.currency}/kWh ({source})"
        carbon = ", ".join(filter(None, (used.carbon_basis, used.carbon_year, used.carbon_source)))
        grams = f"{shown(used.carbon_grams_per_kwh)} g/kWh ({carbon or 'unknown'})"
        if one.cost_total is not None or one.co2_operational_kg is not None:
            lines[one.region] = (
                f"{one.region or 'no region'}: {price}; {grams}; PUE {used.pue:g} ({used.pue_source})"
            )
    known = [one for one in priced if one.energy_joules is not None]
    tiers = sorted({one.energy_tier or "of unknown origin" for one in known})
    text = ["Energy is " + " and ".join(tiers) + "; a month is 730 hours."] if tiers else []
    text += [*lines.values(), *_doubts(priced), *_absences(priced)]
    if front:
        best = [region for region, on in front.items() if on]
        text.append(f"No other region is both cheaper and cleaner than: {', '.join(best)}")
    return text
