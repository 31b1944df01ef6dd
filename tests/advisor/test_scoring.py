"""Efficiency scores against hand arithmetic."""

from __future__ import annotations

import pytest

import advisor
from advisor.errors import InputError
from advisor.results import EncodeStats, Output, Power, Run, Samples, Scenario
from advisor.results.derived import delivered_megabits
from advisor.scoring import UNITS, EnergyEfficiencyScorer, scores

# 1280x720 at 30 fps for 10 s of video in 20 s of wall time: 300 frames x 921 600 = 276 480 000 pixels
HAND = Scenario(
    name="hand",
    bitrate="2500k",
    resolution="1280x720",
    fps=30.0,
    duration=20.0,
    encode=EncodeStats(frames=300),
    power=Power(
        mean_watts=50.0, total_energy_joules=1000.0, idle_watts=30.0, net_energy_joules=400.0, tier="measured"
    ),
    vmaf_score=90.0,
)


def _run(*scenarios: Scenario, run_id: str = "test_results_20260101_000000") -> Run:
    return Run(run_id=run_id, scenarios=scenarios)


def test_every_score_of_a_complete_scenario_is_what_a_hand_gets() -> None:
    assert scores(HAND) == {
        # 2.5 Mbit/s x 10 s = 25 Mbit in 20 s = 1.25 Mbit/s over 50 W
        "throughput_per_watt": pytest.approx(0.025),
        "pixels_per_joule": pytest.approx(276_480.0),
        "pixels_per_net_joule": pytest.approx(691_200.0),
        "quality_per_watt": pytest.approx(1.8),
        "qoe_efficiency": pytest.approx(248_832.0),
    }


def test_every_score_has_a_unit() -> None:
    assert set(scores(HAND)) == set(UNITS)


def test_reached_size_counts_before_the_bitrate_asked_for() -> None:
    sized = Scenario(name="s", bitrate="9M", duration=8.0, outputs=[Output(size_bytes=1_000_000)])
    assert delivered_megabits(sized) == pytest.approx(8.0)


def test_one_listed_output_stands_for_each_of_its_streams() -> None:
    """Two streams, three outputs: the outputs are one stream's ladder, so the bits count twice."""
    ladder = [Output(size_bytes=1_000_000)] * 3
    assert delivered_megabits(Scenario(name="s", streams=2, outputs=ladder)) == pytest.approx(48.0)
    assert delivered_megabits(Scenario(name="s", streams=3, outputs=ladder)) == pytest.approx(24.0)


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (Scenario(name="nothing"), set()),
        (Scenario(name="idle", type="baseline", duration=5.0, power=Power(mean_watts=3.0)), set()),
        (Scenario(name="zero", duration=5.0, vmaf_score=90.0, power=Power(mean_watts=0.0)), set()),
        (
            Scenario(name="q", duration=5.0, vmaf_score=90.0, power=Power(mean_watts=10.0)),
            {"quality_per_watt"},
        ),
    ],
)
def test_unknown_scores_are_absent_and_never_zero(scenario: Scenario, expected: set[str]) -> None:
    assert set(scores(scenario)) == expected


def test_a_failed_scenario_has_no_scores() -> None:
    failed = Scenario(name="f", status="failed", duration=5.0, vmaf_score=90.0, power=Power(mean_watts=10.0))
    assert scores(failed) == {}
    (ranking,) = EnergyEfficiencyScorer("quality_per_watt").rank([_run(failed)])
    assert [u.reason for u in ranking.left_out] == ["the scenario failed"]


def test_a_scenario_that_is_not_valid_has_a_score_and_no_place() -> None:
    spoilt = Scenario(
        name="s", duration=5.0, vmaf_score=90.0, power=Power(mean_watts=10.0), validity=["throttled", "steal"]
    )
    assert scores(spoilt) == {"quality_per_watt": 9.0}
    (ranking,) = EnergyEfficiencyScorer("quality_per_watt").rank([_run(spoilt)])
    assert (ranking.places, [u.reason for u in ranking.left_out]) == ((), ["not valid: throttled, steal"])


def test_energy_that_its_own_power_contradicts_has_no_place() -> None:
    lost = Scenario(
        name="lost",
        bitrate="5M",
        resolution="10x10",
        fps=1.0,
        duration=60.0,
        video_seconds=60.0,
        power=Power(mean_watts=105.0, total_energy_joules=1.75),
    )
    (ranking,) = EnergyEfficiencyScorer("pixels_per_joule").rank([_run(lost)])
    assert (ranking.places, [u.reason for u in ranking.left_out]) == (
        (),
        ["not valid: energy contradicts power"],
    )


def test_idle_power_comes_from_the_runs_baseline() -> None:
    """10 s at 100 W over a baseline of 60 W is 400 J net: 100 pixels x 10 frames / 400 J."""
    baseline = Scenario(name="idle", type="baseline", duration=10.0, power=Power(mean_watts=60.0))
    load = Scenario(
        name="l",
        resolution="10x10",
        fps=1.0,
        duration=10.0,
        video_seconds=10.0,
        power=Power(mean_watts=100.0),
    )
    assert scores(load, _run(baseline, load))["pixels_per_net_joule"] == pytest.approx(2.5)
    assert "pixels_per_net_joule" not in scores(load)


def test_a_ranking_holds_one_unit_and_one_tier() -> None:
    better = Scenario(
        name="better", duration=1.0, vmaf_score=95.0, power=Power(mean_watts=10.0, tier="measured")
    )
    worse = Scenario(
        name="worse", duration=1.0, vmaf_score=90.0, power=Power(mean_watts=10.0, tier="measured")
    )
    guess = Scenario(
        name="guess", duration=1.0, vmaf_score=99.0, power=Power(mean_watts=1.0, tier="modelled")
    )
    blind = Scenario(name="blind", duration=1.0, power=Power(mean_watts=10.0, tier="measured"))
    measured, modelled = EnergyEfficiencyScorer("quality_per_watt").rank([_run(worse, better, guess, blind)])
    assert [(p.scenario, p.score) for p in measured.places] == [("better", 9.5), ("worse", 9.0)]
    assert [(u.scenario, u.reason) for u in measured.left_out] == [("blind", "no VMAF")]
    assert [p.scenario for p in modelled.places] == ["guess"]
    assert {measured.unit, modelled.unit} == {"VMAF points per W"}


def test_an_unknown_algorithm_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"algorithm: expected one of throughput_per_watt.*got 'auto'"):
        advisor.EnergyEfficiencyScorer("auto")


def test_samples_with_a_gap_are_completed_by_their_mean() -> None:
    """Seconds 0-4 and 14-18 at 100 W, nothing between: the window's 20 s count as 2000 J."""
    times = [0.0, 1.0, 2.0, 3.0, 4.0, 14.0, 15.0, 16.0, 17.0, 18.0]
    gappy = Scenario(
        name="g",
        resolution="10x10",
        fps=1.0,
        duration=20.0,
        video_seconds=20.0,
        samples=Samples(timestamps=times, power_watts=[100.0] * 10),
    )
    assert scores(gappy)["pixels_per_joule"] == pytest.approx(100 * 20 / 2000)


def test_a_mapping_scores_like_a_result_file() -> None:
    """8 streams x 2.5 Mbit/s over 100 W."""
    earlier = {"name": "8 streams", "bitrate": "2500k", "duration": 60, "power": {"mean_watts": 100}}
    assert EnergyEfficiencyScorer("throughput_per_watt").score(earlier) == pytest.approx(0.2)
    with pytest.raises(InputError, match=r"scenario: .*expected a scenario"):
        EnergyEfficiencyScorer().score("a name")  # type: ignore[arg-type]
