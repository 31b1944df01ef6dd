"""The models that compete, from simple to complex; few rows let only simple ones in."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

Floats = NDArray[np.float64]
PLAIN_SCALE = frozenset({"line", "parabola"})
"""Models of the target itself; all others are of its logarithm."""
COMMITTEE = ("kernel_ridge", "extra_trees", "gradient_boosting")
"""Models that know how one setting's effect depends on another and whose errors cancel. A line does not know;
it may help the mean of all errors, and yet err most in what a choice between configurations turns on."""
_HUBER = 1.345
"""Robust standard deviations up to which errors count by their square: 95 % efficient for normal errors."""
_REWEIGHTINGS = 4
_ALPHAS = tuple(np.logspace(-6, 3, 19))
_KERNEL_ALPHAS = tuple(np.logspace(-4, 2, 7))
_MOST_TERMS = 800
_MOST_LEAVES = 2000
_ROWS_A_TERM = 3
_FEWEST_ROWS = 5
_FEWEST_ROWS_FOR_CURVES = 20
_FEWEST_ROWS_FOR_TREES = 60
_KERNEL_CENTRES = 200
_KERNEL_SPREAD = 0.2
"""Over the number of columns: gamma of the kernel of standardised columns, so that it spans most of them."""


class HuberRidge(RidgeCV):  # type: ignore[misc]
    """Ridge regression with Huber's loss, by reweighting: far errors count by their size, not by its square.

    A meter that slept through a short run is off by a third; squares of that would bend the whole fit. The
    penalty is chosen by leave-one-out error before. (scikit-learn's HuberRegressor chooses none, and stops
    with an error where the data lie exactly on a plane.)

    ``relative``: errors count as shares of what is predicted; targets are then positive.
    """

    def __init__(self, alphas: tuple[float, ...] = (1.0,), *, relative: bool = False) -> None:
        super().__init__(alphas)
        self.relative = relative

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:  # noqa: N803
        weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
        scale = y / y.mean() if self.relative else np.ones(len(y))
        super().fit(X, y, sample_weight=weights / scale**2)
        for _ in range(_REWEIGHTINGS):
            predicted = self.predict(X)
            if self.relative:
                # by what is predicted, not measured: that would favour predictions that are too low
                scale = np.clip(predicted, y / 2, 2 * y) / y.mean()
            errors = np.abs(y - predicted) / scale
            bound = max(_HUBER * 1.4826 * float(np.median(errors)), 1e-9)
            near = np.minimum(1.0, bound / np.maximum(errors, 1e-12))
            ridge = Ridge(self.alpha_).fit(X, y, weights / scale**2 * near)
            self.coef_, self.intercept_ = ridge.coef_, ridge.intercept_
        return self


class LogarithmOfWideColumns(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Columns that are positive and span a factor of two or more, as logarithms; others as they are."""

    def fit(self, X: Floats, y: Floats | None = None) -> Self:  # noqa: N803
        low = X.min(axis=0)
        self.wide_ = (low > 0) & (X.max(axis=0) >= 2 * low)
        self.least_ = 1e-3 * low[self.wide_]
        return self

    def transform(self, X: Floats) -> Floats:  # noqa: N803
        table = np.array(X, dtype=float)
        table[:, self.wide_] = np.log(np.maximum(table[:, self.wide_], self.least_))
        return table


def _linear(*before: BaseEstimator, relative: bool = False) -> Pipeline:
    return make_pipeline(*before, StandardScaler(), HuberRidge(_ALPHAS, relative=relative))


def _curved(*, relative: bool = False) -> Pipeline:
    return _linear(StandardScaler(), PolynomialFeatures(2, include_bias=False), relative=relative)


def candidates(rows: int, columns: int, seed: int = 0) -> dict[str, BaseEstimator]:
    """Unfitted models by name, simplest first.

    Below 5 rows the mean is all that there is; curves start at 20 rows, kernels and forests at 60. The sizes
    of kernels and trees are bounded, so that a model of 100 000 rows stays within tens of megabytes.
    """
    models: dict[str, BaseEstimator] = {"mean": DummyRegressor()}
    if rows < _FEWEST_ROWS:
        return models
    models |= {
        "line": _linear(relative=True),
        "log_linear": _linear(),
        "power_law": _linear(LogarithmOfWideColumns()),
    }
    terms = math.comb(columns + 2, 2) - 1
    if (
        rows >= _FEWEST_ROWS_FOR_CURVES
        and terms <= _MOST_TERMS
        and rows >= min(2 * _FEWEST_ROWS_FOR_CURVES, _ROWS_A_TERM * terms)
    ):
        models |= {"parabola": _curved(relative=True), "log_parabola": _curved()}
    if rows >= _FEWEST_ROWS_FOR_TREES:
        models |= _flexible(rows, columns, seed)
    return models


def _flexible(rows: int, columns: int, seed: int) -> dict[str, BaseEstimator]:
    most = min(1.0, 20_000 / rows)
    kernel = Nystroem(
        gamma=_KERNEL_SPREAD / columns, n_components=min(_KERNEL_CENTRES, rows // 2), random_state=seed
    )
    # beyond the rows that it was fitted to a kernel swings by any factor: it says what it says at their edge,
    # as trees do
    edges = MinMaxScaler(clip=True)
    return {
        "kernel_ridge": make_pipeline(edges, StandardScaler(), kernel, RidgeCV(_KERNEL_ALPHAS)),
        "extra_trees": ExtraTreesRegressor(
            60,
            min_samples_leaf=max(1, rows // _MOST_LEAVES),
            max_features=0.5,
            bootstrap=True,
            max_samples=most if most < 1 else None,
            random_state=seed,
        ),
        "gradient_boosting": HistGradientBoostingRegressor(
            max_iter=100, max_leaf_nodes=15, early_stopping=False, random_state=seed
        ),
    }
