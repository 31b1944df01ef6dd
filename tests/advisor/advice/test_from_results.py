"""From scenarios of result files to options: at one price, valid ones first, with the noise they show."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import advisor
from advisor.advice.bjontegaard import pair_deltas
from advisor.advice.from_results import options_of
from advisor.cost.model import CostModel
from advisor.cost.tariffs.tariff_files import read_tariff
from advisor.errors import InputError, ModelError, NotEnoughDataError
from advisor.regression.predictions import Estimate, Prediction
from advisor.results import Host, InputMedia, Output, Power, Run, Samples, Scenario, write_run

NOON = 1_767_571_200.0 + 12 * 3600


def _scenario(name: str, joules: float | None, **more: Any) -> Scenario:
    """A minute of wall time for a minute of video."""
    power = None
    if joules is not None:
        power = Power(mean_watts=joules / 60, total_energy_joules=joules, tier="measured")
    return Scenario(
        name=name,
        **{
            "preset": name,
            "duration": 60.0,
            "outputs": [Output(resolution="1280x720", duration=60.0)],
            "power": power,
            "vmaf_score": 90.0,
        }
        | more,
    )


def _run(*scenarios: Scenario, run_id: str = "r") -> Run:
    return Run(run_id=run_id, scenarios=scenarios)


def test_options_are_compared_at_one_mean_price(tmp_path: Path) -> None:
    """Half of the day at 1.00, the other at 0.01: 0.505 for both, whenever each was measured.

    36 kJ an hour of video are 0.01 kWh, ten times as much 0.1 kWh.
    """
    (tmp_path / "hours.yaml").write_text(
        'time_zone: UTC\nperiods: [{price_per_kwh: 1.0, hours: "00:00-12:00"}]\notherwise_per_kwh: 0.01\n'
    )
    model = CostModel(tariff=read_tariff(tmp_path / "hours.yaml").schedule, cpu_cost_per_hour=0)
    thrifty = _scenario("thrifty", 600.0, start_time=NOON - 7200, end_time=NOON - 7140)
    lavish = _scenario("lavish", 6000.0, start_time=NOON + 7200, end_time=NOON + 7260)
    options = options_of(_run(thrifty, lavish), model).options
    costs = {o.scenario: o.cost_per_video_hour for o in options}
    assert costs == pytest.approx({"thrifty": 0.01 * 0.505, "lavish": 0.1 * 0.505}, rel=0.02)
    choice = (
        advisor.TranscodingRecommender.from_results(
            _run(thrifty, lavish), "cost", advisor.Constraints(min_vmaf=80), model=model
        )
        .recommend()
        .choice
    )
    assert choice is not None
    assert choice.scenario == "thrifty"


def test_repeats_tell_the_noise_of_a_single_run() -> None:
    """3 repeats each of 2 configurations, 99/100/101 and 196/200/204: 1 % and 2 %, pooled sqrt(2.5) %."""
    scenarios = [_scenario("a", j, repeat=i + 1) for i, j in enumerate((990.0, 1000.0, 1010.0))]
    scenarios += [_scenario("b", j, repeat=i + 1) for i, j in enumerate((1960.0, 2000.0, 2040.0))]
    scenarios += [_scenario("once", 3000.0)]
    options = {o.scenario: o for o in options_of(_run(*scenarios)).options}
    pooled = math.sqrt((2 * 0.01**2 + 2 * 0.02**2) / 4)
    assert options["a"].noise_ratio == pytest.approx(pooled / math.sqrt(3))
    assert options["once"].noise_ratio == pytest.approx(pooled)
    assert {o.noise_degrees for o in options.values()} == {4}
    assert options["a"].energy_joules_per_video_second == pytest.approx(1000 / 60)
    assert (options["a"].repeats, options["once"].repeats) == (3, 1)


def test_repeats_of_which_one_was_scored_have_its_quality() -> None:
    scores = (None, 91.0, None)
    scenarios = [_scenario("a", 600.0, repeat=i + 1, vmaf_score=score) for i, score in enumerate(scores)]
    (option,) = options_of(_run(*scenarios)).options
    assert (option.vmaf, option.repeats) == (91.0, 3)


@pytest.mark.parametrize(
    "settings",
    [
        {"encoder_options": {"tune": "grain"}},
        {"filters": "hqdn3d"},
        {"pixel_format": "yuv420p10le"},
        {"passes": 2},
        {"audio": "aac"},
        {"hardware_decoding": "vaapi"},
        {"realtime": True},
        {"command": ["ffmpeg", "-re", "-i", "a.mp4"]},  # all that earlier files say of it
    ],
)
def test_what_was_asked_of_the_encoder_in_another_way_is_no_repeat(settings: dict[str, Any]) -> None:
    run = _run(_scenario("plain", 600.0), _scenario("other", 1200.0, preset="plain", **settings))
    joules = {o.scenario: o.energy_joules_per_video_second for o in options_of(run).options}
    assert joules == {"plain": 10.0, "other": 20.0}


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"encoder_options": {"tune": "grain"}}, "libx264 fast 1280x720 tune=grain"),
        ({"hardware_decoding": "vaapi"}, "libx264 fast 1280x720 hwaccel=vaapi"),
        ({"pixel_format": "yuv420p10le"}, "libx264 fast 1280x720 yuv420p10le"),
    ],
)
def test_a_curve_is_of_one_way_to_encode(settings: dict[str, Any], name: str) -> None:
    """Twice the bitrate at equal quality when asked in another way: 100 % more, and no curve of both."""
    scenarios = [
        _scenario(
            f"{other}{crf}", 600.0 + crf, preset="fast", encoder="libx264", crf=crf, vmaf_score=100.0 - crf,
            bitrate=f"{kbps * (2 if other else 1)}k", **(settings if other else {}),
        )
        for other in (False, True)
        for crf, kbps in ((10, 4000), (15, 3000), (20, 2000), (25, 1000))
    ]  # fmt: skip
    (pair,) = pair_deltas(options_of(_run(*scenarios)).options)
    assert (pair.reference, pair.test) == ("libx264 fast 1280x720", name)
    assert pair.bd_rate is not None
    assert pair.bd_rate.ratio == pytest.approx(1.0)


def test_without_repeats_a_run_may_be_off_by_five_percent_and_a_short_one_by_a_quarter() -> None:
    short = _scenario("short", 60.0, duration=2.0, outputs=[Output(duration=2.0)])
    options = options_of(_run(_scenario("a", 600.0), short)).options
    assert [(o.noise_ratio, o.noise_degrees) for o in options] == [(0.05, None), (0.25, None)]


def test_an_estimates_uncertainty_is_mostly_common_to_its_machine() -> None:
    """40 % that the estimate states: a quarter sets scenarios apart, and the rest moves all together."""
    power = Power(mean_watts=10.0, total_energy_joules=600.0, tier="modelled", uncertainty_ratio=0.4)
    (option,) = options_of(_run(_scenario("a", None, power=power))).options
    assert option.noise_ratio == pytest.approx(0.1)
    assert math.hypot(option.noise_ratio, option.shared_noise_ratio) == pytest.approx(0.4)


def test_repeats_that_are_not_valid_are_not_averaged() -> None:
    scenarios = [
        _scenario("a", 600.0),
        _scenario("a", 300.0, repeat=2, validity=["energy_lost"]),
        _scenario("b", 500.0, validity=["throttled"]),
    ]
    found = options_of(_run(*scenarios))
    a, b = found.options
    assert (a.energy_joules_per_video_second, a.validity) == (10.0, ())
    assert b.validity == ("throttled",)
    assert found.invalid_repeats == [("a: 1 of 2 repeats left out", "energy_lost")]
    (a, _) = options_of(_run(*scenarios), accept_invalid=True).options
    assert (a.energy_joules_per_video_second, a.validity) == (7.5, ("energy_lost",))


def test_the_least_of_an_invalid_run_does_not_win() -> None:
    """The case of a run that was throttled, lost frames and a part of its energy."""
    spoilt = _scenario("spoilt", 500.0, validity=["frames_dropped", "throttled", "energy_lost"])
    run = _run(_scenario("sound", 600.0), _scenario("dear", 900.0), spoilt)
    floor = advisor.Constraints(min_vmaf=80)
    answer = advisor.TranscodingRecommender.from_results(run, "energy", floor).recommend()
    assert answer.choice is not None
    assert answer.choice.scenario == "sound"
    assert answer.left_out == {"not valid: frames_dropped, throttled, energy_lost": 1}
    trusting = advisor.TranscodingRecommender.from_results(run, "energy", floor, accept_invalid=True)
    choice = trusting.recommend().choice
    assert choice is not None
    assert (choice.scenario, choice.validity) == ("spoilt", tuple(spoilt.validity))


@pytest.mark.parametrize("objective", ["energy", "cost", "carbon"])
@pytest.mark.parametrize("joules", [0.0, 1.75, 6_300_000.0])
def test_energy_that_its_own_power_contradicts_does_not_win(objective: str, joules: float) -> None:
    """105 W over 60 s are 6300 J: nothing (a counter that stood still), watt-hours or millijoules are not."""
    power = Power(mean_watts=105.0, total_energy_joules=joules, tier="measured")
    lost = _scenario("lost", 0.0, power=power)
    run = _run(_scenario("sound", 6000.0), _scenario("dear", 9000.0), lost)
    floor = advisor.Constraints(min_vmaf=80)
    model = CostModel(0.2, 0, carbon_grams_per_kwh=100.0)
    answer = advisor.TranscodingRecommender.from_results(run, objective, floor, model=model).recommend()
    assert answer.choice is not None
    assert answer.choice.scenario == "sound"
    assert answer.left_out == {"not valid: energy contradicts power": 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"bitrate": "2500k"}, {"bitrate": "2.5M"}),
        ({"bitrate": "2500"}, {"bitrate": "2500kbps"}),
        ({"bitrate": "800k,2500k"}, {"bitrate": "0.8M,2.5M"}),
        ({"encoder": "libx264"}, {"encoder": "h264"}),
        ({"passes": None}, {"passes": 1}),
        ({"filters": None}, {"filters": ""}),
        ({"fps": 29.97}, {"fps": 30000 / 1001}),
        ({"fps": 23.976}, {"fps": 24000 / 1001}),
        ({"realtime": None, "command": ["ffmpeg", "-re", "-i", "a"]}, {"realtime": True}),
    ],
)
def test_a_configuration_written_in_another_way_is_a_repeat(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    usual = {"encoder": "libx264", "preset": "medium", "bitrate": "2500k"}
    run = _run(_scenario("a", 600.0, **usual | one), _scenario("b", 620.0, **usual | other))
    (option,) = options_of(run).options
    assert (option.repeats, option.energy_joules_per_video_second) == (2, pytest.approx(610 / 60))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # without a format an encode keeps its input's, which may be yuv420p10le
        ({"pixel_format": None}, {"pixel_format": "yuv420p"}),
        ({"bitrate": "vbr,2500k"}, {"bitrate": "cbr,2500k"}),
        # VideoToolbox has an option of that name
        ({"realtime": True}, {"realtime": False}),
        ({"fps": 0.001}, {"fps": 0.004}),
        ({"fps": 24.0}, {"fps": 23.976}),
    ],
)
def test_another_configuration_is_no_repeat(one: dict[str, Any], other: dict[str, Any]) -> None:
    usual = {"encoder": "h264_videotoolbox", "bitrate": "2500k", "encoder_options": {"realtime": "1"}}
    run = _run(_scenario("a", 600.0, **usual | one), _scenario("b", 620.0, **usual | other))
    assert [option.repeats for option in options_of(run).options] == [1, 1]


def test_joules_of_the_window_are_right_beside_the_seconds_that_were_asked_for() -> None:
    """60 s of video encoded in 20 s at 100 W: 2000 J, as the times say."""
    power = Power(mean_watts=100.0, total_energy_joules=2000.0, tier="measured")
    (option,) = options_of(
        _run(_scenario("a", 0.0, power=power, duration=60.0, start_time=5.0, end_time=25.0))
    ).options
    assert option.validity == ()


def test_nvenc_whose_boards_energy_nobody_measured_does_not_win() -> None:
    """40 W of the processor are not what the encode drew; a board inside the processor is in its joules."""
    nvenc = _scenario("nvenc", 2400.0, encoder="h264_nvenc", encoder_type="gpu")
    run = _run(_scenario("x264", 6000.0, encoder="libx264"), nvenc)
    floor = advisor.Constraints(min_vmaf=80)
    answer = advisor.TranscodingRecommender.from_results(run, "energy", floor).recommend()
    assert answer.choice is not None
    assert answer.choice.scenario == "x264"
    assert answer.left_out == {"energy unknown": 1}
    assert "1 scenarios used a GPU whose energy was not measured" in options_of(run).notes[0]
    planned = _scenario("planned", None, encoder="h264_nvenc", encoder_type="gpu", duration=None)
    assert "1 scenarios would use a GPU whose energy was not measured" in options_of(_run(planned)).notes[0]
    told = replace(nvenc, gpu_power=Power(total_energy_joules=1200.0, tier="measured"))
    qsv = _scenario("qsv", 1800.0, encoder="h264_qsv", encoder_type="gpu")
    rates = {o.scenario: o.energy_joules_per_video_second for o in options_of(_run(told, qsv)).options}
    assert rates == {"nvenc": 60.0, "qsv": 30.0}


def test_samples_with_a_gap_do_not_make_a_scenario_the_cheapest() -> None:
    """110 W for a minute, of which 29 s were seen: 110 J a second of video, and a cost that is unknown."""
    watts: list[float | None] = [110.0] * 61
    watts[20:50] = [None] * 30
    samples = Samples(timestamps=[float(second) for second in range(61)], power_watts=watts)
    gappy = _scenario("gappy", None, samples=samples, power=Power(tier="measured"))
    whole = _scenario("whole", 6000.0)
    model = CostModel(energy_cost_per_kwh=0.12, cpu_cost_per_hour=0)
    options = {o.scenario: o for o in options_of(_run(gappy, whole), model).options}
    assert options["gappy"].energy_joules_per_video_second == pytest.approx(110.0)
    assert options["gappy"].cost_per_video_hour is None
    assert options["whole"].cost_per_video_hour == pytest.approx(0.1 * 0.12)


def test_what_the_cloud_asks_for_is_known_without_the_energy() -> None:
    """1 an hour of a rented machine whose electricity is in its rate: 1 for an hour of video."""
    samples = Samples(timestamps=[0.0, 1.0, 2.0, 40.0, 41.0], power_watts=[110.0] * 5)
    gappy = _scenario("gappy", None, samples=samples, power=Power(tier="measured"))
    nvenc = _scenario("nvenc", 2400.0, encoder="h264_nvenc", encoder_type="gpu", duration=30.0)
    model = CostModel(mode="cloud", instance_cost_per_hour=1.0, carbon_grams_per_kwh=300.0)
    options = {o.scenario: o for o in options_of(_run(gappy, nvenc), model).options}
    assert options["gappy"].cost_per_video_hour == pytest.approx(1.0)
    assert options["nvenc"].cost_per_video_hour == pytest.approx(0.5)
    assert options["gappy"].carbon_grams_per_video_hour is None
    assert options["nvenc"].carbon_grams_per_video_hour is None


def test_a_scenario_that_does_not_say_how_much_video_it_made_has_no_rates() -> None:
    (option,) = options_of(_run(_scenario("a", 600.0, outputs=[]))).options
    assert option.energy_joules_per_video_second is None
    assert option.cost_per_video_hour is None
    assert option.mean_power_watts == 10.0


def _prediction(name: str, joules: float) -> Prediction:
    """90 % within a factor of e^0.8224, which is half a standard deviation of 1 to a side: 0.5."""
    factor = math.exp(0.5 * statistics.NormalDist().inv_cdf(0.95))
    return Prediction(
        run_id="r",
        scenario=name,
        mean_power_watts=Estimate(10.0, 9.0, 11.0),
        total_energy_joules=Estimate(joules, joules / factor, joules * factor),
        confidence=0.9,
        hardware_known=True,
        encoder_known=True,
    )


def test_what_configurations_of_a_video_share_is_told_apart_from_their_own_error() -> None:
    run = _run(*(_scenario(n, None, duration=None) for n in "ab"))
    predictions = {("r", n): _prediction(n, j) for n, j in (("a", 600.0), ("b", 1200.0))}
    a, b = options_of(run, predictions=predictions, own_error_ratio=0.1).options
    assert (a.basis, a.energy_joules_per_video_second) == ("predicted", 10.0)
    assert a.noise_ratio == 0.1
    assert math.hypot(a.noise_ratio, a.shared_noise_ratio) == pytest.approx(0.5)
    (whole, _) = options_of(run, predictions=predictions).options
    assert (whole.noise_ratio, whole.shared_noise_ratio) == (pytest.approx(0.5), pytest.approx(0))
    answer = advisor.TranscodingRecommender("energy", advisor.Constraints(min_vmaf=80)).recommend([a, b])
    assert answer.choice is not None
    assert answer.choice.probability_best == pytest.approx(1.0, abs=0.01)


def test_several_inputs_are_combined_where_all_were_run() -> None:
    """Geometric mean of 10 and 40 J a second; the worse picture."""
    scenarios = [
        _scenario("a", 600.0, input=InputMedia(name="easy"), vmaf_score=95.0),
        _scenario("a", 2400.0, input=InputMedia(name="hard"), vmaf_score=85.0),
        _scenario("b", 600.0, input=InputMedia(name="easy")),
    ]
    found = options_of(_run(*scenarios))
    (a,) = found.options
    assert (a.energy_joules_per_video_second, a.vmaf) == (pytest.approx(20.0), 85.0)
    assert a.noise_ratio == pytest.approx(0.05 / math.sqrt(2))
    assert found.notes == [
        "1 configurations left out: not run on all 2 inputs",
        "over 2 inputs: the mean of energies and costs, the worst quality and speed",
    ]
    assert [o.scenario for o in options_of(_run(*scenarios), input_name="easy").options] == ["a", "b"]
    with pytest.raises(NotEnoughDataError, match="no configuration was run on all 2 inputs"):
        options_of(_run(scenarios[1], scenarios[2]))


def test_two_films_of_one_name_are_two_inputs() -> None:
    """Each lies in a folder of its own: the second is no repeat of the first, ten times as hard to encode."""
    films = [
        InputMedia(name="input.mp4", path=f"/{folder}/input.mp4", width=1280, height=720, duration=seconds)
        for folder, seconds in (("one", 60.0), ("two", 125.0))
    ]
    first, second = (_scenario("a", 600.0 * 10**i, input=film) for i, film in enumerate(films))
    (a,) = options_of(_run(first, second)).options
    assert a.energy_joules_per_video_second == pytest.approx(math.sqrt(10 * 100))
    (alone,) = options_of(_run(first, second), input_name="/one/input.mp4").options
    assert (alone.energy_joules_per_video_second, alone.repeats) == (10.0, 1)
    with pytest.raises(NotEnoughDataError, match=r"2 inputs \(/one/input.mp4, /two/input.mp4\)"):
        options_of(_run(first, replace(second, preset="slow")))


def test_films_that_lay_at_one_path_are_told_apart_by_size_and_length() -> None:
    """Each job writes its film to the same place: name and path are those of both."""
    film = InputMedia(name="input.mp4", path="/work/input.mp4", width=1280, height=720, duration=60.0)
    first = _scenario("a", 600.0, input=film)
    second = _scenario("a", 6000.0, input=replace(film, duration=125.2), preset="slow")
    told = r"2 inputs \(input.mp4 1280x720 125 s, input.mp4 1280x720 60 s\): choose one with --input"
    with pytest.raises(NotEnoughDataError, match=told):
        options_of(_run(first, second))
    (alone,) = options_of(_run(first, second), input_name="input.mp4 1280x720 60 s").options
    assert alone.energy_joules_per_video_second == 10.0


def test_a_film_known_by_its_name_alone_is_the_only_one_of_that_name() -> None:
    """Named alone by one tool, with size and length by another; of two such films neither is meant."""
    sized = InputMedia(name="film.mp4", width=1280, height=720, duration=60.0)
    named = _scenario("a", 600.0, input=InputMedia(name="film.mp4"))
    others = (_scenario("b", 900.0, input=sized), _scenario("b", 900.0, input=replace(sized, duration=90.0)))
    assert [o.scenario for o in options_of(_run(named, others[0])).options] == ["a", "b"]
    wide = _scenario("c", 700.0, input=InputMedia(name="film.mp4", width=1280, height=720))
    assert [o.scenario for o in options_of(_run(named, wide, others[0])).options] == ["a", "c", "b"]
    with pytest.raises(NotEnoughDataError, match="3 inputs"):
        options_of(_run(named, *others))


def test_names_tell_apart_what_nothing_else_does() -> None:
    """Earlier suites wrote no encoder: two names are two configurations and no repeats of one."""
    unlabelled = [
        _scenario(n, joules, encoder=None, preset=None) for n, joules in (("gpu", 600.0), ("cpu", 900.0))
    ]
    options = options_of(_run(*unlabelled)).options
    assert {o.scenario: o.energy_joules_per_video_second for o in options} == {"gpu": 10.0, "cpu": 15.0}


def test_ladders_of_other_crfs_are_no_repeats() -> None:
    """A result file has no place for the CRF of a rung."""
    rungs = [Output(resolution=size, duration=60.0) for size in ("1280x720", "640x360")]
    ladders = [
        _scenario(name, joules, encoder="libx264", preset="fast", outputs=rungs)
        for name, joules in (("ladder crf 20, 24", 600.0), ("ladder crf 26, 30", 300.0))
    ]
    assert [o.energy_joules_per_video_second for o in options_of(_run(*ladders)).options] == [10.0, 5.0]


def test_results_are_given_as_a_folder_a_file_or_runs(tmp_path: Path) -> None:
    run = _run(_scenario("a", 600.0), _scenario("b", 900.0), run_id="test_results_1")
    write_run(run, tmp_path / "test_results_1.json")
    floor = advisor.Constraints(min_vmaf=80)
    given: list[Any] = [
        tmp_path,
        str(tmp_path / "test_results_1.json"),
        run,
        [run],
        advisor.read_folder(tmp_path),
    ]
    for results in given:
        recommender = advisor.TranscodingRecommender.from_results(results, constraints=floor)
        choice = recommender.recommend().choice
        assert choice is not None
        assert choice.scenario == "a"
    with pytest.raises(InputError, match="expected a path or a Run, got int"):
        advisor.TranscodingRecommender.from_results(5)  # type: ignore[arg-type]


def test_what_is_predicted_of_another_machine_is_not_this_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hosts that began at once call their runs alike; only those of the one compared are predicted."""
    asked: list[Run] = []

    def predicted(models_dir: str, runs: list[Run], *, measured: list[Run]) -> list[Prediction]:
        asked.extend(runs)
        raise ModelError("none")

    monkeypatch.setattr("advisor.regression.service.predict_runs", predicted)
    scenario = Scenario(name="a", start_time=100.0, resolution="1280x720", fps=25.0)
    old, new = (
        Run(run_id="r", host=Host(hardware_id=name), scenarios=(replace(scenario, start_time=start),))
        for name, start in (("old", 100.0), ("new", 200.0))
    )
    options_of([new, old], models_dir="models")
    assert asked == [new]
