"""The four predictors are scikit-learn's estimators, by its own checks."""

from __future__ import annotations

from collections.abc import Callable

from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from advisor import LinearPredictor, MultivariatePredictor, PolynomialPredictor, PowerPredictor


@parametrize_with_checks(
    [LinearPredictor(), PolynomialPredictor(), PowerPredictor(), MultivariatePredictor()]
)
def test_scikit_learns_own_checks_pass(
    estimator: BaseEstimator, check: Callable[[BaseEstimator], None]
) -> None:
    check(estimator)
