"""A trained model, and from it predictions with intervals."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from advisor.common.statistics import MEASURED_NOISE_RATIO
from advisor.regression.feature_matrix import FeatureMatrix
from advisor.regression.features import Case
from advisor.regression.interval_bins import (
    IntervalBin,
    bin_name,
    check_level,
    normal_half_width,
    student_half_width,
)
from advisor.regression.predictions import Estimate, Prediction, ScenarioRef
from advisor.regression.residual_kriging import ResidualAt, SharedVariances, corrected, remaining

Floats = NDArray[np.float64]
_LEAST_HALF_WIDTH = 0.002
"""No meter repeats itself better, whatever many runs that agree say."""
_KIND = math.log(2)
"""Machines whose power differs by a factor of more are of another kind."""
_SETTLED_SECONDS = 20.0
"""How long a calibration run should last: by then a second of ramping up is lost in its mean."""
_POWER, _ENERGY, _SPEED = "mean_power_watts", "energy_joules_per_video_second", "encode_speed_ratio"


class TargetModel(Struct, kw_only=True):
    """All that is learned of one target."""

    predictor: Any
    residuals: Any = None
    """Shape (n,): held-out ``log(measured) - log(predicted)`` of the rows ``predictor.validated_``."""
    difficulty: Any = None
    """Predicts the absolute log error of a row; None where the rows are too few to tell."""
    typical_error: float = 0.0
    variation: float = 0.0
    """Variance of the target's logarithm over training: what a whole range of a setting may change."""
    shared: SharedVariances = SharedVariances()
    videos: dict[str, dict[str, tuple[float, float]]] = {}
    """Of each video that training knows, by encoder: the correction, and the variance that it explains."""
    shared_of_known_videos: SharedVariances = SharedVariances()
    bins: dict[str, IntervalBin] = {}
    """What was held out, by the situations of `advisor.regression.interval_bins`."""

    def known_video(self, c: Case) -> tuple[float, float] | None:
        """What training knows of the case's video: the correction, and the variance that it explains."""
        if c.video not in self.videos or "familiar" not in self.bins:
            return None
        return self.videos[c.video].get(c.encoder, (0.0, 0.0))

    def half_width(self, situation: str, variance: float, confidence: float) -> float | None:
        """Half-width of the prediction interval in logarithms; None where no error was ever held out."""
        scores = self.bins.get(situation) or self.bins.get("plain")
        half = scores.half_width(variance, confidence) if scores else None
        if half is None:
            # few runs that agree better than repeats do are luck
            errors = np.maximum(np.abs(self.residuals), MEASURED_NOISE_RATIO)
            half = student_half_width(errors, confidence, independent=scores.independent if scores else None)
            if half is not None and self.typical_error:
                # Student's width is that of the typical case; this one may be more or less certain
                half *= max(math.sqrt(variance) / self.typical_error, 1.0)
        return None if half is None else max(half, _LEAST_HALF_WIDTH)


def variances(difficulty: Any, typical_error: float, x: Floats) -> Floats:
    """The variance of each row's log error; the typical one where rows were too few to tell them apart."""
    typical = max(typical_error, 1e-4)
    if difficulty is None:
        return np.full(len(x), typical**2)
    # the standard deviation of a normal error is 1.2533 times its mean absolute value
    return np.asarray((1.2533 * np.maximum(difficulty.predict(x), 0.1 * typical)) ** 2)


class _Predicted(Struct, frozen=True):
    """One case and one target before any correction."""

    case: Case
    log: float
    variance: float
    range: tuple[float, float]
    """On a machine never seen: the lowest and the highest over those that are known."""


class _Measured(Struct):
    """Measured runs, and how far the model is off for each, by what they tell something of."""

    by_video: dict[str | None, list[tuple[Case, ResidualAt]]]
    by_machine: dict[str | None, list[tuple[Case, ResidualAt]]]

    def about(self, c: Case, machine: str | None) -> list[ResidualAt]:
        """Runs on the same new machine, or of the same video; never of the case itself."""
        pairs = self.by_machine.get(machine, []) if machine else []
        if c.video is not None:
            pairs = pairs + [
                (m, at) for m, at in self.by_video.get(c.video, []) if not machine or at.machine != machine
            ]
        return [at for m, at in pairs if m is not c and (m.run_id, m.scenario) != (c.run_id, c.scenario)]


def _known_as(name: str | None, known: Collection[str | None]) -> str | None:
    """What is known as all of a video: of one that does not lie here, a plan knows the name alone."""
    words = re.compile(rf"{re.escape(name or '')}( [0-9]+x[0-9]+)?( [0-9]+ s)?")
    alike = [video for video in known if video and words.fullmatch(video)]
    return alike[0] if name and len(alike) == 1 else name


class TrainedModel(Struct, kw_only=True):
    """How cases become rows, and one `TargetModel` a target."""

    matrix: FeatureMatrix
    targets: dict[str, TargetModel]
    tier: str | None
    grouped_by: str
    rows: int
    cases: int
    videos: frozenset[str] | None = None
    """The inputs of training, where they are too few to tell how far one may be from another; else None."""
    notes: list[str] = []
    training: list[Case] = []
    """The merged cases that it was trained on; not stored."""

    def predict(
        self, cases: Sequence[Case], measured: Sequence[Case] = (), *, confidence: float = 0.9
    ) -> list[Prediction]:
        """Predictions for ``cases``, corrected by what ``measured`` runs tell of their videos and machines.

        A measured run never tells anything of itself. A machine that neither training nor a measured run
        knows, and an encoder that training does not know, get no figures: they are flagged.
        """
        check_level(confidence)
        if not cases:
            return []
        met = {c.video for c in measured}.union(self.videos or (), *(t.videos for t in self.targets.values()))
        cases = [c if c.video in met else replace(c, video=_known_as(c.video, met)) for c in cases]
        measured = [c for c in measured if c.encoder in self.matrix.encoders]
        calibrated = {c.hardware for c in measured if c.hardware not in self.matrix.hardware}
        with threadpool_limits(limits=1):
            predicted = self._predicted([*cases, *measured])
        estimates = {
            name: self._estimates(name, rows[: len(cases)], rows[len(cases) :], confidence)
            for name, rows in predicted.items()
        }
        other_kinds = self._of_another_kind(predicted.get(_POWER, [])[len(cases) :])
        best = self._best_calibrations(cases, predicted, calibrated)
        predictions = []
        for i, c in enumerate(cases):
            of_case = {name: some[i] for name, some in estimates.items()}
            notes = self._notes(c, c.hardware in calibrated, best.get(c.hardware))
            if c.hardware in other_kinds:
                of_case = {name: e and Estimate(e.mean, None, None) for name, e in of_case.items()}
                notes.append(f"machine {c.hardware} is unlike those in training: no bounds")
            predictions.append(self._prediction(c, of_case, best.get(c.hardware), confidence, notes))
        return predictions

    def _predicted(self, cases: Sequence[Case]) -> dict[str, list[_Predicted]]:
        """Every target of every case, encoded and asked for once; on machines known and unknown."""
        x = self.matrix.rows(cases)
        strange = [i for i, c in enumerate(cases) if c.hardware not in self.matrix.hardware]
        logs = self._logs(x)
        lows, highs = {n: v.copy() for n, v in logs.items()}, {n: v.copy() for n, v in logs.items()}
        if strange:
            others = [cases[i] for i in strange]
            each = [self._logs(self.matrix.rows(others, hardware=h)) for h in self.matrix.hardware]
            for name in self.targets:
                table = np.array([of_machine[name] for of_machine in each])
                logs[name][strange] = table.mean(axis=0)
                lows[name][strange], highs[name][strange] = table.min(axis=0), table.max(axis=0)
        return {
            name: [
                _Predicted(c, float(log), float(variance), (float(low), float(high)))
                for c, log, variance, low, high in zip(
                    cases,
                    logs[name],
                    variances(model.difficulty, model.typical_error, x),
                    lows[name],
                    highs[name],
                    strict=True,
                )
            ]
            for name, model in self.targets.items()
        }

    def _logs(self, x: Floats) -> dict[str, Floats]:
        return {name: model.predictor.predict_log(x) for name, model in self.targets.items()}

    def _of_another_kind(self, measured: Sequence[_Predicted]) -> set[str]:
        """New machines that draw less than half or more than twice as much as those that are known: nothing
        tells how far their other runs may be off.
        """
        beyond: dict[str, list[bool]] = defaultdict(list)
        for m in measured:
            if m.case.hardware not in self.matrix.hardware and _POWER in m.case.targets:
                log, (low, high) = math.log(m.case.targets[_POWER]), m.range
                beyond[m.case.hardware].append(not low - _KIND <= log <= high + _KIND)
        return {machine for machine, votes in beyond.items() if 2 * sum(votes) > len(votes)}

    def _estimates(
        self, name: str, rows: Sequence[_Predicted], measured: Sequence[_Predicted], confidence: float
    ) -> list[Estimate | None]:
        runs = _Measured(by_video=defaultdict(list), by_machine=defaultdict(list))
        for m in measured:
            if name in m.case.targets:
                at, _ = self._standing(name, m, math.log(m.case.targets[name]) - m.log)
                runs.by_video[m.case.video].append((m.case, at))
                runs.by_machine[at.machine].append((m.case, at))
        return [self._estimate(name, row, runs, confidence) for row in rows]

    def _estimate(
        self, name: str, row: _Predicted, measured: _Measured, confidence: float
    ) -> Estimate | None:
        c, model = row.case, self.targets[name]
        here, shared = self._standing(name, row)
        machine = here.machine
        near = measured.about(c, machine)
        alike = sum(at.machine == machine for at in near) if machine else len(near)
        if c.encoder not in self.matrix.encoders or (machine and not alike):
            return None
        if machine is None and (video := model.known_video(c)):
            # what training knows of a video counts for more than a few runs, and holds them as a rule
            offset, variance = video[0], remaining(here, video[1], model.shared_of_known_videos)
            situation = "familiar"
        else:
            offset, variance = corrected(here, near, shared)
            offset -= here.error
            situation = "calibrated" if machine else "probed" if alike else "plain"
        beyond = self.matrix.beyond(c, new_machine=machine is not None)
        if beyond is None:
            return Estimate.of_log(row.log + offset, None)
        half = model.half_width(bin_name(situation, alike), variance, confidence)
        if half is not None:
            # a range beyond may change as much as the range that was measured
            half = math.hypot(half, normal_half_width(beyond**2 * model.variation, confidence))
        return Estimate.of_log(row.log + offset, half)

    def _standing(self, name: str, row: _Predicted, error: float = 0.0) -> tuple[ResidualAt, SharedVariances]:
        """Where a case stands among errors, and what they share: more for a video that nothing was like.

        On a new machine a video that training knows is corrected by what it knows: the error is what is left,
        and of the video nothing more is to be learned.
        """
        c, model = row.case, self.targets[name]
        machine = None if c.hardware in self.matrix.hardware else c.hardware
        if machine and (video := model.known_video(c)):
            at_home = ResidualAt(c.video, c.encoder, None, row.variance)
            rest = remaining(at_home, video[1], model.shared_of_known_videos)
            return ResidualAt(None, c.encoder, machine, rest, error - video[0]), model.shared
        if not self._is_new_video(c):
            return ResidualAt(c.video, c.encoder, machine, row.variance, error), model.shared
        shared = model.shared.with_new_video(name)
        return ResidualAt(c.video, c.encoder, machine, row.variance + shared.video, error), shared

    def _is_new_video(self, c: Case) -> bool:
        """Whether the case's video is none of those few that training had."""
        return self.videos is not None and c.video is not None and c.video not in self.videos

    def _best_calibrations(
        self, cases: Sequence[Case], predicted: Mapping[str, Sequence[_Predicted]], calibrated: set[str]
    ) -> dict[str, Case]:
        """By machine that nothing knows, the one of its cases whose run would tell most of it.

        Of those expected to last 20 s or more, the one whose watts are least in doubt: noise in that run is
        mistaken for the machine's level. Where none is that long, the longest. An encoder that training does
        not know tells nothing.
        """
        by_machine: dict[str, list[int]] = defaultdict(list)
        for i, c in enumerate(cases):
            if c.hardware not in {*self.matrix.hardware, *calibrated} and c.encoder in self.matrix.encoders:
                by_machine[c.hardware].append(i)
        doubts = predicted.get(_POWER) or next(iter(predicted.values()))

        def seconds(i: int) -> float:
            """How long it would take on known machines; what ends by the clock is long enough."""
            speed = math.exp(predicted[_SPEED][i].log) if _SPEED in predicted else 1.0
            return (cases[i].video_seconds or math.inf) / speed

        def merit(i: int) -> tuple[bool, float]:
            settled = seconds(i) >= _SETTLED_SECONDS
            return settled, -doubts[i].variance if settled else seconds(i)

        return {machine: cases[max(some, key=merit)] for machine, some in by_machine.items()}

    def _prediction(
        self,
        c: Case,
        estimates: Mapping[str, Estimate | None],
        best_calibration: Case | None,
        confidence: float,
        notes: Sequence[str],
    ) -> Prediction:
        best, rate = best_calibration, estimates.get(_ENERGY)
        seconds = c.video_seconds * c.streams if c.video_seconds else None
        return Prediction(
            run_id=c.run_id,
            scenario=c.scenario,
            mean_power_watts=estimates.get(_POWER),
            total_energy_joules=rate.times(seconds) if rate and seconds else None,
            encode_speed_ratio=estimates.get(_SPEED),
            confidence=confidence,
            hardware_known=c.hardware in self.matrix.hardware,
            encoder_known=c.encoder in self.matrix.encoders,
            tier=self.tier,
            calibrate_with=ScenarioRef(best.run_id, best.scenario) if best else None,
            notes=tuple(notes),
        )

    def _notes(self, c: Case, calibrated: bool, best: Case | None) -> list[str]:
        """What makes this prediction less certain than its interval says, in words."""
        notes = self.matrix.unknowns(c)
        if c.hardware not in self.matrix.hardware:
            first = f", best of these: {best.scenario}" if best else ""
            notes.append(
                f"machine {c.hardware} is known by calibration runs only"
                if calibrated
                else f"machine {c.hardware} was never measured: give a calibration run of it{first}"
            )
        if c.encoder not in self.matrix.encoders:
            notes.append(f"encoder {c.encoder} was never measured")
        if self._is_new_video(c):
            notes.append(
                f"{c.video} was never measured, and {len(self.videos or ())} other video(s) are too few to "
                "show how videos differ: the interval is from other data"
            )
        return notes
