"""What an interval may say."""

from __future__ import annotations

import math

import pytest

from advisor.regression.predictions import Estimate


def test_an_interval_is_a_factor_each_way() -> None:
    found = Estimate.of_log(math.log(50), math.log(2))
    assert found.low == pytest.approx(25)
    assert found.high == pytest.approx(100)


@pytest.mark.parametrize("half_width", [None, math.log(101), 1e3, math.inf, math.nan])
def test_what_could_be_anything_has_no_interval(half_width: float | None) -> None:
    """Between a billionth of a watt and a billion of them is no statement; beyond e**709 no float either."""
    found = Estimate.of_log(math.log(50), half_width)
    assert found.mean == pytest.approx(50)
    assert (found.low, found.high) == (None, None)
