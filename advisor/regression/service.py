"""Predictions for result files, made in a process of their own.

A process that serves scrapes must not load scikit-learn. It calls `predict_files`, which runs
``python -m advisor.regression.service``: a `PredictionRequest` as JSON on stdin, a `PredictionAnswer` as JSON
on stdout, nothing else there. What is published beside the predictions (version, error, age of the models)
comes from `advisor.regression.registry.latest_manifests`, which reads manifests only. Neither imports numpy.

Call `predict_files` when result files or models changed (`models_stamp` tells), in a worker thread::

    answer = predict_files("models", ["test_results/test_results_20260101_120000.json"])
    for p in answer.predictions:
        p.run_id, p.scenario, p.mean_power_watts, p.total_energy_joules, p.hardware_known, p.tier
    answer.problems      # files and models that could not be used, one line each

An `advisor.regression.predictions.Estimate` has ``mean``, ``low``, ``high``; an estimate, or a bound of it,
is None where nothing is known. Several scenarios of one name in one run have one prediction each, in order.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

import msgspec
from msgspec import Struct

from advisor.common.exit import guarded
from advisor.errors import InputError, WorkError
from advisor.regression import registry
from advisor.regression.predictions import Prediction
from advisor.results import Run, read_run

Stamp = tuple[tuple[str, str, int, int, int], ...]


class PredictionRequest(Struct, frozen=True, kw_only=True):
    """What is to be predicted, each run by the models of its own machine."""

    models_dir: str
    files: list[str]
    confidence: float = 0.9


class PredictionAnswer(Struct, frozen=True, kw_only=True):
    """Predictions in the order of the files and their scenarios, and what could not be used."""

    predictions: list[Prediction]
    problems: list[str] = []


def models_stamp(models_dir: str | PathLike[str]) -> Stamp:
    """Changes when another model comes into service: hardware, version and time of each ``latest``.

    A folder of models may be put in the place of another, links and times and all: their manifests differ.
    """
    links = sorted(Path(models_dir).glob(f"*/{registry.LATEST}"))
    return tuple(
        (link.parent.name, str(link.readlink()), link.lstat().st_mtime_ns, *_manifest_stamp(link))
        for link in links
        if link.is_symlink()
    )


def _manifest_stamp(version: Path) -> tuple[int, int]:
    try:
        info = (version / registry.MANIFEST_FILE).stat()
    except OSError:  # whoever reads it says so
        return 0, 0
    return info.st_ino, info.st_mtime_ns


def predict_files(
    models_dir: str | PathLike[str],
    files: Sequence[str | PathLike[str]],
    *,
    confidence: float = 0.9,
    timeout_seconds: float = 120.0,
) -> PredictionAnswer:
    """Predictions for the scenarios of result files, made by a child process.

    A file or model that cannot be used is a line in ``problems``; the others are predicted.

    Raises
    ------
    WorkError
        The child failed or took longer than ``timeout_seconds``.
    """
    request = PredictionRequest(
        models_dir=str(Path(models_dir).absolute()),
        files=[str(Path(file).absolute()) for file in files],
        confidence=confidence,
    )
    try:
        done = subprocess.run(
            [sys.executable, "-m", "advisor.regression.service"],
            input=msgspec.json.encode(request),
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
            # where this package lies, whatever the caller's own folder
            cwd=Path(__file__).resolve().parents[2],
        )
    except subprocess.TimeoutExpired as exc:
        raise WorkError(f"predictions took longer than {timeout_seconds:g} s") from exc
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise WorkError(f"predictions failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
    try:
        return msgspec.json.decode(done.stdout, type=PredictionAnswer)
    except msgspec.DecodeError as exc:
        raise WorkError(f"predictions failed: {exc}") from exc


def predict_runs(
    models_dir: str | PathLike[str],
    runs: Sequence[Run],
    *,
    measured: Sequence[Run] = (),
    hardware_id: str | None = None,
    confidence: float = 0.9,
    loaded: dict[str, registry.Loaded] | None = None,
) -> list[Prediction]:
    """Predictions for every scenario of ``runs``, in this process (imports scikit-learn).

    Runs that were measured - in ``runs`` themselves or in ``measured`` - correct the predictions of others of
    the same video or machine, as far as they are valid; none says anything of itself. ``loaded`` keeps models
    between calls.

    Raises
    ------
    ModelError
        There is no model, or it cannot be used.
    """
    from advisor.regression.features import case

    measured_cases = [
        case(s, run)
        for run in (*runs, *measured)
        for s in run.scenarios
        if s.type != "baseline" and not s.validity
    ]
    measured_cases = [c for c in measured_cases if "mean_power_watts" in c.targets]
    loaded = {} if loaded is None else loaded
    homes = [
        hardware_id or registry.choose_hardware(models_dir, run.host.hardware_id if run.host else None)
        for run in runs
    ]
    by_home: dict[str, Iterator[Prediction]] = {}
    for home in dict.fromkeys(homes):
        if home not in loaded:
            loaded[home] = registry.load(models_dir, home)
        trained, _ = loaded[home]
        # all at once, so that advice chooses among all
        cases = [case(s, run) for run, h in zip(runs, homes, strict=True) if h == home for s in run.scenarios]
        tier = [c for c in measured_cases if c.tier == trained.tier]
        by_home[home] = iter(trained.predict(cases, tier, confidence=confidence))
    pairs = [(s, next(by_home[h])) for run, h in zip(runs, homes, strict=True) for s in run.scenarios]
    return [_nothing(p) if s.type == "baseline" else p for s, p in pairs]


def _nothing(prediction: Prediction) -> Prediction:
    return msgspec.structs.replace(
        prediction,
        mean_power_watts=None,
        total_energy_joules=None,
        encode_speed_ratio=None,
        calibrate_with=None,
        notes=("a baseline encodes nothing",),
    )


def answer(request: PredictionRequest) -> PredictionAnswer:
    """What the child process does with one request."""
    problems: list[str] = []
    predictions: list[Prediction] = []
    loaded: dict[str, registry.Loaded] = {}
    for file in request.files:
        # a ModelError is an InputError too
        try:
            predictions += predict_runs(
                request.models_dir, [read_run(file)], confidence=request.confidence, loaded=loaded
            )
        except InputError as exc:
            problems.append(str(exc))
    return PredictionAnswer(predictions=predictions, problems=list(dict.fromkeys(problems)))


def main() -> int:
    """Read one `PredictionRequest` from stdin, write one `PredictionAnswer` to stdout."""
    try:
        request = msgspec.json.decode(sys.stdin.buffer.read(), type=PredictionRequest)
    except msgspec.DecodeError as exc:
        raise InputError(f"expected a request: {exc}", subject="stdin") from exc
    sys.stdout.buffer.write(msgspec.json.encode(answer(request)) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(guarded("advisor.regression.service", main))
