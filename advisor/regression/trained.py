"""A trained model, and from it predictions with intervals."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from advisor.options import MEASURED_NOISE_RATIO
from advisor.regression.design import Design
from advisor.regression.features import Case, Encoding
from advisor.regression.intervals import check_level, student_half_width
from advisor.regression.offsets import Seen, Spread, corrected, remaining, with_new_video
from advisor.regression.predictions import Estimate, Named, Prediction
from advisor.regression.situations import Situation, half_width, named

__all__ = ["TargetModel", "Trained", "both_ways", "over_machines", "variances"]

Floats = NDArray[np.float64]
_SETTLED_SECONDS = 20.0
"""How long a calibration run should last: by then a second of ramping up is lost in its mean."""
_LEAST_HALF_WIDTH = 0.002
"""No meter repeats itself better, whatever many runs that agree say."""


class TargetModel(Struct, kw_only=True):
    """All that is learned of one target."""

    predictor: Any
    ways: dict[str, float] = {}
    """Other targets whose powers multiply to this one; the mean (of logarithms) of that and of what
    ``predictor`` says is predicted. Empty where it alone is."""
    residuals: Floats = np.empty(0)
    """Held-out ``log(measured) - log(predicted)`` of the rows ``predictor.validated_``."""
    difficulty: Any = None
    """Predicts the absolute log error of a row; None where the rows are too few to tell."""
    typical_error: float = 0.0
    variation: float = 0.0
    """Variance of the target's logarithm over training: what a whole span of a setting may change."""
    spread: Spread = Spread()
    content: dict[str, dict[str, tuple[float, float]]] = {}
    """Of each video that training knows, by encoder: the correction, and the variance that it explains."""
    content_spread: Spread = Spread()
    """What errors share when the video is known."""
    situations: dict[str, Situation] = {}
    """What was held out in each situation of `advisor.regression.situations`."""

    @property
    def errors(self) -> dict[str, float]:
        """Grouped mean absolute error by situation, as a ratio."""
        return {name: s.error_ratio for name, s in self.situations.items()}

    @property
    def coverage(self) -> dict[str, float]:
        """Share of held-out rows inside 90 % prediction intervals, each by the scores of other groups."""
        return {name: s.coverage_ratio for name, s in self.situations.items() if s.coverage_ratio is not None}


class Trained(Struct, kw_only=True):
    """A model: how cases become rows, and one `TargetModel` a target."""

    design: Design
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

    @property
    def encoding(self) -> Encoding:
        """How cases are encoded."""
        return self.design.encoding

    def predict(
        self, cases: Sequence[Case], measured: Sequence[Case] = (), *, confidence: float = 0.9
    ) -> list[Prediction]:
        """Predictions for ``cases``, corrected by what ``measured`` runs tell of their videos and machines.

        A measured run never tells anything of itself. A machine that neither training nor a measured run
        knows, and an encoder that training does not know, get no figures: they are flagged.
        """
        check_level(confidence)
        measured = [c for c in measured if c.encoder in self.encoding.encoders]
        calibrated = {c.hardware for c in measured if c.hardware not in self.encoding.hardware}
        with threadpool_limits(limits=1):
            found = {
                name: _estimates(self, model, name, cases, measured, confidence)
                for name, model in self.targets.items()
            }
            advice = self._calibrations([c for c in cases if c.hardware not in calibrated])
        return [self._prediction(c, i, found, calibrated, advice, confidence) for i, c in enumerate(cases)]

    def _calibrations(self, cases: Sequence[Case]) -> dict[str, Case]:
        """By machine that nothing is known of, the case whose run would tell most of it.

        Of those expected to settle, the one whose watts are least in doubt: what a run is off by itself is
        taken for the machine's. Where none is that long, the longest.
        """
        by_machine: dict[str, list[Case]] = defaultdict(list)
        for c in cases:
            if c.hardware not in self.encoding.hardware and c.encoder in self.encoding.encoders:
                by_machine[c.hardware].append(c)
        return {machine: self._most_telling(some) for machine, some in by_machine.items()}

    def _most_telling(self, cases: Sequence[Case]) -> Case:
        seconds = self._wall_seconds(cases)
        settled = [c for c, s in zip(cases, seconds, strict=True) if s >= _SETTLED_SECONDS]
        if not settled:
            return cases[int(seconds.argmax())]
        name = "mean_power_watts" if "mean_power_watts" in self.targets else next(iter(self.targets))
        _, doubts = _logs(self, self.targets[name], settled)
        return settled[int(doubts.argmin())]

    def _wall_seconds(self, cases: Sequence[Case]) -> Floats:
        """How long each would take on the machines that are known; what ends by the clock is long enough."""
        video = np.array([c.video_seconds or math.inf for c in cases])
        speed = self.targets.get("encode_speed_ratio")
        return video if speed is None else video / np.exp(_logs(self, speed, cases)[0])

    def is_new_video(self, c: Case) -> bool:
        """Whether the case's video is none of those few that training had."""
        return self.videos is not None and c.video is not None and c.video not in self.videos

    def _prediction(
        self,
        c: Case,
        index: int,
        found: Mapping[str, Sequence[Estimate | None]],
        calibrated: set[str],
        advice: Mapping[str, Case],
        confidence: float,
    ) -> Prediction:
        known, encoder_known = c.hardware in self.encoding.hardware, c.encoder in self.encoding.encoders
        get = {name: values[index] for name, values in found.items()}
        best = advice.get(c.hardware)
        rate = get.get("energy_joules_per_video_second")
        seconds = c.video_seconds * c.streams if c.video_seconds else None
        return Prediction(
            run_id=c.run_id,
            scenario=c.scenario,
            mean_power_watts=get.get("mean_power_watts"),
            total_energy_joules=rate.times(seconds) if rate and seconds else None,
            encode_speed_ratio=get.get("encode_speed_ratio"),
            confidence=confidence,
            hardware_known=known,
            encoder_known=encoder_known,
            tier=self.tier,
            calibrate_with=Named(best.run_id, best.scenario) if best else None,
            notes=tuple(self._minded(c, known, encoder_known, c.hardware in calibrated, best)),
        )

    def _minded(
        self, c: Case, known: bool, encoder_known: bool, calibrated: bool, best: Case | None
    ) -> list[str]:
        """What makes this prediction less certain than its interval says, in words."""
        notes = self.encoding.unknowns(c)
        if not known:
            first = f", best of these: {best.scenario}" if best else ""
            notes.append(
                f"machine {c.hardware} is known by calibration runs only"
                if calibrated
                else f"machine {c.hardware} was never measured: give a calibration run of it{first}"
            )
        if not encoder_known:
            notes.append(f"encoder {c.encoder} was never measured")
        if self.is_new_video(c):
            notes.append(
                f"{c.video} was never measured, and {len(self.videos or ())} other video(s) do not tell how "
                "far one may be from another: the interval is that of other data"
            )
        return notes


def over_machines(design: Design, cases: Sequence[Case], predict: Any) -> Floats:
    """Log predictions of cases on a machine never seen: the mean over those that are known."""
    logs = [predict(design.matrix(cases, hardware=h)) for h in design.encoding.hardware]
    return np.asarray(np.mean(logs, axis=0))


def variances(difficulty: Any, typical_error: float, x: Floats) -> Floats:
    """The variance of each row's log error; the typical one where rows were too few to tell them apart."""
    typical = max(typical_error, 1e-4)
    if difficulty is None:
        return np.full(len(x), typical**2)
    # the standard deviation of a normal error is 1.2533 times its mean absolute value
    return np.asarray((1.2533 * np.maximum(difficulty.predict(x), 0.1 * typical)) ** 2)


def _predicted_logs(trained: Trained, model: TargetModel, x: Floats) -> Floats:
    own: Floats = model.predictor.predict_log(x)
    parts = {name: trained.targets[name].predictor.predict_log(x) for name in model.ways}
    return both_ways(own, [(power, parts[name]) for name, power in model.ways.items()])


def both_ways(own: Floats, parts: Sequence[tuple[float, Floats]]) -> Floats:
    """Log predictions of a target: its own, or the mean of it and of what the parts' powers multiply to."""
    if not parts:
        return own
    return np.asarray((own + np.sum([power * logs for power, logs in parts], axis=0)) / 2)


def _logs(trained: Trained, model: TargetModel, cases: Sequence[Case]) -> tuple[Floats, Floats]:
    """Log predictions and variances of the cases, on machines known and unknown."""
    predict = partial(_predicted_logs, trained, model)
    known = np.array([c.hardware in trained.encoding.hardware for c in cases], dtype=bool)
    x = trained.design.matrix(cases)
    logs = np.empty(len(cases))
    if known.any():
        logs[known] = predict(x[known])
    if not known.all():
        strange = [c for c, k in zip(cases, known, strict=True) if not k]
        logs[~known] = over_machines(trained.design, strange, predict)
    return logs, variances(model.difficulty, model.typical_error, x)


def _estimates(
    trained: Trained,
    model: TargetModel,
    name: str,
    cases: Sequence[Case],
    measured: Sequence[Case],
    confidence: float,
) -> list[Estimate | None]:
    if not cases:
        return []
    logs, doubts = _logs(trained, model, cases)
    told = _told(trained, model, name, measured)
    return [
        _estimate(trained, model, name, c, (float(log), float(doubt)), told, confidence)
        for c, log, doubt in zip(cases, logs, doubts, strict=True)
    ]


class _Told(Struct):
    """Measured runs and how far the model is off for each, by what they tell something of."""

    by_video: dict[str | None, list[tuple[Case, Seen]]]
    by_machine: dict[str | None, list[tuple[Case, Seen]]]

    def about(self, c: Case, machine: str | None) -> list[Seen]:
        """Runs on the same new machine, or of the same video; never of the case itself."""
        pairs = self.by_machine.get(machine, []) if machine else []
        if c.video is not None:
            pairs = pairs + [
                (m, s) for m, s in self.by_video.get(c.video, []) if not machine or s.machine != machine
            ]
        return [s for m, s in pairs if not _same(m, c)]


def _estimate(
    trained: Trained,
    model: TargetModel,
    name: str,
    c: Case,
    predicted: tuple[float, float],
    told: _Told,
    confidence: float,
) -> Estimate | None:
    log, doubt = predicted
    here, spread = _standing(trained, model, name, c, doubt)
    machine = here.machine
    beyond = trained.encoding.beyond(c, new_machine=machine is not None)
    near = told.about(c, machine)
    alike = sum(s.machine == machine for s in near) if machine else len(near)
    if c.encoder not in trained.encoding.encoders or (machine and not alike):
        return None
    if machine is None and (known := _content(model, c)):
        # what training knows of a video counts for more than a few runs, and holds them as a rule
        offset, rest = known[0], remaining(here, known[1], model.content_spread)
        situation = "familiar"
    else:
        offset, rest = corrected(here, near, spread)
        offset -= here.error
        situation = "calibrated" if machine else "probed" if alike else "plain"
    if beyond is None:
        return Estimate.of_log(log + offset, None)
    rest += beyond**2 * model.variation
    return Estimate.of_log(log + offset, _half_width(model, named(situation, alike), rest, confidence))


def _same(a: Case, b: Case) -> bool:
    return a is b or (a.run_id, a.scenario) == (b.run_id, b.scenario)


def _told(trained: Trained, model: TargetModel, name: str, measured: Sequence[Case]) -> _Told:
    """What the measured runs say: how far off the model is for each."""
    told = _Told(by_video=defaultdict(list), by_machine=defaultdict(list))
    some = [c for c in measured if name in c.targets]
    if not some:
        return told
    logs, doubts = _logs(trained, model, some)
    for c, log, doubt in zip(some, logs, doubts, strict=True):
        error = math.log(c.targets[name]) - float(log)
        seen, _ = _standing(trained, model, name, c, float(doubt), error)
        told.by_video[c.video].append((c, seen))
        told.by_machine[seen.machine].append((c, seen))
    return told


def _standing(
    trained: Trained, model: TargetModel, name: str, c: Case, doubt: float, error: float = 0.0
) -> tuple[Seen, Spread]:
    """Where a case stands among errors, and what they share: more for a video that nothing was like.

    On a new machine a video that training knows is corrected by what it knows: the error is what is left, and
    of the video nothing more is to be learned.
    """
    machine = None if c.hardware in trained.encoding.hardware else c.hardware
    if machine and (known := _content(model, c)):
        rest = remaining(Seen(c.video, c.encoder, None, doubt), known[1], model.content_spread)
        return Seen(None, c.encoder, machine, rest, error - known[0]), model.spread
    if not trained.is_new_video(c):
        return Seen(c.video, c.encoder, machine, doubt, error), model.spread
    spread = with_new_video(model.spread, name)
    return Seen(c.video, c.encoder, machine, doubt + spread.video, error), spread


def _content(model: TargetModel, c: Case) -> tuple[float, float] | None:
    """What training knows of the case's video: the correction, and how much of the variance it explains."""
    if c.video not in model.content or "familiar" not in model.situations:
        return None
    return model.content[c.video].get(c.encoder, (0.0, 0.0))


def _half_width(model: TargetModel, situation: str, variance: float, confidence: float) -> float | None:
    """Half-width of the prediction interval in logarithms; None where no error was ever held out."""
    found = model.situations.get(situation) or model.situations.get("plain")
    half = half_width(found, variance, confidence) if found else None
    if half is None:
        independent = found.independent if found else None
        # few runs that agree better than repeats do are luck
        errors = np.maximum(np.abs(model.residuals), MEASURED_NOISE_RATIO)
        half = student_half_width(errors, confidence, parameters=1, independent=independent)
        if half is not None and model.typical_error:
            # Student's width is that of the typical case; this one may be more or less certain
            half *= max(math.sqrt(variance) / model.typical_error, 1.0)
    return None if half is None else max(half, _LEAST_HALF_WIDTH)
