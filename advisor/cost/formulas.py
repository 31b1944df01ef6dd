"""The formulas of money that more than one place needs; docs/cost.md has sources and examples.

Prices are in one currency, which the caller keeps; nothing here rounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from advisor.cost.checks import Positive, Ratio, require_number
from advisor.errors import PricingError

JOULES_PER_KWH = 3.6e6
HOURS_PER_MONTH = 730.0
"""8 760 hours a year over 12 months: what cloud price lists use."""
HOURS_PER_YEAR = 8760.0


def amortised_per_hour(
    purchase_price: float,
    lifetime_years: float,
    *,
    residual_value: float = 0.0,
    utilisation_ratio: float = 1.0,
) -> float:
    """Currency per hour of use of a host that was bought.

    >>> round(amortised_per_hour(8000, 4), 3), round(amortised_per_hour(8000, 4, utilisation_ratio=0.5), 3)
    (0.228, 0.457)
    """
    bought = require_number(purchase_price, field="purchase_price")
    residual = require_number(residual_value, field="residual_value")
    if residual > bought:
        raise PricingError(f"expected at most the purchase price, found {residual:g}", field="residual_value")
    hours = require_number(lifetime_years, Positive, field="lifetime_years") * HOURS_PER_YEAR
    used = hours * require_number(utilisation_ratio, Ratio, field="utilisation_ratio")
    return (bought - residual) / used


def split_price(total: float, weights: Mapping[str, float]) -> dict[str, float]:
    """Split one price over resources in proportion to their base prices (OpenCost specification, appendix A).

    It makes ``cpu_cost_per_hour`` and ``gpu_cost_per_hour`` of the price of a node that has both.

    >>> split_price(35, {"gpu": 30, "cpu": 30, "ram": 10})
    {'gpu': 15.0, 'cpu': 15.0, 'ram': 5.0}
    """
    parts = {name: require_number(weight, field=name) for name, weight in weights.items()}
    whole = require_number(math.fsum(parts.values()), Positive, field="weights")
    return {name: total * weight / whole for name, weight in parts.items()}
