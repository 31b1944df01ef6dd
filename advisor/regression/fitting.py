"""From cases to a model of one or more machines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import GroupKFold, KFold
from threadpoolctl import threadpool_limits

from advisor.errors import NotEnoughDataError
from advisor.regression import interval_bins
from advisor.regression.feature_matrix import LENGTH, FeatureMatrix
from advisor.regression.features import TARGETS, Case
from advisor.regression.interval_bins import HeldOutRow, IntervalBin
from advisor.regression.model import TargetModel, TrainedModel, variances
from advisor.regression.multivariate import MultivariatePredictor, clearly_better, drawn_rows
from advisor.regression.residual_kriging import ResidualAt, SharedVariances, explained, video_variances

Floats = NDArray[np.float64]
Logs = dict[str, Floats]
"""Log predictions by target, one a row of training; NaN where a row was not held out."""
_FEWEST_VIDEOS = 3
_FEWEST_OF_A_VIDEO = 5
"""Configurations of a video from which training knows it."""
_FEWEST_ROWS_ELSEWHERE = 20
_FEWEST_ROWS_FOR_DIFFICULTY = 100
"""From which the variance of errors is learned row by row."""
_REPEATS_KEPT = 4
_FOLDS = 5
_FEWER_FOLDS = 3
_MACHINES_PLAYED = 6


def _by_configuration(cases: Sequence[Case]) -> list[list[Case]]:
    """The repeats of each configuration that has a target, in an order that the files do not decide."""
    repeats: dict[tuple[object, ...], list[Case]] = defaultdict(list)
    for c in cases:
        if c.targets:
            repeats[c.configuration].append(c)
    return [group for _, group in sorted(repeats.items(), key=lambda item: repr(item[0]))]


def _median_case(repeats: Sequence[Case]) -> Case:
    """The median of repeats, heavier the more there are (up to three)."""
    if len(repeats) == 1:
        return repeats[0]
    names = [name for name in TARGETS if any(name in c.targets for c in repeats)]
    targets = {n: float(np.median([c.targets[n] for c in repeats if n in c.targets])) for n in names}
    weight = min(sum(c.weight for c in repeats), 3.0)
    return msgspec.structs.replace(repeats[0], targets=targets, weight=weight)


def validation_groups(cases: Sequence[Case]) -> tuple[list[str], str]:
    """What is held out together: videos where there are three, else configurations (whatever machine)."""
    if len({c.video for c in cases}) >= _FEWEST_VIDEOS:
        return [
            c.video if c.video is not None else f"no video, row {i}" for i, c in enumerate(cases)
        ], "video"
    return [repr((c.encoder, sorted(c.numbers.items()))) for c in cases], "configuration"


def train(cases: Sequence[Case], *, seed: int = 0) -> TrainedModel:
    """Fit every target that the cases carry.

    Cases should be of one tier (measured and modelled are not mixed); baselines are no cases.

    Raises
    ------
    NotEnoughDataError
        No case has a target.
    """
    repeats = _by_configuration(cases)
    if not repeats:
        raise NotEnoughDataError("no scenario has both power and the settings that explain it")
    rows = [_median_case(group) for group in repeats]
    groups, grouped_by = validation_groups(rows)
    with threadpool_limits(limits=1):
        fitting = _Fitting(rows, repeats, groups, seed)
        targets = {name: fitting.target_model(name) for name in fitting.predictors}
    return TrainedModel(
        matrix=fitting.matrix,
        targets=targets,
        tier=rows[0].tier,
        grouped_by=grouped_by,
        rows=len(rows),
        cases=len(cases),
        videos=frozenset(c.video for c in rows if c.video) if grouped_by != "video" else None,
        notes=sorted({m.predictor.note_ for m in targets.values()} - {""}),
        training=rows,
    )


class _Fitting:
    """The rows of a training, and log predictions for them by models that had not seen them.

    ``by_group`` comes from models that saw no row of the group, ``by_row`` from models that saw other rows of
    it, ``as_new`` from models that saw neither the group nor any row of its machine.
    """

    matrix: FeatureMatrix
    x: Floats
    predictors: dict[str, MultivariatePredictor]
    kept: dict[str, NDArray[np.int64]]
    by_group: Logs

    def __init__(
        self, rows: Sequence[Case], repeats: Sequence[Sequence[Case]], groups: Sequence[str], seed: int
    ) -> None:
        self.rows, self.repeats, self.seed = rows, repeats, seed
        self.groups = np.array(groups)
        self.y = {n: np.array([c.targets.get(n, np.nan) for c in rows]) for n in TARGETS}
        self.weights = np.array([c.weight for c in rows])
        self.without: tuple[str, ...] = ()
        self._learn()
        if LENGTH in self.matrix.numeric:
            with_length = (self.matrix, self.x, self.predictors, self.kept, self.by_group)
            self.without = (LENGTH,)
            self._learn()
            if any(self._clearly_better(name, with_length[-1][name]) for name in self.predictors):
                self.without = ()
                self.matrix, self.x, self.predictors, self.kept, self.by_group = with_length
        self.by_row = {name: self._by_row(name) for name in self.predictors}
        self.as_new: Logs = {name: np.full(len(rows), np.nan) for name in self.predictors}
        for machine in self._machines_played():
            self._play_as_new(machine)

    def _learn(self) -> None:
        """Choose and fit the models of every target."""
        self.matrix = FeatureMatrix.learn(self.rows, self.without)
        self.x = self.matrix.rows(self.rows)
        self.predictors, self.kept, self.by_group = {}, {}, {}
        for name, y in self.y.items():
            has = np.flatnonzero(~np.isnan(y))
            if len(has):
                predictor = MultivariatePredictor(seed=self.seed).fit(
                    self.x[has], y[has], self.groups[has].tolist(), self.weights[has]
                )
                self.kept[name] = has[predictor.validated_]
                self.predictors[name] = predictor
                self.by_group[name] = self._filled(name, np.log(y[self.kept[name]]) - predictor.residuals_)

    def _clearly_better(self, name: str, logs: Floats) -> bool:
        """Whether held-out videos are predicted better by ``logs`` than by what was learned last.

        It is asked of the length: of few videos each has one of its own, which is another name for the video.
        """
        both = np.flatnonzero(~np.isnan(logs) & ~np.isnan(self.by_group[name]))
        residuals, others = (np.log(self.y[name][both]) - v[both] for v in (logs, self.by_group[name]))
        codes = np.unique(self.groups[both], return_inverse=True)[1]
        return clearly_better(residuals, others, self.weights[both], codes)

    def _filled(self, name: str, logs: Floats) -> Floats:
        every = np.full(len(self.rows), np.nan)
        every[self.kept[name]] = logs
        return every

    def _by_row(self, name: str) -> Floats:
        kept = self.kept[name]
        x, y, weights = self.x[kept], self.y[name][kept], self.weights[kept]
        logs = np.full(len(kept), np.nan)
        if len(kept) >= _FEWER_FOLDS and len(set(self.groups[kept])) < len(kept):
            for train, test in KFold(_FEWER_FOLDS, shuffle=True, random_state=self.seed).split(x):
                part = self.predictors[name].refitted(x[train], y[train], weights[train])
                logs[test] = part.predict_log(x[test])
        return self._filled(name, logs)

    def _machines_played(self) -> list[str]:
        machines = self.matrix.hardware
        if len(machines) == 1:
            return []
        return [machines[i] for i in drawn_rows(len(machines), _MACHINES_PLAYED, self.seed)]

    def _play_as_new(self, machine: str) -> None:
        """Predict a machine's rows by the chosen models fitted without it and without their group.

        They stay unknown where the others do not carry it: too few rows, or an encoder that they lack.
        """
        mine = np.array([c.hardware == machine for c in self.rows])
        elsewhere = {c.encoder for c in self.rows if c.hardware != machine}
        if (~mine).sum() < _FEWEST_ROWS_ELSEWHERE or {
            c.encoder for c in self.rows if c.hardware == machine
        } - elsewhere:
            return
        folds = min(_FEWER_FOLDS, len(set(self.groups)))
        for train, test in GroupKFold(folds).split(self.x, groups=self.groups) if folds > 1 else ():
            test = test[mine[test]]
            for name, predictor in self.predictors.items():
                y = self.y[name]
                some = train[~mine[train] & ~np.isnan(y[train])]
                # as many as there were when the models were chosen
                some = some[drawn_rows(len(some), len(self.kept[name]), self.seed)]
                if len(some) and len(test):
                    matrix = FeatureMatrix.learn([self.rows[i] for i in some], self.without)
                    x = matrix.rows([self.rows[i] for i in some])
                    part = predictor.refitted(x, y[some], self.weights[some])
                    cases = [self.rows[i] for i in test]
                    logs = [part.predict_log(matrix.rows(cases, hardware=h)) for h in matrix.hardware]
                    self.as_new[name][test] = np.mean(logs, axis=0)

    def target_model(self, name: str) -> TargetModel:
        """What is learned of one target."""
        predictor, kept = self.predictors[name], self.kept[name]
        model = TargetModel(predictor=predictor)
        residuals = self._residuals(name, self.by_group)
        model.residuals = residuals[kept]
        held = self._held_out(name, residuals, np.zeros(len(self.rows)))
        errors = np.array([row.error for row in held])
        model.typical_error = float(np.sqrt(np.mean(errors**2))) if len(errors) > 1 else 0.0
        model.variation = float(np.nanvar(np.log(self.y[name])))
        if not predictor.errors_:
            return model
        stated = self._learn_difficulty(model, held, errors)
        held = self._held_out(name, residuals, stated)
        model.shared = self._shared(name, residuals)
        model.bins = (
            interval_bins.plain(held, model.shared)
            | self._learn_videos(model, name, stated)
            | interval_bins.probed(held, model.shared, self.seed)
            | self._machine_bins(model, name, stated)
        )
        return model

    def _residuals(self, name: str, logs: Mapping[str, Floats]) -> Floats:
        return np.asarray(np.log(self.y[name]) - logs[name])

    def _held_out(
        self, name: str, residuals: Floats, stated: Floats, *, new_machine: bool = False
    ) -> list[HeldOutRow]:
        """The measurements of rows that were held out, with the errors of single ones, not of medians."""
        return [
            HeldOutRow(
                video=c.video,
                encoder=c.encoder,
                machine=c.hardware if new_machine else None,
                variance=float(stated[i]),
                error=float(residuals[i] + np.log(c.targets[name] / self.y[name][i])),
                group=str(self.groups[i]),
                configuration=int(i),
                hardware=c.hardware,
            )
            for i in self.kept[name]
            if not np.isnan(residuals[i])
            for c in [c for c in self.repeats[i] if name in c.targets][:_REPEATS_KEPT]
        ]

    def _learn_difficulty(self, model: TargetModel, held: Sequence[HeldOutRow], errors: Floats) -> Floats:
        """Learn how far off the model tends to be; returned is each row's variance as told by other groups.

        By other groups: a forest that has seen a video's errors knows them by the video's length.
        """
        stated = variances(None, model.typical_error, self.x)
        rows, groups = np.array([row.configuration for row in held]), [row.group for row in held]
        if len(rows) < _FEWEST_ROWS_FOR_DIFFICULTY or len(set(groups)) < _FOLDS:
            return stated
        forest = ExtraTreesRegressor(
            60, min_samples_leaf=15, max_features=0.5, bootstrap=True, random_state=self.seed
        )
        for train, test in GroupKFold(_FOLDS).split(rows, groups=groups):
            part = clone(forest).fit(self.x[rows[train]], np.abs(errors[train]))
            stated[rows[test]] = variances(part, model.typical_error, self.x[rows[test]])
        model.difficulty = forest.fit(self.x[rows], np.abs(errors))
        return stated

    def _shared(self, name: str, residuals: Floats) -> SharedVariances:
        rows = [self.rows[i] for i in self.kept[name]]
        errors, videos = residuals[self.kept[name]], [c.video for c in rows]
        return SharedVariances.of_target(name, *video_variances(errors, videos, [c.encoder for c in rows]))

    def _learn_videos(self, model: TargetModel, name: str, stated: Floats) -> dict[str, IntervalBin]:
        """What training knows of its videos: what the errors on other configurations of each share."""
        residuals = self._residuals(name, self.by_row)
        if np.isnan(residuals[self.kept[name]]).any():
            return {}
        model.shared_of_known_videos = shared = self._shared(name, residuals)
        held = self._held_out(name, residuals, stated)
        by_video: dict[str, list[HeldOutRow]] = defaultdict(list)
        for row in held:
            if row.video is not None:
                by_video[row.video].append(row)
        model.videos = {
            video: {e: explained(ResidualAt(video, e, None, 0.0), rows, shared) for e in self.matrix.encoders}
            for video, rows in by_video.items()
            if len({row.configuration for row in rows}) >= _FEWEST_OF_A_VIDEO
        }
        return interval_bins.familiar(held, shared, self.seed)

    def _machine_bins(self, model: TargetModel, name: str, stated: Floats) -> dict[str, IntervalBin]:
        """Errors on each machine as if it were new."""
        differ = len(self.matrix.hardware) > 1
        residuals = self._residuals(name, self.as_new if differ else self.by_group)
        by_machine: dict[str, list[HeldOutRow]] = defaultdict(list)
        for row in self._held_out(name, residuals, stated, new_machine=True):
            by_machine[row.hardware].append(row)
        return interval_bins.calibrated([*by_machine.values()], model.shared, self.seed, differ=differ)
