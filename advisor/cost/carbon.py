"""The formulas of carbon; docs/cost.md has sources and examples.

Operational emissions are location-based: energy of the building times the intensity of the grid that it hangs
on, without certificates. Embodied emissions are the share of what making the hardware emitted.
"""

from __future__ import annotations

from typing import Literal

from advisor.cost.checks import CheckedInputs, Positive, Quantity, Ratio
from advisor.cost.formulas import HOURS_PER_YEAR
from advisor.errors import PricingError

FunctionalUnit = Literal["video_minute", "watch_hour", "gigapixel"]


class Embodied(CheckedInputs, frozen=True):
    """What making the host emitted; sources differ, so a least and a most may stand beside it."""

    kg: Quantity
    lifetime_years: Positive
    minimum_kg: Quantity | None = None
    maximum_kg: Quantity | None = None
    reserved_share: Ratio = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minimum_kg is not None and self.minimum_kg > self.kg:
            raise PricingError(f"expected at most {self.kg:g}", field="embodied_minimum_kg")
        if self.maximum_kg is not None and self.maximum_kg < self.kg:
            raise PricingError(f"expected at least {self.kg:g}", field="embodied_maximum_kg")

    def share_kg(self, used_seconds: float, total_kg: float | None = None) -> float:
        """Kilograms that belong to ``used_seconds`` of the host, at most all; ``total_kg`` replaces ``kg``.

        Source: the term M of the Software Carbon Intensity specification (ISO/IEC 21031:2024).

        >>> round(Embodied(1000, 4).share_kg(3600), 6)
        0.028539
        """
        lifetime_seconds = self.lifetime_years * HOURS_PER_YEAR * 3600
        kg = self.kg if total_kg is None else total_kg
        return kg * min(used_seconds / lifetime_seconds, 1.0) * self.reserved_share


def sci_grams_per_unit(operational: float, embodied: float, functional_units: float | None) -> float | None:
    """Software Carbon Intensity, (O + M) / R in grams per functional unit; None when R is 0 or not declared.

    >>> sci_grams_per_unit(5.02, 0.0, functional_units=100)
    0.050199...
    """
    return (operational + embodied) / functional_units if functional_units else None
