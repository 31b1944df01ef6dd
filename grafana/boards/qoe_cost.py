"""Which quality costs what."""

from __future__ import annotations

import itertools

from grafana.boards.base import IN_REGION, OF_RUN, OF_SCENARIOS, REGION, board, cost_in_region, vmaf
from grafana.panels import level_bars, query, scatter, table

__all__ = ["BOARD"]


_COST = f"max by (run_id, scenario) ({cost_in_region('cost_per_stream_hour')})"


def _at_least(target: int) -> str:
    """Cost of an hour of video where the VMAF is at least this."""
    return f"{_COST} and on (run_id, scenario) ({vmaf()} >= {target})"


TARGETS = (60, 70, 80, 90, 95)
BOARD = board(
    "qoe-cost",
    "QoE and cost together",
    "Cost of quality in the selected region, within one run.",
    [
        scatter(
            "Quality against cost",
            "Up and to the left is better.",
            (
                "cost of an hour of video",
                _COST,
                "none",
            ),
            ("VMAF", vmaf(), "none"),
            width=12,
        ),
        scatter(
            "Quality against energy",
            "Energy of the host per second of video.",
            (
                "J/s of video",
                f"avg by (run_id, scenario) (results_scenario_energy_joules_per_output_second{OF_RUN})",
                "joule",
            ),
            ("VMAF", vmaf(), "none"),
            width=12,
        ),
        level_bars(
            "Cheapest at each target",
            "The front: the lowest cost of an hour of video with at least that VMAF. Targets that no "
            "scenario reaches are missing.",
            *(query(f"bottomk(1, {_at_least(v)})", f"VMAF {v}: {{{{scenario}}}}", now=True) for v in TARGETS),
            unit="none",
            decimals=4,
        ),
        level_bars(
            "Price of one more VMAF point",
            "Difference in the cost of an hour of video between the cheapest scenarios of two targets, "
            "per point.",
            *(
                query(
                    f"(min({_at_least(high)}) - min({_at_least(low)})) / {high - low}",
                    f"from {low} to {high}",
                    now=True,
                )
                for low, high in itertools.pairwise(TARGETS)
            ),
            unit="none",
            decimals=5,
        ),
        table(
            "All points",
            "All scenarios, not only the front.",
            {
                "VMAF": (vmaf(), "none"),
                "cost an hour of video": (
                    _COST,
                    "none",
                ),
                "J/s of video": (
                    f"avg by (run_id, scenario) (results_scenario_energy_joules_per_output_second{OF_RUN})",
                    "joule",
                ),
                "g CO2e an hour of video": (
                    f"max by (run_id, scenario) (co2_per_stream_hour_kg{IN_REGION}) * 1000",
                    "massg",
                ),
                "speed": (f"max by (run_id, scenario) (results_scenario_encode_speed_ratio{OF_RUN})", "none"),
            },
            sort="VMAF",
        ),
    ],
    [*OF_SCENARIOS, REGION],
)
