"""What scraped samples say of one window of time: counters by difference, gauges by time.

Scrapes come every few seconds and a scenario begins between two of them. A counter's value at the window's
edge is therefore inferred: within the interval that straddles an edge, energy is split in proportion to what
the neighbouring intervals drew on either side, which is exact where power steps at the edge (idle before,
load after) and where it does not change at all. Without neighbours the split is linear in time.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

__all__ = ["CounterWindow", "GaugeWindow", "counter_window", "gauge_window", "scrape_step"]

Floats = NDArray[np.float64]
_GAP_STEPS = 2.5
"""An interval longer than this many usual ones is a gap: one missed scrape is not, two are."""


class CounterWindow(Struct, frozen=True):
    """A counter over one window.

    ``amount`` is in the counter's unit, completed over ``uncovered_seconds`` at the mean rate of the rest.
    ``uncovered_seconds`` lie outside the samples, in a reset, or in a gap that reaches over an edge.
    ``gap_seconds`` are the time inside gaps, where the counter still knows the sum but nothing finer.
    """

    amount: float
    uncovered_seconds: float
    gap_seconds: float
    resets: int
    samples_inside: int
    step_seconds: float


class GaugeWindow(Struct, frozen=True):
    """Statistics of a gauge's samples inside one window; ``mean`` is weighted by time."""

    mean: float
    median: float
    min: float
    max: float
    stdev: float | None
    samples: int
    covered_seconds: float


def scrape_step(times: Floats) -> float | None:
    """The usual seconds between scrapes (median), None for fewer than two samples."""
    return float(np.median(np.diff(times))) if len(times) > 1 else None


def counter_window(times: Floats, values: Floats, start: float, end: float) -> CounterWindow | None:
    """What a counter gained from ``start`` to ``end``; None where no interval of samples meets the window.

    Parameters
    ----------
    times
        Unix seconds of the samples, ascending, shape (n,).
    values
        The counter at these times, shape (n,); a fall is a restart from zero. NaN are left out.
    start, end
        The window, Unix seconds.

    >>> t = np.arange(0.0, 60, 5)
    >>> counter_window(t, 80 * t, 12, 37).amount
    2000.0
    """
    known = np.isfinite(values)
    times, values = times[known], values[known]
    step = scrape_step(times)
    if step is None or end <= start or times[-1] <= start or times[0] >= end:
        return None
    spans, gains = np.diff(times), np.diff(values)
    reset, gap = gains < 0, spans > _GAP_STEPS * step
    inside = np.clip(np.minimum(times[1:], end) - np.maximum(times[:-1], start), 0.0, None)
    cut = (inside > 0) & (inside < spans)
    covered = (inside > 0) & ~reset & ~(gap & cut)
    rates = np.where(reset | gap, np.nan, np.divide(gains, spans))
    shares = inside / spans
    for index in np.flatnonzero(cut & covered):
        shares[index] = _edge_share(int(index), times, inside, spans, rates, start, end)
    amount = float((gains * shares)[covered].sum())
    covered_seconds = float(inside[covered].sum())
    if covered_seconds <= 0:
        return None
    uncovered = max(end - start - covered_seconds, 0.0)
    lost = reset & (inside > 0)
    completed = uncovered * amount / covered_seconds
    # what the counter holds after a restart was certainly spent since
    certain = float(values[1:][lost & ~cut].sum())
    return CounterWindow(
        amount + max(completed, certain),
        uncovered if uncovered > 1e-6 else 0.0,
        float(inside[gap & ~reset].sum()),
        int(lost.sum()),
        int(((times >= start) & (times <= end)).sum()),
        step,
    )


def _edge_share(
    index: int, times: Floats, inside: Floats, spans: Floats, rates: Floats, start: float, end: float
) -> float:
    """The share of a straddling interval's gain that belongs to the window."""
    linear = float(inside[index] / spans[index])
    if times[index] < start and times[index + 1] > end:
        return linear
    at_start = times[index] < start
    within, beyond = (index + 1, index - 1) if at_start else (index - 1, index + 1)
    if not (0 <= within < len(spans) and 0 <= beyond < len(spans)) or inside[within] < spans[within]:
        return linear
    own = rates[within] * inside[index]
    other = rates[beyond] * (spans[index] - inside[index])
    if not np.isfinite(own + other) or own + other <= 0:
        return linear
    return float(own / (own + other))


def gauge_window(times: Floats, values: Floats, start: float, end: float) -> GaugeWindow | None:
    """Statistics of the samples inside the window; None where there is none that is finite.

    Each sample stands for half the way to its neighbours, but for no more than the usual step, so that a gap
    weighs nothing. ``stdev`` is the sample standard deviation, None for a single sample.
    """
    inside = (times >= start) & (times <= end) & np.isfinite(values)
    moments, found = times[inside], values[inside]
    if not len(found):
        return None
    step = scrape_step(times) or (end - start)
    reach = step * _GAP_STEPS / 2
    before = np.minimum(np.diff(moments, prepend=2 * start - moments[0]) / 2, reach)
    after = np.minimum(np.diff(moments, append=2 * end - moments[-1]) / 2, reach)
    weights = before + after
    covered = float(weights.sum())
    return GaugeWindow(
        float(np.average(found, weights=weights)) if covered > 0 else float(found.mean()),
        float(np.median(found)),
        float(found.min()),
        float(found.max()),
        float(found.std(ddof=1)) if len(found) > 1 else None,
        len(found),
        min(covered, end - start),
    )
