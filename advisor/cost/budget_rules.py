"""Budgets as Prometheus alert rules over the series of the cost exporter."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advisor.common.atomic import write_atomically
from advisor.cost.forecast import Budget, MonthForecast


def budget_rules(forecasts: Sequence[MonthForecast], budget: Budget) -> dict[str, Any]:
    """The document of a rule file: one alert for each budget, over all the configurations.

    An alert multiplies what an hour of a stream takes, at the mean price and intensity that forecasts count
    with, by the planned hours of a month; of several runs the mean counts. It fires once for each
    configuration.
    """
    rules = []
    if budget.cost is not None:
        series = "cost_planned_per_stream_hour"
        months = [_month(series, p, scenario=p.scenario, currency=p.currency) for p in forecasts]
        words = "costs {{ $value }} {{ $labels.currency }} a month"
        rules.append(_rule("MonthlyCostOverBudget", months, budget.cost, words))
    if budget.co2_kg is not None:
        series = "co2_planned_per_stream_hour_kg"
        months = [_month(series, p, scenario=p.scenario, region=p.region or "") for p in forecasts]
        words = "emits {{ $value }} kg of CO2e a month"
        rules.append(_rule("MonthlyEmissionsOverBudget", months, budget.co2_kg, words))
    return {"groups": [{"name": "wattframe_budgets", "rules": rules}]}


def _month(series: str, plan: MonthForecast, **labels: str) -> str:
    chosen = ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items())
    return f"avg by ({', '.join(labels)}) ({series}{{{chosen}}}) * {plan.stream_hours_per_month!r}"


def _rule(name: str, months: Sequence[str], limit: float, words: str) -> dict[str, Any]:
    over = [f"{month} > {limit!r}" for month in dict.fromkeys(months)]
    return {
        "alert": name,
        "expr": "\nor ".join(over),
        "for": "5m",
        "labels": {"severity": "warning"},
        # the name of a scenario is only ever filled in as a label: it cannot become part of the template
        "annotations": {"summary": f"{{{{ $labels.scenario }}}} {words}, more than the budget of {limit!r}"},
    }


def write_rules(path: str | os.PathLike[str], forecasts: Sequence[MonthForecast], budget: Budget) -> None:
    """Replace ``path`` as a whole with the rules, so that a reload of Prometheus never sees half of them."""
    import yaml

    text = yaml.safe_dump(budget_rules(forecasts, budget), sort_keys=False, allow_unicode=True, width=1000)
    write_atomically(Path(path), text.encode())
