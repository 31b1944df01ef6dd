"""How far pictures are apart: thumbnails, uint8 of shape (frames, lines, columns)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

FLOOR = 0.5
"""A mean squared error of thumbnails that is as good as none: their samples are rounded."""
_LEVELS_FRAMES = 500
"""At most about so many are looked at for their levels."""
_BLOCK = 4
"""Samples of a thumbnail's side that are one of the pictures that places are looked for with."""
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


def shares(there: Any, here: Any) -> Any:
    """What another place leaves of the errors; 1 where both are next to nothing."""
    return (there + FLOOR) / (here + FLOOR)


def errors_by_shift(
    reference: np.ndarray, pictures: np.ndarray, places: np.ndarray, reach: int, within: float
) -> dict[int, float]:
    """Mean squared errors where all places in the reference are moved: by 0, and by what fits best.

    Without places where a smaller share than ``within`` lies in the reference then; infinite where less than
    half does, unless these fit well: few pictures that move little fit by chance, and backwards too.
    """
    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(len(pictures), _MOST_PICTURES)).astype(int))
    pictures, places = pictures[chosen], places[chosen]
    begin = max(0, int(places[0]) - reach)
    near = reference[begin : int(places[-1]) + reach + 1]
    most = _FEW_APART + _FEW_SHARE * float(np.mean(pictures.var(axis=(1, 2), dtype=np.float32)))

    def by_shift(apart: Callable[[np.ndarray, np.ndarray], np.ndarray], shifts: np.ndarray) -> np.ndarray:
        there = places - begin + shifts[:, None]
        inside = (there >= 0) & (there < len(near))
        values, count = np.zeros(there.shape), np.sum(inside, axis=1)
        values[inside] = apart(there[inside], np.nonzero(inside)[1])
        means = np.sum(values, axis=1) / np.maximum(count, 1)
        means[(count <= len(places) / 2) & (means >= most)] = math.inf
        return np.where(count < max(min(6, len(places)), within * len(places)), math.nan, means)

    theirs, ours = _coarse(near), _coarse(pictures)
    # |a - b|^2 of all by all at once
    squares = [np.mean(np.square(one), axis=1) for one in (theirs, ours)]
    coarsely = squares[0][:, None] + squares[1] - 2 / ours.shape[1] * (theirs @ ours.T)
    shifts = np.arange(-reach, reach + 1)
    best = shifts[np.argsort(by_shift(lambda *where: coarsely[where], shifts))[:8]]
    around = np.unique([0, *(shift + k for shift in best for k in range(-2, 3))])
    fine = by_shift(lambda there, here: errors(near[there], pictures[here]), around)
    pairs = zip(around.tolist(), fine.tolist(), strict=True)
    return {shift: error for shift, error in pairs if not math.isnan(error)}


def _coarse(pictures: np.ndarray) -> np.ndarray:
    """Means of square blocks, of shape (frames, blocks)."""
    rows = pictures[:, ::_BLOCK].astype(np.float32)
    for n in range(1, _BLOCK):
        rows += pictures[:, n::_BLOCK]
    blocks = sum((rows[:, :, n::_BLOCK] for n in range(1, _BLOCK)), start=rows[:, :, ::_BLOCK])
    return blocks.reshape(len(pictures), -1) / _BLOCK**2


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
