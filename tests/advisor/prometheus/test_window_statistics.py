"""Counters and gauges over windows whose true content is known."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.prometheus.window_statistics import (
    CounterWindows,
    GaugeWindows,
    Windows,
    counter_windows,
    gauge_windows,
    scrape_step,
)

SCRAPES = np.arange(1.3, 100, 5.0)


def _windows(*pairs: tuple[float, float]) -> Windows:
    starts, ends = np.array(pairs, dtype=float).reshape(-1, 2).T
    return Windows(starts, ends)


def _counter(times: np.ndarray, values: np.ndarray, start: float, end: float) -> CounterWindows:
    """One window, alone; its figures are arrays of one."""
    return counter_windows(times, values, _windows((start, end)), 15.0)


def _gauge(times: np.ndarray, values: np.ndarray, start: float, end: float) -> GaugeWindows:
    return gauge_windows(times, values, _windows((start, end)), 15.0)


def _joules(times: np.ndarray, start: float = 22.0, end: float = 67.0) -> np.ndarray:
    """30 W always, and 90 W more from ``start`` to ``end``."""
    return 30 * times + 90 * (np.clip(times, start, end) - start)


def test_power_that_steps_at_the_edges_is_exact() -> None:
    found = _counter(SCRAPES, _joules(SCRAPES), 22, 67)
    assert found.amount == pytest.approx(45 * 120)
    assert (found.samples_inside, found.step_seconds, found.uncovered_seconds) == (9, 5.0, 0.0)


def test_a_restart_from_zero_is_bridged_at_the_mean_of_the_rest() -> None:
    values = _joules(SCRAPES)
    values[10:] -= values[10] - 50
    found = _counter(SCRAPES, values, 22, 67)
    assert found.amount == pytest.approx(45 * 120)
    assert (found.resets, found.uncovered_seconds) == (1, 5.0)


def test_a_gap_inside_loses_no_energy_but_is_counted() -> None:
    kept = (SCRAPES < 35) | (SCRAPES > 55)
    found = _counter(SCRAPES[kept], _joules(SCRAPES)[kept], 22, 67)
    assert found.amount == pytest.approx(45 * 120)
    assert found.gap_seconds == pytest.approx(25.0)
    assert found.uncovered_seconds == 0


def test_a_gap_over_an_edge_is_not_covered() -> None:
    """Scrapes stop at 46.3 and come back at 76.3: 20.7 s of the window are not known."""
    kept = (SCRAPES < 47) | (SCRAPES > 75)
    found = _counter(SCRAPES[kept], _joules(SCRAPES)[kept], 22, 67)
    assert found.uncovered_seconds == pytest.approx(67 - 46.3)


def test_samples_that_are_no_numbers_are_left_out() -> None:
    values = _joules(SCRAPES)
    values[7] = np.nan
    found = _counter(SCRAPES, values, 22, 67)
    assert found.amount == pytest.approx(45 * 120)


@pytest.mark.parametrize(("start", "end"), [(200.0, 210.0), (-20.0, 0.0), (50.0, 50.0)])
def test_a_window_that_no_samples_meet_is_nothing(start: float, end: float) -> None:
    assert np.isnan(_counter(SCRAPES, _joules(SCRAPES), start, end).amount)


def test_one_sample_is_nothing() -> None:
    assert np.isnan(_counter(np.array([5.0]), np.array([1.0]), 0, 10).amount)
    assert scrape_step(np.array([5.0])) is None


def test_a_gauge_is_weighted_by_time() -> None:
    """Five samples of 10 W are 5.25 s, two sparse ones of 20 W for 4.25 s (at most 1.25 to a side)."""
    times = np.array([0.5, 1.5, 2.5, 3.5, 4.5, 6.0, 9.0])
    found = _gauge(times, np.array([10.0] * 5 + [20.0] * 2), 0, 10)
    assert found.mean == pytest.approx((10 * 5.25 + 20 * 4.25) / 9.5)
    assert (found.min, found.median, found.max, found.samples) == (10, 10, 20, 7)


def test_a_single_sample_has_no_spread_and_an_empty_window_nothing() -> None:
    one = _gauge(np.array([5.0]), np.array([50.0]), 0, 10)
    assert (one.mean, np.isnan(one.stdev)) == (50.0, True)
    for moment, value in ((50.0, 50.0), (5.0, np.nan)):
        nothing = _gauge(np.array([moment]), np.array([value]), 0, 10)
        assert (np.isnan(nothing.mean), nothing.samples, nothing.covered_seconds) == (True, 0, 0)


def test_many_windows_in_any_order_are_each_as_if_alone() -> None:
    """30 W, and 120 W from 22 to 67: hand-made amounts of windows that overlap, touch and miss."""
    pairs = ((22, 67), (80, 90), (200, 210), (5, 15), (22, 90), (31.3, 41.3))
    found = counter_windows(SCRAPES, _joules(SCRAPES), _windows(*pairs), 15.0)
    expected = [5400, 300, np.nan, 300, 5400 + 23 * 30, 1200]
    assert found.amount == pytest.approx(expected, nan_ok=True)
    gauges = gauge_windows(SCRAPES, SCRAPES, _windows(*pairs), 15.0)
    assert gauges.samples.tolist() == [9, 2, 0, 2, 13, 3]
    assert gauges.median == pytest.approx([46.3, 83.8, np.nan, 8.8, 56.3, 36.3], nan_ok=True)
    assert gauges.min == pytest.approx([26.3, 81.3, np.nan, 6.3, 26.3, 31.3], nan_ok=True)
    assert gauges.max == pytest.approx([66.3, 86.3, np.nan, 11.3, 86.3, 41.3], nan_ok=True)


def test_without_neighbours_an_edge_is_split_by_time() -> None:
    """The first interval of all has none before it: 2 s of its 5 s at 80 W are in the window."""
    times = np.array([0.0, 5.0, 10.0])
    assert _counter(times, np.array([0.0, 400, 1400]), 3, 10).amount == pytest.approx(160 + 1000)
