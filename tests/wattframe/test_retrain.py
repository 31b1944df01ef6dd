"""Retraining as a user calls it: result files in, a model in service and an account out."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest

from advisor.errors import InputError, NotEnoughDataError
from advisor.regression import registry
from advisor.results import EncodeStats, Host, InputMedia, Output, Power, Run, Scenario, read_run, write_run
from wattframe.cli import main
from wattframe.retraining import RetrainOptions, retrain, summary, watch

ROOT = Path(__file__).resolve().parents[2]


def _scenario(index: int, **more: Any) -> Scenario:
    given: dict[str, Any] = {
        "name": f"s{index}", "encoder": "libx264", "preset": "fast", "bitrate": f"{500 * (index + 1)}k",
        "resolution": "1280x720", "fps": 30.0, "duration": 20.0, "start_time": 1e9 + 30 * index,
        "input": InputMedia(name="clip.mp4", duration=10.0),
        "outputs": [Output(resolution="1280x720", duration=10.0)],
        "encode": EncodeStats(speed=0.5, frames=300), "vmaf_score": 80.0 + index,
        "power": Power(
            mean_watts=40.0 + 2 * index, total_energy_joules=20 * (40.0 + 2 * index), tier="modelled"
        ),
    }  # fmt: skip
    return Scenario(**(given | more))


def _write(folder: Path, *scenarios: Scenario, stamp: str = "20260101_000000") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"test_results_{stamp}.json"
    write_run(Run(run_id=path.stem, scenarios=scenarios, host=Host(hardware_id="lab-1", threads=8)), path)
    return path


IDLE = Scenario(name="idle", type="baseline", duration=10.0, power=Power(mean_watts=20.0, tier="modelled"))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    _write(tmp_path / "results", IDLE, *(_scenario(i) for i in range(7)))
    return tmp_path / "results"


@pytest.fixture
def card() -> None:
    """For a test of the model's page."""


@pytest.fixture(autouse=True)
def _no_card(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the package that draws it is not installed: drawing takes longer than all the rest."""
    if "card" not in request.fixturenames:
        monkeypatch.setattr("wattframe.retraining.pipeline._card", lambda *_: None)


def _options(results: Path, **more: Any) -> RetrainOptions:
    return RetrainOptions(results_dir=results, models_dir=results.parent / "models", **more)


def _quiet(line: str) -> None:
    pass


def test_seven_scenarios_and_a_baseline_give_a_model_in_service(results: Path) -> None:
    report = retrain(_options(results), _quiet)
    assert (report.files, report.scenarios, report.baselines) == (1, 8, 1)
    assert report.skipped == []
    manifest = registry.latest_manifest(results.parent / "models", "lab-1")
    assert manifest == report.manifest
    assert manifest.reason == "the first model of this machine"
    assert (manifest.tier, manifest.training_scenarios, manifest.grouped_by) == (
        "modelled",
        7,
        "configuration",
    )
    assert manifest.library_versions["scikit-learn"]
    assert "In service: the first model of this machine" in summary(report)


def test_every_scenario_that_is_left_out_has_its_reason(results: Path) -> None:
    watts = Power(mean_watts=50.0, tier="modelled")
    odd = {
        "failed": _scenario(10, name="failed", status="failed", error="ffmpeg died"),
        "dark": _scenario(11, name="dark", power=None),
        "zero": _scenario(12, name="zero", power=Power(mean_watts=0.0, tier="modelled")),
        "lie": _scenario(
            13, name="lie", power=Power(mean_watts=50.0, total_energy_joules=3e4, tier="modelled")
        ),
        "measured": _scenario(14, name="measured", power=Power(mean_watts=50.0, tier="measured")),
        "blank": Scenario(name="blank", duration=5.0, power=watts),
    }
    _write(results, *odd.values(), stamp="20260102_000000")
    (results / "test_results_20260103_000000.json").write_text("{broken")
    report = retrain(_options(results), _quiet)
    reasons = {left.scenario: left.reason for left in report.skipped}
    assert reasons["failed"] == "the scenario failed: ffmpeg died"
    assert reasons["dark"] == "no power"
    assert reasons["zero"] == "impossible mean power: 0 W"
    assert reasons["lie"] == "contradicts itself: 30000 J in 20 s are not 50 W on average"
    assert reasons["measured"] == "measured power; the others have modelled power"
    assert reasons["blank"] == "the encode is not described"
    assert "expected a JSON result file" in reasons[None]
    assert report.manifest is not None
    assert report.manifest.training_scenarios == 7


def test_a_copied_file_counts_once(results: Path) -> None:
    original = next(results.iterdir())
    (results / "test_results_20260109_000000.json").write_bytes(original.read_bytes())
    report = retrain(_options(results), _quiet)
    assert [left.reason for left in report.skipped] == ["a copy of a scenario that was read before"] * 7


def test_what_stands_twice_in_one_file_is_two_measurements(results: Path) -> None:
    path = next(results.iterdir())
    run = read_run(path)
    write_run(msgspec.structs.replace(run, scenarios=run.scenarios * 2), path)
    report = retrain(_options(results), _quiet)
    assert report.skipped == []
    assert report.manifest is not None
    assert report.manifest.training_scenarios == 14


def test_a_copy_that_was_scored_since_is_still_a_copy(results: Path) -> None:
    run = read_run(next(results.iterdir()))
    scored = [msgspec.structs.replace(s, vmaf_score=95.0) for s in run.scenarios]
    again = msgspec.structs.replace(run, scenarios=tuple(scored))
    write_run(again, results / "test_results_20260109_000000.json")
    report = retrain(_options(results), _quiet)
    assert [left.reason for left in report.skipped] == ["a copy of a scenario that was read before"] * 7


def test_repeats_that_contradict_one_another_are_listed(results: Path) -> None:
    """A repeat of s0 (40 W) at 80 W; another within a fifth of s1 (42 W) is no contradiction."""
    watts = [Power(mean_watts=w, tier="modelled") for w in (80.0, 50.0)]
    again = [_scenario(i, repeat=2, start_time=2e9, power=power) for i, power in enumerate(watts)]
    _write(results, *again, stamp="20260102_000000")
    report = retrain(_options(results), _quiet)
    assert [(n.run_id, n.scenario, n.reason) for n in report.noted] == [
        (
            "test_results_20260101_000000",
            "s0",
            "contradicts its repeat test_results_20260102_000000, s0: 40.0 W against 80.0 W",
        )
    ]


def test_a_scenario_below_its_own_idle_machine_is_noted(results: Path) -> None:
    low = _scenario(20, name="low", power=Power(mean_watts=17.9, tier="modelled"))
    _write(results, IDLE, low, stamp="20260102_000000")
    report = retrain(_options(results), _quiet)
    assert [n.reason for n in report.noted] == ["draws 17.9 W, less than the idle power of 20.0 W"]


@pytest.mark.usefixtures("card")
def test_figures_that_should_not_be_trusted_weigh_less_and_are_listed(results: Path) -> None:
    _write(results, _scenario(20, validity=["steal", "too_short"]), stamp="20260102_000000")
    report = retrain(_options(results), _quiet)
    assert [n.reason for n in report.noted] == ["used with weight 1/4: steal, too_short"]
    assert report.not_valid == {"steal": 1, "too_short": 1}
    sentence = "Not valid, used with weight 1/4: steal 1, too_short 1"
    assert report.manifest is not None
    assert sentence in report.manifest.notes
    assert report.card is not None
    assert sentence in Path(report.card).read_text()
    assert summary(report).count(sentence) == 1


def test_a_baseline_that_is_not_valid_is_used_for_nothing_and_listed(results: Path) -> None:
    """The scenario below its idle power is not noted: of the idle power nothing is known."""
    low = _scenario(20, name="low", power=Power(mean_watts=17.9, tier="modelled"))
    _write(results, msgspec.structs.replace(IDLE, validity=["other_load"]), low, stamp="20260102_000000")
    report = retrain(_options(results), _quiet)
    assert [n.reason for n in report.noted] == [
        "idle power not used, because the baseline is not valid: other_load"
    ]


@pytest.mark.parametrize(
    ("scenarios", "said"),
    [
        ([], r"nothing could be trained: .* holds no test_results_\*.json"),
        ([IDLE], "nothing could be trained: there are only baselines"),
        (
            [_scenario(0, power=None)],
            "1 skipped, 1 because: no power; give --prometheus-url",
        ),
    ],
)
def test_nothing_to_train_on_is_said_in_one_line(
    tmp_path: Path, scenarios: list[Scenario], said: str
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    if scenarios:
        _write(folder, *scenarios)
    with pytest.raises(NotEnoughDataError, match=said):
        retrain(_options(folder), _quiet)


def test_a_folder_that_is_missing_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: expected a folder of result files"):
        retrain(_options(tmp_path / "nowhere"), _quiet)


def test_prometheus_down_leaves_what_the_runner_measured(results: Path) -> None:
    from advisor.prometheus.client import Connection

    _write(results, _scenario(20, power=None), stamp="20260102_000000")
    notes: list[str] = []
    down = Connection(url="http://127.0.0.1:9", retries=0)
    report = retrain(_options(results, prometheus=down), notes.append)
    assert report.manifest is not None
    assert "not enriched: http://127.0.0.1:9: cannot be reached: Connection refused" in notes
    assert [left.scenario for left in report.skipped] == ["s20"]


def test_a_worse_challenger_is_stored_and_stays_out_of_service(results: Path) -> None:
    """New runs that follow the old law, and old ones spoiled: the new model is worse on the new runs."""
    options = _options(results)
    retrain(options, _quiet)
    run = read_run(next(results.iterdir()))
    spoiled = [
        s if s.type == "baseline" else msgspec.structs.replace(s, power=Power(mean_watts=w, tier="modelled"))
        for s, w in zip(run.scenarios, (0, 500, 20, 600, 30, 700, 10, 900), strict=True)
    ]
    write_run(msgspec.structs.replace(run, scenarios=tuple(spoiled)), next(results.iterdir()))
    more = [
        _scenario(i, bitrate=f"{500 * i + 800}k", power=Power(mean_watts=41.0 + 2 * i, tier="modelled"))
        for i in range(6)
    ]
    _write(results, *more, stamp="20260102_000000")
    report = retrain(options, _quiet)
    assert report.manifest is not None
    assert not report.manifest.promoted
    assert "on 6 new scenarios" in report.manifest.reason
    assert registry.latest_manifest(options.models_dir, "lab-1").version == "0001"
    assert "Not promoted, version 0001 stays" in summary(report)
    forced = retrain(_options(results, force=True), _quiet)
    assert forced.manifest is not None
    assert forced.manifest.reason.startswith("forced, although")
    assert registry.latest_manifest(options.models_dir, "lab-1").version == "0003"


def test_a_former_model_that_is_broken_is_replaced(results: Path) -> None:
    options = _options(results)
    retrain(options, _quiet)
    (options.models_dir / "lab-1" / "0001" / "model.skops").write_bytes(b"x")
    report = retrain(options, _quiet)
    assert report.manifest is not None
    assert report.manifest.reason.startswith("the previous model cannot be used")
    registry.load(options.models_dir, "lab-1")


def test_old_versions_go_and_the_hardware_id_can_be_given(results: Path) -> None:
    for _ in range(3):
        report = retrain(_options(results, keep=2, hardware_id="rack-7"), _quiet)
    assert report.deleted == ["0001"]
    assert registry.versions(results.parent / "models", "rack-7") == ["0002", "0003"]


def test_the_command_prints_one_json_document(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = results.parent / "models"
    assert main(["retrain", "--results-dir", str(results), "--models-dir", str(models), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["manifest"]["version"] == "0001"
    assert said.err == "retrain: training on 7 scenarios\n"


def test_predict_and_recommend_answer_as_the_contract_says(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = results.parent / "models"
    retrain(_options(results), _quiet)
    file = str(next(results.iterdir()))
    assert main(["predict", "--models-dir", str(models), "--results", file, "--json"]) == 0
    idle, first, *_ = json.loads(capsys.readouterr().out)
    assert idle["mean_power_watts"] is None
    assert set(first["mean_power_watts"]) == {"mean", "low", "high"}
    assert (first["confidence"], first["hardware_known"], first["encoder_known"]) == (0.9, True, True)
    folder = ["--results-dir", str(results)]
    assert main(["recommend", *folder, "--objective", "energy", "--min-vmaf", "83", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    # 46 W over 20 s for 10 s of video
    assert answer["choice"]["scenario"] == "s3"
    assert answer["choice"]["basis"] == "measured"
    assert answer["choice"]["values"]["energy_joules_per_video_second"] == pytest.approx(92.0)
    assert set(answer) >= {"objective", "constraints", "choice", "reason", "front", "knee", "next_runs"}


def test_a_run_that_is_not_valid_corrects_no_prediction(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A probe of 400 W would lift all others of the new machine; throttled, it leaves them unknown."""
    models = results.parent / "models"
    retrain(_options(results), _quiet)
    document = json.loads(next(results.iterdir()).read_text())
    document["host"] = {"hardware_id": "new"}
    *_, probe = document["scenarios"]
    path = tmp_path / "test_results_20260401_000000.json"
    answers = []
    for reasons in (["throttled"], []):
        probe["validity"] = reasons
        path.write_text(
            json.dumps({**document, "scenarios": [probe, {**probe, "name": "other", "power": None}]})
        )
        assert main(["predict", "--models-dir", str(models), str(path), "--json"]) == 0
        output = capsys.readouterr()
        answers.append((json.loads(output.out)[1]["mean_power_watts"] is None, output.err))
    reason = "is not used for corrections, because it is not valid: throttled"
    line = f"wattframe predict: {path.stem}: {probe['name']} {reason}\n"
    assert answers == [(True, line), (False, "")]
    # a file that is refused beside one that was read is told, and told by the exit code
    (tmp_path / "test_results_20260402_000000.json").write_text("{")
    assert (
        main(["predict", "--models-dir", str(models), str(path), "--measured", str(tmp_path), "--json"]) == 2
    )
    assert "expected a JSON result file" in capsys.readouterr().err


def test_scenarios_of_a_matrix_file_are_predicted_before_they_run(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    retrain(_options(results), _quiet)
    matrix = tmp_path / "plan.yaml"
    matrix.write_text(
        "defaults: {resolution: 1280x720, preset: fast, fps: 30}\n"
        "matrix: {encoder: [libx264, libx265], bitrate: [1000k, 2000k]}\n"
    )
    code = main(
        ["predict", "--models-dir", str(results.parent / "models"), "--matrix", str(matrix),
         "--hardware-id", "lab-1", "--media-duration", "10", "--json"]
    )  # fmt: skip
    assert code == 0
    found = json.loads(capsys.readouterr().out)
    assert [p["encoder_known"] for p in found] == [True, True, False, False]
    assert found[0]["mean_power_watts"]["mean"] == pytest.approx(43, rel=0.1)
    assert found[2]["mean_power_watts"] is None


def test_recommend_predicts_where_power_was_not_measured(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    retrain(_options(results), _quiet)
    _write(results, _scenario(20, power=None, bitrate="700k", vmaf_score=99.0), stamp="20260102_000000")
    models = ["--models-dir", str(results.parent / "models")]
    assert main(["recommend", "--results-dir", str(results), *models, "--min-vmaf", "98", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["choice"]["scenario"], answer["choice"]["basis"]) == ("s20", "predicted")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["predict"], 2, "test_results: cannot be read: No such file or directory"),
        (["predict", "--results", "/nowhere.json"], 2, "/nowhere.json: cannot be read"),
        (["recommend", "--results-dir", "/nowhere"], 2, "/nowhere: cannot be read"),
        (["recommend", "--objective", "watts"], 2, "objective: expected one of cost, energy"),
        (["recommend", "--objective", "energy=x"], 2, "--objective: expected weights"),
        (["retrain", "--results-dir", "."], 1, "nothing could be trained"),
        (["retrain", "--prometheus-url", "x", "--results-dir", "."], 2, "expected an address like"),
        (["retrain", "--prometheus-url", "http://x", "--prometheus-header", "a"], 2, "expected NAME=VALUE"),
        (
            ["retrain", "--prometheus-url", "http://x", "--prometheus-token-file", "/nowhere"],
            2,
            "/nowhere: --prometheus-token-file: cannot be read",
        ),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(
    arguments: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("card")
def test_a_card_shows_the_model_and_its_held_out_points(results: Path) -> None:
    report = retrain(_options(results), _quiet)
    assert report.card is not None
    page = Path(report.card).read_text()
    assert page.startswith("<!doctype html>")
    assert "Mean power (W): predicted against measured" in page
    # 7 rows in two charts, drawn for wide and narrow pages, by 3 targets
    assert page.count("<use ") == 7 * 2 * 2 * 3
    # too few to know any
    assert "coverage unknown" in page
    assert "% inside" not in page
    assert "http:" not in page.replace("http://www.w3.org", "")


@pytest.mark.usefixtures("card")
def test_without_the_package_that_draws_it_there_is_no_card_and_all_else_is_done(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "wattframe.retraining.card", raising=False)
    for name in [name for name in sys.modules if name.startswith("wattframe.report")]:
        monkeypatch.delitem(sys.modules, name)
    report = retrain(_options(results), _quiet)
    assert report.card is None
    assert report.manifest is not None
    assert report.manifest.promoted
    assert "Card: none, it needs matplotlib" in summary(report)


@pytest.mark.usefixtures("card")
def test_a_card_of_many_scenarios_shows_how_often_intervals_hold(tmp_path: Path) -> None:
    """Sixty scenarios of six videos; every figure of the manifest is one of the table."""
    scenarios = []
    for i in range(60):
        watts = (40.0 + i % 10) * (1 + (i * 37 % 11 - 5) / 200)
        scenarios.append(
            _scenario(
                i % 10, name=f"v{i // 10} s{i}", input=InputMedia(name=f"v{i // 10}", duration=10.0),
                start_time=1e9 + 30 * i, power=Power(mean_watts=watts, tier="modelled"),
            )
        )  # fmt: skip
    _write(tmp_path / "results", *scenarios)
    report = retrain(_options(tmp_path / "results"), _quiet)
    assert report.manifest is not None
    assert report.card is not None
    page = Path(report.card).read_text()
    told = [ratio for target in report.manifest.targets.values() for ratio in target.coverage_ratios.values()]
    assert len(told) > 5
    shown = re.findall(r"([\d.]+) % inside", page)
    assert sorted(shown) == sorted(f"{100 * ratio:.1f}" for ratio in told)
    assert "a video that was never run" in page


def test_rollback_puts_the_version_before_back(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = results.parent / "models"
    retrain(_options(results), _quiet)
    retrain(_options(results), _quiet)
    assert main(["retrain", "--rollback", "--models-dir", str(models)]) == 0
    assert capsys.readouterr().out == "Version 0001 of lab-1 is in service: rolled back from 0002\n"
    assert registry.latest_manifest(models, "lab-1").version == "0001"


@pytest.mark.usefixtures("card")
def test_new_scenarios_that_draw_more_are_told_as_drift(results: Path) -> None:
    """The same configurations a little apart, at a tenth more power."""
    options = _options(results)
    retrain(options, _quiet)
    more = [
        _scenario(i, bitrate=f"{500 * i + 510}k", power=Power(mean_watts=1.1 * (40 + 2 * i), tier="modelled"))
        for i in range(7)
    ]
    _write(results, *more, stamp="20260102_000000")
    report = retrain(options, _quiet)
    assert report.drift_ratio == pytest.approx(0.1, abs=0.04)
    assert report.card is not None
    said = f"new scenarios draw {report.drift_ratio:+.1%} over the prediction of the previous model"
    assert said in Path(report.card).read_text()


def test_watching_retrains_when_results_come_and_outlives_failures(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    notes: list[str] = []
    empty = results.parent / "coming"
    empty.mkdir()

    def pause(_: float) -> None:
        if not told and not any(empty.iterdir()):
            (empty / "test_results_20260101_000000.json").write_bytes(next(results.iterdir()).read_bytes())
        elif told:
            raise KeyboardInterrupt

    monkeypatch.setattr("wattframe.retraining.pipeline.time.sleep", pause)
    with pytest.raises(KeyboardInterrupt):
        watch(
            _options(empty),
            1.0,
            notes.append,
            lambda r: told.append(r.manifest.version if r.manifest else ""),
        )
    assert told == ["0001"]
    assert "holds no test_results_*.json" in notes[0]


def _watched(
    options: RetrainOptions, monkeypatch: pytest.MonkeyPatch, *meanwhile: Callable[[], object]
) -> list[str]:
    """What is noted and told (a version) while these things happen, three looks apart."""
    events: list[str] = []
    steps = iter([step for one in meanwhile for step in (one, lambda: None, lambda: None)])

    def pause(_: float) -> None:
        try:
            next(steps)()
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr("wattframe.retraining.pipeline.time.sleep", pause)
    with pytest.raises(KeyboardInterrupt):
        watch(options, 1.0, events.append, lambda r: events.append(r.manifest.version if r.manifest else ""))
    return events


def test_watching_tries_again_what_a_full_disk_prevented(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = registry.save
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(registry, "save", Mock(side_effect=full))
    events = _watched(
        _options(results), monkeypatch, lambda: monkeypatch.setattr(registry, "save", save), lambda: None
    )
    assert [event for event in events if "training on" not in event] == [str(full), "0001"]


def test_watching_reads_again_a_file_that_may_be_read_now(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its mode changes, and with it the time of change."""
    late = _write(results, _scenario(9), stamp="20260102_000000")
    reports: list[int] = []
    monkeypatch.setattr("wattframe.retraining.pipeline._succeeds", lambda *_: reports.append(1) or True)
    _watched(_options(results), monkeypatch, lambda: late.chmod(0o600))
    assert len(reports) == 2


@pytest.mark.long
def test_latest_always_loads_whenever_a_retraining_is_killed(results: Path) -> None:
    """Killed 20 times at moments spread over its whole course; the benchmark does it 100 times."""
    models = results.parent / "models"
    retrain(_options(results), _quiet)
    began = time.monotonic()
    command = [sys.executable, str(ROOT / "retrain_models.py"), "--results-dir", str(results)]
    command += ["--models-dir", str(models)]
    subprocess.run(command, check=True, capture_output=True)
    whole = time.monotonic() - began
    for index in range(20):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(whole * (0.5 + 0.5 * index / 20))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        registry.load(models, "lab-1")
