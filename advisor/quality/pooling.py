"""From scores per frame to one number."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from advisor.results import Vmaf


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
    """VMAF over the frames of one video; percentiles by straight lines between neighbours."""
    p1, p5 = np.percentile(values, [1, 5])
    return Vmaf(
        mean=sum(values) / len(values),
        harmonic_mean=harmonic_mean(values),
        min=min(values),
        p1=float(p1),
        p5=float(p5),
        model=model,
    )


def psnr_cap_decibels(depth: int) -> float:
    """What identical pictures score, as in libvmaf.

    >>> psnr_cap_decibels(8), psnr_cap_decibels(10)
    (60.0, 72.0)
    """
    return 6.0 * depth + 12
