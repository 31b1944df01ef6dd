"""What the thumbnails of two videos say of a pairing: which rule made it, and where the output begins."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from advisor.quality.pairing import Pairing

_CLEARLY = {"later": 0.97, "earlier": 0.8}
"""With less than this share of its error, where they differ, a rule takes the place of one before it. Coders
that are starved of bits lag, so a rule that pairs with earlier frames has to be better by more."""
_TELLING_SHARE = 0.1
"""Of the mean difference of two errors: what moves less does not tell two rules apart."""
_FLOOR = 0.5
"""A mean squared error of thumbnails that is as good as none."""
_FEW = 0.02
"""Of the frames: with fewer that differ two rules come to the same score."""
_ALIKE = 1.0
"""A mean squared error between frames that may stand for each other."""
_SURE = 1.0
"""Standard errors by which the rule in use has to fit better than another."""
_BESIDE = {-1: 1.02, 1: 1.06}
"""With less than this share of its error at the frame before or behind, a place cannot be told from that one.
Coders that are starved of bits lag, so the frame behind has to be worse by more."""
_FEW_APART, _FEW_SHARE = 8.0, 0.04
"""A mean squared error, and a share of the variance beside it, of the right place of a passable encode."""
_LEVELS_FRAMES = 500
"""At most about so many are looked at for their levels."""
_COARSE = 12
"""Side of the pictures that offsets are looked for with."""


def errors(reference: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Mean squared errors of pictures, one by one, or of many with one; of shape (frames, lines, columns)."""
    step = 2000  # bounds the memory
    if len(output) == 1:
        output = np.broadcast_to(output, reference.shape)
    parts = [
        np.mean(
            np.square(reference[at : at + step].astype(np.float32) - output[at : at + step]),
            axis=(1, 2),
            dtype=np.float64,
        )
        for at in range(0, len(output), step)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


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
    return apart + _FLOOR < 0.5 * (apart_as_full + _FLOOR)


def pair_by_pictures(pairings: Sequence[Pairing], reference: np.ndarray, output: np.ndarray) -> Pairing:
    """The first of ``pairings``, or a later one whose pictures fit clearly better where the two differ."""
    best, *others = pairings
    for other in others:
        frames, ours, theirs = _differing(best, other)
        if not len(frames):
            if _goes_on(best, other, reference, output):
                best = other
            continue
        shown = output[frames]
        mine, its = errors(reference[ours], shown), errors(reference[theirs], shown)
        apart = mine - its
        telling = np.abs(apart) > _TELLING_SHARE * np.mean(np.abs(apart))
        better, worse = np.sum(telling & (apart > 0)), np.sum(telling & (apart < 0))
        side = "later" if np.sum(theirs) > np.sum(ours) else "earlier"
        clear = np.sum(its) + _FLOOR < _CLEARLY[side] * (np.sum(mine) + _FLOOR)
        if clear and better > 2 * worse:
            best = other
    return best


def undecided(
    chosen: Pairing, pairings: Sequence[Pairing], reference: np.ndarray, output: np.ndarray
) -> bool:
    """Whether another rule chooses other frames than ``chosen``, and the output does not tell which."""
    for other in pairings:
        frames, ours, theirs = _differing(chosen, other)
        if len(frames) < max(2, _FEW * min(len(chosen.partners), len(other.partners))):
            continue
        mine, its = reference[ours], reference[theirs]
        if np.mean(errors(mine, its)) < _ALIKE:
            continue
        shown = output[frames]
        better = errors(its, shown) - errors(mine, shown)
        spread = float(np.std(better)) / math.sqrt(len(better)) + 1e-9
        if float(np.mean(better)) < _SURE * spread:
            return True
    return False


def _differing(one: Pairing, other: Pairing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The output's frames that both pair, and differently; and their partners in the two."""
    begin = max(one.first, other.first)
    end = min(one.first + len(one.partners), other.first + len(other.partners))
    ours = one.partners[begin - one.first : end - one.first]
    theirs = other.partners[begin - other.first : end - other.first]
    places = np.flatnonzero(ours != theirs)
    return begin + places, ours[places], theirs[places]


def _goes_on(best: Pairing, longer: Pairing, reference: np.ndarray, output: np.ndarray) -> bool:
    """Whether the frames that only ``longer`` pairs look like their partners as well."""
    count = len(best.partners)
    if longer.first != best.first or len(longer.partners) <= count:
        return False
    shown = output[best.first : best.first + len(longer.partners)]
    apart = errors(reference[longer.partners], shown)
    return bool(np.mean(apart[count:]) <= 2 * np.mean(apart[:count]) + 4 * _FLOOR)


def shifted_by_pictures(
    reference: np.ndarray, output: np.ndarray, pairing: Pairing, reach: int
) -> tuple[int, bool]:
    """By how many frames of the reference ``pairing`` has to be moved so that the pictures fit best.

    Returns
    -------
    tuple
        The frames, positive where the output begins later in the reference, 0 when no other place fits
        clearly better; and whether the places beside that one fit clearly worse.
    """
    shown = output[pairing.first :]
    # what the output has behind the reference may lie in it all the same
    behind = len(shown) - len(pairing.partners)
    step = (pairing.partners[-1] - pairing.partners[0]) / max(1, len(pairing.partners) - 1)
    further = pairing.partners[-1] + np.round(np.arange(1, behind + 1) * step).astype(np.int64)
    everything = np.concatenate([pairing.partners, further])
    taken = np.unique(np.linspace(0, len(shown) - 1, min(len(shown), 600)).astype(int))
    wanted, partners = shown[taken], everything[taken]
    most_apart = _FEW_APART + _FEW_SHARE * float(np.mean(wanted.var(axis=(1, 2), dtype=np.float32)))

    def fit(small: np.ndarray, those: np.ndarray, shift: int) -> float:
        places = partners + shift
        inside = (places >= 0) & (places < len(small))
        count = np.count_nonzero(inside)
        if count < max(6, len(taken) / 4):
            return math.inf
        apart = float(np.mean(np.square(small[places[inside]] - those[inside], dtype=np.float32)))
        # where few frames meet, pictures that move little fit by chance, and backwards too
        return apart if count > len(taken) / 2 or apart < most_apart else math.inf

    coarse, coarsely = _coarse(reference), _coarse(wanted)
    rough = {shift: fit(coarse, coarsely, shift) for shift in range(-reach, reach + 1)}
    near = {n + k for n in sorted(rough, key=rough.__getitem__)[:8] for k in (-2, -1, 0, 1, 2)} | {0}
    full = reference.astype(np.float32)
    fits = {shift: fit(full, wanted.astype(np.float32), shift) for shift in near}
    best = min(fits, key=fits.__getitem__)
    if math.isinf(fits[best]) or fits[best] + 1 >= 0.6 * (fits[0] + 1):
        return 0, False
    sure = all(
        fit(full, wanted.astype(np.float32), best + k) + _FLOOR > share * (fits[best] + _FLOOR)
        for k, share in _BESIDE.items()
    )
    return best, sure


def _coarse(pictures: np.ndarray) -> np.ndarray:
    frames, lines, columns = pictures.shape
    blocks = pictures.reshape(frames, _COARSE, lines // _COARSE, _COARSE, columns // _COARSE)
    coarse: np.ndarray = blocks.mean(axis=(2, 4), dtype=np.float32)
    return coarse.reshape(frames, -1)
