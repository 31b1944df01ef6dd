"""From cases to predictions: offsets, flags, files, the child process."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import skops.io

from advisor.errors import InputError, ModelError, NotEnoughDataError
from advisor.regression import registry
from advisor.regression.features import Case
from advisor.regression.fitting import TrainedModel, train, validation_groups
from advisor.regression.model_file import dumps, library_versions, loads
from advisor.regression.registry import Manifest
from advisor.regression.residual_kriging import ResidualAt, SharedVariances, corrected, video_variances
from advisor.regression.service import PredictionRequest, answer, models_stamp, predict_files, predict_runs
from advisor.results import Host, InputMedia, Power, Run, Scenario, write_run


def _case(name: str, watts: float, **more: Any) -> Case:
    given: dict[str, Any] = {
        "run_id": "r", "scenario": name, "hardware": "lab-1", "encoder": "libx264", "video": "clip",
        "numbers": {"log_bitrate_kbps": 7.0}, "streams": 1, "video_seconds": 10.0, "tier": "measured",
        "targets": {"mean_power_watts": watts, "energy_joules_per_video_second": watts / 2},
    }  # fmt: skip
    return Case(**(given | more))


def _line(rows: int = 10) -> list[Case]:
    """Watts that double with e times the bitrate."""
    rates = np.linspace(6, 9, rows)
    return [_case(f"s{r:.2f}", 10 * 2 ** (r - 6), numbers={"log_bitrate_kbps": float(r)}) for r in rates]


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return train(_line())


def _manifest(trained: TrainedModel, **more: Any) -> Manifest:
    given: dict[str, Any] = {
        "version": "", "created": "2026-01-01T00:00:00+00:00", "created_unix_seconds": 1767225600.0,
        "hardware_id": "lab-1", "hardware_known": trained.matrix.hardware,
        "encoders_known": trained.matrix.encoders, "feature_names": trained.matrix.columns,
        "tier": trained.tier, "training_scenarios": 10, "training_configurations": 10,
        "training_data_sha256": "", "grouped_by": "configuration", "targets": {},
        "library_versions": library_versions(), "files_sha256": {},
    }  # fmt: skip
    return Manifest(**(given | more))


@pytest.fixture
def stored(tmp_path: Path, trained: TrainedModel) -> Path:
    made = registry.save(tmp_path, trained, _manifest(trained))
    registry.promote(tmp_path, "lab-1", made.version, reason="the first")
    return tmp_path


def test_energy_is_the_rate_times_seconds_of_video_and_streams(trained: TrainedModel) -> None:
    one, four = trained.predict([_case("x", 1.0), _case("y", 1.0, streams=4, video_seconds=20.0)])
    assert one.total_energy_joules is not None
    assert four.total_energy_joules is not None
    assert four.total_energy_joules.mean == pytest.approx(8 * one.total_energy_joules.mean)


def test_predictions_carry_intervals_and_the_tier(trained: TrainedModel) -> None:
    (found,) = trained.predict([_case("x", 1.0)], confidence=0.5)
    power = found.mean_power_watts
    assert power is not None
    assert power.low is not None
    assert power.high is not None
    assert power.low < power.mean < power.high
    assert power.mean == pytest.approx(20, rel=0.1)
    assert (found.tier, found.confidence) == ("measured", 0.5)


def test_what_few_rows_carry_of_a_known_video_is_a_line_and_not_the_mean() -> None:
    """32 rows carry a parabola, two thirds of them a line alone."""
    rng = np.random.default_rng(1)
    rows = [
        _case(
            f"{v}{e}{r}",
            float(w),
            video=v,
            encoder=e,
            numbers={"log_bitrate_kbps": float(r), "log_bits_per_pixel": r - 14.0},
        )
        for v in "abcd"
        for e, times in (("libx264", 1.0), ("libx265", 1.4))
        for r in range(6, 10)
        for w in [times * (30 + 10 * 2 ** (r - 6)) * rng.uniform(1, 1.01)]
    ]
    power = train(rows).targets["mean_power_watts"]
    assert power.predictor.chosen_[0] in ("parabola", "log_parabola")
    assert power.bins["familiar"].error_ratio < 0.1  # the mean's is 0.3


@pytest.mark.parametrize("name", ["film 3.mp4", "film 3.mp4 1280x720"])
def test_a_film_that_lies_elsewhere_is_known_by_its_name(name: str) -> None:
    """A plan of a film that is not here has no more of it: it is one that training knows, or a probe."""
    rng = np.random.default_rng(1)
    rows = [
        _case(
            f"{v}{r}",
            (1 + v / 4) * 10 * 2 ** (r - 6) * rng.uniform(1, 1.01),
            video=f"film {v}.mp4 1280x720 60 s",
            numbers={"log_bitrate_kbps": float(r)},
        )
        for v in range(8)
        for r in range(6, 12)
    ]
    model = train(rows)
    (whole,) = model.predict([_case("x", 1.0, run_id="p", video="film 3.mp4 1280x720 60 s")])
    assert model.predict([_case("x", 1.0, run_id="p", video=name)]) == [whole]
    assert model.predict([_case("x", 1.0, run_id="p", video="film")]) != [whole]
    probes = [
        _case(f"{r}", 90 * 2 ** (r - 6), video="new 1280x720 9 s", numbers={"log_bitrate_kbps": r})
        for r in (6.0, 8.0)
    ]
    (probed,) = model.predict([_case("x", 1.0, run_id="p", video="new")], probes)
    assert probed == model.predict([_case("x", 1.0, run_id="p", video="new 1280x720 9 s")], probes)[0]
    assert probed != model.predict([_case("x", 1.0, run_id="p", video="newer")], probes)[0]


def test_a_machine_never_measured_is_flagged_and_not_guessed(trained: TrainedModel) -> None:
    (found,) = trained.predict([_case("x", 1.0, hardware="new")])
    assert found.mean_power_watts is None
    assert found.total_energy_joules is None
    assert not found.hardware_known
    assert found.notes == ("machine new was never measured: give a calibration run of it, best of these: x",)


@pytest.mark.parametrize("tells", [True, False])
def test_the_length_of_the_video_counts_where_it_tells_more_than_chance(tells: bool) -> None:
    """Of eight videos each has a length of its own and is so much harder than the others, which has nothing
    to do with it; or a second of ramping up is lost in each.
    """
    harder = [-0.35, 0.35, -0.2, -0.3, -0.15, 0.3, 0.1, 0.25]
    cases = [
        _case(
            f"{video} {rate}",
            10 * 2 ** (rate - 6) * (1 - 1 / seconds if tells else math.exp(harder[video])),
            video=f"{video}",
            numbers={"log_bitrate_kbps": float(rate), "log_video_seconds": math.log(seconds)},
        )
        for video, seconds in enumerate([2, 3, 4, 6, 9, 14, 20, 30])
        for rate in range(6, 11)
    ]
    assert ("log_video_seconds" in train(cases).matrix.columns) is tells


def test_outside_of_what_was_measured_the_interval_widens(trained: TrainedModel) -> None:
    """Bitrates from e^6 to e^9 were measured: e^12 is a span beyond, where watts may change as they did."""
    inside, outside = trained.predict([_case("x", 1.0, numbers={"log_bitrate_kbps": r}) for r in (9.0, 12.0)])
    near, far = inside.mean_power_watts, outside.mean_power_watts
    assert near is not None
    assert far is not None
    assert far.mean == pytest.approx(near.mean)
    # ten rates evenly over three units have a standard deviation of 0.957, their watts ln 2 of that: at 90 %
    # more than one of it
    assert np.log((far.high or 0) / far.mean) > np.log(2) * 0.957
    assert np.log((near.high or 0) / near.mean) < 0.5


def test_what_never_varied_in_training_leaves_no_bounds(trained: TrainedModel) -> None:
    cases = [
        _case(f"s{r}", 10 * 2 ** (r - 6), numbers={"log_bitrate_kbps": r, "log_fps": 3.2}) for r in (6, 7, 8)
    ]
    (found,) = train(cases).predict([_case("x", 1.0, numbers={"log_bitrate_kbps": 7.0, "log_fps": 3.9})])
    assert found.mean_power_watts is not None
    assert (found.mean_power_watts.low, found.mean_power_watts.high) == (None, None)
    assert found.notes == ("fps never varied in training: its effect is unknown",)


def test_runs_that_happen_to_agree_do_not_make_a_perfect_meter() -> None:
    made = train([_case(f"s{r}", 45.0, numbers={"log_bitrate_kbps": r / 10}) for r in range(60, 90)])
    (found,) = made.predict([_case("x", 1.0)])
    assert found.mean_power_watts is not None
    assert found.mean_power_watts.high == pytest.approx(45 * np.exp(0.002))


def test_two_runs_that_agree_know_no_more_than_repeats_do() -> None:
    """Repeats vary by 1.2 %; with Student's t of one degree, 6.3138: 6.3138 x 0.012 x sqrt(2 x 1.5)."""
    rates = (6.0, 9.0)
    cases = [_case(f"s{r}", 10.0, numbers={"log_bitrate_kbps": r}) for r in rates]
    (found,) = train(cases).predict([_case("x", 1.0, numbers={"log_bitrate_kbps": 7.0})])
    assert found.mean_power_watts is not None
    assert found.mean_power_watts.high is not None
    assert math.log(found.mean_power_watts.high / found.mean_power_watts.mean) == pytest.approx(
        0.13123, rel=1e-3
    )


def test_the_order_of_the_cases_decides_nothing() -> None:
    chance = np.random.default_rng(3)
    cases = [
        _case(f"s{i}", float(w), video=f"v{i % 9}", numbers={"log_bitrate_kbps": float(r)})
        for i, (r, w) in enumerate(zip(chance.uniform(6, 9, 80), chance.uniform(40, 60, 80), strict=True))
    ]
    asked = [_case("x", 1.0, video="v1"), _case("y", 1.0, video="new")]
    assert train(cases).predict(asked) == train([cases[i] for i in chance.permutation(80)]).predict(asked)


def test_one_calibration_run_moves_a_new_machine_to_its_level(trained: TrainedModel) -> None:
    """The new machine draws 1.8 times what the model says, whatever the bitrate."""
    calibration = _case("c", 36.0, hardware="new", video="other")
    (found,) = trained.predict(
        [_case("x", 1.0, hardware="new", numbers={"log_bitrate_kbps": 8.0})], [calibration]
    )
    assert found.mean_power_watts is not None
    assert found.mean_power_watts.mean == pytest.approx(1.8 * 10 * 2**2, rel=0.15)
    assert found.mean_power_watts.low is not None
    assert found.notes == ("machine new is known by calibration runs only",)


def test_a_machine_of_another_kind_has_no_bounds(trained: TrainedModel) -> None:
    """Three times the watts of any machine that is known: how its other runs differ is not in the data."""
    calibration = _case("c", 60.0, hardware="new", video="other")
    (found,) = trained.predict([_case("x", 1.0, hardware="new")], [calibration])
    assert found.mean_power_watts is not None
    assert found.mean_power_watts.mean == pytest.approx(60, rel=0.15)
    assert (found.mean_power_watts.low, found.mean_power_watts.high) == (None, None)
    assert found.notes[-1] == "machine new is unlike those in training: no bounds"


def test_a_measured_run_tells_nothing_of_itself(trained: TrainedModel) -> None:
    own = _case("c", 60.0, hardware="new")
    (found,) = trained.predict([own], [own])
    assert found.mean_power_watts is None


def test_an_encoder_never_measured_is_flagged_and_not_guessed(trained: TrainedModel) -> None:
    (found,) = trained.predict([_case("x", 1.0, encoder="librav1e")])
    assert (found.mean_power_watts, found.encoder_known) == (None, False)
    assert "encoder librav1e was never measured" in found.notes


def test_repeats_are_one_row_of_their_median() -> None:
    made = train([_case("a", 10.0), _case("a", 50.0), _case("a", 12.0)])
    (merged,) = made.training
    assert merged.targets["mean_power_watts"] == 12.0
    assert merged.weight == 3.0


def test_groups_are_videos_where_there_are_three_else_configurations() -> None:
    three = [_case(v, 1.0, video=v) for v in ("a", "b", "c")]
    assert validation_groups(three) == (["a", "b", "c"], "video")
    assert validation_groups(_line(4))[1] == "configuration"


def test_nothing_to_train_on_is_said() -> None:
    with pytest.raises(NotEnoughDataError, match="no scenario has both power"):
        train([_case("a", 1.0, targets={})])


def test_a_single_scenario_gives_its_value_without_an_interval() -> None:
    made = train([_case("a", 42.0)])
    (found,) = made.predict([_case("b", 1.0)])
    assert found.mean_power_watts is not None
    assert found.mean_power_watts.mean == pytest.approx(42)
    assert (found.mean_power_watts.low, found.mean_power_watts.high) == (None, None)
    assert any("only the mean is fitted" in note for note in made.notes)


def test_a_probe_moves_its_video_by_what_videos_share() -> None:
    """Shared variance 0.03 of 0.04: three quarters of the probe's error, and the rest of the doubt."""
    spread = SharedVariances(video=0.03)
    probe = ResidualAt("clip", "libx264", None, 0.04, error=0.2)
    offset, variance = corrected(ResidualAt("clip", "libx265", None, 0.04), [probe], spread)
    assert (offset, variance) == (pytest.approx(0.15), pytest.approx(0.0175))
    assert corrected(ResidualAt("other", "libx265", None, 0.04), [probe], spread) == (
        0.0,
        pytest.approx(0.04),
    )


def test_shared_variances_are_found_from_pairs() -> None:
    """Errors of 0.3 by video and 0.1 by video and encoder, drawn for 400 videos."""
    rng = np.random.default_rng(0)
    errors, videos, encoders = [], [], []
    for video in range(400):
        level = 0.3 * rng.normal()
        for encoder in ("a", "b"):
            own = 0.1 * rng.normal()
            for _ in range(3):
                errors.append(level + own + 0.05 * rng.normal())
                videos.append(video)
                encoders.append(encoder)
    shared, with_encoder = video_variances(np.array(errors), videos, encoders)
    assert shared == pytest.approx(0.09, rel=0.2)
    assert with_encoder == pytest.approx(0.01, rel=0.5)
    assert video_variances(np.array(errors[:12]), videos[:12], encoders[:12]) == (0.0, 0.0)


def test_a_stored_model_predicts_what_it_did_before(stored: Path, trained: TrainedModel) -> None:
    loaded, manifest = registry.load(stored, "lab-1")
    assert (manifest.version, manifest.promoted, manifest.reason) == ("0001", True, "the first")
    assert loaded.predict([_case("x", 1.0)]) == trained.predict([_case("x", 1.0)])


def test_a_changed_model_file_is_refused_in_one_line(stored: Path) -> None:
    path = stored / "lab-1" / "0001" / "model.skops"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"model.skops: does not match its manifest") as caught:
        registry.load(stored, "lab-1")
    assert "\n" not in str(caught.value)


def test_a_type_that_is_not_on_the_list_is_refused(tmp_path: Path) -> None:
    foreign = skops.io.dumps({"plain": "{}", "estimators": {}, "x": os.path.join})
    with pytest.raises(ModelError, match=r"holds types that are not trusted: .*join"):
        loads(foreign, tmp_path / "model.skops")


def test_bytes_that_are_no_model_are_refused(tmp_path: Path) -> None:
    for data in (b"", b"not a zip", skops.io.dumps({"other": 1})):
        with pytest.raises(ModelError, match="expected a model file"):
            loads(data, tmp_path / "model.skops")


def test_the_model_file_is_a_zip_without_pickles(trained: TrainedModel) -> None:
    import io

    names = zipfile.ZipFile(io.BytesIO(dumps(trained))).namelist()
    assert "schema.json" in names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda home: (home / "0001" / "model.skops").unlink(), "model.skops: cannot be read"),
        (lambda home: (home / "0001" / "manifest.json").write_text("{"), "expected a model's manifest"),
        (lambda home: (home / "0001" / "manifest.json").unlink(), "manifest.json: cannot be read"),
        (lambda home: (home / "latest").unlink(), "no model is in service"),
    ],
)
def test_a_half_written_folder_is_refused_in_words(stored: Path, damage: Any, said: str) -> None:
    damage(stored / "lab-1")
    with pytest.raises(ModelError, match=said):
        registry.load(stored, "lab-1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features_version": 99}, "expected features version 7, found 99"),
        ({"library_versions": {"scikit-learn": "0.1.2"}}, "made with scikit-learn 0.1.2"),
        ({"feature_names": ("other",)}, "its features are not those of its manifest"),
    ],
)
def test_a_model_for_something_else_is_refused(stored: Path, change: dict[str, Any], said: str) -> None:
    path = stored / "lab-1" / "0001" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=said):
        registry.load(stored, "lab-1")


def test_promotion_rollback_and_pruning_keep_what_is_in_service(stored: Path, trained: TrainedModel) -> None:
    for _ in range(3):
        made = registry.save(stored, trained, _manifest(trained))
    assert registry.versions(stored, "lab-1") == ["0001", "0002", "0003", "0004"]
    assert registry.latest_manifest(stored, "lab-1").version == "0001"
    registry.promote(stored, "lab-1", made.version, reason="better")
    assert registry.latest_manifest(stored, "lab-1").version == "0004"
    assert registry.rollback(stored, "lab-1").version == "0001"
    assert registry.latest_manifest(stored, "lab-1").reason == "rolled back from 0004"
    assert registry.prune(stored, "lab-1", 1) == ["0002", "0003"]
    assert registry.versions(stored, "lab-1") == ["0001", "0004"]
    with pytest.raises(ModelError, match="no version before 0001"):
        registry.rollback(stored, "lab-1")


def test_leftovers_of_a_killed_writer_are_cleared_and_never_seen(stored: Path, trained: TrainedModel) -> None:
    left = stored / "lab-1" / ".new-abc"
    left.mkdir()
    (left / "model.skops").write_bytes(b"half")
    assert registry.versions(stored, "lab-1") == ["0001"]
    registry.save(stored, trained, _manifest(trained))
    assert not left.exists()


def test_a_machine_without_models_is_served_by_those_that_know_it(
    stored: Path, trained: TrainedModel
) -> None:
    more = _manifest(trained, hardware_id="lab-2", hardware_known=("lab-2", "lab-3"), training_scenarios=99)
    made = registry.save(stored, trained, more)
    registry.promote(stored, "lab-2", made.version, reason="x")
    assert registry.choose_hardware(stored, "lab-1") == "lab-1"
    assert registry.choose_hardware(stored, "lab-3") == "lab-2"
    assert registry.choose_hardware(stored, "elsewhere") == "lab-2"
    with pytest.raises(ModelError, match="no model in service"):
        registry.choose_hardware(stored / "nowhere", None)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a\nb", "a\n"])
def test_a_hardware_id_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="hardware id"):
        registry.versions(tmp_path, name)


def _result_file(folder: Path) -> Path:
    scenarios = (
        Scenario(name="idle", type="baseline", duration=5.0, power=Power(mean_watts=5.0)),
        Scenario(name="x", encoder="libx264", bitrate="1100k", input=InputMedia(name="clip", duration=10.0)),
    )
    path = folder / "test_results_20260101_000000.json"
    write_run(Run(run_id=path.stem, scenarios=scenarios, host=Host(hardware_id="lab-1")), path)
    return path


def test_a_child_process_predicts_files_and_lists_what_it_could_not_use(stored: Path) -> None:
    found = predict_files(stored, [_result_file(stored), stored / "missing.json"], timeout_seconds=300)
    idle, x = found.predictions
    assert (idle.mean_power_watts, idle.notes) == (None, ("a baseline encodes nothing",))
    assert x.mean_power_watts is not None
    assert x.mean_power_watts.mean == pytest.approx(20, rel=0.15)
    assert found.problems == [f"{stored}/missing.json: cannot be read: No such file or directory"]


def test_the_run_that_tells_most_of_a_machine_is_one_among_all_files(stored: Path) -> None:
    """No speed is known here: the video of 30 s lasts long enough, the one of 10 s does not."""
    clips = {"short": 10.0, "long": 30.0}
    runs = [
        Run(
            run_id=name,
            scenarios=(
                Scenario(name="idle", type="baseline", duration=5.0),
                Scenario(name="x", encoder="libx264", bitrate="1100k", input=InputMedia(duration=seconds)),
            ),
            host=Host(hardware_id="new"),
        )
        for name, seconds in clips.items()
    ]
    found = predict_runs(stored, runs)
    assert [(p.run_id, p.scenario) for p in found] == [
        *(("short", "idle"), ("short", "x")),
        *(("long", "idle"), ("long", "x")),
    ]
    asked = [p.calibrate_with and (p.calibrate_with.run_id, p.calibrate_with.scenario) for p in found]
    assert asked == [None, ("long", "x")] * 2


def test_a_model_that_cannot_be_used_is_a_problem_and_no_crash(stored: Path) -> None:
    (stored / "lab-1" / "0001" / "model.skops").write_bytes(b"x")
    found = answer(PredictionRequest(models_dir=str(stored), files=[str(_result_file(stored))]))
    assert found.predictions == []
    assert "does not match its manifest" in found.problems[0]


def test_the_stamp_changes_with_the_model_in_service(stored: Path, trained: TrainedModel) -> None:
    before = models_stamp(stored)
    made = registry.save(stored, trained, _manifest(trained))
    assert models_stamp(stored) == before
    registry.promote(stored, "lab-1", made.version, reason="x")
    assert models_stamp(stored) != before


def test_the_stamp_changes_with_a_folder_put_in_the_place_of_another(stored: Path) -> None:
    """As a copy that keeps times does, of a machine where other models have the same versions."""
    before = models_stamp(stored)
    shutil.copytree(stored / "lab-1", stored / "copy", symlinks=True)
    shutil.rmtree(stored / "lab-1")
    (stored / "copy").rename(stored / "lab-1")
    assert models_stamp(stored) != before


def test_serving_side_imports_neither_numpy_nor_scikit_learn(stored: Path) -> None:
    code = (
        "import sys; from advisor.regression import registry, service;"
        f"manifests, problems = registry.latest_manifests({str(stored)!r}); service.models_stamp('x');"
        "print(len(manifests), problems, [m for m in ('numpy', 'sklearn', 'skops') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1 [] []\n"


def test_unreadable_manifests_are_listed_beside_the_good_ones(stored: Path) -> None:
    bad = stored / "bad" / "0001"
    bad.mkdir(parents=True)
    (bad / "manifest.json").write_bytes(msgspec.json.encode({"version": 5}))
    (stored / "bad" / "latest").symlink_to("0001")
    manifests, problems = registry.latest_manifests(stored)
    assert [m.hardware_id for m in manifests] == ["lab-1"]
    assert len(problems) == 1
    assert "bad/latest/manifest.json: expected a model's manifest" in problems[0]
