"""Power over time as straight lines between samples, and exact integrals of it against a schedule."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from advisor.cost.tariffs.schedule import Schedule
from advisor.errors import PricingError
from advisor.results import Scenario
from advisor.results.derived import bridged_spans, duration_seconds

_FIRST_REAL_UNIX_SECONDS = 1e8
"""Earlier suites count samples from 0 when they did not write a start; such times are no dates (1973)."""

Span = tuple[float, float, float, float]
"""Start and end in seconds, the value at the start and at the end."""


class LoadCurve(Struct, frozen=True):
    """A piecewise linear quantity over time: watts give joules, cores give core-seconds.

    ``spans`` are in order and do not overlap; between two of them nothing is known and nothing is counted.
    """

    spans: tuple[Span, ...]
    gap_seconds: float = 0.0
    """Seconds inside gaps of the samples that were not bridged."""

    @classmethod
    def from_samples(cls, timestamps: Sequence[float], values: Sequence[float | None]) -> LoadCurve:
        """The lines between samples; a gap longer than twice the usual step is left out and reported.

        >>> LoadCurve.from_samples([0, 10, 20, 30, 40], [100, 150, 200, 180, 120]).total()
        6400.0
        """
        if len(timestamps) != len(values):
            raise PricingError(
                f"expected as many values as timestamps ({len(timestamps)}), found {len(values)}",
                field="values",
            )
        spans, gap_seconds = bridged_spans(timestamps, values)
        return cls(tuple(spans), gap_seconds)

    def total(self) -> float:
        """The integral over all spans."""
        return math.fsum((end - start) * (v0 + v1) / 2 for start, end, v0, v1 in self.spans)

    def totals_by_value(self, schedule: Schedule) -> dict[float | None, float]:
        """The integral split by the schedule's value at each moment; None is where the schedule does not say.

        Summing per value first keeps the result exact: the prices are multiplied once each.
        """
        parts: defaultdict[float | None, list[float]] = defaultdict(list)
        if not self.spans:
            return {}
        at = 0
        for start, end, value in schedule.pieces(self.spans[0][0], self.spans[-1][1]):
            while at < len(self.spans) and self.spans[at][0] < end:
                span = self.spans[at]
                since, until, v0, v1 = _cut(span, start, end)
                if until > since:
                    parts[value].append((until - since) * (v0 + v1) / 2)
                if span[1] > end:
                    break
                at += 1
        return {value: math.fsum(amounts) for value, amounts in parts.items()}


def _cut(span: Span, start: float, end: float) -> Span:
    since, until, before, after = span
    if start <= since and until <= end:
        return span
    slope = (after - before) / (until - since)
    first, last = max(start, since), min(end, until)
    return first, last, before + slope * (first - since), after - slope * (until - last)


def weighted_total(totals: Mapping[float | None, float]) -> float | None:
    """The sum of value x amount over `LoadCurve.totals_by_value`; None when a value is unknown."""
    parts = [value * quantity for value, quantity in totals.items() if value is not None]
    return math.fsum(parts) if len(parts) == len(totals) else None


def load_curve(scenario: Scenario, joules: float) -> LoadCurve | None:
    """When the ``joules`` were used: in the shape of the power samples, else evenly over the window.

    The curve's total is ``joules``: samples only say when. None where nothing says at what time it was.
    """
    samples = scenario.samples
    if samples is not None and samples.power_watts and min(samples.timestamps) > _FIRST_REAL_UNIX_SECONDS:
        curve = LoadCurve.from_samples(samples.timestamps, samples.power_watts)
        if (total := curve.total()) > 0:
            factor = joules / total
            return LoadCurve(tuple((a, b, v0 * factor, v1 * factor) for a, b, v0, v1 in curve.spans))
    start, duration = scenario.start_time, duration_seconds(scenario)
    if not start or not duration:
        return None
    return LoadCurve(((start, start + duration, joules / duration, joules / duration),))
