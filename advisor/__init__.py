"""Energy, quality, cost, carbon, scores, models and recommendations, as a library.

The names below are the public Python API. Each is loaded on first use, so ``import advisor`` does not load
numpy or scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.advice.configuration import Constraints, Option
    from advisor.advice.recommender import TranscodingRecommender
    from advisor.cost.model import CostModel
    from advisor.cost.regions.pricing import RegionalPricing
    from advisor.prometheus.client import PrometheusClient
    from advisor.regression.linear import LinearPredictor, PolynomialPredictor, PowerPredictor
    from advisor.regression.multivariate import MultivariatePredictor
    from advisor.results import Scenario, read_folder, read_run
    from advisor.scoring import EnergyEfficiencyScorer

    __version__: str

_HOMES = {
    "Constraints": "advisor.advice.configuration",
    "CostModel": "advisor.cost.model",
    "EnergyEfficiencyScorer": "advisor.scoring",
    "LinearPredictor": "advisor.regression.linear",
    "MultivariatePredictor": "advisor.regression.multivariate",
    "Option": "advisor.advice.configuration",
    "PolynomialPredictor": "advisor.regression.linear",
    "PowerPredictor": "advisor.regression.linear",
    "PrometheusClient": "advisor.prometheus.client",
    "RegionalPricing": "advisor.cost.regions.pricing",
    "Scenario": "advisor.results",
    "TranscodingRecommender": "advisor.advice.recommender",
    "read_folder": "advisor.results",
    "read_run": "advisor.results",
}

__all__ = [
    "Constraints",
    "CostModel",
    "EnergyEfficiencyScorer",
    "LinearPredictor",
    "MultivariatePredictor",
    "Option",
    "PolynomialPredictor",
    "PowerPredictor",
    "PrometheusClient",
    "RegionalPricing",
    "Scenario",
    "TranscodingRecommender",
    "read_folder",
    "read_run",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("wattframe")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'advisor' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
