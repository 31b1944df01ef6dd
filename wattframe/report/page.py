"""The page around the charts."""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from advisor.common.exit import printable
from advisor.cost.model import CostModel
from advisor.cost.scenario_cost import ScenarioCost
from advisor.results import Run
from wattframe.report.charts import cost_split, power_over_time, quality_against_energy
from wattframe.report.choice import VALUES, RunChoice
from wattframe.report.comparison import compare
from wattframe.report.drawing import Chart
from wattframe.report.numbers import UNKNOWN, change, number
from wattframe.report.rows import Row, report_rows, shared

_TEMPLATES = PackageLoader("wattframe.report")


class RunView(Struct, frozen=True, kw_only=True):
    """One run with what the other rooms said of it."""

    run: Run
    model: CostModel | None = None
    """What prices the run; None leaves money and carbon out."""
    answer: RunChoice | None = None
    """Its choice is ringed in the chart and marked in the table."""


class RunSection(Struct, frozen=True, kw_only=True):
    """What the template shows of one run."""

    identity: str
    run: Run
    rows: Sequence[Row]
    answer: RunChoice | None
    facts: Sequence[str]
    power: str
    is_modelled: bool
    currency: str | None
    charts: Sequence[Chart]
    shared_remarks: Sequence[str]
    """What is said of every scenario, and so said once."""


def page(views: Sequence[RunView], made: datetime.datetime, version: str) -> str:
    """The whole document; it loads nothing. With two runs it begins with what changed between them."""
    sections = [_section(view, f"run{index}") for index, view in enumerate(views, 1)]
    comparison = None
    if len(sections) == 2:
        first, second = sections
        comparison = compare(first.run, second.run, first.rows, second.rows)
        if not comparison.changes and any(view.answer and view.answer.is_tuned for view in views):
            comparison = None  # an answer was looked for, not a change
    title = f"Wattframe: {views[0].run.run_id}" if len(views) == 1 else f"Wattframe: {len(views)} runs"
    return render(
        "report.html",
        title=title,
        sections=sections,
        comparison=comparison,
        made=f"{made:%Y-%m-%d %H:%M %Z}",
        version=version,
        unknown=UNKNOWN,
        values=VALUES,
    )


def render(name: str, **values: Any) -> str:
    """A template of this package, everything in it escaped, with its style and its script inlined."""
    environment = Environment(
        loader=_TEMPLATES,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # a name that turns the direction of what follows would show another one
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters |= {"number": number, "change": change}
    style, script = (_TEMPLATES.get_source(environment, part)[0] for part in ("page.css", "page.js"))
    # a page that is mailed around must not load anything, nor run a script but ours, whatever ends up in it
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    inlined = {"style": Markup(style), "script": Markup(script)}  # noqa: S704  they are this package's own
    return environment.get_template(name).render(**inlined, **values, script_hash=allowed)


def _section(view: RunView, identity: str) -> RunSection:
    rows = report_rows(view.run, view.model)
    power, is_modelled = _power(rows)
    costs = [row.cost for row in rows if row.cost]
    priced = next((cost for cost in costs if cost.cost_total is not None), None)
    charts = (
        quality_against_energy(rows, f"{identity}-quality", view.answer),
        power_over_time(rows, f"{identity}-power"),
        cost_split(rows, f"{identity}-cost", _prices(priced)) if priced else None,
    )
    return RunSection(
        identity=identity,
        run=view.run,
        rows=rows,
        answer=view.answer,
        facts=_facts(view.run, rows),
        power=power,
        is_modelled=is_modelled,
        currency=costs[0].currency if costs else None,
        charts=[chart for chart in charts if chart],
        shared_remarks=shared([row.remarks for row in rows]),
    )


def _facts(run: Run, rows: Sequence[Row]) -> list[str]:
    host, tool, start = run.host, run.tool, run.start_time
    when = datetime.datetime.fromtimestamp(start, datetime.UTC) if start else None
    real = [row for row in rows if not row.is_baseline]
    failed = sum(row.scenario.status != "ok" for row in real)
    idle = next((row.watts for row in rows if row.is_baseline and row.watts is not None), None)
    facts = [
        f"{when:%Y-%m-%d %H:%M} UTC" if when else None,
        next((row.scenario.input.name for row in rows if row.scenario.input), None),
        host.cpu_model if host else None,
        f"{host.threads} threads" if host and host.threads else None,
        "virtual machine" if host and host.virtual else None,
        f"ffmpeg {tool.ffmpeg_version}" if tool and tool.ffmpeg_version else None,
        f"idle {number(idle)} W" if idle is not None else None,
        f"{len(real)} scenarios" + (f", {failed} did not finish" if failed else ""),
    ]
    return [fact for fact in facts if fact]


def _power(rows: Sequence[Row]) -> tuple[str, bool]:
    """Whether watts were measured or modelled: the first thing a reader must know of them."""
    tiers = sorted({row.tier for row in rows if row.tier})
    if not tiers:
        return "power unknown", True
    words = {"measured": "power measured", "modelled": "power modelled from CPU utilisation"}
    label = ", ".join(words.get(tier, tier) for tier in tiers)
    widths = [row.scenario.power.uncertainty_ratio for row in rows if row.scenario.power]
    widest = max((width for width in widths if width is not None), default=None)
    if widest is not None and "modelled" in tiers:
        label += f", ±{widest * 100:.0f} %"
    return label, "modelled" in tiers


def _prices(cost: ScenarioCost) -> str:
    """The prices and the carbon intensity behind a cost, with where they are from."""
    used, currency = cost.inputs, cost.currency
    parts = []
    if used.electricity_price_per_kwh is not None:
        price = number(used.electricity_price_per_kwh)
        parts.append(f"Electricity at {price} {currency} per kWh ({used.price_source}), PUE {used.pue:g}.")
    if used.machine_cost_per_hour is not None:
        parts.append(f"The machine at {number(used.machine_cost_per_hour)} {currency} an hour.")
    elif used.cpu_cost_per_hour is not None:
        parts.append(f"The machine's CPU at {number(used.cpu_cost_per_hour)} {currency} an hour.")
    if used.carbon_grams_per_kwh is None:
        parts.append("Carbon is unknown: name a region with --region.")
    else:
        origin = [used.carbon_basis, used.carbon_year, used.carbon_source]
        basis = ", ".join(str(part) for part in origin if part is not None)
        parts.append(f"Carbon at {number(used.carbon_grams_per_kwh)} g CO2e per kWh ({basis}).")
    return " ".join(parts)
