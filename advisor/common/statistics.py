"""Mean, spread and 95 % interval of repeated measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

MEASURED_NOISE_RATIO = 0.012
"""Repeats of one configuration, one after another on an idle machine, vary by 1.2 % in clips of 20 s."""
SINGLE_RUN_NOISE_RATIO = 0.05
"""What a single run may be off, where no repeats tell: other hours, other temperatures, other load."""


class Summary(Struct, frozen=True):
    """Of ``count`` values: their mean, standard deviation (n-1) and the 95 % interval's half-width.

    ``stdev`` and ``half_width`` are None for a single value, which says nothing of spread. Unit: that of the
    values.
    """

    count: int
    mean: float
    stdev: float | None
    half_width: float | None


def summarise(values: Sequence[float]) -> Summary | None:
    """Summary of ``values``; None of none.

    The interval is Student's: mean +- t(0.975, n-1) * stdev / sqrt(n).

    >>> s = summarise([10.0, 12.0, 14.0])
    >>> s.mean, s.stdev, round(s.half_width, 3)
    (12.0, 2.0, 4.968)
    """
    if not values:
        return None
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Summary(1, mean, None, None)
    stdev = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (count - 1))
    return Summary(count, mean, stdev, student_t_975(count - 1) * stdev / math.sqrt(count))


def student_t_975(degrees: int) -> float:
    """The 0.975 quantile of Student's t with ``degrees`` (>= 1) degrees of freedom.

    By bisection of the exact finite series for integer degrees (Abramowitz and Stegun 26.7.3 and 26.7.4).

    >>> round(student_t_975(1), 3), round(student_t_975(2), 3), round(student_t_975(10), 3)
    (12.706, 4.303, 2.228)
    """
    low, high = 0.0, 13.0  # t(1) = 12.706 is the largest
    for _ in range(60):
        middle = (low + high) / 2
        if _within(middle, degrees) < 0.95:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _within(t: float, degrees: int) -> float:
    """Probability that |T| < t."""
    theta = math.atan2(t, math.sqrt(degrees))
    cosine_squared = math.cos(theta) ** 2
    odd = degrees % 2
    term = total = math.cos(theta) if odd else 1.0
    if degrees == 1:
        return 2 / math.pi * theta
    for k in range(3 if odd else 2, degrees, 2):
        term *= cosine_squared * (k - 1) / k
        total += term
    if odd:
        return 2 / math.pi * (theta + math.sin(theta) * total)
    return math.sin(theta) * total
