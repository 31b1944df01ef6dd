"""Which run tells most of a machine that was never measured."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from advisor.regression.design import Design
from advisor.regression.features import Case
from advisor.regression.target import TargetModel, log_predictions

__all__ = ["best_calibrations"]

_POWER, _SPEED = "mean_power_watts", "encode_speed_ratio"
_SETTLED_SECONDS = 20.0
"""How long a calibration run should last: by then a second of ramping up is lost in its mean."""


def best_calibrations(
    design: Design, targets: Mapping[str, TargetModel], cases: Sequence[Case]
) -> dict[str, Case]:
    """By machine that training does not know, the one of its cases that is best run to calibrate it.

    Of those expected to last 20 s or more, the one whose watts are least in doubt: what a run is off by
    itself is taken for the machine's. Where none is that long, the longest. An encoder that training does not
    know tells nothing.
    """
    by_machine: dict[str, list[Case]] = defaultdict(list)
    for c in cases:
        if c.hardware not in design.encoding.hardware and c.encoder in design.encoding.encoders:
            by_machine[c.hardware].append(c)
    return {machine: _best(design, targets, some) for machine, some in by_machine.items()}


def _best(design: Design, targets: Mapping[str, TargetModel], cases: Sequence[Case]) -> Case:
    seconds = _wall_seconds(design, targets, cases)
    settled = [c for c, s in zip(cases, seconds, strict=True) if s >= _SETTLED_SECONDS]
    if not settled:
        return cases[int(seconds.argmax())]
    _, doubts = log_predictions(
        design, targets, _POWER if _POWER in targets else next(iter(targets)), settled
    )
    return settled[int(doubts.argmin())]


def _wall_seconds(
    design: Design, targets: Mapping[str, TargetModel], cases: Sequence[Case]
) -> NDArray[np.float64]:
    """How long each would take on the machines that are known; what ends by the clock is long enough."""
    video = np.array([c.video_seconds or math.inf for c in cases])
    if _SPEED not in targets:
        return video
    return video / np.exp(log_predictions(design, targets, _SPEED, cases)[0])
