"""``wattframe when``: the cheapest and the cleanest hours for a job, and what waiting for them saves."""

from __future__ import annotations

import datetime
import time
from typing import Annotated, Any

import typer

from advisor.common.exit import print_json
from advisor.cost.checks import Checker, Positive, require_number
from advisor.cost.formulas import JOULES_PER_KWH
from advisor.cost.price_inputs import PriceOptions
from advisor.cost.tariffs.clocks import unix_seconds
from advisor.cost.tariffs.schedule import Flat, SourcedSchedule, covered
from advisor.cost.when_to_run import Hours, best_hours, best_window
from advisor.errors import InputError
from wattframe.commands.arguments import Json, application
from wattframe.commands.prices import EMISSIONS_OF_MAKING, MACHINE_TIME, regional_models, takes_prices
from wattframe.console import console, print_table, shown

app = application()


@app.command()
@takes_prices(*MACHINE_TIME, *EMISSIONS_OF_MAKING)
def when(
    hours: Annotated[float, typer.Option(help="Length of the job in hours.")],
    within: Annotated[float, typer.Option(max=87_600, help="Hours within which the job must finish.")] = 24.0,
    start: Annotated[
        str | None, typer.Option("--from", help="ISO 8601 with offset (default: now, or the series' start).")
    ] = None,
    mean_watts: Annotated[float | None, typer.Option(min=1, help="Mean watts, for cost and kg.")] = None,
    interruptible: Annotated[
        bool, typer.Option("--interruptible", help="The job may be split into separate hours.")
    ] = False,
    json_: Json = False,
    *,
    prices: PriceOptions,
) -> int:
    """Find the cheapest and the cleanest hours for a job, and the saving."""
    require_number(hours, Positive, field="--hours")
    require_number(within, Positive, field="--within")
    model = regional_models("when", prices, one_region=True, defaults=()).models[0]
    kwh = None
    if mean_watts is not None:
        kwh = mean_watts * hours * 3600 * model.prices.pue_ratio / JOULES_PER_KWH
    answers = []
    for quantity, given in (("cost", model.prices.electricity), ("carbon", model.prices.carbon)):
        if given is not None and (span := _span(given, start, within)) is not None:
            best = (best_hours if interruptible else best_window)(given.schedule, hours * 3600, *span)
            answers.append(_answer(quantity, given, best, kwh, model.currency))
    if not answers:
        raise InputError("expected a tariff or a carbon series; nothing given changes over time")
    if json_:
        print_json(answers)
    else:
        _table(answers)
    return 0


def _span(given: SourcedSchedule, start: str | None, within: float) -> tuple[float, float] | None:
    """From when to when to look; None for what never changes."""
    if isinstance(given.schedule, Flat):
        return None
    first, last = covered(given.schedule) or (float("-inf"), float("inf"))
    now = time.time()
    begin = now if first <= now < last else first
    if start is not None:
        begin = unix_seconds(start, Checker("--from"), "")
    return begin, min(begin + within * 3600, last)


def _answer(
    quantity: str, given: SourcedSchedule, best: Hours, kwh: float | None, currency: str
) -> dict[str, Any]:
    at_once, factor = best.mean_at_once, 1.0 if quantity == "cost" else 1e-3
    saved = None if at_once is None or kwh is None else (at_once - best.mean) * kwh * factor
    return {
        "for": quantity,
        "unit": f"{currency}/kWh" if quantity == "cost" else "g/kWh",
        "source": given.source,
        "hours": [[_iso(moment) for moment in span] for span in best.spans],
        "mean": best.mean,
        "mean_at_once": at_once,
        "saving_ratio": best.saving_ratio,
        "saving": saved,
        "saving_unit": currency if quantity == "cost" else "kg CO2e",
    }


def _iso(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).astimezone().isoformat(timespec="minutes")


def _table(answers: list[dict[str, Any]]) -> None:
    rows = []
    for answer in answers:
        ratio = answer["saving_ratio"]
        saved = "-" if ratio is None else f"{ratio:.1%}"
        if answer["saving"] is not None:
            saved += f" ({shown(answer['saving'])} {answer['saving_unit']})"
        mean, at_once = shown(answer["mean"]), shown(answer["mean_at_once"])
        for number, (since, until) in enumerate(answer["hours"]):
            rest = (mean, at_once, saved) if number == 0 else ("", "", "")
            until = until[11:] if until[:10] == since[:10] else until
            rows.append((answer["for"], answer["unit"], f"{since} to {until}", *rest))
    headings = ("for", "of", "hours", "mean", "at once", "saved")
    print_table(headings, rows, text=("of",), title="when to run")
    for answer in answers:
        console().print(f"{answer['for']}: {answer['source']}")
