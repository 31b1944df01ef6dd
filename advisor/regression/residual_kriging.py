"""What measured runs say of others: a video that is harder than it looks, a machine that draws more.

The errors of the model on held-out rows are not independent: those of one video go together, more so with one
encoder. `SharedVariances` holds how much (variances of log ratios). `corrected` turns the errors of measured
runs - probes of the same video, calibration runs of a new machine - into the best linear correction of
another case and the variance that remains (simple kriging of the residuals).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEW_MACHINE_VARIANCE = 0.25
"""Prior of a machine never seen: errors of 30-100 % were found where none was calibrated."""
_MACHINES_DIFFER = {"mean_power_watts": (0.016, 0.023)}
_MACHINES_DIFFER_IN_SPEED = (0.07, 0.045)
"""Two servers of a public wall-metered data set differ by a constant ratio, but for so much by encoder and by
configuration (standard deviations): watts little, time and so energy more. One pair of machines says no more
than the size of it; training data of several machines scale the intervals by what they show."""
_VIDEOS_DIFFER = {"mean_power_watts": 0.04}
_VIDEOS_DIFFER_IN_SPEED = 0.3
"""By how much (standard deviation) a video is off what others tell, where training has too few to say: two
films of that data set differ by 3 % in power and by a third in energy."""
_FEWEST_VIDEOS = 5
_MOST_MEASURED = 24


class SharedVariances(Struct, frozen=True):
    """Variances of ``log(measured) - log(predicted)`` that errors share."""

    video: float = 0.0
    video_encoder: float = 0.0
    machine_encoder: float = 0.0
    machine_noise: float = 0.0

    @classmethod
    def of_target(cls, target: str, video: float = 0.0, video_encoder: float = 0.0) -> SharedVariances:
        """With what is known of machines for a target of `advisor.regression.features.TARGETS`."""
        encoder, noise = _MACHINES_DIFFER.get(target, _MACHINES_DIFFER_IN_SPEED)
        return cls(video, video_encoder, encoder**2, noise**2)

    def with_new_video(self, target: str) -> SharedVariances:
        """The same where a video is not one of those few that training had."""
        return msgspec.structs.replace(self, video=_VIDEOS_DIFFER.get(target, _VIDEOS_DIFFER_IN_SPEED) ** 2)


class ResidualAt(Struct, frozen=True):
    """Where a case stands, and, for a measured one, how far the model was off."""

    video: str | None
    encoder: str
    machine: str | None
    """Only for a machine that training never had; errors on known machines share nothing by machine."""
    variance: float
    """Of the case's own error: what the model expects of this kind of case."""
    error: float = 0.0


def _covariance(a: ResidualAt, b: ResidualAt, shared: SharedVariances) -> float:
    total = 0.0
    if a.video is not None and a.video == b.video:
        total += shared.video + (shared.video_encoder if a.encoder == b.encoder else 0.0)
    if a.machine is not None and a.machine == b.machine:
        total += NEW_MACHINE_VARIANCE + (shared.machine_encoder if a.encoder == b.encoder else 0.0)
    return total


def _unshared(a: ResidualAt, shared: SharedVariances) -> float:
    """What remains of a case's variance when all that is shared is known."""
    by_video = shared.video + shared.video_encoder if a.video is not None else 0.0
    rest = max(a.variance - by_video, 0.25 * a.variance)
    return rest + (shared.machine_noise if a.machine is not None else 0.0)


def explained(
    case: ResidualAt, measured: Sequence[ResidualAt], shared: SharedVariances
) -> tuple[float, float]:
    """What measured runs tell of the case: the correction to its log prediction, and the variance explained.

    Neither depends on the case's own variance.
    """
    related = [(cov, m) for m in measured if (cov := _covariance(case, m, shared)) > 0]
    if not related:
        return 0.0, 0.0
    related = sorted(related, key=lambda r: (-r[0], r[1].variance))[:_MOST_MEASURED]
    near = [m for _, m in related]
    between = np.array([[_covariance(a, b, shared) for b in near] for a in near])
    between[np.diag_indices(len(near))] += [_unshared(m, shared) for m in near]
    towards = np.array([cov for cov, _ in related])
    weights = np.linalg.solve(between, towards)
    return float(weights @ np.array([m.error for m in near])), float(weights @ towards)


def remaining(case: ResidualAt, variance_explained: float, shared: SharedVariances) -> float:
    """The variance of a case's error when so much of it is explained."""
    unshared = _unshared(case, shared)
    return max(_covariance(case, case, shared) + unshared - variance_explained, 0.1 * unshared)


def corrected(
    case: ResidualAt, measured: Sequence[ResidualAt], shared: SharedVariances
) -> tuple[float, float]:
    """The correction to add to the case's log prediction, and the variance that remains.

    >>> shared = SharedVariances(video=0.03)
    >>> probe = ResidualAt("clip", "libx264", None, variance=0.04, error=0.2)
    >>> offset, variance = corrected(ResidualAt("clip", "libx264", None, variance=0.04), [probe], shared)
    >>> round(offset, 6), round(variance, 6)  # 0.2 x 0.03 / 0.04, and 0.04 - 0.03 x 0.03 / 0.04
    (0.15, 0.0175)
    """
    offset, variance_explained = explained(case, measured, shared)
    return offset, remaining(case, variance_explained, shared)


def video_variances(
    errors: Floats, videos: Sequence[Hashable | None], encoders: Sequence[str]
) -> tuple[float, float]:
    """How much of the held-out errors is shared by a video, and by a video with one encoder.

    The mean product of two errors is the variance that they share; it is taken over all pairs of rows of one
    video with different encoders, and with the same one. 0 where fewer than five videos tell nothing of it.
    """
    rows = [i for i, video in enumerate(videos) if video is not None]
    if len({videos[i] for i in rows}) < _FEWEST_VIDEOS:
        return 0.0, 0.0
    clipped = np.clip(errors, *np.quantile(errors, [0.01, 0.99]))[rows]
    products, pairs = _pair_sums(clipped, [str(videos[i]) for i in rows])
    same_products, same_pairs = _pair_sums(clipped, [f"{encoders[i]} {videos[i]}" for i in rows])
    same = same_products / same_pairs if same_pairs else 0.0
    others = pairs - same_pairs
    alone = (products - same_products) / others if others else same
    return max(alone, 0.0), max(same - max(alone, 0.0), 0.0)


def _pair_sums(errors: Floats, keys: Sequence[str]) -> tuple[float, int]:
    """Over all ordered pairs of different rows that share a key: the sum of error products, their number."""
    codes = np.unique(keys, return_inverse=True)[1]
    sums, counts = np.bincount(codes, errors), np.bincount(codes)
    return float((sums**2).sum() - (errors**2).sum()), int((counts * (counts - 1)).sum())
