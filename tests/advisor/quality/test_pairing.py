"""Which frames belong together, by times that are written down and pictures of one grey each."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from msgspec.structs import replace

from advisor.quality.matching import best_pairing, best_shift
from advisor.quality.pairing import Pairing, Timing, pair_by_times
from advisor.quality.pictures import are_limited


def timing(times: Sequence[float], rate: Fraction | int | None) -> Timing:
    return Timing(np.array(times, dtype=float), None if rate is None else Fraction(rate))


def even(frames: int, rate: Fraction | int, start: float = 0.0) -> Timing:
    return timing([start + n / float(rate) for n in range(frames)], rate)


def partners(reference: Timing, output: Timing, rule: str, shift: int = 0) -> list[list[int]]:
    return [p.partners.tolist() for p in pair_by_times(reference, output, shift) if p.rule == rule]


def greys(values: Sequence[int]) -> np.ndarray:
    return np.array(values, dtype=np.uint8)[:, None, None].repeat(48, axis=1).repeat(48, axis=2)


def rule_of(pairings: Sequence[Pairing], reference: np.ndarray, output: np.ndarray) -> str:
    best = best_pairing(pairings, reference, output)
    assert best is not None
    return best.rule


def test_videos_of_one_rate_without_gaps_are_paired_one_by_one() -> None:
    """Milliseconds of Matroska and a start of 1.3 s change nothing."""
    rounded = timing([round(1.3 + n / 29.97, 3) for n in range(40)], Fraction(30000, 1001))
    found = pair_by_times(even(40, Fraction(30000, 1001)), rounded)
    assert {tuple(p.partners) for p in found} == {tuple(range(40))}


def test_a_frame_that_was_dropped_has_no_partner() -> None:
    output = timing([n / 25 for n in range(10) if n != 4], 25)
    assert partners(even(10, 25), output, "time") == [[0, 1, 2, 3, 5, 6, 7, 8, 9]]


def test_of_frames_that_share_a_time_the_first_is_shown() -> None:
    """ffmpeg drops the second, where it drops one."""
    reference, output = timing([0, 0.04, 0.08, 0.08, 0.16, 0.2], 25), timing([0, 0.04, 0.08, 0.16, 0.2], 25)
    assert partners(reference, output, "time") == [[0, 1, 2, 4, 5]]


def test_the_fps_filter_takes_the_last_frame_of_each_place() -> None:
    """50 to 25: frames 1 and 2 are both nearest to place 1, and the later is shown (ffmpeg's fps, near)."""
    assert partners(even(10, 50), even(5, 25), "fps")[0] == [0, 2, 4, 6, 8]
    # 30 to 24: places 0.8 n round to 0 1 2 2 3 4 5 6 6 7
    assert partners(even(10, 30), even(8, 24), "fps")[0] == [0, 1, 3, 4, 5, 6, 8, 9]


def test_a_gap_is_filled_with_the_frame_before_it() -> None:
    """ffmpeg -vf fps=10 on frames at 0, 0.1, 0.2 and 0.7, 0.8 s."""
    assert partners(timing([0, 0.1, 0.2, 0.7, 0.8], 10), even(9, 10), "fps")[0] == [0, 1, 2, 2, 2, 2, 2, 3, 4]


def test_ffmpeg_s_own_way_to_a_rate_drops_when_more_than_a_frame_early() -> None:
    """-r 25 on 50 frames a second: as `ffmpeg -r 25 -f framecrc` chose them, frame by frame."""
    assert partners(even(12, 50), even(6, 25), "rate")[0] == [0, 1, 2, 3, 5, 7]


def test_ffmpeg_s_own_way_to_a_rate_rounds_half_a_frame_up() -> None:
    """-r 60 on 24000/1001 in Matroska, frames that say to last 41 ms: as ffmpeg chose them."""
    film = timing([round(n * 1001 / 24000, 3) for n in range(30)], Fraction(24000, 1001))
    (chosen, *_) = partners(replace(film, durations=np.full(30, 0.041)), even(60, 60), "rate")
    assert (chosen[35:39], chosen[50:54]) == ([14, 14, 14, 15], [20, 20, 20, 21])


def test_what_fills_a_gap_up_to_half_a_frame_is_rounded_to_even() -> None:
    """-r 25 on frames at 0, 1, 2, 18.5, 19.5 and 36.5 twenty-fifths in MP4: as ffmpeg chose them."""
    reference = timing([0, 0.04, 0.08, 0.74, 0.78, 1.46], 25)
    chosen = [0, 1] + [2] * 16 + [3, 3] + [4] * 17 + [5]
    assert chosen in partners(reference, even(38, 25), "rate")


def test_a_clock_that_is_coarser_than_a_variable_rate_keeps_the_first_frame_of_each_place() -> None:
    """Of a phone's 60 and 30 frames a second in MP4 by 25 without ``-r``: as ffmpeg chose them."""
    ticks = [0, 1000, 3000, 5000, 6000, 7100, 9100, 10000, 12000, 13000, 15000, 16000]
    phone = replace(timing([tick / 60000 for tick in ticks], 60), durations=np.full(12, 1 / 60))
    assert [0, 1, 2, 3, 5, 7] in partners(phone, even(6, 25), "rate")


def test_as_many_frames_at_another_rate_are_paired_by_their_number() -> None:
    retimed = pair_by_times(even(50, 25), even(50, Fraction(24000, 1001)))[0]
    assert (retimed.rule, retimed.partners.tolist()) == ("index", list(range(50)))


def test_frames_at_unequal_distances_may_be_paired_by_their_number() -> None:
    """Where a variable rate begins again, two programs leave another gap."""
    times = np.array([0.0, 0.02, 0.06, 0.08])
    looped = [
        Timing(np.concatenate([times, times + gap]), Fraction(rate)) for gap, rate in ((0.1, 32), (0.14, 35))
    ]
    found = pair_by_times(*looped)
    assert found[-1].partners.tolist() == list(range(8))


def test_without_times_frames_are_paired_by_their_number() -> None:
    (only,) = pair_by_times(timing([0] * 5, None), even(4, 25))
    assert (only.rule, only.partners.tolist()) == ("index", [0, 1, 2, 3])


def test_what_the_output_has_behind_the_reference_has_no_partner() -> None:
    (first, *_) = pair_by_times(even(10, 25), even(20, 25))
    assert len(first.partners) == 10


def test_a_shift_moves_the_beginning_of_either_side() -> None:
    (later, *_) = pair_by_times(even(10, 25), even(10, 25), 3)
    assert (later.first, later.partners.tolist()) == (0, [3, 4, 5, 6, 7, 8, 9])
    (earlier, *_) = pair_by_times(even(10, 25), even(10, 25), -3)
    assert (earlier.first, earlier.partners.tolist()) == (3, [0, 1, 2, 3, 4, 5, 6])
    assert pair_by_times(even(10, 25), even(10, 25), 10) == []


def test_pictures_choose_between_rules_where_these_differ() -> None:
    reference, output = greys(range(0, 200, 20)), greys([0, 20, 60, 80])
    first = Pairing("time", 0, np.array([0, 1, 2, 3]))
    second = Pairing("fps", 0, np.array([0, 1, 3, 4]))
    assert rule_of([first, second], reference, output) == "fps"
    assert rule_of([second, first], reference, output) == "fps"


def test_behind_the_reference_a_poor_encode_goes_on_only_while_its_picture_stands() -> None:
    """Steps of 10 levels under an error of 20: the frame behind the end moves as all others, or is held."""
    reference, noise = greys(range(0, 100, 10)), np.array([20, -20] * 24, dtype=int)
    shown = np.clip(greys([*range(0, 100, 10), 100, 90]).astype(int) + 30 + noise, 0, 255).astype(np.uint8)
    reference += 30
    first, longer = Pairing("index", 0, np.arange(10)), Pairing("fps", 0, np.array([*range(10), 9]))
    assert rule_of([first, longer], reference, shown[:11]) == "index"
    assert rule_of([first, longer], reference, shown[[*range(10), 11]]) == "fps"


def test_frames_that_hardly_move_do_not_outvote_one_that_does() -> None:
    """The right rule is off by the coder's noise where the picture stands, and right where it moves."""
    reference, output = greys([10, 11, 12, 13, 90]), greys([10, 12, 13, 90])
    first = Pairing("fps", 0, np.array([0, 2, 3, 3]))
    second = Pairing("rate", 0, np.array([0, 1, 2, 4]))
    assert rule_of([first, second], reference, output) == "rate"


def test_the_likelier_rule_stays_where_pictures_tell_nothing() -> None:
    still = greys([90] * 10)
    first = Pairing("time", 0, np.array([0, 1, 2, 3]))
    second = Pairing("fps", 0, np.array([0, 1, 3, 4]))
    assert rule_of([first, second], still, still[:4]) == "time"


@pytest.mark.parametrize("shift", [37, -21, 0])
def test_the_place_where_an_output_begins_is_found(shift: int) -> None:
    chance = np.random.default_rng(3).integers(0, 255, (200, 48, 48)).astype(np.uint8)
    reference, output = chance[50:150], chance[50 + shift : 150 + shift]
    assert best_shift(reference, output, Pairing("index", 0, np.arange(100)), 60) == (
        shift,
        shift != 0,
    )


def test_another_video_is_found_nowhere() -> None:
    chance = np.random.default_rng(3).integers(0, 255, (200, 48, 48)).astype(np.uint8)
    assert best_shift(chance[:100], chance[100:], Pairing("index", 0, np.arange(100)), 60) == (
        0,
        False,
    )


def test_an_output_far_longer_than_the_reference_is_found_nowhere() -> None:
    """Seven times as long: a seventh of it lies in the reference at its own place, and no more anywhere."""
    chance = np.random.default_rng(3).integers(0, 255, (160, 48, 48)).astype(np.uint8)
    assert best_shift(chance[:20], chance[20:], Pairing("index", 0, np.arange(20)), 5) == (0, False)


def test_a_film_that_runs_backwards_is_found_nowhere() -> None:
    """Around the last frame some of it nearly meets what it was before."""
    wide = np.random.default_rng(3).normal(0, 40, (48, 260)).cumsum(axis=1) / 4 + 128
    film = np.stack([wide[:, n : n + 48] for n in range(100)]).clip(0, 255).astype(np.uint8)
    assert best_shift(film, film[::-1], Pairing("index", 0, np.arange(100)), 90) == (0, False)


def test_a_beginning_at_the_edge_of_what_overlaps_is_not_sure() -> None:
    """The picture comes nearer with every frame of shift, and behind a quarter of overlap nobody looks."""
    stripes = (np.arange(48) % 2 * 100).astype(np.uint8)
    reference, output = greys(range(0, 100)) + stripes, greys(range(99, 127)) + stripes
    shift, sure = best_shift(reference, output, Pairing("index", 0, np.arange(28)), 99)
    assert (shift, sure) == (93, False)


@pytest.mark.parametrize(
    ("untagged", "limited"),
    [
        pytest.param(range(0, 256, 5), True, id="the same levels once expanded"),
        # (0 - 16) * 255 / 219 and so on, as ffmpeg expands what was full range already
        pytest.param(
            [min(255, max(0, round((n - 16) * 255 / 219))) for n in range(0, 256, 5)], False, id="full"
        ),
        pytest.param([117] * 52, False, id="levels that tell nothing"),
    ],
)
def test_levels_tell_the_range_that_no_tag_does(untagged: Sequence[int], limited: bool) -> None:
    full = greys([117] * 52 if len(set(untagged)) == 1 else range(0, 256, 5))
    assert are_limited(greys(untagged), full) is limited
