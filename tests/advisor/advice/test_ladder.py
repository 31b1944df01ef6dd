"""The hull over sizes, by hand."""

from __future__ import annotations

import math

import pytest

from advisor.advice.ladder import LadderPoint, filled, hull, rungs, switches


def point(height: int, kbps: float, vmaf: float, crf: float = 25.0) -> LadderPoint:
    return LadderPoint(height=height, crf=crf, kbps=kbps, vmaf=vmaf)


SMALL = [point(360, 100, 50), point(360, 200, 65), point(360, 800, 72)]
LARGE = [point(720, 200, 40), point(720, 400, 77), point(720, 1600, 95), point(720, 3200, 96)]


def test_the_hull_takes_the_better_size_at_every_bitrate() -> None:
    """360 lines to 200 kbit/s, 720 from 400 on: what 720 has at 200 and 360 at 800 lies below."""
    assert [(p.height, p.kbps) for p in hull([*SMALL, *LARGE])] == [
        (360, 100),
        (360, 200),
        (720, 400),
        (720, 1600),
        (720, 3200),
    ]


def test_a_point_below_the_chord_is_left_out() -> None:
    """Over the logarithm of bitrate: 60 at 200 lies below the line from 50 at 100 to 80 at 400."""
    assert [p.kbps for p in hull([point(1, 100, 50), point(1, 200, 60), point(1, 400, 80)])] == [100, 400]


def test_players_switch_between_the_last_and_the_first() -> None:
    (switch,) = switches(hull([*SMALL, *LARGE]))
    assert (switch.from_height, switch.to_height, switch.kbps) == (
        360,
        720,
        pytest.approx(math.sqrt(200 * 400)),
    )


def test_a_rung_is_the_best_of_its_size_on_the_hull() -> None:
    curve = hull([*SMALL, *LARGE])
    assert [(r.height, r.kbps) for r in rungs(curve, LARGE[2], [720, 540, 360])] == [(720, 1600), (360, 200)]


def test_crfs_between_encodes_are_filled_in() -> None:
    """Halfway between 400 and 100 kbit/s, in logarithms, lie 200; between 90 and 80, 85."""
    line = filled([point(720, 400, 90, 20.0), point(720, 100, 80, 24.0)])
    assert [p.crf for p in line] == [20, 21, 22, 23, 24]
    assert (line[2].kbps, line[2].vmaf) == (pytest.approx(200), pytest.approx(85))
