"""Intervals, each by its name.

A *prediction* interval says where one new measurement will fall; a *confidence* interval says where the mean
is. The first comes from errors on rows that were held out (conformal), the second from refits on resampled
groups (bootstrap). The second is narrower and is never shown as the first.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from advisor.errors import InputError

__all__ = ["check_level", "conformal_quantile", "coverage_ratio", "independent_count", "student_half_width"]

Floats = NDArray[np.float64]


def check_level(level: float) -> float:
    """``level`` as given when it lies inside (0, 1), else InputError."""
    if not 0 < level < 1:
        raise InputError(
            f"expected a level between 0 and 1, for instance 0.9, got {level!r}", subject="level"
        )
    return level


def conformal_quantile(scores: Floats, level: float, independent: float | None = None) -> float | None:
    """The score that a new exchangeable one stays below with probability ``level``.

    It is the ceil((n + 1) level)-th smallest of the n held-out scores (split conformal prediction, Vovk et
    al. 2005); None where n is too small to bound the level at all. Scores that come in groups (those of one
    video go together) tell as much as ``independent`` ones: the rank rises as if there were so few.

    >>> conformal_quantile(np.arange(1.0, 20.0), 0.9)
    18.0
    >>> conformal_quantile(np.arange(1.0, 101.0), 0.9), conformal_quantile(np.arange(1.0, 101.0), 0.9, 20)
    (91.0, 95.0)
    >>> conformal_quantile(np.arange(1.0, 6.0), 0.9) is None
    True
    """
    count = len(scores)
    few = count if independent is None else min(max(independent, 1.0), count)
    rank = math.ceil(count * check_level(level) * (1 + 1 / few) - 1e-9) if count else 1
    return float(np.sort(scores)[rank - 1]) if rank <= count else None


def independent_count(inside: NDArray[np.bool_], groups: Sequence[Hashable]) -> float:
    """How many independent rows would tell the share of ``inside`` as well as these rows of some groups do.

    The variance of a share of n independent rows is p (1 - p) / n; that of grouped rows comes from the sums
    of each group (Kish's effective sample size). Between 1 and n.

    >>> independent_count(np.array([True, True, False, False]), ["a", "a", "b", "b"])
    2.0
    """
    share = float(inside.mean())
    sums: dict[Hashable, float] = defaultdict(float)
    for value, group in zip(inside, groups, strict=True):
        sums[group] += float(value) - share
    count = len(inside)
    variance = sum(s * s for s in sums.values()) / count**2
    return float(count) if variance <= 0 else min(max(share * (1 - share) / variance, 1.0), float(count))


def student_half_width(
    residuals: Floats, level: float, parameters: int, independent: float | None = None
) -> float | None:
    """Half-width of the normal-theory prediction interval; for samples too small for a conformal one.

    ``t((1 + level) / 2, n - p) * s * sqrt(1 + 1 / n)``, where residuals of groups count as ``independent``
    ones; None without degrees of freedom.
    """
    count = len(residuals) if independent is None else min(independent, len(residuals))
    freedom = count - parameters
    if freedom < 1:
        return None
    spread = math.sqrt(float((residuals**2).mean()) * count / freedom)
    quantile = float(stats.t.ppf((1 + check_level(level)) / 2, freedom))
    return quantile * spread * math.sqrt(1 + 1 / count)


def coverage_ratio(values: Floats, low: Floats, high: Floats) -> float:
    """The share of ``values`` inside their intervals.

    >>> coverage_ratio(np.array([1.0, 5.0]), np.array([0.0, 0.0]), np.array([2.0, 2.0]))
    0.5
    """
    return float(((values >= low) & (values <= high)).mean())
