"""The table that models see: encoded cases, and how long each is expected to take.

A run that lasts a second never settles: processors ramp up, a meter averages over what was before. How far a
run is from settled depends on its wall time, which is not known beforehand but can be expected from the
speed of others. The expectation is a small model of its own, learned first.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from advisor.regression.features import Case, Encoding
from advisor.regression.validation import fit, fold_numbers

__all__ = ["Design", "learn_design"]

Floats = NDArray[np.float64]
_FEWEST_ROWS = 60
_MOST_COLUMNS = 40
_MOST_ROWS = 5000
_FOLDS = 5
_SPEED = "encode_speed_ratio"
_LENGTH = "log_video_seconds"


class Design(Struct, kw_only=True):
    """How cases become rows; ``pace`` predicts the logarithm of the encode speed, None if none tells it."""

    encoding: Encoding
    pace: Any = None

    def matrix(self, cases: Sequence[Case], *, hardware: str | None = None) -> Floats:
        """Rows for models; ``hardware`` puts all cases on one known machine."""
        encoded = self.encoding.matrix(cases, hardware=hardware)
        if self.pace is None or not len(encoded):
            return encoded
        low = self.encoding.low[_LENGTH]
        shorter = np.array([min(c.numbers.get(_LENGTH, low) - low, 0.0) for c in cases])
        return _with_wall(self.encoding, encoded, self.pace.predict(encoded), shorter)


def learn_design(
    cases: Sequence[Case], groups: Sequence[Hashable], encoding: Encoding, seed: int
) -> tuple[Design, Floats]:
    """The design, and the rows of ``cases`` with each group's pace as told by the other groups."""
    encoded = encoding.matrix(cases)
    told = [i for i, c in enumerate(cases) if _SPEED in c.targets]
    some = np.array(told[:: -(-len(told) // _MOST_ROWS) or 1], dtype=np.int64)
    numbers = fold_numbers(groups, _FOLDS, seed)
    if (
        len(some) < _FEWEST_ROWS
        or _LENGTH not in encoding.numeric
        or len(np.unique(numbers[some])) < _FOLDS
        or encoded.shape[1] > _MOST_COLUMNS
    ):
        return Design(encoding=encoding), encoded
    model = make_pipeline(
        StandardScaler(),
        PolynomialFeatures(2, include_bias=False),
        StandardScaler(),
        RidgeCV(tuple(np.logspace(-3, 3, 13))),
    )
    x, y = encoded[some], np.log([cases[i].targets[_SPEED] for i in some])
    weights = np.array([cases[i].weight for i in some])
    pace = np.empty(len(cases))
    for fold in np.unique(numbers):
        train = numbers[some] != fold
        part = fit(model, x[train], y[train], weights[train])
        pace[numbers == fold] = part.predict(encoded[numbers == fold])
    return Design(encoding=encoding, pace=fit(model, x, y, weights)), _with_wall(encoding, encoded, pace)


def _with_wall(
    encoding: Encoding, encoded: Floats, log_speed: Floats, shorter: Floats | float = 0.0
) -> Floats:
    """Two columns more: the logarithm of the expected wall seconds, and one over them.

    ``shorter`` (0 or less) is by how much a video is shorter than any that was seen. A run of it settles less
    still: one over the seconds goes on, within bounds, where the other columns stay at the edge.
    """
    wall = encoded[:, encoding.numeric.index(_LENGTH)] - log_speed
    return np.column_stack([encoded, wall, np.exp(np.clip(-wall - shorter, -20.0, 3.0))])
