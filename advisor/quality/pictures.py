"""How far pictures are apart: thumbnails, uint8 of shape (frames, lines, columns)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

FLOOR = 0.5
"""A mean squared error of thumbnails that is as good as none: their samples are rounded."""
_LEVELS_FRAMES = 500
"""At most about so many are looked at for their levels."""
_COARSE = 12
"""Side of the pictures that places are looked for with."""
_MOST_PICTURES = 600
"""So many of them are enough."""
_FEW_APART, _FEW_SHARE = 8.0, 0.04
"""A mean squared error, and a share of the variance beside it, of the right place of a passable encode."""


def errors(reference: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Mean squared errors of pictures, one by one, or of many with one; of shape (frames, lines, columns)."""
    reference, output = np.broadcast_arrays(reference, output)
    step = 2000  # bounds the memory
    parts = [
        np.mean(
            np.square(reference[at : at + step].astype(np.float32) - output[at : at + step]),
            axis=(1, 2),
            dtype=np.float64,
        )
        for at in range(0, len(output), step)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def _variances(pictures: np.ndarray) -> np.ndarray:
    variances: np.ndarray = pictures.var(axis=(1, 2), dtype=np.float32)
    return variances


def shares(there: Any, here: Any) -> Any:
    """What another place leaves of the errors; 1 where both are next to nothing."""
    return (there + FLOOR) / (here + FLOOR)


def errors_by_shift(
    reference: np.ndarray, pictures: np.ndarray, places: np.ndarray, reach: int
) -> dict[int, float]:
    """Mean squared errors where all places in the reference are moved: by 0, and by what fits best.

    Infinite where few pictures are left, unless these fit well: those that move little fit by chance, and
    backwards too.
    """
    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(len(pictures), _MOST_PICTURES)).astype(int))
    pictures, places = pictures[chosen], places[chosen]
    begin = max(0, int(places[0]) - reach)
    near = reference[begin : int(places[-1]) + reach + 1]
    most = _FEW_APART + _FEW_SHARE * float(np.mean(_variances(pictures)))

    def error(theirs: np.ndarray, ours: np.ndarray, shift: int) -> float:
        there = places - begin + shift
        inside = (there >= 0) & (there < len(theirs))
        count = np.count_nonzero(inside)
        if count < max(6, len(places) / 4):
            return math.inf
        apart = float(np.mean(np.square(theirs[there[inside]] - ours[inside], dtype=np.float32)))
        return apart if count > len(places) / 2 or apart < most else math.inf

    coarse, ours = _coarse(near), _coarse(pictures)
    rough = {shift: error(coarse, ours, shift) for shift in range(-reach, reach + 1)}
    best = sorted(rough, key=rough.__getitem__)[:8]
    near, pictures = near.astype(np.float32), pictures.astype(np.float32)
    return {n: error(near, pictures, n) for n in {0, *(shift + k for shift in best for k in range(-3, 4))}}


def _coarse(pictures: np.ndarray) -> np.ndarray:
    frames, lines, columns = pictures.shape
    blocks = pictures.reshape(frames, _COARSE, lines // _COARSE, _COARSE, columns // _COARSE)
    coarse: np.ndarray = blocks.mean(axis=(2, 4), dtype=np.float32)
    return coarse.reshape(frames, -1)


def are_limited(pictures: np.ndarray, full: np.ndarray) -> bool:
    """Whether ``pictures``, whose file says no range, are of limited range, beside others of ``full`` range.

    Their thumbnails were made as ffmpeg takes them, limited. So they have the levels of the others where they
    are, and darker blacks and brighter whites where they are not.
    """
    levels, others = (
        np.percentile(some[:: 1 + len(some) // _LEVELS_FRAMES], np.arange(101)) for some in (pictures, full)
    )
    as_full = np.clip((others - 16) * 255 / 219, 0, 255)
    apart, apart_as_full = (float(np.mean(np.square(levels - one))) for one in (others, as_full))
    return apart + FLOOR < 0.5 * (apart_as_full + FLOOR)
