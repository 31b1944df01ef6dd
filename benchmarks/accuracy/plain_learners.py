"""What three plain learners make of the same cases: a ridge, gradient boosting, the mean of a cell."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from advisor.regression.feature_matrix import FeatureMatrix
from advisor.regression.features import Case

Floats = NDArray[np.float64]


def predictions(train: Sequence[Case], test: Sequence[Case], target: str) -> dict[str, Floats]:
    """By learner: what it predicts of ``test``, all of them trained on the logarithm of the target."""
    matrix = FeatureMatrix.learn(train)
    x, logs = matrix.rows(train), np.log([c.targets[target] for c in train])
    with threadpool_limits(limits=1):
        ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13))).fit(x, logs)
        boosting = HistGradientBoostingRegressor(random_state=0).fit(x, logs)
        rows = matrix.rows(test)
        predicted = {"ridge": ridge.predict(rows), "gradient boosting": boosting.predict(rows)}
    predicted["cell mean"] = _cell_means(train, logs, test)
    return {name: np.exp(log) for name, log in predicted.items()}


def _cell_means(train: Sequence[Case], logs: Floats, test: Sequence[Case]) -> Floats:
    """The mean over training of what has the same settings, whatever the video; else the mean of all."""
    cells: dict[tuple[object, ...], list[float]] = collections.defaultdict(list)
    for c, log in zip(train, logs, strict=True):
        cells[_cell(c)].append(float(log))
    whole: Callable[[Case], list[float]] = lambda c: cells.get(_cell(c)) or [float(logs.mean())]  # noqa: E731
    return np.array([np.mean(whole(c)) for c in test])


def _cell(c: Case) -> tuple[object, ...]:
    settings = (
        (name, round(value, 3))
        for name, value in sorted(c.numbers.items())
        if name != "log_video_seconds" and not name.startswith("content_")
    )
    return (c.hardware, c.encoder, *settings)
