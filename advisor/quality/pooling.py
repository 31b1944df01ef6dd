"""From scores per frame to one number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from advisor.results import Vmaf

__all__ = ["harmonic_mean", "mean_decibels", "percentile", "pool", "psnr_cap_decibels"]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of the values lie, straight lines between neighbours.

    >>> percentile([10.0, 20.0, 30.0, 40.0, 50.0], 5)
    12.0
    """
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def harmonic_mean(values: Sequence[float]) -> float:
    """libvmaf's harmonic mean: of the scores plus one, less one, so that a frame of 0 does not decide alone.

    >>> round(harmonic_mean([0.0, 99.0]), 6)
    0.980198
    """
    return len(values) / sum(1 / (value + 1) for value in values) - 1


def mean_decibels(values: Sequence[float], factor: float = 10.0) -> float:
    """Decibels of the mean of what they were computed from; infinite when all are.

    ``factor`` is 10 for those of a power (PSNR: of squared errors), 20 for those of a root (XPSNR).

    >>> round(mean_decibels([30.0, 40.0]), 4), mean_decibels([math.inf])
    (32.5964, inf)
    """
    mean = math.fsum(10 ** (-value / factor) for value in values) / len(values)
    return -factor * math.log10(mean) if mean else math.inf


def pool(values: Sequence[float], model: str) -> Vmaf:
    """VMAF over the frames of one video."""
    return Vmaf(
        mean=sum(values) / len(values),
        harmonic_mean=harmonic_mean(values),
        min=min(values),
        p1=percentile(values, 1),
        p5=percentile(values, 5),
        model=model,
    )


def psnr_cap_decibels(depth: int) -> float:
    """What identical pictures score, as in libvmaf.

    >>> psnr_cap_decibels(8), psnr_cap_decibels(10)
    (60.0, 72.0)
    """
    return 6.0 * depth + 12
