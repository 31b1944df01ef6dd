"""Samples that stand for a whole, and how often the whole lies in their interval."""

from __future__ import annotations

import random

import pytest

from advisor.advice.samples import Piece, estimate, needed, sampled


def pieces(difficulties: list[float], seconds: float = 3.0) -> list[Piece]:
    return [
        Piece(begin_seconds=seconds * i, seconds=seconds, frames=75, difficulty=difficulty)
        for i, difficulty in enumerate(difficulties)
    ]


def test_samples_are_spread_over_difficulty_and_time() -> None:
    """Of 36 easy pieces before 4 hard ones four, two of each: the roots are 36 x 1 and 4 x 9."""
    drawn = sampled(pieces([1.0] * 36 + [81.0] * 4), 4, seed=5)
    assert [sample.piece.difficulty for sample in drawn] == [1.0, 1.0, 81.0, 81.0]
    assert [sample.piece.begin_seconds // 54 for sample in drawn] == [0, 1, 2, 2]
    assert [sample.stratum_pieces for sample in drawn] == [36, 36, 4, 4]


def test_the_few_pieces_with_most_of_the_bits_are_all_taken() -> None:
    drawn = sampled(pieces([1.0] * 30 + [1000.0] + [2.0] * 30 + [900.0]), 8, seed=1)
    assert sum(sample.piece.difficulty >= 900 for sample in drawn) == 2


def test_of_few_pieces_all_are_taken_and_nothing_is_uncertain() -> None:
    drawn = sampled(pieces([1.0, 2.0, 3.0]), 8)
    whole = estimate(drawn, [3 * 90.0, 3 * 92.0, 3 * 97.0], 3)
    assert (whole.low, whole.mean, whole.high) == pytest.approx((93.0, 93.0, 93.0))


def test_a_longer_piece_weighs_more() -> None:
    """10 s at 90 and 30 s at 98: 96."""
    two = [
        Piece(begin_seconds=0.0, seconds=10.0, frames=250, difficulty=1.0),
        Piece(begin_seconds=10.0, seconds=30.0, frames=750, difficulty=1.0),
    ]
    assert estimate(sampled(two, 4), [10 * 90.0, 30 * 98.0], 2).mean == pytest.approx(96.0)


def test_the_interval_by_hand() -> None:
    """One stratum of 10 pieces of 1 s, two drawn with 90 and 94, as if there were one stratum only.

    Mean 92; variance (10 x 8 x 8 / 2) / 10^2 = 3.2; t(0.95, 1) = 6.3138: half-width 11.2945.
    """
    drawn = sampled(pieces([1.0] * 20, 1.0), 2)
    halves = [[s for s in drawn if s.stratum == number] for number in (0, 1)]
    interval = estimate(halves[0], [90.0, 94.0], 10)
    assert interval.mean == pytest.approx(92.0)
    assert interval.half_width == pytest.approx(11.2945, abs=1e-3)


def test_bits_that_go_by_difficulty_are_certain() -> None:
    """Every piece has twice the bits of its source, whatever was drawn: the whole has twice its source's."""
    population = pieces([float(n**3) for n in range(1, 41)])
    drawn = sampled(population, 8, seed=2)
    bits = estimate(drawn, [2 * s.piece.difficulty * s.piece.seconds for s in drawn], 40, as_difficulty=True)
    mean = 2 * sum(p.difficulty for p in population) / 40
    assert (bits.low, bits.mean, bits.high) == pytest.approx((mean, mean, mean))


@pytest.mark.parametrize("count", [12, 24])
@pytest.mark.parametrize("as_difficulty", [False, True])
def test_the_whole_lies_inside_as_often_as_is_said(count: int, as_difficulty: bool) -> None:
    """90 % of 800 choices, within four points: VMAF falls with difficulty, and bits rise with it.

    Both bend and have scatter; ten of the 120 pieces have up to half of the bits.
    """
    chance = random.Random(count)
    population = pieces([chance.lognormvariate(0, 1.3) for _ in range(120)])
    vmaf = {p: 3 * (100 - 5 * min(4.0, p.difficulty**0.5) + chance.gauss(0, 2)) for p in population}
    bits = {p: 3 * p.difficulty**0.9 * chance.lognormvariate(0, 0.3) for p in population}
    totals = bits if as_difficulty else vmaf
    truth = sum(totals.values()) / 360
    inside = 0
    for seed in range(800):
        drawn = sampled(population, count, seed)
        of_drawn = [totals[sample.piece] for sample in drawn]
        interval = estimate(drawn, of_drawn, 120, as_difficulty=as_difficulty)
        inside += interval.low <= truth <= interval.high
    assert inside / 800 == pytest.approx(0.9, abs=0.04)


def test_more_samples_narrow_the_interval_by_their_root() -> None:
    assert needed(1.0, 0.5, 12) == 48
    assert needed(0.4, 0.5, 12) == 12
