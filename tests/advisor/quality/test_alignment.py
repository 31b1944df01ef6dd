"""The judgement on thumbnails whose contents are drawn by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from advisor.quality.alignment import Verdict, begins_with_a_still, fit, judge, uneven
from advisor.quality.pairing import Pairing

FRAMES, SIDE = 100, 48


def film(frames: int = FRAMES, seed: int = 1) -> np.ndarray:
    """Blocks of 6x6 samples that drift by a column a frame over a picture that is drawn by chance."""
    chance = np.random.default_rng(seed)
    wide = np.kron(chance.integers(20, 230, (8, 8 + frames // 6 + 2)), np.ones((6, 6)))
    return np.stack([wide[:, n : n + SIDE] for n in range(frames)]).astype(np.uint8)


def noisy(pictures: np.ndarray, level: float = 4.0) -> np.ndarray:
    chance = np.random.default_rng(2)
    return np.clip(pictures + chance.normal(0, level, pictures.shape), 0, 255).astype(np.uint8)


def judged(reference: np.ndarray, output: np.ndarray, first: int = 0) -> Verdict:
    """With every frame beside the one of the same number, counted from ``first``."""
    pairing = Pairing("index", 0, first + np.arange(len(output)))
    return judge(fit(reference, output, pairing), np.arange(len(output)) / 25, 25.0)


def verdict(reference: np.ndarray, output: np.ndarray) -> str | None:
    return judged(reference, output).reason


def test_the_same_film_is_aligned_however_noisy() -> None:
    assert verdict(film(), film()) is None
    assert verdict(film(), noisy(film(), 20)) is None


def test_nothing_that_moves_tells_nothing() -> None:
    """A still picture fits its neighbours as well; no frame of it can be misplaced."""
    still = film()[:1].repeat(FRAMES, axis=0)
    assert verdict(still, noisy(still)) is None


@pytest.mark.parametrize(("shift", "side"), [(1, "ahead of"), (-1, "behind")])
def test_a_frame_to_either_side_is_named(shift: int, side: str) -> None:
    whole = film(FRAMES + 2)
    output = noisy(whole[1 + shift : 1 + shift + FRAMES - 2])
    reason = verdict(whole[1:], output)
    assert reason == f"the output is a frame or more {side} the reference (around 0.0 s)"


def test_a_shift_that_begins_later_is_found_where_it_begins() -> None:
    """A frame is shown twice after two seconds: everything behind it is late."""
    output = np.concatenate([film()[:50], film()[49:-1]])
    assert (
        verdict(film(), noisy(output)) == "the output is a frame or more behind the reference (around 1.9 s)"
    )


def test_pictures_in_between_are_no_pictures_of_the_reference() -> None:
    """At twice the rate: every frame shown twice is the reference, every second one drawn anew is not."""
    reference = film()
    partners = np.arange(2 * FRAMES - 1) // 2
    between = reference[:-1] // 2 + reference[1:] // 2
    doubled = reference[partners]
    pairing = Pairing("index", 0, partners)
    held = judge(fit(reference, noisy(doubled, 8), pairing), np.arange(len(doubled)) / 50, 25.0)
    assert held == Verdict()
    doubled[1::2] = between
    drawn = judge(fit(reference, noisy(doubled, 8), pairing), np.arange(len(doubled)) / 50, 25.0)
    assert drawn.reason == (
        "the output has pictures between the reference's: it was interpolated or telecined"
    )


def test_a_repeat_that_a_starved_coder_draws_better_is_a_repeat() -> None:
    """It lags by six tenths of a step and makes up for it, beneath blocks that are as far from the film."""
    reference = film()
    partners = np.arange(FRAMES * 5 // 4 - 4) * 4 // 5
    former = reference[np.maximum(partners - 1, 0)]
    lag = np.where(np.diff(partners, prepend=-1) == 0, 0.05, 0.6)[:, None, None]
    lost = noisy(reference, 27) - reference.astype(float)
    output = reference[partners] * (1 - lag) + former * lag + lost[partners]
    pairs = fit(reference, np.clip(output, 0, 255).astype(np.uint8), Pairing("rate", 0, partners))
    assert judge(pairs, np.arange(len(output)) / 30, 24.0) == Verdict()


def test_single_frames_that_show_something_else_are_counted() -> None:
    reference = film()
    output = noisy(reference)
    output[[40, 41]] = output[[41, 40]]
    output[70] = film(seed=5)[0]
    assert judged(reference, output).notes == (
        "the output shows the picture after its own in 1 of 100 frames, first at 1.60 s",
        "the output shows the picture before its own in 1 of 100 frames, first at 1.64 s",
        "the output shows another picture in 1 of 100 frames, first at 2.80 s",
    )


def test_one_odd_frame_decides_nothing() -> None:
    output = noisy(film())
    output[40] = film()[41]
    assert verdict(film(), output) is None


def test_a_part_from_another_place_is_named_with_its_distance() -> None:
    output = film()
    output = np.concatenate([output[:36], output[60:]])
    reason = verdict(film(), noisy(output))
    assert reason == "the output is about 24 frames ahead of the reference (around 1.5 s)"


def test_an_insert_that_is_nowhere_in_the_reference_is_named() -> None:
    output = film()
    output[36:60] = 16
    assert verdict(film(), output) == (
        "the output shows pictures from 1.0 to 2.5 s that the reference does not have near there"
    )


def test_another_film_is_named() -> None:
    assert verdict(film(), film(seed=9)) == "the output is a different video than the reference"


@pytest.mark.parametrize(
    ("turned", "words"),
    [
        (lambda p: p[:, :, ::-1], "is mirrored"),
        (lambda p: p[:, ::-1, :], "is upside down"),
        (lambda p: p[:, ::-1, ::-1], "is turned by 180 degrees"),
        (lambda p: np.rot90(p, 1, (1, 2)), "is turned by 270 degrees"),
        (lambda p: np.rot90(p, 3, (1, 2)), "is turned by 90 degrees"),
    ],
)
def test_a_picture_that_was_turned_is_named(turned: object, words: str) -> None:
    assert verdict(film(), turned(film())) == f"the output {words} against the reference"  # type: ignore[operator]


def test_other_moments_of_a_scene_are_no_poor_encode_of_it() -> None:
    """What moves differs by a sixth of the whole variance: too little for another video."""
    still, chance = film()[:1].repeat(FRAMES, axis=0), np.random.default_rng(5)
    grain = chance.integers(100, 150, (2, 30, SIDE + FRAMES))
    drifts = np.stack([grain[:, :, n : n + SIDE] for n in range(FRAMES)], axis=1).astype(np.uint8)
    reference, output = still.copy(), still.copy()
    reference[:, :30], output[:, :30] = drifts
    assert verdict(reference, output) == (
        "the output shows other moments than the reference has, or is a different video"
    )
    output[:, :30] = 70 + 0.6 * drifts[0]  # as far, and moves with it
    assert verdict(reference, output) is None


def test_an_encoder_that_stands_still_is_where_it_belongs() -> None:
    """It goes on showing one old picture for a second; the score is bad and right."""
    output = film()
    output[40:64] = film()[39]
    found = judged(film(), output)
    assert found.reason is None
    assert found.notes
    assert found.notes[0].startswith("the output is frozen for")


@pytest.mark.parametrize(
    ("dark", "alter", "noise"),
    [
        pytest.param(film() // 4, lambda p: np.clip(p * 1.2 + 60, 0, 255), 0.5, id="brighter"),
        pytest.param(
            film() // 4, lambda p: np.where(np.arange(SIDE)[:, None] < 7, 255, p), 2, id="a banner, coded"
        ),
        pytest.param(
            film() * 0, lambda p: np.where(np.arange(SIDE)[:, None] < 7, 255, p), 0.5, id="a banner on black"
        ),
    ],
)
def test_what_is_altered_is_the_same_film_and_said(
    dark: np.ndarray, alter: Callable[[np.ndarray], np.ndarray], noise: float
) -> None:
    found = judged(dark, noisy(alter(dark.astype(float)), noise))
    words = f"the output is brighter, darker or overlaid for {FRAMES} frames around 0.0 s"
    assert (found.reason, found.notes) == (None, (words,))


def test_a_lost_frame_is_found_under_much_noise() -> None:
    """The frame behind leaves 0.85 of the error from there on: 19 of a step and 100 of noise."""
    dark = film() // 8
    output = noisy(np.delete(dark, 50, axis=0) + 40.0, 10)
    assert verdict(dark + 40, output) == (
        "the output is a frame or more ahead of the reference (around 1.9 s)"
    )


def test_a_lead_of_one_picture_is_told_from_film() -> None:
    slate = film()[:1].repeat(10, axis=0)
    assert begins_with_a_still(np.concatenate([slate, film()]), 10)
    assert not begins_with_a_still(film(), 10)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (20, "the output is about 20 frames ahead of the reference (around 1.5 s)"),
        # it might be a coder that lags
        (-20, "the output shows pictures from 1.5 to 2.0 s that the reference does not have near there"),
    ],
)
def test_a_blend_of_two_moments_is_not_where_half_of_it_belongs(place: int, reason: str) -> None:
    """0.528 of another moment and the rest of its own: that one fits with 0.8 of the error."""
    whole = film(140)
    output = whole[30:130].astype(float)
    output[36:60] = 0.528 * whole[66 + place : 90 + place] + 0.472 * whole[66:90]
    assert judged(whole, output.astype(np.uint8), 30).reason == reason


def test_what_was_wrong_before_it_stood_still_is_not_where_it_belongs() -> None:
    """Five frames from another moment, then one picture from its right place that is held."""
    output = film()
    output[36:41], output[41:60] = film()[62:67], film()[41]
    assert verdict(film(), output) == (
        "the output shows pictures from 1.5 to 2.5 s that the reference does not have near there"
    )


def test_a_pairing_that_fits_in_parts_is_told_from_one_that_is_bad_throughout() -> None:
    pairing = Pairing("index", 0, np.arange(FRAMES))
    parts = film()
    parts[36:60] = film()[60:84]
    assert uneven(fit(film(), parts, pairing))
    assert not uneven(fit(film(), noisy(film(), 30), pairing))
