"""``wattframe cost``, ``tco`` and ``forecast`` as a user calls them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.users import OBEYING
from wattframe.cli import main

RUNS = Path(__file__).parents[1] / "data" / "cost_runs"
RUN = RUNS / "test_results_20260302_080000.json"
# the contract's names; more may be there
COST_KEYS = {
    *(
        "run_id",
        "scenario",
        "region",
        "currency",
        "mode",
        "energy_joules",
        "facility_energy_joules",
        "energy_tier",
    ),
    *("cost_energy", "cost_compute", "cost_total", "cost_energy_load_aware", "cost_compute_load_aware"),
    *(
        "cost_total_load_aware",
        "cost_per_pixel",
        "cost_per_watch_hour",
        "rate_per_hour",
        "monthly_projection",
    ),
    *("co2_operational_kg", "co2_embodied_kg", "inputs", "missing"),
}
INPUT_KEYS = {
    *("electricity_price_per_kwh", "price_source", "carbon_grams_per_kwh", "carbon_basis", "carbon_year"),
    *("carbon_source", "pue"),
}


@pytest.fixture(autouse=True)
def no_prices_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "REGION",
        "ENERGY_COST_PER_KWH",
        "CPU_COST_PER_HOUR",
        "GPU_COST_PER_HOUR",
        "CURRENCY",
        "PUE",
    ):
        monkeypatch.delenv(name, raising=False)


class Answer:
    """What one call printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object) -> Answer:
        code = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


def test_one_document_of_every_scenario_in_every_region(call: Any) -> None:
    rows = call("cost", RUN, "--region", "eu-north-1", "--region", "us-east-1", "--json").json()
    assert len(rows) == 18
    assert [row["region"] for row in rows[:2]] == ["eu-north-1", "us-east-1"]
    assert all(row.keys() >= COST_KEYS and row["inputs"].keys() >= INPUT_KEYS for row in rows)
    hd = next(row for row in rows if row["scenario"] == "720p")
    # 7200 J, PUE 1.10, 0.0682 USD/kWh, 35.82 g/kWh
    assert hd["facility_energy_joules"] == pytest.approx(7920)
    assert hd["cost_energy"] == pytest.approx(0.0022 * 0.0682)
    assert hd["co2_operational_kg"] == pytest.approx(0.0022 * 0.03582)
    assert hd["inputs"]["carbon_year"] == 2024
    assert hd["on_region_front"] is True
    died = next(row for row in rows if row["scenario"] == "died")
    assert (died["cost_total"], died["missing"]) == (None, ["failed"])


def test_regions_can_be_listed_with_commas_and_come_from_the_environment(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(call("cost", RUN, "--region", "DEU,FRA", "--json").json()) == 18
    monkeypatch.setenv("REGION", "FRA")
    monkeypatch.setenv("ENERGY_COST_PER_KWH", "0.5")
    row = call("cost", RUN, "--json").json()[0]
    assert (row["region"], row["inputs"]["electricity_price_per_kwh"]) == ("FRA", 0.5)


def test_without_prices_the_documented_defaults_hold_and_say_so(call: Any) -> None:
    row = call("cost", RUN, "--json").json()[1]
    assert row["cost_energy"] == pytest.approx(0.002 * 0.12)
    assert row["cost_compute"] == pytest.approx(0.5 / 30)
    assert row["inputs"]["price_source"] == "default"


def test_viewers_of_the_command_replace_those_of_the_file(call: Any) -> None:
    rows = call("cost", RUN, "--viewers", 200, "--json").json()
    hd = next(row for row in rows if row["scenario"] == "720p")
    assert hd["cost_per_watch_hour"] == pytest.approx(hd["cost_total"] / (200 / 30))
    nobody = call("cost", RUN, "--viewers", 0, "--json").json()
    assert all(row["cost_per_watch_hour"] is None for row in nobody)


def test_cloud_mode_needs_its_rate_and_counts_no_electricity(call: Any) -> None:
    refused = call("cost", RUN, "--mode", "cloud")
    assert refused.code == 2
    assert refused.err == (
        "wattframe cost: instance_cost_per_hour: mode cloud needs the price of the instance\n"
    )
    row = call("cost", RUN, "--mode", "cloud", "--instance-cost-per-hour", 0.6, "--json").json()[1]
    assert (row["cost_total"], row["cost_energy"]) == (pytest.approx(0.02), None)


def test_a_tariff_from_a_file(call: Any, tmp_path: Path) -> None:
    """The run is at 8 in the morning in Berlin."""
    tariff = tmp_path / "tariff.yaml"
    tariff.write_text(
        "time_zone: Europe/Berlin\nsource: contract\n"
        'periods: [{price_per_kwh: 0.4, hours: "08:00-20:00"}]\notherwise_per_kwh: 0.1\n'
    )
    row = call("cost", RUN, "--tariff", tariff, "--json").json()[1]
    assert row["cost_energy"] == pytest.approx(0.002 * 0.4)
    assert row["inputs"]["price_source"] == "contract"


def test_the_table_names_units_sources_reasons_and_the_front(call: Any) -> None:
    answer = call("cost", RUN, "--region", "eu-north-1", "--region", "us-east-1")
    assert answer.code == 0
    text = " ".join(answer.out.split())
    for part in (
        "as measured, in USD",
        "g CO2e",
        "Eurostat nrg_pc_205",
        "EPA eGRID2022",
        "a month is 730 hours",
    ):
        assert part in text
    figures = (
        "money per hour of video, energy per hour of video, carbon per hour of video, electricity, the total"
    )
    assert f"No figure for {figures} (unmetered): no_energy: neither energy nor power was measured" in text
    assert "No other region is both cheaper and cleaner than: eu-north-1" in text
    assert "different bases" in answer.err


def test_carbon_names_its_source_where_no_price_is_known(call: Any) -> None:
    text = " ".join(call("cost", RUN, "--region", "ap-south-1").out.split())
    assert "ap-south-1: - USD/kWh (unknown); 708.3 g/kWh" in text
    assert "no_price: no electricity price is known" in text


def test_a_folder_is_all_its_runs_and_a_broken_file_loses_nothing(call: Any, tmp_path: Path) -> None:
    for path in RUNS.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "test_results_20260303_000000.json").write_text("{")
    answer = call("cost", tmp_path, "--json")
    assert answer.code == 2
    assert len(json.loads(answer.out)) == 10
    assert "test_results_20260303_000000.json: expected a JSON result file" in answer.err


def test_what_may_not_be_read_is_named_and_loses_nothing(tmp_path: Path) -> None:
    closed, secret = tmp_path / "closed", tmp_path / "secret.json"
    closed.mkdir(mode=0)
    secret.touch(mode=0)
    names = closed, closed / "run.json", secret
    command = [*OBEYING, sys.executable, "-m", "wattframe", "cost", RUN, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "720p" in done.stdout) == (2, True)
    assert done.stderr == "".join(
        f"wattframe cost: {path}: cannot be read: Permission denied\n" for path in names
    )


def test_scenarios_of_several_runs_are_told_apart(call: Any, tmp_path: Path) -> None:
    for number in (1, 2):
        shutil.copy(RUN, tmp_path / f"test_results_20260304_00000{number}.json")
    out = call("cost", tmp_path).out
    assert out.count(" 20260304_000001 ") == out.count(" 20260304_000002 ") > 0
    assert " run " not in call("cost", RUN).out


def test_a_scenario_that_was_refused_is_named(call: Any, tmp_path: Path) -> None:
    document = json.loads(RUN.read_text())
    document["scenarios"][1]["fps"] = "thirty"
    path = tmp_path / RUN.name
    path.write_text(json.dumps(document))
    answer = call("cost", path, "--json")
    assert answer.code == 2
    assert len(json.loads(answer.out)) == 8
    assert f"{path}: left out scenarios[1].fps: expected" in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--region", "eu-nort-1"], "no region 'eu-nort-1': similar: eu-north-1"),
        (["--energy-cost-per-kwh", "120"], "120.0 USD per kWh is above the plausible 5: is it per MWh"),
        (["--energy-cost-per-kwh", "nan"], "energy_cost_per_kwh: expected a number of 0 or more, found nan"),
        (["--cpu-cost-per-hour", "-1"], "cpu_cost_per_hour: expected a number of 0 or more, found -1.0"),
        (["--energy-cost-per-kwh", "cheap"], "--energy-cost-per-kwh"),
        (["--mode", "rented"], "mode: expected one of owned, cloud, found 'rented'"),
        (["--viewers", "inf"], "viewers: expected a number that is finite, found inf"),
        (["--tariff", "missing.yaml"], "missing.yaml: cannot be read"),
        (
            ["--currency", "EUR", "--region", "eu-north-1", "--cpu-cost-per-hour", "1"],
            "its price is in USD: give exchange rates",
        ),
        (["--currency", "EUR"], "energy_cost_per_kwh: the built-in price, 0.12, is in USD"),
        (
            ["--currency", "EUR", "--energy-cost-per-kwh", "1"],
            "cpu_cost_per_hour: the built-in price",
        ),
        (["--pue", "0.5"], "pue: expected a number of 1 or more, found 0.5"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(call: Any, arguments: list[str], said: str) -> None:
    answer = call("cost", RUN, *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert answer.out == ""


def test_all_that_is_wrong_with_the_prices_is_one_line(call: Any, tmp_path: Path) -> None:
    tariff = tmp_path / "tariff.yaml"
    tariff.write_text("price_per_kwh: 120\n")
    answer = call("cost", RUN, "--tariff", tariff, "--exchange-rates", tmp_path / "no.yaml")
    assert answer.code == 2
    assert "no.yaml: cannot be read: No such file" in answer.err
    assert "tariff.yaml: line 1, price_per_kwh: 120.0 USD per kWh is above the plausible 5" in answer.err
    assert answer.err.count("\n") == 1
    unknown = call("cost", RUN, "--region", "eu-nort-1,us-eats-1")
    assert "no region 'eu-nort-1'" in unknown.err
    assert "no region 'us-eats-1'" in unknown.err


def test_nothing_to_price_is_an_error(call: Any, tmp_path: Path) -> None:
    answer = call("cost", tmp_path)
    assert answer.code == 2
    assert "expected test_results_*.json, found none" in answer.err


def test_ownership_in_two_regions(call: Any) -> None:
    """8 000 USD over four years at half use: 0.4566 an hour; 300 W at PUE 1.1 and 0.0682: 0.0225."""
    machine = ("--purchase-price", 8000, "--utilisation", 0.5, "--mean-watts", 300)
    rows = call(
        "tco", *machine, "--region", "eu-north-1,us-east-1", "--cloud-cost-per-hour", 0.68, "--json"
    ).json()
    assert [row["region"] for row in rows] == ["eu-north-1", "us-east-1"]
    assert rows[0]["per_hour"]["capital"] == pytest.approx(8000 / 17_520)
    assert rows[0]["per_hour"]["electricity"] == pytest.approx(0.3 * 1.1 * 0.0682)
    assert rows[0]["break_even_utilisation_cloud"] == pytest.approx((8000 / 35_040) / (0.68 - 0.0225060))
    table = call("tco", *machine, "--region", "eu-north-1")
    assert "moves the total most" in table.out
    assert "lifetime_years" in table.out


def test_ownership_from_measured_scenarios(call: Any) -> None:
    arguments = ("--purchase-price", 8000, "--scenario", "720p", "--faster", "720p", "--slower", "360p")
    answer = call("tco", RUN, *arguments, "--delivery-cost-per-gb", 0.01, "--json").json()[0]
    # 60 W; cheaper to make and smaller: from the first viewer on
    assert answer["per_hour"]["electricity"] == pytest.approx(0.06 * 0.12)
    assert answer["per_hour"]["delivery"] == pytest.approx(50 * 2.5e6 / 8 * 3600 / 1e9 * 0.01)
    assert answer["break_even_viewers"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing option '--purchase-price'"),
        (["--purchase-price", "-1", "--mean-watts", "1"], "purchase_price: expected a number of 0 or more"),
        (["--purchase-price", "1"], "mean_watts: expected the power in use"),
        (["--purchase-price", "1", "--mode", "cloud"], "No such option: --mode"),
        (["--purchase-price", "1", "--scenario", "720"], "--scenario: no finished scenario '720' in"),
        *(
            (["--purchase-price", "1", "--mean-watts", "1", option, "1"], f"{option}: expected {needed}")
            for option, needed in (
                ("--gpu-purchase-price", "--gpu-mean-watts and --gpu-streams"),
                ("--gpu-streams", "--gpu-purchase-price"),
                ("--faster", "--slower and --delivery-cost-per-gb"),
                ("--slower", "--faster"),
                ("--cloud-streams", "--cloud-cost-per-hour"),
                ("--viewers", "--delivery-cost-per-gb"),
            )
        ),
    ],
)
def test_ownership_of_bad_input(call: Any, arguments: list[str], said: str) -> None:
    answer = call("tco", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1


def repeated(folder: Path) -> Path:
    """Three repeats of one configuration: 0.9, 1.0 and 1.1 kWh for an hour of video."""
    scenarios = [
        {
            "name": "hd",
            "repeat": index + 1,
            "duration": 3600.0,
            "video_seconds": 3600.0,
            "start_time": 1772434800.0 + 4000 * index,
            "end_time": 1772438400.0 + 4000 * index,
            "resolution": "1280x720",
            "fps": 30.0,
            "outputs": [{"resolution": "1280x720", "fps": 30.0, "frames": 108_000, "duration": 3600.0}],
            "power": {"tier": "measured", "total_energy_joules": kwh * 3.6e6},
        }
        for index, kwh in enumerate((0.9, 1.0, 1.1))
    ]
    path = folder / "test_results_20260302_080000.json"
    path.write_text(json.dumps({"schema_version": 1, "scenarios": scenarios}))
    return path


def test_a_month_with_its_interval_and_its_budget(call: Any, tmp_path: Path) -> None:
    """Half-width 4.302653 x 0.1 / sqrt(3) of a kWh an hour, over 4 x 100 hours at 1.00."""
    prices = ("--energy-cost-per-kwh", 1, "--cpu-cost-per-hour", 0)
    load = ("--streams", 4, "--hours", 100, "--budget-month", 450)
    plan = call("forecast", repeated(tmp_path), *prices, *load, "--json").json()[0]
    half = 4.302653 * 0.1 / 3**0.5 * 400
    assert plan["measurements"] == 3
    assert plan["cost_month"]["mean"] == pytest.approx(400)
    assert plan["cost_month"]["low"] == pytest.approx(400 - half)
    assert plan["cost_month"]["high"] == pytest.approx(400 + half)
    assert plan["cost_over_budget"] == "possible"
    assert plan["co2_kg_month"] is None
    table = call("forecast", tmp_path, *prices, *load)
    assert "400 (300.6 to 499.4)" in table.out
    assert "possible" in table.out


@pytest.mark.parametrize(
    ("lengths", "left_out"),
    [
        ((3600.0, 3600.0, 60.0), {"measured with other settings": 1}),
        ((3600.0, None, 3600.0), {}),  # known by its name alone, of which there is one film
    ],
)
def test_another_film_of_the_same_name_is_no_repeat(
    call: Any, tmp_path: Path, lengths: tuple[float | None, ...], left_out: dict[str, int]
) -> None:
    path = repeated(tmp_path)
    document = json.loads(path.read_text())
    for scenario, seconds in zip(document["scenarios"], lengths, strict=True):
        scenario["input"] = {"name": "input.mp4", "duration": seconds}
    path.write_text(json.dumps(document))
    (plan,) = call("forecast", path, "--json").json()
    assert (plan["measurements"], plan["left_out"]) == (3 - len(left_out), left_out)


def test_a_copied_file_is_no_second_measurement(call: Any, tmp_path: Path) -> None:
    """A backup beside the file, and a copy taken while the run went on, would narrow the interval."""
    path = repeated(tmp_path)
    document = json.loads(path.read_text())
    alone = call("forecast", path, "--json").json()
    document["scenarios"] = document["scenarios"][:2]
    (tmp_path / "test_results_20260302_075959_backup.json").write_text(json.dumps(document))
    answer = call("forecast", tmp_path, "--json")
    assert answer.json() == alone
    assert "forecast: left out of test_results_20260302_080000: 2 measured in a file before it" in answer.err


def test_a_month_under_a_tariff_is_not_priced_at_the_hour_of_the_test(call: Any, tmp_path: Path) -> None:
    """Half of every day at 0.4 and half at 0.2: near 0.3 on average, whenever it was measured."""
    tariff = tmp_path / "tariff.yaml"
    tariff.write_text(
        'time_zone: UTC\nperiods: [{price_per_kwh: 0.4, hours: "00:00-12:00"}]\notherwise_per_kwh: 0.2\n'
    )
    prices = ("--tariff", tariff, "--cpu-cost-per-hour", 0)
    plan = call("forecast", repeated(tmp_path), *prices, "--json").json()[0]
    assert plan["electricity_price_per_kwh"] == pytest.approx(0.3, abs=0.002)
    assert plan["cost_month"]["mean"] == pytest.approx(730 * plan["electricity_price_per_kwh"])


def test_only_what_was_measured_alike_is_averaged(call: Any, tmp_path: Path) -> None:
    """Another preset under the same name is left out and said; another machine is another plan."""
    path = repeated(tmp_path)
    document = json.loads(path.read_text())
    slower = {**document["scenarios"][0], "preset": "slow", "repeat": 4}
    path.write_text(json.dumps({**document, "scenarios": [*document["scenarios"], slower]}))
    other = {**document, "host": {"hardware_id": "other-8t"}, "scenarios": document["scenarios"][:1]}
    (tmp_path / "test_results_20260303_080000.json").write_text(json.dumps(other))
    answer = call("forecast", tmp_path, "--json")
    plans = [(plan["hardware"], plan["measurements"]) for plan in answer.json()]
    assert plans == [("unknown", 3), ("other-8t", 1)]
    assert "hd: left out 1 measured with other settings" in answer.err
    table = call("forecast", tmp_path).out
    assert re.search(r"^hd +other-8t +kWh", table, re.MULTILINE)
    assert "hd on other-8t: 730 hours of video; measured once" in table


def test_a_month_is_of_the_valid_measurements_where_there_are_some(call: Any, tmp_path: Path) -> None:
    """Three of 1.0 kW, the third throttled and at 1.1: the mean of 0.9 and 1.0 counts."""
    path = repeated(tmp_path)
    document = json.loads(path.read_text())
    document["scenarios"][2]["validity"] = ["throttled"]
    path.write_text(json.dumps(document))
    answer = call("forecast", path, "--energy-cost-per-kwh", 1, "--cpu-cost-per-hour", 0, "--json")
    plan = answer.json()[0]
    left_out = {"not valid: throttled": 1}
    assert (plan["measurements"], plan["left_out"], plan["validity"]) == (2, left_out, [])
    assert plan["energy_kwh_month"]["mean"] == pytest.approx(0.95 * 730)
    assert "hd: left out 1 not valid: throttled" in answer.err


def test_a_month_of_what_is_not_valid_says_so(call: Any, tmp_path: Path) -> None:
    path = repeated(tmp_path)
    document = json.loads(path.read_text())
    for scenario in document["scenarios"]:
        scenario["validity"] = ["steal"]
    path.write_text(json.dumps(document))
    plan = call("forecast", path, "--json").json()[0]
    assert (plan["measurements"], plan["left_out"], plan["validity"]) == (3, {}, ["steal"])
    assert "used although not valid: steal" in " ".join(call("forecast", path).out.split())


def spoilt(folder: Path, *names: str) -> Path:
    """The reference run with scenarios that are not valid."""
    document = json.loads(RUN.read_text())
    for scenario in document["scenarios"]:
        if scenario["name"] in names:
            scenario["validity"] = ["throttled"]
    path = folder / RUN.name
    path.write_text(json.dumps(document))
    return path


def test_what_is_not_valid_is_priced_and_named(call: Any, tmp_path: Path) -> None:
    path = spoilt(tmp_path, "720p")
    validity = {row["scenario"]: row["validity"] for row in call("cost", path, "--json").json()}
    assert {name: reasons for name, reasons in validity.items() if reasons} == {"720p": ["throttled"]}
    assert "Not valid, but priced: 720p (throttled)" in call("cost", path).out


def test_a_difference_from_what_is_not_valid_is_no_rungs_cost(call: Any, tmp_path: Path) -> None:
    """One rung's cost is the ladder's less that of another scenario: both have to be valid."""
    ladder = next(row for row in call("cost", RUN, "--json").json() if row["cost_by_rung"])
    path = spoilt(tmp_path, ladder["scenario"])
    assert [row["cost_by_rung"] for row in call("cost", path, "--json").json()] == [{}] * 9


def test_ownership_by_what_is_not_valid_says_so(call: Any, tmp_path: Path) -> None:
    path = spoilt(tmp_path, "720p")
    answer = call("tco", path, "--purchase-price", 8000, "--scenario", "720p", "--json")
    assert answer.json()
    assert "720p is used although not valid: throttled" in answer.err


def test_a_budget_becomes_rules_that_promtool_accepts(call: Any, tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    rules = tmp_path / "rules.yml"
    answer = call(
        *("forecast", RUNS, "--region", "eu-north-1", "--streams", 4, "--budget-month", 600),
        *("--budget-co2-month", 3, "--write-rules", rules, "--json"),
    )
    assert answer.json()
    assert f"alert rules written to {rules}" in answer.err
    done = subprocess.run(
        ["promtool", "check", "rules", str(rules)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "2 rules found" in done.stdout) == (0, True), done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scenario", "730p"], "no finished scenario '730p': did you mean 720p or"),
        (["--streams", "0"], "streams: expected a number above 0"),
        (["--hours", "-5"], "hours: expected a number above 0"),
        (["--write-rules", "rules.yml"], "--write-rules: expected --budget-month or --budget-co2-month"),
        (["--budget-month", "nan"], "--budget-month: expected a number above 0"),
    ],
)
def test_a_forecast_of_bad_input(call: Any, arguments: list[str], said: str) -> None:
    answer = call("forecast", RUN, *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1


def hour_file(folder: Path, start: float, **changes: Any) -> Path:
    """One hour of a kilowatt that made an hour of video."""
    scenario = {
        "name": "hd",
        "duration": 3600.0,
        "start_time": start,
        "end_time": start + 3600,
        "outputs": [{"resolution": "1280x720", "fps": 30.0, "frames": 108_000, "duration": 3600.0}],
        "power": {"tier": "measured", "total_energy_joules": 3.6e6},
        **changes,
    }
    path = folder / "test_results_20260302_170000.json"
    path.write_text(json.dumps({"schema_version": 1, "scenarios": [scenario]}))
    return path


EVENING = 1772470800.0
"""Monday, 2 March 2026, 17:00 UTC."""
PEAK = 'time_zone: UTC\nperiods: [{price_per_kwh: 1.0, hours: "17:00-18:00"}]\notherwise_per_kwh: 0.1\n'


def test_a_month_is_projected_at_one_mean_price_and_not_at_the_hour_of_the_test(
    call: Any, tmp_path: Path
) -> None:
    """An hour at the peak costs 1.0; a month of it 730 x (23 x 0.1 + 1.0) / 24, but for ten hours."""
    (tmp_path / "peak.yaml").write_text(PEAK)
    arguments = (hour_file(tmp_path, EVENING), "--tariff", tmp_path / "peak.yaml", "--cpu-cost-per-hour", 0)
    row = call("cost", *arguments, "--json").json()[0]
    assert row["cost_total"] == pytest.approx(1.0)
    assert row["monthly_projection"] == pytest.approx(730 * 3.3 / 24, abs=1.0)
    plan = call("forecast", *arguments, "--json").json()[0]
    assert plan["cost_month"]["mean"] == pytest.approx(730 * row["planned_cost_per_stream_hour"], rel=1e-9)
    assert plan["cost_month"]["mean"] == pytest.approx(row["monthly_projection"], rel=1e-9)
    assert "peak.yaml; mean of 730 h up to" in plan["price_source"]


def test_built_in_prices_are_converted_by_the_rates_given(call: Any, tmp_path: Path) -> None:
    """0.50 USD at 1.08 USD and 155.5 JPY for a euro are 71.99 JPY; the rates' age is said."""
    rates = tmp_path / "rates.yaml"
    rates.write_text("base: EUR\ndate: 2024-01-02\nrates: {USD: 1.08, JPY: 155.5}\n")
    answer = call(
        *("cost", hour_file(tmp_path, EVENING), "--currency", "JPY", "--region", "DEU"),
        *("--exchange-rates", rates, "--json"),
    )
    assert answer.json()[0]["cost_compute"] == pytest.approx(0.5 / 1.08 * 155.5)
    assert "exchange rates: the newest is" in answer.err


def test_a_tariff_holds_in_a_cost_of_ownership_too(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flat.yaml").write_text("price_per_kwh: 0.33\n")
    monkeypatch.setenv("TARIFF_FILE", str(tmp_path / "flat.yaml"))
    row = call("tco", "--purchase-price", 1000, "--mean-watts", 1000, "--json").json()[0]
    assert row["per_hour"]["electricity"] == pytest.approx(0.33)


def test_a_market_that_pays_has_its_bounds_in_order(call: Any, tmp_path: Path) -> None:
    """0.9, 1.0 and 1.1 kWh at -0.05: the mean of a month is 36.5 below 0, and so are both bounds."""
    (tmp_path / "neg.yaml").write_text("price_per_kwh: -0.05\nallow_negative: true\n")
    prices = ("--tariff", tmp_path / "neg.yaml", "--cpu-cost-per-hour", 0)
    month = call("forecast", repeated(tmp_path), *prices, "--json").json()[0]["cost_month"]
    half = 4.302653 * 0.1 / 3**0.5 * 730 * 0.05
    assert month["mean"] == pytest.approx(-36.5)
    assert (month["low"], month["high"]) == (pytest.approx(-36.5 - half), pytest.approx(-36.5 + half))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--carbon-grams-per-kwh", "0.344"], "is it in kg (then 344)"),
        (["--embodied-minimum-kg", "800"], "embodied_minimum_kg: needs embodied_kg"),
        (["--functional-unit", "frame"], "expected one of video_minute, watch_hour, gigapixel"),
    ],
)
def test_a_slip_or_a_setting_that_acts_on_nothing_is_refused(
    call: Any, arguments: list[str], problem: str
) -> None:
    answer = call("cost", RUN, *arguments)
    assert answer.code == 2
    assert problem in answer.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["recommend", RUN, "--min-vmaf", 0.95], "min_vmaf: VMAF ranges from 0 to 100, found 0.95"),
        (["recommend", RUN, "--max-bitrate-kbps", 2_500_000], "'--max-bitrate-kbps'"),
        (["recommend", RUN, "--max-watts", 0.2], "'--max-watts'"),
        (["report", RUN, "--min-vmaf", 0.9], "is it a share (then 90)?"),
        (["tco", "--purchase-price", 1, "--mean-watts", 0.3], "mean_watts: no machine encodes with 0.3 W"),
        (["tco", "--purchase-price", 1, "--mean-watts", 300, "--lifetime-years", 35040], "lifetime_years"),
        (
            [
                *("tco", "--purchase-price", 1, "--mean-watts", 300, "--viewers", 1),
                *("--bitrate-kbps", 2_500_000, "--delivery-cost-per-gb", 0.01),
            ],
            "bitrate_kbps: expected a number of at most 1000000",
        ),
        (
            ["tco", "--purchase-price", 1, "--mean-watts", 300, "--cloud-cost-per-hour", 0.00019],
            "cloud_cost_per_hour: 0.00019 USD per hour is below the plausible 0.0003: is it per second",
        ),
        (
            ["tco", "--purchase-price", 1, "--mean-watts", 300, "--delivery-cost-per-gb", 85],
            "85.0 USD per GB is above the plausible 4: is it per TB (then 0.085)",
        ),
        (
            [
                *("tco", "--purchase-price", 1, "--mean-watts", 300),
                *("--cloud-cost-per-hour", 1, "--cloud-streams", 0),
            ],
            "cloud_streams: expected a number above 0",
        ),
        (["when", "--hours", 1, "--mean-watts", 0.25], "'--mean-watts'"),
        (["cost", RUN, "--region", "SE3,SE4"], "SE3 and SE4 are both SWE"),
    ],
)
def test_a_number_in_another_unit_is_questioned(call: Any, arguments: list[Any], problem: str) -> None:
    answer = call(*arguments)
    assert answer.code == 2
    assert problem in answer.err
    assert answer.err.count("\n") == 1


def test_hours_of_a_year_are_no_hours_of_a_month(call: Any) -> None:
    answer = call("forecast", RUN, "--hours", 9000)
    assert (answer.code, "--hours: expected hours of a month" in answer.err) == (2, True)


def test_regions_are_listed(call: Any) -> None:
    rows = call("regions", "sweden", "--json").json()
    assert [row["region"] for row in rows] == [
        "SWE",
        "eu-north-1",
        "europe-north2",
        "swedencentral",
        "swedensouth",
    ]
    assert rows[0]["price_per_kwh"] == 0.0682
    assert "0.0682 USD" in call("regions", "sweden").out
    assert call("regions", "qqqq").code == 2


def test_when_to_run_a_job(call: Any, tmp_path: Path) -> None:
    """Two hours of 1 kW: 0.02 from the third hour on in place of 0.6 at once."""
    (tmp_path / "day.csv").write_text(
        "timestamp,price_per_kwh\n"
        + "".join(f"{3600 * i},{p}\n" for i, p in enumerate((0.3, 0.3, 0.01, 0.01, 0.2)))
    )
    arguments = ("--hours", 2, "--tariff", tmp_path / "day.csv", "--mean-watts", 1000)
    answer = call("when", *arguments, "--json").json()[0]
    assert answer["hours"][0][0].startswith("1970-01-01T")
    assert (answer["mean"], answer["mean_at_once"]) == (pytest.approx(0.01), pytest.approx(0.3))
    assert answer["saving"] == pytest.approx(0.58)
    assert "96.7% (0.58 USD)" in call("when", *arguments).out
    assert "nothing given changes over time" in call("when", "--hours", 2).err


def test_a_job_of_more_than_a_day_ends_on_another(call: Any, tmp_path: Path) -> None:
    """Three days of 24 hours, in UTC as all moments without a zone of their own."""
    (tmp_path / "days.csv").write_text("timestamp,price_per_kwh\n0,0.3\n86400,0.1\n172800,0.2\n")
    arguments = ("--hours", 36, "--within", 72, "--tariff", tmp_path / "days.csv")
    since, until = call("when", *arguments, "--json").json()[0]["hours"][0]
    assert f"{since} to {until}" in " ".join(call("when", *arguments).out.split())


def test_prices_in_euros_need_no_rates_where_nothing_is_in_dollars(call: Any, tmp_path: Path) -> None:
    """Neither command prices the machine's time: its built-in price in USD is nothing to them."""
    path = tmp_path / "day.json"
    hours = [
        {"start_timestamp": 3_600_000 * i, "end_timestamp": 3_600_000 * (i + 1), "marketprice": price}
        for i, price in enumerate((80, -20, 40))
    ]
    path.write_text(json.dumps({"data": [{**hour, "unit": "Eur/MWh"} for hour in hours]}))
    prices = ("--tariff", path, "--currency", "EUR")
    answer = call("when", "--hours", 1, "--mean-watts", 1000, *prices, "--json").json()[0]
    assert (answer["unit"], answer["saving"]) == ("EUR/kWh", pytest.approx(0.1))
    owned = call(
        "tco", "--purchase-price", 8760, "--lifetime-years", 1, "--mean-watts", 300, *prices, "--json"
    )
    assert owned.json()[0]["per_hour"]["electricity"] == pytest.approx(0.3 * (0.08 - 0.02 + 0.04) / 3)


def test_a_month_that_cannot_be_priced_says_why(call: Any, tmp_path: Path) -> None:
    answer = call("forecast", hour_file(tmp_path, EVENING), "--region", "IND")
    assert "no_price: no electricity price is known for the region" in answer.out
    assert "no_viewers" not in answer.out


def test_of_many_scenarios_a_line_names_five(call: Any, tmp_path: Path) -> None:
    """And none speaks of viewers, whom nobody asked for."""
    document = json.loads(RUN.read_text())
    first = document["scenarios"][0] | {"validity": ["throttled"], "viewers": None}
    document["scenarios"] = [first | {"name": f"s{i}"} for i in range(20)]
    (tmp_path / RUN.name).write_text(json.dumps(document))
    text = " ".join(call("cost", tmp_path / RUN.name).out.split())
    assert "s3 (throttled); s4 (throttled); and 15 more" in text
    assert "no_viewers" not in text


def test_numbers_are_whole_at_eighty_columns(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    arguments = (hour_file(tmp_path, EVENING), "--host-cost-per-hour", 999, "--region", "DEU,FRA")
    out = call("cost", *arguments).out
    for number in ("999.2", "729383", "344.1", "3600"):
        assert re.search(rf"\b{re.escape(number)}\b", out)
    assert "\u2026" not in out
