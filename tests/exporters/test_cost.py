"""The cost exporter: a golden page, figures worked out by hand, and files that change under it."""

from __future__ import annotations

import datetime
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import yaml

from advisor.cost.carbon import Embodied
from advisor.cost.model import RegionalModels
from advisor.cost.price_inputs import PriceOptions
from advisor.cost.tariffs.schedule import Flat
from advisor.errors import InputError, PricingError
from advisor.results.folder import ResultFolder
from exporters.cost import EXPORTER, CostCollector, price_options
from exporters.runtime.page import PageBuilder
from tests.support.exporter_client import render, served
from tests.support.exporter_options import parse_options

RUNS = Path(__file__).parents[1] / "data" / "cost_runs"
RUN = "test_results_20260302_080000"
NOW = 1772500000.0


class Clock:
    """Unix seconds that a test sets."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def collector(folder: Path = RUNS, clock: Clock | None = None, **options: object) -> CostCollector:
    results = ResultFolder(folder, runs=10, max_scenarios=1000)
    viewers = options.pop("viewers", None)
    return CostCollector(results, PriceOptions(**options), viewers=viewers, clock=clock or Clock())  # type: ignore[arg-type]


def samples(page: bytes) -> dict[str, float]:
    """Every line of a page: series as written, and its value."""
    lines = (line for line in page.decode().splitlines() if not line.startswith("#"))
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}


def of(name: str, scenario: str, run: str = RUN, **labels: str) -> str:
    labels |= {"run_id": run, "scenario": scenario}
    inner = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inner}}}"


def test_golden_page_of_two_regions(golden: Callable[[str, bytes], None]) -> None:
    """Counters, samples, a ladder, a GPU and six ways of being without a price, in two regions."""
    page = render(
        [
            collector(
                region=("eu-north-1", "us-east-1"),
                gpu_cost_per_hour=1.2,
                embodied_kg=1000,
                embodied_minimum_kg=800,
                embodied_maximum_kg=1300,
                functional_unit="video_minute",
            )
        ]
    )
    golden("cost.prom", page)


def test_a_scenario_costs_what_the_arithmetic_says() -> None:
    """7200 J in eu-north-1: PUE 1.10, 0.0682 USD/kWh, 35.82 g/kWh; 120 s at 0.50 USD/h.

    Facility energy 7920 J = 0.0022 kWh; electricity 0.00015004 USD, compute 0.01666667 USD; 0.078804 g.
    """
    page = samples(render([collector(region=("eu-north-1",))]))
    usd = {"currency": "USD"}
    regional = {"region": "eu-north-1", "bitrate": "2500k", "encoder": "cpu", "currency": "USD"}
    total = 0.00015004 + 0.5 / 30
    expected = {
        of("cost_energy", "720p", **usd): 0.00015004,
        of("cost_compute", "720p", **usd): 0.5 / 30,
        of("cost_total", "720p", **usd): total,
        of("cost_per_pixel", "720p", **usd): total / (1280 * 720 * 3600),
        # 50 viewers of two minutes are 100 viewer minutes
        of("cost_per_watch_hour", "720p", **usd): total / (100 / 60),
        of("cost_rate_per_hour", "720p", **usd): total * 30,
        of("cost_monthly_projection", "720p", **usd): total * 30 * 730,
        # 180 core-seconds are 0.05 core-hours
        of("cost_compute_load_aware", "720p", **regional): 0.025,
        of("cost_energy_load_aware", "720p", **regional): 0.00015004,
        of("cost_total_load_aware", "720p", **regional): 0.02515004,
        of("co2_emissions_kg", "720p", **regional): 0.078804e-3,
    }
    assert {series: page[series] for series in expected} == pytest.approx(expected, rel=1e-12)


def test_samples_of_an_earlier_suite_are_integrated() -> None:
    """6400 J and 104 core-seconds by the trapezoid, at 0.12 USD/kWh and 0.50 USD per CPU hour."""
    page = samples(render([collector()]))
    labels = {"region": "", "bitrate": "1000k", "encoder": "cpu", "currency": "USD"}
    run = "test_results_20260301_080000"
    assert page[of("cost_energy", "earlier suite", run, currency="USD")] == pytest.approx(6400 / 3.6e6 * 0.12)
    assert page[of("cost_compute_load_aware", "earlier suite", run, **labels)] == pytest.approx(104 / 7200)


def test_what_is_not_valid_is_priced_and_counted_by_reason(tmp_path: Path) -> None:
    document = json.loads((RUNS / f"{RUN}.json").read_text())
    for scenario, reasons in zip(document["scenarios"], (["steal"], ["steal", "thermal"]), strict=False):
        scenario["validity"] = reasons
    (tmp_path / f"{RUN}.json").write_text(json.dumps(document))
    page = samples(render([collector(tmp_path)]))
    counts = {series: value for series, value in page.items() if series.startswith("cost_invalid_scenarios")}
    assert counts == {
        'cost_invalid_scenarios{reason="steal"}': 2,
        'cost_invalid_scenarios{reason="thermal"}': 1,
    }
    assert of("cost_total", "720p", currency="USD") in page


def test_a_rung_costs_what_the_ladder_saves_without_it() -> None:
    """Electricity at 3.6 USD/kWh and no price of time: costs in microdollars are joules."""
    options = {"energy_cost_per_kwh": 3.6, "cpu_cost_per_hour": 0.0}
    page = samples(render([collector(**options)]))
    name = r"ladder \"720p + 360p\""
    rung = {
        output: page[of("cost_rung_marginal", name, output=output, currency="USD")]
        for output in ("1280x720@2500k", "640x360@800k")
    }
    assert rung == pytest.approx({"1280x720@2500k": 3600e-6, "640x360@800k": 1200e-6})
    assert page[of("cost_rungs_shared", name, currency="USD")] == pytest.approx(3600e-6)


def test_a_gpu_is_billed_by_the_wall_clock_and_apart() -> None:
    """A minute of a GPU at 1.20 USD/h is 0.02 USD, whatever the CPU did; both counters' joules are paid."""
    page = samples(render([collector(gpu_cost_per_hour=1.2)]))
    assert page[of("cost_gpu", "nvenc", currency="USD")] == pytest.approx(0.02)
    assert page[of("cost_compute", "nvenc", currency="USD")] == pytest.approx(0.02 + 0.5 / 60)
    assert page[of("cost_energy", "nvenc", currency="USD")] == pytest.approx(7200 / 3.6e6 * 0.12)
    assert not [series for series in page if series.startswith("cost_gpu{") and "nvenc" not in series]


def test_what_cannot_be_priced_is_absent_and_counted_by_reason() -> None:
    page = samples(render([collector()]))
    counted = {s: v for s, v in page.items() if s.startswith("cost_unpriced_scenarios")}
    assert {s: v for s, v in counted.items() if v} == {
        'cost_unpriced_scenarios{reason="failed"}': 1,
        'cost_unpriced_scenarios{reason="no_duration"}': 1,
        'cost_unpriced_scenarios{reason="no_energy"}': 1,
        'cost_unpriced_scenarios{reason="no_gpu_rate"}': 1,
        'cost_unpriced_scenarios{reason="zero_duration"}': 1,
    }
    assert counted['cost_unpriced_scenarios{reason="no_price"}'] == 0
    named = [series for series in page if series.startswith("cost_scenario_unpriced_info")]
    assert of("cost_scenario_unpriced_info", "unmetered", region="", reason="no_energy") in named
    assert len(named) == 5
    for name in ("died", "no end", "no time", "unmetered", "nvenc"):
        assert not [series for series in page if series.startswith("cost_total") and f'"{name}"' in series]
    # without a region nothing is known of the grid, and nothing is published as if it emitted nothing
    assert not [series for series in page if series.startswith("co2_emissions_kg")]
    assert all(math.isfinite(value) for value in page.values())


def test_an_entry_that_cannot_be_read_is_counted_and_hides_nothing(tmp_path: Path) -> None:
    text = (RUNS / f"{RUN}.json").read_text()
    assert text.count('"cpu_seconds": 180.0') == 1
    (tmp_path / f"{RUN}.json").write_text(text.replace('"cpu_seconds": 180.0', '"cpu_seconds": -180.0'))
    page = samples(render([collector(tmp_path)]))
    assert page['cost_unpriced_scenarios{reason="malformed"}'] == 1
    assert not [series for series in page if 'scenario="720p"' in series]
    assert page[of("cost_energy", "360p", currency="USD")] > 0


def test_a_file_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    shutil.copy(RUNS / f"{RUN}.json", tmp_path)
    (tmp_path / "test_results_20260303_000000.json").write_text("{")
    page = samples(render([collector(tmp_path)]))
    assert page["cost_files_refused"] == 1
    assert page[of("cost_energy", "360p", currency="USD")] > 0


def test_a_region_without_a_price_names_what_it_cannot_price() -> None:
    """The first region counts; the second one's gaps are named."""
    page = samples(render([collector(region=("eu-north-1", "ap-south-1"))]))
    assert page['cost_unpriced_scenarios{reason="no_price"}'] == 0
    assert of("cost_scenario_unpriced_info", "720p", region="ap-south-1", reason="no_price") in page
    assert of("cost_scenario_unpriced_info", "720p", region="eu-north-1", reason="no_price") not in page


def test_an_uncitable_price_is_not_replaced_by_a_default() -> None:
    """India has an intensity and no price in the table: carbon is published, money is not."""
    page = samples(render([collector(region=("ap-south-1",))]))
    assert page['cost_unpriced_scenarios{reason="no_price"}'] >= 3
    assert not [series for series in page if series.startswith(("cost_total", "cost_energy"))]
    labels = {"region": "ap-south-1", "bitrate": "2500k", "encoder": "cpu", "currency": "USD"}
    expected_kg = 7200 * 1.42 / 3.6e6 * 708.32 / 1000
    assert page[of("co2_emissions_kg", "720p", **labels)] == pytest.approx(expected_kg)


def test_cloud_has_no_electricity_beside_the_rate() -> None:
    """The rate alone, split by four CPUs for the load-aware figure."""
    page = samples(render([collector(mode="cloud", instance_cost_per_hour=0.6, region=("eu-north-1",))]))
    assert page[of("cost_total", "720p", currency="USD")] == pytest.approx(0.02)
    assert page[of("cost_total", "unmetered", currency="USD")] == pytest.approx(0.01)
    labels = {"region": "eu-north-1", "bitrate": "2500k", "encoder": "cpu", "currency": "USD"}
    assert page[of("cost_total_load_aware", "720p", **labels)] == pytest.approx(0.05 * 0.6 / 4)
    assert not [series for series in page if series.startswith("cost_energy")]


def test_zero_intensity_is_published_as_zero() -> None:
    page = samples(render([collector(carbon_grams_per_kwh=0.0)]))
    labels = {"region": "", "bitrate": "2500k", "encoder": "cpu", "currency": "USD"}
    assert page[of("co2_emissions_kg", "720p", **labels)] == 0.0


def test_nothing_is_rendered_again_for_a_minute_while_nothing_changes() -> None:
    clock = Clock()
    costs, builder = collector(clock=clock), PageBuilder()
    page = builder.build(costs.parts())
    clock.now += 59
    assert builder.build(costs.parts()) is page
    clock.now += 1
    assert builder.build(costs.parts()) is not page


def test_a_new_file_leaves_the_other_parts_as_they_are(tmp_path: Path) -> None:
    shutil.copy(RUNS / f"{RUN}.json", tmp_path)
    costs = collector(tmp_path)
    before = costs.parts()
    shutil.copy(RUNS / "test_results_20260301_080000.json", tmp_path)
    after = costs.parts()
    assert after[RUN].same(before[RUN])
    assert "test_results_20260301_080000" in after


def _regions_file(path: Path, price: object) -> None:
    path.write_text(f"regions:\n  here:\n    price_per_kwh: {price}\n    carbon_grams_per_kwh: 0\n")


def test_an_edited_pricing_file_prices_everything_again(tmp_path: Path) -> None:
    """Twice the price, twice the cost; a broken edit leaves the former prices and says so."""
    prices = tmp_path / "regions.yaml"
    _regions_file(prices, 0.1)
    costs = collector(regions_file=prices, region=("here",))
    series = of("cost_energy", "720p", currency="USD")
    assert samples(render([costs]))[series] == pytest.approx(0.0002)
    _regions_file(prices, "0.20")
    assert samples(render([costs]))[series] == pytest.approx(0.0004)
    _regions_file(prices, "cheap")
    broken = samples(render([costs]))
    assert broken["cost_pricing_reload_success"] == 0
    assert broken[series] == pytest.approx(0.0004)
    _regions_file(prices, "0.300")
    mended = samples(render([costs]))
    assert mended["cost_pricing_reload_success"] == 1
    assert mended[series] == pytest.approx(0.0006)


def test_what_is_projected_follows_the_calendar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times dearer from May on: no file changes, and the month to come is another."""
    tariff = tmp_path / "tariff.yaml"
    tariff.write_text(
        "time_zone: UTC\nperiods: [{price_per_kwh: 1.0, months: [5, 6, 7, 8]}]\notherwise_per_kwh: 0.1\n"
    )
    of_month = of("cost_monthly_projection", "720p", currency="USD")
    exporter = collector(tariff=tariff, cpu_cost_per_hour=0)
    months = []
    for month in (3, 3, 6):
        moment = datetime.datetime(2026, month, 1, tzinfo=datetime.UTC).timestamp()
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        months.append(samples(render([exporter]))[of_month])
    assert months[1:] == [months[0], pytest.approx(10 * months[0])]


def test_the_next_days_file_of_a_series_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Yesterday's prices do not reach the run; today's come to lie beside them, long after."""
    monkeypatch.setattr("advisor.common.regular_file._TICK_NS", 0)
    day = 1772434800 - 1772434800 % 3600
    rows = "timestamp,price_per_kwh\n{},0.1\n{},0.2\n"
    (tmp_path / "day-1.csv").write_text(rows.format(day - 7200, day - 3600))
    tariff = tmp_path / "tariff.yaml"
    tariff.write_text("series: day-*.csv\n")
    os.utime(tmp_path, (day, day))
    costs = collector(tariff=tariff)
    name = of("cost_energy", "720p", currency="USD")
    assert name not in samples(render([costs]))
    (tmp_path / "day-2.csv").write_text(rows.format(day, day + 3600))
    assert samples(render([costs]))[name] == pytest.approx(0.002 * 0.1)


def test_a_series_named_in_a_pricing_file_is_watched_and_its_age_shown(tmp_path: Path) -> None:
    """Day-ahead prices in steps of an hour around the run's morning."""
    day = 1772434800 - 1772434800 % 3600
    series = tmp_path / "prices.csv"
    series.write_text(f"timestamp,price_per_kwh\n{day},0.1\n{day + 3600},0.2\n")
    tariff = tmp_path / "tariff.yaml"
    tariff.write_text("series: prices.csv\n")
    costs = collector(tariff=tariff)
    name = of("cost_energy", "720p", currency="USD")
    first = samples(render([costs]))
    assert first[name] == pytest.approx(0.002 * 0.1)
    assert first['cost_input_age_seconds{input="electricity_price"}'] == pytest.approx(NOW - day - 3600)
    series.write_text(f"timestamp,price_per_kwh\n{day},0.50\n{day + 3600},0.2\n")
    assert samples(render([costs]))[name] == pytest.approx(0.002 * 0.5)


def test_a_scenario_outside_the_tariff_is_not_priced(tmp_path: Path) -> None:
    tariff = tmp_path / "prices.csv"
    tariff.write_text("timestamp,price_per_kwh\n1000000000,0.1\n1000003600,0.2\n")
    page = samples(render([collector(tariff=tariff)]))
    assert page['cost_unpriced_scenarios{reason="outside_tariff"}'] >= 4
    assert not [s for s in page if s.startswith("cost_total{") and "720p" in s]


def test_the_inputs_used_are_published_with_their_sources() -> None:
    page = samples(render([collector(region=("us-east-1",))]))
    price = 'cost_electricity_price_per_kwh{region="us-east-1",source="EIA retail sales, 2024"}'
    carbon = (
        'cost_grid_carbon_grams_per_kwh{basis="eGRID subregion SRVC, total output CO2e, direct",'
        'region="us-east-1",source="EPA eGRID2022",year="2022"}'
    )
    assert (page[price], page[carbon]) == (0.0899, 284.0)
    assert page['cost_pue_ratio{region="us-east-1"}'] == 1.15


def test_the_docker_stack_passes_every_price_and_mounts_the_files() -> None:
    root = Path(__file__).parents[2]
    service = yaml.safe_load((root / "docker-compose.yml").read_text())["services"]["cost"]
    # where the results are is said by the image
    assert {option.env for option in EXPORTER.options} <= {*service["environment"], "RESULTS_DIR"}
    assert any(volume.endswith(":/pricing:ro") for volume in service["volumes"])


def test_a_wrong_price_is_refused_before_anything_starts() -> None:
    with pytest.raises(PricingError, match=r"120\.0 USD per kWh is above the plausible 5"):
        collector(energy_cost_per_kwh=120.0)


def test_promtool_accepts_the_page() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    page = render([collector(region=("eu-north-1", "us-east-1"))])
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    # the name is fixed; everything else follows the rules
    assert done.stderr.decode().splitlines() in (
        [],
        ['cost_total non-counter metrics should not have "_total" suffix'],
    )


def test_every_option_reaches_the_prices(tmp_path: Path) -> None:
    """Flags before the environment, the environment before the defaults; several regions with commas."""
    regions = tmp_path / "regions.yaml"
    regions.write_text("regions: {shed: {like: DEU, pue: 1.5}}")
    arguments = ["--region", "shed, us-east-1", "--regions-file", str(regions), "--viewers", "7"]
    arguments += ["--embodied-kg", "1000", "--embodied-minimum-kg", "900", "--lifetime-years", "5"]
    arguments += ["--functional-unit", "gigapixel", "--accept-unusual-prices", "--runs", "3"]
    env = {"ENERGY_COST_PER_KWH": "9", "HOST_COST_PER_HOUR": ".4", "REGION": "FRA", "CURRENCY": "USD"}
    options = parse_options(EXPORTER, arguments, env)
    first, second = RegionalModels.load(price_options(options)).models
    assert (first.prices.region, second.prices.region) == ("shed", "us-east-1")
    assert first.prices.pue_ratio == 1.5
    assert (first.prices.machine_per_hour, first.prices.cpu_per_hour) == (0.4, None)
    assert first.prices.electricity.schedule == Flat(9.0)
    assert first.prices.embodied == Embodied(1000, 5, 900)
    assert first.prices.functional_unit == "gigapixel"
    (built,) = EXPORTER.build(options)
    assert isinstance(built, CostCollector)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mode", "rented"], "--mode: expected one of owned, cloud"),
        (["--energy-cost-per-kwh", "nan"], "--energy-cost-per-kwh: expected a number"),
        (["--accept-unusual-prices", "maybe"], "--accept-unusual-prices: expected true or false"),
        (["--tariff", "missing.yaml"], "--tariff: expected a file that exists"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_options(EXPORTER, arguments, {})


def test_served_for_real_with_its_environment(tmp_path: Path) -> None:
    """Environment variables set the prices, a flag goes before them."""
    shutil.copy(RUNS / f"{RUN}.json", tmp_path)
    env = {
        "ENERGY_COST_PER_KWH": "0.3",
        "CPU_COST_PER_HOUR": "1",
        "CURRENCY": "EUR",
        "RESULTS_DIR": str(tmp_path),
    }
    with served("exporters.cost", "--cpu-cost-per-hour", "0", env=env) as exporter:
        text = ""
        for _ in range(100):
            answer = requests.get(f"{exporter.url}/metrics", timeout=60)
            text = answer.text
            if "cost_total{" in text:
                break
    value = re.search(r'^cost_total\{currency="EUR",[^}]*scenario="720p"\} (\S+)', text, re.MULTILINE)
    assert value is not None
    assert float(value[1]) == pytest.approx(0.002 * 0.3)


def test_wrong_configuration_is_one_line(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "exporters.cost",
        "--region",
        "eu-nort-1",
        "--results-dir",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "similar: eu-north-1" in done.stderr
