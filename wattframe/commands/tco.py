"""``wattframe tco``: total cost of ownership, its shares and its break-even points."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

import typer

from advisor.common.exit import print_json
from advisor.common.near import did_you_mean
from advisor.cost.checks import Checker
from advisor.cost.ownership import Machine, TcoAnalysis
from advisor.cost.price_inputs import PriceOptions
from advisor.errors import InputError
from advisor.results import Run, Scenario
from advisor.results.derived import published
from wattframe.commands.arguments import Json, application, read_runs
from wattframe.commands.prices import (
    EMISSIONS_OF_MAKING,
    MACHINE_TIME,
    Viewers,
    regional_models,
    takes_prices,
)
from wattframe.console import console, note, print_table, shown

app = application()

_NEEDS = {
    "--gpu-purchase-price": ("--gpu-mean-watts", "--gpu-streams"),
    "--gpu-mean-watts": ("--gpu-purchase-price",),
    "--gpu-streams": ("--gpu-purchase-price",),
    "--faster": ("--slower", "--delivery-cost-per-gb"),
    "--slower": ("--faster",),
    "--cloud-streams": ("--cloud-cost-per-hour",),
    **dict.fromkeys(("--viewers", "--bitrate-kbps"), ("--delivery-cost-per-gb",)),
}
"""What an option does nothing without."""


@app.command()
@takes_prices(*MACHINE_TIME, *EMISSIONS_OF_MAKING)
def tco(
    context: typer.Context,
    purchase_price: Annotated[float, typer.Option(help="Purchase price of the machine.")],
    results: Annotated[
        list[Path] | None, typer.Argument(help="Result files with --scenario, --faster and --slower.")
    ] = None,
    residual_value: Annotated[float, typer.Option(help="Resale value at the end of its life.")] = 0.0,
    lifetime_years: Annotated[float, typer.Option(help="Lifetime of the machine in years.")] = 4.0,
    utilisation: Annotated[float, typer.Option(help="Share of its life in use, 0 to 1.")] = 1.0,
    mean_watts: Annotated[float | None, typer.Option(help="Watts in use (else the scenario's).")] = None,
    idle_watts: Annotated[float, typer.Option(help="Idle power, watts; 0 if switched off.")] = 0.0,
    maintenance_per_year: Annotated[float, typer.Option(help="Maintenance per year.")] = 0.0,
    streams: Annotated[
        float | None, typer.Option(help="Hours of video per hour of use (else the scenario's, else 1).")
    ] = None,
    embodied_kg: Annotated[float | None, typer.Option(help="Embodied CO2e, in kg.")] = None,
    scenario: Annotated[str | None, typer.Option(help="Scenario that provides power and streams.")] = None,
    viewers: Viewers = None,
    bitrate_kbps: Annotated[float | None, typer.Option(help="Bitrate per viewer.")] = None,
    delivery_cost_per_gb: Annotated[float | None, typer.Option(help="Price of 10^9 bytes.")] = None,
    cloud_cost_per_hour: Annotated[float | None, typer.Option(help="Instance price per hour.")] = None,
    cloud_streams: Annotated[float | None, typer.Option(help="Its hours of video per hour.")] = None,
    gpu_purchase_price: Annotated[float | None, typer.Option(help="Purchase price of a GPU host.")] = None,
    gpu_mean_watts: Annotated[float | None, typer.Option(help="Its power in use, watts.")] = None,
    gpu_idle_watts: Annotated[float, typer.Option(help="Its idle power, watts.")] = 0.0,
    gpu_streams: Annotated[float | None, typer.Option(help="Its hours of video per hour.")] = None,
    faster: Annotated[str | None, typer.Option(help="Scenario with the faster preset.")] = None,
    slower: Annotated[str | None, typer.Option(help="Scenario with the slower preset.")] = None,
    json_: Json = False,
    *,
    prices: PriceOptions,
) -> int:
    """Compute the cost of a machine over its life, per hour, stream and viewer, with break-even points."""
    given = {f"--{name.replace('_', '-')}": value for name, value in context.params.items()}
    for option, needed in _NEEDS.items():
        lacking = [name for name in needed if given[name] is None]
        if given[option] is not None and lacking:
            raise InputError(f"expected {' and '.join(lacking)} beside it", subject=option)
    check = Checker(None, prices.currency, prices.accept_unusual_prices)
    for name, per in (("cloud_cost_per_hour", "hour"), ("delivery_cost_per_gb", "GB")):
        if context.params[name] is not None:
            check.price(context.params[name], name, per)
    regional = regional_models("tco", prices, defaults=("energy_cost_per_kwh",))
    runs, code = read_runs("tco", results) if results else ([], 0)
    gpu = None
    if gpu_purchase_price is not None and gpu_mean_watts is not None and gpu_streams is not None:
        gpu = Machine(
            purchase_price=gpu_purchase_price,
            lifetime_years=lifetime_years,
            mean_watts=gpu_mean_watts,
            idle_watts=gpu_idle_watts,
            streams=gpu_streams,
            utilisation_ratio=utilisation,
        )
    scenarios: dict[str, Any] = {
        option: _named(runs, name, f"--{option}")
        for option, name in (("scenario", scenario), ("faster", faster), ("slower", slower))
    }
    analyses = [
        model.get_tco_analysis(
            purchase_price,
            residual_value=residual_value,
            lifetime_years=lifetime_years,
            utilisation_ratio=utilisation,
            mean_watts=mean_watts,
            idle_watts=idle_watts,
            maintenance_per_year=maintenance_per_year,
            streams=streams,
            embodied_kg=embodied_kg,
            viewers=viewers,
            bitrate_kbps=bitrate_kbps,
            delivery_cost_per_gb=delivery_cost_per_gb,
            cloud_cost_per_hour=cloud_cost_per_hour,
            cloud_streams=cloud_streams,
            gpu=gpu,
            **scenarios,
        )
        for model in regional.models
    ]
    if json_:
        print_json(analyses)
    else:
        _table(analyses)
    return code


def _named(runs: Sequence[Run], name: str | None, option: str) -> Scenario | None:
    """The newest finished scenario of that name."""
    if name is None:
        return None
    scenarios = [s for run in runs for s in published(run) if s.status == "ok"]
    of_that_name = [s for s in scenarios if s.name == name]
    if not of_that_name:
        hint = did_you_mean(name, sorted({s.name for s in scenarios}))
        raise InputError(f"no finished scenario {name!r} in the result files, {hint}", subject=option)
    newest = max(of_that_name, key=lambda s: s.start_time or 0.0)
    if newest.validity:
        note("tco", f"{name} is used although not valid: {', '.join(newest.validity)}")
    return newest


def _table(analyses: Sequence[TcoAnalysis]) -> None:
    regions = [analysis.region or "no region" for analysis in analyses]
    figures = [(label, *(shown(attrgetter(f)(a), 6) for a in analyses)) for label, f in _FIGURES.items()]
    # a row without a figure was not asked for
    rows = [row for row in figures if set(row[1:]) != {"-"}]
    rows.append(("moves the total most", *(a.moves_most or "-" for a in analyses)))
    print_table(("part", *regions), rows, title=f"{analyses[0].currency}, an hour of use")
    for line in _caption(analyses):
        console().print(line)


_FIGURES = {
    **{part: f"per_hour.{part}" for part in ("capital", "maintenance", "electricity", "delivery")},
    "total": "total_per_hour",
    "total a year": "total_per_year",
    "total over its life": "total_over_lifetime",
    "an hour of one stream": "per_stream_hour",
    "an hour watched": "per_watch_hour",
    "cloud, an hour of one stream": "cloud_per_stream_hour",
    "cheaper than the cloud from utilisation": "break_even_utilisation_cloud",
    "GPU, an hour of one stream": "gpu_per_stream_hour",
    "GPU cheaper from utilisation": "break_even_utilisation_gpu",
    "slower preset cheaper from viewers": "break_even_viewers",
    "g CO2e of electricity": "co2_operational_grams_per_hour",
    "g CO2e of making it": "co2_embodied_grams_per_hour",
}
"""Rows of the table, and the field of `TcoAnalysis` that each shows."""


def _caption(analyses: Sequence[TcoAnalysis]) -> list[str]:
    lines = []
    for a in analyses:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in a.shares.items())
        swings = ", ".join(f"{name} {swing:.1%}" for name, swing in list(a.sensitivity.items())[:4])
        price = f"{shown(a.electricity_price_per_kwh)} {a.currency}/kWh, PUE {a.pue:g}"
        lines.append(
            f"{a.region or 'no region'} ({price}): {shares}. Swing of the total for +-10 %: {swings}."
        )
    return lines
