"""Grouped validation: no video (or machine) is in the training and in the test rows at once.

Random folds flatter a model about twofold where rows share a video. There is no function for them here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline

__all__ = ["fit", "fold_numbers", "folds", "mean_ratio_error", "out_of_fold", "ratio_errors"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_HUBER = 1.345
"""Robust standard deviations up to which errors count by their square: 95 % efficient for normal errors."""
_REWEIGHTINGS = 4


def fold_numbers(groups: Sequence[Hashable], count: int, seed: int = 0) -> Ints:
    """A fold for each row, shape (n,); rows of one group share theirs, folds are about equally large.

    Groups are shuffled by ``seed``, then each goes to the fold that holds fewest rows so far.
    """
    numbers: dict[Hashable, int] = {}
    for group in groups:
        numbers.setdefault(group, len(numbers))
    codes = np.array([numbers[group] for group in groups], dtype=np.int64)
    sizes = np.bincount(codes, minlength=len(numbers))
    order = np.random.default_rng(seed).permutation(len(numbers))
    order = order[np.argsort(-sizes[order], kind="stable")]
    load = np.zeros(min(count, len(numbers)) or 1, dtype=np.int64)
    fold_of = np.zeros(len(numbers), dtype=np.int64)
    for group in order:
        fold_of[group] = int(load.argmin())
        load[fold_of[group]] += sizes[group]
    return fold_of[codes] if len(codes) else codes


def folds(numbers: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Rows to train on and rows to test on, for each fold."""
    for fold in np.unique(numbers):
        yield np.flatnonzero(numbers != fold), np.flatnonzero(numbers == fold)


def fit(model: BaseEstimator, x: Floats, y: Floats, weights: Floats) -> BaseEstimator:
    """A fitted copy; a pipeline's last step gets the weights, and outliers do not pull a `RidgeCV`."""
    made = clone(model)
    if not isinstance(made, Pipeline):
        return made.fit(x, y, sample_weight=weights)
    made.fit(x, y, **{f"{made.steps[-1][0]}__sample_weight": weights})
    return _robust(made, x, y, weights) if isinstance(made.steps[-1][1], RidgeCV) else made


def _robust(made: Pipeline, x: Floats, y: Floats, weights: Floats) -> Pipeline:
    """The same with Huber's loss, by reweighting: far errors count by their size, not by its square.

    A meter that slept through a short run is off by a third; squares of that would bend the whole fit.
    """
    table, alpha = made[:-1].transform(x), float(made[-1].alpha_)
    errors = y - made[-1].predict(table)
    for _ in range(_REWEIGHTINGS):
        bound = max(_HUBER * 1.4826 * float(np.median(np.abs(errors))), 1e-9)
        ridge = Ridge(alpha).fit(
            table, y, sample_weight=weights * np.minimum(1.0, bound / np.maximum(np.abs(errors), 1e-12))
        )
        errors = y - ridge.predict(table)
    return make_pipeline(*(step for _, step in made.steps[:-1]), ridge)


def out_of_fold(model: BaseEstimator, x: Floats, y: Floats, weights: Floats, numbers: Ints) -> Floats:
    """Predictions for each row by a model that saw none of its group, shape (n,)."""
    predicted = np.empty(len(y))
    for train, test in folds(numbers):
        predicted[test] = fit(model, x[train], y[train], weights[train]).predict(x[test])
    return predicted


def ratio_errors(log_residuals: Floats) -> Floats:
    """Absolute errors as ratios of the measured values, from ``log(measured) - log(predicted)``."""
    # far beyond any use, and safe from overflow
    return np.asarray(np.abs(np.expm1(np.clip(-log_residuals, -50, 50))))


def mean_ratio_error(log_residuals: Floats, weights: Floats | None = None) -> float:
    """The mean of `ratio_errors`.

    >>> mean_ratio_error(np.log(np.array([100.0, 100.0])) - np.log(np.array([110.0, 90.0])))
    0.1
    """
    return round(float(np.average(ratio_errors(log_residuals), weights=weights)), 12)
