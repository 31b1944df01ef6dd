"""Intervals hold what they say in the situation that they are used in: played through on a law with noise."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from advisor.regression import situations
from advisor.regression.design import learn_design
from advisor.regression.features import Case, Encoding
from advisor.regression.intervals import conformal_quantile, independent_count, student_half_width
from advisor.regression.model_file import dumps, loads
from advisor.regression.offsets import Seen, Spread
from advisor.regression.situations import Held, named
from advisor.regression.trained import Trained
from advisor.regression.training import train
from advisor.regression.validation import fit
from advisor.results import Power, Run, Scenario

POWER = "mean_power_watts"
MACHINES = {"lab-1": 0.0, "lab-2": 0.4}


def _case(video: str, rate: float, watts: float, **more: Any) -> Case:
    given: dict[str, Any] = {
        "run_id": video, "scenario": f"{rate:.6f}", "hardware": "lab-1", "encoder": "libx264", "video": video,
        "numbers": {"log_bitrate_kbps": rate}, "streams": 1, "video_seconds": 10.0, "tier": "measured",
        "targets": {POWER: watts},
    }  # fmt: skip
    return Case(**(given | more))


def _cases(videos: int, seed: int, hardware: str = "lab-1", rows: int = 8) -> list[Case]:
    """Watts that rise with the bitrate; 10 % by video, 2 % by run."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(videos):
        level = 4 + MACHINES[hardware] + 0.1 * rng.normal()
        for rate in rng.uniform(6, 9, rows):
            watts = math.exp(level + 0.3 * (rate - 6) + 0.02 * rng.normal())
            found.append(_case(f"video {seed} {number}", float(rate), watts, hardware=hardware))
    return found


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(_cases(40, seed=1))


def _bare(c: Case) -> Case:
    return msgspec.structs.replace(c, targets={})


def _seen(model: Trained, cases: list[Case], measured: list[Case]) -> tuple[float, float, float]:
    """Mean error, share inside the 90 % intervals, mean width in logarithms."""
    errors, inside, widths = [], [], []
    for c, p in zip(cases, model.predict([_bare(c) for c in cases], measured), strict=True):
        power = p.mean_power_watts
        assert power is not None
        assert power.low is not None
        assert power.high is not None
        errors.append(abs(power.mean / c.targets[POWER] - 1))
        inside.append(power.low <= c.targets[POWER] <= power.high)
        widths.append(math.log(power.high / power.low))
    return float(np.mean(errors)), float(np.mean(inside)), float(np.mean(widths))


def _with_one_each(cases: list[Case]) -> tuple[list[Case], list[Case]]:
    first: dict[str | None, Case] = {}
    for c in cases:
        first.setdefault(c.video, c)
    return [c for c in cases if c is not first[c.video]], list(first.values())


def test_intervals_cover_new_videos_with_and_without_a_probe(trained: Trained) -> None:
    """10 % by video are 8 % of mean error; a probe leaves twice 2 % of noise, 2.3 %, and intervals follow."""
    rest, probes = _with_one_each(_cases(150, seed=2))
    error, inside, width = _seen(trained, rest, [])
    assert error == pytest.approx(0.08, abs=0.02)
    assert inside == pytest.approx(0.9, abs=0.06)
    probed_error, probed_inside, probed_width = _seen(trained, rest, probes)
    assert probed_error == pytest.approx(0.023, abs=0.006)
    assert probed_inside == pytest.approx(0.9, abs=0.04)
    assert probed_width < 0.5 * width


def _level(c: Case) -> float:
    """What is left of the law when the bitrate is known: the video's level, and noise."""
    return math.log(c.targets[POWER]) - 0.3 * (c.numbers["log_bitrate_kbps"] - 6)


def test_intervals_cover_other_configurations_of_videos_that_training_knows(trained: Trained) -> None:
    """Eight runs tell a level but for 2 % / sqrt 8; a new run is off that by 2.1 %: 1.7 % of mean error."""
    rng = np.random.default_rng(5)
    more = []
    for video in sorted({c.video or "" for c in trained.training}):
        level = np.mean([_level(c) for c in trained.training if c.video == video])
        for rate in rng.uniform(6, 9, 20):
            noise = 0.02 * rng.normal()
            more.append(_case(video, rate, math.exp(level + 0.3 * (rate - 6) + noise), run_id="later"))
    error, inside, _ = _seen(trained, more, [])
    assert error == pytest.approx(0.017, abs=0.005)
    assert inside == pytest.approx(0.9, abs=0.06)


def test_a_new_machine_is_covered_after_one_run_on_it(trained: Trained) -> None:
    """It draws e^0.4 of what the other does. The run is of another video: 10 % twice are 11 % of error."""
    strange = _cases(60, seed=3, hardware="lab-2")
    error, inside = [], []
    for calibration in _cases(25, seed=4, hardware="lab-2", rows=1):
        e, i, _ = _seen(trained, strange[::7], [calibration])
        error.append(e)
        inside.append(i)
    assert np.mean(error) == pytest.approx(0.11, abs=0.035)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.08)


def test_a_video_that_training_knows_is_known_on_a_new_machine_too(trained: Trained) -> None:
    """The same laws on a machine of e^0.4 as much: 2 % of noise and what a level is known to, not 10 % twice.

    A run and the 2 % / sqrt 8 of either level are 2.4 %, with the other's own noise 3.2 %: 2.5 % in the mean.
    """
    own = [c for c in trained.training if c.video is not None]
    rng = np.random.default_rng(9)
    strange = [
        msgspec.structs.replace(
            c, hardware="lab-2", targets={POWER: c.targets[POWER] * math.exp(0.4 + 0.02 * rng.normal())}
        )
        for c in own
    ]
    found = [_seen(trained, strange[::5], [calibration]) for calibration in strange[3::40]]
    error, inside, _ = (float(np.mean(values)) for values in zip(*found, strict=True))
    assert error == pytest.approx(0.025, abs=0.012)
    assert inside > 0.85


def test_a_new_machine_is_told_by_the_run_that_is_least_in_doubt() -> None:
    """Watts of one encoder scatter by 20 %, of the other by 1 %: a run of the calm one is asked for."""
    rng = np.random.default_rng(11)
    noise = {"libx264": 0.2, "libx265": 0.01}
    cases = [
        _case(f"v{n}", float(rate), math.exp(4 + 0.3 * (rate - 6) + sd * rng.normal()), encoder=encoder)
        for n in range(40)
        for encoder, sd in noise.items()
        for rate in rng.uniform(6, 9, 3)
    ]
    speed = [msgspec.structs.replace(c, targets=c.targets | {"encode_speed_ratio": 2.0}) for c in cases]
    model = train(speed)
    asked = [
        _case("new", rate, 1.0, run_id=run, hardware="lab-9", encoder=encoder, video_seconds=seconds)
        for run, rate, encoder, seconds in (
            ("noisy", 7.0, "libx264", 100.0),
            ("short", 7.5, "libx265", 30.0),
            ("calm", 8.0, "libx265", 50.0),
            ("strange", 8.0, "libaom-av1", 500.0),
        )
    ]
    found = model.predict([_bare(c) for c in asked])
    # at twice real time 50 s of video last 25 s, and 30 s of video only 15
    assert {(p.calibrate_with.run_id, p.calibrate_with.scenario) for p in found if p.calibrate_with} == {
        ("calm", "8.000000")
    }
    # where none lasts so long, the longest; where the machine is known, none
    (short,) = model.predict([_bare(asked[1])])
    assert short.calibrate_with is not None
    assert short.calibrate_with.run_id == "short"
    known = model.predict([_bare(c) for c in asked], [asked[2]])
    assert [p.calibrate_with for p in known] == [None] * 4
    (at_home,) = model.predict([_bare(cases[0])])
    assert at_home.calibrate_with is None


def test_what_was_played_through_is_told_by_situation(trained: Trained) -> None:
    model = trained.targets[POWER]
    assert set(model.situations) == {
        *("plain", "familiar", "probed_1", "probed_2", "probed_3"),
        *("calibrated_1", "calibrated_2", "calibrated_3"),
    }
    assert model.errors["probed_1"] < 0.5 * model.errors["plain"]
    assert all(0.85 < share < 0.95 for share in model.coverage.values())


def test_a_stored_model_knows_its_situations(trained: Trained) -> None:
    again = loads(dumps(trained), "model.skops")  # type: ignore[arg-type]
    cases, probes = _with_one_each(_cases(2, seed=6))
    known = [_bare(trained.training[0])]
    assert again.predict([*cases, *known], probes) == trained.predict([*cases, *known], probes)


def test_another_video_than_the_only_one_is_said_and_gets_a_wide_interval() -> None:
    model = train(_cases(1, seed=7, rows=30))
    own, other = model.predict([_case("video 7 0", 7.0, 1.0), _case("stranger", 7.0, 1.0)])
    assert own.mean_power_watts is not None
    assert other.mean_power_watts is not None
    assert own.notes == ()
    assert "stranger was never measured, and 1 other video(s) do not tell" in other.notes[0]
    width, wider = (
        math.log((e.high or 0) / (e.low or 1)) for e in (own.mean_power_watts, other.mean_power_watts)
    )
    # 4 % more by the video, at 90 %: at least 1.645 x 0.04 on either side
    assert wider > max(width, 2 * 1.645 * 0.04)


def test_scores_that_go_together_count_as_few() -> None:
    """Ten groups of ten, each wholly inside or outside: as many as ten independent ones."""
    inside = np.repeat([True] * 9 + [False], 10)
    groups = [i // 10 for i in range(100)]
    assert independent_count(inside, groups) == pytest.approx(10)
    assert independent_count(inside, list(range(100))) == pytest.approx(100)
    assert conformal_quantile(np.arange(1.0, 101.0), 0.9, 10) == 99.0
    assert conformal_quantile(np.arange(1.0, 101.0), 0.9, 5) is None


def test_students_interval_counts_groups_as_few() -> None:
    """s of +-0.1 with three independent: t(0.95, 2) = 2.919986 x 0.1 x sqrt(3/2) x sqrt(4/3)."""
    residuals = np.array([0.1, -0.1] * 15)
    found = student_half_width(residuals, 0.9, parameters=1, independent=3)
    assert found == pytest.approx(2.919986 * 0.1 * math.sqrt(1.5) * math.sqrt(4 / 3), rel=1e-6)


@pytest.mark.parametrize(
    ("situation", "count", "name"),
    [
        ("plain", 0, "plain"),
        ("familiar", 7, "familiar"),
        ("probed", 1, "probed_1"),
        ("probed", 9, "probed_3"),
    ],
)
def test_more_runs_than_three_count_as_three(situation: str, count: int, name: str) -> None:
    assert named(situation, count) == name


def test_a_single_machine_is_played_as_another_by_what_machines_differ_by() -> None:
    """Errors of nothing at all, yet 5 % by configuration: twice of it between a run and its calibration."""
    held = [
        Held(i, i, "lab-1", Seen(f"v{i}", "libx264", "lab-1", variance=1e-8, error=0.0)) for i in range(400)
    ]
    spread = Spread(machine_encoder=0.0, machine_noise=0.05**2)
    found = situations.calibrated([held], spread, 0, differ=False)["calibrated_1"]
    assert found.error_ratio == pytest.approx(math.sqrt(2) * 0.05 * math.sqrt(2 / math.pi), rel=0.1)
    # normal errors over the doubt that was stated: 1.645 at 90 %
    assert conformal_quantile(np.array(found.scores), 0.9) == pytest.approx(1.645, rel=0.12)


def test_an_outlier_does_not_bend_the_line() -> None:
    """y = 2 x but for one of 31 points, which least squares would follow by 0.6 at its place."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.linspace(-3, 3, 31)[:, None]
    y = 2 * x[:, 0] + 1e-3 * np.sin(np.arange(31))
    y[-1] += 5
    model = fit(make_pipeline(StandardScaler(), RidgeCV((1e-6, 1e-5))), x, y, np.ones(31))
    assert model.predict([[3.0]])[0] == pytest.approx(6.0, abs=0.02)


def _timed(videos: int) -> list[Case]:
    """Videos of 5 s and more that encode at twice real time."""
    return [
        _case(f"v{i}", 7.0, 50.0, numbers={"log_video_seconds": math.log(5.0 + i), "effort": i % 3 / 2},
              targets={POWER: 50.0, "encode_speed_ratio": 2.0})
        for i in range(videos)
    ]  # fmt: skip


def test_the_expected_wall_time_is_a_column_and_its_inverse_goes_on_below_what_was_seen() -> None:
    """10 s of video at twice real time are 5 s; 1 s, shorter than any seen, stays at 2.5 s in one column."""
    cases = _timed(80)
    design, table = learn_design(cases, [c.video for c in cases], Encoding.learn(cases), 0)
    assert table.shape == (80, 4)
    ten, one = design.matrix(
        [
            msgspec.structs.replace(cases[5], numbers={"log_video_seconds": math.log(s), "effort": 0.5})
            for s in (10, 1)
        ]
    )
    assert ten[-2:] == pytest.approx([math.log(5.0), 1 / 5.0], rel=1e-3)
    assert one[-2:] == pytest.approx([math.log(2.5), 1 / 0.5], rel=1e-3)


def test_few_rows_have_no_pace() -> None:
    cases = _timed(20)
    design, table = learn_design(cases, [c.video for c in cases], Encoding.learn(cases), 0)
    assert design.pace is None
    assert table.shape == (20, 2)


def test_content_is_part_of_a_case_whatever_it_is_named() -> None:
    """What measures a video's content writes it into the scenario; a predictor takes it as it comes."""
    from advisor.regression.features import case

    s = Scenario(name="s", content={"spatial_information": 41.5}, power=Power(mean_watts=5.0))
    assert case(s, Run(run_id="r", scenarios=(s,))).numbers["content_spatial_information"] == 41.5
