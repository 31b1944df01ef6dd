"""Total cost of ownership: published sums, break-evens put back, what moves the answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from advisor import CostModel
from advisor.cost.ownership import Delivery, Machine, Preset, analyse, break_even_utilisation
from advisor.errors import PricingError
from advisor.results import Output, Power, Scenario

HOST = Machine(purchase_price=8000, mean_watts=300)


def test_capital_and_electricity_of_an_owned_host() -> None:
    """8 000 USD over four years: 0.228 an hour, 0.457 at half use; 300 W at 0.0682 and PUE 1.1: 0.0225."""
    full = analyse(HOST, price_per_kwh=0.0682, pue_ratio=1.1)
    assert full.per_hour.capital == pytest.approx(8000 / 35_040)
    assert full.per_hour.electricity == pytest.approx(0.3 * 1.1 * 0.0682)
    half = analyse(replace(HOST, utilisation_ratio=0.5), price_per_kwh=0.0682, pue_ratio=1.1)
    assert half.per_hour.capital == pytest.approx(0.457, abs=5e-4)
    assert half.used_hours == 17_520


def test_every_part_of_an_hour() -> None:
    """6 000 paid off over 3 years at half use: 13 140 hours; 876 a year of upkeep; idle hours count as many.

    Capital 6000/13140, maintenance 876/4380 = 0.2, electricity (400 + 100) W x 1.2 x 0.1 = 0.06; a thousand
    viewers at 8 Mbit/s are 3.6 GB an hour each, at 0.01: 36.
    """
    machine = Machine(
        purchase_price=7000,
        residual_value=1000,
        lifetime_years=3,
        utilisation_ratio=0.5,
        mean_watts=400,
        idle_watts=100,
        maintenance_per_year=876,
        streams=10,
        embodied_kg=1314,
    )
    delivery = Delivery(viewers=1000, bitrate_kbps=8000, delivery_cost_per_gb=0.01)
    done = analyse(machine, price_per_kwh=0.1, pue_ratio=1.2, grams_per_kwh=250.0, delivery=delivery)
    parts = done.per_hour
    assert parts.capital == pytest.approx(6000 / 13_140)
    assert parts.maintenance == pytest.approx(0.2)
    assert parts.electricity == pytest.approx(0.06)
    assert parts.delivery == pytest.approx(36.0)
    assert done.total_per_hour == pytest.approx(6000 / 13_140 + 36.26)
    assert done.total_per_year == pytest.approx(done.total_per_hour * 4380)
    assert done.total_over_lifetime == pytest.approx(done.total_per_hour * 13_140)
    assert done.per_stream_hour == pytest.approx((6000 / 13_140 + 0.26) / 10)
    assert done.per_watch_hour == pytest.approx(done.total_per_hour / 1000)
    assert sum(done.shares.values()) == pytest.approx(1.0)
    assert done.shares["delivery"] == pytest.approx(36 / done.total_per_hour)
    assert done.moves_most == "delivery"
    assert done.co2_operational_grams_per_hour == pytest.approx(0.5 * 1.2 * 250)
    assert done.co2_embodied_grams_per_hour == pytest.approx(100.0)


def test_what_moves_the_answer_most() -> None:
    """Cheap hardware on dear power: the price of power; dear hardware: how long and how much it is used."""
    hungry = analyse(Machine(purchase_price=100, mean_watts=2000), price_per_kwh=0.5)
    assert hungry.moves_most in ("price_per_kwh", "mean_watts")
    # +-10 % of nearly everything is a swing of nearly 20 %
    assert hungry.sensitivity["price_per_kwh"] == pytest.approx(0.2 * hungry.shares["electricity"])
    dear = analyse(replace(HOST, utilisation_ratio=0.5), price_per_kwh=0.05)
    assert dear.moves_most == "lifetime_years" or dear.moves_most == "utilisation_ratio"
    assert "idle_watts" not in dear.sensitivity


def test_full_use_only_swings_down() -> None:
    """At utilisation 1 there is no 1.1: the swing is that of 0.9 alone."""
    done = analyse(HOST, price_per_kwh=0.0)
    # no building uses less than its machines: at PUE 1 only 1.1 counts
    powered = analyse(HOST, price_per_kwh=0.1)
    assert powered.sensitivity["pue_ratio"] == pytest.approx(0.1 * powered.shares["electricity"])
    assert done.sensitivity["utilisation_ratio"] == pytest.approx(1 / 0.9 - 1)


@given(
    st.floats(1, 50_000),
    st.floats(0, 500),
    st.floats(500, 2000),
    st.floats(0.001, 5.0),
    st.floats(0.001, 1.0),
)
def test_at_the_break_even_both_cost_the_same(
    purchase: float, idle: float, watts: float, offer: float, price: float
) -> None:
    machine = Machine(purchase_price=purchase, mean_watts=watts, idle_watts=idle, streams=3)
    at = break_even_utilisation(machine, offer, price_per_kwh=price, pue_ratio=1.2)
    full = analyse(machine, price_per_kwh=price, pue_ratio=1.2).per_stream_hour
    if at is None:
        assert full >= offer * (1 - 1e-9)
    elif at > 0:
        there = analyse(replace(machine, utilisation_ratio=at), price_per_kwh=price, pue_ratio=1.2)
        assert there.per_stream_hour == pytest.approx(offer)


def test_owned_against_cloud_and_cpu_against_gpu() -> None:
    """F = 0.2283, W = 0.03: the cloud's 0.68 is beaten from 0.2283/0.65 on."""
    done = analyse(
        HOST,
        price_per_kwh=0.1,
        cloud_per_stream_hour=0.68,
        gpu=Machine(purchase_price=17_520, mean_watts=1000, streams=10),
    )
    assert done.break_even_utilisation_cloud == pytest.approx((8000 / 35_040) / 0.65)
    assert done.cloud_per_stream_hour == 0.68
    # a GPU hour is 0.5/u + 0.1 for ten streams, against 0.2583 for one
    assert done.break_even_utilisation_gpu == pytest.approx(0.5 / (10 * (8000 / 35_040 + 0.03) - 0.1))
    assert analyse(HOST, price_per_kwh=0.1, cloud_per_stream_hour=0.02).break_even_utilisation_cloud is None


def test_from_how_many_viewers_a_slower_preset_pays() -> None:
    """0.18 dearer to encode, 400 kbit/s less to send: 0.18 GB an hour, at 0.01 each viewer saves 0.0018."""
    fast, slow = (
        Preset(cost_per_stream_hour=0.1, bitrate_kbps=3000),
        Preset(cost_per_stream_hour=0.28, bitrate_kbps=2600),
    )
    done = analyse(HOST, price_per_kwh=0.1, presets=(fast, slow), delivery_cost_per_gb=0.01)
    assert done.break_even_viewers == pytest.approx(100.0)
    assert slow.viewers_to_prefer(fast, 0.01) is None


@pytest.mark.parametrize(
    ("cost", "kbps", "viewers"),
    [(2, 3000, None), (2, 3001, None), (1, 2999, 0), (0.5, 3000, 0), (0.5, 3001, None)],
)
def test_a_preset_that_sends_no_less_never_pays(cost: float, kbps: float, viewers: float | None) -> None:
    """Beside 1 an hour at 3 000 kbit/s; one that is not dearer pays from nobody on."""
    usual = Preset(cost_per_stream_hour=1, bitrate_kbps=3000)
    assert usual.viewers_to_prefer(Preset(cost_per_stream_hour=cost, bitrate_kbps=kbps), 0.01) == viewers


def test_inputs_swing_only_as_far_as_they_may() -> None:
    """No machine draws less than 1 W, and none lasts more than 100 years."""
    done = analyse(Machine(purchase_price=1, mean_watts=1.05, lifetime_years=95), price_per_kwh=0.1)
    assert done.sensitivity["mean_watts"] == pytest.approx(0.155 / 1.05 * done.shares["electricity"])
    assert done.sensitivity["lifetime_years"] == pytest.approx((1 / 0.9 - 0.95) * done.shares["capital"])


def scenario(name: str, watts: float, size_bytes: int) -> Scenario:
    return Scenario(
        name=name,
        duration=60.0,
        resolution="1280x720",
        fps=30.0,
        power=Power(tier="measured", mean_watts=watts, total_energy_joules=watts * 60),
        outputs=[Output(resolution="1280x720", fps=30.0, size_bytes=size_bytes, duration=120.0, frames=3600)],
        viewers=200,
    )


def test_a_scenario_brings_watts_streams_viewers_and_bitrate() -> None:
    """A minute that made two minutes of video; 30 MB over 120 s are 2 000 kbit/s, 0.9 GB an hour."""
    model = CostModel(0.1, 0.6, pue=1.5, carbon_grams_per_kwh=100.0)
    done = model.get_tco_analysis(
        35_040,
        scenario=scenario("a", 200.0, 30_000_000),
        delivery_cost_per_gb=0.01,
        cloud_cost_per_hour=1.0,
        faster=scenario("fast", 100.0, 30_000_000),
        slower=scenario("slow", 500.0, 15_000_000),
    )
    assert done.per_hour.electricity == pytest.approx(0.2 * 1.5 * 0.1)
    assert done.per_stream_hour == pytest.approx(1.03 / 2)
    assert done.per_hour.delivery == pytest.approx(200 * 0.9 * 0.01)
    assert done.cloud_per_stream_hour == pytest.approx(0.5)
    # half an hour of 400 W more is 0.2 kWh, 0.03 with PUE; 0.45 GB saved is 0.0045
    assert done.break_even_viewers == pytest.approx(0.03 / 0.0045)
    assert done.co2_operational_grams_per_hour == pytest.approx(30.0)


def test_presets_cost_what_they_take_of_this_machine() -> None:
    """The machine is 1 an hour, electricity 0.1 a kWh: 100 W for two hours of video, or 200 W for one.

    (1 + 0.01) / 2 = 0.505 against 1.02; 30 and 15 MB for a minute are 1.8 and 0.9 GB an hour, at 0.01 a GB
    0.009 saved: 57.2 viewers.
    """
    fast = scenario("fast", 100.0, 60_000_000)
    slow = {
        "name": "slow",
        "duration": 60.0,
        "power": {"mean_watts": 200.0},
        "outputs": [{"size_bytes": 15_000_000, "duration": 60.0}],
    }
    done = CostModel(0.1, cpu_cost_per_hour=9.0).get_tco_analysis(
        35_040, mean_watts=300, faster=fast, slower=slow, delivery_cost_per_gb=0.01
    )
    assert done.break_even_viewers == pytest.approx((1.02 - 0.505) / 0.009)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"purchase_price": -1, "mean_watts": 1}, "purchase_price"),
        ({"purchase_price": 1}, "mean_watts: expected the power in use"),
        (
            {"purchase_price": 1, "mean_watts": 1, "residual_value": 2},
            "residual_value: expected at most the purchase price",
        ),
        ({"purchase_price": 1, "mean_watts": 1, "utilisation_ratio": 0}, "utilisation_ratio: .* above 0"),
        ({"purchase_price": 1, "mean_watts": 1, "utilisation_ratio": 50}, "utilisation_ratio: .* at most 1"),
        ({"purchase_price": 1, "mean_watts": 1, "viewers": 5, "delivery_cost_per_gb": 1}, "bitrate_kbps"),
        (
            {
                "purchase_price": 1,
                "mean_watts": 1,
                "viewers": 0,
                "delivery_cost_per_gb": 1,
                "bitrate_kbps": 9,
            },
            "viewers: expected a number above 0",
        ),
        ({"purchase_price": 1, "mean_watts": 1, "streams": 0}, "streams"),
        (
            {"purchase_price": 1, "mean_watts": 1, "faster": {"duration": 1}, "slower": {"duration": 1}},
            "scenario scenario: its mean power is unknown",
        ),
    ],
)
def test_inputs_that_cannot_be_are_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(PricingError, match=said):
        CostModel(0.1).get_tco_analysis(**given)


def test_without_a_price_of_power_there_is_no_analysis() -> None:
    with pytest.raises(PricingError, match="region ap-south-1: price_per_kwh: no electricity price is known"):
        CostModel(region="ap-south-1").get_tco_analysis(1000, mean_watts=100)
    assert CostModel(region="ap-south-1").get_tco_analysis(
        1000, mean_watts=1000, price_per_kwh=0.1
    ).per_hour.electricity == pytest.approx(0.142)


def test_a_machine_that_costs_nothing_has_no_shares() -> None:
    done = analyse(Machine(purchase_price=0, mean_watts=0), price_per_kwh=0.1)
    assert (done.total_per_hour, done.shares, done.sensitivity, done.moves_most) == (0.0, {}, {}, None)


def test_a_standing_charge_is_paid_whether_the_machine_is_used_or_not() -> None:
    """1 kW at 0.1 and 24 a day: 1.1 an hour; used half the time 0.1 + 1 / 0.5."""
    model = CostModel(tariff={"price_per_kwh": 0.1, "standing_charge_per_day": 24})
    always = model.get_tco_analysis(0, mean_watts=1000)
    half = model.get_tco_analysis(0, mean_watts=1000, utilisation_ratio=0.5, cloud_cost_per_hour=4.1)
    assert always.per_hour.electricity == pytest.approx(1.1)
    assert half.per_hour.electricity == pytest.approx(2.1)
    # 4.1 of the cloud = 0.1 + 1 / u
    assert half.break_even_utilisation_cloud == pytest.approx(0.25)
    assert model.get_tco_analysis(0, mean_watts=1000, price_per_kwh=0.2).total_per_hour == pytest.approx(0.2)


def test_a_machine_of_years_pays_the_mean_of_all_seasons() -> None:
    """0.1 for 181 days of a year and 0.3 for 184, or a day more of either, whenever that is asked."""
    tariff = {
        "time_zone": "UTC",
        "periods": [{"price_per_kwh": 0.1, "months": [1, 2, 3, 4, 5, 6]}],
        "otherwise_per_kwh": 0.3,
    }
    analysis = CostModel(tariff=tariff).get_tco_analysis(0, mean_watts=1000)
    assert analysis.electricity_price_per_kwh == pytest.approx(0.2, rel=0.01)
