"""Cases worked out by other tools: each through the public API, at its stated tolerance.

`tests/data/cost_reference_cases.json` carries the inputs, the expected result and where it was published.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from advisor import CostModel
from advisor.cost import carbon
from advisor.cost.carbon import Embodied
from advisor.cost.formulas import HOURS_PER_MONTH, split_price
from advisor.cost.power_curve import LoadCurve
from advisor.cost.tariffs.schedule import StepSeries, average
from advisor.energy.counter import EnergyCounter
from advisor.energy.explanations import Bounds

CASES = {
    case["id"]: case
    for case in json.loads((Path(__file__).parents[2] / "data" / "cost_reference_cases.json").read_text())
}


def _wrap(i: dict[str, Any]) -> float:
    counter = EnergyCounter(i["max_uj"], Bounds(1.0, doubt="nothing"))
    counter.observe(i["prev_uj"], 0.0)
    counter.observe(i["now_uj"], 1.0)
    return counter.joules


def _step_hold(i: dict[str, Any]) -> float | None:
    points = i["points_5min"]
    series = StepSeries.of([300 * n for n in range(len(points))], points)
    return average(series, i["start_min"] * 60, i["end_min"] * 60)


def _trapezoid_average(i: dict[str, Any]) -> float | None:
    points = i["points_30min"]
    curve = LoadCurve.from_samples([1800 * n for n in range(len(points))], points)
    begin = _minutes(i["job_start"]) - _minutes(i["start"])
    return _mean(curve, begin * 60, (begin + i["minutes"]) * 60)


def _mean(curve: LoadCurve, start: float, end: float) -> float:
    """What the curve comes to under a price that is 1 in the window alone."""
    window = StepSeries.of([start, end], [1.0, 0.0], 1e9)
    return curve.totals_by_value(window)[1.0] / (end - start)


def _mix(i: dict[str, Any]) -> float | None:
    """A year in which each source runs alone for its share of the time has the mix's mean intensity."""
    ends = list(accumulate(share for name, share in i.items() if name != "f"))
    sources = [name for name in i if name != "f"]
    return average(StepSeries.of([0.0, *ends[:-1]], [i["f"][name] for name in sources], 1.0), 0, 1)


def _kwh(watts: float, hours: float, pue: float = 1.0) -> float:
    """What a scenario of that power uses in the building."""
    used = CostModel(pue=pue).price({"power": {"mean_watts": watts}, "duration": hours * 3600})
    assert used.facility_energy_joules is not None
    return used.facility_energy_joules / 3.6e6


def _kg(kwh: float, grams_per_kwh: float) -> float | None:
    scenario = {"power": {"total_energy_joules": kwh * 3.6e6}, "duration": 3600}
    return CostModel(carbon_grams_per_kwh=grams_per_kwh).price(scenario).co2_operational_kg


TEADS = LoadCurve.from_samples([0, 10, 50, 100], [0.12, 0.32, 0.75, 1.02])
"""Power as a ratio of TDP over utilisation in percent: AWS EC2 carbon footprint dataset, 2021."""


def _tdp_ratio(percent: float) -> float:
    return _mean(TEADS, percent - 1e-3, percent + 1e-3)


def _share(kg: float, seconds: float, life_seconds: float) -> float:
    return Embodied(kg, life_seconds / 3600 / 8760).share_kg(seconds)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


CALLS: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "U6": _wrap,
    "U7": _mix,
    "O1": lambda i: _kg(i["kwh"], i["g_per_kwh"]),
    "O5": lambda i: (
        _kwh(i["min_w"] + i["cpu_util_pct"] / 100 * (i["max_w"] - i["min_w"]), i["vcpu_h"], i["pue"])
        * i["replication"]
    ),
    "O6": lambda i: (_kg(i["kwh"], i["t_per_kwh"] * 1e6) or 0.0) / 1000,
    "O9": lambda i: _kwh(i["wh_per_tbh"], i["tb_h"], i["pue"]),
    "O11": lambda i: (
        (_kg(_kwh(sum(n * w for n, w in i["units_w"]), i["minutes"] / 60, i["pue"]), i["ci_now"]) or 0) * 1000
    ),
    "E2": lambda i: _share(i["base_g"], i["seconds"], i["life_s"]),
    "E3": lambda i: _share(i["base_g"] + i["extra_vcpu"] * i["vcpu_g"], i["seconds"], i["life_s"]),
    "E6": lambda i: carbon.sci_grams_per_unit(i["carbon"], 0.0, i["units"]),
    "E9": lambda i: _share(i["total"], i["hours"] * 3600, i["life_h"] * 3600),
    "L1": lambda i: _tdp_ratio(i["util"]),
    "L2": lambda i: _kwh(_tdp_ratio(i["util"]) * i["tdp_w"], i["s"] / 3600) * i["alloc"] / i["total"],
    "T1": _step_hold,
    "T2": _step_hold,
    "T6": _trapezoid_average,
    "M1": lambda i: i["cpu_month"] / HOURS_PER_MONTH,
    "M3": lambda i: i["ram_month"] / HOURS_PER_MONTH / 2**30,
    "M7": lambda i: split_price(i["node_month"], i["base"])["gpu"],
    "M9": lambda i: CostModel(host_cost_per_hour=1.0).compute_compute_cost(
        {"duration": 3600, "cpu_seconds": i["usage"] * 3600}, load_aware=True, host_threads=i["allocation"]
    ),
    "M11": lambda i: CostModel(energy_cost_per_kwh=i["price"]).compute_energy_cost(
        {"power": {"mean_watts": i["watts"]}, "duration": i["seconds"]}
    ),
    "M12": lambda _: CostModel(energy_cost_per_kwh=0.10).compute_cost_per_pixel(
        {**_HOUR, "duration": 60, "resolution": "1920x1080", "fps": 30}
    ),
    "M13": lambda i: CostModel(energy_cost_per_kwh=0.10).compute_cost_per_watch_hour(
        _HOUR, viewers=i["viewers"]
    ),
    "M14": lambda i: CostModel(energy_cost_per_kwh=i["usd_per_joule"] * 3.6e6).compute_energy_cost(
        {"power_watts": i["watts"], "step_seconds": i["step_s"], "duration": 40}
    ),
    "M15": lambda i: CostModel(cpu_cost_per_hour=i["usd_per_core_s"] * 3600).compute_compute_cost(
        {"cpu_usage_cores": i["cores"], "step_seconds": i["step_s"], "duration": 40}, load_aware=True
    ),
    "M17": lambda i: CostModel(energy_cost_per_kwh=i["usd_per_kwh"]).price_per_joule,
}
_HOUR = {"power": {"mean_watts": 100.0}, "duration": 3600}


def test_every_case_is_tried() -> None:
    assert CALLS.keys() == CASES.keys()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_published_case_comes_out_as_published(case: dict[str, Any]) -> None:
    assert CALLS[case["id"]](case["inputs"]) == pytest.approx(case["expected"], rel=case["rtol"], abs=0)


@pytest.mark.parametrize(
    ("coefficient", "kwh"),
    [(0.65, 0.00073775), (0.392, 0.00044492), (1.0, 0.001135)],
    ids=["disk", "memory", "network"],
)
def test_cloud_carbon_footprints_other_coefficients(coefficient: float, kwh: float) -> None:
    """One unit at the PUE of its test data, 1.135, worked out by hand."""
    assert _kwh(coefficient, 1, pue=1.135) == pytest.approx(kwh, rel=1e-12)


@pytest.mark.parametrize(
    ("start_minute", "end_minute", "mean"),
    [(0, 20, 25.0), (4, 20, 28.75), (0, 16, 21.25), (2.5, 17.5, 25.0), (2, 3, 10.0)],
)
def test_every_row_of_the_step_hold_table_prices_a_scenario(
    start_minute: float, end_minute: float, mean: float
) -> None:
    """Carbon Aware SDK, AverageOverPeriod: a kilowatt-hour in the window pays and emits the mean."""
    begin = 1772434800.0
    series = StepSeries.of([begin + 300 * n for n in range(4)], [10, 20, 30, 40])
    window = {"start_time": begin + start_minute * 60, "duration": (end_minute - start_minute) * 60}
    model = CostModel(tariff=series, carbon_grams_per_kwh=series)
    priced = model.price({**window, "power": {"total_energy_joules": 3.6e6}})
    assert priced.cost_energy == pytest.approx(mean, rel=1e-9)
    assert priced.co2_operational_kg == pytest.approx(mean / 1000, rel=1e-9)
    assert average(series, window["start_time"], window["start_time"] + window["duration"]) == mean
