"""A ladder for one video: at which bitrate which size looks best (the convex hull over resolutions).

Every size has a curve of VMAF over bitrate. What lies on the upper convex hull of all of them, over the
logarithm of bitrate, is worth sending; where the hull passes from one size to the next is where a player
should switch. After De Cock, Li, Manohara and Aaron, "Complexity-based consistent-quality encoding in the
cloud", ICIP 2016.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct


class LadderPoint(Struct, frozen=True, kw_only=True):
    """One CRF at one size, encoded or between two that were."""

    height: int
    crf: float
    kbps: float
    vmaf: float


class Switch(Struct, frozen=True, kw_only=True):
    """From this bitrate on the larger size looks better."""

    from_height: int
    to_height: int
    kbps: float


def filled(points: Sequence[LadderPoint]) -> list[LadderPoint]:
    """The whole CRFs between those of one size that were encoded, by straight lines over CRF.

    The logarithm of bitrate and VMAF are taken as straight between neighbours.
    """
    ordered = sorted(points, key=lambda point: point.crf)
    numbers = [point.crf for point in ordered]
    between = sorted({*numbers, *map(float, range(math.ceil(numbers[0]), math.floor(numbers[-1]) + 1))})
    kbps = np.exp(np.interp(between, numbers, np.log([point.kbps for point in ordered])))
    vmaf = np.interp(between, numbers, [point.vmaf for point in ordered])
    return [
        LadderPoint(height=ordered[0].height, crf=crf, kbps=float(k), vmaf=float(v))
        for crf, k, v in zip(between, kbps, vmaf, strict=True)
    ]


def hull(points: Sequence[LadderPoint]) -> list[LadderPoint]:
    """The points of the upper convex hull that rises with bitrate, from the lowest bitrate on."""
    hull_points: list[LadderPoint] = []
    for point in sorted(points, key=lambda p: (p.kbps, -p.vmaf)):
        if hull_points and point.vmaf <= hull_points[-1].vmaf:
            continue
        while len(hull_points) > 1 and _slope(hull_points[-2], point) >= _slope(
            hull_points[-2], hull_points[-1]
        ):
            hull_points.pop()
        hull_points.append(point)
    return hull_points


def _slope(a: LadderPoint, b: LadderPoint) -> float:
    return (b.vmaf - a.vmaf) / max(math.log(b.kbps / a.kbps), 1e-12)


def switches(hull_points: Sequence[LadderPoint]) -> list[Switch]:
    """Where the hull passes to a larger size: between the last of one and the first of the next."""
    return [
        Switch(from_height=a.height, to_height=b.height, kbps=math.sqrt(a.kbps * b.kbps))
        for a, b in itertools.pairwise(hull_points)
        if b.height > a.height
    ]


def rungs(hull_points: Sequence[LadderPoint], top: LadderPoint, heights: Sequence[int]) -> list[LadderPoint]:
    """One point a size: the top as it was chosen, below it the best of each size that lies on the hull.

    A size that is nowhere the best has none.
    """
    chosen = [top]
    for height in sorted((h for h in heights if h < top.height), reverse=True):
        of_height = [p for p in hull_points if p.height == height and p.kbps < chosen[-1].kbps]
        if of_height:
            chosen.append(max(of_height, key=lambda point: point.vmaf))
    return chosen
