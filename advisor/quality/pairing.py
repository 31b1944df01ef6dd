"""Which frame of the reference each frame of the output shows: pure functions of times and thumbnails.

An output is made from its input by a rule: every frame as it comes, the frame that is nearest in time, the
``fps`` filter, or the way in which ffmpeg fills and thins a stream for a fixed rate. Each rule gives an
answer from the times alone. Where the answers differ, the pictures choose between them, and nothing else is
ever chosen: a frame is not moved because its neighbour looks better, since encoders that lag do that too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from msgspec import Struct

__all__ = [
    "Pairing",
    "Timing",
    "errors",
    "pair_by_pictures",
    "pair_by_times",
    "shifted_by_pictures",
    "undecided",
]

_JITTER_SECONDS = 0.0011
"""Matroska rounds to a millisecond."""
_TIE = 1e-4
"""Of a frame: times are rounded to microseconds, and half a frame goes up."""
_CLEARLY = {"later": 0.97, "earlier": 0.8}
"""With less than this share of its error, where they differ, a rule takes the place of one before it. Coders
that are starved of bits lag, so a rule that pairs with earlier frames has to be better by more."""
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
_COARSE = 12
"""Side of the pictures that offsets are looked for with."""


class Timing(Struct, frozen=True, eq=False):
    """When the frames of one video are shown."""

    times: np.ndarray
    """Seconds, one for each frame, in the order in which they are shown."""
    rate: Fraction | None
    """Nominal frames a second; None when the file has no timestamps."""

    @property
    def fixed(self) -> bool:
        """Whether every frame stands on the grid of the nominal rate, gaps apart."""
        if self.rate is None or len(self.times) < 2:
            return self.rate is not None
        places = (self.times - self.times[0]) * float(self.rate)
        away = np.abs(places - np.round(places))
        return bool(np.max(away) <= max(0.1, _JITTER_SECONDS * float(self.rate)))

    @property
    def gapless(self) -> bool:
        """Whether the frames follow each other at the nominal rate, none missing."""
        if len(self.times) < 2 or self.rate is None:
            return True
        steps = np.diff(self.times) * float(self.rate)
        return self.fixed and bool(np.max(steps) < 1.5)


class Pairing(Struct, frozen=True, eq=False):
    """Frames that belong together: the output's from ``first`` on, one after another, with ``partners``."""

    rule: str
    first: int
    """The first frame of the output that has a partner."""
    partners: np.ndarray
    """Frames of the reference, never descending."""

    def same(self, other: Pairing) -> bool:
        """Whether both lay the same frames side by side."""
        return self.first == other.first and np.array_equal(self.partners, other.partners)


def pair_by_times(reference: Timing, output: Timing, shift: int = 0) -> list[Pairing]:
    """What each rule makes of the times, the likeliest first; empty when the two have no moment in common.

    Parameters
    ----------
    shift
        The reference's frame that the output begins with; negative: the output's that the reference begins
        with.
    """
    frames = len(reference.times) - max(shift, 0), len(output.times) - max(-shift, 0)
    if min(frames) <= 0:
        return []
    source = Timing(reference.times[max(shift, 0) :], reference.rate)
    encode = Timing(output.times[max(-shift, 0) :], output.rate)
    pairings = []
    for rule, partners in _rules(source, encode):
        inside = _leading(partners)
        if inside:
            partners = partners[:inside] + max(shift, 0)
            pairings.append(Pairing(rule, max(-shift, 0), partners.astype(np.int64)))
    return pairings


def _leading(partners: np.ndarray) -> int:
    """Frames up to the first without a partner."""
    lacking = np.flatnonzero(partners < 0)
    return int(lacking[0]) if len(lacking) else len(partners)


def _rules(reference: Timing, output: Timing) -> Iterator[tuple[str, np.ndarray]]:
    count, available = len(output.times), len(reference.times)
    index = np.where(np.arange(count) < available, np.arange(count), -1)
    if reference.rate is None or output.rate is None:
        yield "index", index
        return
    same_rate = abs(output.rate / reference.rate - 1) < 0.002
    if (same_rate and reference.gapless and output.gapless) or count == available:
        yield "index", index
    filled = output.gapless and not reference.gapless  # at a fixed rate, which holds the former frame
    if same_rate and not filled:
        yield "time", _nearest(reference, output)
    if output.fixed:
        for phase in (0.0, float(reference.times[0])):
            yield "fps", _by_fps_filter(reference, output, phase)
        for duration in _durations(reference):
            yield "rate", _by_output_rate(reference, output, duration)
    if filled or not same_rate:
        yield "time", _nearest(reference, output)
    yield "hold", _held(reference, output, output.times - output.times[0])
    if same_rate:
        yield "index", index


def _nearest(reference: Timing, output: Timing) -> np.ndarray:
    """The frame that is nearest in time, of two as near the later; none further away than one frame."""
    wanted, times = output.times - output.times[0], reference.times - reference.times[0]
    later = (
        np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
        if len(times) > 1
        else np.zeros(len(wanted), int)
    )
    earlier = np.maximum(later - 1, 0)
    nearer = np.where(wanted - times[earlier] < times[later] - wanted, earlier, later)
    frame = 1 / float(min(reference.rate or 25, output.rate or 25))
    return np.where(wanted > times[-1] + 0.6 * frame, -1, nearer)


def _held(reference: Timing, output: Timing, wanted: np.ndarray) -> np.ndarray:
    """The frame that is on the screen at each time."""
    times = reference.times - reference.times[0]
    partners = np.searchsorted(times, wanted + _JITTER_SECONDS / 2, side="right") - 1
    frame = 1 / float(min(reference.rate or 25, output.rate or 25))
    partners = np.maximum(partners, 0)
    return np.where(wanted > times[-1] + 1.6 * frame, -1, partners)


def _slots(output: Timing) -> np.ndarray:
    """The numbers of the output's frames on its grid."""
    places: np.ndarray = np.round((output.times - output.times[0]) * float(output.rate or 25))
    return places.astype(np.int64)


def _by_fps_filter(reference: Timing, output: Timing, phase: float) -> np.ndarray:
    """The ``fps`` filter: each frame goes to the nearest place of the grid, the last one there is shown."""
    times = reference.times - reference.times[0] + phase
    places = np.floor(times * float(output.rate or 25) + 0.5 + _TIE).astype(np.int64)
    slots = _slots(output) + places[0]
    partners = np.searchsorted(places, slots, side="right") - 1
    return np.where(slots > places[-1] + max(1, _last_slots(reference, output)), -1, partners)


def _last_slots(reference: Timing, output: Timing) -> int:
    """Places of the output's grid that the reference's last frame fills."""
    return round(float((output.rate or 25) / (reference.rate or 25)))


def _durations(reference: Timing) -> Sequence[float | None]:
    """How long a frame may say that it lasts, the likeliest first; None: until the next one.

    Matroska's times are in milliseconds, to which ffmpeg rounds the nominal duration down.
    """
    nominal = 1 / float(reference.rate or 25)
    rounded = math.floor(nominal * 1000 + _TIE) / 1000
    in_milliseconds = np.allclose(reference.times * 1000, np.round(reference.times * 1000), atol=1e-3)
    return (rounded, None, nominal) if in_milliseconds else (None, nominal)


def _by_output_rate(reference: Timing, output: Timing, duration: float | None) -> np.ndarray:
    """ffmpeg's way to a fixed rate (``-r``): repeat what is more than 1.1 frames late, drop what is early.

    Parameters
    ----------
    duration
        Seconds that every frame of the reference says to last; None: until the next one.
    """
    rate = float(output.rate or 25)
    places = (reference.times - reference.times[0]) * rate
    lengths = np.diff(places, append=places[-1] + rate / float(reference.rate or 25))
    if duration is not None:
        lengths = np.full(len(places), duration * rate)
    shown: list[int] = []
    wanted = int(_slots(output)[-1]) + 1
    for number, (place, length) in enumerate(zip(places, lengths, strict=True)):
        late = place - len(shown)
        end = late + length
        if late < 0 < end:
            late = 0.0
        before = round(late - 0.6) if end > 1.1 and late > 1.1 else 0
        now = 0 if end < -1.1 else round(end) if end > 1.1 else 1
        shown += [max(0, number - 1)] * before + [number] * max(0, now - before)
        if len(shown) >= wanted:
            break
    shown += [-1] * (wanted - len(shown))
    partners: np.ndarray = np.array(shown, dtype=np.int64)
    return partners.take(_slots(output))


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


def pair_by_pictures(pairings: Sequence[Pairing], reference: np.ndarray, output: np.ndarray) -> Pairing:
    """The first of ``pairings``, or a later one whose pictures fit clearly better where the two differ."""
    best, *others = pairings
    for other in others:
        begin = max(best.first, other.first)
        end = min(best.first + len(best.partners), other.first + len(other.partners))
        ours = best.partners[begin - best.first : end - best.first]
        theirs = other.partners[begin - other.first : end - other.first]
        differing = np.flatnonzero(ours != theirs)
        if not len(differing):
            if _goes_on(best, other, reference, output):
                best = other
            continue
        shown = output[begin + differing]
        mine, its = errors(reference[ours[differing]], shown), errors(reference[theirs[differing]], shown)
        better, worse = np.sum(its < 0.99 * mine), np.sum(mine < 0.99 * its)
        side = "later" if np.sum(theirs[differing]) > np.sum(ours[differing]) else "earlier"
        clear = np.sum(its) + _FLOOR < _CLEARLY[side] * (np.sum(mine) + _FLOOR)
        if clear and better > 2 * worse:
            best = other
    return best


def undecided(
    chosen: Pairing, pairings: Sequence[Pairing], reference: np.ndarray, output: np.ndarray
) -> bool:
    """Whether another rule chooses other frames than ``chosen``, and the output does not tell which."""
    for other in pairings:
        begin = max(chosen.first, other.first)
        end = min(chosen.first + len(chosen.partners), other.first + len(other.partners))
        ours = chosen.partners[begin - chosen.first : end - chosen.first]
        theirs = other.partners[begin - other.first : end - other.first]
        differing = np.flatnonzero(ours != theirs)
        if len(differing) < max(2, _FEW * len(ours)):
            continue
        mine, its = reference[ours[differing]], reference[theirs[differing]]
        if np.mean(errors(mine, its)) < _ALIKE:
            continue
        shown = output[begin + differing]
        better = errors(its, shown) - errors(mine, shown)
        spread = float(np.std(better)) / math.sqrt(len(better)) + 1e-9
        if float(np.mean(better)) < _SURE * spread:
            return True
    return False


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

    def fit(small: np.ndarray, those: np.ndarray, shift: int) -> float:
        places = partners + shift
        inside = (places >= 0) & (places < len(small))
        if np.count_nonzero(inside) < max(6, len(taken) / 4):
            return math.inf
        return float(np.mean(np.square(small[places[inside]] - those[inside], dtype=np.float32)))

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
