"""What a single run may be off: told by repeats where there are some, else stated."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from msgspec import Struct

from advisor.common.statistics import SINGLE_RUN_NOISE_RATIO
from advisor.results import Scenario
from advisor.results.derived import joules_per_video_second

_SHORT_SECONDS = 5.0
_SHORT_NOISE_RATIO = 0.25
"""What a single clip of less than five seconds may be off."""
_LEAST_NOISE_RATIO = 0.002
"""No meter repeats itself better."""


class Noise(Struct, frozen=True):
    """Relative standard deviation of a single run, and the degrees of freedom of the repeats that told it."""

    ratio: float
    degrees: int | None = None


def is_short(s: Scenario) -> bool:
    """Whether starting and ending are a large part of the scenario."""
    return s.duration is not None and s.duration < _SHORT_SECONDS


def pooled_noise(
    groups: Iterable[Sequence[float]], usual_ratio: float = 0.0, usual_degrees: int = 0
) -> Noise | None:
    """How far repeats lie from their means, over all groups; None where there are no repeats.

    Parameters
    ----------
    groups
        Positive values of each configuration.
    usual_ratio, usual_degrees
        What repeats elsewhere showed, and for how many degrees of freedom it counts.
    """
    squares, degrees = usual_degrees * usual_ratio**2, usual_degrees
    for repeats in groups:
        if len(repeats) > 1:
            mean = statistics.fmean(repeats)
            squares += sum((value / mean - 1) ** 2 for value in repeats)
            degrees += len(repeats) - 1
    return Noise(max(math.sqrt(squares / degrees), _LEAST_NOISE_RATIO), degrees) if degrees else None


def learned_noise(groups: Sequence[Sequence[Scenario]]) -> dict[bool, Noise]:
    """What the repeats tell, by whether they are short; `SINGLE_RUN_NOISE_RATIO` without repeats.

    Parameters
    ----------
    groups
        Repeats of one configuration on one input each.
    """
    joules: dict[bool, list[list[float]]] = {True: [], False: []}
    for repeats in groups:
        rates = (joules_per_video_second(s) for s in repeats)
        joules[is_short(repeats[0])].append([rate for rate in rates if rate])
    return {
        short: pooled_noise(joules[short]) or Noise(_SHORT_NOISE_RATIO if short else SINGLE_RUN_NOISE_RATIO)
        for short in joules
    }
