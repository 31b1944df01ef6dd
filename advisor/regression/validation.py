"""Grouped validation: no video (or machine) is in the training and in the test rows at once.

Random folds flatter a model about twofold where rows share a video. There is no function for them here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

__all__ = ["fit", "fold_numbers", "folds", "mean_ratio_error", "out_of_fold"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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
    """A fitted copy; a pipeline's last step gets the weights."""
    made = clone(model)
    if isinstance(made, Pipeline):
        return made.fit(x, y, **{f"{made.steps[-1][0]}__sample_weight": weights})
    return made.fit(x, y, sample_weight=weights)


def out_of_fold(model: BaseEstimator, x: Floats, y: Floats, weights: Floats, numbers: Ints) -> Floats:
    """Predictions for each row by a model that saw none of its group, shape (n,)."""
    predicted = np.empty(len(y))
    for train, test in folds(numbers):
        predicted[test] = fit(model, x[train], y[train], weights[train]).predict(x[test])
    return predicted


def mean_ratio_error(log_residuals: Floats, weights: Floats | None = None) -> float:
    """Mean absolute error as a ratio of the measured value, from ``log(measured) - log(predicted)``.

    >>> mean_ratio_error(np.log(np.array([100.0, 100.0])) - np.log(np.array([110.0, 90.0])))
    0.1
    """
    # far beyond any use, and safe from overflow
    ratios = np.abs(np.expm1(np.clip(-log_residuals, -50, 50)))
    return round(float(np.average(ratios, weights=weights)), 12)
