"""Least squares against figures from outside the code."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

import advisor
from advisor.errors import InputError, NotEnoughDataError
from advisor.regression.linear import LinearPredictor, PolynomialPredictor, PowerPredictor
from advisor.results import Power, Scenario

STREAMS = [1, 2, 3, 4, 6, 8, 12]
WATTS = [45.0, 80.0, 110.0, 150.0, 210.0, 280.0, 380.0]


def test_the_line_through_four_points_has_the_published_slope_and_intercept() -> None:
    line = advisor.LinearPredictor().fit([1, 2, 4, 8], [45, 80, 150, 280])
    assert line.slope_ == pytest.approx(33.521739, abs=5e-7)
    assert line.intercept_ == pytest.approx(13.043478, abs=5e-7)
    assert line.predict([[3], [5]]) == pytest.approx([113.608696, 180.652174], abs=1e-6)


def test_the_parabola_through_seven_points_has_the_published_coefficients() -> None:
    curve = advisor.PolynomialPredictor().fit(STREAMS, WATTS)
    assert curve.coefficients_ == pytest.approx([5.168105, 38.185387, -0.568798], abs=5e-7)


def test_a_parabola_gives_back_what_made_it_even_for_pixels_per_second() -> None:
    """Features of 1e8 and their squares of 1e16 beside a constant of 3."""
    x = np.linspace(1e8, 9e8, 7)
    curve = PolynomialPredictor().fit(x[:, None], 3 + 2e-8 * x + 5e-17 * x**2)
    assert curve.coefficients_ == pytest.approx([3, 2e-8, 5e-17], rel=1e-6)


def test_a_plane_over_two_features_and_its_cross_term() -> None:
    grid = np.array([[a, b] for a in range(3) for b in range(3)], dtype=float)
    y = 1 + 2 * grid[:, 0] - 3 * grid[:, 1] + 0.5 * grid[:, 0] * grid[:, 1]
    assert PolynomialPredictor().fit(grid, y).predict([[5, 7]]) == pytest.approx([1 + 10 - 21 + 17.5])
    assert LinearPredictor().fit(grid, y).coefficients_.shape == (3,)


def test_r2_is_the_share_of_variance_explained() -> None:
    """Residuals of the line through (0,0) (1,2) (2,1) are -0.5, 1, -0.5: 1 - 1.5/2 = 0.25."""
    line = LinearPredictor().fit([0, 1, 2], [0, 2, 1])
    assert line.r2_score() == pytest.approx(0.25)
    assert line.r2_score([0, 1, 2], [0, 2, 1]) == pytest.approx(line.score([[0], [1], [2]], [0, 2, 1]))


def test_r2_of_constant_targets_is_unknown() -> None:
    flat = LinearPredictor().fit([1, 2, 3], [45, 45, 45])
    assert flat.slope_ == pytest.approx(0, abs=1e-12)
    assert flat.r2_score() is None


@pytest.mark.parametrize(
    ("model", "x", "y"),
    [
        (LinearPredictor(), [], []),
        (LinearPredictor(), [1], [45]),
        (LinearPredictor(), [2, 2, 2], [45, 46, 47]),
        (PolynomialPredictor(), [1, 2], [45, 80]),
        (PolynomialPredictor(), [1, 2, 2, 1], [45, 80, 81, 46]),
    ],
)
def test_samples_that_do_not_determine_the_curve_are_refused(
    model: LinearPredictor, x: list, y: list
) -> None:
    with pytest.raises(NotEnoughDataError, match=r"needs at least \d different samples"):
        model.fit(x, y)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ([1, 2, None], [1, 2, 3], "Input X contains NaN"),
        ([1, 2, float("nan")], [1, 2, 3], "Input X contains NaN"),
        ([1, 2, 3], [1, 2, float("inf")], "Input y contains infinity"),
        ([1, 2, 3], [1, 2], "inconsistent numbers of samples"),
        ([1, 2, 3], ["a", 2, 3], "could not convert"),
        (["a", 2, 3], [1, 2, 3], "could not convert"),
        (np.array([1.0, 2.0, 3.0]), [1, 2, 3], "Reshape your data"),
    ],
)
def test_what_is_no_table_of_finite_numbers_is_refused_as_scikit_learn_does(
    x: object, y: list, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        LinearPredictor().fit(x, y)


@pytest.mark.parametrize("y", [["1", "2", "3"], [False, True, True], np.array([1, 2, 3], dtype=np.int8)])
def test_targets_of_another_type_are_the_numbers_that_they_say(y: object) -> None:
    """0, 1, 1 by hand: the slope is 1/2, and -1/3 at 0."""
    fitted = LinearPredictor().fit([1, 2, 3], y)
    expected = [-1 / 3, 1 / 2] if isinstance(y, list) and y[0] is False else [0.0, 1.0]
    assert fitted.coefficients_ == pytest.approx(expected, abs=1e-9)


def test_another_number_of_features_is_refused() -> None:
    with pytest.raises(ValueError, match="X has 2 features, but LinearPredictor is expecting 1"):
        LinearPredictor().fit([1, 2], [1, 2]).predict([[1, 2]])


def test_the_degree_is_checked_when_fitted() -> None:
    with pytest.raises(InputError, match="degree: expected 1 to 4, got 0"):
        PolynomialPredictor(degree=0).fit([1, 2, 3], [1, 2, 3])


def test_estimators_can_be_cloned_with_their_parameters() -> None:
    assert clone(PolynomialPredictor(degree=3)).get_params() == {"degree": 3}


def test_power_by_streams_takes_the_parabola_where_it_predicts_better() -> None:
    power = advisor.PowerPredictor().fit(STREAMS, WATTS)
    assert power.kind_ == "polynomial"
    assert power.predict([5])[0] == pytest.approx(5.168105 + 38.185387 * 5 - 0.568798 * 25, abs=1e-4)
    assert power.streams_seen_ == (1, 12)


def test_power_by_streams_stays_with_a_line_on_a_line() -> None:
    noise = [0.3, -0.2, 0.1, -0.3, 0.2, -0.1]
    power = PowerPredictor().fit([1, 2, 3, 4, 5, 6], [10 * n + e for n, e in enumerate(noise, 1)])
    assert power.kind_ == "linear"


def test_one_stream_count_gives_its_mean_and_says_so() -> None:
    power = PowerPredictor().fit([2, 2], [80, 84])
    assert power.predict([1, 9]) == pytest.approx([82, 82])
    assert power.note_ == "only 2 streams were measured: no slope can be fitted"
    assert power.r2_score([2, 2], [82, 82]) is None


def test_two_stream_counts_give_a_line_and_say_so() -> None:
    power = PowerPredictor().fit([1, 3], [40, 80])
    assert power.predict([2])[0] == pytest.approx(60)
    assert "only 2 stream counts" in power.note_


def test_predicted_power_is_never_negative() -> None:
    assert PowerPredictor().fit([4, 8], [10, 110]).predict([1])[0] == 0.0


def test_scenarios_bring_their_streams_and_the_baseline_counts_as_none() -> None:
    scenarios = [
        Scenario(name="idle", type="baseline", power=Power(mean_watts=30.0)),
        Scenario(name="2 streams", power=Power(mean_watts=50.0)),
        Scenario(name="x", streams=4, power=Power(mean_watts=70.0)),
        Scenario(name="failed", status="failed", streams=9, power=Power(mean_watts=1.0)),
        Scenario(name="5 Mbps stream"),
    ]
    power = PowerPredictor().fit_scenarios(scenarios)
    assert power.predict([1])[0] == pytest.approx(40)


def test_mappings_of_result_files_are_scenarios_too() -> None:
    """45 W for one stream, 80 W for two: 35 W a stream more."""
    rows: list[dict[str, object]] = [
        {"name": "1 stream", "power": {"mean_watts": 45}},
        {"streams": 2, "power": {"mean_watts": 80}},
    ]
    assert PowerPredictor().fit_scenarios(rows).predict([3])[0] == pytest.approx(115)


def test_nothing_measured_is_not_enough() -> None:
    with pytest.raises(NotEnoughDataError, match="got none"):
        PowerPredictor().fit_scenarios([Scenario(name="unmeasured")])


def test_negative_watts_and_counts_are_refused() -> None:
    with pytest.raises(InputError, match="y: expected watts, none negative"):
        PowerPredictor().fit([1, 2], [-1, 2])
    with pytest.raises(ValueError, match="Negative values in data"):
        PowerPredictor().fit([-1, 2], [1, 2])
