"""The knee of a front: where a little more quality begins to cost much more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from advisor.advice.configuration import Option

Floats = NDArray[np.float64]


def knee_of(front: Sequence[Option], values: Sequence[float]) -> Option | None:
    """Where more quality begins to cost more than it did: farthest above the chord of the front's ends.

    Both axes are scaled to the front's range. None for fewer than three points.
    """
    scored = [(o, value) for o, value in zip(front, values, strict=True) if o.vmaf is not None]
    if len(scored) < 3:
        return None
    qualities = np.array([o.vmaf for o, _ in scored], dtype=float)
    heights = heights_above_chord(scaled(np.array([[value for _, value in scored]])), qualities)[0]
    best = int(heights.argmax())
    return scored[best][0] if heights[best] > 0 else None


def scaled(values: Floats) -> Floats:
    """Objectives as logarithms, so that ratios count; as they are where one of them is not positive."""
    return np.log(values) if (values > 0).all() else values


def heights_above_chord(costs: Floats, qualities: Floats) -> Floats:
    """How far each point is above the chord of its front's ends, shape of ``costs`` (fronts, points).

    0 throughout where the ends do not rise in both.
    """
    spans, reach = costs[:, -1:] - costs[:, :1], qualities[-1] - qualities[0]
    rises = (spans > 0) & (reach > 0)
    heights = (qualities - qualities[0]) / max(reach, 1e-12)
    heights = heights - (costs - costs[:, :1]) / np.where(rises, spans, 1.0)
    return np.where(rises, heights, 0.0)
