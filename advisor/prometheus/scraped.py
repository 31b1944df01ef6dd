"""The samples near windows, out of answers that hold many more.

One answer spans hours or days, of which the windows are a part. Times stand at fixed places after each
bracket, so all of them are read at once, and only what is near a window is turned into numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from advisor.common.atomic import NO_JSON
from advisor.errors import PrometheusError
from advisor.prometheus.answers import RawSeries, numbers
from advisor.prometheus.window_statistics import CounterWindows, Windows, counter_windows, scrape_step

__all__ = ["LONGEST_REACH_SECONDS", "Samples", "near_samples"]

Floats = NDArray[np.float64]
LONGEST_REACH_SECONDS = 180.0
"""How far around a window samples may matter."""
_REACH_STEPS = 3
"""Scrapes on either side of a window: two make the rate beside the edge, one may be late."""
_BRACKET, _ZERO = b"[0"
_DIGITS = 10
"""Of Unix seconds between 2001 and 2286."""
_POWERS = 10.0 ** np.arange(_DIGITS - 1, -1, -1)


class Samples(Struct, frozen=True):
    """One series as arrays; ``reach_seconds`` is how far around a window its samples matter to it."""

    metric: Mapping[str, str]
    times: Floats
    values: Floats
    reach_seconds: float

    def near(self, windows: Windows) -> NDArray[np.bool_]:
        """Which windows have a sample near them."""
        low = np.searchsorted(self.times, windows.starts - self.reach_seconds)
        return np.asarray(np.searchsorted(self.times, windows.ends + self.reach_seconds) > low)

    def counter(self, windows: Windows) -> CounterWindows:
        """This counter over each window."""
        return counter_windows(self.times, self.values, windows, self.reach_seconds)


def near_samples(pieces: Sequence[RawSeries], windows: Windows) -> Samples:
    """The samples of a series that are near any of the windows, whose starts ascend.

    ``pieces`` are the series in answers one after another.

    Raises
    ------
    PrometheusError
        What stands there are no samples, or their times do not ascend.
    """
    text = b"[" + b",".join(bytes(piece.values).strip()[1:-1] for piece in pieces) + b"]"
    places = np.flatnonzero(np.frombuffer(text, np.uint8)[1:] == _BRACKET) + 1
    seconds = _whole_seconds(text, places)
    if seconds is not None:
        # whole seconds are at most one too early
        reach = _reach(seconds) + 1
        text = _parts(text, places, _joined(seconds, windows, reach))
    try:
        flat = np.array(numbers(text))
    except (*NO_JSON, ValueError) as exc:
        raise PrometheusError(f"the server answered with malformed samples: {exc}") from exc
    times = flat[::2]
    if (np.diff(times) <= 0).any():
        raise PrometheusError("the server answered with samples whose times do not ascend")
    return Samples(pieces[0].metric, times, flat[1::2], _reach(times))


def _reach(times: Floats) -> float:
    return min(_REACH_STEPS * (scrape_step(times) or np.inf), LONGEST_REACH_SECONDS)


def _whole_seconds(text: bytes, places: NDArray[np.int64]) -> Floats | None:
    """The seconds after each bracket; None where not all are ten digits, ascending: then all is read."""
    if not len(places) or places[-1] + _DIGITS + 2 > len(text):
        return None
    fields = np.lib.stride_tricks.sliding_window_view(np.frombuffer(text, np.uint8), _DIGITS + 1)[places + 1]
    digits = fields[:, :_DIGITS] - _ZERO
    # what follows the digits is a comma or a point: no more of them
    if (digits > 9).any() or (fields[:, _DIGITS] - _ZERO <= 9).any():
        return None
    seconds: Floats = digits.astype(np.float64) @ _POWERS
    return seconds if (np.diff(seconds) >= 0).all() else None


def _joined(seconds: Floats, windows: Windows, reach: float) -> list[tuple[int, int]]:
    """From and to which sample windows reach; those that touch are one."""
    low = np.searchsorted(seconds, windows.starts - reach)
    high = np.maximum.accumulate(np.searchsorted(seconds, windows.ends + reach, "right"))
    new = np.flatnonzero(low[1:] > high[:-1]) + 1
    return list(zip(low[[0, *new]].tolist(), high[[*(new - 1), len(low) - 1]].tolist(), strict=True))


def _parts(text: bytes, places: NDArray[np.int64], parts: list[tuple[int, int]]) -> bytes:
    """The JSON of some of the samples."""
    ends = np.append(places, len(text))
    chosen = [text[ends[low] : ends[high]].rstrip(b"], \r\n\t") for low, high in parts if high > low]
    return b"[" + b"],".join(chosen) + (b"]]" if chosen else b"]")
