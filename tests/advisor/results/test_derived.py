"""What follows from a scenario, against figures worked out by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from advisor.results import EncodeStats, Host, Output, Power, Quality, Run, Samples, Scenario, Vmaf
from advisor.results.derived import (
    EnergyUsed,
    area,
    bitrates_kbps,
    bridged_spans,
    core_seconds,
    delivered_frames,
    delivered_pixels,
    duration_seconds,
    energy,
    host_mean_watts,
    idle_watts,
    joules_per_video_second,
    lacks_board_energy,
    machine_of,
    mean_watts,
    net_energy_joules,
    net_watts,
    output_ladder,
    output_seconds,
    parse_bitrate_kbps,
    parse_resolution,
    published,
    repeats,
    stream_count,
    vmaf_mean,
    window_energy_joules,
    without_copies,
)


def powered(name: str = "a", **power: object) -> Scenario:
    return Scenario(name=name, duration=60.0, power=Power(**power))  # type: ignore[arg-type]


def trapezoid(timestamps: Sequence[float], values: Sequence[float | None]) -> tuple[float, float]:
    lines, gap_seconds = bridged_spans(timestamps, values)
    return area(lines), gap_seconds


def run(*scenarios: Scenario) -> Run:
    return Run(run_id="r", scenarios=scenarios)


@pytest.mark.parametrize(
    ("text", "kbps"),
    [
        ("2500k", 2500.0),
        ("2.5M", 2500.0),
        ("5m", 5000.0),
        ("1G", 1_000_000.0),
        ("800", 800.0),
        (" 800 kbps ", 800.0),
        ("6 Mbit/s", 6000.0),
        ("0k", 0.0),
        ("-5k", None),
        ("k", None),
        ("", None),
        ("1e3k", None),
        ("\u0665k", None),
    ],
)
def test_bitrates_in_text(text: str, kbps: float | None) -> None:
    assert parse_bitrate_kbps(text) == kbps


def test_the_rungs_bitrates_without_those_of_nothing() -> None:
    assert bitrates_kbps(Scenario(name="a", bitrate="1000k, 2.5M,0k,junk")) == [1000.0, 2500.0]
    assert bitrates_kbps(Scenario(name="a")) == []


def test_resolutions() -> None:
    assert parse_resolution("1920x1080") == (1920, 1080)
    assert parse_resolution(None) is parse_resolution("") is None


@pytest.mark.parametrize(
    ("name", "streams", "count"),
    [
        ("a", None, 1),
        ("4 streams @ 2500k", None, 4),
        ("8-stream", None, 8),
        ("5 Mbps stream", None, 1),
        ("2.5 streams", None, 1),
        ("12_streams", None, 12),
        ("4 streams", 2, 2),
        ("idle", 0, 0),
    ],
)
def test_streams_come_from_the_field_else_from_the_name(name: str, streams: int | None, count: int) -> None:
    assert stream_count(Scenario(name=name, streams=streams)) == count


def test_the_duration_is_measured_else_end_less_start() -> None:
    assert duration_seconds(Scenario(name="a", duration=9.5, start_time=0.0, end_time=10.0)) == 9.5
    assert duration_seconds(Scenario(name="a", start_time=5.0, end_time=15.5)) == 10.5
    assert duration_seconds(Scenario(name="a", start_time=5.0)) is None


def test_the_counters_total_goes_before_samples_and_those_before_the_mean() -> None:
    samples = Samples(timestamps=[0.0, 10.0, 20.0], power_watts=[100.0, 200.0, 100.0])  # 3000 J
    both = Scenario(
        name="a", duration=20.0, samples=samples, power=Power(mean_watts=1.0, total_energy_joules=5.0)
    )
    assert energy(both) == EnergyUsed(5.0, None, "counter", 20.0)
    sampled = Scenario(name="a", duration=20.0, samples=samples, power=Power(mean_watts=1.0, tier="modelled"))
    assert energy(sampled) == EnergyUsed(3000.0, "modelled", "samples", 20.0)
    assert energy(powered(mean_watts=50.0, tier="measured")) == EnergyUsed(
        3000.0, "measured", "mean_power", 60.0
    )
    assert energy(Scenario(name="a", power=Power(mean_watts=5.0))) is None
    assert energy(Scenario(name="a", duration=60.0)) is None


def test_energy_zero_is_known_and_not_unknown() -> None:
    assert energy(powered(total_energy_joules=0.0)) == EnergyUsed(0.0, None, "counter", 60.0)


def test_the_trapezoid_of_a_worked_example() -> None:
    """Steps of 10 s: (100+150)/2, (150+200)/2, (200+180)/2, (180+120)/2, times 10."""
    assert trapezoid([0, 10, 20, 30, 40], [100, 150, 200, 180, 120]) == (1250 + 1750 + 1900 + 1500, 0.0)


def test_a_gap_is_not_bridged_and_is_said() -> None:
    """1 s steps, then 50 s of nothing: 3 s at 10 W remain."""
    assert trapezoid([0, 1, 2, 52, 53], [10, 10, 10, 10, 10]) == (30.0, 50.0)


def test_a_missing_value_is_bridged_when_its_neighbours_are_near() -> None:
    assert trapezoid([0, 1, 2, 3, 4], [10.0, 10.0, None, 30.0, 30.0]) == (10 + 40 + 30, 0.0)


def test_the_order_of_samples_does_not_matter_and_of_twins_the_later_counts() -> None:
    assert trapezoid([20, 0, 10], [100, 100, 200]) == (3000.0, 0.0)
    assert trapezoid([0, 10, 10, 20], [100, 999, 200, 100]) == (3000.0, 0.0)


def test_less_than_two_samples_hold_no_energy() -> None:
    assert trapezoid([], []) == trapezoid([5], [100]) == trapezoid([1, 2], [None, 3.0]) == (0.0, 0.0)


@given(st.lists(st.floats(0, 1000), min_size=2, max_size=50), st.floats(0.1, 10))
def test_steady_steps_integrate_to_mean_of_neighbours_times_step(watts: list[float], step: float) -> None:
    moments = [i * step for i in range(len(watts))]
    expected = math.fsum((a + b) / 2 * step for a, b in itertools.pairwise(watts))
    joules, gap = trapezoid(moments, watts)
    assert joules == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert gap == 0.0


def test_samples_of_one_instant_tell_no_energy() -> None:
    """Their area is 0, and the mean power of 50 W over 60 s is 3000 J."""
    samples = Samples(timestamps=[5.0, 5.0], power_watts=[40.0, 60.0], cpu_usage_cores=[1.0, 2.0])
    assert energy(Scenario(name="a", duration=60.0, samples=samples)) is None
    assert core_seconds(Scenario(name="a", samples=samples)) is None
    mean = Scenario(name="a", duration=60.0, samples=samples, power=Power(mean_watts=50.0))
    assert energy(mean) == EnergyUsed(3000.0, None, "mean_power", 60.0)


def test_the_window_of_samples_with_a_gap_is_filled_with_the_mean_of_what_was_seen() -> None:
    """3 s at 10 W seen of 53 s: 530 J."""
    samples = Samples(timestamps=[0.0, 1.0, 2.0, 52.0, 53.0], power_watts=[10.0] * 5)
    scenario = Scenario(name="a", duration=53.0, samples=samples)
    assert mean_watts(scenario) == 10.0
    assert window_energy_joules(scenario) == 530.0
    idle = Scenario(name="idle", type="baseline", duration=9.0, power=Power(mean_watts=4.0))
    assert net_energy_joules(scenario, run(idle, scenario)) == (10.0 - 4.0) * 53.0
    assert joules_per_video_second(replace(scenario, video_seconds=26.5)) == 20.0
    unknown = replace(scenario, duration=None)  # then the window is that of the samples
    assert window_energy_joules(unknown) == 530.0
    assert net_energy_joules(unknown, run(idle, unknown)) == (10.0 - 4.0) * 53.0
    board = Power(mean_watts=7.0, total_energy_joules=400.0)
    assert window_energy_joules(replace(scenario, gpu_power=board)) == 930.0
    assert window_energy_joules(powered(total_energy_joules=7.0)) == 7.0
    assert window_energy_joules(Scenario(name="a")) is None


def test_a_boards_energy_is_lacking_where_neither_it_nor_the_whole_machine_was_measured() -> None:
    """NVENC is a board's; an Intel GPU is within the package, and psys holds the boards."""
    processor = Power(mean_watts=40.0, total_energy_joules=2400.0)
    nvenc = Scenario(name="a", encoder="hevc_nvenc", encoder_type="gpu", duration=60.0, power=processor)
    assert lacks_board_energy(nvenc)
    assert not lacks_board_energy(replace(nvenc, encoder="hevc_qsv"))
    assert not lacks_board_energy(replace(nvenc, power=replace(processor, includes_gpus=True)))
    board = Power(mean_watts=60.0, total_energy_joules=3600.0)
    assert not lacks_board_energy(replace(nvenc, gpu_power=board))
    assert mean_watts(replace(nvenc, gpu_power=board)) == 100.0
    assert window_energy_joules(replace(nvenc, gpu_power=board)) == 6000.0


def test_mean_watts_are_measured_else_energy_over_its_seconds() -> None:
    assert mean_watts(powered(mean_watts=42.0, total_energy_joules=1.0)) == 42.0
    assert mean_watts(powered(total_energy_joules=3000.0)) == 50.0
    assert mean_watts(Scenario(name="a", power=Power(total_energy_joules=3000.0))) is None


def test_idle_is_the_scenarios_own_else_the_baselines() -> None:
    baseline = Scenario(
        name="idle", type="baseline", duration=10.0, power=Power(mean_watts=30.0, tier="measured")
    )
    own = powered(mean_watts=100.0, idle_watts=40.0, tier="measured")
    other = powered(mean_watts=100.0, tier="measured")
    assert idle_watts(own, run(baseline, own)) == 40.0
    assert idle_watts(other, run(baseline, other)) == 30.0
    assert idle_watts(other) is None
    assert (net_watts(own), net_watts(other, run(baseline)), net_watts(other)) == (60.0, 70.0, None)
    assert net_energy_joules(other, run(baseline)) == 6000.0 - 30.0 * 60.0


def test_a_measured_idle_is_not_taken_from_a_modelled_mean() -> None:
    baseline = Scenario(
        name="idle", type="baseline", duration=10.0, power=Power(mean_watts=30.0, tier="measured")
    )
    modelled = powered(mean_watts=100.0, tier="modelled")
    assert idle_watts(modelled, run(baseline)) is None
    assert net_energy_joules(modelled, run(baseline)) is None


def test_a_failed_baseline_is_none() -> None:
    failed = Scenario(
        name="idle", type="baseline", status="failed", duration=10.0, power=Power(mean_watts=30.0)
    )
    assert idle_watts(powered(mean_watts=100.0), run(failed)) is None


def test_net_energy_as_measured_goes_first() -> None:
    assert (
        net_energy_joules(powered(total_energy_joules=100.0, idle_watts=1.0, net_energy_joules=55.0)) == 55.0
    )
    assert net_energy_joules(powered(total_energy_joules=100.0, idle_watts=1.0)) == 40.0


def test_frames_and_pixels_are_summed_over_rungs() -> None:
    """640*360*300 + 1280*720*300 = 345.6 million pixels."""
    scenario = Scenario(
        name="ladder",
        outputs=[Output(resolution="640x360", frames=300), Output(resolution="1280x720", frames=300)],
    )
    assert delivered_frames(scenario) == 600
    assert delivered_pixels(scenario) == 345_600_000


def test_an_output_without_frames_counts_its_seconds() -> None:
    scenario = Scenario(name="a", fps=25.0, resolution="640x360", outputs=[Output(duration=10.0)])
    assert delivered_frames(scenario) == 250
    assert output_seconds(scenario) == 10.0


def test_a_scenario_that_says_how_much_video_each_stream_made() -> None:
    """60 s at 30 fps, four streams."""
    scenario = Scenario(name="4 streams", fps=30.0, resolution="1280x720", video_seconds=60.0)
    assert delivered_frames(scenario) == 7200
    assert delivered_pixels(scenario) == 7200 * 1280 * 720
    assert output_seconds(scenario) == 240.0


def test_wall_time_is_not_taken_for_video() -> None:
    scenario = Scenario(name="4 streams", fps=30.0, resolution="1280x720", duration=60.0)
    assert (delivered_frames(scenario), output_seconds(scenario)) == (None, None)


def test_speed_makes_wall_time_video_time() -> None:
    scenario = Scenario(name="a", fps=30.0, duration=10.0, encode=EncodeStats(speed=2.5))
    assert output_seconds(scenario) == 25.0


def test_the_outputs_of_all_streams_are_counted_once_each() -> None:
    outputs = [Output(resolution="640x360", frames=300, duration=10.0) for _ in range(3)]
    scenario = Scenario(name="3 streams", type="multi", streams=3, outputs=outputs)
    assert delivered_frames(scenario) == 900
    assert output_seconds(scenario) == 30.0


@pytest.mark.parametrize(("rungs", "seconds", "frames"), [(1, 40.0, 1200), (3, 40.0, 3600)])
def test_a_ladder_listed_once_stands_for_every_stream(rungs: int, seconds: float, frames: int) -> None:
    outputs = [Output(resolution="640x360", frames=300, duration=10.0)] * rungs
    scenario = Scenario(name="4 streams", type="multi", streams=4, outputs=outputs)
    assert (output_seconds(scenario), delivered_frames(scenario)) == (seconds, frames)


def test_what_is_not_known_of_one_output_is_not_known_of_all() -> None:
    scenario = Scenario(
        name="a", outputs=[Output(resolution="640x360", frames=300), Output(resolution="640x360")]
    )
    assert delivered_frames(scenario) is None
    assert delivered_pixels(scenario) is None
    assert delivered_pixels(Scenario(name="a", duration=10.0, fps=30.0)) is None


def test_a_baseline_delivers_nothing() -> None:
    baseline = Scenario(name="idle", type="baseline", fps=30.0, resolution="640x360", duration=60.0)
    assert delivered_frames(baseline) is delivered_pixels(baseline) is output_seconds(baseline) is None


def test_a_ladder_is_its_rungs_once() -> None:
    rungs = [Output(resolution="640x360", bitrate="800k"), Output(resolution="1280x720")]
    assert output_ladder(Scenario(name="a", outputs=rungs * 2)) == "640x360@800k,1280x720@?"
    assert output_ladder(Scenario(name="a", outputs=rungs[:1])) == ""


def scored(*means: float | None) -> Scenario:
    qualities = [Quality(aligned=m is not None, vmaf=None if m is None else Vmaf(mean=m)) for m in means]
    return Scenario(name="a", outputs=[Output(quality=q) for q in qualities])


def test_vmaf_is_the_scenarios_else_the_mean_of_its_outputs() -> None:
    assert vmaf_mean(Scenario(name="a", vmaf_score=91.0)) == 91.0
    assert vmaf_mean(scored(90.0, 80.0)) == 85.0
    assert vmaf_mean(scored(90.0, None)) is None
    assert vmaf_mean(scored()) is None


def test_hardware_is_unknown_where_the_file_does_not_say() -> None:
    assert machine_of(run()) == "unknown"
    assert machine_of(Run(run_id="r", scenarios=(), host=Host(hardware_id="x"))) == "x"


def repeat(joules: float | None, **fields: object) -> Scenario:
    return Scenario(name="a", duration=10.0, power=Power(total_energy_joules=joules), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("joules", "chosen"),
    [((50.0,), 50.0), ((50.0, 40.0), 40.0), ((50.0, 40.0, 45.0), 45.0), ((9.0, 1.0, 5.0, 3.0), 3.0)],
)
def test_the_repeat_of_median_energy_is_published(joules: tuple[float, ...], chosen: float) -> None:
    """Of an even number the lower of the two in the middle: always a real measurement."""
    (found,) = published(run(*map(repeat, joules)))
    assert found.power is not None
    assert found.power.total_energy_joules == chosen


def test_finished_repeats_go_before_failed_and_trusted_before_doubted() -> None:
    failed, doubted, good = repeat(1.0, status="failed"), repeat(2.0, validity=["busy_host"]), repeat(9.0)
    assert published(run(failed, doubted, good)) == [good]
    assert published(run(failed, doubted)) == [doubted]
    assert published(run(failed)) == [failed]


def test_repeats_without_energy_are_published_as_the_first() -> None:
    first, second = Scenario(name="a", repeat=1), Scenario(name="a", repeat=2)
    assert published(run(first, second)) == [first]


def test_a_name_belongs_to_the_settings_that_came_first() -> None:
    first, other, again = repeat(5.0), repeat(1.0, preset="slow"), repeat(7.0)
    assert repeats(run(first, other, again)) == {"a": [first, again]}
    assert published(run(first, other, again)) == [first]


def test_a_repeat_that_failed_before_it_began_hides_none_that_finished() -> None:
    """Of one that a worker was lost with, only name and number are known."""
    lost, good = Scenario(name="a", status="failed"), repeat(9.0, preset="slow", repeat=2)
    assert repeats(run(lost, good)) == {"a": [lost, good]}
    assert published(run(lost, good)) == [good]


def test_published_scenarios_keep_the_runs_order_and_every_name() -> None:
    scenarios = [Scenario(name=name) for name in ("c", "a", "b", "a")]
    assert [s.name for s in published(run(*scenarios))] == ["c", "a", "b"]


class TestGpus:
    """40 W of the host and 80 W of its GPUs over 60 s are 120 W and 7200 J."""

    IDLE = Scenario(
        name="idle",
        type="baseline",
        duration=60.0,
        power=Power(mean_watts=25.0),
        gpu_power=Power(total_energy_joules=1200.0),
    )

    def test_energy_and_power_are_of_both(self) -> None:
        for gpu in (Power(total_energy_joules=4800.0), Power(mean_watts=80.0)):
            scenario = replace(powered(mean_watts=40.0, total_energy_joules=2400.0), gpu_power=gpu)
            found = energy(scenario)
            assert found is not None
            assert (found.joules, mean_watts(scenario), host_mean_watts(scenario)) == (7200.0, 120.0, 40.0)

    def test_what_is_above_idle_is_of_both(self) -> None:
        """7200 J less 60 s of 25 W and of 20 W are 4500 J, 75 W."""
        gpu = Power(total_energy_joules=4800.0)
        scenario = replace(powered(mean_watts=40.0, total_energy_joules=2400.0), gpu_power=gpu)
        whole = run(self.IDLE, scenario)
        assert idle_watts(scenario, whole) == 45.0
        assert net_energy_joules(scenario, whole) == 4500.0
        assert net_watts(scenario, whole) == 75.0

    def test_an_idle_gpu_that_nobody_measured_leaves_the_net_unknown(self) -> None:
        gpu = Power(total_energy_joules=4800.0)
        scenario = replace(powered(total_energy_joules=2400.0, idle_watts=25.0), gpu_power=gpu)
        assert (idle_watts(scenario), net_energy_joules(scenario), net_watts(scenario)) == (None, None, None)

    def test_what_lies_above_idle_is_of_both_or_unknown_where_only_power_was_told(self) -> None:
        """40 and 80 W above 25 and 20 W are 75 W above idle, and without a length no joules."""
        told = Power(mean_watts=40.0, total_energy_joules=2400.0)
        scenario = Scenario(name="a", power=told, gpu_power=Power(mean_watts=80.0))
        assert net_watts(scenario, run(self.IDLE, scenario)) == 75.0
        assert energy(scenario) is None
        assert window_energy_joules(scenario) is None

    def test_gpus_without_their_host_are_no_energy_of_the_whole(self) -> None:
        scenario = Scenario(name="a", duration=60.0, gpu_power=Power(total_energy_joules=4800.0))
        assert energy(scenario) is None
        assert mean_watts(scenario) is None


@pytest.mark.parametrize("validity", [["other_load"], []])
def test_a_baseline_that_is_not_valid_is_not_subtracted(validity: list[str]) -> None:
    """60 W over an idle 40 W, which was measured beside other load; what the runner made of it goes too."""
    idle = Scenario(
        name="idle", type="baseline", duration=60.0, power=Power(mean_watts=40.0), validity=validity
    )
    load = powered("load", mean_watts=60.0)
    told = powered("told", mean_watts=60.0, idle_watts=40.0, net_energy_joules=1200.0)
    known = not validity
    for scenario in (load, told):
        whole = run(idle, scenario)
        assert net_watts(scenario, whole) == (20.0 if known else None)
        assert net_energy_joules(scenario, whole) == (pytest.approx(1200) if known else None)


def test_the_first_baseline_that_is_valid_counts() -> None:
    spoilt, sound = (
        Scenario(name="idle", type="baseline", duration=60.0, power=Power(mean_watts=w), validity=v)
        for w, v in ((55.0, ["other_load"]), (40.0, []))
    )
    assert net_watts(powered(mean_watts=60.0), run(spoilt, sound)) == 20.0


def test_what_was_measured_once_is_there_once() -> None:
    """A copy that was scored since is one too; a repeat, another machine and what has no time are none."""
    idle = replace(powered("idle", total_energy_joules=60.0), type="baseline", start_time=1.0)
    first = replace(powered("a", total_energy_joules=600.0), start_time=100.0)
    again, undated = replace(first, start_time=200.0), replace(first, start_time=None)
    runs = [
        run(idle, first, undated),
        run(idle, replace(first, vmaf_score=90.0)),
        run(idle, first, again, undated),
        replace(run(first), host=Host(hardware_id="another")),
    ]
    notes: list[str] = []
    kept = [r.scenarios for r in without_copies(runs, notes)]
    assert kept == [(idle, first, undated), (idle,), (idle, again, undated), (first,)]
    assert notes == ["left out of r: 1 measured in a file before it"] * 2


def test_repeats_that_tell_the_day_alone_are_no_copies_of_one_another() -> None:
    """A table made by hand may give every measurement of a day one start."""
    twice = [replace(powered("a", total_energy_joules=joules), start_time=100.0) for joules in (600.0, 650.0)]
    notes: list[str] = []
    assert without_copies([run(*twice)], notes) == [run(*twice)]
    assert notes == []
