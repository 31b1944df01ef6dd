"""From files and thumbnails to a pairing: when frames are shown, and where two videos begin."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from advisor.errors import MediaError
from advisor.quality.alignment import doubtful, fit, judge, uneven
from advisor.quality.pairing import Pairing, Timing, pair_by_times
from advisor.quality.pictures import FLOOR, errors, errors_by_shift, shares
from advisor.quality.probe import Media, nominal_rate
from advisor.quality.settings import QualitySettings
from advisor.quality.tracks import Track

_OFFSET_SECONDS = 10.0
"""How far apart the beginnings of two videos are looked for."""
_ELSEWHERE = 0.6
"""Another beginning leaves less than this share of the error."""
_SURE = {-1: 1.02, 1: 1.06}
"""With less than this share of the error at the frame before or behind, a place cannot be told from that one.
Coders that are starved of bits lag, so the frame behind has to be worse by more."""
_BETTER = {"later": 0.97, "earlier": 0.8}
"""So does another rule where it pairs with other frames; coders that lag seem to show earlier ones."""
_CLEARLY = 0.15
"""Of the error between the frames of two rules: by so much the one in use has to fit better."""
_REPEATED, _LATELY = 0.5, 7
"""A picture that is shown again moves by less than this share of the step between the frames just before."""
_FEW = 0.02
"""Of the frames: with fewer that differ two rules come to the same score."""


class Decoded(Struct, frozen=True, eq=False):
    """Both videos of a pair as they were decoded, beside what their files say."""

    source: Media
    media: Media
    """The output."""
    reference: Track
    track: Track
    """The output's."""
    settings: QualitySettings

    @property
    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """Thumbnails of the reference and of the output."""
        return self.reference.pictures, self.track.pictures

    @property
    def clocks(self) -> tuple[Timing, Timing]:
        """When their frames are shown."""
        return _timing(self.reference, self.source, self.settings), _timing(self.track, self.media, None)


def frame_times(media: Media) -> np.ndarray:
    """Seconds of the frames as the file tells them; by the rate alone where it has none."""
    if not media.times:
        return np.arange(media.frames) / float(media.rate or 25)
    return np.array(media.times)


def _durations(media: Media, count: int) -> np.ndarray | None:
    """What each of ``count`` frames says to last, over and over in a loop; None where they say nothing."""
    durations = np.resize(np.array(media.durations), count)
    usual = np.median(durations)
    return np.where(durations, durations, usual) if usual > 0 else None


def reference_timing(source: Media, encode: Media, settings: QualitySettings) -> Timing:
    """When the reference's frames come out of ffmpeg, as far as the file tells."""
    times = frame_times(source)
    if settings.reference_start:
        times = times[times >= settings.reference_start - 0.5e-3]
        if not len(times):
            raise MediaError(f"ends before {settings.reference_start:g} s", subject=source.path)
    loops = settings.reference_loops
    if loops < 0:
        loops = math.ceil(encode.seconds / max(source.seconds, 0.01)) + 1
    if loops:
        times = np.concatenate([times + source.seconds * n for n in range(loops + 1)])
    return Timing(times, source.rate)


def _timing(track: Track, media: Media, settings: QualitySettings | None) -> Timing:
    """When a track's frames are shown; ``settings`` for a reference, whose filter may change the rate."""
    if media.rate is None or np.any(np.isnan(track.times)) or np.any(np.diff(track.times) < 0):
        return Timing(np.arange(len(track.times)) / float(media.rate or 25), None)
    if settings is not None and settings.reference_filter is not None:
        return Timing(track.times, nominal_rate(list(track.times)))
    return Timing(track.times, media.rate, _durations(media, len(track.times)))


def given_shift(reference: Timing, output: Timing, settings: QualitySettings) -> int | None:
    """The offset that the user gave, as the number of a frame."""
    if settings.offset is None:
        return None
    if settings.offset >= 0:
        return int(np.argmin(np.abs(reference.since_first - settings.offset)))
    return -int(np.argmin(np.abs(output.since_first + settings.offset)))


def shift_seconds(pairing: Pairing, seen: Decoded) -> float:
    """The shift of a pairing in seconds of the video that it is counted in."""
    shift = pairing.shift
    times = (seen.reference if shift > 0 else seen.track).times
    return math.copysign(float(times[abs(shift)] - times[0]), shift) if shift else 0.0


def paired(seen: Decoded) -> Pairing | None:
    """The pairing that times and pictures agree on; None where the two have no moment in common.

    Raises
    ------
    MediaError
        The pictures tell about where the output begins, and not at which frame.
    """
    clocks, pictures = seen.clocks, seen.pictures
    given = given_shift(*clocks, seen.settings)
    best = best_pairing(pair_by_times(*clocks, given or 0), *pictures)
    if given is not None or (best is not None and not doubtful(fit(*pictures, best))):
        return best
    rate, frames = float(clocks[0].rate or 25), min(map(len, pictures))
    for start in (*([best] if best is not None else []), Pairing("index", 0, np.arange(frames))):
        shift, sure = best_shift(*pictures, start, round(_OFFSET_SECONDS * rate))
        if shift < 0:  # as a number of the output's frames
            shift = -round(-shift / rate * float(clocks[1].rate or rate))
        there = best_pairing(pair_by_times(*clocks, shift), *pictures) if shift else None
        if there is None:
            continue
        pairs = fit(*pictures, there)
        if judge(pairs, seen.track.times[there.first :] - seen.track.times[0], rate).reason is not None:
            continue
        if not sure or uneven(pairs):
            seconds = f"{abs(shift) / rate:.2f} s {'later' if shift > 0 else 'earlier'}"
            raise MediaError(
                f"begins about {seconds} than the reference, and its pictures do not tell exactly where: "
                "give --offset",
                subject=seen.media.path,
            )
        return there
    return best


def best_pairing(pairings: Sequence[Pairing], reference: np.ndarray, output: np.ndarray) -> Pairing | None:
    """The first of ``pairings``, or a later one whose pictures fit clearly better where the two differ."""
    best = None
    for other in pairings:
        if best is None or _fits_better(other, best, reference, output):
            best = other
    return best


def _fits_better(other: Pairing, best: Pairing, reference: np.ndarray, output: np.ndarray) -> bool:
    frames, ours, theirs = _differing(best, other)
    if not len(frames):
        return _goes_on(best, other, reference, output)
    here, there, _ = _compared(output[frames], reference[ours], reference[theirs])
    # earlier frames are what a coder that lags may seem to show
    return there + FLOOR < _BETTER["later" if np.sum(theirs) > np.sum(ours) else "earlier"] * (here + FLOOR)


def undecided(chosen: Pairing, seen: Decoded) -> bool:
    """Whether another way to a rate chooses other frames, and the output does not tell which."""
    clocks, (reference, output) = seen.clocks, seen.pictures
    rates = {clock.rate for clock in clocks}
    if None in rates or len(rates) == 1:
        return False
    for other in pair_by_times(*clocks, chosen.shift):
        frames, ours, theirs = _differing(chosen, other)
        fewest = max(2, _FEW * min(len(chosen.partners), len(other.partners)))
        if other.rule in ("fps", "rate") and len(frames) >= fewest:
            here, there, apart = _compared(output[frames], reference[ours], reference[theirs])
            if apart > FLOOR and there - here < _CLEARLY * apart:
                return True
    return False


def _compared(shown: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """Mean errors of pictures beside ours, beside theirs, and between these two."""
    pairs = (ours, shown), (theirs, shown), (ours, theirs)
    here, there, apart = (np.mean(errors(*pair)) for pair in pairs)
    return float(here), float(there), float(apart)


def _differing(one: Pairing, other: Pairing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The output's frames that both pair, and differently; and their partners in the two."""
    begin = max(one.first, other.first)
    end = min(one.first + len(one.partners), other.first + len(other.partners))
    ours = one.partners[begin - one.first : end - one.first]
    theirs = other.partners[begin - other.first : end - other.first]
    places = np.flatnonzero(ours != theirs)
    return begin + places, ours[places], theirs[places]


def _goes_on(best: Pairing, longer: Pairing, reference: np.ndarray, output: np.ndarray) -> bool:
    """Whether the frames that only ``longer`` pairs look like their partners as well.

    What repeats a partner has to repeat the output's own picture too: beside a poor encode any frame looks
    like its neighbour.
    """
    count = len(best.partners)
    if longer.first != best.first or len(longer.partners) <= count:
        return False
    pairs = fit(reference, output, longer)
    repeats = count + np.flatnonzero(np.diff(longer.partners[count - 1 :]) == 0)
    if len(repeats):
        moved = np.mean(errors(pairs.shown[repeats - 1], pairs.shown[repeats]))
        if moved > _REPEATED * np.mean(pairs.steps[max(0, count - _LATELY) : count - 1]):
            return False
    return bool(np.mean(pairs.used[count:]) <= 2 * np.mean(pairs.used[:count]) + 4 * FLOOR)


def best_shift(reference: np.ndarray, output: np.ndarray, pairing: Pairing, reach: int) -> tuple[int, bool]:
    """By how many frames of the reference ``pairing`` has to be moved so that the pictures fit best.

    Returns
    -------
    tuple
        The frames, positive where the output begins later in the reference, 0 when no other place fits
        clearly better; and whether the places beside that one fit clearly worse.
    """
    shown, partners = output[pairing.first :], pairing.partners
    # what the output has behind the reference may lie in it all the same
    step = (partners[-1] - partners[0]) / max(1, len(partners) - 1)
    further = partners[-1] + np.round(np.arange(1, len(shown) - len(partners) + 1) * step).astype(np.int64)
    by_shift = errors_by_shift(reference, shown, np.concatenate([partners, further]), reach, within=0.25)
    best = min(by_shift, key=by_shift.__getitem__, default=0)
    # of an output far longer than the reference too little may lie in it at its own place, or anywhere
    here, there = (by_shift.get(shift, math.inf) for shift in (0, best))
    if not there + 1 < _ELSEWHERE * (here + 1):
        return 0, False
    # where nobody could look, it may go on getting better
    beside = {by: shares(by_shift.get(best + by, 0.0), by_shift[best]) for by in _SURE}
    return best, all(beside[by] > share for by, share in _SURE.items())
