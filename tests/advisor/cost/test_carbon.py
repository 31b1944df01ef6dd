"""The formulas of carbon and money at their limits; published cases are in test_cost_reference_cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from advisor.cost import carbon
from advisor.cost import formulas as money
from advisor.cost.carbon import Embodied
from advisor.errors import PricingError


def test_embodied_is_capped_at_the_whole_and_shared() -> None:
    assert carbon.embodied_grams(1000, used_seconds=200, lifetime_seconds=100) == 1000
    assert carbon.embodied_grams(1000, 50, 100, reserved_share=0.25) == 125


def test_sci_is_absent_without_functional_units() -> None:
    assert carbon.sci_grams_per_unit(10, 5, 0) is None
    assert carbon.sci_grams_per_unit(10, 5) is None
    assert carbon.sci_grams_per_unit(10, 5, 3) == 5


def test_functional_units_are_unknown_when_their_quantity_is() -> None:
    assert carbon.functional_units("gigapixel", pixels=2.5e9) == 2.5
    assert carbon.functional_units("watch_hour", watch_hours=7) == 7
    assert carbon.functional_units("video_minute") is None


def test_the_curve_passes_through_its_points() -> None:
    """Teads' points: 0, 10, 50 and 100 percent."""
    assert [carbon.tdp_ratio(u) for u in (0, 10, 50, 100)] == pytest.approx([0.12, 0.32, 0.75, 1.02])


def test_another_curve_can_be_given() -> None:
    """A machine of 50 W idle and 250 W busy at a TDP of 200 W: 110 W at 30 %."""
    assert carbon.tdp_ratio(30, [(0.0, 0.25), (100.0, 1.25)]) == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: carbon.operational_grams(1, -1), "grams_per_kwh: expected a number of 0 or more"),
        (lambda: carbon.operational_grams(1, 1, 0.5), "pue_ratio: expected a number of 1 or more"),
        (
            lambda: carbon.grid_mix_grams_per_kwh({"coal": 0.5}, {"coal": 900}),
            "shares that sum to 1, found 0.5",
        ),
        (lambda: carbon.grid_mix_grams_per_kwh({"coal": 1.0}, {}), "an intensity for coal"),
        (lambda: carbon.allocated(1, 1, 0), "lifetime: expected a number above 0"),
        (lambda: carbon.embodied_grams(1, 1, 1, 1.5), "share: expected a number from 0 to 1"),
        (lambda: carbon.tdp_ratio(0, [(0.0, 1.0)]), "curve: expected two points or more"),
        (lambda: carbon.tdp_ratio(101), "utilisation_percent: expected a number from 0 to 100"),
        (
            lambda: carbon.compute_kwh(utilisation_ratio=2, vcpu_hours=1, min_watts=1, max_watts=2),
            "from 0 to 1",
        ),
        (
            lambda: carbon.compute_kwh(utilisation_ratio=1, vcpu_hours=1, min_watts=3, max_watts=2),
            "max_watts",
        ),
        (lambda: carbon.functional_units("frame"), "functional_unit: expected video_minute"),  # type: ignore[arg-type]
        (lambda: Embodied(10, 0), "lifetime_years: expected a number above 0"),
        (lambda: Embodied(10, 4, minimum_kg=11), "embodied_minimum_kg: expected a number from 0 to 10"),
        (lambda: Embodied(10, 4, maximum_kg=9), "embodied_maximum_kg: expected a number of 10 or more"),
        (lambda: money.split_price(10, {"a": 0}), "weights: expected a number above 0"),
        (lambda: money.utilisation_ratio(1, 0), "allocation: expected a number above 0"),
        (lambda: money.amortised_per_hour(100, 4, residual_value=101), "residual_value: .* from 0 to 100"),
        (lambda: money.amortised_per_hour(100, 4, utilisation_ratio=0), "utilisation_ratio"),
        (lambda: money.integrate([1, float("nan")], step_seconds=1), r"samples\[1\]: expected a number"),
        (lambda: money.integrate([1, 2], step_seconds=0), "step_seconds: expected a number above 0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(PricingError, match=said):
        call()


def test_a_small_price_keeps_its_digits() -> None:
    """4 a GiB-month is 5.1e-12 a byte-hour: not 0, and not 145 million dollars an hour for 64 GiB."""
    per_byte_hour = money.per_byte_hour_from_monthly_gib(4.0)
    assert per_byte_hour * 64 * 2**30 == pytest.approx(4 * 64 / 730)


def test_a_month_is_730_hours_both_ways() -> None:
    assert money.monthly_from_hourly(money.hourly_from_monthly(20.0)) == pytest.approx(20.0)


def test_a_dearer_preset_that_saves_nothing_never_pays() -> None:
    assert money.break_even_viewers(1.0, 0.0, 1e-11, 1.0) is None
    assert money.break_even_viewers(1.0, -5.0, 1e-11, 1.0) is None
    assert money.break_even_viewers(0.0, 5.0, 1e-11, 1.0) == 0.0
    assert money.break_even_viewers(-1.0, -5.0, 1e-11, 1.0) is None


def test_the_mean_of_a_curve_needs_all_of_the_window() -> None:
    curve = money.integrate([10, 20], step_seconds=10)
    assert curve.mean(0, 10) == 15
    assert curve.mean(5, 15) is None
    assert curve.mean(5, 5) is None
