"""Which part of the reference's picture an output shows: told from the thumbnails of both.

A picture that was cut and stretched lies beside its reference everywhere, by more towards its edges. The part
is found by Gauss and Newton's steps (Lucas and Kanade, 1981): what is left of the error is laid out on what
moving each edge would change.
"""

from __future__ import annotations

import numpy as np

from advisor.quality.pictures import shares

_FRAMES, _STEPS = 40, 12
_INNER = slice(2, -2)
"""Of a side: beside its ends lies what nobody has seen."""
_FARTHEST = 0.3
"""Of the picture: edges that are further off are not found."""
_OFF, _EXPLAINED = 0.004, 0.6
"""An edge is elsewhere from this share of the picture on, where that leaves less than this share of the
error. Right pairs, starved and small ones among them, were seen at 0.0012 and 0.92; two lines of 270 at
0.0071 and 0.41."""


def part_shown(reference: np.ndarray, shown: np.ndarray) -> np.ndarray | None:
    """The part of ``reference`` that ``shown`` shows; None for all of it, or none.

    Both are thumbnails that belong together, uint8 of shape (frames, lines, columns). The part is its left,
    top, right and bottom edge, as shares of the reference's sides: below 0 and above 1 outside of it.
    """
    chosen = np.unique(np.linspace(0, len(shown) - 1, min(len(shown), _FRAMES)).astype(int))
    reference, shown = reference[chosen].astype(np.float32), shown[chosen].astype(np.float32)
    edges = whole = np.array([0.0, 0.0, 1.0, 1.0])
    tried: list[tuple[float, np.ndarray]] = []
    while len(tried) < _STEPS and np.max(np.abs(edges - whole)) < _FARTHEST:
        taken = _cut(reference, edges)
        apart = (shown - taken)[:, _INNER, _INNER]
        tried.append((float(np.mean(np.square(apart))), edges))
        edges = edges + _moved(taken, edges, apart)
    here, (there, edges) = tried[0][0], min(tried, key=lambda one: one[0])
    if shares(there, here) > _EXPLAINED or np.max(np.abs(edges - whole)) < _OFF:
        return None
    return edges


def _moved(taken: np.ndarray, edges: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """How far the edges have to be moved, beside a change of the light, to leave the least of ``apart``."""
    side = taken.shape[1]
    down, across = np.gradient(taken, axis=(1, 2))
    across, down = across * side / (edges[2] - edges[0]), down * side / (edges[3] - edges[1])
    far = (np.arange(side) + 0.5) / side
    changes = (
        *(across * (1 - far), down * (1 - far)[:, None], across * far, down * far[:, None]),
        *(np.ones_like(taken), taken),
    )
    matrix = np.stack([one[:, _INNER, _INNER].ravel() for one in changes])
    moves: np.ndarray = np.linalg.lstsq(matrix @ matrix.T, matrix @ apart.ravel(), rcond=None)[0]
    return moves[:4]


def _cut(pictures: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """``pictures`` inside ``edges``, at their own size."""
    side = pictures.shape[1]
    inside = np.linspace(edges[:2], edges[2:], 2 * side + 1)[1::2]  # the middles of the samples
    places = np.clip(side * inside.T - 0.5, 0, side - 1)
    across, down = np.maximum(0, 1 - np.abs(places[:, :, None] - np.arange(side))).astype(np.float32)
    cut: np.ndarray = down @ pictures @ across.T
    return cut
