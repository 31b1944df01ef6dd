"""Least squares by one explanation: straight line, parabola, and watts by number of streams.

The estimators follow scikit-learn's contract: ``fit``, ``predict``, ``score``, ``get_params``; its own errors
(all of them a ValueError) for what is missing, not finite or of another shape; columns matched by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, PolynomialFeatures
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, check_non_negative, column_or_1d, validate_data

from advisor.errors import InputError, NotEnoughDataError, TableError
from advisor.results import Scenario, as_scenario
from advisor.results.derived import mean_watts
from advisor.results.records import stream_count

Floats = NDArray[np.float64]
_COUNTS_FOR_A_PARABOLA = 5
"""One is held out at a time; through the three that a parabola takes no error is left to see."""


def one_feature(x: Any) -> Any:
    """``x``, but a flat list as a table of one column; flat arrays stay, for scikit-learn to refuse."""
    return np.reshape(x, (-1, 1)) if isinstance(x, (list, tuple, range)) and np.ndim(x) == 1 else x


class _WithTrainingR2(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    def r2_score(self, X: ArrayLike | None = None, y: ArrayLike | None = None) -> float | None:  # noqa: N803
        """Share of the targets' variance that is explained; of the training rows without arguments.

        None where the targets are constant: there is no variance to explain. On training rows it says how
        well the curve bends, not how well it predicts.
        """
        check_is_fitted(self)
        if X is None or y is None:
            return cast("float | None", self.training_r2_)
        return _r2(column_or_1d(y), self.predict(X))


def _r2(targets: Floats, predicted: Floats) -> float | None:
    if len(targets) < 2 or np.ptp(targets) <= 1e-6 * np.abs(targets).max():
        return None
    return float(r2_score(targets, predicted))


class _LeastSquares(_WithTrainingR2):
    """Ordinary least squares over monomials of the features, up to a degree."""

    degree = 1

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803 - scikit-learn's name
        """Fit by least squares.

        If the samples do not determine all terms (``rank_``), the smallest coefficients that fit are used, as
        in scikit-learn.

        Parameters
        ----------
        X
            Shape (n, k), finite; a flat list is one feature.
        y
            Shape (n,), finite.

        Raises
        ------
        NotEnoughDataError
            There are too few different samples for this degree.
        ValueError
            A value is missing, not a number or not finite.
        """
        degree = self.degree
        if degree not in (1, 2, 3, 4):
            raise InputError(f"expected 1 to 4, got {degree!r}", subject="degree")
        x, targets = validate_data(
            self, one_feature(X), y, dtype=np.float64, y_numeric=True, ensure_min_samples=0
        )
        targets = targets.astype(np.float64)
        if (distinct := len(np.unique(x, axis=0))) <= degree:
            raise NotEnoughDataError(
                f"{type(self).__name__} needs at least {degree + 1} different samples, got {distinct} "
                f"(n_samples={len(x)})"
            )
        # columns of one size keep the squares of large features from drowning the constant
        terms = PolynomialFeatures(degree, include_bias=False)
        self._model = make_pipeline(MaxAbsScaler(), terms, LinearRegression()).fit(x, targets)
        scale, line = self._model[0].scale_, self._model[-1]
        slopes = line.coef_ / np.prod(scale**terms.powers_, axis=1)
        self.coefficients_: Floats = np.array([line.intercept_, *slopes])
        self.intercept_ = float(line.intercept_)
        self.rank_ = line.rank_ + 1
        self.training_r2_ = _r2(targets, self._model.predict(x))
        return self

    def predict(self, X: ArrayLike) -> Floats:  # noqa: N803
        """Values of the fitted curve, shape (n,).

        Raises
        ------
        ValueError
            A value is not finite, or the features differ from those fitted.
        """
        check_is_fitted(self)
        x = validate_data(self, one_feature(X), dtype=np.float64, reset=False)
        return np.asarray(self._model.predict(x))

    @property
    def coef_(self) -> Floats:
        """The coefficients without the intercept, under scikit-learn's name."""
        check_is_fitted(self)
        return self.coefficients_[1:]


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


_CURVES = {"constant": DummyRegressor, "linear": LinearPredictor, "polynomial": PolynomialPredictor}


class PowerPredictor(_WithTrainingR2):
    """Mean watts by number of concurrent streams.

    The curve is the simplest that the samples carry: with one stream count the mean, with two to four a
    line, with more a parabola where it predicts a stream count that was left out better than the line does.

    Learned: ``kind_`` ("constant", "linear" or "polynomial"), ``model_``, ``streams_seen_`` (lowest,
    highest), ``note_`` (what the samples did not carry, else empty).

    >>> power = PowerPredictor().fit([1, 2, 4, 8], [45, 80, 150, 280])
    >>> power.kind_, round(float(power.predict([6])[0]), 2)
    ('linear', 214.17)
    """

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = tags.target_tags.positive_only = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Fit on stream counts and mean watts (shape (n,)).

        Counts are a flat list or one column; several columns are counts of several kinds of streams.

        Raises
        ------
        NotEnoughDataError
            There is no sample.
        ValueError
            A value is missing, negative or not finite.
        """
        streams, watts = validate_data(
            self,
            one_feature(X),
            y,
            dtype=np.float64,
            y_numeric=True,
            ensure_min_samples=0,
        )
        if not len(streams):
            raise NotEnoughDataError(
                "PowerPredictor needs at least one measured stream count, got none: 0 sample(s)"
            )
        check_non_negative(streams, "PowerPredictor")
        if (watts < 0).any():
            raise TableError("expected watts, none negative", subject="y")
        counts, codes = np.unique(streams, axis=0, return_inverse=True)
        self.streams_seen_ = (float(counts.min()), float(counts.max()))
        self.kind_, self.note_ = "linear", ""
        if len(counts) == 1:
            self.kind_ = "constant"
            self.note_ = (
                f"only {', '.join(f'{n:g}' for n in counts[0])} streams were measured: no slope can be fitted"
            )
        elif len(counts) < _COUNTS_FOR_A_PARABOLA:
            self.note_ = f"only {len(counts)} stream counts were measured: only a line can be fitted"
        else:
            by_degree = GridSearchCV(
                PolynomialPredictor(),
                {"degree": [1, 2]},
                scoring="neg_mean_absolute_error",
                cv=LeaveOneGroupOut(),
            ).fit(streams, watts, groups=codes.ravel())
            self.kind_ = "linear" if by_degree.best_params_["degree"] == 1 else "polynomial"
        self.model_ = _CURVES[self.kind_]().fit(streams, watts)
        self.training_r2_ = _r2(watts, np.maximum(self.model_.predict(streams), 0.0))
        return self

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
        streams = validate_data(self, one_feature(X), dtype=np.float64, reset=False)
        return cast(Floats, np.maximum(self.model_.predict(streams), 0.0))
