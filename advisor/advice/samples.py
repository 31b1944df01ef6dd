"""Samples that stand for a whole video, and how far what they say may be from the whole's.

The video lies in pieces that begin at key frames. Pieces are put into strata of like difficulty, those of
difficult pieces smaller: every stratum has as much of the root of difficulty. That lies between as many
pieces in each, which would be best for VMAF, and as many bits in each, of which few pieces may have most
(Cochran, Sampling Techniques, 5A.6 and 5A.7). From each stratum two pieces are drawn at random, one from its
earlier and one from its later part, so that samples are spread over difficulty and over time. What the
strata's samples have, times the pieces that they stand for, is what the whole has, and the differences within
strata say how far that may be off (chapter 5).
"""

from __future__ import annotations

import bisect
import itertools
import math
import operator
import random
import statistics
from collections.abc import Sequence

from msgspec import Struct
from scipy.special import stdtrit

_begin = operator.attrgetter("begin_seconds")
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


class Sample(Struct, frozen=True, kw_only=True):
    """A piece that was drawn, and the stratum that it stands for."""

    piece: Piece
    stratum: int
    stratum_pieces: int
    stratum_seconds: float
    stratum_difficulty: float
    """Difficulty times seconds, of all its pieces."""


def sampled(pieces: Sequence[Piece], count: int, seed: int = 0) -> list[Sample]:
    """About ``count`` of the pieces, at least four, in the order of time; all where there are no more."""
    ordered = sorted(pieces, key=lambda piece: piece.difficulty)
    strata = max(2, count // 2)
    if len(pieces) <= max(4, count):
        return _samples(sorted(pieces, key=_begin), 0, pieces)
    chance = random.Random(seed)  # noqa: S311 - a draw, not a secret
    samples = []
    for number, (first, last) in enumerate(itertools.pairwise(_bounds(ordered, strata))):
        members = sorted(ordered[first:last], key=_begin)
        middle = len(members) // 2
        drawn = [chance.choice(part) for part in (members[:middle], members[middle:]) if part]
        samples += _samples(drawn, number, members)
    return sorted(samples, key=lambda sample: sample.piece.begin_seconds)


def _bounds(ordered: Sequence[Piece], strata: int) -> list[int]:
    """Where each stratum begins, and the end; two pieces at least in each."""
    roots = list(itertools.accumulate(math.sqrt(piece.difficulty) * piece.seconds for piece in ordered))
    bounds = [0]
    for number in range(1, strata):
        share = bisect.bisect_left(roots, roots[-1] * number / strata) + 1
        bounds.append(min(max(share, bounds[-1] + 2), len(ordered) - 2 * (strata - number)))
    return [*bounds, len(ordered)]


def _samples(drawn: Sequence[Piece], number: int, members: Sequence[Piece]) -> list[Sample]:
    return [
        Sample(
            piece=piece,
            stratum=number,
            stratum_pieces=len(members),
            stratum_seconds=sum(p.seconds for p in members),
            stratum_difficulty=sum(p.seconds * p.difficulty for p in members),
        )
        for piece in drawn
    ]


def estimate(
    samples: Sequence[Sample], totals: Sequence[float], whole_pieces: int, *, as_difficulty: bool = False
) -> Interval:
    """The whole's mean for each second, from what the samples have in all.

    Parameters
    ----------
    totals
        Of each sample, over its seconds: bits, VMAF times seconds.
    whole_pieces
        Of the whole video; where all were taken nothing is uncertain.
    as_difficulty
        Whether totals go by difficulty rather than by length. Of bits, of which some pieces have far more
        than others, that leaves less uncertain (a ratio estimate over all strata, chapter 6).
    """
    groups: dict[int, list[int]] = {}
    for index, sample in enumerate(samples):
        groups.setdefault(sample.stratum, []).append(index)
    sizes = [s.piece.seconds * (s.piece.difficulty if as_difficulty else 1.0) for s in samples]
    whole_size = whole_seconds = drawn_size = drawn_total = 0.0
    for members in groups.values():
        stratum = samples[members[0]]
        whole_seconds += stratum.stratum_seconds
        whole_size += stratum.stratum_difficulty if as_difficulty else stratum.stratum_seconds
        pieces = stratum.stratum_pieces / len(members)
        drawn_size += pieces * sum(sizes[i] for i in members)
        drawn_total += pieces * sum(totals[i] for i in members)
    ratio = drawn_total / drawn_size
    mean = ratio * whole_size / whole_seconds
    if len(samples) >= whole_pieces:
        return Interval(mean, mean, mean)
    parts: list[tuple[float, int]] = []
    for members in groups.values():
        count, pieces = len(members), samples[members[0]].stratum_pieces
        if count > 1:
            residuals = [totals[i] - ratio * sizes[i] for i in members]
            parts.append((pieces * (pieces - count) * statistics.variance(residuals) / count, count - 1))
    variance = sum(part for part, _ in parts)
    if not variance:
        return Interval(mean, mean, mean)
    # Satterthwaite: where one stratum varies most, it alone says how much
    degrees = variance**2 / sum(part**2 / freedom for part, freedom in parts)
    half = math.sqrt(variance) * whole_size / drawn_size / whole_seconds
    half *= float(stdtrit(degrees, 0.5 + CONFIDENCE / 2))
    return Interval(mean, mean - half, mean + half)


def needed(half_width: float, precision: float, count: int) -> int:
    """How many samples bring an interval of ``half_width`` from ``count`` of them down to ``precision``."""
    return max(count, math.ceil(count * (half_width / precision) ** 2))
