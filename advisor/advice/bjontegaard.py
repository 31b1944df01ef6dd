"""Bjontegaard differences: how much more one curve costs than another at equal quality.

The logarithm of the cost (bitrate or energy) is interpolated over quality and the mean difference is taken
over the qualities that both curves reach (Bjontegaard, VCEG-M33, 2001; with piecewise interpolation as in
Herglotz et al., "The Bjontegaard Bible", 2022). With bitrates it is BD-rate, with joules BD-energy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator

from advisor.errors import InputError, NotEnoughDataError

__all__ = ["BjontegaardDelta", "bjontegaard_delta"]

Method = Literal["pchip", "akima"]
_FEWEST_POINTS = 4
_LITTLE_OVERLAP = 0.5


class BjontegaardDelta(Struct, frozen=True):
    """The mean difference of cost at equal quality and what it rests on."""

    ratio: float
    """-0.2: the test curve costs 20 % less than the reference."""
    overlap_ratio: float
    """Share of the joint range of qualities that both curves reach."""
    quality_low: float
    quality_high: float
    method: str
    note: str = ""


def bjontegaard_delta(
    reference: Sequence[tuple[float, float]],
    test: Sequence[tuple[float, float]],
    method: Method = "pchip",
) -> BjontegaardDelta:
    """Compare two curves of (cost, quality) points.

    Parameters
    ----------
    reference, test
        At least four points each; cost positive (kbit/s, joules), quality in any unit (dB, VMAF). Points are
        sorted by quality; cost need not rise with it.
    method
        ``pchip`` or ``akima``.

    Raises
    ------
    InputError
        A value is not finite or a cost not positive, or the method is not known.
    NotEnoughDataError
        Fewer than four different qualities, or no quality that both reach.
    """
    if method not in ("pchip", "akima"):
        raise InputError(f"expected pchip or akima, got {method!r}", subject="method")
    (q1, c1), (q2, c2) = _curve(reference, "reference"), _curve(test, "test")
    low, high = max(q1[0], q2[0]), min(q1[-1], q2[-1])
    if high <= low:
        raise NotEnoughDataError(
            f"the curves reach no quality in common ({q1[0]:g} to {q1[-1]:g}, {q2[0]:g} to {q2[-1]:g})"
        )
    make = PchipInterpolator if method == "pchip" else Akima1DInterpolator
    areas = [
        float(make(q, c).antiderivative()(high) - make(q, c).antiderivative()(low))
        for q, c in ((q1, c1), (q2, c2))
    ]
    overlap = (high - low) / (max(q1[-1], q2[-1]) - min(q1[0], q2[0]))
    note = f"the curves share only {overlap:.0%} of their qualities" if overlap < _LITTLE_OVERLAP else ""
    ratio = math.exp((areas[1] - areas[0]) / (high - low)) - 1
    return BjontegaardDelta(ratio, float(overlap), float(low), float(high), method, note)


def _curve(points: Sequence[tuple[float, float]], name: str) -> tuple[np.ndarray, np.ndarray]:
    for cost, quality in points:
        if not (math.isfinite(cost) and math.isfinite(quality) and cost > 0):
            raise InputError(
                f"expected finite points with a positive cost, got {(cost, quality)}", subject=name
            )
    by_quality = {quality: cost for cost, quality in sorted(points, reverse=True)}
    if len(by_quality) < _FEWEST_POINTS:
        raise NotEnoughDataError(
            f"{name}: a curve needs at least {_FEWEST_POINTS} different qualities, got {len(by_quality)}"
        )
    qualities = np.array(sorted(by_quality))
    return qualities, np.log([by_quality[q] for q in qualities])
