"""Which configuration to use: constraints, a front that knows the noise, a choice with its probability.

Options that hold the constraints, and those of which a figure is lacking that would tell, have a value to be
least. What those values may truly be is drawn (`advisor.advice.probability`), and every doubt is a question
to the draws: in how many of them an option is the least or the knee, and by how much a run that made one of
them known would lower the choice. Where the options do not carry a choice there is none, and a reason.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from advisor.advice.configuration import (
    OBJECTIVES,
    VALUES,
    Constraints,
    FrontPoint,
    NextRun,
    Option,
    Pick,
    Recommendation,
)
from advisor.advice.knee import knees_of
from advisor.advice.probability import plausible_values, probabilities_of_least
from advisor.common.checked import checked
from advisor.common.front import front
from advisor.cost.checks import Positive
from advisor.errors import InputError

if TYPE_CHECKING:
    from advisor.results import Run

_MOST_NEXT = 3
_LEAST_GAIN = 1e-4
_LEAST_MOVE = 0.01
"""Probability that another option turns out to be the knee."""
_NEXT_TO_NOTHING = 1e-60
_CLEAR = 1.645
"""Standard deviations beyond which one value counts as better than another (95 %, one side)."""
Floats = NDArray[np.float64]


class TranscodingRecommender:
    """Recommends one configuration.

    Parameters
    ----------
    objective
        ``cost``, ``energy``, ``carbon``, ``bitrate`` or ``speed``; or weights of several, for instance
        ``{"energy": 1, "bitrate": 0.5}``. The weighted geometric mean of the values is minimised, so units do
        not matter.
    constraints
        Limits to meet. An unknown value does not meet a limit.
    seed
        Seed of the random draws behind probabilities; the same options give the same answer.
    accept_invalid
        Also compare options with ``validity`` reasons; otherwise they are left out and counted.

    Raises
    ------
    InputError
        The objective is unknown, or a weight is not positive.

    >>> values = {"fast": (14.0, 90.0), "slow": (40.0, 95.0)}
    >>> options = [
    ...     Option(
    ...         run_id="r", scenario=name, basis="measured", energy_joules_per_video_second=joules, vmaf=vmaf
    ...     )
    ...     for name, (joules, vmaf) in values.items()
    ... ]
    >>> TranscodingRecommender("energy", Constraints(min_vmaf=85)).recommend(options).choice.scenario
    'fast'
    """

    def __init__(
        self,
        objective: str | Mapping[str, float] = "energy",
        constraints: Constraints | None = None,
        seed: int = 0,
        *,
        accept_invalid: bool = False,
    ) -> None:
        self.weights = _weights(objective)
        self.objective = "+".join(self.weights)
        self.constraints: Constraints = checked(constraints or {}, Constraints, field="constraints")
        self.seed = seed
        self.accept_invalid = accept_invalid
        self.options: list[Option] = []
        """Options from `from_results`."""
        self.notes: list[str] = []
        """What was left out on the way from results to ``options``."""

    @classmethod
    def from_results(
        cls,
        results: str | Path | Run | Sequence[str | Path | Run],
        objective: str | Mapping[str, float] = "energy",
        constraints: Constraints | None = None,
        *,
        seed: int = 0,
        accept_invalid: bool = False,
        **how: Any,
    ) -> TranscodingRecommender:
        """A recommender with the options in result files.

        Parameters
        ----------
        results
            A result file, a folder of them, runs, or several of these.
        how
            Keyword arguments of `advisor.advice.from_results.options_of`: ``model`` (prices, a `CostModel`),
            ``models_dir`` (models that replace power that was not measured), ``input_name``.

        Raises
        ------
        InputError
            A path holds no results, or an argument is invalid.
        NotEnoughDataError
            There are several inputs without a common configuration.
        """
        from advisor.advice.from_results import options_of

        recommender = cls(objective, constraints, seed, accept_invalid=accept_invalid)
        given = options_of(results, accept_invalid=accept_invalid, **how)
        invalid = [f"{text}, not valid: {reasons}" for text, reasons in given.invalid_repeats]
        recommender.options, recommender.notes = given.options, [*given.notes, *invalid]
        return recommender

    def value(self, option: Option) -> float | None:
        """The value to minimise: the objective's, or the weighted geometric mean of several.

        None if one of them is unknown, or one of several is negative.
        """
        values = [value for name in self.weights if (value := option.objective(name)) is not None]
        if len(values) < len(self.weights) or (len(values) > 1 and min(values) < 0):
            return None
        if len(values) == 1:
            return float(values[0])
        # of several that have a 0 in common the others decide
        logs = [math.log(max(value, _NEXT_TO_NOTHING)) for value in values]
        return math.exp(np.average(logs, weights=list(self.weights.values())))

    @property
    def noisy_share(self) -> float:
        """The part of the weights whose objective is noisy; bitrates are known as they are."""
        noisy = sum(weight for name, weight in self.weights.items() if name != "bitrate")
        return noisy / sum(self.weights.values())

    def noise(self, option: Option) -> float:
        """Relative standard deviation of `value` that is the option's own."""
        return option.noise_ratio * self.noisy_share

    def recommend(self, options: Iterable[Option] | None = None) -> Recommendation:
        """The best option that meets the constraints; without a VMAF floor, the knee of the front.

        Parameters
        ----------
        options
            Options to choose from; default: those of `from_results`.

        Raises
        ------
        InputError
            An item is not an `Option`.
        """
        options = self.options if options is None else list(options)
        for option in options:
            if not isinstance(option, Option):
                raise InputError(f"expected advisor.Option, got {type(option).__name__}", subject="options")
        obstacles = [self._obstacle(option) for option in options]
        comparable = [option for option, obstacle in zip(options, obstacles, strict=True) if not obstacle]
        limits = self.constraints
        if not limits.has_floor:  # the choice is between pictures: one that nobody scored takes no part
            limits = replace(limits, min_vmaf=0.0)
        verdicts = [limits.verdict(option) for option in comparable]
        judged = list(zip(comparable, verdicts, strict=True))
        field = _Field(
            self,
            [option for option, (holds, _) in judged if holds],
            [(option, why) for option, (holds, why) in judged if holds is None],
        )
        choice, reason = self._choice(options, comparable, field)
        names = [OBJECTIVES[name] for name in self.weights]
        return Recommendation(
            objective=self.objective,
            unit=names[0] if len(names) == 1 else "weighted geometric mean",
            constraints=self.constraints,
            choice=None if choice is None else field.pick(choice),
            reason=reason,
            front=field.points(),
            knee=None if field.knee is None else field.pick(field.knee),
            next_runs=field.next_runs(choice),
            left_out=dict(Counter(why for why in (*obstacles, *(why for _, why in verdicts)) if why)),
        )

    def _obstacle(self, option: Option) -> str:
        """Why an option takes no part at all, empty where it does."""
        if option.validity and not self.accept_invalid:
            return f"not valid: {', '.join(option.validity)}"
        values = {name: option.objective(name) for name in self.weights}
        unknown = [name for name, value in values.items() if value is None]
        if unknown:
            return f"{' and '.join(unknown)} unknown"
        negative = [name for name, value in values.items() if value is not None and value < 0]
        if negative and len(values) > 1:
            return f"{' and '.join(negative)} below 0, which cannot be weighed"
        return ""

    def _choice(
        self, options: Sequence[Option], comparable: Sequence[Option], field: _Field
    ) -> tuple[int | None, str]:
        if not options:
            return None, "there is nothing to choose from"
        if not comparable:
            if all(o.validity for o in options) and not self.accept_invalid:
                return None, f"none of {len(options)} scenarios is valid: accept_invalid compares them anyway"
            return None, f"{self.objective} is unknown for each of {len(options)} scenarios"
        has_floor = self.constraints.has_floor
        if not has_floor and all(o.vmaf is None for o in comparable):
            return (
                None,
                "quality is unknown and no VMAF floor was given: the least value may have the worst picture",
            )
        if not field.held:
            return None, f"none of {len(comparable)} scenarios meets the constraints"
        if has_floor:
            best = min(range(field.held), key=lambda i: (field.values[i], -field.vmaf(i)))
            return best, f"least {self.objective} of {field.held} that meet the constraints"
        if field.held == 1:
            return None, "only one scenario: there is nothing to choose from"
        if len({(field.values[i], field.vmaf(i)) for i in field.front}) == 1:
            return field.front[0], f"least {self.objective} and also the highest VMAF"
        if field.knee is None:
            return None, "no VMAF floor was given and the front has no knee: give --min-vmaf"
        return field.knee, f"no VMAF floor was given: the knee of the front of {self.objective} and VMAF"


class _Field:
    """Options with a value to be least: those that hold the constraints, then those of which one may hold.

    ``draws`` are plausible true values of those that hold, shape (draws, held), and the front is of these,
    cheapest first.
    """

    def __init__(
        self, of: TranscodingRecommender, holding: Sequence[Option], unsure: Sequence[tuple[Option, str]]
    ) -> None:
        self._of = of
        self.options = [*holding, *(option for option, _ in unsure)]
        self.lacking = [why for _, why in unsure]
        """What the last options lack."""
        self.held = len(holding)
        self.values = np.array([of.value(option) for option in self.options], dtype=float)
        self.draws = self._drawn(self.held)
        self.least = probabilities_of_least(self.draws)
        scored = [i for i in range(self.held) if self.options[i].vmaf is not None]
        self.front = sorted(front(scored or range(self.held), self._dominates), key=lambda i: self.values[i])
        knees = self._knees(self.values[None])
        self.knee = None if knees[0] < 0 else self.front[knees[0]]
        self.knee_probability = float((self._knees(self.draws) == knees[0]).mean())

    def _drawn(self, count: int) -> Floats:
        """Plausible values of the first options, shape (draws, count)."""
        options = self.options[:count]
        return plausible_values(
            self.values[:count],
            np.array([self._of.noise(option) for option in options]),
            self._of.noisy_share * np.array([option.shared_noise_ratio for option in options]),
            [option.basis for option in options],
            [option.noise_degrees for option in options],
            self._of.seed,
        )

    def vmaf(self, index: int) -> float:
        """Of an option; 0 where it is not known."""
        return self.options[index].vmaf or 0.0

    def _dominates(self, a: int, b: int) -> bool:
        """``a`` is no worse in either and better beyond the noise in one."""
        ours, theirs = self.values[a], self.values[b]
        if ours > theirs or self.vmaf(a) < self.vmaf(b):
            return False
        noise = math.hypot(ours * self._of.noise(self.options[a]), theirs * self._of.noise(self.options[b]))
        return bool(theirs - ours > _CLEAR * noise) or self.vmaf(a) > self.vmaf(b)

    def _knees(self, values: Floats) -> NDArray[np.int64]:
        """Which of the front is the knee at each row of values; -1 for none."""
        return knees_of(values[:, self.front], np.array([self.vmaf(i) for i in self.front]))

    def points(self) -> tuple[FrontPoint, ...]:
        """The front as it is answered."""
        points = []
        for place, index in enumerate(self.front):
            option, step = self.options[index], None
            # the mean itself, where `value` tells apart what has a 0 in common
            value = 0.0 if 0 in map(option.objective, self._of.weights) else float(self.values[index])
            higher = [i for i in self.front[place + 1 :] if self.vmaf(i) > self.vmaf(index)]
            if higher and value > 0:
                step = float(self.values[higher[0]] / value - 1) / (self.vmaf(higher[0]) - self.vmaf(index))
            points.append(
                FrontPoint(
                    run_id=option.run_id,
                    scenario=option.scenario,
                    basis=option.basis,
                    objective_value=value,
                    vmaf=option.vmaf,
                    validity=option.validity,
                    probability_best=self.least[index],
                    next_vmaf_point_ratio=step,
                )
            )
        return tuple(points)

    def pick(self, index: int) -> Pick:
        """One of those that hold, as it is answered."""
        option = self.options[index]
        return Pick(
            run_id=option.run_id,
            scenario=option.scenario,
            basis=option.basis,
            tier=option.tier,
            values={name: getattr(option, name) for name in (*VALUES, "currency")},
            validity=option.validity,
            probability_best=self.least[index],
            probability_knee=self.knee_probability if index == self.knee else None,
        )

    def next_runs(self, choice: int | None) -> tuple[NextRun, ...]:
        """The runs whose result would change the choice most, on the average over what is plausible.

        Knowing option i exactly is worth the expected amount by which the better of i and the choice is less
        than the choice (expected improvement); knowing the choice itself, the amount by which the next best
        may be less. What lacks a value that a constraint needs gains what it does if that holds.

        A knee is not the least value, and nothing is gained on it by a lesser one: first come those of the
        front that would move it.
        """
        is_knee = choice is not None and choice == self.knee and not self._of.constraints.has_floor
        if choice is None or is_knee:
            moves = {i: self._knee_moves(i) for i in self.front} if is_knee else {}
            movers = sorted((i for i in moves if moves[i] > _LEAST_MOVE), key=lambda i: -moves[i])
            unsure = sorted(range(self.held, len(self.options)), key=lambda i: self.values[i])
            return tuple(
                self._run(i, None, "chosen" if i == choice else "may move the knee")
                for i in [*movers, *unsure][:_MOST_NEXT]
            )
        value, draws = self.values[choice], self._drawn(len(self.options))
        gains = np.maximum(value - draws, 0).mean(axis=0)
        rivals = np.delete(self.values[: self.held], choice)
        gains[choice] = np.maximum(draws[:, choice] - rivals.min(), 0).mean() if len(rivals) else 0.0
        if not abs(value) > gains.max() / np.finfo(float).max:  # nothing is a share of nothing
            return ()
        gains /= abs(value)
        order = [int(i) for i in np.argsort(-gains, kind="stable") if gains[i] > _LEAST_GAIN]
        return tuple(
            self._run(i, round(float(gains[i]), 6), "chosen" if i == choice else "may be better")
            for i in order[:_MOST_NEXT]
        )

    def _knee_moves(self, index: int) -> float:
        """How probably another option is the knee once the true value of this one is known."""
        known = np.tile(self.values[: self.held], (len(self.draws), 1))
        known[:, index] = self.draws[:, index]
        return float(np.mean(self._knees(known) != self._knees(self.values[None])))

    def _run(self, index: int, gain: float | None, standing: str = "") -> NextRun:
        option = self.options[index]
        doubt = math.hypot(option.noise_ratio, option.shared_noise_ratio)
        times = "once" if option.repeats == 1 else f"{option.repeats} times"
        why = f"{standing}, and measured {times}, give or take {doubt:.1%}"
        if index >= self.held:
            why = self.lacking[index - self.held]
        elif option.basis == "predicted":
            why = f"{standing}, and only predicted, give or take {doubt:.0%}"
        return NextRun(run_id=option.run_id, scenario=option.scenario, why=why, expected_gain_ratio=gain)


def _weights(objective: str | Mapping[str, float]) -> dict[str, float]:
    given_weights = {objective: 1.0} if isinstance(objective, str) else objective
    weights: dict[str, Any] = checked(given_weights, dict[str, Any], field="objective")
    for name in weights or ("none",):
        if name not in OBJECTIVES:
            raise InputError(f"expected one of {', '.join(OBJECTIVES)}, got {name!r}", subject="objective")
    return {name: checked(weight, Positive, field=f"objective.{name}") for name, weight in weights.items()}
