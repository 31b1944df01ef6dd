"""Which frame of the reference each frame of an output shows: pure functions of times.

A frame of the reference is there from some moment on, until the next one begins. What makes an output looks
there once for each of its frames, and programs differ in when a frame begins: at its time, half way from the
one before, half a frame of the new rate earlier (the ``fps`` filter), or where filling and thinning for a
fixed rate has brought it (``-r``). Or they take the frames as they come. Each of these rules gives an answer
from the times alone. Where the answers differ, the pictures choose between them, and nothing else is ever
chosen: a frame is not moved because its neighbour looks better, since encoders that lag do that too.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

_JITTER_SECONDS = 0.0011
"""Matroska rounds to a millisecond."""
_TIE = 1e-4
"""Of a frame: times are rounded to microseconds, and half a frame goes up."""
_UP_FROM_HALVES = 1 / (1 << 17)
"""Of a frame: ffmpeg moves every time by it that is no whole frame of a fixed rate."""


class Timing(Struct, frozen=True, eq=False):
    """When the frames of one video are shown."""

    times: np.ndarray
    """Seconds, one for each frame, in the order in which they are shown."""
    rate: Fraction | None
    """Nominal frames a second; None when the file has no timestamps."""
    durations: np.ndarray | None = None
    """Seconds that each frame says to last; None: until the next one."""

    @property
    def since_first(self) -> np.ndarray:
        """Seconds since the first frame."""
        seconds: np.ndarray = self.times - self.times[0]
        return seconds

    @property
    def fixed(self) -> bool:
        """Whether every frame stands on the grid of the nominal rate, gaps apart."""
        if self.rate is None:
            return False
        places = self.since_first * float(self.rate)
        away = np.abs(places - np.round(places))
        return bool(np.max(away) <= max(0.1, _JITTER_SECONDS * float(self.rate)))

    @property
    def gapless(self) -> bool:
        """Whether the frames follow each other at the nominal rate, none missing."""
        steps = np.diff(self.times) * float(self.rate or 0)
        return self.rate is None or (self.fixed and bool(np.max(steps, initial=0.0) < 1.5))

    def begun_at(self, number: int) -> Timing:
        """What is left from one frame on."""
        durations = None if self.durations is None else self.durations[number:]
        return replace(self, times=self.times[number:], durations=durations)


class Pairing(Struct, frozen=True, eq=False):
    """Frames that belong together: the output's from ``first`` on, one after another, with ``partners``."""

    rule: str
    first: int
    """The first frame of the output that has a partner."""
    partners: np.ndarray
    """Frames of the reference, never descending."""
    shift: int = 0
    """The reference's frame that the output begins with; negative: the output's that the reference begins
    with."""

    def same(self, other: Pairing) -> bool:
        """Whether both lay the same frames side by side."""
        return self.first == other.first and np.array_equal(self.partners, other.partners)


def pair_by_times(reference: Timing, output: Timing, shift: int = 0) -> list[Pairing]:
    """What each rule makes of the times, the likeliest first; empty when the two have no moment in common.

    Parameters
    ----------
    shift
        As in `Pairing`.
    """
    skipped, first = max(shift, 0), max(-shift, 0)
    if len(reference.times) <= skipped or len(output.times) <= first:
        return []
    pairings = []
    for rule, partners in _rules(reference.begun_at(skipped), output.begun_at(first)):
        count = int(np.argmax(np.append(partners < 0, True)))  # up to the first that has none
        if count:
            pairings.append(Pairing(rule, first, partners[:count].astype(np.int64) + skipped, shift))
    return pairings


def _rules(reference: Timing, output: Timing) -> Iterator[tuple[str, np.ndarray]]:
    count, available = len(output.times), len(reference.times)
    index = "index", np.where(np.arange(count) < available, np.arange(count), -1)
    if reference.rate is None or output.rate is None:
        yield index
        return
    same_rate = abs(output.rate / reference.rate - 1) < 0.002
    if (same_rate and reference.gapless and output.gapless) or count == available:
        yield index
    filled = output.gapless and not reference.gapless  # at a fixed rate, which holds the former frame
    nearest = "time", _nearest(reference, output)
    if same_rate and not filled:
        yield nearest
    if output.fixed:
        for phase in (0.0, float(reference.times[0])):
            yield "fps", _by_fps_filter(reference, output, phase)
        stated = [] if reference.durations is None else [reference.durations]
        for durations in (*stated, None, np.full(available, 1 / float(reference.rate))):
            for fills in (True,) if reference.gapless else (True, False):
                yield "rate", _by_output_rate(reference, output, durations, fills=fills)
    if filled or not same_rate:
        yield nearest
    yield "hold", _held(reference, output)
    if same_rate or not output.fixed:  # frames at unequal distances were not chosen by a rate
        yield index


def _shown(begins: np.ndarray, wanted: np.ndarray, end: float) -> np.ndarray:
    """The frame that began last at each moment, the first also before; -1 behind the end of the last."""
    partners = np.maximum(np.searchsorted(begins, wanted, side="right") - 1, 0)
    return np.where(wanted > end, -1, partners)


def _longer_frame(reference: Timing, output: Timing) -> float:
    """Seconds."""
    return 1 / float(min(reference.rate or 25, output.rate or 25))


def _nearest(reference: Timing, output: Timing) -> np.ndarray:
    """The frame that is nearest in time, of two as near the later; none further away than one frame."""
    # of frames that share a time ffmpeg keeps the first
    times, numbers = np.unique(reference.since_first, return_index=True)
    begins = np.concatenate([times[:1], (times[:-1] + times[1:]) / 2])
    end = times[-1] + 0.6 * _longer_frame(reference, output)
    partners = _shown(begins - 1e-9, output.since_first, end)
    return np.where(partners < 0, -1, numbers[partners])


def _held(reference: Timing, output: Timing) -> np.ndarray:
    """The frame that is on the screen at each time."""
    times = reference.since_first
    end = times[-1] + 1.6 * _longer_frame(reference, output)
    return _shown(times - _JITTER_SECONDS / 2, output.since_first, end)


def _slots(output: Timing) -> np.ndarray:
    """The numbers of the output's frames on its grid."""
    return np.round(output.since_first * float(output.rate or 25)).astype(np.int64)


def _by_fps_filter(reference: Timing, output: Timing, phase: float) -> np.ndarray:
    """The ``fps`` filter: each frame goes to the nearest place of the grid, the last one there is shown.

    ``phase`` is the reference's first time, which decides where the grid lies.
    """
    rate = float(output.rate or 25)
    places = np.floor((reference.since_first + phase) * rate + 0.5 + _TIE)
    lasting = max(1, round(rate / float(reference.rate or 25)))  # of the last frame
    return _shown(places, _slots(output) + places[0], places[-1] + lasting)


def _by_output_rate(
    reference: Timing, output: Timing, durations: np.ndarray | None, *, fills: bool
) -> np.ndarray:
    """ffmpeg's way to a fixed rate (``-r``): repeat what is more than 1.1 frames late, drop what is early.

    Parameters
    ----------
    durations
        Seconds that each frame of the reference lasts; None: until the next one.
    fills
        Otherwise as in a container that can leave a gap (``-fps_mode vfr``): what is early by less than 0.6
        frames is shown as well, and nothing is repeated.
    """
    rate = float(output.rate or 25)
    places = reference.since_first * rate
    lengths = np.diff(places, append=places[-1] + rate / float(reference.rate or 25))
    places += _UP_FROM_HALVES * (np.abs(places - np.round(places)) > _TIE)
    if durations is not None:
        lengths = durations * rate
    shown: list[int] = []
    wanted = int(_slots(output)[-1]) + 1
    for number, (place, length) in enumerate(zip(places, lengths, strict=True)):
        late = place - len(shown)
        end = late + length
        if late < 0 < end:
            late = 0.0
        if fills:
            before = _rounded(late - 0.6) if end > 1.1 and late > 1.1 else 0
            now = 0 if end < -1.1 else _rounded(end) if end > 1.1 else 1
            shown += [max(0, number - 1)] * before + [number] * max(0, now - before)
        elif end > -0.6:
            shown += [-1] * (_rounded(late) if end > 0.6 else 0) + [number]
        if len(shown) >= wanted:
            break
    shown += [-1] * (wanted - len(shown))
    partners: np.ndarray = np.array(shown, dtype=np.int64)[_slots(output)]
    return partners


def _rounded(frames: float) -> int:
    """As ffmpeg rounds a number of frames: of a half to the even one, told in 24 bits."""
    return round(float(np.float32(frames)))
