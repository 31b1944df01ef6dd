"""A month from measurements, its interval, and budgets that Prometheus understands."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from advisor import CostModel
from advisor.cost.budget_rules import budget_rules, write_rules
from advisor.cost.forecast import Budget, MonthForecast, MonthInterval, forecast
from advisor.cost.price_inputs import planning_prices
from advisor.cost.scenario_cost import ScenarioCost
from advisor.cost.tariffs.schedule import StepSeries, flat_value
from advisor.errors import PricingError
from advisor.results import Power, Scenario


def priced(
    joules: float, *, tier: str = "measured", uncertainty: float | None = None, name: str = "hd"
) -> ScenarioCost:
    power = Power(tier=tier, total_energy_joules=joules, uncertainty_ratio=uncertainty)  # type: ignore[arg-type]
    scenario = Scenario(name=name, duration=3600.0, video_seconds=3600.0, power=power)
    return CostModel(1.0, 0.0, carbon_grams_per_kwh=500.0).price(scenario)


def month(*joules: float, budget: Budget | None = None, **options: object) -> MonthForecast:
    repeats = [priced(j, **options) for j in joules]  # type: ignore[arg-type]
    return forecast(
        repeats,
        streams=2,
        hours_per_month=365,
        budget=budget,
    )


def test_a_month_is_streams_times_hours() -> None:
    """1 kWh a stream hour at 1 a kWh, 730 stream hours."""
    plan = month(3.6e6)
    assert plan.stream_hours_per_month == 730
    assert plan.cost_month == MonthInterval(pytest.approx(730.0))
    assert plan.energy_kwh_month == MonthInterval(pytest.approx(730.0))
    assert plan.co2_kg_month == MonthInterval(pytest.approx(365.0))


def test_the_interval_is_students_of_the_mean() -> None:
    """0.9, 1.0 and 1.1 kWh: standard deviation 0.1, t(2) = 4.302653, half-width 4.302653 x 0.1 / sqrt(3)."""
    plan = month(0.9 * 3.6e6, 3.6e6, 1.1 * 3.6e6)
    half = 4.302653 * 0.1 / 3**0.5 * 730
    assert plan.cost_month is not None
    assert plan.cost_month.mean == pytest.approx(730.0)
    assert plan.cost_month.low == pytest.approx(730 - half)
    assert plan.cost_month.high == pytest.approx(730 + half)
    assert plan.measurements == 3


def test_a_modelled_source_widens_the_interval_by_its_own_uncertainty() -> None:
    """Two equal repeats agree perfectly and may still both be a fifth off."""
    plan = month(3.6e6, 3.6e6, tier="modelled", uncertainty=0.2)
    assert plan.energy_tier == "modelled"
    assert plan.cost_month is not None
    assert (plan.cost_month.low, plan.cost_month.high) == (pytest.approx(584.0), pytest.approx(876.0))


@pytest.mark.parametrize(
    ("limit", "verdict"), [(800.0, "possible"), (3000.0, "no"), (700.0, "yes"), (None, None)]
)
def test_a_budget_is_held_broken_or_at_risk(limit: float | None, verdict: str | None) -> None:
    plan = month(0.9 * 3.6e6, 3.6e6, 1.1 * 3.6e6, budget=Budget(cost=limit, co2_kg=100.0))
    assert plan.cost_over_budget == verdict
    assert plan.co2_over_budget == "yes"


def test_a_tariff_counts_with_its_mean_over_a_month() -> None:
    """Half the day 0.4 and half 0.2, from midnight: 730 hours are 30 days of 7.2 and ten hours of 0.4."""
    tariff = {
        "time_zone": "UTC",
        "periods": [{"price_per_kwh": 0.4, "hours": "00:00-12:00"}],
        "otherwise_per_kwh": 0.2,
    }
    midnight = 1772409600.0
    planned = planning_prices(CostModel(tariff=tariff, carbon_grams_per_kwh=7).prices, midnight)
    assert flat_value(planned.electricity) == pytest.approx((30 * 7.2 + 4) / 730)
    assert flat_value(planned.carbon) == 7


def test_a_series_counts_with_the_last_month_that_it_covers() -> None:
    """Two months at 100 and two at 300 g/kWh, long ago: 300. A day alone: its mean."""
    month = 730 * 3600.0
    long = StepSeries.of([0, 2 * month, 4 * month - 1], [100, 300, 300], hold_seconds=2 * month)
    day = StepSeries.of([0, 43_200], [0.1, 0.2])
    prices = planning_prices(CostModel(tariff=day, carbon_grams_per_kwh=long).prices, 1.8e9)
    assert flat_value(prices.carbon) == 300
    assert flat_value(prices.electricity) == pytest.approx(0.15)


def test_a_hole_is_left_out_of_the_mean_and_said() -> None:
    """Four hours at 0.1, one without a price, one at 0.4: 0.8 / 5; nothing but holes is unknown."""
    hours = [3600 * i for i in range(6)]
    prices = CostModel(tariff=StepSeries.of(hours, [0.1, 0.1, None, 0.1, 0.1, 0.4])).prices
    planned = planning_prices(prices, 21_600.0).electricity
    assert flat_value(planned) == pytest.approx(0.16)
    assert planned is not None
    assert planned.source == "operator; mean of 5 h (1 h without a value) up to 1970-01-01 06:00 UTC"
    empty = CostModel(tariff=StepSeries.of([0, 10], [None, None])).prices
    assert planning_prices(empty, 0.0).electricity is None


def test_what_is_unknown_stays_unknown() -> None:
    """A repeat without energy brings nothing; no figure is made of nothing."""
    none = CostModel(1.0, 0.0).price(Scenario(name="hd", duration=3600.0, video_seconds=3600.0))
    plan = forecast([none, priced(3.6e6)], streams=1, hours_per_month=1)
    assert plan.cost_month == MonthInterval(pytest.approx(1.0))
    assert plan.measurements == 1
    assert "no_energy" in plan.missing
    assert "no_viewers" not in plan.missing
    empty = forecast([none], streams=1, hours_per_month=1)
    assert (empty.cost_month, empty.cost_over_budget) == (None, None)


@pytest.mark.parametrize(("streams", "hours"), [(0, 730), (1, 0), (-1, 730), (float("nan"), 1)])
def test_a_load_that_cannot_be_is_refused(streams: float, hours: float) -> None:
    with pytest.raises(PricingError, match=r"streams|hours"):
        forecast([priced(1.0)], streams=streams, hours_per_month=hours)


def test_without_measurements_there_is_no_forecast() -> None:
    with pytest.raises(PricingError, match="repeats: expected measurements"):
        forecast([], streams=1, hours_per_month=1)


NASTY = 'tricky "name" \\ {{ .Value }}'


def test_rules_hold_the_planned_hours_and_escape_names() -> None:
    plan = forecast([priced(3.6e6, name=NASTY)], streams=4, hours_per_month=100)
    document = budget_rules([plan, plan], Budget(cost=50.0, co2_kg=2.0))
    cost, co2 = document["groups"][0]["rules"]
    selector = r'{scenario="tricky \"name\" \\ {{ .Value }}",currency="USD"}'
    assert (
        cost["expr"] == f"avg by (scenario, currency) (cost_planned_per_stream_hour{selector}) * 400.0 > 50.0"
    )
    assert co2["expr"].endswith("* 400.0 > 2.0")
    assert NASTY not in cost["annotations"]["summary"]


def test_promtool_accepts_the_rules_and_fires_them(tmp_path: Path) -> None:
    """StepSeries over the budget raise the alert for their scenario, series under it do not."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    plans = [
        forecast([priced(3.6e6, name=name)], streams=4, hours_per_month=100)
        for name in (NASTY, "cheap", "dear")
    ]
    path = tmp_path / "rules.yml"
    write_rules(path, plans, Budget(cost=50.0, co2_kg=2.0))
    assert path.stat().st_mode & 0o777 == 0o644
    series = [
        {
            "series": 'cost_planned_per_stream_hour{run_id="a",scenario="cheap",currency="USD"}',
            "values": "0.1x20",
        },
        {
            "series": 'cost_planned_per_stream_hour{run_id="a",scenario="dear",currency="USD"}',
            "values": "0.2x20",
        },
    ]
    alert = {
        "exp_labels": {"severity": "warning", "scenario": "dear", "currency": "USD"},
        "exp_annotations": {"summary": "dear costs 80 USD a month, more than the budget of 50.0"},
    }
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "alert_rule_test": [
                    {"eval_time": "10m", "alertname": "MonthlyCostOverBudget", "exp_alerts": [alert]},
                    {"eval_time": "10m", "alertname": "MonthlyEmissionsOverBudget", "exp_alerts": []},
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "test.yml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_rules_replace_the_file_as_a_whole(tmp_path: Path) -> None:
    """No temporary file is left, also when writing fails."""
    plan = month(3.6e6)
    target = tmp_path / "rules.yml"
    write_rules(target, [plan], Budget(cost=1.0))
    assert [p.name for p in tmp_path.iterdir()] == ["rules.yml"]
    folder = tmp_path / "taken.yml"
    folder.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_rules(folder, [plan], Budget(cost=1.0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rules.yml", "taken.yml"]
