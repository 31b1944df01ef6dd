"""One target from many features: models compete under grouped cross-validation, the best one stays."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from advisor.errors import TableError
from advisor.regression.candidates import COMMITTEE, PLAIN_SCALE, candidates
from advisor.regression.interval_bins import (
    check_level,
    conformal_quantile,
    mean_ratio_error,
    student_half_width,
)
from advisor.regression.linear import one_feature

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_ROWS_FOR_CHOOSING = 2500
_ROWS_FOR_BOOTSTRAP = 2000
_LEAST_RATIO = 1e-3
"""Of the smallest target of training: what a line on the plain scale says at least, which ends below 0."""


class MultivariatePredictor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predicts a positive quantity.

    Candidates are lines and curves of degree 2 of the quantity, of its logarithm and in the logarithms of the
    features, kernel ridge, extra trees and gradient boosting. They are compared in grouped cross-validation.
    The geometric mean of the last three is used, unless one model is clearly better; then the simplest within
    ``margin`` of the best is used. With few rows only simple models are fitted, and ``note_`` says so.

    Parameters
    ----------
    folds
        Folds of the grouped cross-validation; default 5.
    margin
        Difference, as a ratio, up to which errors count as equal; default 0.01.
    seed
        Random seed; default 0. The same rows in the same order give the same model.

    Learned: ``chosen_`` (names of the models that are averaged), ``errors_`` (grouped mean absolute error of
    each candidate as a ratio), ``residuals_`` (held-out ``log(measured) - log(predicted)`` of the rows
    ``validated_``), ``note_`` (limits of the data, else empty), ``n_features_in_``,
    ``feature_names_in_``.
    """

    def __init__(self, folds: int = 5, margin: float = 0.01, seed: int = 0) -> None:
        self.folds = folds
        self.margin = margin
        self.seed = seed

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags

    def fit(
        self,
        X: ArrayLike,  # noqa: N803 - scikit-learn's name
        y: ArrayLike,
        groups: Sequence[Hashable] | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Choose a model and fit it.

        Parameters
        ----------
        X
            Shape (n, k), finite; a flat list is one feature.
        y
            Shape (n,), positive.
        groups
            One per row; rows of one group are held out together. Default: each row is a group.
        sample_weight
            Shape (n,), not negative; default 1. A row of weight 2 counts as two rows.

        Raises
        ------
        ValueError
            There are no rows, a value is missing or not finite, or a target is not positive.
        """
        x, targets = validate_data(self, one_feature(X), y, dtype=np.float64, y_numeric=True)
        targets = targets.astype(np.float64)
        if (targets <= 0).any():
            raise TableError(f"expected {len(targets)} positive numbers", subject="y")
        weights = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
        kept, weights, codes = _distinct(x, targets, weights, groups)
        x, targets = x[kept], targets[kept]
        # one thread: on a busy machine the barriers of several cost more than they gain
        with threadpool_limits(limits=1):
            some = drawn_rows(len(targets), _ROWS_FOR_CHOOSING, self.seed)
            self._choose(x[some], targets[some], codes[some], weights[some])
            self._fit_chosen(x, targets, weights)
        self.validated_ = kept[some]
        some = drawn_rows(len(targets), _ROWS_FOR_BOOTSTRAP, self.seed)
        self._sample = (x[some], targets[some], weights[some], codes[some])
        return self

    def _choose(self, x: Floats, y: Floats, codes: Ints, weights: Floats) -> None:
        logs = np.log(y)
        self.note_ = ""
        if len(np.unique(codes)) < 2:
            # nothing can be held out: no error is known, and nothing is chosen by it
            self.chosen_: tuple[str, ...] = ("mean",)
            self.errors_: dict[str, float] = {}
            self.residuals_ = logs - np.average(logs, weights=weights)
            self.note_ = f"{len(logs)} row(s) of one group: only the mean is fitted, and its error is unknown"
            return
        residuals = {
            name: logs - _held_out(name, model, x, y, weights, codes, self.folds)
            for name, model in candidates(len(y), x.shape[1], self.seed).items()
        }
        self.errors_ = {name: mean_ratio_error(r, weights) for name, r in residuals.items()}
        self.chosen_ = _chosen(residuals, weights, np.unique(codes, return_inverse=True)[1], self.margin)
        self.residuals_ = np.mean([residuals[name] for name in self.chosen_], axis=0)
        if len(logs) < 20:
            self.note_ = f"only {len(logs)} rows: only the mean and lines were tried"

    def _fit_chosen(self, x: Floats, y: Floats, weights: Floats) -> None:
        models = candidates(len(y), x.shape[1], self.seed)
        simple = "log_linear" if "log_linear" in models else "mean"
        self.chosen_ = tuple(name for name in self.chosen_ if name in models) or (simple,)
        self.models_ = [_fitted(name, models[name], x, y, weights) for name in self.chosen_]
        self.least_ = _LEAST_RATIO * float(y.min())

    def refitted(self, x: Floats, y: Floats, weights: Floats) -> MultivariatePredictor:
        """The models that were chosen, fitted to other rows; what they do not carry becomes simpler."""
        other = MultivariatePredictor(**self.get_params())
        other.chosen_, other.n_features_in_ = self.chosen_, x.shape[1]
        other._fit_chosen(x, y, weights)
        return other

    @property
    def error_ratio_(self) -> float | None:
        """Grouped mean absolute error of what was chosen, a ratio; None where nothing was held out."""
        check_is_fitted(self)
        return mean_ratio_error(self.residuals_) if self.errors_ else None

    def predict_log(self, X: ArrayLike) -> Floats:  # noqa: N803
        """Natural logarithms of the predictions, shape (n,)."""
        check_is_fitted(self)
        x = validate_data(self, one_feature(X), dtype=np.float64, reset=False)
        pairs = zip(self.chosen_, self.models_, strict=True)
        return np.asarray(np.mean([_log_predictions(n, model, x, self.least_) for n, model in pairs], axis=0))

    def predict(self, X: ArrayLike) -> Floats:  # noqa: N803
        """Predictions in the target's unit, shape (n,); always positive."""
        return np.exp(self.predict_log(X))

    def prediction_interval(self, X: ArrayLike, level: float = 0.9) -> tuple[Floats, Floats]:  # noqa: N803
        """Where a new measurement falls with probability ``level``: low and high, shape (n,) each.

        Conformal over the held-out errors; with too few of them for the level, Student's interval over the
        same errors; NaN where not even that is known.
        """
        check_level(level)
        logs = self.predict_log(X)
        half = conformal_quantile(np.abs(self.residuals_), level)
        if half is None:
            half = student_half_width(self.residuals_, level)
        width = np.nan if half is None else half
        return np.exp(logs - width), np.exp(logs + width)

    def confidence_interval(
        self,
        X: ArrayLike,  # noqa: N803
        level: float = 0.9,
        resamples: int = 50,
    ) -> tuple[Floats, Floats]:
        """Where the mean of many measurements lies, by the bootstrap: low and high, shape (n,) each.

        The chosen models are fitted again on groups drawn with replacement. This is no prediction interval.
        """
        check_is_fitted(self)
        check_level(level)
        table = validate_data(self, one_feature(X), dtype=np.float64, reset=False)
        x, targets, weights, codes = self._sample
        rng = np.random.default_rng(self.seed)
        members = [np.flatnonzero(codes == code) for code in np.unique(codes)]
        logs = np.empty((resamples, len(table)))
        with threadpool_limits(limits=1):
            for i in range(resamples):
                drawn = np.concatenate([members[g] for g in rng.integers(len(members), size=len(members))])
                logs[i] = self.refitted(x[drawn], targets[drawn], weights[drawn]).predict_log(table)
        low, high = np.quantile(logs, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return np.exp(low), np.exp(high)


def _fitted(name: str, model: BaseEstimator, x: Floats, y: Floats, weights: Floats) -> BaseEstimator:
    """A fitted copy of a candidate, for targets ``y`` on the plain scale."""
    last = f"{model.steps[-1][0]}__" if isinstance(model, Pipeline) else ""
    targets = y if name in PLAIN_SCALE else np.log(y)
    return clone(model).fit(x, targets, **{f"{last}sample_weight": weights})


def _log_predictions(name: str, model: BaseEstimator, x: Floats, least: float) -> Floats:
    """Logarithms of what a fitted candidate predicts, at least that of ``least``."""
    predicted = model.predict(x)
    return np.asarray(np.log(np.maximum(predicted, least)) if name in PLAIN_SCALE else predicted)


def _held_out(
    name: str, model: BaseEstimator, x: Floats, y: Floats, weights: Floats, codes: Ints, folds: int
) -> Floats:
    """Log predictions for each row by a model that saw none of its group, shape (n,)."""
    logs = np.empty(len(y))
    least = _LEAST_RATIO * float(y.min())
    for train, test in GroupKFold(min(folds, len(np.unique(codes)))).split(x, groups=codes):
        fitted = _fitted(name, model, x[train], y[train], weights[train])
        logs[test] = _log_predictions(name, fitted, x[test], least)
    return logs


def _distinct(
    x: Floats, y: Floats, weights: Floats, groups: Sequence[Hashable] | None
) -> tuple[Ints, Floats, Ints]:
    """The rows that remain when equal ones are one and those without weight are left out: their numbers,
    summed weights and a number for each's group that does not depend on the order of rows.
    """
    names = [""] * len(y) if groups is None else [repr(group) for group in groups]
    if len(names) != len(y):
        raise TableError(f"expected {len(y)} groups, one a row, got {len(names)}", subject="groups")
    codes = np.asarray(np.unique(names, return_inverse=True)[1])
    table = np.column_stack([x, y, codes])
    _, first, rows = np.unique(table, axis=0, return_index=True, return_inverse=True)
    summed = np.bincount(rows.ravel(), weights).astype(np.float64)
    order = np.argsort(first)
    order = order[summed[order] > 0]
    numbers: Ints = order if groups is None else codes[first[order]]
    return first[order], summed[order], numbers


def _chosen(residuals: Mapping[str, Floats], weights: Floats, codes: Ints, margin: float) -> tuple[str, ...]:
    """The simplest of the best where it is clearly better than the committee, whose mean is the steadiest."""
    losses = {name: _losses(r, weights, codes) for name, r in residuals.items()}
    errors = {name: float(np.average(loss, weights=weights)) for name, loss in losses.items()}
    best = min(errors.values())
    simplest = next(name for name, error in errors.items() if error <= best * (1 + margin) + 1e-6)
    committee = tuple(name for name in COMMITTEE if name in residuals)
    if not committee:
        return (simplest,)
    together = np.mean([residuals[name] for name in committee], axis=0)
    return (simplest,) if clearly_better(residuals[simplest], together, weights, codes) else committee


def _losses(residuals: Floats, weights: Floats, codes: Ints) -> Floats:
    """Error of each value, and of its comparison with others of its group: what all of a video share tells
    nothing of which of its configurations is best. As factors, up and down alike: half as much and twice as
    much are both off by 1. Errors as shares of what was measured would favour predictions that are too low.
    """
    shared = np.bincount(codes, weights * residuals) / np.bincount(codes, weights)
    apart = np.abs([residuals, residuals - shared[codes]])
    # far beyond any use, and safe from overflow
    return np.asarray(np.expm1(np.minimum(apart, 50)).sum(axis=0))


def clearly_better(residuals: Floats, others: Floats, weights: Floats, codes: Ints) -> bool:
    """Whether held-out errors are less than ``others`` of the same rows by more than chance among the groups
    would make them (two standard errors). ``codes`` number the groups from 0.
    """
    apart = weights * (_losses(others, weights, codes) - _losses(residuals, weights, codes))
    mean = float(apart.sum() / weights.sum())
    by_group = np.bincount(codes, apart - weights * mean)
    return mean > 2 * math.sqrt(float((by_group**2).sum())) / float(weights.sum())


def drawn_rows(count: int, most: int, seed: int) -> Ints:
    """At most ``most`` row numbers, drawn without replacement and ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
