"""When to run: against every begin tried one by one."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.cost.tariffs.schedule import StepSeries
from advisor.cost.when_to_run import best_hours, best_window
from advisor.errors import PricingError

DAY = [30, 28, 10, 12, 25, 40, 45, 20]


def series(values: list[int | None]) -> StepSeries:
    return StepSeries.of(
        [3600 * i for i in range(len(values))], [v if v is None else float(v) for v in values]
    )


def test_the_cheapest_stretch_and_what_waiting_saves() -> None:
    """Hours 2 and 3 are 11 on average, where the first two are 29."""
    best = best_window(series(DAY), 7200, 0, 8 * 3600)
    assert best.spans == ((7200.0, 14_400.0),)
    assert (best.mean, best.mean_at_once) == (pytest.approx(11), 29)
    assert best.saving_ratio == pytest.approx(1 - 11 / 29)


def test_a_job_that_may_be_interrupted_takes_the_cheapest_hours() -> None:
    """10, 12 and 20: two stretches."""
    best = best_hours(series(DAY), 3 * 3600, 0, 8 * 3600)
    assert best.spans == ((7200, 14_400), (25_200, 28_800))
    assert best.mean == pytest.approx(14)


@given(st.lists(st.integers(-20, 90), min_size=2, max_size=20), st.integers(1, 60), st.integers(0, 10))
def test_no_begin_on_the_minute_is_better(values: list[int], minutes: int, first: int) -> None:
    """Ten-minute steps of begin, sums of fractions; a job longer than an hour goes over an edge."""
    end, length = 3600 * len(values), 600 * minutes
    start = 600 * min(first, 5)
    if start + length > end:
        return
    tenths = [Fraction(v) for v in values for _ in range(6)]
    means = [sum(tenths[i : i + minutes]) / minutes for i in range(start // 600, len(tenths) - minutes + 1)]
    best = best_window(series([*values]), length, start, end)
    assert best.mean == pytest.approx(float(min(means)), abs=1e-9)
    parts = best_hours(series([*values]), length, start, end)
    assert parts.mean == pytest.approx(
        float(sum(sorted(tenths[start // 600 :])[:minutes]) / minutes), abs=1e-9
    )


def test_a_hole_is_not_run_in() -> None:
    holes = series([1, None, 5, 5, None, 9])
    assert best_window(holes, 7200, 0, 6 * 3600).spans == ((7200.0, 14_400.0),)
    with pytest.raises(PricingError, match="without a gap"):
        best_window(holes, 3 * 3600, 0, 6 * 3600)


def test_a_job_that_does_not_fit_is_refused() -> None:
    with pytest.raises(PricingError, match="hours: expected a job that fits before 1970-01-01 08:00 UTC"):
        best_window(series(DAY), 9 * 3600, 0, 8 * 3600)


def test_where_all_begins_are_alike_the_job_begins_at_once() -> None:
    """730 hours at one intensity: sums of a million g s/kWh differ by rounding."""
    flat = StepSeries.of([1.7e9 + 3600 * i for i in range(730)], [412.345678] * 730)
    assert best_window(flat, 9000, 1.7e9, 1.7e9 + 730 * 3600).spans[0][0] == 1.7e9
