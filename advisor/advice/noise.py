"""What a single run may be off: told by repeats where there are some, else stated."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence

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


def learned_noise(groups: Sequence[Sequence[Scenario]]) -> dict[bool, Noise]:
    """The repeats' pooled deviation, by whether they are short; `SINGLE_RUN_NOISE_RATIO` without repeats.

    Parameters
    ----------
    groups
        Repeats of one configuration on one input each.
    """
    squares: dict[bool, float] = defaultdict(float)
    degrees: dict[bool, int] = defaultdict(int)
    for repeats in groups:
        joules = [rate for s in repeats if (rate := joules_per_video_second(s))]
        if len(joules) > 1:
            short, mean = is_short(repeats[0]), statistics.fmean(joules)
            squares[short] += sum((rate / mean - 1) ** 2 for rate in joules)
            degrees[short] += len(joules) - 1
    noise = {True: Noise(_SHORT_NOISE_RATIO), False: Noise(SINGLE_RUN_NOISE_RATIO)}
    for short, count in degrees.items():
        noise[short] = Noise(max(math.sqrt(squares[short] / count), _LEAST_NOISE_RATIO), count)
    return noise
