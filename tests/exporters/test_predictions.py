"""Predictions beside measurements: asked for once, off the scrape path, forgotten when they are old."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from advisor.errors import WorkError
from advisor.regression.predictions import Estimate, Prediction
from advisor.regression.service import PredictionAnswer, Stamp
from advisor.results import Run, read_run
from advisor.results.folder import ResultFolder
from exporters import predictions
from exporters.predictions import Predictor
from exporters.results import ResultsCollector
from exporters.runtime.page import PageBuilder
from tests.support.exporter_client import page_of
from tests.support.model_folder import put_model
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


def put_run(folder: Path, run_id: str, *names: str) -> Run:
    path = folder / f"{run_id}.json"
    path.write_text(json.dumps({"schema_version": 1, "scenarios": [{"name": name} for name in names]}))
    return read_run(path)


def prediction(run_id: str, name: str, watts: float) -> Prediction:
    return Prediction(
        run_id=run_id,
        scenario=name,
        mean_power_watts=Estimate(watts, watts - 5, watts + 5),
        total_energy_joules=Estimate(watts * 60, None, None),
        confidence=0.9,
        hardware_known=True,
        encoder_known=True,
        tier="measured",
    )


class Oracle:
    """Stands for the child process: 100 W for the first scenario of a file, 101 W for the next."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.answer: Callable[[Sequence[Path]], PredictionAnswer] | None = None

    def __call__(self, models_dir: Path, files: Sequence[Path]) -> PredictionAnswer:
        self.asked.append([file.stem for file in files])
        if self.answer is not None:
            return self.answer(files)
        runs = [read_run(file) for file in files]
        found = [prediction(r.run_id, s.name, 100.0 + i) for r in runs for i, s in enumerate(r.scenarios)]
        return PredictionAnswer(predictions=found)


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture
def predictor(tmp_path: Path, oracle: Oracle) -> Predictor:
    (tmp_path / "results").mkdir()
    return Predictor(tmp_path / "models", tmp_path / "results", oracle)


def look_until(predictor: Predictor, wanted: dict[str, Run], condition: Callable[[], object]) -> None:
    """Look as the exporter does, again and again."""
    wait_until(lambda: predictor.want(wanted) or condition())


def test_without_a_model_nobody_is_asked(tmp_path: Path, predictor: Predictor, oracle: Oracle) -> None:
    run = put_run(tmp_path / "results", "test_results_a", "x")
    predictor.want({run.run_id: run})
    time.sleep(0.05)
    assert (oracle.asked, predictor.of(run)) == ([], None)


def test_predictions_come_later_and_once(tmp_path: Path, predictor: Predictor, oracle: Oracle) -> None:
    put_model(tmp_path / "models")
    run = put_run(tmp_path / "results", "test_results_a", "x", "y")
    for _ in range(5):
        look_until(predictor, {run.run_id: run}, lambda: predictor.of(run))
    found = predictor.of(run)
    assert found is not None
    assert [p.mean_power_watts for p in found.scenarios] == [
        Estimate(100.0, 95.0, 105.0),
        Estimate(101.0, 96.0, 106.0),
    ]
    assert oracle.asked == [["test_results_a"]]


def test_a_machine_without_threads_has_its_predictions_later(
    tmp_path: Path, oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its measurements now: a look does not fail."""
    predictor = Predictor(tmp_path / "models", tmp_path, oracle, retry_seconds=0.01)
    put_model(tmp_path / "models")
    run = put_run(tmp_path, "test_results_a", "x")

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", refused)
        look_until(predictor, {run.run_id: run}, lambda: predictor.problems)
    look_until(predictor, {run.run_id: run}, lambda: predictor.of(run))


def test_a_changed_file_is_asked_again_and_alone(
    tmp_path: Path, predictor: Predictor, oracle: Oracle
) -> None:
    put_model(tmp_path / "models")
    a, b = (put_run(tmp_path / "results", f"test_results_{n}", "x") for n in "ab")
    look_until(
        predictor, {"test_results_a": a, "test_results_b": b}, lambda: predictor.of(a) and predictor.of(b)
    )
    again = put_run(tmp_path / "results", "test_results_a", "x", "z")
    wanted = {"test_results_a": again, "test_results_b": b}
    predictor.want(wanted)
    assert predictor.of(a) is None
    look_until(predictor, wanted, lambda: predictor.of(again))
    assert oracle.asked[1:] == [["test_results_a"]]


def test_a_new_model_makes_all_predictions_anew(tmp_path: Path, predictor: Predictor, oracle: Oracle) -> None:
    put_model(tmp_path / "models")
    run = put_run(tmp_path / "results", "test_results_a", "x")
    look_until(predictor, {run.run_id: run}, lambda: predictor.of(run))
    put_model(tmp_path / "models", version="0002")
    predictor.want({run.run_id: run})
    assert [m.version for m in predictor.manifests] == ["0002"]
    look_until(predictor, {run.run_id: run}, lambda: len(oracle.asked) == 2 and predictor.of(run))


def test_what_is_of_another_file_than_the_one_read_is_not_taken(
    tmp_path: Path, predictor: Predictor, oracle: Oracle
) -> None:
    put_model(tmp_path / "models")
    oracle.answer = lambda files: PredictionAnswer(predictions=[prediction(files[0].stem, "other", 5.0)])
    run = put_run(tmp_path / "results", "test_results_a", "x")
    look_until(predictor, {run.run_id: run}, lambda: predictor.of(run))
    found = predictor.of(run)
    assert found is not None
    assert found.scenarios == ()


def test_a_child_that_was_killed_once_is_asked_again(tmp_path: Path, oracle: Oracle) -> None:
    """Together at first, then each run alone: one that kills it every time keeps nobody else without."""
    put_model(tmp_path / "models")
    (tmp_path / "results").mkdir()
    a, b = (put_run(tmp_path / "results", f"test_results_{n}", "x") for n in "ab")

    def fail_on_a(files: Sequence[Path]) -> PredictionAnswer:
        if any(file.stem == "test_results_a" for file in files):
            raise WorkError("predictions failed: out of memory")
        return PredictionAnswer(predictions=[prediction(file.stem, "x", 100.0) for file in files])

    oracle.answer = fail_on_a
    predictor = Predictor(tmp_path / "models", tmp_path / "results", oracle, retry_seconds=0.01)
    wanted = {"test_results_a": a, "test_results_b": b}
    look_until(predictor, wanted, lambda: predictor.of(b))
    assert predictor.of(a) is None
    oracle.answer = None
    look_until(predictor, wanted, lambda: predictor.of(a))


def test_what_failed_is_not_asked_at_every_look(tmp_path: Path, predictor: Predictor, oracle: Oracle) -> None:
    """It is tried again after some seconds, and then ever more seldom."""
    put_model(tmp_path / "models")

    def fail(files: Sequence[Path]) -> PredictionAnswer:
        raise OSError(24, "Too many open files")

    oracle.answer = fail
    run = put_run(tmp_path / "results", "test_results_a", "x")
    look_until(predictor, {run.run_id: run}, lambda: predictor.problems)
    for _ in range(3):
        predictor.want({run.run_id: run})
        time.sleep(0.02)
    assert len(oracle.asked) == 1


def test_a_models_folder_that_cannot_be_listed_changes_nothing(
    tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is the caller's, and what was asked for before is still there afterwards."""
    put_model(tmp_path / "models")
    run = put_run(tmp_path / "results", "test_results_a", "x")
    look_until(predictor, {run.run_id: run}, lambda: predictor.of(run))

    def refuse(folder: Path) -> Stamp:
        raise PermissionError(13, "Permission denied", str(folder))

    with monkeypatch.context() as broken:
        broken.setattr(predictions, "models_stamp", refuse)
        with pytest.raises(PermissionError):
            predictor.want({})
    assert predictor.of(run) is not None


def test_a_manifest_that_could_not_be_read_for_a_moment_is_read_again(
    tmp_path: Path, predictor: Predictor
) -> None:
    put_model(tmp_path / "models")
    manifest = tmp_path / "models" / "intel-1" / "0001" / "manifest.json"
    text = manifest.read_bytes()
    manifest.write_bytes(b"{")
    predictor.want({})
    assert (predictor.manifests, predictor.problems) == ([], 1)
    manifest.write_bytes(text)
    predictor.want({})
    assert [m.version for m in predictor.manifests] == ["0001"]
    assert predictor.problems == 0


def test_a_run_that_is_gone_is_forgotten(tmp_path: Path, predictor: Predictor) -> None:
    put_model(tmp_path / "models")
    run = put_run(tmp_path / "results", "test_results_a", "x")
    look_until(predictor, {run.run_id: run}, lambda: predictor.of(run))
    predictor.want({})
    assert predictor.of(run) is None


def test_the_results_exporter_shows_predictions_and_models(tmp_path: Path, predictor: Predictor) -> None:
    put_model(tmp_path / "models")
    put_run(tmp_path / "results", "test_results_a", "x")
    collector = ResultsCollector(ResultFolder(tmp_path / "results", runs=10, max_scenarios=100), predictor)
    builder = PageBuilder()
    wait_until(lambda: b"predicted" in page_of(collector, builder))
    shown = page_of(collector, builder).decode()
    labels = '{run_id="test_results_a",scenario="x",tier="measured"}'
    for line in (
        f"results_scenario_predicted_power_watts{labels} 100.0",
        f"results_scenario_prediction_low_watts{labels} 95.0",
        f"results_scenario_prediction_high_watts{labels} 105.0",
        f"results_scenario_predicted_energy_joules{labels} 6000.0",
        'results_model_info{hardware="intel-1",model="forest+ridge",version="0001"} 1.0',
        'results_model_error_ratio{hardware="intel-1",target="mean_power_watts"} 0.05',
        'results_model_trained_timestamp_seconds{hardware="intel-1"} 1.7723232e+09',
        "results_prediction_problems 0.0",
    ):
        assert f"{line}\n" in shown


def test_of_repeats_the_published_ones_prediction_is_shown(tmp_path: Path, predictor: Predictor) -> None:
    """Energies 30, 10, 20: the third repeat is published, and the third prediction is its own."""
    put_model(tmp_path / "models")
    scenarios = [{"name": "x", "power": {"total_energy_joules": joules}} for joules in (30.0, 10.0, 20.0)]
    document = {"schema_version": 1, "scenarios": scenarios}
    (tmp_path / "results" / "test_results_a.json").write_text(json.dumps(document))
    collector = ResultsCollector(ResultFolder(tmp_path / "results", runs=10, max_scenarios=100), predictor)
    wait_until(lambda: b"predicted" in page_of(collector))
    page = page_of(collector)
    assert page.count(b"results_scenario_predicted_power_watts{") == 1
    assert b"} 102.0\n" in page
