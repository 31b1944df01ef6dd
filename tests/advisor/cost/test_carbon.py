"""The formulas of carbon and money at their limits; published cases are in test_reference_cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from advisor.cost import carbon, formulas
from advisor.cost.carbon import Embodied
from advisor.errors import PricingError


def test_embodied_is_capped_at_the_whole_and_shared() -> None:
    """4 years are 35 040 hours."""
    assert Embodied(1000, 4).share_kg(40_000 * 3600) == 1000
    assert Embodied(1000, 4, reserved_share=0.25).share_kg(17_520 * 3600) == 125


def test_sci_is_absent_without_functional_units() -> None:
    assert carbon.sci_grams_per_unit(10, 5, 0) is None
    assert carbon.sci_grams_per_unit(10, 5, None) is None
    assert carbon.sci_grams_per_unit(10, 5, 3) == 5


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: Embodied(10, 0), "lifetime_years: expected a number above 0"),
        (lambda: Embodied(10, 4, minimum_kg=11), "embodied_minimum_kg: expected at most 10"),
        (lambda: Embodied(10, 4, maximum_kg=9), "embodied_maximum_kg: expected at least 10"),
        (lambda: Embodied(10, 4, reserved_share=1.5), "reserved_share: expected a number of at most 1"),
        (lambda: formulas.split_price(10, {"a": 0}), "weights: expected a number above 0"),
        (
            lambda: formulas.amortised_per_hour(100, 4, residual_value=101),
            "residual_value: expected at most the purchase price, found 101",
        ),
        (lambda: formulas.amortised_per_hour(100, 4, utilisation_ratio=0), "utilisation_ratio"),
    ],
)
def test_what_cannot_be_is_refused_by_name(call: Callable[[], Any], problem: str) -> None:
    with pytest.raises(PricingError, match=problem):
        call()
