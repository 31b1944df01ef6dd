"""Choices, fronts and doubts on options whose answer is plain by hand."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import advisor
from advisor.advice.bjontegaard import pair_deltas
from advisor.advice.configuration import Constraints, Option
from advisor.advice.recommender import TranscodingRecommender
from advisor.errors import InputError


def _option(name: str, joules: float | None, vmaf: float | None = None, **more: Any) -> Option:
    return Option(
        run_id="r", scenario=name, **{"basis": "measured"} | more,
        energy_joules_per_video_second=joules, vmaf=vmaf,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Constraints(min_vmaf="ninety"), "min_vmaf: expected a number, found 'ninety'"),
        (lambda: Constraints(min_vmaf=200), "min_vmaf: expected a number of at most 100, found 200"),
        (lambda: Constraints(max_watts=-1), "max_watts: expected a number of 1 or more"),
        (
            lambda: _option("a", float("nan")),
            "energy_joules_per_video_second: expected a number",
        ),
        (lambda: _option("a", 1.0, basis="guessed"), "basis: expected one of measured, predicted"),
        (lambda: _option("a", 1.0, noise_ratio=-0.1), "noise_ratio: expected a number of 0 or more"),
        (lambda: TranscodingRecommender(None), "objective: expected a mapping, found None"),  # type: ignore[arg-type]
        (lambda: TranscodingRecommender({"cost": "much"}), "objective.*: expected a number"),  # type: ignore[dict-item]
        (lambda: TranscodingRecommender("energy", 90), "constraints: expected a mapping"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_is_refused_where_it_is_given(make: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        make()


def test_numbers_of_other_libraries_and_plain_mappings_are_taken() -> None:
    floor = {"min_vmaf": np.float64(85)}
    recommender = TranscodingRecommender("energy", floor)  # type: ignore[arg-type]
    answer = recommender.recommend(_option(o.scenario, np.float64(o.vmaf), o.vmaf) for o in LADDER)
    assert answer.choice is not None
    assert answer.choice.scenario == "mid"


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
    assert answer.reason == "none of 1 scenarios meets the constraints"
    assert answer.left_out == {"VMAF unknown": 1}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "there is nothing to choose from"),
        ([_option("a", None)], "energy is unknown for each of 1 scenarios"),
        ([_option("a", 5.0, 90.0)], "only one scenario: there is nothing to choose from"),
        (
            [_option("a", 5.0), _option("b", 6.0)],
            "quality is unknown and no VMAF floor was given: the least value may have the worst picture",
        ),
        (
            [_option("a", 5.0, 80.0), _option("b", 9.0, 90.0)],
            "no VMAF floor was given and the front has no knee: give --min-vmaf",
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


def test_of_two_that_are_the_same_in_both_one_is_chosen() -> None:
    answer = TranscodingRecommender().recommend([_option("a", 5.0, 95.0), _option("b", 5.0, 95.0)])
    assert answer.choice is not None
    assert answer.choice.probability_best == pytest.approx(0.5, abs=0.03)


def test_a_tie_in_one_of_both_is_dominated() -> None:
    """Equal energy and a worse picture: only the better one is on the front."""
    answer = TranscodingRecommender().recommend([_option("a", 5.0, 95.0), _option("b", 5.0, 90.0)])
    assert [p.scenario for p in answer.front] == ["a"]


def test_a_difference_within_the_noise_keeps_both_on_the_front() -> None:
    """1 % apart at equal quality is noise where a single run is off by 5 %; 20 % apart is not."""
    near = TranscodingRecommender().recommend([_option("a", 100.0, 90.0), _option("b", 101.0, 90.0)])
    far = TranscodingRecommender().recommend([_option("a", 100.0, 90.0), _option("b", 120.0, 90.0)])
    assert [p.scenario for p in near.front] == ["a", "b"]
    assert [p.scenario for p in far.front] == ["a"]


def _best_of_two(ratio: float, noise: float) -> float:
    """Of two values this far apart: the integral over the spread t of true values, uniform in its logarithm.

    Their difference d has the prior N(0, 2 t^2) and the error N(0, 2 noise^2), so that its posterior is
    k d +- sqrt(2 k) noise with k = t^2 / (t^2 + noise^2).
    """
    difference, phi = math.log(ratio), statistics.NormalDist().cdf
    total = weights = 0.0
    for step in range(1001):
        spread = 0.06 * (2.0 / 0.06) ** (step / 1000)
        variance = spread**2 + noise**2
        weight = math.exp(-(difference**2) / (4 * variance)) / math.sqrt(variance)
        total += weight * phi(spread / math.sqrt(variance) * difference / (math.sqrt(2) * noise))
        weights += weight
    return total / weights


@pytest.mark.parametrize(("ratio", "noise"), [(1.05, 0.05), (1.2, 0.05), (1.05, 0.01), (1.5, 0.25)])
def test_the_probability_of_being_best_follows_the_noise(ratio: float, noise: float) -> None:
    a, b = (_option(n, j, 90.0, noise_ratio=noise) for n, j in (("a", 100.0), ("b", 100.0 * ratio)))
    answer = TranscodingRecommender("energy", Constraints(min_vmaf=80)).recommend([a, b])
    assert answer.choice is not None
    assert answer.choice.probability_best == pytest.approx(_best_of_two(ratio, noise), abs=0.025)


def test_an_error_that_all_share_hides_no_difference() -> None:
    """Predicted 20 % apart, and all of them may be off by half together; against a measured one they may."""
    options = [
        _option(n, j, 90.0, basis="predicted", noise_ratio=0.01, shared_noise_ratio=0.5)
        for n, j in (("a", 100.0), ("b", 120.0))
    ]
    recommender = TranscodingRecommender("energy", Constraints(min_vmaf=80))
    alone = recommender.recommend(options).choice
    beside = recommender.recommend([*options, _option("m", 110.0, 90.0, noise_ratio=0.01)]).choice
    assert alone is not None
    assert beside is not None
    assert alone.probability_best == 1.0
    assert beside.probability_best == pytest.approx(0.58, abs=0.05)


def test_a_noise_that_one_pair_of_repeats_told_is_itself_uncertain() -> None:
    """Beyond ln(1.1) / (sqrt(2) x 3 %) = 2.25 are 13 % of Student's t with one degree of freedom.

    That values so far apart are likelier with little noise takes a part of the 13 % away.
    """
    sure, doubtful = (
        TranscodingRecommender("energy", Constraints(min_vmaf=80))
        .recommend(
            [_option(n, j, 90.0, noise_ratio=0.03, noise_degrees=d) for n, j in (("a", 100.0), ("b", 110.0))]
        )
        .choice
        for d in (None, 1)
    )
    assert sure is not None
    assert doubtful is not None
    assert (sure.probability_best or 0) > 0.96
    assert 0.85 < (doubtful.probability_best or 0) < 0.92


def test_of_many_that_hardly_differ_the_least_was_lucky() -> None:
    """Ten within the noise of one run: the first among them is no sure choice."""
    options = [_option(str(i), 100.0 + i, 90.0, noise_ratio=0.05) for i in range(10)]
    answer = TranscodingRecommender("energy", Constraints(min_vmaf=80)).recommend(options)
    assert answer.choice is not None
    assert answer.choice.probability_best is not None
    assert 0.1 < answer.choice.probability_best < 0.25


def test_equal_values_share_the_probability() -> None:
    options = [_option(n, 5.0, v, bitrate_kbps=1000.0) for n, v in (("a", 90.0), ("b", 92.0))]
    answer = TranscodingRecommender("bitrate", Constraints(min_vmaf=80)).recommend(options)
    assert answer.choice is not None
    # of equal bitrates the better picture
    assert (answer.choice.scenario, answer.choice.probability_best) == ("b", 0.5)


@pytest.mark.parametrize(
    ("values", "least"),
    [((0.0, 5.0), "a"), ((-2.0, 3.0), "a"), ((-1.0, -2.0), "b"), ((4.0, 0.0), "b")],
)
def test_values_of_zero_and_below_are_known(values: tuple[float, float], least: str) -> None:
    """Power without emissions, hours in which electricity is paid for being used."""
    options = [_option(n, 5.0, 90.0, cost_per_video_hour=v) for n, v in zip("ab", values, strict=True)]
    answer = TranscodingRecommender("cost", Constraints(min_vmaf=80)).recommend(options)
    assert answer.choice is not None
    assert (answer.choice.scenario, answer.choice.probability_best) == (least, pytest.approx(1.0, abs=0.01))
    assert answer.left_out == {}


def test_where_everything_costs_nothing_the_best_picture_is_chosen() -> None:
    options = [
        _option(n, 5.0, v, carbon_grams_per_video_hour=0.0) for n, v in zip("abc", (90, 95, 92), strict=True)
    ]
    for constraints in (None, Constraints(min_vmaf=80)):
        answer = TranscodingRecommender("carbon", constraints).recommend(options)
        assert answer.choice is not None
        assert answer.choice.scenario == "b"
        assert [p.scenario for p in answer.front] == ["b"]


def test_values_below_zero_cannot_be_weighed_and_zero_can() -> None:
    below = _option("below", 5.0, 90.0, cost_per_video_hour=-1.0)
    nothing = _option("nothing", 9.0, 90.0, cost_per_video_hour=0.0)
    some = _option("some", 1.0, 90.0, cost_per_video_hour=1.0)
    answer = TranscodingRecommender({"cost": 1, "energy": 1}, Constraints(min_vmaf=80)).recommend(
        [below, nothing, some]
    )
    assert answer.choice is not None
    assert answer.choice.scenario == "nothing"
    assert answer.left_out == {"cost below 0, which cannot be weighed": 1}


def test_of_weights_one_that_is_zero_throughout_leaves_the_choice_to_the_others() -> None:
    """On a grid without emissions the fewest joules are the best, though the other's picture is better."""
    options = [
        _option(n, joules, vmaf, carbon_grams_per_video_hour=0.0)
        for n, joules, vmaf in (("thrifty", 5.0, 90.0), ("better", 9.0, 95.0))
    ]
    weights = {"energy": 1.0, "carbon": 1.0}
    answer = TranscodingRecommender(weights, Constraints(min_vmaf=80)).recommend(options)
    assert answer.choice is not None
    assert (answer.choice.scenario, answer.choice.probability_best) == (
        "thrifty",
        pytest.approx(1.0, abs=0.01),
    )
    assert [point.objective_value for point in answer.front] == [0.0, 0.0]


def test_what_is_not_valid_is_left_out_and_counted() -> None:
    options = [
        _option("spoilt", 5.0, 90.0, validity=("throttled", "energy_lost")),
        _option("sound", 9.0, 90.0),
        _option("dear", 12.0, 90.0),
    ]
    answer = TranscodingRecommender("energy", Constraints(min_vmaf=80)).recommend(options)
    assert answer.choice is not None
    assert (answer.choice.scenario, answer.choice.validity) == ("sound", ())
    assert answer.left_out == {"not valid: throttled, energy_lost": 1}
    accepted = TranscodingRecommender("energy", Constraints(min_vmaf=80), accept_invalid=True).recommend(
        options
    )
    assert accepted.choice is not None
    assert (accepted.choice.scenario, accepted.choice.validity) == ("spoilt", ("throttled", "energy_lost"))
    assert accepted.front[0].validity == ("throttled", "energy_lost")


def test_where_nothing_is_valid_that_is_the_reason() -> None:
    answer = TranscodingRecommender().recommend([_option("a", 5.0, 90.0, validity=("steal",))])
    assert answer.choice is None
    assert answer.reason == "none of 1 scenarios is valid: accept_invalid compares them anyway"


def test_something_else_than_options_is_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"expected advisor\.Option, got str"):
        TranscodingRecommender().recommend(["fast"])  # type: ignore[list-item]


def test_the_next_vmaf_point_is_priced_along_the_front() -> None:
    """From 10 J at 70 to 14 J at 90: 40 % for 20 points."""
    front = TranscodingRecommender().recommend(LADDER).front
    assert front[0].next_vmaf_point_ratio == pytest.approx(0.02)
    assert front[-1].next_vmaf_point_ratio is None


def test_how_often_the_choice_was_measured_is_said() -> None:
    for repeats, times in ((1, "once"), (3, "3 times")):
        options = [_option("a", 100.0, 90.0, repeats=repeats), _option("b", 101.0, 90.0)]
        answer = TranscodingRecommender("energy", Constraints(min_vmaf=80)).recommend(options)
        (why,) = (run.why for run in answer.next_runs if run.scenario == "a")
        assert why == f"chosen, and measured {times}, give or take 5.0%"


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
    """20 % less energy than the choice is what it gains if its quality holds."""
    options = [_option("chosen", 100.0, 90.0), _option("unscored", 80.0), _option("dear", 200.0)]
    answer = TranscodingRecommender("energy", Constraints(min_vmaf=80)).recommend(options)
    assert answer.choice is not None
    assert answer.choice.scenario == "chosen"
    (run,) = answer.next_runs
    assert (run.scenario, run.why) == ("unscored", "VMAF unknown")
    assert run.expected_gain_ratio == pytest.approx(0.2, abs=0.01)


def test_where_nothing_is_chosen_the_cheapest_of_the_unknown_come_next() -> None:
    options = [_option(n, j) for n, j in (("b", 2.0), ("d", 4.0), ("a", 1.0), ("c", 3.0))]
    answer = TranscodingRecommender("energy", Constraints(min_vmaf=80)).recommend(options)
    assert answer.choice is None
    assert [(n.scenario, n.expected_gain_ratio) for n in answer.next_runs] == [
        ("a", None),
        ("b", None),
        ("c", None),
    ]


def test_a_sure_knee_is_not_run_again_because_others_take_less() -> None:
    """With a middle at the knee whatever the noise, no run changes the choice; near the chord each may."""
    assert TranscodingRecommender().recommend(LADDER).next_runs == ()
    options = [_option("low", 10.0, 70.0), _option("mid", 19.6, 80.0), _option("high", 40.0, 90.0)]
    runs = TranscodingRecommender().recommend(options).next_runs
    assert {(run.scenario, run.why.split(",")[0], run.expected_gain_ratio) for run in runs} == {
        ("low", "may move the knee", None),
        ("mid", "chosen", None),
        ("high", "may move the knee", None),
    }


def test_a_point_that_costs_nothing_has_no_price_of_the_next_as_a_ratio() -> None:
    options = [
        _option("nothing", 0.0, 90.0, cost_per_video_hour=1.0),
        _option("some", 4.0, 95.0, cost_per_video_hour=1.0),
    ]
    weights = {"energy": 1.0, "cost": 1.0}
    front = TranscodingRecommender(weights, Constraints(min_vmaf=80)).recommend(options).front
    assert [(p.objective_value, p.next_vmaf_point_ratio) for p in front] == [(0.0, None), (2.0, None)]


def test_what_breaks_one_constraint_is_not_worth_running_for_another() -> None:
    hot = _option("hot", 1.0, mean_power_watts=99.0)
    answer = TranscodingRecommender("energy", Constraints(min_vmaf=80, max_watts=50)).recommend([hot])
    assert answer.left_out == {"mean watts above 50": 1}
    assert answer.next_runs == ()


def test_the_probability_of_being_the_knee_is_not_that_of_being_the_least() -> None:
    """The middle stays the knee whatever 5 % of noise do, and hardly ever has the least energy."""
    answer = TranscodingRecommender().recommend(LADDER)
    assert answer.choice is not None
    assert answer.choice == answer.knee
    assert answer.choice.probability_knee == 1.0
    assert answer.choice.probability_best == answer.front[1].probability_best
    assert [p.probability_best for p in answer.front] == [1.0, 0.0, 0.0]
    floor = TranscodingRecommender("energy", Constraints(min_vmaf=60)).recommend(LADDER)
    assert floor.choice is not None
    assert (floor.choice.scenario, floor.choice.probability_knee) == ("low", None)


def test_a_point_that_noise_may_put_below_the_chord_is_no_sure_knee() -> None:
    """Halfway in quality for 2 % less than halfway in energy (geometric mean 20), at 5 % of noise."""
    options = [_option("low", 10.0, 70.0), _option("mid", 19.6, 80.0), _option("high", 40.0, 90.0)]
    knee = TranscodingRecommender().recommend(options).knee
    assert knee is not None
    assert 0.5 < (knee.probability_knee or 0) < 0.75


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


def test_speed_is_the_least_time() -> None:
    """Four times real time are a quarter of a second for each of video."""
    slow, quick = (_option(n, 5.0, 90.0, encode_speed_ratio=s) for n, s in (("slow", 2.0), ("quick", 4.0)))
    answer = TranscodingRecommender("speed", Constraints(min_vmaf=80)).recommend([slow, quick])
    assert answer.choice is not None
    assert (answer.choice.scenario, answer.unit) == ("quick", "seconds_per_video_second")
    assert [point.objective_value for point in answer.front] == [0.25]


@pytest.mark.parametrize("objective", ["quality", {"energy": -1}, {"power": 1}, {}])
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
    assert (answer.choice.scenario, answer.choice.probability_best) == ("good", pytest.approx(1, abs=0.001))
    assert answer.left_out == {"VMAF unknown": 1}
    assert ("unscored", "VMAF unknown") in [(run.scenario, run.why) for run in answer.next_runs]


_value = st.one_of(st.none(), st.sampled_from([0.0, -1.0, 1e-60, 1e15]), st.floats(-1e6, 1e6))
_noise = st.sampled_from([0.0, 0.012, 0.05, 0.5, 1.0])


@st.composite
def _any_option(draw: st.DrawFn) -> Option:
    return Option(
        run_id="r",
        scenario=draw(st.text(max_size=3)),
        basis=draw(st.sampled_from(["measured", "predicted"])),
        energy_joules_per_video_second=draw(_value),
        cost_per_video_hour=draw(_value),
        bitrate_kbps=draw(_value),
        vmaf=draw(st.one_of(st.none(), st.sampled_from([0.0, 80.0, 90.0, 100.0]))),
        noise_ratio=draw(_noise),
        shared_noise_ratio=draw(_noise),
        noise_degrees=draw(st.sampled_from([None, 1, 5])),
        validity=draw(st.sampled_from([(), ("steal",)])),
    )


@settings(max_examples=150, deadline=None)
@given(
    st.lists(_any_option(), max_size=8),
    st.sampled_from(["energy", "cost", "bitrate", {"energy": 1.0, "cost": 0.5}]),
    st.sampled_from([None, 80.0]),
    st.booleans(),
)
def test_whatever_the_options_the_answer_keeps_its_word(
    options: list[Option], objective: Any, floor: float | None, accept: bool
) -> None:
    """The choice holds the constraints, is valid, and has the least value where a floor was given."""
    recommender = TranscodingRecommender(objective, Constraints(min_vmaf=floor), accept_invalid=accept)
    answer = recommender.recommend(options)
    allowed = [
        o
        for o in options
        if recommender.value(o) is not None
        and (accept or not o.validity)
        and o.vmaf is not None
        and o.vmaf >= (floor or 0)
    ]
    probabilities = [p.probability_best for p in answer.front]
    assert all(p is not None and 0 <= p <= 1 for p in probabilities)
    assert sum(p or 0 for p in probabilities) <= 1 + 1e-9
    if answer.choice is None:
        assert answer.reason
        assert floor is None or not allowed
        return
    assert answer.choice.scenario in {o.scenario for o in allowed}
    assert accept or answer.choice.validity == ()
    if floor is not None:
        least = min(recommender.value(o) or 0.0 for o in allowed)
        assert least in {recommender.value(o) for o in allowed if o.scenario == answer.choice.scenario}
