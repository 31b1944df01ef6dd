"""Counters and gauges over spans whose true content is known."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.prometheus.window_statistics import (
    CounterGain,
    GaugeStatistics,
    ScrapedSeries,
    TimeSpan,
    counter_gain,
    gauge_statistics,
)

SCRAPES = np.arange(1.3, 100, 5.0)


def _gain(times: np.ndarray, values: np.ndarray, start: float, end: float) -> CounterGain:
    span = TimeSpan(start, end)
    gain = counter_gain(ScrapedSeries({}, times, values).near(span), span)
    assert gain is not None
    return gain


def _statistics(times: np.ndarray, values: np.ndarray, start: float, end: float) -> GaugeStatistics | None:
    span = TimeSpan(start, end)
    return gauge_statistics(ScrapedSeries({}, times, values).near(span), span)


def _joules(times: np.ndarray, start: float = 22.0, end: float = 67.0) -> np.ndarray:
    """30 W always, and 90 W more from ``start`` to ``end``."""
    return 30 * times + 90 * (np.clip(times, start, end) - start)


def test_power_that_steps_at_the_edges_is_exact() -> None:
    gain = _gain(SCRAPES, _joules(SCRAPES), 22, 67)
    assert gain.amount == pytest.approx(45 * 120)
    assert (gain.samples_inside, gain.step_seconds, gain.uncovered_seconds) == (9, 5.0, 0.0)


def test_a_restart_from_zero_is_bridged_at_the_mean_of_the_rest() -> None:
    values = _joules(SCRAPES)
    values[10:] -= values[10] - 50
    gain = _gain(SCRAPES, values, 22, 67)
    assert gain.amount == pytest.approx(45 * 120)
    assert (gain.resets, gain.uncovered_seconds) == (1, 5.0)


def test_what_a_counter_holds_after_a_restart_was_spent() -> None:
    """30 W for 40 s, then 1000 J in the 5 s after a restart, where the mean would say 150 J."""
    values = 5000 + 30 * SCRAPES
    values[10:] += 1000 - values[10]
    assert _gain(SCRAPES, values, 21.3, 61.3).amount == pytest.approx(35 * 30 + 1000)


OLD = 668_000 + 100 * np.arange(0, 300, 15.0)
"""A counter that has run for long, at 100 W."""


def test_a_counter_that_was_set_back_has_not_begun_anew() -> None:
    """An exporter that was killed goes on from what it had saved 16 s before: 668 000 J were not spent."""
    values = OLD.copy()
    values[10:] -= 1600
    gain = _gain(np.arange(0, 300, 15.0), values, 60, 240)
    assert gain.amount == pytest.approx(180 * 100)
    assert (gain.resets, gain.uncovered_seconds) == (1, 15.0)


def test_a_sample_of_another_server_is_left_out() -> None:
    """Of two servers that scrape one exporter the answers are merged; the clock of one is 16 s behind."""
    values = OLD.copy()
    values[10] -= 1600
    gain = _gain(np.arange(0, 300, 15.0), values, 60, 240)
    assert gain.amount == pytest.approx(180 * 100)
    assert (gain.resets, gain.uncovered_seconds) == (0, 0.0)


def test_samples_of_two_servers_in_turn_are_those_of_one() -> None:
    """Every second sample is 20 s ahead of its time: 2 000 J too many, and no more of them at the end."""
    times = np.arange(0, 600, 7.5)
    values = 668_000 + 100 * times
    values[1::2] += 2000
    assert _gain(times, values, 60, 540).amount == pytest.approx(480 * 100, rel=0.01)


def test_a_gap_inside_loses_no_energy_but_is_counted() -> None:
    kept = (SCRAPES < 35) | (SCRAPES > 55)
    gain = _gain(SCRAPES[kept], _joules(SCRAPES)[kept], 22, 67)
    assert gain.amount == pytest.approx(45 * 120)
    assert gain.gap_seconds == pytest.approx(25.0)
    assert gain.uncovered_seconds == 0


def test_a_gap_over_an_edge_is_not_covered() -> None:
    """Scrapes stop at 46.3 and come back at 76.3: 20.7 s of the span are not known."""
    kept = (SCRAPES < 47) | (SCRAPES > 75)
    assert _gain(SCRAPES[kept], _joules(SCRAPES)[kept], 22, 67).uncovered_seconds == pytest.approx(67 - 46.3)


def test_samples_that_are_no_numbers_are_left_out() -> None:
    values = _joules(SCRAPES)
    values[7] = np.nan
    assert _gain(SCRAPES, values, 22, 67).amount == pytest.approx(45 * 120)


@pytest.mark.parametrize(("start", "end"), [(200.0, 210.0), (-20.0, 0.0), (50.0, 50.0)])
def test_a_span_that_no_samples_meet_is_nothing(start: float, end: float) -> None:
    series = ScrapedSeries({}, SCRAPES, _joules(SCRAPES))
    assert counter_gain(series, TimeSpan(start, end)) is None


def test_one_sample_is_nothing() -> None:
    series = ScrapedSeries({}, np.array([5.0]), np.array([1.0]))
    assert counter_gain(series, TimeSpan(0.0, 10.0)) is None
    assert not len(series.near(TimeSpan(0.0, 4.9)).times)


def test_a_gauge_is_weighted_by_time() -> None:
    """Five samples of 10 W are 5.25 s, two sparse ones of 20 W for 4.25 s (at most 1.25 to a side)."""
    times = np.array([0.5, 1.5, 2.5, 3.5, 4.5, 6.0, 9.0])
    power = _statistics(times, np.array([10.0] * 5 + [20.0] * 2), 0, 10)
    assert power is not None
    assert power.mean == pytest.approx((10 * 5.25 + 20 * 4.25) / 9.5)
    assert (power.min, power.median, power.max) == (10, 10, 20)


def test_a_single_sample_has_no_spread_and_an_empty_span_nothing() -> None:
    one = _statistics(np.array([5.0]), np.array([50.0]), 0, 10)
    assert one is not None
    assert (one.mean, one.stdev) == (50.0, None)
    assert _statistics(np.array([50.0]), np.array([50.0]), 0, 10) is None
    assert _statistics(np.array([5.0]), np.array([np.nan]), 0, 10) is None


@pytest.mark.parametrize(
    ("start", "end", "joules", "median"),
    [
        (22, 67, 5400, 46.3),
        (80, 90, 300, 83.8),
        (5, 15, 300, 8.8),
        (22, 90, 5400 + 23 * 30, 56.3),
        (31.3, 41.3, 1200, 36.3),
    ],
)
def test_spans_anywhere_in_a_series(start: float, end: float, joules: float, median: float) -> None:
    """30 W, and 120 W from 22 to 67; a gauge whose value is its own time."""
    assert _gain(SCRAPES, _joules(SCRAPES), start, end).amount == pytest.approx(joules)
    gauge = _statistics(SCRAPES, SCRAPES, start, end)
    assert gauge is not None
    assert gauge.median == pytest.approx(median)


def test_scrapes_that_came_more_often_later_tell_of_what_was_before() -> None:
    """Every minute for an hour, then every 5 s for two: 100 W over the 240 s between two of the first."""
    times = np.concatenate([np.arange(0.0, 3600, 60), np.arange(3600.0, 10_800, 5)])
    gain = _gain(times, 100 * times, 630, 870)
    assert (gain.amount, gain.uncovered_seconds) == (pytest.approx(24_000), 0)


def test_without_neighbours_an_edge_is_split_by_time() -> None:
    """The first interval of all has none before it: 2 s of its 5 s at 80 W are in the span."""
    times = np.array([0.0, 5.0, 10.0])
    assert _gain(times, np.array([0.0, 400, 1400]), 3, 10).amount == pytest.approx(160 + 1000)
