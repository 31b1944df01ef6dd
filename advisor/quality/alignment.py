"""Whether the frames of two videos belong together, told from thumbnails of all of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from advisor.quality.pairing import Pairing
from advisor.quality.pictures import errors

_CLEAR = {"ahead": 0.8, "behind": 0.8}
"""A neighbour with less than this share of the partner's error is the true partner. Encoders that are starved
of bits lag behind: right pairings were seen at 0.94."""
_TENDENCY = {"ahead": (0.985, 0.94), "behind": (0.96, 0.9)}
"""So is one below the first share in every part that can tell, and below the second in one of them."""
_SHORT, _SHORTLY_CLEAR = 6, 0.65
"""So is one below that share of the error over so few frames, where it stays the better one to the end: what
moves for a moment tells what a longer part that hardly moves does not."""
_TELLING = 1.03
"""A part tells something when one of its neighbours is this far from the partner's error."""
_SAME = 0.98
"""Errors of a frame closer than this are the same."""
_WINDOW, _PART = 24, 12
"""Frames that are judged together: for the neighbours, and for all other places."""
_FLOOR = 0.3
"""A mean squared error of thumbnails that is as good as none: their samples are rounded."""
_UNLIKE, _UNLIKE_SHARE = 8.0, 0.04
"""An error, and its share of the reference's variance, from which a part may show another moment."""
_UNUSUAL = 2.0
"""So may one that has this many times the error of the others."""
_NOTHING_ALIKE, _NOTHING_SHARE = 60.0, 0.5
"""From these two on it shows nothing of its partner."""
_CORRELATED, _MOST_PIXELS, _MOST_SHARE = 0.95, 0.8, 0.005
"""Yet it is its partner in another light from this correlation on, or with something drawn over it where most
of its pixels have less than this share of the reference's variance as error."""
_SURE = 1.5
"""With both neighbours this far from the partner's error it is the right one, however bad."""
_ELSEWHERE, _BESIDE, _BEFORE = 0.85, 0.72, 0.5
"""Another place with less than this share of the error is the true one. Frames that are coded together blur
into each other, and encoders that lag, or stand still for a moment, show what was there a little before: near
there it has to be clearer. Right pairings of encodes that hardly show a picture were seen at 0.96."""
_BLUR_FRAMES, _LAG_FRAMES = 3, 12
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


class _Pairs(Struct, frozen=True, eq=False):
    """Pictures that a pairing lays side by side."""

    reference: np.ndarray
    shown: np.ndarray
    partners: np.ndarray
    used: np.ndarray
    """Errors against the partner; the next two against its neighbours."""
    ahead: np.ndarray
    behind: np.ndarray
    variances: np.ndarray
    """Of the partners."""


class _Part(Struct, frozen=True, eq=False):
    """Some frames that follow each other, with their errors."""

    begin: int
    end: int
    used: np.ndarray
    ahead: np.ndarray
    behind: np.ndarray
    variance: float
    """Of the partners, the mean."""

    @property
    def error(self) -> float:
        """Mean against the partners."""
        return float(np.mean(self.used))

    @property
    def shows_nothing_alike(self) -> bool:
        return self.error > _NOTHING_ALIKE and self.error > _NOTHING_SHARE * self.variance


def judge(
    reference: np.ndarray, output: np.ndarray, pairing: Pairing, times: np.ndarray, rate: float
) -> Verdict:
    """Judge a pairing.

    Parameters
    ----------
    reference, output
        Thumbnails of all frames, uint8 of shape (frames, lines, columns).
    times
        Of the output's frames, in seconds.
    rate
        The reference's frames a second.
    """
    pairs = _pairs(reference, output, pairing)
    seconds = times[pairing.first :] - times[0]
    reason = _shifted(pairs, seconds)
    return Verdict(reason) if reason is not None else _in_doubt(pairs, seconds, rate)


def doubtful(reference: np.ndarray, output: np.ndarray, pairing: Pairing) -> bool:
    """Whether a part of the output is so unlike its partners that another pairing should be looked for."""
    pairs = _pairs(reference, output, pairing)
    if _shifted(pairs, np.zeros(len(pairs.shown))) is not None:
        return True
    usual = float(np.median(pairs.used))
    return any(_may_be_elsewhere(part, usual) for part in _parts(pairs))


def uneven(reference: np.ndarray, output: np.ndarray, pairing: Pairing) -> bool:
    """Whether a part that may belong elsewhere fits far worse than another, which then fits by chance."""
    parts = _parts(_pairs(reference, output, pairing))
    most = _UNUSUAL * (min(part.error for part in parts) + _FLOOR)
    return any(part.error > most and _may_be_elsewhere(part, math.inf) for part in parts)


def begins_with_a_still(output: np.ndarray, frames: int) -> bool:
    """Whether the first ``frames`` of an output show one picture, black for instance, and no film."""
    lead = output[:frames]
    # the last of them are coded with what comes behind them in sight
    return bool(np.quantile(errors(lead, lead[:1]), 0.7) < 4 * _STILL)


def _pairs(reference: np.ndarray, output: np.ndarray, pairing: Pairing) -> _Pairs:
    partners, last = pairing.partners, len(reference) - 1
    shown, theirs = output[pairing.first : pairing.first + len(partners)], reference[partners]
    return _Pairs(
        reference,
        shown,
        partners,
        used=errors(theirs, shown),
        ahead=errors(reference[np.minimum(partners + 1, last)], shown),
        behind=errors(reference[np.maximum(partners - 1, 0)], shown),
        variances=theirs.reshape(len(theirs), -1).var(axis=1, dtype=np.float32),
    )


def _windows(pairs: _Pairs) -> list[_Part]:
    """Parts that overlap by half: what begins to lag in the middle of one fills another."""
    count = len(pairs.used)
    begins = [*range(0, count - _WINDOW, _WINDOW // 2), max(0, count - _WINDOW)]
    return [_part(pairs, begin, min(count, begin + _WINDOW)) for begin in dict.fromkeys(begins)]


def _parts(pairs: _Pairs) -> list[_Part]:
    """Parts that follow each other."""
    count = len(pairs.used)
    pieces = max(1, count // _PART)
    borders = [round(count * n / pieces) for n in range(pieces + 1)]
    return [_part(pairs, begin, end) for begin, end in itertools.pairwise(borders)]


def _part(pairs: _Pairs, begin: int, end: int) -> _Part:
    used, ahead, behind = (side[begin:end] for side in (pairs.used, pairs.ahead, pairs.behind))
    return _Part(begin, end, used, ahead, behind, float(np.mean(pairs.variances[begin:end])))


def _shifted(pairs: _Pairs, seconds: np.ndarray) -> str | None:
    """Why the pairing is off by a frame, None when neither neighbour fits better."""
    parts = _windows(pairs)
    for part in parts:
        for name in ("ahead", "behind"):
            side = getattr(part, name)
            if _share(side, part.used) < _CLEAR[name] and _mostly_less(side, part.used):
                return f"{_side_words(name)} (around {seconds[part.begin]:.1f} s)"
    for name in ("ahead", "behind"):
        begin = _shifted_from(parts, pairs, name)
        if begin is not None:
            return f"{_side_words(name)} (around {seconds[begin]:.1f} s)"
    telling = [part for part in parts if _tells(part)]
    for name, opposite in (("ahead", "behind"), ("behind", "ahead")):
        if telling and _tends(telling, name, opposite):
            return _side_words(name)
    return None


def _shifted_from(parts: Sequence[_Part], pairs: _Pairs, name: str) -> int | None:
    """The first of some frames from which on a neighbour fits better, and at first by far."""
    fits = [_share(getattr(p, name), p.used) < 1 and _mostly_less(getattr(p, name), p.used) for p in parts]
    begin = next((part.begin for part, fit in zip(parts[::-1], fits[::-1], strict=True) if not fit), 0)
    side, used = (
        np.convolve(errors_[begin:], np.ones(_SHORT) / _SHORT, "valid")
        for errors_ in (getattr(pairs, name), pairs.used)
    )
    clear = np.flatnonzero(side + _FLOOR < _SHORTLY_CLEAR * (used + _FLOOR))
    return begin + int(clear[0]) if fits[-1] and len(clear) else None


def _side_words(name: str) -> str:
    side = "ahead of" if name == "ahead" else "behind"
    return f"the output is a frame or more {side} the reference"


def _tells(part: _Part) -> bool:
    shares = [_share(side, part.used) for side in (part.ahead, part.behind)]
    return max(shares) > _TELLING or min(shares) < 1 / _TELLING


def _tends(parts: Sequence[_Part], name: str, opposite: str) -> bool:
    everywhere, once = _TENDENCY[name]
    shares = [_share(getattr(part, name), part.used) for part in parts]
    if max(shares) >= everywhere or min(shares) >= once:
        return False
    worse = all(_share(getattr(part, opposite), part.used) > 1 for part in parts)
    return worse and all(_mostly_less(getattr(part, name), part.used) for part in parts)


def _share(side: np.ndarray, used: np.ndarray) -> float:
    """Mean error as a share of that of the pairing in use; 1 when both are next to nothing."""
    return float((np.mean(side) + _FLOOR) / (np.mean(used) + _FLOOR))


def _mostly_less(side: np.ndarray, used: np.ndarray) -> bool:
    """Whether of the frames that differ more than two in three have the lower error: one is not enough."""
    return bool(np.sum(side < _SAME * used) > 2 * np.sum(_SAME * side > used))


def _may_be_elsewhere(part: _Part, usual: float) -> bool:
    share = part.error / (part.variance + _FLOOR)
    if part.error < _UNLIKE or (share < _UNLIKE_SHARE and part.error < _UNUSUAL * usual):
        return False
    return min(_share(part.ahead, part.used), _share(part.behind, part.used)) < _SURE


def _in_doubt(pairs: _Pairs, seconds: np.ndarray, rate: float) -> Verdict:
    """Try every doubtful part at all places around its own, and then turned."""
    parts, usual = _parts(pairs), float(np.median(pairs.used))
    held: list[_Part] = []
    altered: list[_Part] = []
    for part in parts:
        if not _may_be_elsewhere(part, usual):
            continue
        if _stands_still(pairs, part):
            held.append(part)
            continue
        shift, error = _best_place(pairs, part, round(_AROUND_SECONDS * rate))
        near = _BEFORE if -_LAG_FRAMES <= shift < 0 else _BESIDE if 0 <= shift <= _BLUR_FRAMES else _ELSEWHERE
        clear = error + _FLOOR < near * (part.error + _FLOOR)
        if clear and error < _NOTHING_SHARE * (part.variance + _FLOOR):
            side = "ahead of" if shift > 0 else "behind"
            where = f"(around {seconds[part.begin]:.1f} s)"
            return Verdict(f"the output is about {abs(shift)} frames {side} the reference {where}")
        if part.shows_nothing_alike:
            if not _is_altered(pairs, part):
                return Verdict(_nothing_alike(pairs, parts, part, seconds))
            altered.append(part)
    words = {"is frozen": held, "is brighter, darker or overlaid": altered}
    return Verdict(
        None,
        tuple(
            f"the output {what} for {sum(part.end - part.begin for part in some)} frames around "
            f"{seconds[some[0].begin]:.1f} s"
            for what, some in words.items()
            if some
        ),
    )


def _is_altered(pairs: _Pairs, part: _Part) -> bool:
    """Whether the part shows its partners, in another light or with something drawn over them."""
    shown, theirs = (
        pictures.reshape(part.end - part.begin, -1).astype(np.float32)
        for pictures in (
            pairs.shown[part.begin : part.end],
            pairs.reference[pairs.partners[part.begin : part.end]],
        )
    )
    apart = np.sort(np.square(shown - theirs), axis=1)[:, : int(_MOST_PIXELS * shown.shape[1])]
    if np.mean(apart) < _MOST_SHARE * part.variance:
        return True
    shown, theirs = (one - one.mean(axis=1, keepdims=True) for one in (shown, theirs))
    spread = np.sqrt(np.sum(shown**2, axis=1) * np.sum(theirs**2, axis=1))
    return bool(np.quantile(np.sum(shown * theirs, axis=1) / (spread + _FLOOR), 0.1) > _CORRELATED)


def _nothing_alike(pairs: _Pairs, parts: Sequence[_Part], part: _Part, seconds: np.ndarray) -> str:
    """What is the matter with a part that shows nothing of its partners."""
    pictures = pairs.shown[part.begin : part.end]
    theirs = pairs.reference[pairs.partners[part.begin : part.end]]
    for words, turn in _TURNS.items():
        if float(np.mean(errors(theirs, turn(pictures)))) < 0.3 * part.error:
            return f"the output {words} against the reference"
    unlike = [p for p in parts if p.shows_nothing_alike]
    if sum(p.end - p.begin for p in unlike) > 0.8 * len(pairs.shown):
        return "the output is a different video than the reference"
    last = min(unlike[-1].end, len(seconds) - 1)
    span = f"from {seconds[part.begin]:.1f} to {seconds[last]:.1f} s"
    return f"the output shows pictures {span} that the reference does not have near there"


def _best_place(pairs: _Pairs, part: _Part, reach: int) -> tuple[int, float]:
    """By how many frames of the reference the part fits best, and its error there."""
    reference, pictures = pairs.reference, pairs.shown[part.begin : part.end]
    places = pairs.partners[part.begin : part.end]
    low, high = max(-reach, -int(places[0])), min(reach, len(reference) - 1 - int(places[-1]))
    chosen = np.unique(np.linspace(0, len(pictures) - 1, 4).astype(int))
    wanted, there = pictures[chosen, ::4, ::4].astype(np.float32), places[chosen]
    coarse = reference[max(0, there[0] + low) : there[-1] + high + 1, ::4, ::4].astype(np.float32)
    begin = max(0, int(there[0]) + low)
    apart = [
        float(np.mean(np.square(coarse[there + shift - begin] - wanted))) for shift in range(low, high + 1)
    ]
    best = low + int(np.argmin(apart))
    return best, float(np.mean(errors(reference[places + best], pictures)))


def _stands_still(pairs: _Pairs, part: _Part) -> bool:
    """Whether the part goes on showing a picture that stood at its right place when the output halted."""
    shown, pictures = pairs.shown, pairs.shown[part.begin : part.end]
    still = max(4 * _STILL, 0.1 * part.error)
    if len(pictures) < 2 or np.median(errors(pictures[:-1], pictures[1:])) > still:
        return False
    last = part.end - 1
    held = errors(shown[max(0, last - _HELD_FRAMES) : last], shown[last : last + 1])
    moving = np.flatnonzero(held > still)
    begin = last - len(held) + (int(moving[-1]) + 1 if len(moving) else 0)
    if begin > part.begin and np.mean(part.used[: begin - part.begin]) > part.error:
        return False  # it is not what stands still
    return bool(pairs.used[begin] < 0.5 * part.error)
