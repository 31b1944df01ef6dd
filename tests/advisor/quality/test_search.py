"""Where a part of the output really is: pictures of one grey each, so that the errors are known."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from advisor.quality.graph import Plan
from advisor.quality.search import arguments, displaced

PLAN = Plan(
    width=640,
    height=360,
    pixel_format="yuv420p",
    depth=8,
    pairing="time",
    rate=Fraction(25),
    frames_limit=None,
    shift_seconds=0.04,
    windows=((40.0, 40.5),),
    models=("vmaf_v0.6.1",),
)
WINDOW = (40.0, 40.5)
OWN = 750
"""The reference is read from 10 s on, so that the frame at 40 s is the 750th."""


def _write(folder: Path, output: Sequence[int], reference: Sequence[int]) -> None:
    for name, greys in (("output", output), ("reference", reference)):
        (folder / f"{name}.raw").write_bytes(b"".join(bytes([grey]) * 576 for grey in greys))


def _film(frames: int) -> list[int]:
    """Greys by chance, always the same: no 12 in a row come twice."""
    chance = random.Random(1)
    return [chance.randrange(220) for _ in range(frames)]


def test_an_output_that_is_ahead_or_behind_is_placed_by_frames(tmp_path: Path) -> None:
    film = _film(1500)
    for lag, words in ((31, "about 31 frames ahead of"), (-200, "about 200 frames behind")):
        _write(tmp_path, film[OWN + lag : OWN + lag + 12], film)
        assert displaced(tmp_path, PLAN, WINDOW) == f"the output is {words} the reference (around 40.0 s)"


def test_a_bad_encode_at_its_place_is_left_there(tmp_path: Path) -> None:
    """30 levels off is an error of 900, and still nothing fits better."""
    film = _film(1500)
    _write(tmp_path, [min(255, grey + 30) for grey in film[OWN : OWN + 12]], film)
    assert displaced(tmp_path, PLAN, WINDOW) is None


def test_a_place_that_is_a_little_better_decides_nothing(tmp_path: Path) -> None:
    """25 off elsewhere against 28 off here: errors of 625 and 784, a share of 0.8."""
    _write(tmp_path, [100] * 12, [128] * 900 + [125] * 600)
    assert displaced(tmp_path, PLAN, WINDOW) is None


def test_an_encoder_that_stands_still_is_at_its_place(tmp_path: Path) -> None:
    """All 12 frames show the picture of 40 frames ago, around which the film was much the same."""
    film = _film(1500)
    film[OWN - 46 : OWN - 34] = [110] * 12
    film[OWN - 44] = 90
    _write(tmp_path, [110] * 12, film)
    assert displaced(tmp_path, PLAN, WINDOW) is None


def test_too_little_to_compare_decides_nothing(tmp_path: Path) -> None:
    _write(tmp_path, [], _film(1500))
    assert displaced(tmp_path, PLAN, WINDOW) is None
    _write(tmp_path, _film(12), _film(5))
    assert displaced(tmp_path, PLAN, WINDOW) is None


def test_half_a_minute_around_the_window_is_read() -> None:
    graph = arguments(PLAN, WINDOW)[1]
    assert "[0:V:0]setpts=PTS-STARTPTS,trim=start=40.000000:end=40.500000," in graph
    assert "[1:V:0]setpts=PTS-STARTPTS,trim=start=10.000000:end=70.500000," in graph
