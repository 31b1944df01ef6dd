"""When to run a job: the cheapest or the cleanest hours of a schedule, and what waiting for them saves."""

from __future__ import annotations

import datetime
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from msgspec import Struct

from advisor.cost.checks import Positive, require_number
from advisor.cost.tariffs.schedule import Piece, Schedule, average
from advisor.errors import PricingError


class Hours(Struct, frozen=True):
    """Spans of time (Unix seconds) that are as long as the job, and the mean value in them."""

    spans: tuple[tuple[float, float], ...]
    mean: float
    mean_at_once: float | None
    """Of the job begun at the start; None where the schedule does not say."""

    @property
    def saving_ratio(self) -> float | None:
        """What waiting saves of the value at once; None where that is unknown, 0 or below."""
        if self.mean_at_once is None or self.mean_at_once <= 0:
            return None
        return 1 - self.mean / self.mean_at_once


def best_window(schedule: Schedule, seconds: float, start: float, end: float) -> Hours:
    """The stretch of ``seconds`` between ``start`` and ``end`` with the lowest mean; the earliest of equals.

    The mean is a straight line between the moments at which the job's begin or end meets a step, so those
    are tried, and no others.

    Raises
    ------
    PricingError
        The job does not fit, or the schedule does not say enough.

    >>> from advisor.cost.tariffs.schedule import StepSeries
    >>> prices = StepSeries.of([0, 3600, 7200, 10800], [0.3, 0.1, 0.2, 0.4])
    >>> best = best_window(prices, 5400, 0, 14400)
    >>> best.spans, round(best.mean, 4), round(best.saving_ratio, 4)
    (((3600, 9000),), 0.1333, 0.4286)
    """
    pieces = _pieces(schedule, seconds, start, end)
    edges = [pieces[0][0], *(until for _, until, _ in pieces)]
    sums = [0.0, *accumulate((until - since) * (value or 0.0) for since, until, value in pieces)]
    holes = [0.0, *accumulate(until - since if value is None else 0.0 for since, until, value in pieces)]

    def up_to(moment: float, totals: Sequence[float], rates: Sequence[float]) -> float:
        index = min(bisect_right(edges, moment) - 1, len(pieces) - 1)
        return totals[index] + (moment - edges[index]) * rates[index]

    values = [value or 0.0 for _, _, value in pieces]
    unknown = [1.0 if value is None else 0.0 for _, _, value in pieces]
    # means that differ by rounding alone, which is of the size of the totals, are equal
    rounding = 1e-12 * sum((until - since) * abs(value or 0.0) for since, until, value in pieces) / seconds
    best: tuple[float, float] | None = None
    for begin in sorted({*edges, *(edge - seconds for edge in edges)}):
        if begin < start or begin + seconds > end:
            continue
        if up_to(begin + seconds, holes, unknown) > up_to(begin, holes, unknown):
            continue
        mean = (up_to(begin + seconds, sums, values) - up_to(begin, sums, values)) / seconds
        if best is None or mean < best[0] - rounding:
            best = mean, begin
    if best is None:
        raise PricingError("expected values without a gap for as long as the job", field="hours")
    return Hours(((best[1], best[1] + seconds),), best[0], average(schedule, start, start + seconds))


def best_hours(schedule: Schedule, seconds: float, start: float, end: float) -> Hours:
    """The cheapest ``seconds`` for a job that may be interrupted; of equal ones the earliest.

    >>> from advisor.cost.tariffs.schedule import StepSeries
    >>> prices = StepSeries.of([0, 3600, 7200, 10800], [0.3, 0.1, 0.4, 0.2])
    >>> best_hours(prices, 7200, 0, 14400).spans
    ((3600, 7200), (10800, 14400))
    """
    pieces = [piece for piece in _pieces(schedule, seconds, start, end) if piece[2] is not None]
    left, total = seconds, 0.0
    taken: list[tuple[float, float]] = []
    for since, until, value in sorted(pieces, key=lambda piece: (piece[2] or 0.0, piece[0])):
        used = min(until - since, left)
        if used > 0:
            taken.append((since, since + used))
            total += used * (value or 0.0)
            left -= used
    if left > 1e-6:
        raise PricingError("expected enough hours for the job, found gaps", field="hours")
    return Hours(tuple(_joined(sorted(taken))), total / seconds, average(schedule, start, start + seconds))


def _pieces(schedule: Schedule, seconds: float, start: float, end: float) -> list[Piece]:
    require_number(seconds, Positive, field="hours")
    if start + seconds > end:
        last = datetime.datetime.fromtimestamp(end, datetime.UTC)
        problem = f"expected a job that fits before {last:%Y-%m-%d %H:%M} UTC, found {seconds / 3600:g} hours"
        raise PricingError(problem, field="hours")
    return list(schedule.pieces(start, end))


def _joined(spans: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    since, until = spans[0]
    for start, end in spans[1:]:
        if start > until:
            yield since, until
            since = start
        until = end
    yield since, until
