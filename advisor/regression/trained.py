"""A trained model, and from it predictions with intervals."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from advisor.common.statistics import MEASURED_NOISE_RATIO
from advisor.regression.advice import best_calibrations
from advisor.regression.design import Design
from advisor.regression.features import Case, Encoding
from advisor.regression.intervals import check_level, student_half_width
from advisor.regression.offsets import Seen, Spread, corrected, remaining, with_new_video
from advisor.regression.predictions import Estimate, Named, Prediction
from advisor.regression.situations import half_width, named
from advisor.regression.target import TargetModel, log_predictions

__all__ = ["Trained"]

Floats = NDArray[np.float64]
_LEAST_HALF_WIDTH = 0.002
"""No meter repeats itself better, whatever many runs that agree say."""


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
            strange = [c for c in cases if c.hardware not in calibrated]
            advice = best_calibrations(self.design, self.targets, strange)
        return [self._prediction(c, i, found, calibrated, advice, confidence) for i, c in enumerate(cases)]

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
    logs, doubts = log_predictions(trained.design, trained.targets, name, cases)
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
    logs, doubts = log_predictions(trained.design, trained.targets, name, some)
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
