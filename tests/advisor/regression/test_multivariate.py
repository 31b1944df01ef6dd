"""Choice by grouped validation, and intervals that hold what they say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

import advisor
from advisor.errors import InputError
from advisor.regression.candidates import HuberRidge, candidates
from advisor.regression.interval_bins import conformal_quantile, mean_ratio_error, student_half_width
from advisor.regression.multivariate import MultivariatePredictor, clearly_better


def _law(rows: int, noise: float = 0.05, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """log y = 3 + x0 - 0.5 x1 with normal noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    return x, np.exp(3 + x[:, 0] - 0.5 * x[:, 1] + noise * rng.normal(size=rows))


def test_a_law_in_logarithms_is_found_by_the_simplest_model_that_has_it() -> None:
    x, y = _law(50)
    model = advisor.MultivariatePredictor().fit(x, y)
    assert model.chosen_ == ("log_linear",)
    assert model.predict([[1.0, 2.0]])[0] == pytest.approx(np.exp(3.0), rel=0.05)
    # normal noise of 5 % has a mean absolute error of 4 %
    assert model.error_ratio_ == pytest.approx(0.04, abs=0.015)


def test_errors_are_grouped_and_do_not_flatter() -> None:
    """Rows of a group share an offset that its features give away: random folds would learn it by heart."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(15), 10)
    offsets = rng.normal(size=15)
    x = np.column_stack([rng.normal(size=15)[groups], rng.normal(size=150)])
    y = np.exp(offsets[groups] + 0.01 * rng.normal(size=150))
    grouped = MultivariatePredictor().fit(x, y, groups.tolist())
    alone = MultivariatePredictor().fit(x, y)
    assert grouped.error_ratio_ is not None
    assert alone.error_ratio_ is not None
    assert grouped.error_ratio_ > 4 * alone.error_ratio_


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_prediction_intervals_cover_new_values_at_their_level(level: float) -> None:
    model = MultivariatePredictor().fit(*_law(200))
    x, y = _law(2000, seed=9)
    low, high = model.prediction_interval(x, level)
    assert np.mean((low <= y) & (y <= high)) == pytest.approx(level, abs=0.05)


def test_the_confidence_interval_of_the_mean_is_narrower_and_holds_the_mean() -> None:
    model = MultivariatePredictor().fit(*_law(50, seed=2))
    low, high = model.confidence_interval([[0.0, 0.0]], 0.9, resamples=30)
    wide_low, wide_high = model.prediction_interval([[0.0, 0.0]], 0.9)
    assert wide_low[0] < low[0] < np.exp(3) < high[0] < wide_high[0]


def test_one_row_gives_the_mean_without_an_interval_and_says_so() -> None:
    model = MultivariatePredictor().fit([[1.0]], [50.0])
    assert model.predict([[9.0]])[0] == pytest.approx(50)
    assert np.isnan(model.prediction_interval([[9.0]])).all()
    assert model.error_ratio_ is None
    assert model.note_ == "1 row(s) of one group: only the mean is fitted, and its error is unknown"


def test_two_rows_give_the_mean_and_a_very_wide_interval() -> None:
    """Held out, each is off by ln 2: s = ln 2 x sqrt 2 with one degree of freedom, t = 6.314."""
    model = MultivariatePredictor().fit([[1.0], [2.0]], [50.0, 100.0])
    assert model.chosen_ == ("mean",)
    low, high = model.prediction_interval([[1.0]])
    half = 6.313752 * np.log(2) * np.sqrt(2) * np.sqrt(1.5)
    assert np.log(high / low)[0] == pytest.approx(2 * half, rel=1e-6)


def test_constant_targets_are_predicted_as_they_are() -> None:
    model = MultivariatePredictor().fit(np.arange(30.0)[:, None], [45.0] * 30)
    assert model.chosen_ == ("mean",)
    assert model.predict([[99.0]])[0] == pytest.approx(45)


def test_a_kernel_does_not_swing_beyond_the_rows_that_it_was_fitted_to() -> None:
    """Trees say beyond their rows what they say at the edge, and so does it: of a video whose frame rate no
    other has, kernels were off by a factor of 8 000.
    """
    x, y = _law(200)
    kernel = candidates(200, 2)["kernel_ridge"].fit(x, np.log(y))
    edge = x.max(axis=0)
    far = kernel.predict([[edge[0] + 7, 0.0], [0.0, edge[1] + 7]])
    assert far.tolist() == pytest.approx(kernel.predict([[edge[0], 0.0], [0.0, edge[1]]]).tolist())


def test_trees_keep_apart_what_was_measured_once() -> None:
    """One of 200 rows has a setting of its own, e times as much as all others, and is in 1 - 1/e = 63 % of
    the trees' samples. With four rows in a leaf trees would say a quarter of it or less.
    """
    x, logs = np.arange(200.0)[:, None] % 3, np.zeros(200)
    x[7], logs[7] = 9.0, 1.0
    assert 0.45 < candidates(200, 1)["extra_trees"].fit(x, logs).predict([[9.0]])[0] < 0.8


def test_a_kernel_says_the_mean_of_logarithms() -> None:
    """Three videos of four need the same, one a factor of e^2 more: 0.5 is the mean, the median is 0."""
    x, logs = np.repeat(np.arange(5.0), 40)[:, None], np.tile([0.0, 0.0, 0.0, 2.0], 50)
    assert candidates(200, 1)["kernel_ridge"].fit(x, logs).predict([[2.0]])[0] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("sign", [1, -1])
def test_errors_are_compared_as_factors_up_and_down_alike(sign: int) -> None:
    """One of 40 videos off by exp 3, a factor of 20, is 19 / 40 = 0.48 on the average; all off by exp 0.3
    are 0.35. As logarithms they would be 0.075 and 0.3, three standard errors apart.
    """
    rare, common = np.zeros(40), np.full(40, 0.3 * sign)
    rare[7] = 3.0 * sign
    videos, weights = np.arange(40), np.ones(40)
    assert not clearly_better(rare, common, weights, videos)
    assert clearly_better(common / 2, common, weights, videos)


def test_few_rows_let_only_simple_models_compete() -> None:
    model = MultivariatePredictor().fit(*_law(8))
    assert set(model.errors_) == {"mean", "line", "log_linear", "power_law"}
    assert "only 8 rows" in model.note_


def test_the_same_data_give_the_same_model() -> None:
    x, y = _law(70)
    first, second = (MultivariatePredictor().fit(x, y) for _ in range(2))
    assert first.predict(x).tolist() == second.predict(x).tolist()


def test_parameters_follow_scikit_learn() -> None:
    assert clone(MultivariatePredictor(folds=3)).get_params() == {"folds": 3, "margin": 0.01, "seed": 0}


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ([[1.0], [np.nan]], [1.0, 2.0], "Input X contains NaN"),
        ([["a"]], [1.0], "could not convert"),
        ([[1.0], [2.0]], [1.0, 0.0], "y: expected 2 positive numbers"),
        ([[1.0], [2.0]], [1.0], "inconsistent numbers of samples"),
        ([[1.0]], ["a"], "could not convert"),
        (np.empty((0, 2)), [], "0 sample"),
    ],
)
def test_values_that_are_missing_or_impossible_are_refused(x: list, y: list, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MultivariatePredictor().fit(x, y)


def test_other_refusals_are_named() -> None:
    with pytest.raises(InputError, match="groups: expected 2"):
        MultivariatePredictor().fit([[1.0], [2.0]], [1.0, 2.0], groups=["a"])
    with pytest.raises(ValueError, match="must contain at least one non-zero"):
        MultivariatePredictor().fit([[1.0], [2.0]], [1.0, 2.0], sample_weight=[0.0, 0.0])
    model = MultivariatePredictor().fit([[1.0], [2.0]], [1.0, 2.0])
    with pytest.raises(ValueError, match="X has 2 features, but MultivariatePredictor is expecting 1"):
        model.predict([[1.0, 2.0]])
    with pytest.raises(InputError, match="level: expected a level between 0 and 1"):
        model.prediction_interval([[1.0]], 1.5)


def test_conformal_quantiles_are_order_statistics() -> None:
    """Of 9 scores the 0.9 quantile is the (10 x 0.9 = 9)th; 8 scores cannot bound 0.9."""
    assert conformal_quantile(np.arange(1.0, 10.0), 0.9) == 9.0
    assert conformal_quantile(np.arange(1.0, 9.0), 0.9) is None


def test_students_half_width_needs_a_degree_of_freedom() -> None:
    assert student_half_width(np.array([0.1]), 0.9) is None


def test_errors_are_ratios_of_what_was_measured() -> None:
    """Predicted 120 for 100 and 50 for 100: 20 % and 50 %."""
    assert mean_ratio_error(np.log([100 / 120, 100 / 50])) == pytest.approx(0.35)


@pytest.mark.parametrize(("rows", "columns", "competes"), [(20, 2, True), (24, 10, False), (40, 10, True)])
def test_curves_compete_where_rows_carry_their_terms(rows: int, columns: int, competes: bool) -> None:
    """Two columns have 5 terms of degree 2, ten have 65; 40 rows let a ridge of any size in."""
    assert ("log_parabola" in candidates(rows, columns)) is competes


def test_an_outlier_does_not_bend_the_line() -> None:
    """y = 2 x but for one of 31 points, which least squares would follow by 0.6 at its place."""
    x = np.linspace(-3, 3, 31)[:, None]
    y = 2 * x[:, 0] + 1e-3 * np.sin(np.arange(31))
    y[-1] += 5
    assert HuberRidge((1e-6, 1e-5)).fit(x, y).predict([[3.0]])[0] == pytest.approx(6.0, abs=0.02)
