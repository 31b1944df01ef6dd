"""Whether the frames of two videos belong together, told from thumbnails of all of them.

It is told by what another place leaves of the error: beside the partner, in the seconds around, or turned.
However bad an encode is, what it lost has little to do with what comes later. But a coder that is starved of
bits shows what was there before: a place behind has to leave less of the error, and the shorter the stretch,
the less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from msgspec import Struct

from advisor.quality.pairing import Pairing
from advisor.quality.pictures import FLOOR, errors, errors_by_shift, shares

_WINDOW, _PART, _SHORT = 24, 12, 6
"""Frames that are judged together: beside neighbours, elsewhere, and where it stays so to the end."""
_CLEARLY = {
    "ahead of": {_WINDOW: 0.9, _PART: 0.8, _SHORT: 0.65},
    "behind": {_WINDOW: 0.8, _PART: 0.7, _SHORT: 0.65},
}
"""A neighbour that leaves less than this share of the error over so many frames is the true partner. Right
pairings were seen at 0.98 and 0.83 ahead (with subtitles drawn over them), at 0.83 and 0.74 behind."""
_EVERYWHERE = {"ahead of": (0.985, 0.94), "behind": (0.96, 0.9)}
"""So it is where it leaves less than these shares, in every window that tells anything and in one of them."""
_TELLING = 0.03
"""A window tells something where the reference moves by this share of the error."""
_UNLIKE, _UNLIKE_SHARE = 8.0, 0.04
"""An error, and its share of the reference's variance, from which a part may show another moment."""
_UNUSUAL = 2.0
"""So may one that has this many times the error of the others."""
_NOTHING_ALIKE, _NOTHING_SHARE = 60.0, 0.5
"""From these two on it shows nothing of its partner."""
_CORRELATED, _MOST_PIXELS = 0.95, 0.8
"""Yet it is its partner in another light from this correlation on, or with something drawn over it where so
many of its pixels are not unlike."""
_FAR_SHARE, _LEAST_STEP, _FOLLOWS, _NEARER = 0.08, 0.005, 0.3, 0.07
"""Of `_moves_otherwise`: shares of the variance, of the error, of the reference's step, and of that again."""
_BETWEEN = 0.15
"""Of `_is_interpolated`: a share of the error between two pictures."""
_OUT_OF_PLACE = 0.4
"""With less than this share of the error a neighbour is what a single frame shows. Frames of right pairings
were seen at 0.65 and more, and at 0.43 in encodes that are starved of bits."""
_SURE = 1.5
"""With both neighbours this far from the partner's error it is the right one, however bad."""
_LATER, _EARLIER, _BLUR_FRAMES = 0.85, 0.65, 3
"""Another place that leaves less than this share of the error is the true one. Coders lag behind with what
was there before, and frames that are coded together blur into the next ones: there it has to be clearer."""
_AROUND_SECONDS = 30.0
_HELD_FRAMES = 300
_STILL = 1.0
"""A mean squared error between frames of a picture that stands."""
_TURNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "is mirrored": lambda p: p[:, :, ::-1],
    "is upside down": lambda p: p[:, ::-1, :],
    "is turned by 180 degrees": lambda p: p[:, ::-1, ::-1],
    "is turned by 90 degrees": lambda p: np.rot90(p, 1, (1, 2)),
    "is turned by 270 degrees": lambda p: np.rot90(p, 3, (1, 2)),
}


class Verdict(Struct, frozen=True):
    """What the pictures say of a pairing."""

    reason: str | None = None
    """Why the frames do not belong together; None when they do."""
    notes: tuple[str, ...] = ()


class Fit(Struct, frozen=True, eq=False):
    """Pictures that a pairing lays side by side, and how far they are apart; one value a frame."""

    reference: np.ndarray
    shown: np.ndarray
    partners: np.ndarray
    used: np.ndarray
    """Errors against the partner, and against its neighbours."""
    ahead: np.ndarray
    behind: np.ndarray
    steps: np.ndarray
    """Errors between the partner and the frame behind it."""
    variances: np.ndarray
    """Of the partners."""


def fit(reference: np.ndarray, output: np.ndarray, pairing: Pairing) -> Fit:
    """Lay the thumbnails side by side; uint8 of shape (frames, lines, columns)."""
    partners = pairing.partners
    shown = output[pairing.first : pairing.first + len(partners)]
    theirs, following, former = (
        reference[np.clip(partners + by, 0, len(reference) - 1)] for by in (0, 1, -1)
    )
    return Fit(
        reference,
        shown,
        partners,
        used=errors(theirs, shown),
        ahead=errors(following, shown),
        behind=errors(former, shown),
        steps=errors(following, theirs),
        variances=theirs.reshape(len(theirs), -1).var(axis=1, dtype=np.float32),
    )


def judge(pairs: Fit, times: np.ndarray, rate: float) -> Verdict:
    """Judge a pairing.

    Parameters
    ----------
    times
        Of the frames that it pairs, in seconds from the output's first.
    rate
        The reference's frames a second.
    """
    if (reason := _shifted(pairs, times)) is not None:
        return Verdict(reason)
    verdict = _in_doubt(pairs, times, rate)
    if verdict.reason is None and _moves_otherwise(pairs):
        return Verdict("the output shows other moments than the reference has, or is a different video")
    if verdict.reason is None and _is_interpolated(pairs):
        return Verdict("the output has pictures between the reference's: it was interpolated or telecined")
    return verdict if verdict != Verdict() else Verdict(notes=tuple(_out_of_place(pairs, times)))


def doubtful(pairs: Fit) -> bool:
    """Whether a part of the output is so unlike its partners that another pairing should be looked for."""
    usual = float(np.median(pairs.used))
    return (
        bool(np.any(_may_be_elsewhere(pairs, usual)))
        or _shifted(pairs, np.zeros(len(pairs.used))) is not None
    )


def uneven(pairs: Fit) -> bool:
    """Whether a part that may belong elsewhere fits far worse than another, which then fits by chance."""
    used = _means(pairs.used, *_parts(pairs))
    return bool(np.any(_may_be_elsewhere(pairs, math.inf) & (used > _UNUSUAL * (np.min(used) + FLOOR))))


def begins_with_a_still(output: np.ndarray, frames: int) -> bool:
    """Whether the first ``frames`` of an output show one picture, black for instance, and no film."""
    lead = output[:frames]
    # the last of them are coded with what comes behind them in sight
    return bool(np.quantile(errors(lead, lead[:1]), 0.7) < 4 * _STILL)


def _windows(pairs: Fit, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Beginnings and ends of stretches that overlap by half: what begins within one fills another."""
    count = len(pairs.used)
    begins = np.array([*range(0, count - length, length // 2), max(0, count - length)])
    return begins, np.minimum(begins + length, count)


def _parts(pairs: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Beginnings and ends of stretches that follow each other."""
    count = len(pairs.used)
    borders = np.round(np.linspace(0, count, max(1, count // _PART) + 1)).astype(int)
    return borders[:-1], borders[1:]


def _means(values: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    means: np.ndarray = (sums[ends] - sums[begins]) / (ends - begins)
    return means


def _shifted(pairs: Fit, seconds: np.ndarray) -> str | None:
    """Why the pairing is off by a frame or more, None when neither neighbour fits better."""
    for side, beside in (("ahead of", pairs.ahead), ("behind", pairs.behind)):
        begin = _better_from(pairs, beside, side)
        if begin is not None:
            return f"the output is a frame or more {side} the reference (around {seconds[begin]:.1f} s)"
    return None


def _better_from(pairs: Fit, beside: np.ndarray, side: str) -> int | None:
    """The frame from which on a neighbour fits clearly better; None where it does not."""
    windows = begins, _ = _windows(pairs, _WINDOW)
    used, steps = _means(pairs.used, *windows), _means(pairs.steps, *windows)
    left = shares(_means(beside, *windows), used)
    right_until = int(np.max(begins[left >= 1], initial=-1))
    for length, most in _CLEARLY[side].items():
        windows = begins, _ = _windows(pairs, length)
        clear = shares(_means(beside, *windows), _means(pairs.used, *windows)) < most
        if length == _SHORT:
            clear &= begins > right_until
        if np.any(clear):
            return int(begins[np.argmax(clear)])
    left = left[steps > _TELLING * used + FLOOR]
    most, once = _EVERYWHERE[side]
    return 0 if len(left) and np.max(left) < most and np.min(left) < once else None


def _may_be_elsewhere(pairs: Fit, usual: float) -> np.ndarray:
    """Of each part, whether it may show another moment."""
    parts = _parts(pairs)
    used, ahead, behind, variances = (
        _means(one, *parts) for one in (pairs.used, pairs.ahead, pairs.behind, pairs.variances)
    )
    unlike = (used >= _UNLIKE) & ((used >= _UNLIKE_SHARE * (variances + FLOOR)) | (used >= _UNUSUAL * usual))
    doubts: np.ndarray = unlike & (np.minimum(shares(ahead, used), shares(behind, used)) < _SURE)
    return doubts


def _in_doubt(pairs: Fit, seconds: np.ndarray, rate: float) -> Verdict:
    """Try every doubtful part at all places around its own, and then turned."""
    frames = {"is frozen": 0, "is brighter, darker or overlaid": 0}
    begun: dict[str, float] = {}
    doubts = _may_be_elsewhere(pairs, float(np.median(pairs.used)))
    for begin, end in zip(*(borders[doubts] for borders in _parts(pairs)), strict=True):
        part = slice(begin, end)
        variance, where = float(np.mean(pairs.variances[part])), f"(around {seconds[begin]:.1f} s)"
        what = "is frozen"
        if not _stands_still(pairs, part):
            by_shift = errors_by_shift(
                pairs.reference,
                pairs.shown[part],
                pairs.partners[part],
                round(_AROUND_SECONDS * rate),
                within=1,
            )
            shift = min(by_shift, key=by_shift.__getitem__)
            least = _LATER if shift > _BLUR_FRAMES else _EARLIER
            clear = by_shift[shift] + FLOOR < least * (by_shift[0] + FLOOR) and abs(shift) > 1
            if clear and by_shift[shift] < _NOTHING_SHARE * (variance + FLOOR):
                side = "ahead of" if shift > 0 else "behind"
                return Verdict(f"the output is about {abs(shift)} frames {side} the reference {where}")
            if not _shows_nothing_alike(by_shift[0], variance):
                continue
            if not _is_altered(pairs, part):
                return Verdict(_nothing_alike(pairs, part, seconds))
            what = "is brighter, darker or overlaid"
        frames[what] += int(end - begin)
        begun.setdefault(what, float(seconds[begin]))
    return Verdict(
        None,
        tuple(
            f"the output {what} for {frames[what]} frames around {begun[what]:.1f} s"
            for what in frames
            if what in begun
        ),
    )


def _moves_otherwise(pairs: Fit) -> bool:
    """Whether an output that moves is far from the reference, and not at all nearer where it should be.

    What a coder loses has little to do with the next step. So the neighbours' errors are larger than the
    partner's by as much as the neighbours are from the partner. Of that, right pairings were seen to have a
    tenth and more, however starved; other moments of the same scene a ninth and less, mostly nothing.
    """
    error, variance = float(np.mean(pairs.used)), float(np.mean(pairs.variances))
    inner = slice(1, -1)  # the others may lack a neighbour
    step = 2 * float(np.sum(pairs.steps[inner]))
    moves = 2 * float(np.sum(errors(pairs.shown[1:-1], pairs.shown[2:])))
    nearer = float(np.sum(pairs.ahead[inner] + pairs.behind[inner] - 2 * pairs.used[inner]))
    far = error > max(_UNLIKE, _FAR_SHARE * variance)
    tells = step > _LEAST_STEP * error * len(pairs.used) and moves > _FOLLOWS * step
    return far and tells and nearer < _NEARER * step


def _is_interpolated(pairs: Fit) -> bool:
    """Whether an output goes on moving where it should show a picture again.

    Half way between two pictures lies a quarter of the error between them. Where one was held, it was seen to
    differ by a tenth and less, and in encodes that are starved of bits by half of their error.
    """
    again = 1 + np.flatnonzero(np.diff(pairs.partners) == 0)
    if len(again) < _SHORT:
        return False
    moves = np.mean(errors(pairs.shown[again - 1], pairs.shown[again]))
    error = np.mean(np.minimum(pairs.used[again - 1], pairs.used[again]))
    step = np.mean(pairs.steps[again])
    return bool(moves > max(_BETWEEN * step, error) and step > max(error, _UNLIKE))


def _out_of_place(pairs: Fit, seconds: np.ndarray) -> Iterator[str]:
    """Notes on single frames that do not show their partners; many together are no alignment at all."""
    after, before = (shares(beside, pairs.used) < _OUT_OF_PLACE for beside in (pairs.ahead, pairs.behind))
    foreign = _shows_nothing_alike(pairs.used, pairs.variances) & ~after & ~before
    kinds = "the picture after its own", "the picture before its own", "another picture"
    for what, frames in zip(kinds, (after, before, foreign), strict=True):
        if np.any(frames):
            first, count = seconds[np.argmax(frames)], np.sum(frames)
            yield f"the output shows {what} in {count} of {len(frames)} frames, first at {first:.2f} s"


def _shows_nothing_alike(error: Any, variance: Any) -> Any:
    """Whether pictures with this error, or each of them, have nothing of their partners."""
    return (error > _NOTHING_ALIKE) & (error > _NOTHING_SHARE * variance)


def _is_altered(pairs: Fit, part: slice) -> bool:
    """Whether the part shows its partners, in another light or with something drawn over them."""
    shown, theirs = (
        pictures.reshape(len(pictures), -1).astype(np.float32)
        for pictures in (pairs.shown[part], pairs.reference[pairs.partners[part]])
    )
    apart = np.sort(np.square(shown - theirs), axis=1)[:, : int(_MOST_PIXELS * shown.shape[1])]
    if np.mean(apart) < FLOOR + _UNLIKE_SHARE * np.mean(pairs.variances[part]):
        return True
    shown, theirs = (one - one.mean(axis=1, keepdims=True) for one in (shown, theirs))
    spread = np.sqrt(np.sum(shown**2, axis=1) * np.sum(theirs**2, axis=1))
    return bool(np.quantile(np.sum(shown * theirs, axis=1) / (spread + FLOOR), 0.1) > _CORRELATED)


def _nothing_alike(pairs: Fit, part: slice, seconds: np.ndarray) -> str:
    """What is the matter with a part that shows nothing of its partners."""
    theirs = pairs.reference[pairs.partners[part]]
    for words, turn in _TURNS.items():
        if np.mean(errors(theirs, turn(pairs.shown[part]))) < 0.3 * np.mean(pairs.used[part]):
            return f"the output {words} against the reference"
    begins, ends = _parts(pairs)
    unlike = _shows_nothing_alike(*(_means(one, begins, ends) for one in (pairs.used, pairs.variances)))
    if np.sum((ends - begins)[unlike]) > 0.8 * len(pairs.shown):
        return "the output is a different video than the reference"
    last = min(int(ends[unlike][-1]), len(seconds) - 1)
    span = f"from {seconds[part.start]:.1f} to {seconds[last]:.1f} s"
    return f"the output shows pictures {span} that the reference does not have near there"


def _stands_still(pairs: Fit, part: slice) -> bool:
    """Whether the part goes on showing a picture that stood at its right place when the output halted."""
    shown, pictures, error = pairs.shown, pairs.shown[part], float(np.mean(pairs.used[part]))
    still = max(4 * _STILL, 0.1 * error)
    if len(pictures) < 2 or np.median(errors(pictures[:-1], pictures[1:])) > still:
        return False
    last = part.stop - 1
    held = errors(shown[max(0, last - _HELD_FRAMES) : last], shown[last : last + 1])
    moving = np.flatnonzero(held > still)
    begin = last - len(held) + (int(moving[-1]) + 1 if len(moving) else 0)
    if begin > part.start and np.mean(pairs.used[part.start : begin]) > error:
        return False  # it is not what stands still
    return bool(pairs.used[begin] < 0.5 * error)
