"""Predictions beside measurements: made in a process of their own, whenever results or models changed.

Neither a scrape nor a look at the folder waits for them: they come a few seconds after the measurements, and
those of a file that changed vanish until they are made again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from advisor.regression.predictions import Prediction
from advisor.regression.registry import Manifest, latest_manifests
from advisor.regression.service import PredictionAnswer, Stamp, models_stamp, predict_files
from advisor.results import Run
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


class Predictor:
    """Keeps predictions for the runs it is told of.

    Runs are asked for with `want`. Work is done in a thread of its own, one request at a time, for those runs
    alone whose predictions are missing. What failed is tried again, each run alone, after ``retry_seconds``
    and then ever more seldom: a child that was killed once, or one run that kills it, keeps no other run
    without predictions.
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
        self._wanted: Mapping[str, Run] = {}
        self._predicted: dict[str, Predicted] = {}
        self._failures: dict[str, _Failure] = {}
        self._stamp: Stamp = ()
        self._model_problems: Sequence[str] = ()
        self._wake = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._serve, name="predictions", daemon=True)
        self._told: set[str] = set()
        self.manifests: Sequence[Manifest] = ()
        self.problems = 0
        """Files and models that could not be used the last time."""

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the request that is being worked on; not waited for."""
        with self._wake:
            self._open = False
            self._wake.notify()

    def want(self, runs: Mapping[str, Run]) -> None:
        """Ask for these runs, and forget all others; looks at the models as well.

        Raises
        ------
        OSError
            The models folder is there and cannot be listed. Nothing is changed then.
        """
        stamp = models_stamp(self._models_dir)
        if stamp != self._stamp or self._model_problems:
            # not under the lock: a file that hangs must not hold up `close`
            manifests, problems = latest_manifests(self._models_dir)
            with self._wake:
                if stamp != self._stamp:
                    self._predicted, self._failures = {}, {}
                self._stamp, self.manifests, self._model_problems = stamp, manifests, problems
            self._tell(problems)
        with self._wake:
            self._wanted = dict(runs) if stamp else {}
            self._predicted = {i: p for i, p in self._predicted.items() if self._wanted.get(i) is p.run}
            self._failures = {i: f for i, f in self._failures.items() if self._wanted.get(i) is f.run}
            self._wake.notify()

    def of(self, run: Run) -> Predicted | None:
        """The predictions for this very run, None when there are none (yet)."""
        predicted = self._predicted.get(run.run_id)
        return predicted if predicted is not None and predicted.run is run else None

    def _serve(self) -> None:
        while (batch := self._next()) is not None:
            stamp, runs = batch
            try:
                predicted = self._ask(runs)
            except Exception as exc:  # a thread that ends would end all predictions
                self._tell([f"{exc}"])
                predicted = []
            with self._wake:
                if stamp == self._stamp:
                    self._note(runs, predicted)

    def _note(self, runs: Sequence[Run], predicted: Sequence[Predicted]) -> None:
        """Keep what was answered; runs without an answer are tried again later."""
        for run in runs:
            former = self._failures.pop(run.run_id, None)
            if self._wanted.get(run.run_id) is run and not predicted:
                count = 1 if former is None else former.count + 1
                wait = min(self._retry_seconds * 2.0 ** (count - 1), _MOST_RETRY_SECONDS)
                self._failures[run.run_id] = _Failure(run, count, time.monotonic() + wait)
        self._predicted |= {p.run.run_id: p for p in predicted if self._wanted.get(p.run.run_id) is p.run}

    def _next(self) -> tuple[Stamp, list[Run]] | None:
        """The runs to ask for next, the newest first: those that failed alone, the others together."""
        with self._wake:
            while self._open:
                missing = [run for run_id, run in self._wanted.items() if run_id not in self._predicted]
                fresh = [run for run in missing if run.run_id not in self._failures]
                if fresh:
                    return self._stamp, fresh[-_FILES_AT_ONCE:]
                now = time.monotonic()
                again = min(self._failures.values(), key=lambda failure: failure.again_at, default=None)
                if again is not None and again.again_at <= now:
                    return self._stamp, [again.run]
                self._wake.wait(None if again is None else again.again_at - now)
            return None

    def _ask(self, runs: Sequence[Run]) -> list[Predicted]:
        files = [self._results_dir / f"{run.run_id}.json" for run in runs]
        answer = self._predict(self._models_dir, files)
        self._tell(answer.problems)
        by_run: dict[str, list[Prediction]] = {run.run_id: [] for run in runs}
        for prediction in answer.predictions:
            by_run.get(prediction.run_id, []).append(prediction)
        return [Predicted(run, _matching(run, by_run[run.run_id])) for run in runs]

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
