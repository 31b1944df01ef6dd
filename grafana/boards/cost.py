"""What the scenarios of one run cost."""

from __future__ import annotations

from grafana.boards.base import (
    IN_REGION,
    OF_RUN,
    OF_SCENARIOS,
    REGION,
    board,
    cost_in_region,
    once,
    total_in_region,
)
from grafana.panels import BLUE, GREEN, ORANGE, RED, columns, gauge, level_bars, pie, query, table, thresholds

__all__ = ["BOARD"]

_PRICED = "run_id, scenario, currency"
_ENERGY = once(f"cost_energy_load_aware{IN_REGION}", _PRICED)
_MACHINE = once(f"cost_compute{OF_RUN}", _PRICED)
_GPU = once(f"cost_gpu{OF_RUN}", _PRICED)
BOARD = board(
    "cost",
    "Cost analysis",
    "Cost of one run's scenarios in the selected region, in the cost exporter's currency.",
    [
        columns(
            "Energy and compute",
            "Cost of each scenario: electricity, machine time and GPU time.",
            {
                "energy": _ENERGY,
                "machine": f"{_MACHINE} - {_GPU} or {_MACHINE}",
                "gpu": _GPU,
            },
            unit="none",
        ),
        columns(
            "An hour of video",
            "Total cost per hour of video of one stream: comparable between scenarios of different length.",
            {"cost": cost_in_region("cost_per_stream_hour")},
            unit="none",
        ),
        level_bars(
            "Total",
            "Total cost of each scenario as it ran.",
            query(f"sort_desc({total_in_region()})", "{{scenario}} ({{currency}})", now=True),
            unit="sci",
        ),
        level_bars(
            "Per megapixel",
            "Total cost divided by the pixels delivered.",
            query(
                f"sort_desc({cost_in_region('cost_per_pixel')} * 1e6)",
                "{{scenario}} ({{currency}})",
                now=True,
            ),
            unit="sci",
        ),
        level_bars(
            "Per viewer watch hour",
            "Only for scenarios with a known number of viewers.",
            query(
                f"sort_desc({cost_in_region('cost_per_watch_hour')})", "{{scenario}} ({{currency}})", now=True
            ),
            unit="sci",
        ),
        level_bars(
            "Carbon",
            "Operational emissions in the region, without embodied carbon.",
            query(f"sort_desc({once(f'co2_emissions_kg{IN_REGION}')} * 1000)", "{{scenario}}", now=True),
            unit="massg",
        ),
        gauge(
            "Run total",
            "Sum over the selected scenarios of the run.",
            query(f"sum by (currency) ({total_in_region()})", "{{currency}}", now=True),
            unit="none",
            limits=thresholds(base=BLUE),
            width=5,
        ),
        gauge(
            "Most expensive scenario, all month",
            "Highest cost of a scenario for 730 hours, relative to wattframe:scenario_budget_per_month.",
            query(
                f"max({cost_in_region('cost_monthly_projection')}) / on () wattframe:scenario_budget_per_month",
                now=True,
            ),
            unit="percentunit",
            limits=thresholds((0.8, ORANGE), (1, RED), base=GREEN),
            high=1.5,
            width=5,
        ),
        gauge(
            "Electricity's share",
            "Share of the run's cost. If it is small, energy matters for the choice of codec, not of region.",
            query(
                f"sum({_ENERGY} and {total_in_region()}) / sum({total_in_region()})",
                now=True,
            ),
            unit="percentunit",
            limits=thresholds(base=BLUE),
            high=1,
            width=4,
        ),
        gauge(
            "Energy",
            "Energy of the selected scenarios of the run, measured and modelled separately.",
            query(
                f"sum by (tier) ({once(f'results_scenario_total_energy_joules{OF_RUN}', 'run_id, scenario, tier')})",
                "{{tier}}",
                now=True,
            ),
            unit="joule",
            limits=thresholds(base=BLUE),
            width=4,
        ),
        pie(
            "Distribution",
            "Each scenario's share of the run's cost.",
            query(f"sum by (scenario) ({total_in_region()})", "{{scenario}}", now=True),
            unit="none",
            height=6,
        ),
        table(
            "Comparison",
            "Cost by wall time, cost by CPU time (load-aware) and carbon in the region.",
            {
                "total": (total_in_region(), "none"),
                "by load": (once(f"cost_total_load_aware{IN_REGION}", _PRICED), "none"),
                "a month": (cost_in_region("cost_monthly_projection"), "none"),
                "an hour of video": (cost_in_region("cost_per_stream_hour"), "none"),
                "kg CO2e": (once(f"co2_emissions_kg{IN_REGION}", _PRICED), "masskg"),
            },
            keep=("scenario", "currency"),
            sort="an hour of video",
            descending=False,
        ),
        table(
            "Prices and intensities used",
            "Prices and intensities behind the figures, with their sources.",
            {
                "per kWh": (
                    'max by (region, price_from) (label_replace(cost_electricity_price_per_kwh{region="$region"}, '
                    '"price_from", "$1", "source", "(.*)"))',
                    "none",
                ),
                "g CO2e per kWh": (
                    "max by (region, carbon_from, basis, year) (label_replace("
                    'cost_grid_carbon_grams_per_kwh{region="$region"}, "carbon_from", "$1", "source", "(.*)"))',
                    "none",
                ),
                "PUE": ('max by (region) (cost_pue_ratio{region="$region"})', "none"),
            },
            keep=("region", "price_from", "carbon_from", "basis", "year"),
            width=16,
            height=6,
        ),
        table(
            "Scenarios without a price",
            "Scenarios of the run without a cost or emission, with the reason. Unknown is absent, never 0.",
            {
                "": (
                    once(f"cost_scenario_unpriced_info{IN_REGION}", "run_id, scenario, region, reason"),
                    "none",
                )
            },
            keep=("scenario", "region", "reason"),
            width=8,
            height=6,
        ),
    ],
    [*OF_SCENARIOS, REGION],
)
