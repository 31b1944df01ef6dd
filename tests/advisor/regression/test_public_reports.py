"""Inputs that broke similar tools, from public reports, with the values that are right by arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from advisor import LinearPredictor, MultivariatePredictor, PowerPredictor


def test_equal_targets_of_few_rows_do_not_end_a_robust_fit() -> None:
    """A solver of Huber's loss stops with an error here (scikit-learn 27777)."""
    model = MultivariatePredictor().fit([10, 11, 28], [5000.0] * 3, sample_weight=[2, 2, 2])
    assert model.predict([20])[0] == pytest.approx(5000)
    assert PowerPredictor().fit([10, 11, 28], [5000.0] * 3).predict([20])[0] == pytest.approx(5000)


def test_weights_of_any_size_fit_the_same() -> None:
    """Leave-one-out ridge breaks down where weights are 1e5 to 1e11 (scikit-learn 26848)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    y = 100 + 10 * x[:, 0] + 3 * x[:, 1]
    model = MultivariatePredictor().fit(x, y, sample_weight=rng.integers(2 * 10**5, 2 * 10**11, 100))
    assert model.predict(x) == pytest.approx(y, rel=1e-6)


def test_a_plane_of_fifty_columns_is_exact() -> None:
    """The penalty of a ridge that is almost none is unstable there (scikit-learn 32459)."""
    rng = np.random.default_rng(42)
    x = rng.normal(size=(100, 50))
    y = x @ rng.uniform(0, 100, 50)
    y = y - y.min() + 100
    assert MultivariatePredictor().fit(x[:80], y[:80]).predict(x[80:]) == pytest.approx(y[80:], rel=1e-5)


def test_the_sum_of_two_numbers_is_learned_as_their_sum() -> None:
    """Trees say 194 to 203 for sums of 0 to 400 (LightGBM 917)."""
    first, second = np.meshgrid(np.arange(1.0, 31.0), np.arange(30.0))
    x = np.column_stack([first.ravel(), second.ravel()])
    model = MultivariatePredictor().fit(x, x.sum(axis=1))
    assert model.predict([[1.0, 0.0], [60.0, 60.0]]) == pytest.approx([1.0, 120.0])


def test_a_constant_column_says_nothing_even_where_its_mean_is_rounded() -> None:
    """The mean of thirty 14.62 is not 14.62 in floating point: scaled by what is left, it was -1
    (scikit-learn 17794).
    """
    x = np.column_stack([np.full(30, 14.62), np.arange(30.0)])
    y = 5 + 2 * x[:, 1]
    for model in (LinearPredictor(), MultivariatePredictor()):
        assert model.fit(x, y).predict([[14.62, 100.0], [15.0, 100.0]]) == pytest.approx([205.0, 205.0])


def test_constant_or_single_targets_have_no_share_of_variance() -> None:
    """Summed and divided, ten equal values differ from their mean by rounding: -1e26 was said."""
    line = LinearPredictor().fit([1, 2, 3], [1, 2, 4])
    assert line.r2_score([1] * 10, [213.91666667] * 10) is None
    assert line.r2_score([1], [2.0]) is None


def test_a_column_that_hardly_varies_takes_no_prediction_out_of_the_range() -> None:
    """Trees on such a column said -3.6 for targets from 997 to 1034 (LightGBM 4708)."""
    first = [
        1021.06,
        1023.86,
        1024.55,
        1019.03,
        1016.80,
        1007.60,
        1014.87,
        1016.70,
        1011.20,
        1016.84,
        1021.75,
    ]
    x = np.column_stack([first, [1018.96, *[1018.79, 1018.89] * 5]])
    y = 1015 + 10 * np.random.default_rng(1).normal(size=len(x))
    predicted = MultivariatePredictor().fit(x, y).predict(x)
    assert predicted.min() > y.min()
    assert predicted.max() < y.max()


def test_fewer_groups_than_folds_are_held_out_one_by_one() -> None:
    """Two groups of a line: some splitters make empty folds of them (scikit-learn 33085)."""
    model = MultivariatePredictor().fit(np.arange(12.0)[:, None], np.arange(1.0, 13.0), ["a", "b"] * 6)
    assert model.error_ratio_ == pytest.approx(0, abs=1e-5)


def test_columns_that_depend_on_one_another_share_their_effect() -> None:
    assert LinearPredictor().fit([[1, 2], [2, 4], [3, 6]], [1, 2, 3]).predict([[4, 8]])[0] == pytest.approx(4)


def test_columns_of_a_table_are_matched_by_name() -> None:
    """In another order they were taken by place in silence (XGBoost 8357, LightGBM 4102); here they are
    refused by name, as scikit-learn does, and so is a table that lacks one.
    """
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"height": [360.0, 720, 1080, 480], "streams": [1.0, 2, 4, 3]})
    for model in (LinearPredictor(), MultivariatePredictor()):
        model.fit(table, 10 + table["height"] / 10 + table["streams"])
        assert list(model.feature_names_in_) == ["height", "streams"]
        with pytest.raises(ValueError, match="same order"):
            model.predict(table[["streams", "height"]])
        with pytest.raises(ValueError, match="Feature names seen at fit time, yet now missing"):
            model.predict(table[["height"]])
