"""The cost model: properties that must hold for any figures, and cases worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor import CostModel, RegionalPricing
from advisor.cost.carbon import Embodied
from advisor.cost.power_curve import load_curve
from advisor.cost.run_cost import region_front, rung_costs
from advisor.cost.scenario_cost import REASONS
from advisor.cost.tariffs.schedule import SourcedSchedule, StepSeries
from advisor.errors import InputError, PricingError
from advisor.results import EncodeStats, Host, Output, Power, Run, Samples, Scenario
from advisor.results.derived import delivered_kbps

joules = st.floats(0.0, 1e9)
prices = st.floats(0.0, 5.0)
START = 1772434800.0


def measured(total: float = 3.6e6, **changes: Any) -> Scenario:
    """An hour of 1 kWh on four cores."""
    return Scenario(
        **{
            "name": "hour",
            "duration": 3600.0,
            "video_seconds": 3600.0,
            "start_time": START,
            "end_time": START + 3600,
            "resolution": "1920x1080",
            "fps": 30.0,
            "power": Power(tier="measured", total_energy_joules=total),
            "cpu_seconds": 4 * 3600.0,
            **changes,
        }
    )


@given(joules, prices, st.floats(0.0, 100.0))
def test_cost_is_linear_in_price(energy: float, price: float, factor: float) -> None:
    once = CostModel(energy_cost_per_kwh=price, accept_unusual_prices=True)
    more = CostModel(energy_cost_per_kwh=price * factor, accept_unusual_prices=True)
    cost = once.compute_energy_cost(measured(energy))
    assert cost is not None
    assert more.compute_energy_cost(measured(energy)) == pytest.approx(cost * factor, rel=1e-12)


@given(st.lists(joules, min_size=1, max_size=20), prices)
def test_cost_is_additive_over_energy(parts: list[float], price: float) -> None:
    model = CostModel(energy_cost_per_kwh=price)
    whole = model.compute_energy_cost(measured(sum(parts)))
    assert sum(model.compute_energy_cost(measured(p)) or 0.0 for p in parts) == pytest.approx(whole)


@given(joules, prices, st.floats(1.0, 3.0))
def test_the_building_is_paid_once(energy: float, price: float, pue: float) -> None:
    """PUE multiplies electricity and emissions once, and the machine's time not at all."""
    plain = CostModel(price, 0.5, carbon_grams_per_kwh=100.0).price(measured(energy))
    with_pue = CostModel(price, 0.5, carbon_grams_per_kwh=100.0, pue=pue).price(measured(energy))
    assert with_pue.cost_energy == pytest.approx((plain.cost_energy or 0) * pue)
    assert with_pue.facility_energy_joules == pytest.approx(energy * pue)
    assert with_pue.co2_operational_kg == pytest.approx((plain.co2_operational_kg or 0) * pue)
    assert with_pue.cost_compute == plain.cost_compute


@given(joules)
def test_no_intensity_emits_nothing_and_an_unknown_one_is_unknown(energy: float) -> None:
    """A grid of 0 g/kWh is not a grid that nobody knows."""
    assert CostModel(0.1, carbon_grams_per_kwh=0.0).price(measured(energy)).co2_operational_kg == 0.0
    unknown = CostModel(0.1).price(measured(energy))
    assert unknown.co2_operational_kg is None
    assert "no_carbon_intensity" in unknown.missing


def test_free_electricity_costs_nothing_and_is_known() -> None:
    priced = CostModel(0.0, 0.0).price(measured())
    assert (priced.cost_energy, priced.cost_compute, priced.cost_total) == (0.0, 0.0, 0.0)
    assert priced.inputs.electricity_price_per_kwh == 0.0
    assert priced.unpriced == []


def test_owned_pays_the_machine_and_its_electricity() -> None:
    """An hour, 1 kWh at PUE 1.2 and 0.25 a kWh; 0.50 an hour; four core-hours by load."""
    priced = CostModel(0.25, 0.50, pue=1.2).price(measured())
    assert priced.cost_energy == pytest.approx(0.30)
    assert priced.cost_compute == pytest.approx(0.50)
    assert priced.cost_total == pytest.approx(0.80)
    assert priced.cost_compute_load_aware == pytest.approx(2.00)
    assert priced.cost_total_load_aware == pytest.approx(2.30)
    assert priced.rate_per_hour == pytest.approx(0.80)
    assert priced.monthly_projection == pytest.approx(584.0)
    assert priced.cost_per_pixel == pytest.approx(0.80 / (1920 * 1080 * 30 * 3600))


def test_an_amortised_host_is_split_by_its_cpus_when_load_counts() -> None:
    """8 CPUs, of which four were busy: half of the host's hour."""
    model = CostModel(0.25, host_cost_per_hour=0.40)
    priced = model.price(measured(), host_threads=8)
    assert priced.cost_compute == pytest.approx(0.40)
    assert priced.cost_compute_load_aware == pytest.approx(0.20)
    unknown = model.price(measured())
    assert unknown.cost_compute_load_aware is None
    assert "no_host_threads" in unknown.missing


def test_cloud_shows_no_electricity_and_still_counts_energy_and_carbon() -> None:
    priced = CostModel(0.25, mode="cloud", instance_cost_per_hour=0.68, carbon_grams_per_kwh=300.0).price(
        measured()
    )
    assert priced.cost_total == priced.cost_compute == pytest.approx(0.68)
    assert priced.cost_energy is None
    assert priced.energy_joules == 3.6e6
    assert priced.co2_operational_kg == pytest.approx(0.3)
    assert CostModel(mode="cloud", cpu_cost_per_hour=0.04).compute_total_cost({"duration": 1800}) == 0.02


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "rented"}, "mode: expected one of owned, cloud, found 'rented'"),
        (
            {"instance_cost_per_hour": 1.0},
            "instance_cost_per_hour: an instance price includes electricity",
        ),
        ({"mode": "cloud", "host_cost_per_hour": 1.0}, "host_cost_per_hour: an amortised host"),
        ({"host_cost_per_hour": 1.0, "cpu_cost_per_hour": 1.0}, "not both"),
        ({"energy_cost_per_kwh": -0.01}, "energy_cost_per_kwh: expected a number of 0 or more, found -0.01"),
        ({"energy_cost_per_kwh": float("nan")}, "found nan"),
        ({"cpu_cost_per_hour": float("inf")}, "cpu_cost_per_hour: expected .* found inf"),
        (
            {"gpu_cost_per_hour": 5000},
            "gpu_cost_per_hour: 5000.0 USD per GPU hour is above the plausible 1000",
        ),
        (
            {"cpu_cost_per_hour": 20},
            "20.0 USD per CPU hour is above the plausible 10: is it per month .then 0.02",
        ),
        # 0.0864 an hour each
        ({"cpu_cost_per_hour": 2.4e-5}, "below the plausible 4e-05: is it per second .then 0.0864"),
        (
            {"instance_cost_per_hour": 2.4e-5, "mode": "cloud"},
            "instance_cost_per_hour: 2.4e-05 USD per hour is below the plausible 0.0003",
        ),
        # what a provider asks for a second of an L4 and of an L40S
        ({"gpu_cost_per_hour": 0.000222}, "below the plausible 0.0006: is it per second .then 0.7992"),
        ({"gpu_cost_per_hour": 0.000542}, "below the plausible 0.0006: is it per second .then 1.9512"),
        # a cheap hour in Sweden: 45 öre
        (
            {"energy_cost_per_kwh": 45, "currency": "SEK"},
            "45.0 SEK per kWh is above the plausible 20: .* hundredths .then 0.45",
        ),
        # 5 fils in Kuwait, where a dinar is more than 3 dollars
        ({"energy_cost_per_kwh": 5, "currency": "KWD"}, "5.0 KWD per kWh is above the plausible 2: is it"),
        ({"embodied_kg": 1_300_000}, "embodied_kg: expected a number of at most 100000, found 1300000"),
        ({"energy_cost_per_kwh": "cheap"}, "found 'cheap'"),
        ({"energy_cost_per_kwh": True}, "found True"),
        ({"pue": 0.9}, "pue: expected a number of 1 or more, found 0.9"),
        ({"pue": 110}, "pue: expected a number of at most 3, found 110"),
        ({"carbon_grams_per_kwh": 350_000}, "carbon_grams_per_kwh: expected a number of at most 3000"),
        (
            {"functional_unit": "frame"},
            "functional_unit: expected one of video_minute, watch_hour, gigapixel",
        ),
        ({"currency": "$"}, "currency: expected a currency code of three letters"),
        ({"currency": "GBp"}, "currency: expected a currency code of three letters such as USD, found 'GBp'"),
        (
            {"energy_cost_per_kwh": 0.1, "tariff": StepSeries.of([0, 1], [1, 1])},
            "a price per kWh or a tariff, not both",
        ),
        ({"currency": "EUR", "regions": RegionalPricing()}, "the regions are in USD, the model in EUR"),
    ],
)
def test_a_price_that_cannot_be_meant_is_refused_by_field(options: dict[str, Any], said: str) -> None:
    with pytest.raises(PricingError, match=said):
        CostModel(**options)


def test_hours_of_the_cheapest_machines_are_taken() -> None:
    """Over 43 800 hours, 200 for an old server of 56 threads, 15 for a board computer, 30 for an old GPU."""
    assert CostModel(cpu_cost_per_hour=200 / 43_800 / 56).prices.cpu_per_hour == pytest.approx(
        8.154e-5, rel=1e-3
    )
    assert CostModel(host_cost_per_hour=15 / 43_800).prices.machine_per_hour == pytest.approx(
        3.425e-4, rel=1e-3
    )
    assert CostModel(gpu_cost_per_hour=30 / 43_800).prices.gpu_per_hour == pytest.approx(6.849e-4, rel=1e-3)


def test_what_making_a_supercomputer_emitted_is_taken() -> None:
    """5 000 t over four years of 8 760 hours."""
    analysis = CostModel(energy_cost_per_kwh=0.1).get_tco_analysis(6e8, mean_watts=3e7, embodied_kg=5e6)
    assert analysis.co2_embodied_grams_per_hour == pytest.approx(5e9 / 35_040)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(PricingError) as caught:
        CostModel(-1, gpu_cost_per_hour=-2, pue=0.5, carbon_grams_per_kwh=float("nan"))
    fields = [part.partition(":")[0] for part in str(caught.value).split("; ")]
    assert fields == ["energy_cost_per_kwh", "gpu_cost_per_hour", "pue", "carbon_grams_per_kwh"]


def test_a_questioned_price_can_be_kept_and_is_normal_in_other_currencies() -> None:
    assert CostModel(120.0, accept_unusual_prices=True).compute_energy_cost(measured()) == 120.0
    assert CostModel(120.0, currency="KRW").compute_energy_cost(measured()) == 120.0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"power": None}, "no_energy"),
        ({"duration": None, "start_time": None, "end_time": None}, "no_duration"),
        ({"duration": 0.0}, "zero_duration"),
        ({"status": "failed"}, "failed"),
        ({"status": "aborted"}, "failed"),
        ({"encoder_type": "gpu"}, "no_gpu_rate"),
    ],
)
def test_what_cannot_be_priced_says_why(changes: dict[str, Any], reason: str) -> None:
    priced = CostModel(0.1, 0.5).price(measured(**changes))
    assert priced.cost_total is None
    assert reason in priced.unpriced
    assert set(priced.missing) <= REASONS.keys()


def test_figures_beside_an_absent_one_stay() -> None:
    """Without energy the machine's time is still priced; without CPU time the wall clock's figures are."""
    no_energy = CostModel(0.1, 0.5).price(measured(power=None))
    assert no_energy.cost_compute == 0.5
    no_cpu = CostModel(0.1, 0.5).price(measured(cpu_seconds=None))
    assert no_cpu.cost_total == pytest.approx(0.6)
    assert no_cpu.cost_total_load_aware is None
    assert no_cpu.unpriced == []


def test_gaps_are_not_bridged_and_are_reported() -> None:
    """Samples each second but for a hole of a minute: twenty seconds of 100 W are known."""
    stamps = [START + i for i in range(11)] + [START + 70 + i for i in range(11)]
    samples = Samples(timestamps=stamps, power_watts=[100.0] * 22, cpu_usage_cores=[2.0] * 22)
    scenario = measured(power=None, cpu_seconds=None, duration=80.0, samples=samples)
    priced = CostModel(3.6, 0.0).price(scenario)
    assert priced.energy_joules == 2000.0
    assert priced.energy_basis == "samples"
    assert "sample_gaps" in priced.missing
    assert priced.cost_energy == pytest.approx(2000e-6)


def test_counters_go_before_samples_and_samples_say_when() -> None:
    """The counter's joules, in the shape of the samples: three quarters of them in the dear second half."""
    stamps = [START + 600 * i for i in range(7)]
    watts = [50.0, 50.0, 50.0, 100.0, 150.0, 150.0, 150.0]
    scenario = measured(7.2e6, samples=Samples(timestamps=stamps, power_watts=watts))
    series = StepSeries.of([START, START + 1800], [0.1, 0.3])
    # areas: 600 x (50 + 50 + 75) = 105 000 J before, 600 x (125 + 150 + 150) = 255 000 J after
    priced = CostModel(tariff=series).price(scenario)
    assert priced.energy_basis == "counter"
    assert priced.cost_energy == pytest.approx(2.0 * (105 * 0.1 + 255 * 0.3) / 360)
    assert priced.inputs.electricity_price_per_kwh == pytest.approx((105 * 0.1 + 255 * 0.3) / 360)


def test_without_samples_energy_is_spread_evenly() -> None:
    series = StepSeries.of([START - 1800, START + 1800], [0.1, 0.3])
    assert CostModel(tariff=series).price(measured()).cost_energy == pytest.approx(0.2)


def test_a_price_over_time_needs_to_know_when() -> None:
    """Samples of earlier suites that count from 0 are not of 1970."""
    series = StepSeries.of([0, START + 1e6], [0.1, 0.3])
    samples = Samples(timestamps=[0.0, 10.0, 20.0], power_watts=[1.0, 1.0, 1.0])
    scenario = measured(start_time=None, end_time=None, samples=samples)
    priced = CostModel(tariff=series, cpu_cost_per_hour=0.5).price(scenario)
    assert priced.unpriced == ["no_start_time"]
    assert load_curve(scenario, 1.0) is None


def test_a_carbon_series_counts_each_moment(tmp_path: Any) -> None:
    (tmp_path / "carbon.csv").write_text(
        f"timestamp,carbon_grams_per_kwh\n{START - 1800},0\n{START + 1800},400\n"
    )
    (tmp_path / "r.yaml").write_text("regions:\n  here: {price_per_kwh: 0.1, carbon_series: carbon.csv}\n")
    regions = RegionalPricing(tmp_path / "r.yaml")
    priced = CostModel(regions=regions, region="here").price(measured())
    assert priced.co2_operational_kg == pytest.approx(0.2)
    later = CostModel(regions=regions, region="here").price(measured(start_time=START + 1e6, end_time=None))
    assert "outside_carbon_series" in later.missing


def test_gpu_energy_is_paid_and_its_absence_is_said() -> None:
    gpu = {"encoder_type": "gpu", "gpu_power": Power(tier="modelled", mean_watts=100.0)}
    priced = CostModel(0.25, 0.5, 1.0).price(measured(**gpu))
    assert priced.energy_joules == 3.6e6 + 360_000
    assert priced.energy_tier == "modelled"
    assert (priced.cost_gpu, priced.cost_compute) == (1.0, 1.5)
    unmetered = CostModel(0.25, 0.5, 1.0).price(measured(encoder_type="gpu"))
    assert "no_gpu_energy" in unmetered.missing


def test_embodied_is_a_share_of_life_and_never_more_than_all() -> None:
    """Four years are 35 040 hours."""
    making = Embodied(1000.0, 4.0, 800.0, 1300.0)
    priced = CostModel(0.1, 0.5, embodied=making).price(measured())
    assert priced.co2_embodied_kg == pytest.approx(1000 / 35_040)
    assert priced.co2_embodied_minimum_kg == pytest.approx(800 / 35_040)
    assert priced.co2_embodied_maximum_kg == pytest.approx(1300 / 35_040)
    old = CostModel(0.1, 0.5, embodied=making).price(measured(duration=9e9))
    assert old.co2_embodied_kg == 1000.0


def test_sci_needs_both_terms_and_a_unit() -> None:
    """100 g of grid and 1000/35.04 g of making over 60 minutes of video."""
    making = Embodied(1000.0, 4.0)
    full = CostModel(
        0.1, 0.5, carbon_grams_per_kwh=100.0, embodied=making, functional_unit="video_minute"
    ).price(measured())
    assert full.sci_grams_per_unit == pytest.approx((100 + 1000 / 35.04) / 60)
    partly = CostModel(0.1, 0.5, carbon_grams_per_kwh=100.0, functional_unit="video_minute").price(measured())
    assert partly.sci_grams_per_unit is None
    assert "no_embodied" in partly.missing
    watched = CostModel(
        0.1, 0.5, carbon_grams_per_kwh=100.0, embodied=making, functional_unit="watch_hour"
    ).price(measured(viewers=10))
    assert watched.sci_grams_per_unit == pytest.approx((100 + 1000 / 35.04) / 10)


def test_viewers_are_not_streams() -> None:
    """Four streams seen by 100: each viewer watches one of them for the hour."""
    scenario = measured(name="4 streams", viewers=100)
    priced = CostModel(0.0, 1.0).price(scenario)
    assert priced.cost_per_watch_hour == pytest.approx(0.01)
    assert priced.cost_per_stream == pytest.approx(0.25)
    assert priced.cost_per_stream_hour == pytest.approx(0.25)
    assert CostModel(0.0, 1.0).price(measured(name="4 streams")).cost_per_watch_hour is None


@pytest.mark.parametrize(("viewers", "reason"), [(None, "no_viewers"), (0, "zero_viewers")])
def test_without_viewers_a_watch_hour_has_no_cost(viewers: int | None, reason: str) -> None:
    priced = CostModel(0.1, 0.5).price(measured(viewers=viewers))
    assert priced.cost_per_watch_hour is None
    assert reason in priced.missing


def test_faster_than_real_time_makes_more_to_watch() -> None:
    """An hour at four times real time is four hours of video for each viewer."""
    scenario = measured(encode=EncodeStats(speed=4.0), viewers=10)
    assert CostModel(0.0, 1.0).price(scenario).cost_per_watch_hour == pytest.approx(1 / 40)


def test_methods_take_scenarios_as_files_hold_them() -> None:
    """A mapping of an earlier suite, without a name or a start."""
    model = CostModel(energy_cost_per_kwh=0.36, cpu_cost_per_hour=0.36)
    scenario = {
        "power_watts": [100, 150, 200, 180, 120],
        "cpu_usage_cores": [2, 2.5, 3, 2.8, 2.2],
        "step_seconds": 10,
        "duration": 40,
        "resolution": "1920x1080",
        "fps": 30,
        "viewers": 4,
    }
    assert model.compute_energy_cost(scenario) == pytest.approx(6400e-7)
    assert model.compute_compute_cost(scenario) == pytest.approx(0.004)
    assert model.compute_compute_cost(scenario, load_aware=True) == pytest.approx(0.0104)
    assert model.compute_total_cost(scenario) == pytest.approx(0.00464)
    assert model.compute_total_cost(scenario, load_aware=True) == pytest.approx(0.01104)
    assert model.compute_cost_per_pixel(scenario) == pytest.approx(0.00464 / (1920 * 1080 * 30 * 40))
    assert model.compute_cost_per_watch_hour(scenario) == pytest.approx(0.00464 / (4 * 40 / 3600))
    assert model.compute_cost_per_watch_hour(scenario, viewers=8) == pytest.approx(0.00464 / (8 * 40 / 3600))


@pytest.mark.parametrize(
    ("scenario", "problem"),
    [
        ([1, 2], "scenario: expected a scenario .*, found list"),
        (2, "scenario: expected a scenario .*, found int"),
        ({"power": {"mean_watts": float("nan")}}, "power.mean_watts: expected a finite number, found nan"),
        ({"power_watts": [1, float("inf")]}, r"power_watts\[1\]: .* found inf"),
        ({"name": object()}, "expected plain values, found object"),
        ({"fps": "thirty"}, "scenario: fps: expected"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused_by_name(scenario: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        CostModel(0.1, 0.5).compute_energy_cost(scenario)


def test_each_method_gives_a_field_of_price() -> None:
    """Also where there is none: a failed scenario costs None everywhere."""
    model = CostModel(0.25, 0.5)
    for scenario in (measured(viewers=10), measured(status="failed"), measured(duration=None, end_time=None)):
        cost = model.price(scenario)
        assert model.compute_energy_cost(scenario) == cost.cost_energy
        assert model.compute_compute_cost(scenario) == cost.cost_compute
        assert model.compute_compute_cost(scenario, load_aware=True) == cost.cost_compute_load_aware
        assert model.compute_total_cost(scenario) == cost.cost_total
        assert model.compute_total_cost(scenario, load_aware=True) == cost.cost_total_load_aware
        assert model.compute_cost_per_pixel(scenario) == cost.cost_per_pixel
        assert model.compute_cost_per_watch_hour(scenario) == cost.cost_per_watch_hour
    assert model.compute_compute_cost(measured(status="failed")) is None


def test_numbers_of_other_libraries_are_numbers() -> None:
    import decimal

    import numpy as np

    model = CostModel(decimal.Decimal("0.36"), np.float32(0.5))  # type: ignore[arg-type]
    assert (model.energy_cost_per_kwh, model.cpu_cost_per_hour) == (0.36, 0.5)
    watts = np.array([1e3, 1e3])
    assert model.compute_energy_cost(
        {"power_watts": watts, "step_seconds": 1000, "duration": 1000}
    ) == pytest.approx(0.1)


def test_a_model_says_its_prices_in_both_units() -> None:
    model = CostModel(0.36, 0.36, gpu_cost_per_hour=2)
    assert (model.energy_cost_per_kwh, model.price_per_joule) == (0.36, pytest.approx(1e-7))
    assert (model.cpu_cost_per_hour, model.price_per_core_second) == (
        pytest.approx(0.36),
        pytest.approx(1e-4),
    )
    assert model.gpu_cost_per_hour == 2
    unknown = CostModel(tariff=StepSeries.of([0, 1], [1, 1]))
    assert (unknown.price_per_joule, unknown.price_per_core_second) == (None, None)


def test_a_machine_that_nobody_prices_is_there_anyway() -> None:
    """The total is then electricity alone, and the absent part is named; electricity is never left out."""
    priced = CostModel(0.25).price(measured())
    assert (priced.cost_total, priced.cost_compute, priced.unpriced) == (0.25, None, [])
    assert "no_rate" in priced.missing
    assert CostModel(cpu_cost_per_hour=0.5).compute_total_cost(measured()) is None
    assert CostModel(mode="cloud").price(measured()).unpriced == ["no_rate"]


def test_nothing_is_priced_without_a_wall_clock() -> None:
    """Samples alone give CPU time and energy; how long it took is unknown, or 0 s."""
    model = CostModel(0.36, 0.36)
    samples = {"power_watts": [100, 150, 200, 180, 120], "cpu_usage_cores": [2, 2.5, 3, 2.8, 2.2]}
    scenario = {**samples, "step_seconds": 10}
    for changes, reason in (({}, "no_duration"), ({"duration": 0}, "zero_duration")):
        cost = model.price({**scenario, **changes})
        assert (cost.cost_energy, cost.cost_compute_load_aware, cost.cost_total_load_aware) == (None,) * 3
        assert cost.unpriced == [reason]
    assert model.compute_total_cost({**scenario, "duration": 40}, load_aware=True) == pytest.approx(0.01104)


def test_samples_that_break_off_are_a_gap() -> None:
    """Ten of sixty seconds were seen; half a step at either end is how samples lie in a window."""
    stamps = [START + i for i in range(11)]
    broke_off = measured(
        power=None, duration=60.0, samples=Samples(timestamps=stamps, power_watts=[1.0] * 11)
    )
    assert "sample_gaps" in CostModel(0.1, 0.5).price(broke_off).missing
    whole = measured(power=None, duration=11.0, samples=Samples(timestamps=stamps, power_watts=[1.0] * 11))
    assert "sample_gaps" not in CostModel(0.1, 0.5).price(whole).missing


def test_an_earlier_suite_named_the_encoder_or_nothing() -> None:
    """N/A is unknown, and an encoder of a GPU is one without being called so."""
    model = CostModel(0.1, 0.5, 1.2)
    assert model.compute_compute_cost({"duration": 3600, "encoder": "h264_nvenc"}) == pytest.approx(1.7)
    assert model.compute_compute_cost({"duration": 3600, "encoder": "libx264"}) == pytest.approx(0.5)
    idle = {"duration": 3600, "resolution": "N/A", "fps": "N/A", "power": {"mean_watts": 100}}
    assert model.compute_total_cost(idle) == pytest.approx(0.51)


def test_unknown_prices_give_no_cost() -> None:
    model = CostModel()
    assert model.compute_energy_cost(measured()) is None
    assert model.compute_compute_cost(measured()) is None
    assert model.compute_cost_per_pixel(measured()) is None
    assert model.compute_cost_per_watch_hour(measured(viewers=3)) is None


def ladder(name: str, total: float, *rungs: str, **changes: Any) -> Scenario:
    outputs = [
        Output(resolution=r.split("@")[0], bitrate=r.split("@")[1], fps=30.0, duration=60.0) for r in rungs
    ]
    return measured(total, name=name, outputs=outputs, encoder="libx264", duration=60.0, **changes)


@given(st.lists(st.floats(1.0, 1e6), min_size=4, max_size=4))
def test_rungs_and_what_they_share_make_the_ladder(totals: list[float]) -> None:
    """Electricity alone: each rung is what the ladder takes more than the ladder without it."""
    top, middle, low = "1920x1080@5M", "1280x720@2500k", "640x360@800k"
    run = Run(
        run_id="r",
        scenarios=(
            ladder("all", totals[0], top, middle, low),
            ladder("no top", totals[1], middle, low),
            ladder("no middle", totals[2], top, low),
            ladder("no low", totals[3], top, middle),
        ),
    )
    priced = CostModel(3.6, 0.0).price_run(run)[0]
    assert priced.cost_total is not None
    assert priced.cost_shared_by_rungs is not None
    expected = {top: totals[0] - totals[1], middle: totals[0] - totals[2], low: totals[0] - totals[3]}
    assert priced.cost_by_rung == pytest.approx({k: v / 1e6 for k, v in expected.items()}, abs=1e-12)
    parts = sum(priced.cost_by_rung.values()) + priced.cost_shared_by_rungs
    assert parts == pytest.approx(priced.cost_total, rel=1e-12)


def test_a_rung_is_compared_for_the_same_settings_and_the_same_video() -> None:
    """The ladder without it ran for half the time; another preset says nothing."""
    whole = ladder("all", 100.0, "1280x720@2500k", "640x360@800k")
    half = [Output(resolution="1280x720", bitrate="2500k", fps=30.0, duration=30.0)]
    without = measured(40.0, name="one", outputs=half, encoder="libx264", duration=30.0)
    other = ladder("other", 10.0, "640x360@800k", preset="slow")
    totals = {"all": 100.0, "one": 40.0, "other": 10.0}
    assert rung_costs(whole, [whole, without, other], totals) == {"640x360@800k": 20.0}
    priced = CostModel(3.6, 0.0).price_run(Run(run_id="r", scenarios=(whole, without)))[0]
    assert priced.cost_shared_by_rungs is None


def test_the_front_of_regions_keeps_what_nothing_beats() -> None:
    """Cheap and dirty, dear and clean, and one that is dearer and dirtier than the first."""
    both = [
        CostModel(price, 0.0, carbon_grams_per_kwh=grams).price(measured())
        for price, grams in ((0.1, 400.0), (0.2, 20.0), (0.15, 400.0))
    ]
    from msgspec.structs import replace

    named = [replace(p, region=name) for p, name in zip(both, ("cheap", "clean", "beaten"), strict=True)]
    assert region_front(named) == {"cheap": True, "clean": True, "beaten": False}
    assert region_front([]) == {}


def test_the_price_of_a_tariff_in_another_currency_needs_rates() -> None:
    tariff = SourcedSchedule(StepSeries.of([0, 2e9], [0.1, 0.1]), "contract", "EUR")
    with pytest.raises(
        PricingError, match="contract: price_per_kwh: its price is in EUR: give exchange rates"
    ):
        CostModel(tariff=tariff)


def test_threads_of_the_host_come_from_the_run() -> None:
    run = Run(run_id="r", host=Host(threads=16), scenarios=(measured(),))
    priced = CostModel(mode="cloud", instance_cost_per_hour=1.6).price_run(run)
    assert priced[0].cost_total_load_aware == pytest.approx(0.4)
    assert priced[0].run_id == "r"


@pytest.mark.parametrize(
    ("outputs", "bitrate", "kbps"),
    [
        ([Output(size_bytes=750_000, duration=60.0)], "120k", 100.0),
        ([Output(bitrate="2500k")], "2500k", 2500.0),
        ([], "5M", 5000.0),
        ([], None, None),
        ([Output(bitrate="1M"), Output(bitrate="2M")], "1M,2M", None),
    ],
)
def test_a_viewer_receives_what_was_reached(
    outputs: list[Output], bitrate: str | None, kbps: float | None
) -> None:
    assert delivered_kbps(Scenario(name="a", outputs=outputs, bitrate=bitrate)) == kbps


ODD: list[Any] = [
    *(None, 0, -1, 1, 60.0, 1e-300, 1e300, 10**400, float("nan"), float("inf"), True, 2**63, START),
    *([], [1, 2], [1.0, None, 3.0], [float("nan"), 1], (1, 2), {}, {"mean_watts": 100}, [{}], object()),
    *({"timestamps": [5, 5, 5], "power_watts": [1, 2, 3]}, "5", "N/A", b"x", "1280x720", "failed", "gpu"),
]
METHODS = ("energy_cost", "compute_cost", "total_cost", "cost_per_pixel", "cost_per_watch_hour")
SCENARIO_FIELDS = (
    *("name", "status", "bitrate", "resolution", "fps", "encoder", "encoder_type", "streams", "viewers"),
    *("duration", "start_time", "end_time", "outputs", "power", "gpu_power", "samples", "cpu_seconds"),
    *("power_watts", "cpu_usage_cores", "step_seconds"),
)
SCENARIO = st.dictionaries(st.sampled_from(SCENARIO_FIELDS), st.sampled_from(ODD), max_size=6)


@given(method=st.sampled_from(METHODS), scenario=SCENARIO, data=st.data())
def test_whatever_is_given_a_cost_is_finite_or_unknown_or_refused_in_a_line(
    method: str, scenario: dict[str, Any], data: st.DataObject
) -> None:
    tariff = data.draw(st.sampled_from([None, StepSeries.of([START, START + 3600], [0.1, 0.3])]))
    model = CostModel(None if tariff else 0.1, 0.5, 1.2, tariff=tariff, pue=1.2)
    cost, refusal = None, ""
    try:
        cost = getattr(model, f"compute_{method}")(scenario)
    except InputError as exc:
        refusal = str(exc)
    assert "\n" not in refusal
    assert cost is None or math.isfinite(cost)


def test_what_the_connection_costs_is_no_part_of_the_price_that_was_paid() -> None:
    """A kilowatt-hour in an hour at 0.20, and 24 a day: 1.20 in all, whatever kind of tariff says so."""
    standing = {"standing_charge_per_day": 24}
    by_the_clock = {"time_zone": "Europe/Berlin", "periods": [{"price_per_kwh": 0.2, "hours": "00:00-24:00"}]}
    for tariff in ({"price_per_kwh": 0.2}, by_the_clock):
        priced = CostModel(tariff=tariff | standing).price(measured())
        assert priced.cost_energy == pytest.approx(1.2)
        assert priced.inputs.electricity_price_per_kwh == pytest.approx(0.2)
