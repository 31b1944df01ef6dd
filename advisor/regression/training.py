"""From cases to a model of one or more machines, and from the model to predictions with intervals."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from advisor.errors import NotEnoughDataError
from advisor.regression.candidates import candidates
from advisor.regression.features import TARGETS, Case, Encoding
from advisor.regression.intervals import check_level, conformal_quantile, student_half_width
from advisor.regression.multivariate import MultivariatePredictor
from advisor.regression.offsets import Seen, Spread, corrected, video_variances
from advisor.regression.predictions import Estimate, Prediction
from advisor.regression.validation import fit, fold_numbers, folds, mean_ratio_error

__all__ = ["Held", "TargetModel", "Trained", "merged_repeats", "train", "validation_groups"]

Floats = NDArray[np.float64]
_FEWEST_VIDEOS = 3
_ROWS_FOR_DIFFICULTY = 100
_SCORES_KEPT = 2000
_HISTORY_PER_VIDEO = 24
_REPEATS_KEPT = 4


class Held(Struct, frozen=True):
    """One held-out row of training: where it stands and how far the model was off."""

    video: str | None
    encoder: str
    hardware: str
    variance: float
    error: float
    configuration: int = -1
    """Repeats of one configuration have the same number."""


class TargetModel(Struct, kw_only=True):
    """All that is learned of one target."""

    predictor: Any
    difficulty: Any = None
    """Predicts the absolute log error of a row; None where the rows are too few to tell."""
    typical_error: float = 0.0
    spread: Spread = Spread()
    scores: dict[str, list[float]] = {}
    """Held-out errors over the doubt that was stated, by situation: ``plain``, ``probed``, ``calibrated``."""
    history: list[Held] = []
    errors: dict[str, float] = {}
    """Grouped mean absolute error by situation, as a ratio."""
    coverage: dict[str, float] = {}
    """Share of held-out rows inside their 90 % prediction interval, each by the scores of other groups."""


class Trained(Struct, kw_only=True):
    """A model: how cases become rows, and one `TargetModel` a target."""

    encoding: Encoding
    targets: dict[str, TargetModel]
    tier: str | None
    grouped_by: str
    rows: int
    cases: int
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
        measured = [c for c in measured if c.encoder in self.encoding.encoders]
        calibrated = {c.hardware for c in measured if c.hardware not in self.encoding.hardware}
        with threadpool_limits(limits=1):
            found = {
                name: _estimates(self, model, name, cases, measured, confidence)
                for name, model in self.targets.items()
            }
        return [self._prediction(c, i, found, calibrated, confidence) for i, c in enumerate(cases)]

    def _prediction(
        self,
        c: Case,
        index: int,
        found: Mapping[str, Sequence[Estimate | None]],
        calibrated: set[str],
        confidence: float,
    ) -> Prediction:
        known, encoder_known = c.hardware in self.encoding.hardware, c.encoder in self.encoding.encoders
        notes = self.encoding.unknowns(c)
        if not known:
            notes.append(
                f"machine {c.hardware} is known by calibration runs only"
                if c.hardware in calibrated
                else f"machine {c.hardware} was never measured: give a calibration run of it"
            )
        if not encoder_known:
            notes.append(f"encoder {c.encoder} was never measured")
        get = {name: values[index] for name, values in found.items()}
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
            notes=tuple(notes),
        )


def merged_repeats(cases: Sequence[Case]) -> list[Case]:
    """One case a configuration: the median of its repeats, heavier the more there are (up to three).

    Cases without any target are dropped.
    """
    return [_median_case(group) for group in _by_configuration(cases).values()]


def _by_configuration(cases: Sequence[Case]) -> dict[tuple[object, ...], list[Case]]:
    groups: dict[tuple[object, ...], list[Case]] = defaultdict(list)
    for c in cases:
        if c.targets:
            groups[c.configuration].append(c)
    return groups


def _median_case(group: Sequence[Case]) -> Case:
    if len(group) == 1:
        return group[0]
    names = [name for name in TARGETS if any(name in c.targets for c in group)]
    targets = {n: float(np.median([c.targets[n] for c in group if n in c.targets])) for n in names}
    weight = min(sum(c.weight for c in group), 3.0)
    return msgspec.structs.replace(group[0], targets=targets, weight=weight)


def validation_groups(cases: Sequence[Case]) -> tuple[list[Hashable], str]:
    """What is held out together: videos where there are three, else configurations (whatever machine)."""
    videos = {c.video for c in cases}
    if len(videos) >= _FEWEST_VIDEOS:
        return [c.video if c.video is not None else ("no video", i) for i, c in enumerate(cases)], "video"
    return [(c.encoder, tuple(sorted(c.numbers.items()))) for c in cases], "configuration"


def train(cases: Sequence[Case], *, seed: int = 0) -> Trained:
    """Fit every target that the cases carry.

    Cases should be of one tier (measured and modelled are not mixed); baselines are no cases.

    Raises
    ------
    NotEnoughDataError
        No case has a target.
    """
    repeats = list(_by_configuration(cases).values())
    rows = [_median_case(group) for group in repeats]
    if not rows:
        raise NotEnoughDataError("no scenario has both power and what is needed to explain it")
    encoding = Encoding.learn(rows)
    groups, grouped_by = validation_groups(rows)
    made = Trained(
        encoding=encoding,
        targets={},
        tier=rows[0].tier,
        grouped_by=grouped_by,
        rows=len(rows),
        cases=len(cases),
        training=rows,
    )
    with threadpool_limits(limits=1):
        for name in TARGETS:
            some = [i for i, c in enumerate(rows) if name in c.targets]
            if some:
                part, part_groups = [rows[i] for i in some], [groups[i] for i in some]
                members = [repeats[i] for i in some]
                made.targets[name] = _train_target(name, part, members, part_groups, encoding, seed)
    made.notes = sorted({m.predictor.note_ for m in made.targets.values()} - {""})
    return made


def _train_target(
    name: str,
    rows: Sequence[Case],
    repeats: Sequence[Sequence[Case]],
    groups: Sequence[Hashable],
    encoding: Encoding,
    seed: int,
) -> TargetModel:
    x = encoding.matrix(rows)
    y = np.array([c.targets[name] for c in rows])
    weights = np.array([c.weight for c in rows])
    predictor = MultivariatePredictor(seed=seed).fit(x, y, groups, weights)
    made = TargetModel(predictor=predictor)
    kept = predictor.validated_
    # an interval is for one new measurement: it has the errors of single ones, not of their medians
    each = [(i, c) for i in kept for c in repeats[i][:_REPEATS_KEPT] if name in c.targets]
    by_row = dict(zip((int(i) for i in kept), predictor.residuals_, strict=True))
    errors = np.array([by_row[i] + math.log(c.targets[name] / y[i]) for i, c in each])
    made.typical_error = float(np.sqrt(np.mean(errors**2))) if len(errors) > 1 else 0.0
    if not predictor.errors_:
        return made
    variances = _learn_difficulty(made, x[[i for i, _ in each]], errors, seed)
    made.spread = Spread(
        *video_variances(predictor.residuals_, [rows[i].video for i in kept], [rows[i].encoder for i in kept])
    )
    held = [
        Held(c.video, c.encoder, c.hardware, float(v), float(e), int(i))
        for (i, c), v, e in zip(each, variances, errors, strict=True)
    ]
    _learn_situations(made, held, seed)
    _learn_machines(made, name, rows, [c for _, c in each], errors, encoding, seed)
    made.history = _history(held)
    return made


def _learn_difficulty(made: TargetModel, x: Floats, errors: Floats, seed: int) -> Floats:
    """How far off the model tends to be, by row; returned for the rows themselves as held-out predictions."""
    typical = max(made.typical_error, 1e-4)
    if len(errors) < _ROWS_FOR_DIFFICULTY:
        return np.full(len(errors), typical**2)
    forest = ExtraTreesRegressor(
        100, min_samples_leaf=15, max_features=0.5, bootstrap=True, oob_score=True, random_state=seed
    )
    made.difficulty = forest.fit(x, np.abs(errors))
    return _variance_of(forest.oob_prediction_)


def _variance_of(absolute: Floats) -> Floats:
    # the standard deviation of a normal error is 1.2533 times its mean absolute value
    return np.asarray((1.2533 * np.maximum(absolute, 1e-4)) ** 2)


def _variances(model: TargetModel, x: Floats) -> Floats:
    if model.difficulty is None:
        return np.full(len(x), max(model.typical_error, 1e-4) ** 2)
    return _variance_of(model.difficulty.predict(x))


class _Result(Struct, frozen=True):
    """One held-out row in one situation."""

    group: Hashable
    rest: float
    score: float


def _result(seen: Seen, measured: Sequence[Seen], spread: Spread) -> _Result:
    """The error that remains after the correction, plain and over the doubt that is stated."""
    offset, variance = corrected(seen, measured, spread)
    rest = seen.error - offset
    return _Result(seen.video or seen, rest, abs(rest) / math.sqrt(variance))


def _keep(made: TargetModel, situation: str, results: Sequence[_Result]) -> None:
    if len(results) < 2:
        return
    raw = np.array([r.score for r in results])
    scores = np.sort(raw)
    if len(scores) > _SCORES_KEPT:
        scores = np.quantile(scores, np.linspace(0, 1, _SCORES_KEPT))
    made.scores[situation] = [float(s) for s in scores]
    made.errors[situation] = mean_ratio_error(np.array([r.rest for r in results]))
    inside = np.zeros(len(raw), dtype=bool)
    for others, held in folds(fold_numbers([r.group for r in results], 10)):
        quantile = conformal_quantile(raw[others], 0.9)
        if quantile is None:
            return
        inside[held] = raw[held] <= quantile
    made.coverage[situation] = float(inside.mean())


def _learn_situations(made: TargetModel, held: Sequence[Held], seed: int) -> None:
    """Scores of held-out rows as they are, and with one to three probes of their video."""
    rng = np.random.default_rng(seed)
    seen = [Seen(h.video, h.encoder, None, h.variance, h.error) for h in held]
    _keep(made, "plain", [_result(s, (), made.spread) for s in seen])
    by_video: dict[str, list[int]] = defaultdict(list)
    for i, s in enumerate(seen):
        if s.video is not None:
            by_video[s.video].append(i)
    probed = []
    for i, s in enumerate(seen):
        same = held[i].configuration
        others = [j for j in by_video.get(s.video or "", ()) if held[j].configuration != same]
        if others and made.spread.video + made.spread.video_encoder > 0:
            count = min(int(rng.integers(1, 4)), len(others))
            chosen = rng.choice(others, count, replace=False)
            probed.append(_result(s, [seen[j] for j in chosen], made.spread))
    _keep(made, "probed", probed)


def _learn_machines(
    made: TargetModel,
    name: str,
    rows: Sequence[Case],
    each: Sequence[Case],
    errors: Floats,
    encoding: Encoding,
    seed: int,
) -> None:
    """Scores on a machine that training never had, after one to three calibration runs of other videos.

    With several machines each is left out in turn; with one, its own held-out errors stand in, and what
    differs between machines is the documented default of `advisor.regression.offsets`.
    """
    rng = np.random.default_rng(seed)
    machines = sorted({c.hardware for c in rows})
    results: list[_Result] = []
    for machine in machines:
        inside = [c for c in each if c.hardware == machine]
        outside = [c for c in rows if c.hardware != machine] if len(machines) > 1 else []
        if outside and (len(outside) < 20 or {c.encoder for c in inside} - {c.encoder for c in outside}):
            continue
        found = _errors_as_new(made, name, inside, outside) if outside else errors
        variances = _variances(made, encoding.matrix(inside))
        seen = [
            Seen(c.video, c.encoder, machine, float(v), float(e))
            for c, v, e in zip(inside, variances, found, strict=True)
        ]
        # with one machine what differs between machines is not in the errors; it is added when used
        spread = made.spread if outside else msgspec.structs.replace(made.spread, machine_noise=0.0)
        for i in rng.permutation(len(seen))[:500]:
            others = [j for j in rng.permutation(len(seen))[:30] if seen[j].video != seen[i].video]
            if others:
                chosen = others[: int(rng.integers(1, 4))]
                results.append(_result(seen[i], [seen[j] for j in chosen], spread))
    _keep(made, "calibrated", results)


def _errors_as_new(made: TargetModel, name: str, inside: Sequence[Case], outside: Sequence[Case]) -> Floats:
    """Errors on a machine's runs by the chosen models, fitted without that machine."""
    predictor = made.predictor
    own = Encoding.learn(outside)
    models = candidates(len(outside), len(own.columns), predictor.seed)
    x, y = own.matrix(outside), np.log([c.targets[name] for c in outside])
    weights = np.array([c.weight for c in outside])
    fitted = [fit(models[n], x, y, weights) for n in predictor.chosen_ if n in models]
    logs = np.mean([_over_machines(own, inside, model.predict) for model in fitted], axis=0)
    return np.asarray(np.log([c.targets[name] for c in inside]) - logs)


def _over_machines(encoding: Encoding, cases: Sequence[Case], predict: Any) -> Floats:
    """Log predictions of cases on a machine never seen: the mean over those that are known."""
    logs = [predict(encoding.matrix(cases, hardware=h)) for h in encoding.hardware]
    return np.asarray(np.mean(logs, axis=0))


def _history(held: Sequence[Held]) -> list[Held]:
    """The held-out errors that later predictions of the same videos lean on."""
    by_video: dict[str, list[Held]] = defaultdict(list)
    for h in held:
        if h.video is not None and len(by_video[h.video]) < _HISTORY_PER_VIDEO:
            by_video[h.video].append(h)
    return [h for group in by_video.values() for h in group]


def _logs(trained: Trained, model: TargetModel, cases: Sequence[Case]) -> tuple[Floats, Floats]:
    """Log predictions and variances of the cases, on machines known and unknown."""
    encoding = trained.encoding
    known = np.array([c.hardware in encoding.hardware for c in cases], dtype=bool)
    x = encoding.matrix(cases)
    logs = np.empty(len(cases))
    if known.any():
        logs[known] = model.predictor.predict_log(x[known])
    if not known.all():
        strange = [c for c, k in zip(cases, known, strict=True) if not k]
        logs[~known] = _over_machines(encoding, strange, model.predictor.predict_log)
    return logs, _variances(model, x)


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
    encoding = trained.encoding
    logs, variances = _logs(trained, model, cases)
    told = _told(trained, model, name, measured)
    by_video: dict[str, list[Seen]] = defaultdict(list)
    for h in model.history:
        if h.video is not None:
            by_video[h.video].append(Seen(h.video, h.encoder, None, h.variance, h.error))
    found: list[Estimate | None] = []
    for c, log, variance in zip(cases, logs, variances, strict=True):
        machine = None if c.hardware in encoding.hardware else c.hardware
        near = [s for case, s in told if not _same(case, c)] + by_video.get(c.video or "", [])
        calibrated = machine is None or any(s.machine == machine for s in near)
        if c.encoder not in encoding.encoders or not calibrated:
            found.append(None)
            continue
        here = Seen(c.video, c.encoder, machine, float(variance))
        offset, rest = corrected(here, near, model.spread)
        probed = any(s.video is not None and s.video == c.video for s in near)
        situation = "calibrated" if machine else "probed" if probed else "plain"
        half = _half_width(model, situation, rest, confidence)
        found.append(Estimate.of_log(float(log) + offset, half))
    return found


def _same(a: Case, b: Case) -> bool:
    return a is b or (a.run_id, a.scenario) == (b.run_id, b.scenario)


def _told(
    trained: Trained, model: TargetModel, name: str, measured: Sequence[Case]
) -> list[tuple[Case, Seen]]:
    """What the measured runs say: how far off the model is for each."""
    some = [c for c in measured if name in c.targets]
    if not some:
        return []
    logs, variances = _logs(trained, model, some)
    return [
        (
            c,
            Seen(
                c.video,
                c.encoder,
                None if c.hardware in trained.encoding.hardware else c.hardware,
                float(v),
                math.log(c.targets[name]) - float(p),
            ),
        )
        for c, p, v in zip(some, logs, variances, strict=True)
    ]


def _half_width(model: TargetModel, situation: str, variance: float, confidence: float) -> float | None:
    """Half-width of the prediction interval in logarithms; None where no error was ever held out."""
    scores = model.scores.get(situation) or model.scores.get("plain")
    if scores:
        quantile = conformal_quantile(np.array(scores), confidence)
        if quantile is not None:
            return quantile * math.sqrt(variance)
    half = student_half_width(model.predictor.residuals_, confidence, parameters=1)
    if half is None or not model.typical_error:
        return half
    # Student's width is that of the typical case; this one may be more or less certain
    return half * max(math.sqrt(variance) / model.typical_error, 1.0)
