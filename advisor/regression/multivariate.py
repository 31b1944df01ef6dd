"""One target from many features: models compete under grouped cross-validation, the best one stays."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from advisor.errors import NotEnoughDataError, TableError
from advisor.regression.candidates import candidates
from advisor.regression.intervals import check_level, conformal_quantile, student_half_width
from advisor.regression.tables import column, matrix
from advisor.regression.validation import fit, fold_numbers, mean_ratio_error, out_of_fold, ratio_errors

__all__ = ["MultivariatePredictor", "some_rows"]

Floats = NDArray[np.float64]
_ROWS_FOR_CHOOSING = 2500
_ROWS_FOR_BOOTSTRAP = 2000
_ROWS_FOR_A_MEAN = 60
_WITHOUT_INTERACTIONS = frozenset({"mean", "linear"})


class MultivariatePredictor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predicts a positive quantity by its logarithm.

    Linear, ridge of degree 2, kernel ridge, random forest, extra trees and gradient boosting compete under
    grouped cross-validation. Three of those that know interactions, whose errors cancel best, are averaged,
    unless one is clearly better than they are; then the simplest that is within ``margin`` of the best. Too
    few rows leave the simplest model and say so.

    Parameters
    ----------
    folds
        Folds of the grouped cross-validation; default 5.
    margin
        Up to which difference, as a ratio, errors count as alike; default 0.01.
    seed
        Of folds and forests; default 0. The same data and seed give the same model.

    Learned: ``chosen_`` (names of the models that are averaged), ``errors_`` (grouped mean absolute error of
    each candidate as a ratio), ``residuals_`` (held-out ``log(measured) - log(predicted)`` of the rows
    ``validated_``), ``note_`` (what the data did not carry, else empty).
    """

    def __init__(self, folds: int = 5, margin: float = 0.01, seed: int = 0) -> None:
        self.folds = folds
        self.margin = margin
        self.seed = seed

    def fit(
        self,
        X: ArrayLike,  # noqa: N803 - scikit-learn's name
        y: ArrayLike,
        groups: Sequence[Hashable] | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Choose and fit.

        Parameters
        ----------
        X
            Shape (n, k), finite; a flat list is one feature.
        y
            Shape (n,), positive.
        groups
            One a row; rows of one group are held out together. Default: each row is its own.
        sample_weight
            Shape (n,), positive; default 1.

        Raises
        ------
        NotEnoughDataError
            There is no row.
        TableError
            A value is missing, not finite, or a target is not positive.
        """
        x = matrix(X)
        if not len(x):
            raise NotEnoughDataError("MultivariatePredictor needs at least one row, got none")
        logs = np.log(column(y, len(x), positive=True))
        given = np.ones(len(x)) if sample_weight is None else sample_weight
        weights = column(given, len(x), "sample_weight", positive=True)
        names: list[Hashable] = [*range(len(logs))] if groups is None else [*groups]
        if len(names) != len(logs):
            raise TableError(f"expected {len(logs)} groups, one a row, got {len(names)}", subject="groups")
        self.n_features_in_ = x.shape[1]
        # one thread: on a busy machine the barriers of several cost more than they gain
        with threadpool_limits(limits=1):
            self._choose(x, logs, names, weights)
            models = candidates(len(logs), x.shape[1], self.seed)
            self.models_ = [fit(models[name], x, logs, weights) for name in self.chosen_]
        keep = some_rows(len(logs), _ROWS_FOR_BOOTSTRAP, self.seed)
        self._sample = (x[keep], logs[keep], weights[keep], _codes([names[i] for i in keep]))
        return self

    def _choose(self, x: Floats, logs: Floats, names: list[Hashable], weights: Floats) -> None:
        keep = some_rows(len(logs), _ROWS_FOR_CHOOSING, self.seed)
        x, logs, weights = x[keep], logs[keep], weights[keep]
        groups = [names[i] for i in keep]
        numbers = fold_numbers(groups, self.folds, self.seed)
        self.validated_ = keep
        self.note_ = ""
        if len(np.unique(numbers)) < 2:
            # nothing can be held out: no error is known, and nothing is chosen by it
            self.chosen_: tuple[str, ...] = ("mean",)
            self.errors_: dict[str, float] = {}
            self.residuals_ = logs - np.average(logs, weights=weights)
            self.note_ = (
                f"{len(logs)} row(s) of one group: the mean is all they carry, its error is not known"
            )
            return
        models = candidates(len(logs), x.shape[1], self.seed)
        held = {name: out_of_fold(model, x, logs, weights, numbers) for name, model in models.items()}
        residuals = {name: logs - p for name, p in held.items()}
        self.errors_ = {name: mean_ratio_error(r, weights) for name, r in residuals.items()}
        self.chosen_ = _chosen(residuals, weights, _codes(groups), self.margin)
        self.residuals_ = logs - np.mean([held[name] for name in self.chosen_], axis=0)
        if len(logs) < 20:
            self.note_ = f"only {len(logs)} rows: nothing but the mean and a shrunken line competed"

    @property
    def error_ratio_(self) -> float | None:
        """Grouped mean absolute error of what was chosen, a ratio; None where nothing was held out."""
        check_is_fitted(self)
        return mean_ratio_error(self.residuals_) if self.errors_ else None

    def predict_log(self, X: ArrayLike) -> Floats:  # noqa: N803
        """Natural logarithms of the predictions, shape (n,)."""
        check_is_fitted(self)
        x = matrix(X, self.n_features_in_)
        if not len(x):
            return np.empty(0)
        return np.asarray(np.mean([model.predict(x) for model in self.models_], axis=0))

    def predict(self, X: ArrayLike) -> Floats:  # noqa: N803
        """Predictions in the target's unit, shape (n,); always positive."""
        return np.exp(self.predict_log(X))

    def prediction_interval(self, X: ArrayLike, level: float = 0.9) -> tuple[Floats, Floats]:  # noqa: N803
        """Where a new measurement falls with probability ``level``: low and high, shape (n,) each.

        Conformal over the held-out errors; with too few of them for the level, Student's interval over the
        same errors; NaN where not even that is known.
        """
        logs = self.predict_log(X)
        half = conformal_quantile(np.abs(self.residuals_), level)
        if half is None:
            half = student_half_width(self.residuals_, level, parameters=1)
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
        check_level(level)
        table = matrix(X)
        self.predict_log(table)
        x, logs, weights, codes = self._sample
        rng = np.random.default_rng(self.seed)
        rows = [np.flatnonzero(codes == code) for code in np.unique(codes)]
        models = candidates(len(logs), x.shape[1], self.seed)
        drawn = np.empty((resamples, len(table)))
        with threadpool_limits(limits=1):
            for i in range(resamples):
                some = np.concatenate([rows[g] for g in rng.integers(len(rows), size=len(rows))])
                fitted = [fit(models[name], x[some], logs[some], weights[some]) for name in self.chosen_]
                drawn[i] = np.mean([model.predict(table) for model in fitted], axis=0)
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return np.exp(low), np.exp(high)


def _codes(groups: Sequence[Hashable]) -> NDArray[np.int64]:
    codes = {group: code for code, group in enumerate(dict.fromkeys(groups))}
    return np.array([codes[group] for group in groups], dtype=np.int64)


def _chosen(
    residuals: dict[str, Floats], weights: Floats, codes: NDArray[np.int64], margin: float
) -> tuple[str, ...]:
    """The three whose mean is best where nothing simple is clearly better, for it is the steadiest; else the
    simplest of the best.

    The three must know that one setting's effect depends on another. A line does not; it may help the mean of
    all errors, and yet err most in what a choice between configurations turns on.
    """
    losses = {name: _losses(r, weights, codes) for name, r in residuals.items()}
    errors = {name: float(np.average(loss, weights=weights)) for name, loss in losses.items()}
    best = min(errors.values())
    simplest = next(name for name, error in errors.items() if error <= best * (1 + margin))
    able = [name for name in errors if name not in _WITHOUT_INTERACTIONS]
    if len(able) < 3 or len(weights) < _ROWS_FOR_A_MEAN:
        return (simplest,)
    means = {
        names: _losses(np.mean([residuals[name] for name in names], axis=0), weights, codes)
        for names in itertools.combinations(able, 3)
    }
    three = min(means, key=lambda names: float(np.average(means[names], weights=weights)))
    return (simplest,) if _clearly_less(losses[simplest], means[three], weights, codes) else three


def _losses(residuals: Floats, weights: Floats, codes: NDArray[np.int64]) -> Floats:
    """Error of each value, and of its comparison with others of its group: what all of a video share tells
    nothing of which of its configurations is best.
    """
    shared = np.bincount(codes, weights * residuals) / np.bincount(codes, weights)
    return ratio_errors(residuals) + ratio_errors(residuals - shared[codes])


def _clearly_less(some: Floats, others: Floats, weights: Floats, codes: NDArray[np.int64]) -> bool:
    """Whether losses are less by more than chance among the groups would make them (two standard errors)."""
    apart = weights * (others - some)
    mean = float(apart.sum() / weights.sum())
    by_group = np.bincount(codes, apart - weights * mean)
    return mean > 2 * math.sqrt(float((by_group**2).sum())) / float(weights.sum())


def some_rows(count: int, most: int, seed: int) -> NDArray[np.int64]:
    """At most ``most`` row numbers, drawn without replacement and ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
