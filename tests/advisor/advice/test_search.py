"""The search against laws whose best is known, and its ends."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from advisor.advice.curves import Configuration
from advisor.advice.search import Evidence, Goal, SearchState, consider, crfs
from tests.support.encoder_laws import FAMILIES, OPTIONS, Found, Law, encoded

GOAL = Goal(objective="bitrate", min_vmaf=93)
ALONE = [Configuration("libx264", "medium", crf) for crf in crfs("libx264")]


def trial(crf: float, vmaf: float, kbps: float = 1000.0, seconds: float = 0.1) -> Evidence:
    return encoded(Configuration("libx264", "medium", crf), vmaf=vmaf, kbps=kbps, seconds=seconds)


def of(video: str, trials: list[Evidence]) -> list[Evidence]:
    return [replace(t, place=replace(t.place, video=video)) for t in trials]


def judge(trials: list[Evidence], goal: Goal = GOAL, **options: float) -> SearchState:
    return consider(goal, {"video": 23.0}, ALONE, trials, **options)


@pytest.mark.parametrize("objective", ["bitrate", "energy"])
def test_nine_of_ten_answers_are_within_two_percent_of_the_best(objective: str) -> None:
    """As is said of them; and no search takes more encodes than a sixth of what there is to try."""
    near = []
    for seed in range(12):
        goal = Goal(objective=objective, min_vmaf=90)
        law = Law(seed)
        best = law.best(goal)
        found = Found(law, goal, most=len(OPTIONS) // 6)
        assert best is not None
        near.append(found.above(best) <= 0.02)
    assert sum(near) >= 11


def test_a_floor_that_nothing_reaches_ends_the_search_early() -> None:
    law = Law(3)
    found = Found(law, Goal(objective="energy", min_vmaf=min(100.0, law.ceiling + 0.5)))
    assert (found.verdict.leader, found.verdict.why) == (None, "hopeless")
    assert found.encodes <= 3 * len(FAMILIES)


def test_scores_that_stop_rising_end_the_search() -> None:
    """Of a screen recording: 97.08 at CRF 27, 97.34 at 11, 97.44 at 1, and a floor of 98."""
    saturated = [trial(27, 97.08, 500), trial(11, 97.34, 2000), trial(1, 97.44, 9000)]
    saturated.append(trial(0, 97.44, 20_000))
    assert judge(saturated, replace(GOAL, min_vmaf=98)).why == "hopeless"


def test_an_encoder_that_ignores_the_crf_is_no_endless_search() -> None:
    """Every encode the same: 96.19 at 2377 kbit/s. The first that was made is as good as any."""
    same = [trial(crf, 96.19, 2377) for crf in (20, 28, 37, 45, 51)]
    verdict = judge(same)
    assert verdict.next is None
    assert verdict.leader is not None


def test_a_crf_between_two_that_are_known_is_settled() -> None:
    verdict = judge([trial(24, 95.0, 800), trial(26, 92.0, 600)])
    assert verdict.next == Configuration("libx264", "medium", 25.0)
    done = judge([trial(24, 95.0, 800), trial(25, 93.6, 690), trial(26, 92.0, 600)])
    assert (done.why, done.leader) == ("sure", Configuration("libx264", "medium", 25.0))


def test_beyond_a_crf_that_just_failed_nothing_is_tried() -> None:
    """92.97 beside a floor of 93 is within the noise of a score, and yet no larger CRF holds."""
    done = judge([trial(33, 93.91, 690), trial(35, 93.46, 600), trial(36, 93.22, 560), trial(37, 92.97, 525)])
    assert (done.why, done.leader) == ("sure", Configuration("libx264", "medium", 36.0))


def test_a_search_goes_on_where_the_nearest_is_far_above_the_floor() -> None:
    """Of a film: 95.67 at CRF 24, 96.60 at 16, 97.75 at 10 with three times the bits, and a floor of 97."""
    verdict = judge(
        [trial(24, 95.67, 1000), trial(16, 96.6, 2000), trial(10, 97.75, 6890)], replace(GOAL, min_vmaf=97)
    )
    assert verdict.next is not None
    assert 10 < verdict.next.crf < 16


def test_where_noise_decides_the_one_that_was_measured_less_is_measured_again() -> None:
    """Of two presets one was measured 25 times; the other leads by 2 %, measured once at 20 % of noise."""
    often, once = (
        encoded(Configuration("libx264", preset, 20.0), vmaf=93.1, kbps=800.0, seconds=seconds)
        for preset, seconds in (("medium", 0.1), ("fast", 0.098))
    )
    often = replace(often, option=replace(often.option, noise_ratio=0.2 / 5, repeats=25))
    once = replace(once, option=replace(once.option, noise_ratio=0.2))
    both = [e.place.configuration for e in (often, once)]
    verdict = consider(Goal(objective="energy", min_vmaf=93), {"video": 23.0}, both, [often, once])
    assert (verdict.leader, verdict.next) == (both[1], both[1])


def test_scores_that_jump_end_the_search() -> None:
    """Of a film: 92.62 at CRF 32 and 84.10 at 19, 95.54 at 10 and 96.05 at 12; a floor of 95."""
    scores = {10: 95.54, 11: 96.0, 12: 96.05, 13: 95.97, 14: 95.88, 15: 84.59, 19: 84.1, 32: 92.62}
    goal, trials = replace(GOAL, min_vmaf=95), [trial(32, 92.62, 500), trial(19, 84.1, 2000)]
    while (verdict := judge(trials, goal)).next is not None:
        crf = verdict.next.crf
        trials.append(trial(crf, scores.get(int(crf), 97 - crf / 10), 7000 * 0.93**crf))
        assert len(trials) <= 9
    assert verdict.leader is not None


def test_a_score_just_above_the_floor_is_enough() -> None:
    assert judge([trial(24, 93.1, 800)]).why == "sure"


def test_a_larger_crf_that_holds_is_taken_for_nothing() -> None:
    """Energy hardly depends on the CRF, and 96 instead of 93 is bitrate for nothing."""
    goal = Goal(objective="energy", min_vmaf=93)
    verdict = judge([trial(20, 97.0, 2000), trial(24, 95.9, 1400)], goal)
    assert verdict.next is not None
    assert verdict.next.crf > 24


def test_what_breaks_a_limit_does_not_lead() -> None:
    limited = replace(GOAL, max_bitrate_kbps=900)
    slow = judge([trial(20, 97.0, 800, seconds=0.51)], replace(limited, min_speed=2))
    quick = judge([trial(20, 97.0, 800, seconds=0.5)], replace(limited, min_speed=2))
    assert slow.leader is None
    assert quick.leader == Configuration("libx264", "medium", 20.0)
    assert judge([trial(20, 97.0, 1000)], limited).leader is None


def test_what_does_not_fit_into_the_time_left_is_not_tried() -> None:
    verdict = judge([trial(20, 97.0, 2000, seconds=1.0)], video_seconds=30.0, seconds_left=10.0)
    assert (verdict.why, verdict.next) == ("budget", None)
    assert verdict.leader is not None


def test_one_configuration_for_all_holds_on_each() -> None:
    """At CRF 28 only the easy video holds; at 24 both do."""
    easy = of("easy", [trial(24, 97.0, 500), trial(28, 95.0, 300)])
    hard = [trial(24, 93.1, 2000), trial(28, 88.0, 1300)]
    verdict = consider(GOAL, {"video": 23.0, "easy": 23.0}, ALONE, [*easy, *hard])
    assert verdict.leader == Configuration("libx264", "medium", 24.0)


def test_encodes_of_another_video_save_encodes() -> None:
    goal = Goal(objective="bitrate", min_vmaf=90)

    known = [Law(4).trial(option, video="another", kbps_factor=2) for option in OPTIONS[::3]]
    assert Found(Law(4), goal, known=known).encodes < Found(Law(4), goal).encodes


def predicted(evidence: Evidence, **figures: float | None) -> Evidence:
    """As a model says it, without quality and bitrate."""
    option = replace(evidence.option, basis="predicted", noise_ratio=0.05, vmaf=None, bitrate_kbps=None)
    return replace(evidence, option=replace(option, **figures))


def test_a_forecast_decides_what_is_tried_first() -> None:
    """A model that knows this machine's preset slow to be the quickest is believed until it was encoded."""
    goal = Goal(objective="speed", min_vmaf=50)
    options = [Configuration("libx264", p, crf) for p in ("ultrafast", "slow") for crf in (20.0, 30.0, 40.0)]
    models = [
        predicted(encoded(Configuration("libx264", preset, 30.0), vmaf=50.0, kbps=1.0, seconds=seconds))
        for preset, seconds in (("ultrafast", 1.0), ("slow", 0.01))
    ]
    without, told = (consider(goal, {"video": 23.0}, options, known).next for known in ([], models))
    assert without is not None
    assert told is not None
    assert (without.preset, told.preset) == ("ultrafast", "slow")


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_models_that_are_wrong_by_one_factor_are_right_about_the_order(factor: float) -> None:
    """As they are of a video that is much easier or harder than those that they were trained on."""
    goal, law = Goal(objective="energy", min_vmaf=90), Law(4)
    middle = [option for option in OPTIONS if option.crf == (24 if option.encoder == "libx264" else 31)]
    models = [
        predicted(
            truth,
            encode_speed_ratio=None,
            energy_joules_per_video_second=factor * 20 / (truth.option.encode_speed_ratio or 0),
        )
        for truth in map(law.trial, middle)
    ]
    found = {known: Found(law, goal, known=models if known else ()) for known in (False, True)}
    assert len(models) == 7
    assert found[True].encodes < found[False].encodes
    assert found[True].above(law.best(goal) or 0.0) < 0.02


def test_the_next_point_of_vmaf_has_a_price() -> None:
    """10 % more bitrate for each CRF and a point each: one more point costs about 10 %."""
    trials = [trial(crf, 93.1 - (crf - 24), 1000 * 1.1 ** (24 - crf)) for crf in (20, 22, 23, 24, 25)]
    ratio = judge(trials).next_vmaf_point_ratio
    assert ratio == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(("encoder", "count"), [("libx264", 52), ("libsvtav1", 63), ("av1_vaapi", 64)])
def test_crfs_cover_the_scale_of_an_encoder(encoder: str, count: int) -> None:
    assert len(crfs(encoder)) == pytest.approx(count, abs=1)
    assert crfs(encoder)[0] in (0.0, 1.0)
