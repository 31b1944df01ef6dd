"""Bjontegaard differences against the published curves of VCEG-M33's script and the package bjontegaard."""

from __future__ import annotations

import math

import numpy as np
import pytest

from advisor.advice.bjontegaard import bjontegaard_delta
from advisor.errors import InputError, NotEnoughDataError

# the example that goes with the common Python script for VCEG-M33
REFERENCE = [(686.76, 40.28), (309.58, 37.18), (157.11, 34.24), (85.95, 31.42)]
TEST = [(893.34, 40.39), (407.8, 37.21), (204.93, 34.17), (112.75, 31.24)]
JOULES = [(310.0, 31.42), (402.5, 34.24), (560.1, 37.18), (811.7, 40.28)]
TEST_JOULES = [(120.4, 31.24), (161.3, 34.17), (230.9, 37.21), (352.8, 40.39)]
SATURATED = [(5012.39, 99.97751), (4012.23, 99.91607), (3014.7, 99.51432), (2014.65, 96.622)]
TEST_SATURATED = [(5096.02, 99.98146), (4000.03, 99.94996), (3067.89, 99.66744), (2054.35, 97.1181)]
FALLING = [(876.07, 47.06), (496.82, 49.52), (1200.0, 51.0), (2000.0, 53.0)]
TEST_FALLING = [(870.0, 47.0), (500.0, 49.5), (1100.0, 51.0), (1900.0, 53.0)]


@pytest.mark.parametrize(
    ("reference", "test", "percent"),
    [
        # figures of the package bjontegaard 1.3, function bd_rate(method="pchip")
        (REFERENCE, TEST, 31.379878),
        (JOULES, TEST_JOULES, -59.147317),
        # scores that saturate, of which a cubic polynomial makes 100421 %
        (SATURATED, TEST_SATURATED, -3.139420),
        # more bits for a worse picture
        (FALLING, TEST_FALLING, -3.862513),
    ],
)
def test_rate_and_energy_at_equal_quality_are_those_of_another_tool(
    reference: list[tuple[float, float]], test: list[tuple[float, float]], percent: float
) -> None:
    delta = bjontegaard_delta(reference, test)
    assert 100 * delta.ratio == pytest.approx(percent, abs=1e-5)


def test_the_overlap_is_stated() -> None:
    """31.42 to 40.28 dB is shared of 31.24 to 40.39."""
    delta = bjontegaard_delta(REFERENCE, TEST)
    assert (delta.quality_low, delta.quality_high) == (31.42, 40.28)
    assert delta.overlap_ratio == pytest.approx(8.86 / 9.15)
    assert delta.note == ""


def test_twice_the_cost_at_any_quality_is_one_hundred_percent() -> None:
    double = [(2 * cost, quality) for cost, quality in REFERENCE]
    assert bjontegaard_delta(REFERENCE, double).ratio == pytest.approx(1.0)


def test_little_overlap_is_said() -> None:
    shifted = [(cost, quality + 6) for cost, quality in REFERENCE]
    assert (
        bjontegaard_delta(REFERENCE, shifted).note == "the curves overlap in only 19% of their quality range"
    )


@pytest.mark.parametrize(
    ("best", "costs", "cost_noise"),
    [
        (97.0, (500, 1000, 2000, 4000), 0.0),
        (97.0, (500, 1000, 2000, 4000), 0.05),
        # points of 0.1 VMAF apart: the bare figure is up to 3.5 times the truth
        (99.0, (4000, 8000, 16000, 32000, 64000), 0.0),
    ],
)
def test_the_interval_holds_the_truth_where_points_are_noisy(
    best: float, costs: tuple[float, ...], cost_noise: float
) -> None:
    """Curves that are ``shift`` apart at any quality, each point off by 0.3 VMAF and ``cost_noise``."""
    draw = np.random.default_rng(1)
    held = []
    for _ in range(60):
        shift = draw.uniform(-0.4, 0.4)
        curves = [
            [
                (
                    cost * math.exp(cost_noise * draw.standard_normal()),
                    best - 60 * 300 * math.exp(by) / cost + 0.3 * draw.standard_normal(),
                )
                for cost in costs
            ]
            for by in (0, shift)
        ]
        delta = bjontegaard_delta(curves[0], curves[1], quality_noise=0.3, cost_noise_ratio=cost_noise)
        held.append(delta.ratio_low <= math.expm1(shift) <= delta.ratio_high)
    assert np.mean(held) > 0.8


def test_points_that_saturate_together_have_a_wide_interval_and_no_endless_one() -> None:
    """A steep end of 0.0001 VMAF; each curve spans a factor of 8: more than 64 cannot be between them."""
    reference = [(4000, 99.9981), (8000, 99.9986), (16000, 99.9989), (32000, 99.9990)]
    delta = bjontegaard_delta(reference, [(1.1 * c, q) for c, q in reference], quality_noise=0.3)
    assert delta.ratio == pytest.approx(0.1)
    assert -63 / 64 < delta.ratio_low < -0.5
    assert 1 < delta.ratio_high < 63


def test_without_noise_the_interval_is_the_figure() -> None:
    delta = bjontegaard_delta(REFERENCE, TEST)
    assert (delta.ratio_low, delta.ratio_high) == (delta.ratio, delta.ratio)


def test_curves_without_a_common_quality_are_refused() -> None:
    with pytest.raises(NotEnoughDataError, match="no quality in common"):
        bjontegaard_delta(REFERENCE, [(cost, quality + 20) for cost, quality in REFERENCE])


def test_three_points_are_no_curve() -> None:
    with pytest.raises(NotEnoughDataError, match="test: a curve needs at least 4 different qualities, got 3"):
        bjontegaard_delta(REFERENCE, TEST[:3])


def test_bad_points_and_methods_are_named() -> None:
    with pytest.raises(InputError, match="reference: expected finite points"):
        bjontegaard_delta([(0.0, 1.0), *REFERENCE], TEST)
