"""The models that compete, from simple to complex; few rows let only simple ones in."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

__all__ = ["candidates"]

_ALPHAS = tuple(np.logspace(-3, 3, 13))
_KERNEL_ALPHAS = tuple(np.logspace(-6, 2, 9))
_MOST_TERMS = 800
_MOST_LEAVES = 4000
_ROWS_A_TERM = 3
_FEWEST_ROWS_FOR_TREES = 60
_KERNEL_CENTRES = 200
_KERNEL_SPREAD = 0.2
"""Over the number of columns: gamma of the kernel of standardised columns, so that it spans most of them."""


def candidates(rows: int, columns: int, seed: int = 0) -> dict[str, BaseEstimator]:
    """Unfitted models by name, simplest first.

    Below 5 rows the mean is all that there is; below 20 a line shrunk towards it may compete. Kernels and
    forests start at 60 rows. The sizes of kernels and trees are bounded, so that a model of 100 000 rows
    stays within tens of megabytes.
    """
    found: dict[str, BaseEstimator] = {"mean": DummyRegressor()}
    if columns == 0 or rows < 5:
        return found
    if rows < 20:
        return found | {"linear": make_pipeline(StandardScaler(), Ridge(alpha=1.0))}
    found["linear"] = make_pipeline(StandardScaler(), RidgeCV(_ALPHAS))
    terms = _terms(columns, 2)
    if terms <= _MOST_TERMS and rows >= min(40, _ROWS_A_TERM * terms):
        found["ridge_degree_2"] = make_pipeline(
            StandardScaler(),
            PolynomialFeatures(2, include_bias=False),
            StandardScaler(),
            RidgeCV(_ALPHAS),
        )
    if rows >= _FEWEST_ROWS_FOR_TREES:
        found |= _flexible(rows, columns, seed)
    return found


def _flexible(rows: int, columns: int, seed: int) -> dict[str, BaseEstimator]:
    most = min(1.0, 20_000 / rows)
    forest = {"n_estimators": 60, "min_samples_leaf": max(4, rows // _MOST_LEAVES), "random_state": seed}
    kernel = Nystroem(
        gamma=_KERNEL_SPREAD / columns, n_components=min(_KERNEL_CENTRES, rows // 2), random_state=seed
    )
    return {
        "kernel_ridge": make_pipeline(StandardScaler(), kernel, RidgeCV(_KERNEL_ALPHAS)),
        "random_forest": RandomForestRegressor(**forest, max_features=0.7, max_samples=most),
        "extra_trees": ExtraTreesRegressor(
            **forest, bootstrap=most < 1, max_samples=most if most < 1 else None
        ),
        "gradient_boosting": HistGradientBoostingRegressor(
            max_iter=100, max_leaf_nodes=15, early_stopping=False, random_state=seed
        ),
    }


def _terms(columns: int, degree: int) -> int:
    count = 1
    for i in range(1, degree + 1):
        count = count * (columns + i) // i
    return count - 1
