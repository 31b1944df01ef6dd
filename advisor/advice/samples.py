"""Samples that stand for a whole video, and how far what they say may be from the whole's.

The video lies in pieces that begin at key frames. Pieces are put into strata of like difficulty, as many in
each; from each stratum two are drawn at random, one from its earlier and one from its later part, so that
samples are spread over difficulty and over time. The mean over the strata's means has no bias, and the
differences within the strata say how far it may be off (Cochran, Sampling Techniques, chapter 5).
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

from msgspec import Struct
from scipy.special import stdtrit

__all__ = ["CONFIDENCE", "Interval", "Piece", "Sample", "estimate", "needed", "sampled"]

CONFIDENCE = 0.9
"""Of the intervals."""


class Interval(Struct, frozen=True):
    """A figure, and between which values it lies; all three equal where nothing is uncertain."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Of the interval."""
        return (self.high - self.low) / 2


class Piece(Struct, frozen=True, kw_only=True):
    """A part of a video between two of its key frames."""

    begin_seconds: float
    """Since the video's first frame."""
    seconds: float
    frames: int
    difficulty: float
    """Any figure that rises with how hard the piece is to encode."""


class Sample(Struct, frozen=True):
    """A piece that was drawn, for the stratum that it stands for."""

    piece: Piece
    stratum: int
    stratum_seconds: float
    """Of all pieces of the stratum."""


def sampled(pieces: Sequence[Piece], count: int, seed: int = 0) -> list[Sample]:
    """About ``count`` of the pieces, at least four, in the order of time; all where there are no more.

    A stratum that is left with a single piece joins its neighbour.
    """
    ordered = sorted(pieces, key=lambda piece: piece.difficulty)
    strata = max(2, count // 2)
    if len(pieces) <= max(4, count):
        total = sum(piece.seconds for piece in pieces)
        return [Sample(piece, 0, total) for piece in sorted(pieces, key=_begin)]
    chance = random.Random(seed)  # noqa: S311 - a draw, not a secret
    bounds = [round(i * len(ordered) / strata) for i in range(strata + 1)]
    samples = []
    for number, (first, last) in enumerate(itertools.pairwise(bounds)):
        members = sorted(ordered[first:last], key=_begin)
        seconds = sum(piece.seconds for piece in members)
        middle = len(members) // 2
        drawn = [chance.choice(part) for part in (members[:middle], members[middle:]) if part]
        samples += [Sample(piece, number, seconds) for piece in drawn]
    return sorted(samples, key=lambda sample: sample.piece.begin_seconds)


def _begin(piece: Piece) -> float:
    return piece.begin_seconds


def estimate(samples: Sequence[Sample], values: Sequence[float], whole_pieces: int) -> Interval:
    """The whole's mean for each second, from the samples' own.

    Parameters
    ----------
    values
        Of each sample: VMAF, bits for each second.
    whole_pieces
        Of the whole video; where all were taken nothing is uncertain.
    """
    groups: dict[int, list[int]] = {}
    for index, sample in enumerate(samples):
        groups.setdefault(sample.stratum, []).append(index)
    total = sum(samples[members[0]].stratum_seconds for members in groups.values())
    mean = variance = 0.0
    parts: list[tuple[float, int]] = []
    for members in groups.values():
        weight = samples[members[0]].stratum_seconds / total
        lengths = [samples[i].piece.seconds for i in members]
        average = sum(values[i] * s for i, s in zip(members, lengths, strict=True)) / sum(lengths)
        mean += weight * average
        count = len(members)
        if count > 1 and len(samples) < whole_pieces:
            left = 1 - len(samples) / whole_pieces
            spread = sum((values[i] - average) ** 2 for i in members) / (count - 1)
            part = left * weight**2 * spread / count
            variance += part
            parts.append((part, count - 1))
    if not variance:
        return Interval(mean, mean, mean)
    # Satterthwaite: few strata with much of the variance leave few degrees of freedom
    degrees = variance**2 / sum(part**2 / freedom for part, freedom in parts)
    half = float(stdtrit(degrees, 0.5 + CONFIDENCE / 2)) * math.sqrt(variance)
    return Interval(mean, mean - half, mean + half)


def needed(half_width: float, precision: float, count: int) -> int:
    """How many samples bring an interval of ``half_width`` from ``count`` of them down to ``precision``."""
    return max(count, math.ceil(count * (half_width / precision) ** 2))
