"""What a kilowatt-hour costs, or emits, at each moment.

A schedule is a step function of time: it holds a value until the next one begins and never interpolates.
`Flat` is one value; `StepSeries` holds the values of a file; `time_of_use` follows the clock of a place.
``pieces`` cuts a window where the value changes, so that each piece of energy is priced at its own moment.
The same three carry prices (currency per kWh) and carbon intensities (grams per kWh). Demand charges (a price
per kW of the month's peak) are out of scope.
"""

from __future__ import annotations

import itertools
import statistics
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from advisor.errors import PricingError

_AROUND = 12
"""Steps on either side that say which step is usual."""
_LONGEST_STEP = 1.5
"""Times the usual one: months and years differ in length, a row that is missing doubles a step."""

Piece = tuple[float, float, float | None]
"""Start and end in Unix seconds, and the value in between; None where the schedule does not say."""


@runtime_checkable
class Schedule(Protocol):
    """A step function of time."""

    def pieces(self, start: float, end: float) -> Iterator[Piece]:
        """Cut ``start`` to ``end`` (Unix seconds) into pieces of one value, in order and without holes."""
        ...


class Flat(Struct, frozen=True):
    """One value at all times."""

    value: float

    def pieces(self, start: float, end: float) -> Iterator[Piece]:
        """The window itself."""
        if end > start:
            yield start, end, self.value


class StepSeries(Struct, frozen=True):
    """Values that hold from their time until the next one.

    The last one holds for ``hold_seconds``; before the first and after that the value is unknown. A value of
    None is a hole.
    """

    times: tuple[float, ...]
    """Unix seconds, strictly rising."""
    values: tuple[float | None, ...]
    hold_seconds: float

    @classmethod
    def of(
        cls, times: Sequence[float], values: Sequence[float | None], hold_seconds: float | None = None
    ) -> StepSeries:
        """Check and build; a value holds until the next one, but at most for ``hold_seconds``.

        Without it a value holds for the usual step around it: a step of one and a half times that, or more,
        is a hole in the series.

        >>> average(StepSeries.of([0, 300, 600, 900], [10, 20, 30, 40]), 240, 1200)
        28.75
        """
        if not times or len(times) != len(values):
            raise PricingError(f"expected as many times as values, found {len(times)} and {len(values)}")
        steps = [after - before for before, after in itertools.pairwise(times)]
        if any(step <= 0 for step in steps):
            index = next(i for i, step in enumerate(steps) if step <= 0) + 1
            raise PricingError("expected a time after the one before it", field=f"row {index + 1}")
        if hold_seconds is None and not steps:
            raise PricingError("expected two rows or more, or hold_seconds for a single row")
        usual = [hold_seconds] * len(times) if hold_seconds is not None else _usual_steps(steps)
        longest = 1.0 if hold_seconds is not None else _LONGEST_STEP
        moments: list[float] = []
        held_values: list[float | None] = []
        for moment, value, step, hold in zip(times, values, [*steps, 0.0], usual, strict=True):
            moments.append(moment)
            held_values.append(value)
            if step > hold * longest and value is not None:
                moments.append(moment + hold)
                held_values.append(None)
        return cls(tuple(moments), tuple(held_values), usual[-1])

    def pieces(self, start: float, end: float) -> Iterator[Piece]:
        """One piece for each value that holds within the window."""
        count, last = len(self.times), self.times[-1] + self.hold_seconds
        index = bisect_right(self.times, start)
        while start < end:
            if index == count and start >= last:
                yield start, end, None
                return
            until = min(self.times[index] if index < count else last, end)
            yield start, until, self.values[index - 1] if index else None
            start, index = until, min(index + 1, count)


def _usual_steps(steps: Sequence[float]) -> list[float]:
    """For each value the median of the steps around it: markets changed from hours to quarters of an hour."""
    window = [steps[max(i - _AROUND, 0) : i + _AROUND + 1] for i in range(len(steps))]
    usual = [statistics.median_low(around) for around in window]
    return [*usual, usual[-1]]


class Scaled(Struct, frozen=True):
    """Another schedule in another unit or currency, with what is added to each value."""

    schedule: Schedule
    factor: float
    added: float = 0.0

    def pieces(self, start: float, end: float) -> Iterator[Piece]:
        """The other schedule's pieces, each value times the factor, plus what is added."""
        for since, until, value in self.schedule.pieces(start, end):
            yield since, until, None if value is None else value * self.factor + self.added


def scaled(schedule: Schedule, factor: float, added: float = 0.0) -> Schedule:
    """Each value times ``factor``, plus ``added``."""
    if isinstance(schedule, Flat):
        return Flat(schedule.value * factor + added)
    return Scaled(schedule, factor, added)


class SourcedSchedule(Struct, frozen=True):
    """A price or an intensity over time, and where it is from."""

    schedule: Schedule
    source: str
    currency: str | None = None
    """Of a price; None is the process's own."""
    basis: str | None = None
    period: str | None = None
    """The year, or the months, that it stands for."""
    per_hour: float = 0.0
    """Of a price: what an hour costs whatever is used."""

    @property
    def newest_unix_seconds(self) -> float | None:
        """When the last value of a series began; None for what covers all time."""
        series = _series(self.schedule)
        return None if series is None else series.times[-1]


def _series(schedule: Schedule) -> StepSeries | None:
    while isinstance(schedule, Scaled):
        schedule = schedule.schedule
    return schedule if isinstance(schedule, StepSeries) else None


def flat_value(given: SourcedSchedule | None) -> float | None:
    """The value where it is one at all times; None where it is unknown or changes."""
    return given.schedule.value if given is not None and isinstance(given.schedule, Flat) else None


def covered(schedule: Schedule) -> tuple[float, float] | None:
    """First and last moment (Unix seconds) that the series covers; None for what covers all time."""
    series = _series(schedule)
    return None if series is None else (series.times[0], series.times[-1] + series.hold_seconds)


def value_at(schedule: Schedule, moment: float) -> float | None:
    """The value at one instant (Unix seconds).

    >>> value_at(Flat(0.12), 0.0)
    0.12
    """
    return next(schedule.pieces(moment, moment + 1.0))[2]


def average(schedule: Schedule, start: float, end: float) -> float | None:
    """The mean over a window, each value weighted by how long it holds; None when a part is unknown.

    Source: the averages of carbon-aware schedulers (``AverageOverPeriod`` of the Carbon Aware SDK).

    >>> average(StepSeries.of([0, 300, 600, 900], [10, 20, 30, 40]), 0, 1200)
    25.0
    """
    if end <= start:
        raise PricingError(f"expected an end after the start, found {start} to {end}", field="end")
    total = 0.0
    for since, until, value in schedule.pieces(start, end):
        if value is None:
            return None
        total += (until - since) * value
    return total / (end - start)
