"""What it costs: money and carbon of a scenario, of a machine and of a month."""

from advisor.cost.model import CostModel

__all__ = ["CostModel"]
