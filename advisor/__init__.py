"""The knowledge of Wattframe: energy, quality, money, carbon, scores, models and advice.

The names below are the public Python API. Each is loaded when it is first used, so that ``import advisor``
brings neither numpy nor scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.advice.recommender import TranscodingRecommender
    from advisor.cost.model import CostModel
    from advisor.cost.regions.pricing import RegionalPricing
    from advisor.prometheus.client import PrometheusClient
    from advisor.regression.linear import LinearPredictor, PolynomialPredictor, PowerPredictor
    from advisor.regression.multivariate import MultivariatePredictor
    from advisor.scoring import EnergyEfficiencyScorer

_HOMES = {
    "CostModel": "advisor.cost.model",
    "EnergyEfficiencyScorer": "advisor.scoring",
    "LinearPredictor": "advisor.regression.linear",
    "MultivariatePredictor": "advisor.regression.multivariate",
    "PolynomialPredictor": "advisor.regression.linear",
    "PowerPredictor": "advisor.regression.linear",
    "PrometheusClient": "advisor.prometheus.client",
    "RegionalPricing": "advisor.cost.regions.pricing",
    "TranscodingRecommender": "advisor.advice.recommender",
}

__all__ = [
    "CostModel",
    "EnergyEfficiencyScorer",
    "LinearPredictor",
    "MultivariatePredictor",
    "PolynomialPredictor",
    "PowerPredictor",
    "PrometheusClient",
    "RegionalPricing",
    "TranscodingRecommender",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'advisor' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
