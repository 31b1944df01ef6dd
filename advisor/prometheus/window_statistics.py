"""What scraped samples say of windows of time: counters by difference, gauges by time.

Scrapes come every few seconds and a scenario begins between two of them. A counter's value at the window's
edge is therefore inferred: within the interval that straddles an edge, energy is split in proportion to what
the neighbouring intervals drew on either side, which is exact where power steps at the edge (idle before,
load after) and where it does not change at all. Without neighbours the split is linear in time.

One series is read over all windows at once. What lies near each window is laid out in one row of elements,
window after window (`_Near`), and every sum, median and extreme is taken for all windows in one step.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

__all__ = ["CounterWindows", "GaugeWindows", "Windows", "counter_windows", "gauge_windows", "scrape_step"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_GAP_STEPS = 2.5
"""An interval longer than this many usual ones is a gap: one missed scrape is not, two are."""


# windows without samples divide by nothing, and absurd values overflow: both give figures that are no numbers
_silent = np.errstate(all="ignore")


class Windows(Struct, frozen=True):
    """Stretches of time: Unix seconds, both of shape (windows,)."""

    starts: Floats
    ends: Floats

    @property
    def seconds(self) -> Floats:
        """Their lengths."""
        return self.ends - self.starts


class CounterWindows(Struct, frozen=True):
    """A counter over each window; all of shape (windows,).

    ``amount`` is in the counter's unit, completed over ``uncovered_seconds`` at the mean rate of the rest;
    NaN where no interval of samples meets the window, the other figures then mean nothing.
    ``uncovered_seconds`` lie outside the samples, in a reset, or in a gap that reaches over an edge.
    ``gap_seconds`` are the time inside gaps, where the counter still knows the sum but nothing finer.
    """

    amount: Floats
    uncovered_seconds: Floats
    gap_seconds: Floats
    resets: Ints
    samples_inside: Ints
    step_seconds: Floats


class GaugeWindows(Struct, frozen=True):
    """Statistics of a gauge's samples inside each window, shape (windows,); ``mean`` is weighted by time.

    All are NaN (``samples`` and ``covered_seconds`` 0) where there is no sample; ``stdev`` is NaN for one.
    """

    mean: Floats
    median: Floats
    min: Floats
    max: Floats
    stdev: Floats
    samples: Ints
    covered_seconds: Floats


def scrape_step(times: Floats) -> float | None:
    """The usual seconds between scrapes (median), None for fewer than two samples."""
    return float(np.median(np.diff(times))) if len(times) > 1 else None


@_silent
def counter_windows(times: Floats, values: Floats, windows: Windows, reach_seconds: float) -> CounterWindows:
    """What a counter gained in each window.

    Parameters
    ----------
    times
        Unix seconds of the samples, ascending, shape (n,).
    values
        The counter at these times, shape (n,); a fall is a restart from zero. NaN are left out.
    windows
        The windows, in any order; they may overlap.
    reach_seconds
        How far around a window samples tell the usual step and the power beside the edges.

    >>> t = np.arange(0.0, 60, 5)
    >>> counter_windows(t, 80 * t, Windows(np.array([12.0]), np.array([37.0])), 15).amount
    array([2000.])
    """
    known = np.isfinite(values)
    times, values = times[known], values[known]
    near = _near(times, windows, reach_seconds, intervals=True)
    first, last = times[near.element], times[near.element + 1]
    spans, gains = last - first, values[near.element + 1] - values[near.element]
    steps = near.medians(spans)
    reset, gap = gains < 0, spans > _GAP_STEPS * steps[near.owner]
    start, end = windows.starts[near.owner], windows.ends[near.owner]
    inside = np.clip(np.minimum(last, end) - np.maximum(first, start), 0.0, None)
    cut = (inside > 0) & (inside < spans)
    covered = (inside > 0) & ~reset & ~(gap & cut)
    rates = np.where(reset | gap, np.nan, gains / spans)
    shares = inside / spans
    edges = np.flatnonzero(cut & covered)
    shares[edges] = _edge_shares(edges, near, first < start, last > end, inside, spans, rates)
    amount = near.sums(np.where(covered, gains * shares, 0.0))
    covered_seconds = near.sums(np.where(covered, inside, 0.0))
    uncovered = np.maximum(windows.seconds - covered_seconds, 0.0)
    lost = reset & (inside > 0)
    completed = uncovered * amount / covered_seconds
    # what the counter holds after a restart was certainly spent since
    certain = near.sums(np.where(lost & ~cut, values[near.element + 1], 0.0))
    return CounterWindows(
        np.where(covered_seconds > 0, amount + np.maximum(completed, certain), np.nan),
        np.where(uncovered > 1e-6, uncovered, 0.0),
        near.sums(np.where(gap & ~reset, inside, 0.0)),
        near.sums(lost.astype(float)).astype(np.int64),
        np.searchsorted(times, windows.ends, "right") - np.searchsorted(times, windows.starts),
        steps,
    )


def _edge_shares(
    edges: Ints,
    near: _Near,
    over_start: NDArray[np.bool_],
    over_end: NDArray[np.bool_],
    inside: Floats,
    spans: Floats,
    rates: Floats,
) -> Floats:
    """The share of each straddling interval's gain that belongs to its window."""
    inward = np.where(over_start[edges], 1, -1)
    top = len(spans) - 1
    within, beyond = np.clip(edges + inward, 0, top), np.clip(edges - inward, 0, top)
    own = rates[within] * inside[edges]
    other = rates[beyond] * (spans[edges] - inside[edges])
    split = own / (own + other)
    # both neighbours must be there, and the inner one wholly inside: else its rate is not the load's
    usable = (
        ~(over_start[edges] & over_end[edges])
        & (near.owner[within] == near.owner[edges])
        & (near.owner[beyond] == near.owner[edges])
        & (within != edges)  # the row ends here
        & (beyond != edges)
        & (inside[within] >= spans[within])
        & np.isfinite(split)
        & (own + other > 0)
    )
    return np.where(usable, split, inside[edges] / spans[edges])


@_silent
def gauge_windows(times: Floats, values: Floats, windows: Windows, reach_seconds: float) -> GaugeWindows:
    """Statistics of the finite samples inside each window.

    Each sample stands for half the way to its neighbours, but for no more than the usual step, so that a gap
    weighs nothing. ``stdev`` is the sample standard deviation.
    """
    known = np.isfinite(values)
    times, values = times[known], values[known]
    around = _near(times, windows, reach_seconds, intervals=True)
    steps = around.medians(times[around.element + 1] - times[around.element])
    steps = np.where(np.isnan(steps), windows.seconds, steps)
    near = _near(times, windows, 0.0, intervals=False)
    found = values[near.element]
    weights = _weights(times[near.element], near, windows, steps * _GAP_STEPS / 2)
    covered, count = near.sums(weights), near.counts
    plain = near.sums(found) / count
    mean = np.where(covered > 0, near.sums(weights * found) / covered, plain)
    variance = near.sums((found - plain[near.owner]) ** 2) / (count - 1)
    return GaugeWindows(
        mean,
        near.medians(found),
        near.extremes(np.minimum, found),
        near.extremes(np.maximum, found),
        np.where(count > 1, np.sqrt(variance), np.nan),
        count,
        np.minimum(covered, windows.seconds),
    )


def _weights(moments: Floats, near: _Near, windows: Windows, reach: Floats) -> Floats:
    """Seconds that each sample stands for: to the middle of its neighbours, or to the window's edge."""
    if not len(moments):
        return moments
    first = np.flatnonzero(np.diff(near.owner, prepend=-1))
    last = np.append(first[1:], len(moments)) - 1
    before = np.diff(moments, prepend=0.0) / 2
    after = np.append(before[1:], 0.0)
    before[first] = moments[first] - windows.starts[near.owner[first]]
    after[last] = windows.ends[near.owner[last]] - moments[last]
    most = reach[near.owner]
    return np.asarray(np.minimum(before, most) + np.minimum(after, most))


class _Near(Struct, frozen=True):
    """Elements of a series (samples, or intervals by their first sample) near each window, in one row.

    ``element`` and ``owner`` (the window's index, ascending) are of shape (elements near any window,).
    """

    element: Ints
    owner: Ints
    counts: Ints

    def sums(self, values: Floats) -> Floats:
        """By window; 0 where it has no element."""
        return np.asarray(np.bincount(self.owner, values, minlength=len(self.counts)))

    def medians(self, values: Floats) -> Floats:
        """By window; NaN where it has no element."""
        ranked = np.append(values[np.lexsort((values, self.owner))], np.nan)
        first = np.cumsum(self.counts) - self.counts
        low, high = first + (self.counts - 1) // 2, first + self.counts // 2
        return np.where(self.counts > 0, (ranked[low] + ranked[np.minimum(high, len(values))]) / 2, np.nan)

    def extremes(self, smaller_or_larger: np.ufunc, values: Floats) -> Floats:
        """`np.minimum` or `np.maximum` by window; NaN where it has no element."""
        found: Floats = np.full(len(self.counts), np.nan)
        some = self.counts > 0
        if len(values):
            found[some] = smaller_or_larger.reduceat(values, (np.cumsum(self.counts) - self.counts)[some])
        return found


def _near(times: Floats, windows: Windows, reach_seconds: float, *, intervals: bool) -> _Near:
    low = np.searchsorted(times, windows.starts - reach_seconds)
    high = np.searchsorted(times, windows.ends + reach_seconds, "right")
    counts = np.maximum(high - low - int(intervals), 0)
    owner = np.repeat(np.arange(len(counts)), counts)
    element = np.arange(len(owner)) + np.repeat(low - (np.cumsum(counts) - counts), counts)
    return _Near(element, owner, counts)
