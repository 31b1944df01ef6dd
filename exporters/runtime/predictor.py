"""Predictions beside measurements: made in a process of their own, whenever results or models changed.

Neither a scrape nor a refresh waits for them: they come a few seconds after the measurements, and those of a
file that changed vanish until they are made again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from advisor.errors import WattframeError
from advisor.regression.predictions import Prediction
from advisor.regression.registry import Manifest, latest_manifests
from advisor.regression.service import Answer, Stamp, models_stamp, predict_files
from advisor.results import Run
from exporters.runtime.logs import logger

__all__ = ["Predicted", "Predictor"]

_MOST_TOLD = 1000
_FILES_AT_ONCE = 100
Predict = Callable[[Path, Sequence[Path]], Answer]


class Predicted(Struct, frozen=True):
    """What is known of one run: a prediction for each of its scenarios, in order."""

    run: Run
    scenarios: tuple[Prediction, ...]


class Predictor:
    """Keeps predictions for the runs it is told of.

    Runs are asked for with `want`; `changed` tells once that something new is known. Work is done in a thread
    of its own, one request at a time, for those runs alone whose predictions are missing.
    """

    def __init__(self, models_dir: Path, results_dir: Path, predict: Predict = predict_files) -> None:
        self._models_dir = models_dir
        self._results_dir = results_dir
        self._predict = predict
        self._wanted: Mapping[str, Run] = {}
        self._known: dict[str, Predicted] = {}
        self._stamp: Stamp = ()
        self._wake = threading.Condition()
        self._open = True
        self._news = False
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
        """Ask for these runs, and forget all others; looks at the models as well."""
        stamp = models_stamp(self._models_dir)
        with self._wake:
            if stamp != self._stamp:
                self._stamp, self._known, self._news = stamp, {}, True
                self.manifests, problems = latest_manifests(self._models_dir)
                self._tell(problems)
            self._wanted = dict(runs) if stamp else {}
            current = {i: p for i, p in self._known.items() if self._wanted.get(i) is p.run}
            self._news = self._news or len(current) != len(self._known)
            self._known = current
            self._wake.notify()

    def changed(self) -> bool:
        """Whether there is news since the last call."""
        with self._wake:
            news, self._news = self._news, False
            return news

    def known(self, run: Run) -> Predicted | None:
        """The predictions for this very run, None when there are none (yet)."""
        found = self._known.get(run.run_id)
        return found if found is not None and found.run is run else None

    def _serve(self) -> None:
        while (batch := self._next()) is not None:
            stamp, runs = batch
            found = self._ask(runs)
            with self._wake:
                if stamp == self._stamp:
                    self._known |= {p.run.run_id: p for p in found if self._wanted.get(p.run.run_id) is p.run}
                    self._news = True

    def _next(self) -> tuple[Stamp, list[Run]] | None:
        with self._wake:
            while True:
                if not self._open:
                    return None
                missing = [run for run_id, run in self._wanted.items() if run_id not in self._known]
                if missing:
                    return self._stamp, missing[-_FILES_AT_ONCE:]  # the newest first
                self._wake.wait()

    def _ask(self, runs: Sequence[Run]) -> list[Predicted]:
        files = [self._results_dir / f"{run.run_id}.json" for run in runs]
        try:
            answer = self._predict(self._models_dir, files)
        except WattframeError as exc:
            answer = Answer(predictions=[], problems=[str(exc)])
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
