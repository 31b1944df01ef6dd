"""What scraped samples say of a span of time: counters by difference, gauges by time.

Scrapes come every few seconds and a scenario begins between two of them. A counter's value at the span's edge
is therefore inferred: within the interval that straddles an edge, energy is split in proportion to what the
neighbouring intervals drew on either side, which is exact where power steps at the edge (idle before, load
after) and where it does not change at all. A span without a whole interval in it gets what its outer
neighbours leave, which is exact for a load between idle times. Without them the split is linear in time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LONGEST_REACH_SECONDS = 180.0
"""How far around a span samples may matter."""
_REACH_STEPS = 3
"""Scrapes on either side of a span: two make the rate beside the edge, one may be late."""
_GAP_STEPS = 2.5
"""An interval longer than this many usual ones is a gap: one missed scrape is not, two are."""
_FASTER, _FASTER_FROM_HALF = 10, 2
"""Times the fastest rate near by, at which a counter may have gained from zero what it holds after a fall;
the second where that is more than half of what it held before."""
# absurd values overflow and give figures that are no numbers
_silent = np.errstate(all="ignore")


class TimeSpan(Struct, frozen=True, order=True):
    """A stretch of time, Unix seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


class ScrapedSeries(Struct, frozen=True):
    """One series as arrays: ``times`` (Unix seconds, ascending) and ``values``, both of shape (samples,)."""

    metric: Mapping[str, str]
    times: Floats
    values: Floats

    def near(self, span: TimeSpan) -> ScrapedSeries:
        """The samples that tell of ``span``: those in it, and three scrapes around it at their pace there."""
        steps = np.diff(self._within(span, LONGEST_REACH_SECONDS).times)
        usual = float(np.median(steps)) if len(steps) else 0.0
        return self._within(span, min(_REACH_STEPS * usual, LONGEST_REACH_SECONDS))

    def _within(self, span: TimeSpan, reach_seconds: float) -> ScrapedSeries:
        low = np.searchsorted(self.times, span.start - reach_seconds)
        high = np.searchsorted(self.times, span.end + reach_seconds, "right")
        return ScrapedSeries(self.metric, self.times[low:high], self.values[low:high])


class CounterGain(Struct, frozen=True):
    """What a counter gained in a span.

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
    doubtful: float = 0.0
    """By how much the ends of a span that holds no whole interval disagree about ``amount``."""


class GaugeStatistics(Struct, frozen=True):
    """Of a gauge's samples inside a span; ``mean`` is weighted by time, ``stdev`` None for one sample."""

    mean: float
    median: float
    min: float
    max: float
    stdev: float | None
    covered_seconds: float


@_silent
def counter_gain(series: ScrapedSeries, span: TimeSpan) -> CounterGain | None:
    """What a counter gained in ``span``; None where no interval between its samples (those near) meets it.

    A fall is a restart from zero where the counter can have gained since what it holds; else it was set back,
    by an exporter that goes on from what it had saved, and only what follows counts. Two servers that scrape
    in turn, their clocks apart, leave single samples below their neighbours: these and NaN are left out.

    >>> t = np.arange(0.0, 60, 5)
    >>> counter_gain(ScrapedSeries({}, t, 80 * t), TimeSpan(12.0, 37.0)).amount
    2000.0
    """
    finite = np.isfinite(series.values)
    times, values = _without_dips(series.times[finite], series.values[finite])
    first, last = times[:-1], times[1:]
    lengths, gains = np.diff(times), np.diff(values)
    inside = np.clip(np.minimum(last, span.end) - np.maximum(first, span.start), 0.0, None)
    step = float(np.median(lengths)) if len(lengths) else 0.0
    reset, gap, cut = gains < 0, lengths > _GAP_STEPS * step, inside < lengths
    lost = reset & (inside > 0)
    covered = (inside > 0) & ~reset & ~(gap & cut)
    if not covered.any():
        return None
    rates = np.where(reset | gap, np.nan, gains / lengths)
    shares, untold = inside / lengths, []
    for edge in np.flatnonzero(cut & covered):
        inward = 1 if first[edge] < span.start else -1
        shares[edge], is_told = _edge_share(int(edge), rates, inside, lengths, inward=inward)
        untold += [] if is_told else [edge]
    own, seconds = (gains * shares / inside)[untold], inside[untold]
    # beyond doubt where power did not change, or where two intervals tell the same load
    doubts = [np.abs(own - rates[untold]) @ seconds, *(np.ptp(own) * seconds.min() for _ in own[1:])]
    amount, covered_seconds = float((gains * shares)[covered].sum()), float(inside[covered].sum())
    uncovered = max(span.seconds - covered_seconds, 0.0)
    # what the counter holds after a restart was certainly spent since
    certain = float(values[1:][lost & ~cut & ~_set_back(times, values)].sum())
    return CounterGain(
        amount=amount + max(uncovered * amount / covered_seconds, certain),
        uncovered_seconds=uncovered if uncovered > 1e-6 else 0.0,
        gap_seconds=float(inside[gap & ~reset].sum()),
        resets=int(lost.sum()),
        samples_inside=int(((times >= span.start) & (times <= span.end)).sum()),
        step_seconds=step,
        doubtful=float(min(doubts)),
    )


def _set_back(times: Floats, values: Floats) -> NDArray[np.bool_]:
    """For each interval whether the counter falls in it to more than it can have gained there from zero."""
    lengths, gains = np.diff(times), np.diff(values)
    fastest = float(np.max(gains / lengths, initial=0.0))
    faster = np.where(values[1:] > values[:-1] / 2, _FASTER_FROM_HALF, _FASTER)
    return np.asarray((gains < 0) & (values[1:] > faster * fastest * lengths))


def _without_dips(times: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Without each sample to which the counter was set back and from which it leaps up to where it was."""
    over_two = (values[2:] - values[:-2]) / (times[2:] - times[:-2])
    if not (over_two > 0).any():
        return times, values
    usual = np.median(over_two[over_two > 0])
    leaps = np.abs((np.diff(values) / np.diff(times))[1:] - usual) > np.abs(over_two - usual)
    kept = np.ones(len(values), dtype=bool)
    kept[1:-1] = ~(_set_back(times, values)[:-1] & leaps)
    return times[kept], values[kept]


def _edge_share(
    edge: int, rates: Floats, inside: Floats, lengths: Floats, *, inward: int
) -> tuple[float, bool]:
    """The share of a straddling interval's gain that belongs to the span on its ``inward`` side.

    The second says whether the inner neighbour is wholly inside, so that it tells the load's rate. Where it
    is not, the share is what remains when what lies outside drew as its outer neighbour.
    """
    within, beyond = edge + inward, edge - inward
    straight = float(inside[edge] / lengths[edge])
    is_told = not 0 <= within < len(rates) or bool(inside[within] >= lengths[within])
    if min(within, beyond) < 0 or max(within, beyond) >= len(rates):
        return straight, is_told
    outer = rates[beyond] * (lengths[edge] - inside[edge])
    total = rates[within] * inside[edge] + outer if is_told else rates[edge] * lengths[edge]
    share = max(float(1 - outer / total), 0.0)
    return (share if total > 0 and np.isfinite(share) else straight), is_told


@_silent
def gauge_statistics(series: ScrapedSeries, span: TimeSpan) -> GaugeStatistics | None:
    """Statistics of the finite samples inside ``span``, by those near it; None where there is none.

    Each sample stands for half the way to its neighbours, but for no more than the usual step, so that a gap
    weighs nothing. ``stdev`` is the sample standard deviation.
    """
    finite = np.isfinite(series.values)
    times, values = series.times[finite], series.values[finite]
    longest = _GAP_STEPS / 2 * (float(np.median(np.diff(times))) if len(times) > 1 else span.seconds)
    inside = (times >= span.start) & (times <= span.end)
    times, values = times[inside], values[inside]
    if not len(times):
        return None
    middles = (times[:-1] + times[1:]) / 2
    before, after = np.append(span.start, middles), np.append(middles, span.end)
    weights = np.minimum(times - before, longest) + np.minimum(after - times, longest)
    covered_seconds = float(weights.sum())
    mean = (weights * values).sum() / covered_seconds if covered_seconds > 0 else values.mean()
    return GaugeStatistics(
        mean=float(mean),
        median=float(np.median(values)),
        min=float(values.min()),
        max=float(values.max()),
        stdev=float(values.std(ddof=1)) if len(values) > 1 else None,
        covered_seconds=min(covered_seconds, span.seconds),
    )
