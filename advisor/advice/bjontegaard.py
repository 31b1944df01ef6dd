"""Bjontegaard differences: how much more one curve costs than another at equal quality.

The logarithm of the cost (bitrate or energy) is interpolated over quality and the mean difference is taken
over the qualities that both curves reach (Bjontegaard, VCEG-M33, 2001; with piecewise interpolation as in
Herglotz et al., "The Bjontegaard Bible", 2022). With bitrates it is BD-rate, with joules BD-energy.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from advisor.advice.configuration import Option
from advisor.errors import InputError, NotEnoughDataError

_FEWEST_POINTS = 4
_LITTLE_OVERLAP = 0.5
_VMAF_NOISE = 0.3
"""Standard deviation assumed of a VMAF: other excerpts, threads or versions move it by some tenths, and where
it saturates that much is all that two points differ by."""
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Qualities, ascending, and the logarithms of what they cost."""


class BjontegaardDelta(Struct, frozen=True):
    """The mean difference of cost at equal quality and what it rests on."""

    ratio: float
    """-0.2: the test curve costs 20 % less than the reference."""
    overlap_ratio: float
    """Share of the joint range of qualities that both curves reach."""
    quality_low: float
    quality_high: float
    ratio_low: float
    ratio_high: float
    """90 % interval of ``ratio`` by the noise of the points."""
    method: str = "pchip"
    """Piecewise cubic and monotone (Fritsch and Carlson)."""
    note: str = ""


def bjontegaard_delta(
    reference: Sequence[tuple[float, float]],
    test: Sequence[tuple[float, float]],
    *,
    quality_noise: float = 0.0,
    cost_noise_ratio: float = 0.0,
) -> BjontegaardDelta:
    """Compare two curves of (cost, quality) points.

    Parameters
    ----------
    reference, test
        At least four points each; cost positive (kbit/s, joules), quality in any unit (dB, VMAF). Points are
        sorted by quality; cost need not rise with it.
    quality_noise, cost_noise_ratio
        Standard deviations of each point's own error, in the unit of quality and as a ratio of cost.

    Raises
    ------
    InputError
        A value is not finite or a cost not positive.
    NotEnoughDataError
        Fewer than four different qualities, or no quality that both reach.
    """
    curves = _curve(reference, "reference"), _curve(test, "test")
    q1, q2 = (qualities for qualities, _ in curves)
    low, high = max(q1[0], q2[0]), min(q1[-1], q2[-1])
    if high <= low:
        raise NotEnoughDataError(
            f"the curves have no quality in common ({q1[0]:g} to {q1[-1]:g}, {q2[0]:g} to {q2[-1]:g})"
        )
    from scipy.interpolate import PchipInterpolator  # takes half a second to load

    areas = [float(PchipInterpolator(*curve).integrate(low, high)) for curve in curves]
    overlap = (high - low) / (max(q1[-1], q2[-1]) - min(q1[0], q2[0]))
    note = (
        f"the curves overlap in only {overlap:.0%} of their quality range"
        if overlap < _LITTLE_OVERLAP
        else ""
    )
    log_ratio = (areas[1] - areas[0]) / (high - low)
    deviations = [_deviation(curve, low, high, quality_noise, cost_noise_ratio) for curve in curves]
    reach = 1.645 * math.hypot(*deviations)  # 90 % of a normal distribution
    ratio, ratio_low, ratio_high = (math.expm1(log_ratio + by) for by in (0.0, -reach, reach))
    return BjontegaardDelta(ratio, float(overlap), float(low), float(high), ratio_low, ratio_high, note=note)


def _deviation(curve: Curve, low: float, high: float, quality_noise: float, cost_noise: float) -> float:
    """Standard deviation of a curve's mean logarithm: each point's noise counts by the range it tells."""
    qualities, logs = curve
    shares = np.gradient(np.clip(qualities, low, high)) / (high - low)
    shares[[0, -1]] /= 2
    # at any quality a curve tells no cost beyond its own
    off = np.minimum(np.abs(np.gradient(logs, qualities)) * quality_noise, np.ptp(logs))
    return float(np.linalg.norm(shares * np.hypot(off, cost_noise)))


def _curve(points: Sequence[tuple[float, float]], name: str) -> Curve:
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


class PairDelta(Struct, frozen=True, kw_only=True):
    """Two curves at equal VMAF: BD-rate and BD-energy of ``test`` against ``reference``."""

    reference: str
    test: str
    bd_rate: BjontegaardDelta | None
    bd_energy: BjontegaardDelta | None
    reason: str = ""


def pair_deltas(options: Sequence[Option]) -> list[PairDelta]:
    """Every pair of families with four or more points each, by name."""
    families: dict[str, list[Option]] = defaultdict(list)
    for option in options:
        if option.family and option.vmaf is not None:
            families[option.family].append(option)
    curves = {name: points for name, points in sorted(families.items()) if len(points) >= 4}
    return [_pair(a, curves[a], b, curves[b]) for a, b in itertools.combinations(curves, 2)]


def _pair(reference: str, ours: Sequence[Option], test: str, theirs: Sequence[Option]) -> PairDelta:
    deltas: dict[str, BjontegaardDelta | None] = {}
    reasons: list[str] = []
    for name in ("bitrate_kbps", "energy_joules_per_video_second"):
        try:
            deltas[name] = bjontegaard_delta(
                _rates(ours, name),
                _rates(theirs, name),
                quality_noise=_VMAF_NOISE,
                cost_noise_ratio=max(o.noise_ratio for o in (*ours, *theirs)) if "energy" in name else 0.0,
            )
        except NotEnoughDataError as exc:
            deltas[name] = None
            reasons.append(str(exc))
    return PairDelta(
        reference=reference,
        test=test,
        bd_rate=deltas["bitrate_kbps"],
        bd_energy=deltas["energy_joules_per_video_second"],
        reason="; ".join(dict.fromkeys(reasons)),
    )


def _rates(options: Sequence[Option], name: str) -> list[tuple[float, float]]:
    return [(getattr(o, name), o.vmaf or 0.0) for o in options if getattr(o, name)]
