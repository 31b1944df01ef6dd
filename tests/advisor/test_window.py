"""Counters and gauges over windows whose true content is known."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.window import counter_window, gauge_window, scrape_step

SCRAPES = np.arange(1.3, 100, 5.0)


def _joules(times: np.ndarray, start: float = 22.0, end: float = 67.0) -> np.ndarray:
    """30 W always, and 90 W more from ``start`` to ``end``."""
    return 30 * times + 90 * (np.clip(times, start, end) - start)


def test_power_that_steps_at_the_edges_is_exact() -> None:
    found = counter_window(SCRAPES, _joules(SCRAPES), 22, 67)
    assert found is not None
    assert found.amount == pytest.approx(45 * 120)
    assert (found.samples_inside, found.step_seconds, found.uncovered_seconds) == (9, 5.0, 0.0)


def test_a_restart_from_zero_is_bridged_at_the_mean_of_the_rest() -> None:
    values = _joules(SCRAPES)
    values[10:] -= values[10] - 50
    found = counter_window(SCRAPES, values, 22, 67)
    assert found is not None
    assert found.amount == pytest.approx(45 * 120)
    assert (found.resets, found.uncovered_seconds) == (1, 5.0)


def test_a_gap_inside_loses_no_energy_but_is_counted() -> None:
    kept = (SCRAPES < 35) | (SCRAPES > 55)
    found = counter_window(SCRAPES[kept], _joules(SCRAPES)[kept], 22, 67)
    assert found is not None
    assert found.amount == pytest.approx(45 * 120)
    assert found.gap_seconds == pytest.approx(25.0)
    assert found.uncovered_seconds == 0


def test_a_gap_over_an_edge_is_not_covered() -> None:
    """Scrapes stop at 46.3 and come back at 76.3: 20.7 s of the window are not known."""
    kept = (SCRAPES < 47) | (SCRAPES > 75)
    found = counter_window(SCRAPES[kept], _joules(SCRAPES)[kept], 22, 67)
    assert found is not None
    assert found.uncovered_seconds == pytest.approx(67 - 46.3)


def test_samples_that_are_no_numbers_are_left_out() -> None:
    values = _joules(SCRAPES)
    values[7] = np.nan
    found = counter_window(SCRAPES, values, 22, 67)
    assert found is not None
    assert found.amount == pytest.approx(45 * 120)


@pytest.mark.parametrize(("start", "end"), [(200.0, 210.0), (-20.0, 0.0), (50.0, 50.0)])
def test_a_window_that_no_samples_meet_is_nothing(start: float, end: float) -> None:
    assert counter_window(SCRAPES, _joules(SCRAPES), start, end) is None


def test_one_sample_is_nothing() -> None:
    assert counter_window(np.array([5.0]), np.array([1.0]), 0, 10) is None
    assert scrape_step(np.array([5.0])) is None


def test_a_gauge_is_weighted_by_time() -> None:
    """Five samples of 10 W are 5.25 s, two sparse ones of 20 W for 4.25 s (at most 1.25 to a side)."""
    times = np.array([0.5, 1.5, 2.5, 3.5, 4.5, 6.0, 9.0])
    found = gauge_window(times, np.array([10.0] * 5 + [20.0] * 2), 0, 10)
    assert found is not None
    assert found.mean == pytest.approx((10 * 5.25 + 20 * 4.25) / 9.5)
    assert (found.min, found.median, found.max, found.samples) == (10, 10, 20, 7)


def test_a_single_sample_has_no_spread_and_an_empty_window_nothing() -> None:
    one = gauge_window(np.array([5.0]), np.array([50.0]), 0, 10)
    assert one is not None
    assert (one.mean, one.stdev) == (50.0, None)
    assert gauge_window(np.array([50.0]), np.array([50.0]), 0, 10) is None
    assert gauge_window(np.array([5.0]), np.array([np.nan]), 0, 10) is None
