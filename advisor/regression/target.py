"""What is learned of one target, and what it says of cases without any correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from advisor.regression.design import Design
from advisor.regression.features import Case
from advisor.regression.offsets import Spread
from advisor.regression.situations import Situation

__all__ = ["TargetModel", "both_ways", "log_predictions", "over_machines", "variances"]

Floats = NDArray[np.float64]


class TargetModel(Struct, kw_only=True):
    """All that is learned of one target."""

    predictor: Any
    ways: dict[str, float] = {}
    """Other targets whose powers multiply to this one; the mean (of logarithms) of that and of what
    ``predictor`` says is predicted. Empty where it alone is."""
    residuals: Floats = np.empty(0)
    """Held-out ``log(measured) - log(predicted)`` of the rows ``predictor.validated_``."""
    difficulty: Any = None
    """Predicts the absolute log error of a row; None where the rows are too few to tell."""
    typical_error: float = 0.0
    variation: float = 0.0
    """Variance of the target's logarithm over training: what a whole span of a setting may change."""
    spread: Spread = Spread()
    content: dict[str, dict[str, tuple[float, float]]] = {}
    """Of each video that training knows, by encoder: the correction, and the variance that it explains."""
    content_spread: Spread = Spread()
    """What errors share when the video is known."""
    situations: dict[str, Situation] = {}
    """What was held out in each situation of `advisor.regression.situations`."""

    @property
    def errors(self) -> dict[str, float]:
        """Grouped mean absolute error by situation, as a ratio."""
        return {name: s.error_ratio for name, s in self.situations.items()}

    @property
    def coverage(self) -> dict[str, float]:
        """Share of held-out rows inside 90 % prediction intervals, each by the scores of other groups."""
        return {name: s.coverage_ratio for name, s in self.situations.items() if s.coverage_ratio is not None}


def over_machines(design: Design, cases: Sequence[Case], predict: Any) -> Floats:
    """Log predictions of cases on a machine never seen: the mean over those that are known."""
    logs = [predict(design.matrix(cases, hardware=h)) for h in design.encoding.hardware]
    return np.asarray(np.mean(logs, axis=0))


def variances(difficulty: Any, typical_error: float, x: Floats) -> Floats:
    """The variance of each row's log error; the typical one where rows were too few to tell them apart."""
    typical = max(typical_error, 1e-4)
    if difficulty is None:
        return np.full(len(x), typical**2)
    # the standard deviation of a normal error is 1.2533 times its mean absolute value
    return np.asarray((1.2533 * np.maximum(difficulty.predict(x), 0.1 * typical)) ** 2)


def both_ways(own: Floats, parts: Sequence[tuple[float, Floats]]) -> Floats:
    """Log predictions of a target: its own, or the mean of it and of what the parts' powers multiply to."""
    if not parts:
        return own
    return np.asarray((own + np.sum([power * logs for power, logs in parts], axis=0)) / 2)


def log_predictions(
    design: Design, targets: Mapping[str, TargetModel], name: str, cases: Sequence[Case]
) -> tuple[Floats, Floats]:
    """Log predictions of a target and their variances, on machines known and unknown; shape (n,) each."""
    model = targets[name]
    predict = partial(_on_rows, targets, model)
    known = np.array([c.hardware in design.encoding.hardware for c in cases], dtype=bool)
    x = design.matrix(cases)
    logs = np.empty(len(cases))
    if known.any():
        logs[known] = predict(x[known])
    if not known.all():
        strange = [c for c, k in zip(cases, known, strict=True) if not k]
        logs[~known] = over_machines(design, strange, predict)
    return logs, variances(model.difficulty, model.typical_error, x)


def _on_rows(targets: Mapping[str, TargetModel], model: TargetModel, x: Floats) -> Floats:
    parts = [(power, targets[name].predictor.predict_log(x)) for name, power in model.ways.items()]
    return both_ways(model.predictor.predict_log(x), parts)
