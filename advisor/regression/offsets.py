"""What measured runs say of others: a video that is harder than it looks, a machine that draws more.

The errors of the model on held-out rows are not independent: those of one video go together, more so with one
encoder. `Spread` holds how much (variances of log ratios), and `corrected` turns the errors of runs that were
measured - probes of the same video, calibration runs of a new machine - into the best linear correction of
another case and what doubt remains (simple kriging of the residuals).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

__all__ = ["Seen", "Spread", "corrected", "learned", "remaining", "video_variances", "with_new_video"]

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
_MOST_SEEN = 24


class Spread(Struct, frozen=True):
    """Variances of ``log(measured) - log(predicted)`` that errors share."""

    video: float = 0.0
    video_encoder: float = 0.0
    machine_encoder: float = 0.0
    machine_noise: float = 0.0

    @classmethod
    def of_target(cls, target: str, video: float = 0.0, video_encoder: float = 0.0) -> Spread:
        """With what is known of machines for a target of `advisor.regression.features.TARGETS`."""
        encoder, noise = _MACHINES_DIFFER.get(target, _MACHINES_DIFFER_IN_SPEED)
        return cls(video, video_encoder, encoder**2, noise**2)


def with_new_video(spread: Spread, target: str) -> Spread:
    """The spread where a video is not of those few that training had."""
    differ = _VIDEOS_DIFFER.get(target, _VIDEOS_DIFFER_IN_SPEED)
    return msgspec.structs.replace(spread, video=differ**2)


class Seen(Struct, frozen=True):
    """Where a case stands, and, for a measured one, how far the model was off."""

    video: str | None
    encoder: str
    machine: str | None
    """Only for a machine that training never had; errors on known machines share nothing by machine."""
    variance: float
    """Of the case's own error: what the model expects of this kind of case."""
    error: float = 0.0


def _shared(a: Seen, b: Seen, spread: Spread) -> float:
    total = 0.0
    if a.video is not None and a.video == b.video:
        total += spread.video + (spread.video_encoder if a.encoder == b.encoder else 0.0)
    if a.machine is not None and a.machine == b.machine:
        total += NEW_MACHINE_VARIANCE + (spread.machine_encoder if a.encoder == b.encoder else 0.0)
    return total


def _alone(a: Seen, spread: Spread) -> float:
    """What remains of a case's variance when all that is shared is known."""
    by_video = spread.video + spread.video_encoder if a.video is not None else 0.0
    own = max(a.variance - by_video, 0.25 * a.variance)
    return own + (spread.machine_noise if a.machine is not None else 0.0)


def learned(case: Seen, measured: Sequence[Seen], spread: Spread) -> tuple[float, float]:
    """What measured runs tell of the case: the correction to its log prediction, and the variance explained.

    Neither depends on the case's own variance.
    """
    near = [s for s in measured if _shared(case, s, spread) > 0]
    if not near:
        return 0.0, 0.0
    near = sorted(near, key=lambda s: (-_shared(case, s, spread), s.variance))[:_MOST_SEEN]
    between = np.array([[_shared(a, b, spread) for b in near] for a in near])
    between[np.diag_indices(len(near))] += [_alone(s, spread) for s in near]
    towards = np.array([_shared(case, s, spread) for s in near])
    weights = np.linalg.solve(between, towards)
    return float(weights @ np.array([s.error for s in near])), float(weights @ towards)


def remaining(case: Seen, explained: float, spread: Spread) -> float:
    """The variance of a case's error when so much of it is explained."""
    alone = _alone(case, spread)
    return max(_shared(case, case, spread) + alone - explained, 0.1 * alone)


def corrected(case: Seen, measured: Sequence[Seen], spread: Spread) -> tuple[float, float]:
    """The correction to add to the case's log prediction, and the variance that remains.

    >>> spread = Spread(video=0.03, video_encoder=0.0)
    >>> probe = Seen("clip", "libx264", None, variance=0.04, error=0.2)
    >>> offset, variance = corrected(Seen("clip", "libx264", None, variance=0.04), [probe], spread)
    >>> round(offset, 6), round(variance, 6)  # 0.2 x 0.03 / 0.04, and 0.04 - 0.03 x 0.03 / 0.04
    (0.15, 0.0175)
    """
    offset, explained = learned(case, measured, spread)
    return offset, remaining(case, explained, spread)


def video_variances(
    errors: Floats, videos: Sequence[Hashable | None], encoders: Sequence[str]
) -> tuple[float, float]:
    """How much of the held-out errors is shared by a video, and by a video with one encoder.

    The mean product of two errors is the variance that they share; it is taken over all pairs of rows of one
    video with different encoders, and with the same one. 0 where fewer than five videos tell nothing of it.
    """
    rows: dict[Hashable, list[int]] = defaultdict(list)
    for index, video in enumerate(videos):
        if video is not None:
            rows[video].append(index)
    if len(rows) < _FEWEST_VIDEOS:
        return 0.0, 0.0
    clipped = np.clip(errors, *np.quantile(errors, [0.01, 0.99]))
    same, other = [], []
    for members in rows.values():
        sums = _sums(clipped, members, encoders)
        same += [(s * s - q, n * (n - 1)) for s, q, n in sums]
        other += [(2 * a[0] * b[0], 2 * a[2] * b[2]) for a, b in itertools.combinations(sums, 2)]
    with_encoder = _mean_product(same)
    alone = _mean_product(other) if other else with_encoder
    return max(alone, 0.0), max(with_encoder - max(alone, 0.0), 0.0)


def _sums(errors: Floats, members: Iterable[int], encoders: Sequence[str]) -> list[tuple[float, float, int]]:
    """Sum, sum of squares and count of a video's errors, by encoder."""
    found: dict[str, list[float]] = defaultdict(list)
    for index in members:
        found[encoders[index]].append(float(errors[index]))
    return [(sum(v), sum(e * e for e in v), len(v)) for v in found.values()]


def _mean_product(pairs: Iterable[tuple[float, float]]) -> float:
    listed = list(pairs)
    count = sum(n for _, n in listed)
    return sum(p for p, _ in listed) / count if count else 0.0
