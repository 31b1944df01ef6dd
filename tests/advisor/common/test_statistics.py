"""Spread of repeats."""

from __future__ import annotations

import pytest

from advisor.common.statistics import student_t_975, summarise


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    # two-sided 95 % column of the published tables (NIST/SEMATECH e-Handbook, 1.3.6.7.2)
    [
        (1, 12.706),
        (2, 4.303),
        (3, 3.182),
        (4, 2.776),
        (9, 2.262),
        (29, 2.045),
        (30, 2.042),
        (60, 2.000),
        (100, 1.984),
    ],
)
def test_student_quantiles_are_those_of_the_tables(degrees: int, quantile: float) -> None:
    assert student_t_975(degrees) == pytest.approx(quantile, abs=0.0005)


def test_interval_of_five_values_by_hand() -> None:
    """98, 99, 100, 101, 102: mean 100, stdev sqrt(10/4), half-width 2.776 * 1.5811 / sqrt(5) = 1.963."""
    summary = summarise([98.0, 99.0, 100.0, 101.0, 102.0])
    assert summary is not None
    assert (summary.count, summary.mean) == (5, 100.0)
    assert summary.stdev == pytest.approx(1.58114, abs=1e-5)
    assert summary.half_width == pytest.approx(1.963, abs=5e-4)


def test_one_value_says_nothing_of_spread() -> None:
    summary = summarise([7.0])
    assert summary is not None
    assert (summary.mean, summary.stdev, summary.half_width) == (7.0, None, None)


def test_no_values_have_no_summary() -> None:
    assert summarise([]) is None
