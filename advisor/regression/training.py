"""From cases to a model of one or more machines."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from advisor.errors import NotEnoughDataError
from advisor.regression import situations
from advisor.regression.candidates import candidates
from advisor.regression.design import Design, learn_design
from advisor.regression.features import TARGETS, Case, Encoding
from advisor.regression.multivariate import MultivariatePredictor, some_rows
from advisor.regression.offsets import Seen, Spread, learned, video_variances
from advisor.regression.situations import ROWS_FOR_DIFFICULTY, Held
from advisor.regression.target import TargetModel, both_ways, over_machines, variances
from advisor.regression.trained import Trained
from advisor.regression.validation import fit, fold_numbers, out_of_fold

__all__ = ["Trained", "merged_repeats", "train", "validation_groups"]

Floats = NDArray[np.float64]
_FEWEST_VIDEOS = 3
_FEWEST_OF_A_VIDEO = 5
"""Configurations of a video from which training knows it."""
_FEWEST_ROWS_ELSEWHERE = 20
_REPEATS_KEPT = 4
_FOLDS = 5
_FEWER_FOLDS = 3
_MACHINES_PLAYED = 6
_WAYS = {"energy_joules_per_video_second": {"mean_power_watts": 1.0, "encode_speed_ratio": -1.0}}
"""Energy of a second of video is power times the time that it takes: two ways to it that err apart."""


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
    # in an order of their own, so that the order of files decides nothing
    repeats = [group for _, group in sorted(_by_configuration(cases).items(), key=lambda g: repr(g[0]))]
    rows = [_median_case(group) for group in repeats]
    if not rows:
        raise NotEnoughDataError("no scenario has both power and what is needed to explain it")
    groups, grouped_by = validation_groups(rows)
    with threadpool_limits(limits=1):
        design, x = learn_design(rows, groups, Encoding.learn(rows), seed)
        works = {}
        for name in TARGETS:
            some = [i for i, c in enumerate(rows) if name in c.targets]
            if some:
                works[name] = _Work(name, rows, repeats, groups, design, x, some, seed)
        # what has another way follows those on that way
        learned = {name: works[name].learn(works) for name in sorted(works, key=_WAYS.__contains__)}
        targets = {name: learned[name] for name in works}
    return Trained(
        design=design,
        targets=targets,
        tier=rows[0].tier,
        grouped_by=grouped_by,
        rows=len(rows),
        cases=len(cases),
        videos=frozenset(c.video for c in rows if c.video) if grouped_by != "video" else None,
        notes=sorted({m.predictor.note_ for m in targets.values()} - {""}),
        training=rows,
    )


class _Work:
    """The learning of one target: the rows that have it, and what is derived of them step by step.

    Held-out log predictions stay, each by the models of its own target alone, for a target that has this one
    on another way.
    """

    def __init__(
        self,
        name: str,
        rows: Sequence[Case],
        repeats: Sequence[Sequence[Case]],
        groups: Sequence[Hashable],
        design: Design,
        x: Floats,
        some: Sequence[int],
        seed: int,
    ) -> None:
        self.name, self.design, self.seed = name, design, seed
        self.rows = [rows[i] for i in some]
        self.repeats = [[c for c in repeats[i] if name in c.targets] for i in some]
        self.groups = [groups[i] for i in some]
        self.x = x[list(some)]
        self.y = np.array([c.targets[name] for c in self.rows])
        self.weights = np.array([c.weight for c in self.rows])
        self.ways: list[tuple[float, _Work]] = []

    def learn(self, works: Mapping[str, _Work]) -> TargetModel:
        predictor = MultivariatePredictor(seed=self.seed).fit(self.x, self.y, self.groups, self.weights)
        made = TargetModel(predictor=predictor, residuals=predictor.residuals_)
        self.predictor = predictor
        self.kept = [int(i) for i in predictor.validated_]
        # an interval is for one new measurement: it has the errors of single ones, not of their medians
        self.each = [(k, c) for k, i in enumerate(self.kept) for c in self.repeats[i][:_REPEATS_KEPT]]
        self.noise = np.array([math.log(c.targets[self.name] / self.y[self.kept[k]]) for k, c in self.each])
        logs = np.log(self.y[self.kept])
        self.by_group = logs - predictor.residuals_
        self._find_ways(made, works)
        made.residuals = logs - self._both_ways(lambda work: work.by_group)
        errors = self._single(made.residuals)
        made.typical_error = float(np.sqrt(np.mean(errors**2))) if len(errors) > 1 else 0.0
        made.variation = float(np.var(np.log(self.y)))
        if not predictor.errors_:
            return made
        doubts = self._learn_difficulty(made, errors)
        made.spread = self._spread(made.residuals)
        held = self._held(errors, doubts)
        made.situations = (
            situations.plain(held, made.spread)
            | self._familiar(made, doubts)
            | situations.probed(held, made.spread, self.seed)
            | self._machines(made, errors, doubts)
        )
        return made

    def _find_ways(self, made: TargetModel, works: Mapping[str, _Work]) -> None:
        """Take the other way where the targets on it know the same runs, and enough of them to err apart."""
        parts = _WAYS.get(self.name, {})
        if len(self.rows) >= ROWS_FOR_DIFFICULTY and all(
            name in works and works[name].predictor.errors_ and works[name].repeats == self.repeats
            for name in parts
        ):
            made.ways = parts
            self.ways = [(power, works[name]) for name, power in parts.items()]

    def _both_ways(self, told: Callable[[_Work], Floats]) -> Floats:
        return both_ways(told(self), [(power, told(work)) for power, work in self.ways])

    def _single(self, residuals: Floats) -> Floats:
        """The errors of single measurements, from those of the rows they belong to."""
        return np.asarray(residuals[[k for k, _ in self.each]] + self.noise)

    def _held(self, errors: Floats, doubts: Floats, *, new_machine: bool = False) -> list[Held]:
        return [
            Held(
                group=self.groups[self.kept[k]],
                configuration=self.kept[k],
                hardware=c.hardware,
                seen=Seen(
                    c.video, c.encoder, c.hardware if new_machine else None, float(doubt), float(error)
                ),
            )
            for (k, c), error, doubt in zip(self.each, errors, doubts, strict=True)
        ]

    def _learn_difficulty(self, made: TargetModel, errors: Floats) -> Floats:
        """Learn how far off the model tends to be; returned is each row's variance as told by other groups.

        By other groups: a forest that has seen a video's errors knows them by the video's length.
        """
        x = self.x[[self.kept[k] for k, _ in self.each]]
        if len(errors) < ROWS_FOR_DIFFICULTY:
            return variances(None, made.typical_error, x)
        forest = ExtraTreesRegressor(
            60, min_samples_leaf=15, max_features=0.5, bootstrap=True, random_state=self.seed
        )
        numbers = fold_numbers([self.groups[self.kept[k]] for k, _ in self.each], _FOLDS, self.seed + 1)
        absolute = np.abs(errors)
        told = np.empty(len(errors))
        for fold in np.unique(numbers):
            out = numbers == fold
            part = clone(forest).fit(x[~out], absolute[~out])
            told[out] = variances(part, made.typical_error, x[out])
        made.difficulty = forest.fit(x, absolute)
        return told

    def _familiar(self, made: TargetModel, doubts: Floats) -> dict[str, situations.Situation]:
        """What training knows of its videos, and errors on other configurations of them.

        The chosen models again, rows held out singly: what a video's errors then share is its correction.
        """
        if len(set(self.groups)) == len(self.groups):
            return {}
        x, y, weights = self.x[self.kept], np.log(self.y[self.kept]), self.weights[self.kept]
        numbers = fold_numbers(range(len(y)), _FEWER_FOLDS, self.seed)
        models = self._models(len(y), x.shape[1], made)
        self.by_row = np.mean([out_of_fold(m, x, y, weights, numbers) for m in models], axis=0)
        residuals = y - self._both_ways(lambda work: work.by_row)
        made.content_spread = self._spread(residuals)
        held = self._held(self._single(residuals), doubts)
        made.content = _content(held, made.content_spread, self.design.encoding.encoders)
        return situations.familiar(held, made.content_spread, self.seed)

    def _spread(self, residuals: Floats) -> Spread:
        rows = [self.rows[i] for i in self.kept]
        shared = video_variances(residuals, [c.video for c in rows], [c.encoder for c in rows])
        return Spread.of_target(self.name, *shared)

    def _models(self, rows: int, columns: int, made: TargetModel) -> list[Any]:
        found = candidates(rows, columns, self.seed)
        return [found[n] for n in made.predictor.chosen_ if n in found] or [found["mean"]]

    def _machines(self, made: TargetModel, errors: Floats, doubts: Floats) -> dict[str, situations.Situation]:
        """Errors on each machine as if it were new."""
        machines = sorted({c.hardware for c in self.rows})
        if len(machines) > _MACHINES_PLAYED:
            machines = sorted(
                np.random.default_rng(self.seed).choice(machines, _MACHINES_PLAYED, replace=False)
            )
        held = self._held(errors, doubts, new_machine=True)
        if len(machines) == 1:
            return situations.calibrated([held], made.spread, self.seed, differ=False)
        self.strange = np.full(len(self.each), np.nan)
        played = [part for machine in machines if (part := self._as_new(made, machine, held))]
        return situations.calibrated(played, made.spread, self.seed, differ=True)

    def _as_new(self, made: TargetModel, machine: str, held: Sequence[Held]) -> list[Held]:
        """A machine's rows, predicted by the chosen models fitted without it and without their video.

        Empty where the others do not carry it: too few rows, or an encoder that they lack.
        """
        outside = [i for i, c in enumerate(self.rows) if c.hardware != machine]
        mine = [n for n, (_, c) in enumerate(self.each) if c.hardware == machine]
        encoders = {self.rows[i].encoder for i in outside}
        if len(outside) < _FEWEST_ROWS_ELSEWHERE or {self.each[n][1].encoder for n in mine} - encoders:
            return []
        numbers = fold_numbers(self.groups, _FEWER_FOLDS, self.seed)
        found: list[Held] = []
        for fold in np.unique(numbers):
            train = [i for i in outside if numbers[i] != fold]
            # as many as there were when the models were chosen
            train = [train[i] for i in some_rows(len(train), len(self.kept), self.seed)]
            test = [n for n in mine if numbers[self.kept[self.each[n][0]]] == fold]
            if train and test:
                self.strange[test] = self._predicted(made, train, [self.each[n][1] for n in test])
                logs = self._both_ways(lambda work: work.strange)[test]
                found += [
                    _with_error(held[n], math.log(self.each[n][1].targets[self.name]) - float(log))
                    for n, log in zip(test, logs, strict=True)
                ]
        return found

    def _predicted(self, made: TargetModel, train: Sequence[int], cases: Sequence[Case]) -> Floats:
        rows, groups = [self.rows[i] for i in train], [self.groups[i] for i in train]
        own, x = learn_design(rows, groups, Encoding.learn(rows), self.seed)
        y = np.log(self.y[list(train)])
        fitted = [fit(m, x, y, self.weights[list(train)]) for m in self._models(len(rows), x.shape[1], made)]
        return np.asarray(np.mean([over_machines(own, cases, m.predict) for m in fitted], axis=0))


def _content(
    held: Sequence[Held], spread: Spread, encoders: Sequence[str]
) -> dict[str, dict[str, tuple[float, float]]]:
    """Of each video with enough configurations, by encoder: the correction and the variance explained."""
    by_video: dict[str, list[Held]] = defaultdict(list)
    for h in held:
        if h.seen.video is not None:
            by_video[h.seen.video].append(h)
    return {
        video: {e: learned(Seen(video, e, None, 0.0), [h.seen for h in rows], spread) for e in encoders}
        for video, rows in by_video.items()
        if len({h.configuration for h in rows}) >= _FEWEST_OF_A_VIDEO
    }


def _with_error(held: Held, error: float) -> Held:
    return msgspec.structs.replace(held, seen=msgspec.structs.replace(held.seen, error=error))
