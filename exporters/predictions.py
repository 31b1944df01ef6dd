"""Predictions beside measurements: made in a process of their own, whenever results or models changed.

Neither a scrape nor a look at the folder waits for them. A look takes what was answered since the one
before, forgets what is wanted no more, and sends the next request on its way, one at a time. So predictions
come a few seconds after the measurements, and those of a file that changed vanish until they are made again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from advisor.regression.predictions import Prediction
from advisor.regression.registry import Manifest, latest_manifests
from advisor.regression.service import PredictionAnswer, Stamp, models_stamp, predict_files
from advisor.results import Run
from exporters.runtime.collector import Errand
from exporters.runtime.logs import logger

_MOST_TOLD = 1000
_FILES_AT_ONCE = 100
_RETRY_SECONDS = 5.0
_MOST_RETRY_SECONDS = 600.0
Predict = Callable[[Path, Sequence[Path]], PredictionAnswer]


class Predicted(Struct, frozen=True):
    """What is known of one run: a prediction for each of its scenarios, in order."""

    run: Run
    scenarios: tuple[Prediction, ...]


class _Failure(Struct, frozen=True):
    """A run that could not be predicted, how often, and when it is tried again (monotonic seconds)."""

    run: Run
    count: int
    again_at: float


class _Request(Struct, frozen=True):
    """Runs that the models of one moment are asked about."""

    runs: Sequence[Run]
    stamp: Stamp
    errand: Errand[PredictionAnswer]


class Predictor:
    """Keeps predictions for the runs that are wanted, and asks for those alone that are missing.

    What failed is tried again, each run alone, after ``retry_seconds`` and then ever more seldom: a child
    that was killed once, or one run that kills it, keeps no other run without predictions.
    """

    def __init__(
        self,
        models_dir: Path,
        results_dir: Path,
        predict: Predict = predict_files,
        *,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self._models_dir = models_dir
        self._results_dir = results_dir
        self._predict = predict
        self._retry_seconds = retry_seconds
        self._predicted: dict[str, Predicted] = {}
        self._failures: dict[str, _Failure] = {}
        self._request: _Request | None = None
        self._stamp: Stamp = ()
        self._model_problems: Sequence[str] = ()
        self._told: set[str] = set()
        self.manifests: Sequence[Manifest] = ()
        self.problems = 0
        """Files and models that could not be used the last time."""

    def want(self, runs: Mapping[str, Run]) -> None:
        """Ask for these runs, and forget all others; looks at the models as well.

        Raises
        ------
        OSError
            The models folder is there and cannot be listed. Nothing is changed then.
        """
        stamp = models_stamp(self._models_dir)
        if stamp != self._stamp or self._model_problems:
            manifests, problems = latest_manifests(self._models_dir)
            if stamp != self._stamp:
                self._predicted, self._failures = {}, {}
            self._stamp, self.manifests, self._model_problems = stamp, manifests, problems
            self._tell(problems)
        wanted = runs if stamp else {}
        if self._request is not None and (answer := self._request.errand.outcome) is not None:
            self._take(self._request, answer)
            self._request = None
        self._predicted = {i: p for i, p in self._predicted.items() if wanted.get(i) is p.run}
        self._failures = {i: f for i, f in self._failures.items() if wanted.get(i) is f.run}
        if self._request is None and (batch := self._next(wanted)):
            files = [self._results_dir / f"{run.run_id}.json" for run in batch]
            errand = Errand("predictions", lambda: self._predict(self._models_dir, files))
            self._request = _Request(batch, stamp, errand)

    def of(self, run: Run) -> Predicted | None:
        """The predictions for this very run, None when there are none (yet)."""
        predicted = self._predicted.get(run.run_id)
        return predicted if predicted is not None and predicted.run is run else None

    def _take(self, request: _Request, answer: PredictionAnswer | Exception) -> None:
        """Keep what was answered; runs without an answer are tried again later."""
        self._tell([f"{answer}"] if isinstance(answer, Exception) else answer.problems)
        if request.stamp != self._stamp:
            return  # by models that are no longer in service
        by_run: dict[str, list[Prediction]] = {run.run_id: [] for run in request.runs}
        for prediction in () if isinstance(answer, Exception) else answer.predictions:
            by_run.get(prediction.run_id, []).append(prediction)
        for run in request.runs:
            former = self._failures.pop(run.run_id, None)
            if isinstance(answer, Exception):
                count = 1 if former is None else former.count + 1
                wait = min(self._retry_seconds * 2.0 ** (count - 1), _MOST_RETRY_SECONDS)
                self._failures[run.run_id] = _Failure(run, count, time.monotonic() + wait)
            else:
                self._predicted[run.run_id] = Predicted(run, _matching(run, by_run[run.run_id]))

    def _next(self, wanted: Mapping[str, Run]) -> list[Run]:
        """The runs to ask for next: those that failed alone, the others together, the newest first."""
        missing = [run for run_id, run in wanted.items() if run_id not in self._predicted]
        fresh = [run for run in missing if run.run_id not in self._failures]
        again = min(self._failures.values(), key=lambda failure: failure.again_at, default=None)
        if not fresh and again is not None and again.again_at <= time.monotonic():
            return [again.run]
        return fresh[-_FILES_AT_ONCE:]

    def _tell(self, problems: Sequence[str]) -> None:
        self.problems = len(problems)
        for line in sorted(set(problems) - self._told):
            logger().warning("prediction problem", reason=line)
        kept = self._told if len(self._told) < _MOST_TOLD else set()
        self._told = kept | set(problems)


def _matching(run: Run, predictions: Sequence[Prediction]) -> tuple[Prediction, ...]:
    """The predictions if they are of this run's scenarios; the file may have changed in between."""
    if [p.scenario for p in predictions] != [s.name for s in run.scenarios]:
        return ()
    return tuple(predictions)
