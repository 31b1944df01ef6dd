"""Choices, fronts and doubts on options whose answer is plain by hand."""

from __future__ import annotations

from typing import Any

import pytest

import advisor
from advisor.advice.configuration import Constraints, Option
from advisor.advice.encoder_deltas import pair_deltas
from advisor.advice.recommender import TranscodingRecommender
from advisor.errors import InputError


def _option(name: str, joules: float | None, vmaf: float | None = None, **more: Any) -> Option:
    return Option(
        run_id="r", scenario=name, **{"basis": "measured"} | more,
        energy_joules_per_video_second=joules, vmaf=vmaf,
    )  # fmt: skip


LADDER = [_option("low", 10.0, 70.0), _option("mid", 14.0, 90.0), _option("high", 40.0, 95.0)]


def test_the_least_energy_that_holds_the_floor_is_chosen() -> None:
    answer = advisor.TranscodingRecommender("energy", Constraints(min_vmaf=85)).recommend(LADDER)
    assert answer.choice is not None
    assert (answer.choice.scenario, answer.choice.basis) == ("mid", "measured")
    assert answer.choice.values["energy_joules_per_video_second"] == 14.0
    assert answer.left_out == {"VMAF below 85": 1}
    assert answer.unit == "energy_joules_per_video_second"


def test_without_a_floor_the_knee_is_chosen() -> None:
    """20 points for 1.4 times the energy, then 5 points for 2.9 times: the middle is the knee."""
    answer = TranscodingRecommender().recommend(LADDER)
    assert answer.knee is not None
    assert answer.choice is not None
    assert answer.knee.scenario == answer.choice.scenario == "mid"


@pytest.mark.parametrize(
    ("constraint", "left", "reason"),
    [
        (Constraints(max_watts=60), "b", "mean watts above 60"),
        (Constraints(min_speed=1.5), "b", "speed below 1.5"),
        (Constraints(max_bitrate_kbps=2000), "b", "bitrate above 2000"),
        (Constraints(min_vmaf_p5=80), "b", "5th percentile of VMAF below 80"),
    ],
)
def test_each_constraint_leaves_out_what_breaks_it(constraint: Constraints, left: str, reason: str) -> None:
    a = _option(
        "a", 20.0, 90.0, vmaf_p5=85.0, mean_power_watts=50.0, encode_speed_ratio=2.0, bitrate_kbps=1500.0
    )
    b = _option(
        "b", 10.0, 90.0, vmaf_p5=75.0, mean_power_watts=90.0, encode_speed_ratio=1.0, bitrate_kbps=2500.0
    )
    answer = TranscodingRecommender("energy", constraint).recommend([a, b])
    assert answer.left_out == {reason: 1}
    assert [p.scenario for p in answer.front] == ["a"]


def test_an_unknown_value_does_not_hold_a_constraint() -> None:
    answer = TranscodingRecommender("energy", Constraints(min_vmaf=50)).recommend([_option("a", 5.0)])
    assert answer.choice is None
    assert answer.reason == "none of 1 scenarios holds the constraints"
    assert answer.left_out == {"VMAF not known": 1}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "there is nothing to choose from"),
        ([_option("a", None)], "energy is not known of any of 1 scenarios"),
        ([_option("a", 5.0, 90.0)], "only one scenario: there is nothing to choose from"),
        (
            [_option("a", 5.0), _option("b", 6.0)],
            "quality is not known and no floor was given: the least would be the worst picture",
        ),
        (
            [_option("a", 5.0, 80.0), _option("b", 9.0, 90.0)],
            "no floor of quality was given and the front has no knee: give --min-vmaf",
        ),
    ],
)
def test_no_choice_is_made_where_the_data_carry_none(options: list[Option], reason: str) -> None:
    answer = TranscodingRecommender().recommend(options)
    assert answer.choice is None
    assert answer.reason == reason


def test_what_is_best_in_both_is_chosen_without_a_floor() -> None:
    answer = TranscodingRecommender().recommend([_option("a", 5.0, 95.0), _option("b", 9.0, 90.0)])
    assert answer.choice is not None
    assert answer.choice.scenario == "a"


def test_a_difference_within_the_noise_keeps_both_on_the_front() -> None:
    """1 % apart at equal quality is noise when repeats vary by 1.2 %; 20 % apart is not."""
    near = TranscodingRecommender().recommend([_option("a", 100.0, 90.0), _option("b", 101.0, 90.0)])
    far = TranscodingRecommender().recommend([_option("a", 100.0, 90.0), _option("b", 120.0, 90.0)])
    assert [p.scenario for p in near.front] == ["a", "b"]
    assert [p.scenario for p in far.front] == ["a"]


def test_the_probability_of_being_best_follows_the_noise() -> None:
    """ln(1.05) over sqrt(2) x 5 % is 0.69 standard deviations: 75.5 %."""
    a, b = (_option(n, j, 90.0, noise_ratio=0.05) for n, j in (("a", 100.0), ("b", 105.0)))
    answer = TranscodingRecommender("energy", Constraints(min_vmaf=80)).recommend([a, b])
    assert answer.choice is not None
    assert answer.choice.probability_best == pytest.approx(0.755, abs=0.025)


def test_the_next_vmaf_point_is_priced_along_the_front() -> None:
    """From 10 J at 70 to 14 J at 90: 40 % for 20 points."""
    front = TranscodingRecommender().recommend(LADDER).front
    assert front[0].next_vmaf_point_ratio == pytest.approx(0.02)
    assert front[-1].next_vmaf_point_ratio is None


def test_the_run_that_is_least_certain_and_may_win_comes_first() -> None:
    options = [
        _option("sure", 100.0, 90.0),
        _option("maybe", 105.0, 90.0, basis="predicted", noise_ratio=0.2),
        _option("hopeless", 300.0, 90.0, basis="predicted", noise_ratio=0.05),
    ]
    answer = TranscodingRecommender("energy", Constraints(min_vmaf=80)).recommend(options)
    assert [n.scenario for n in answer.next_runs][:1] == ["maybe"]
    assert "only predicted" in answer.next_runs[0].why
    assert "hopeless" not in [n.scenario for n in answer.next_runs]


def test_a_run_whose_quality_is_not_known_is_worth_scoring_where_it_may_win() -> None:
    """20 % less energy than the choice: ln 1.25 = 0.2231 is what it gains if its quality holds."""
    options = [_option("chosen", 100.0, 90.0), _option("unscored", 80.0), _option("dear", 200.0)]
    answer = TranscodingRecommender("energy", Constraints(min_vmaf=80)).recommend(options)
    assert answer.choice is not None
    assert answer.choice.scenario == "chosen"
    (run,) = answer.next_runs
    assert (run.scenario, run.why) == ("unscored", "VMAF not known")
    assert run.expected_gain_ratio == pytest.approx(0.2231, abs=0.001)


def test_where_nothing_is_chosen_the_cheapest_of_the_unknown_come_next() -> None:
    options = [_option(n, j) for n, j in (("b", 2.0), ("d", 4.0), ("a", 1.0), ("c", 3.0))]
    answer = TranscodingRecommender("energy", Constraints(min_vmaf=80)).recommend(options)
    assert answer.choice is None
    assert [(n.scenario, n.expected_gain_ratio) for n in answer.next_runs] == [
        ("a", None),
        ("b", None),
        ("c", None),
    ]


def test_what_breaks_one_constraint_is_not_worth_running_for_another() -> None:
    hot = _option("hot", 1.0, mean_power_watts=99.0)
    answer = TranscodingRecommender("energy", Constraints(min_vmaf=80, max_watts=50)).recommend([hot])
    assert answer.left_out == {"mean watts above 50": 1}
    assert answer.next_runs == ()


def test_the_probability_of_a_knee_is_that_of_being_the_knee() -> None:
    """The middle stays the knee whatever 1.2 % of noise do, although it never has the least energy."""
    answer = TranscodingRecommender().recommend(LADDER)
    assert answer.choice is not None
    assert answer.choice.probability_best == 1.0
    assert [p.probability_best for p in answer.front] == [1.0, 0.0, 0.0]


def test_weights_combine_objectives_without_their_units() -> None:
    """By energy alone a, by bitrate alone b; with the weight on the bitrate b, in any unit."""
    a = _option("a", 10.0, 90.0, bitrate_kbps=4000.0)
    b = _option("b", 12.0, 90.0, bitrate_kbps=1000.0)
    floor = Constraints(min_vmaf=80)
    for weights, best in (({"energy": 1.0}, "a"), ({"energy": 1.0, "bitrate": 1.0}, "b")):
        answer = TranscodingRecommender(weights, floor).recommend([a, b])
        assert answer.choice is not None
        assert answer.choice.scenario == best


def test_a_bitrate_is_known_as_it_is() -> None:
    a, b = (_option(n, 5.0, 90.0, bitrate_kbps=r) for n, r in (("a", 1000.0), ("b", 1001.0)))
    answer = TranscodingRecommender("bitrate", Constraints(min_vmaf=80)).recommend([a, b])
    assert answer.choice is not None
    assert answer.choice.probability_best == 1.0


@pytest.mark.parametrize("objective", ["speed", {"energy": -1}, {"power": 1}, {}])
def test_an_objective_that_is_not_known_is_refused(objective: Any) -> None:
    with pytest.raises(InputError, match="objective"):
        TranscodingRecommender(objective)


def test_encoders_are_compared_at_equal_quality_where_curves_allow() -> None:
    """Half the energy and the same bitrates at each quality: BD-energy -50 %, BD-rate 0."""
    points = [(500.0, 70.0), (1000.0, 80.0), (2000.0, 88.0), (4000.0, 94.0)]
    options = [
        _option(f"{family} {rate}", energy * rate / 100, vmaf, family=family, bitrate_kbps=rate)
        for family, energy in (("libx264", 2.0), ("libx265", 1.0))
        for rate, vmaf in points
    ]
    options += [_option("too few", 1.0, 90.0, family="libsvtav1", bitrate_kbps=800.0)]
    (pair,) = pair_deltas(options)
    assert (pair.reference, pair.test) == ("libx264", "libx265")
    assert pair.bd_rate is not None
    assert pair.bd_energy is not None
    assert pair.bd_rate.ratio == pytest.approx(0, abs=1e-12)
    assert pair.bd_energy.ratio == pytest.approx(-0.5)


def test_curves_that_do_not_meet_say_why() -> None:
    low = [_option(f"l{v}", 1.0, float(v), family="a", bitrate_kbps=v * 10.0) for v in (20, 25, 30, 35)]
    high = [_option(f"h{v}", 1.0, float(v), family="b", bitrate_kbps=v * 10.0) for v in (80, 85, 90, 95)]
    (pair,) = pair_deltas(low + high)
    assert pair.bd_rate is None
    assert "no quality in common" in pair.reason


def test_without_a_floor_what_nobody_scored_takes_no_part() -> None:
    """The unscored one is cheapest: the choice among the others is not made improbable by it."""
    answer = TranscodingRecommender().recommend(
        [_option("good", 40.0, 90.0), _option("worse", 80.0, 80.0), _option("unscored", 10.0)]
    )
    assert answer.choice is not None
    assert (answer.choice.scenario, answer.choice.probability_best) == ("good", 1.0)
    assert answer.left_out == {"VMAF not known": 1}
    assert ("unscored", "VMAF not known") in [(run.scenario, run.why) for run in answer.next_runs]
