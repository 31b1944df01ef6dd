"""The judgement on the probe's errors."""

from __future__ import annotations

from fractions import Fraction

import pytest

from advisor.quality.alignment import doubtful, shifted
from advisor.quality.graph import Plan

PLAN = Plan(
    width=640,
    height=360,
    pixel_format="yuv420p",
    depth=8,
    pairing="time",
    rate=Fraction(25),
    frames_limit=None,
    shift_seconds=0.04,
    windows=((0.06, 1.0), (3.0, 3.5), (5.0, 5.5)),
    models=("vmaf_v0.6.1",),
)
COUNTS = (24, 12, 13)
"""Frames in each window."""
Windows = list[dict[str, list[float]]]


def errors(now: float, early: float, late: float) -> Windows:
    return [{"now": [now] * n, "early": [early] * n, "late": [late] * n} for n in COUNTS]


def test_neighbours_that_fit_worse_leave_the_pairing_alone() -> None:
    assert shifted(PLAN, errors(6.5, 87.2, 96.1)) is None


def test_nothing_that_moves_tells_nothing() -> None:
    """A still picture fits its neighbours as well; no frame of it can be misplaced."""
    assert shifted(PLAN, errors(5.9, 5.9, 5.9)) is None
    assert shifted(PLAN, errors(0.0, 0.0, 0.0)) is None


@pytest.mark.parametrize(("early", "late", "word"), [(6.5, 96.1, "ahead of"), (96.1, 6.5, "behind")])
def test_a_neighbour_that_fits_clearly_better_is_named(early: float, late: float, word: str) -> None:
    reason = shifted(PLAN, errors(87.2, early, late))
    assert reason == f"the output is a frame or more {word} the reference (around 0.1 s)"


def test_a_shift_that_begins_later_is_found_where_it_begins() -> None:
    found = [errors(6.5, 87.2, 96.1)[0], *errors(87.2, 96.1, 6.5)[1:]]
    assert shifted(PLAN, found) == "the output is a frame or more behind the reference (around 3.0 s)"


def test_a_small_advantage_in_every_window_is_a_shift() -> None:
    """As coarse encodes show it: 0.93 of the error on one side, 1.14 on the other."""
    assert shifted(PLAN, errors(100.0, 93.0, 114.0)) == "the output is a frame or more ahead of the reference"


def test_the_late_side_has_to_be_clearer_than_the_early_one() -> None:
    """An encoder at its end shows nearly the former picture: 0.93 in all windows, rightly paired."""
    assert shifted(PLAN, errors(100.0, 109.0, 93.0)) is None
    assert shifted(PLAN, errors(100.0, 109.0, 89.0)) == "the output is a frame or more behind the reference"


def test_a_small_advantage_in_one_window_is_none() -> None:
    """An encoder that is starved of bits lags for a while; its frames still belong where they are."""
    found = [errors(100.0, 166.0, 220.0)[0], *errors(100.0, 133.0, 82.0)[1:]]
    assert shifted(PLAN, found) is None


def test_one_odd_frame_decides_nothing() -> None:
    """A scene cut: a single frame's error outweighs the sum, the others disagree."""
    found = errors(10.0, 12.0, 12.0)
    for window in found:
        window["now"][0] = 4000.0
        window["early"][0] = 10.0
    assert shifted(PLAN, found) is None


def test_frames_chosen_by_another_rule_are_seen_though_most_agree() -> None:
    """Every tenth frame of a changed rate is its neighbour."""
    found = [w | {"paired": [6.0] * len(w["now"])} for w in errors(6.0, 90.0, 90.0)]
    assert shifted(PLAN, found) is None
    for window in found:
        for place in range(0, len(window["now"]), 10):
            window["paired"][place], window["now"][place], window["late"][place] = 90.0, 90.0, 6.0
    reason = "the output's frames were chosen by another rule than the fps filter's (around 0.1 s)"
    assert shifted(PLAN, found) == reason


def test_windows_without_frames_are_passed_over() -> None:
    empty: dict[str, list[float]] = {"now": [], "early": [], "late": []}
    assert shifted(PLAN, [empty] * 3) is None
    first, last = errors(6.5, 87.2, 96.1)[0], errors(87.2, 96.1, 6.5)[2]
    reason = "the output is a frame or more behind the reference (around 5.0 s)"
    assert shifted(PLAN, [first, empty, last]) == reason


def test_a_bad_fit_that_no_side_improves_is_doubtful_where_it_is_worst() -> None:
    """The second window is a second of another moment: 700 wherever the probe looks."""
    found = errors(6.5, 87.2, 96.1)
    found[1] = errors(700.0, 700.0, 700.0)[1]
    assert shifted(PLAN, found) is None
    assert doubtful(PLAN, found) == (3.0, 3.5)


@pytest.mark.parametrize(
    ("now", "early", "late"),
    [
        pytest.param(6.5, 6.6, 6.4, id="like its partner, and nothing moves"),
        pytest.param(80.0, 170.0, 160.0, id="starved of bits, and both sides fit far worse"),
    ],
)
def test_what_is_as_it_should_be_is_not_doubtful(now: float, early: float, late: float) -> None:
    assert doubtful(PLAN, errors(now, early, late)) is None
