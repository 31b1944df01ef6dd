"""Which part of the reference's picture an output shows: told from the thumbnails of both.

A picture that was cut and stretched lies beside its reference everywhere, by more towards its edges. The part
is found by Gauss and Newton's steps (Lucas and Kanade, 1981): what is left of the error is laid out on what
moving each edge would change. A right output may be darker, blurred, or lag behind a camera that moves: what
these explain speaks for no other part.
"""

from __future__ import annotations

import numpy as np

from advisor.quality.alignment import Fit
from advisor.quality.pictures import shares

_FRAMES, _STEPS = 40, 12
_INNER = slice(2, -2)
"""Of a side: beside its ends lies what nobody has seen."""
_FARTHEST = 0.3
"""Of the picture: edges that are further off are not found."""
_NEAR = 0.0005
"""Of the picture: a step of less is the last."""
_OFF, _EXPLAINED = 0.004, 0.5
"""An edge is elsewhere from this share of the picture on, where that leaves less than this share of the
error. Of right pairs the starved ones were seen to keep 0.64 and more, those that lag 0.62 at 0.0034; of
pictures that lie two lines of 270 beside, 0.26."""


def part_shown(pairs: Fit) -> np.ndarray | None:
    """The part of the reference that the output of ``pairs`` shows; None for all of it, or none.

    It is the part's left, top, right and bottom edge, as shares of the reference's sides: below 0 and above 1
    outside of it.
    """
    count = len(pairs.shown)
    chosen = np.unique(np.linspace(0, count - 1, min(count, _FRAMES)).astype(int))
    partners, shown = pairs.partners[chosen], pairs.shown[chosen].astype(np.float32)
    beside = (np.clip(partners + by, 0, len(pairs.reference) - 1) for by in (0, 1, -1))
    pictures = [pairs.reference[places].astype(np.float32) for places in beside]
    edges = whole = np.array([0.0, 0.0, 1.0, 1.0])
    tried: list[tuple[float, np.ndarray]] = []
    moves = whole
    while len(tried) < _STEPS and np.max(np.abs(edges - whole)) < _FARTHEST and np.any(np.abs(moves) > _NEAR):
        error, moves = _left(shown, [_cut(one, edges) for one in pictures], edges)
        tried.append((error, edges))
        edges = edges + moves
    here, (there, edges) = tried[0][0], min(tried, key=lambda one: one[0])
    if shares(there, here) > _EXPLAINED or np.max(np.abs(edges - whole)) < _OFF:
        return None
    return edges


def _left(shown: np.ndarray, taken: list[np.ndarray], edges: np.ndarray) -> tuple[float, np.ndarray]:
    """The error that light, time and blur leave inside ``edges``, and how far to move these to leave less.

    ``taken`` are the partners' pictures, those after and those before.
    """
    partner, after, before = taken
    side = partner.shape[1]
    down, across = np.gradient(partner, axis=(1, 2))
    far = (np.arange(side) + 0.5) / side
    width, height = (edges[2:] - edges[:2]) / side
    changes = (
        *(across / width * (1 - far), down / height * (1 - far)[:, None]),
        *(across / width * far, down / height * far[:, None]),
        *(np.ones_like(partner), partner, after - partner, before - partner),
        *(np.gradient(across, axis=2), np.gradient(down, axis=1)),
    )
    matrix = np.stack([one[:, _INNER, _INNER].ravel() for one in changes])
    apart = (shown - partner)[:, _INNER, _INNER].ravel()
    products, told = matrix @ matrix.T, matrix @ apart
    moves = np.linalg.lstsq(products, told, rcond=None)[0][:4]
    # what all but moving edges explains
    parts = np.linalg.lstsq(products[4:, 4:], told[4:], rcond=None)[0]
    return float(np.mean(np.square(apart - parts @ matrix[4:]))), moves


def _cut(pictures: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """``pictures`` inside ``edges``, at their own size."""
    side = pictures.shape[1]
    inside = np.linspace(edges[:2], edges[2:], 2 * side + 1)[1::2]  # the middles of the samples
    places = np.clip(side * inside.T - 0.5, 0, side - 1)
    across, down = np.maximum(0, 1 - np.abs(places[:, :, None] - np.arange(side))).astype(np.float32)
    cut: np.ndarray = down @ pictures @ across.T
    return cut
