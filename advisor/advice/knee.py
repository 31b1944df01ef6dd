"""The knee of a front: where a little more quality begins to cost much more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def knees_of(values: Floats, qualities: Floats) -> NDArray[np.int64]:
    """Of each front the point that is farthest above the chord of its ends; -1 where it has none.

    Both axes are scaled to the front's range, objectives as logarithms, so that ratios count; as they are
    where one of them is not positive. A front of fewer than three points has no knee, nor has one whose ends
    do not rise in both.

    Parameters
    ----------
    values
        Objectives of fronts, cheapest first, shape (fronts, points).
    qualities
        The same for all, shape (points,).
    """
    if len(qualities) < 3:
        return np.full(len(values), -1)
    costs = np.log(values) if (values > 0).all() else values
    spans, reach = costs[:, -1:] - costs[:, :1], qualities[-1] - qualities[0]
    rises = (spans > 0) & (reach > 0)
    heights = (qualities - qualities[0]) / max(reach, 1e-12) - (costs - costs[:, :1]) / np.where(
        rises, spans, 1
    )
    return np.where(rises[:, 0] & (heights.max(axis=1) > 0), heights.argmax(axis=1), -1)
