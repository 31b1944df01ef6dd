"""Least squares by one explanation: straight line, parabola, and watts by number of streams.

The estimators follow scikit-learn's contract (``fit``, ``predict``, ``score``, ``get_params``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from advisor.errors import InputError, NotEnoughDataError, TableError
from advisor.regression.tables import column, matrix
from advisor.results import Scenario, as_scenario
from advisor.results.derived import mean_watts, stream_count

__all__ = ["LinearPredictor", "PolynomialPredictor", "PowerPredictor"]

Floats = NDArray[np.float64]
_COUNTS_FOR_A_PARABOLA = 5
"""One is held out at a time; through the three that a parabola takes no error is left to see."""


class _LeastSquares(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ordinary least squares over monomials of the features, up to ``degree``."""

    def _terms(self) -> list[tuple[int, ...]]:
        """Each term as the tuple of the columns that are multiplied; () is the constant."""
        columns = range(self.n_features_in_)
        return [
            term
            for degree in range(self._degree() + 1)
            for term in itertools.combinations_with_replacement(columns, degree)
        ]

    def _degree(self) -> int:
        return 1

    def _expand(self, x: Floats) -> Floats:
        return np.column_stack([np.prod(x[:, list(term)], axis=1) for term in self._terms()])

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803 - scikit-learn's name
        """Fit by least squares.

        Parameters
        ----------
        X
            Shape (n,) or (n, k), finite.
        y
            Shape (n,), finite.

        Raises
        ------
        NotEnoughDataError
            The samples do not determine the curve (too few, or too few different ones).
        TableError
            A value is missing, not a number or not finite.
        """
        x = matrix(X)
        targets = column(y, len(x))
        self.n_features_in_ = x.shape[1]
        # columns of one size keep the squares of large features from drowning the constant
        scale = np.abs(x).max(axis=0, initial=0.0)
        scale[scale == 0] = 1.0
        expanded = self._expand(x / scale)
        if np.linalg.matrix_rank(expanded) < expanded.shape[1]:
            distinct = len(np.unique(x, axis=0))
            raise NotEnoughDataError(
                f"{type(self).__name__} needs at least {expanded.shape[1]} different samples "
                f"that span its terms, got {distinct}"
            )
        solution = np.linalg.lstsq(expanded, targets, rcond=None)[0]
        powers = np.array([np.prod(scale[list(term)]) for term in self._terms()])
        self.coefficients_: Floats = solution / powers
        self.intercept_ = float(self.coefficients_[0])
        self.training_r2_ = _r2(targets, self._expand(x) @ self.coefficients_)
        return self

    def predict(self, X: ArrayLike) -> Floats:  # noqa: N803
        """Values of the fitted curve, shape (n,).

        Raises
        ------
        TableError
            A value is not finite, or the number of features is not the one fitted.
        """
        check_is_fitted(self)
        return self._expand(matrix(X, self.n_features_in_)) @ self.coefficients_

    @property
    def coef_(self) -> Floats:
        """The coefficients without the intercept, under scikit-learn's name."""
        check_is_fitted(self)
        return self.coefficients_[1:]

    def r2_score(self, X: ArrayLike | None = None, y: ArrayLike | None = None) -> float | None:  # noqa: N803
        """Share of the targets' variance that the curve explains; of the training rows without arguments.

        None where the targets are constant: there is no variance to explain. On training rows it says how
        well the curve bends, not how well it predicts.
        """
        check_is_fitted(self)
        if X is None or y is None:
            return self.training_r2_
        predicted = self.predict(X)
        return _r2(column(y, len(predicted)), predicted)


def _r2(targets: Floats, predicted: Floats) -> float | None:
    spread = float(((targets - targets.mean()) ** 2).sum())
    if spread <= 1e-12 * max(float((targets**2).sum()), 1e-300):
        return None
    return 1.0 - float(((targets - predicted) ** 2).sum()) / spread


class LinearPredictor(_LeastSquares):
    """A straight line (a plane for several features) by ordinary least squares.

    Learned: ``intercept_``, ``slope_`` (first feature), ``coefficients_`` (intercept, then one a feature).

    >>> line = LinearPredictor().fit([1, 2, 4, 8], [45, 80, 150, 280])
    >>> round(line.slope_, 6), round(line.intercept_, 6)
    (33.521739, 13.043478)
    """

    @property
    def slope_(self) -> float:
        """Change of the target per unit of the first feature."""
        check_is_fitted(self)
        return float(self.coefficients_[1])


class PolynomialPredictor(_LeastSquares):
    """A polynomial with all cross terms by ordinary least squares.

    Parameters
    ----------
    degree
        1 to 4; default 2.

    Learned: ``coefficients_`` by rising degree: 1, x, x^2 for one feature.

    >>> curve = PolynomialPredictor().fit([1, 2, 3, 4, 6, 8, 12], [45, 80, 110, 150, 210, 280, 380])
    >>> [round(float(c), 6) for c in curve.coefficients_]
    [5.168105, 38.185387, -0.568798]
    """

    def __init__(self, degree: int = 2) -> None:
        self.degree = degree

    def _degree(self) -> int:
        if self.degree not in (1, 2, 3, 4):
            raise InputError(f"expected 1 to 4, got {self.degree!r}", subject="degree")
        return self.degree


class _Constant(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """The mean, where the samples carry nothing more."""

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        self.mean_ = float(np.asarray(y, dtype=float).mean())
        return self

    def predict(self, X: ArrayLike) -> Floats:  # noqa: N803
        return np.full(len(matrix(X)), self.mean_)


class PowerPredictor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Mean watts by number of concurrent streams.

    The curve is the simplest that the samples carry: with one stream count the mean, with two to four a
    line, with more a parabola where it predicts a stream count that was left out better than the line does.

    Learned: ``kind_`` ("constant", "linear" or "polynomial"), ``model_``, ``streams_seen_`` (lowest,
    highest), ``note_`` (what the samples did not carry, else empty).

    >>> power = PowerPredictor().fit([1, 2, 4, 8], [45, 80, 150, 280])
    >>> power.kind_, round(float(power.predict([6])[0]), 2)
    ('linear', 214.17)
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Fit on stream counts (shape (n,) or (n, 1)) and mean watts (shape (n,)).

        Raises
        ------
        NotEnoughDataError
            There is no sample.
        TableError
            A value is missing, negative or not finite.
        """
        streams = matrix(X)
        if not len(streams):
            raise NotEnoughDataError("PowerPredictor needs at least one measured stream count, got none")
        watts = column(y, len(streams))
        if streams.shape[1] != 1 or (streams < 0).any() or (watts < 0).any():
            raise TableError("expected one column of stream counts and watts, none negative", subject="X, y")
        counts = np.unique(streams)
        self.streams_seen_ = (float(counts[0]), float(counts[-1]))
        self.kind_, self.note_ = self._choose(streams, watts, counts)
        self.n_features_in_ = 1
        self.model_ = _curve(self.kind_).fit(streams, watts)
        self.training_r2_ = _r2(watts, self.predict(streams))
        return self

    def _choose(self, streams: Floats, watts: Floats, counts: Floats) -> tuple[str, str]:
        if len(counts) == 1:
            return "constant", f"only {counts[0]:g} streams were measured: no slope is known"
        if len(counts) < _COUNTS_FOR_A_PARABOLA:
            return "linear", f"only {len(counts)} stream counts were measured: a line is all they carry"
        errors = {kind: _left_out_error(kind, streams, watts, counts) for kind in ("linear", "polynomial")}
        return min(errors, key=lambda kind: errors[kind]), ""

    def fit_scenarios(self, scenarios: Iterable[Scenario | Mapping[str, object]]) -> Self:
        """Fit on finished scenarios, or mappings as result files hold them.

        A baseline counts as no streams, those without power are left out.
        """
        rows = [
            (0 if s.type == "baseline" else stream_count(s), watts)
            for s in map(as_scenario, scenarios)
            if s.status == "ok" and (watts := mean_watts(s)) is not None
        ]
        return self.fit([row[0] for row in rows], [row[1] for row in rows])

    def predict(self, X: ArrayLike) -> Floats:  # noqa: N803
        """Mean watts, shape (n,); never below 0."""
        check_is_fitted(self)
        return cast(Floats, np.maximum(self.model_.predict(matrix(X, 1)), 0.0))

    def r2_score(self, X: ArrayLike | None = None, y: ArrayLike | None = None) -> float | None:  # noqa: N803
        """Share of variance explained on these rows, of the training rows without arguments.

        None where the watts are constant.
        """
        check_is_fitted(self)
        if X is None or y is None:
            return self.training_r2_
        predicted = self.predict(X)
        return _r2(column(y, len(predicted)), predicted)


def _curve(kind: str) -> Any:
    return {"constant": _Constant, "linear": LinearPredictor, "polynomial": PolynomialPredictor}[kind]()


def _left_out_error(kind: str, streams: Floats, watts: Floats, counts: Floats) -> float:
    """Mean absolute error over stream counts, each predicted from the others."""
    errors = []
    for count in counts:
        held = streams[:, 0] == count
        model = _curve(kind).fit(streams[~held], watts[~held])
        errors.append(float(np.abs(model.predict(streams[held]) - watts[held]).mean()))
    return float(np.mean(errors))
