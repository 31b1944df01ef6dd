"""Which frame of the reference each frame of the output shows: pure functions of times.

An output is made from its input by a rule: every frame as it comes, the frame that is nearest in time, the
``fps`` filter, or the way in which ffmpeg fills and thins a stream for a fixed rate. Each rule gives an
answer from the times alone. Where the answers differ, the pictures choose between them, and nothing else is
ever chosen: a frame is not moved because its neighbour looks better, since encoders that lag do that too.
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
    durations = None if reference.durations is None else reference.durations[max(shift, 0) :]
    source = replace(reference, times=reference.times[max(shift, 0) :], durations=durations)
    encode = replace(output, times=output.times[max(-shift, 0) :])
    pairings = []
    for rule, partners in _rules(source, encode):
        lacking = np.flatnonzero(partners < 0)
        inside = partners[: lacking[0]] if len(lacking) else partners
        if len(inside):
            pairings.append(Pairing(rule, max(-shift, 0), inside.astype(np.int64) + max(shift, 0)))
    return pairings


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
        stated = [] if reference.durations is None else [reference.durations]
        for durations in (*stated, None, np.full(available, 1 / float(reference.rate))):
            yield "rate", _by_output_rate(reference, output, durations)
            if not reference.gapless:
                yield "rate", _by_output_rate(reference, output, durations, fills=False)
    if filled or not same_rate:
        yield "time", _nearest(reference, output)
    yield "hold", _held(reference, output, output.times - output.times[0])
    if same_rate or not output.fixed:  # frames at unequal distances were not chosen by a rate
        yield "index", index


def _nearest(reference: Timing, output: Timing) -> np.ndarray:
    """The frame that is nearest in time, of two as near the later; none further away than one frame."""
    wanted, times = output.times - output.times[0], reference.times - reference.times[0]
    later = np.clip(np.searchsorted(times, wanted), min(1, len(times) - 1), len(times) - 1)
    earlier = np.maximum(later - 1, 0)
    nearer = np.where(wanted - times[earlier] < times[later] - wanted, earlier, later)
    nearer = np.searchsorted(times, times[nearer])  # of frames that share a time ffmpeg keeps the first
    frame = 1 / float(min(reference.rate or 25, output.rate or 25))
    return np.where(wanted > times[-1] + 0.6 * frame, -1, nearer)


def _held(reference: Timing, output: Timing, wanted: np.ndarray) -> np.ndarray:
    """The frame that is on the screen at each time."""
    times = reference.times - reference.times[0]
    partners = np.maximum(np.searchsorted(times, wanted + _JITTER_SECONDS / 2, side="right") - 1, 0)
    frame = 1 / float(min(reference.rate or 25, output.rate or 25))
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
    last = round(float((output.rate or 25) / (reference.rate or 25)))  # that its last frame fills
    return np.where(slots > places[-1] + max(1, last), -1, partners)


def _by_output_rate(
    reference: Timing, output: Timing, durations: np.ndarray | None, *, fills: bool = True
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
    places = (reference.times - reference.times[0]) * rate
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
    partners: np.ndarray = np.array(shown, dtype=np.int64)
    return partners.take(_slots(output))


def _rounded(frames: float) -> int:
    """As ffmpeg rounds a number of frames: of a half to the even one, told in 24 bits."""
    return round(float(np.float32(frames)))
