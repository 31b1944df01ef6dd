"""The models that compete, from simple to complex; few rows let only simple ones in."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

__all__ = ["candidates"]

_ALPHAS = tuple(np.logspace(-3, 3, 13))
_MOST_TERMS = 800
_MOST_LEAVES = 4000


def candidates(rows: int, columns: int, seed: int = 0) -> dict[str, BaseEstimator]:
    """Unfitted models by name, simplest first.

    Below 5 rows the mean is all that there is; below 20 a line shrunk towards it may compete. Forests start
    at 60 rows. Sizes of trees are bounded, so that a model of 100 000 rows stays within tens of megabytes.
    """
    found: dict[str, BaseEstimator] = {"mean": DummyRegressor()}
    if columns == 0 or rows < 5:
        return found
    if rows < 20:
        return found | {"linear": make_pipeline(StandardScaler(), Ridge(alpha=1.0))}
    found["linear"] = make_pipeline(StandardScaler(), RidgeCV(_ALPHAS))
    for degree in (2, 3):
        if _terms(columns, degree) <= _MOST_TERMS and rows >= 20 * degree:
            found[f"ridge_degree_{degree}"] = make_pipeline(
                StandardScaler(),
                PolynomialFeatures(degree, include_bias=False),
                StandardScaler(),
                RidgeCV(_ALPHAS),
            )
    if rows >= 60:
        leaf, most = max(3, rows // _MOST_LEAVES), min(1.0, 20_000 / rows)
        forest = {"n_estimators": 60, "min_samples_leaf": leaf, "random_state": seed}
        found["random_forest"] = RandomForestRegressor(**forest, max_features=0.7, max_samples=most)
        found["extra_trees"] = ExtraTreesRegressor(
            **forest, bootstrap=most < 1, max_samples=most if most < 1 else None
        )
        found["gradient_boosting"] = HistGradientBoostingRegressor(
            max_iter=100, max_leaf_nodes=15, early_stopping=False, random_state=seed
        )
    return found


def _terms(columns: int, degree: int) -> int:
    count = 1
    for i in range(1, degree + 1):
        count = count * (columns + i) // i
    return count - 1
