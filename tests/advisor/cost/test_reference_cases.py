"""Cases worked out by other tools: each through the public API, at its stated tolerance.

`tests/data/cost_reference_cases.json` carries the inputs, the expected result and where it was published.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from advisor import CostModel
from advisor.cost import carbon
from advisor.cost import formulas as money
from advisor.cost.tariffs.schedule import Series, average
from advisor.energy.counter import EnergyCounter

CASES = {
    case["id"]: case
    for case in json.loads((Path(__file__).parents[1] / "data" / "cost_reference_cases.json").read_text())
}


def _wrap(i: dict[str, Any]) -> float:
    counter = EnergyCounter(i["max_uj"], max_watts=1.0)
    counter.observe(i["prev_uj"], 0.0)
    counter.observe(i["now_uj"], 1.0)
    return counter.joules


def _step_hold(i: dict[str, Any]) -> float | None:
    points = i["points_5min"]
    series = Series.of([300 * n for n in range(len(points))], points)
    return average(series, i["start_min"] * 60, i["end_min"] * 60)


def _trapezoid_average(i: dict[str, Any]) -> float | None:
    curve = money.integrate(i["points_30min"], step_seconds=1800)
    begin = _minutes(i["job_start"]) - _minutes(i["start"])
    return curve.mean(begin * 60, (begin + i["minutes"]) * 60)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


CALLS: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "U6": _wrap,
    "U7": lambda i: carbon.grid_mix_grams_per_kwh({k: v for k, v in i.items() if k != "f"}, i["f"]),
    "O1": lambda i: carbon.operational_grams(i["kwh"], i["g_per_kwh"]) / 1000,
    "O5": lambda i: carbon.compute_kwh(
        utilisation_ratio=i["cpu_util_pct"] / 100,
        vcpu_hours=i["vcpu_h"],
        min_watts=i["min_w"],
        max_watts=i["max_w"],
        pue_ratio=i["pue"],
        replication=i["replication"],
    ),
    "O6": lambda i: carbon.operational_grams(i["kwh"], i["t_per_kwh"] * 1e6) / 1e6,
    "O9": lambda i: carbon.resource_kwh(i["tb_h"], watt_hours_per_unit=i["wh_per_tbh"], pue_ratio=i["pue"]),
    "O11": lambda i: carbon.devices_grams(
        i["units_w"], hours=i["minutes"] / 60, grams_per_kwh=i["ci_now"], pue_ratio=i["pue"]
    ),
    "E2": lambda i: carbon.embodied_grams(i["base_g"], i["seconds"], i["life_s"]),
    "E3": lambda i: carbon.embodied_grams(
        i["base_g"] + i["extra_vcpu"] * i["vcpu_g"], i["seconds"], i["life_s"]
    ),
    "E6": lambda i: carbon.sci_grams_per_unit(i["carbon"], functional_units=i["units"]),
    "E9": lambda i: carbon.allocated(i["total"], i["hours"], i["life_h"]),
    "L1": lambda i: carbon.tdp_ratio(i["util"]),
    "L2": lambda i: carbon.tdp_energy_kwh(
        i["util"],
        tdp_watts=i["tdp_w"],
        seconds=i["s"],
        vcpus_allocated=i["alloc"],
        vcpus_total=i["total"],
    ),
    "T1": _step_hold,
    "T2": _step_hold,
    "T6": _trapezoid_average,
    "M1": lambda i: money.hourly_from_monthly(i["cpu_month"]),
    "M3": lambda i: money.per_byte_hour_from_monthly_gib(i["ram_month"]),
    "M7": lambda i: money.split_price(i["node_month"], i["base"])["gpu"],
    "M9": lambda i: money.utilisation_ratio(i["usage"], i["allocation"]),
    "M11": lambda i: CostModel(energy_cost_per_kwh=i["price"]).compute_energy_cost(
        power_watts=i["watts"], duration_seconds=i["seconds"]
    ),
    "M12": lambda i: CostModel().compute_cost_per_pixel(i["usd"], i["px"]),
    "M13": lambda i: CostModel().compute_cost_per_watch_hour(i["usd"], i["viewers"], i["hours"]),
    "M14": lambda i: CostModel(price_per_joule=i["usd_per_joule"]).compute_energy_cost(
        power_watts=i["watts"], step_seconds=i["step_s"]
    ),
    "M15": lambda i: CostModel(price_per_core_second=i["usd_per_core_s"]).compute_compute_cost(
        cpu_usage_cores=i["cores"], step_seconds=i["step_s"]
    ),
    "M17": lambda i: CostModel(energy_cost_per_kwh=i["usd_per_kwh"]).price_per_joule,
}
# where the source prices a scenario: the same through the scenario, as a result file would hold it
_HOUR = {"power": {"mean_watts": 100.0}, "duration": 3600}
SCENARIOS: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "M11": lambda i: CostModel(energy_cost_per_kwh=i["price"]).compute_energy_cost(
        {"power": {"mean_watts": i["watts"]}, "duration": i["seconds"]}
    ),
    "M12": lambda _: CostModel(energy_cost_per_kwh=0.10).compute_cost_per_pixel(
        {**_HOUR, "duration": 60, "resolution": "1920x1080", "fps": 30}
    ),
    "M13": lambda i: CostModel(energy_cost_per_kwh=0.10).compute_cost_per_watch_hour(
        _HOUR, viewers=i["viewers"]
    ),
    "M14": lambda i: CostModel(price_per_joule=i["usd_per_joule"]).compute_energy_cost(
        {"power_watts": i["watts"], "step_seconds": i["step_s"]}
    ),
    "M15": lambda i: CostModel(price_per_core_second=i["usd_per_core_s"]).compute_compute_cost(
        {"cpu_usage_cores": i["cores"], "step_seconds": i["step_s"]}, load_aware=True
    ),
    "O1": lambda i: (
        CostModel(carbon_grams_per_kwh=i["g_per_kwh"])
        .price({"power": {"total_energy_joules": i["kwh"] * 3.6e6}, "duration": 3600})
        .co2_operational_kg
    ),
}


def test_every_case_is_tried() -> None:
    assert CALLS.keys() == CASES.keys()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_published_case_comes_out_as_published(case: dict[str, Any]) -> None:
    assert CALLS[case["id"]](case["inputs"]) == pytest.approx(case["expected"], rel=case["rtol"], abs=0)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_published_case_of_a_scenario_comes_out_of_the_scenario(name: str) -> None:
    case = CASES[name]
    assert SCENARIOS[name](case["inputs"]) == pytest.approx(case["expected"], rel=case["rtol"], abs=0)


@pytest.mark.parametrize(
    ("coefficient", "kwh"),
    [(0.65, 0.00073775), (0.392, 0.00044492), (1.0, 0.001135)],
    ids=["disk", "memory", "network"],
)
def test_cloud_carbon_footprints_other_coefficients(coefficient: float, kwh: float) -> None:
    """One unit at the PUE of its test data, 1.135, worked out by hand."""
    done = carbon.resource_kwh(1, watt_hours_per_unit=coefficient, pue_ratio=1.135)
    assert done == pytest.approx(kwh, rel=1e-12)


@pytest.mark.parametrize(
    ("start_minute", "end_minute", "mean"),
    [(0, 20, 25.0), (4, 20, 28.75), (0, 16, 21.25), (2.5, 17.5, 25.0), (2, 3, 10.0)],
)
def test_every_row_of_the_step_hold_table_prices_a_scenario(
    start_minute: float, end_minute: float, mean: float
) -> None:
    """Carbon Aware SDK, AverageOverPeriod: a kilowatt-hour in the window pays and emits the mean."""
    begin = 1772434800.0
    series = Series.of([begin + 300 * n for n in range(4)], [10, 20, 30, 40])
    window = {"start_time": begin + start_minute * 60, "duration": (end_minute - start_minute) * 60}
    model = CostModel(tariff=series, carbon_grams_per_kwh=series)
    priced = model.price({**window, "power": {"total_energy_joules": 3.6e6}})
    assert priced.cost_energy == pytest.approx(mean, rel=1e-9)
    assert priced.co2_operational_kg == pytest.approx(mean / 1000, rel=1e-9)
    assert average(series, window["start_time"], window["start_time"] + window["duration"]) == mean
