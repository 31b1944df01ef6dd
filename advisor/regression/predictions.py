"""What a prediction is, as data: read and written without numpy or scikit-learn."""

from __future__ import annotations

import math

from msgspec import Struct

_SAYS_NOTHING = math.log(100)


class Estimate(Struct, frozen=True):
    """A predicted value with its prediction interval.

    The bounds are None where no error is known, or one of more than a factor of 100: as good as unknown.
    """

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of_log(cls, log: float, half_width: float | None) -> Estimate:
        """From a prediction in natural logarithms and the half-width of its interval there.

        >>> Estimate.of_log(0.0, math.log(1e17))
        Estimate(mean=1.0, low=None, high=None)
        """
        if half_width is None or not half_width <= _SAYS_NOTHING:
            return cls(math.exp(log), None, None)
        return cls(math.exp(log), math.exp(log - half_width), math.exp(log + half_width))

    def times(self, factor: float) -> Estimate:
        """In another unit.

        >>> Estimate(2.0, 1.0, None).times(10)
        Estimate(mean=20.0, low=10.0, high=None)
        """
        low, high = (None if bound is None else bound * factor for bound in (self.low, self.high))
        return Estimate(self.mean * factor, low, high)


class ScenarioRef(Struct, frozen=True):
    """Which scenario of which run."""

    run_id: str
    scenario: str


class Prediction(Struct, frozen=True, kw_only=True):
    """One scenario as predicted. Unknown is None; ``notes`` say why, and what else to mind."""

    run_id: str
    scenario: str
    mean_power_watts: Estimate | None
    total_energy_joules: Estimate | None
    encode_speed_ratio: Estimate | None = None
    confidence: float
    hardware_known: bool
    encoder_known: bool
    tier: str | None = None
    """Of the power that the model was trained on: a model of modelled power stays modelled."""
    calibrate_with: ScenarioRef | None = None
    """Where nothing of the machine is known: which of the scenarios asked for would tell most of it."""
    notes: tuple[str, ...] = ()
