"""Which configuration to use: constraints, a front that knows the noise, a choice with its probability.

An option is one configuration with what is known of it, measured or predicted; how sure a value is decides
what counts as better. Where the options do not carry a choice there is none, and a reason.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
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
from advisor.common.front import front as not_dominated
from advisor.cost.checks import Positive
from advisor.errors import InputError

if TYPE_CHECKING:
    from advisor.results import Run

_MOST_NEXT = 3
_LEAST_GAIN = 1e-4
_NEXT_TO_NOTHING = 1e-60
_CLEAR = 1.645
"""Standard deviations beyond which one value counts as better than another (95 %, one side)."""
Floats = NDArray[np.float64]


class TranscodingRecommender:
    """Recommends one configuration.

    Parameters
    ----------
    objective
        ``cost``, ``energy``, ``carbon`` or ``bitrate``; or weights of several, for instance
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
        values = self._weighed(option)
        if None in values or (len(values) > 1 and min(values) < 0):
            return None
        if len(values) == 1:
            return float(values[0])
        weights = list(self.weights.values())
        # of several that have a 0 in common the others decide
        logs = [math.log(max(value, _NEXT_TO_NOTHING)) for value in values]
        return math.exp(sum(w * log for w, log in zip(weights, logs, strict=True)) / sum(weights))

    def _weighed(self, option: Option) -> list[Any]:
        return [getattr(option, OBJECTIVES[name]) for name in self.weights]

    @property
    def _unit(self) -> str:
        names = [OBJECTIVES[name] for name in self.weights]
        return names[0] if len(names) == 1 else "weighted geometric mean"

    @property
    def _noisy_share(self) -> float:
        """The part of the weights whose objective is noisy; bitrates are known as they are."""
        noisy = sum(weight for name, weight in self.weights.items() if name != "bitrate")
        return noisy / sum(self.weights.values())

    def noise(self, option: Option) -> float:
        """Relative standard deviation of `value` that is the option's own."""
        return option.noise_ratio * self._noisy_share

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
        reasons = [self._left_out(o) for o in options]
        comparable = [o for o, reason in zip(options, reasons, strict=True) if not reason]
        verdicts = [(o, *self._verdict(o)) for o in comparable]
        feasible = [o for o, holds, _ in verdicts if holds]
        front = self._front(feasible)
        knee, knees = self._knee(front)
        choice, reason = self._choice(options, comparable, feasible, front, knee)
        least = dict(zip(map(id, feasible), probabilities_of_least(self._draws(feasible)), strict=True))
        return Recommendation(
            objective=self.objective,
            unit=self._unit,
            constraints=self.constraints,
            choice=_pick(choice, least, knees if choice is knee else {}) if choice else None,
            reason=reason,
            front=self._points(front, least),
            knee=_pick(knee, least, knees) if knee else None,
            next_runs=self._next_runs(feasible, choice, [o for o, holds, _ in verdicts if holds is None]),
            left_out=dict(Counter(why for why in (*reasons, *(why for _, _, why in verdicts)) if why)),
        )

    @property
    def _floor(self) -> bool:
        return self.constraints.min_vmaf is not None or self.constraints.min_vmaf_p5 is not None

    def _required(self, option: Option) -> float:
        value = self.value(option)
        if value is None:
            raise AssertionError("options without a value were left out")
        return value

    def _left_out(self, option: Option) -> str:
        """Why an option takes no part at all, empty where it does."""
        if option.validity and not self.accept_invalid:
            return f"not valid: {', '.join(option.validity)}"
        values = {name: getattr(option, OBJECTIVES[name]) for name in self.weights}
        unknown = [name for name, value in values.items() if value is None]
        if unknown:
            return f"{' and '.join(unknown)} unknown"
        negative = [name for name, value in values.items() if value < 0 and len(values) > 1]
        return f"{' and '.join(negative)} below 0, which cannot be weighed" if negative else ""

    def _verdict(self, option: Option) -> tuple[bool | None, str]:
        """Whether the constraints hold, None where a value that one needs is not known, and what to say."""
        c = self.constraints
        limits = (
            # without a floor the choice is between pictures: one that nobody scored takes no part
            ("VMAF", option.vmaf, c.min_vmaf if self._floor else 0.0, 1),
            ("5th percentile of VMAF", option.vmaf_p5, c.min_vmaf_p5, 1),
            ("bitrate", option.bitrate_kbps, c.max_bitrate_kbps, -1),
            ("speed", option.encode_speed_ratio, c.min_speed, 1),
            ("mean watts", option.mean_power_watts, c.max_watts, -1),
        )
        unknown = ""
        for name, value, limit, sign in limits:
            if limit is not None and value is None:
                unknown = unknown or f"{name} unknown"
            elif limit is not None and value is not None and sign * (value - limit) < 0:
                return False, f"{name} {'below' if sign > 0 else 'above'} {limit:g}"
        return (None, unknown) if unknown else (True, "")

    def _choice(
        self,
        options: Sequence[Option],
        comparable: Sequence[Option],
        feasible: Sequence[Option],
        front: Sequence[Option],
        knee: Option | None,
    ) -> tuple[Option | None, str]:
        if not options:
            return None, "there is nothing to choose from"
        if not comparable:
            invalid = all(o.validity for o in options) and not self.accept_invalid
            problem = "no scenario is valid" if invalid else f"{self.objective} is unknown for each"
            return None, f"{problem} of {len(options)} scenarios"
        if not self._floor and all(o.vmaf is None for o in comparable):
            return (
                None,
                "quality is unknown and no VMAF floor was given: the least value may have the worst picture",
            )
        if not feasible:
            return None, f"none of {len(comparable)} scenarios meets the constraints"
        best = min(feasible, key=lambda o: (self._required(o), -(o.vmaf or 0.0)))
        if self._floor:
            return best, f"least {self.objective} of {len(feasible)} that meet the constraints"
        if len(feasible) == 1:
            return None, "only one scenario: there is nothing to choose from"
        if len({(self._required(o), o.vmaf) for o in front}) == 1:
            return front[0], f"least {self.objective} and also the highest VMAF"
        if knee is None:
            return None, "no VMAF floor was given and the front has no knee: give --min-vmaf"
        return knee, f"no VMAF floor was given: the knee of the front of {self.objective} and VMAF"

    def _dominates(self, a: Option, b: Option) -> bool:
        """``a`` is no worse in either and better beyond the noise in one."""
        ours, theirs = self._required(a), self._required(b)
        if ours > theirs or (a.vmaf or 0.0) < (b.vmaf or 0.0):
            return False
        noise = math.hypot(ours * self.noise(a), theirs * self.noise(b))
        return theirs - ours > _CLEAR * noise or (a.vmaf or 0.0) > (b.vmaf or 0.0)

    def _front(self, options: Sequence[Option]) -> list[Option]:
        """Options that none dominates, cheapest first."""
        scored = [o for o in options if o.vmaf is not None] or list(options)
        return sorted(not_dominated(scored, self._dominates), key=self._required)

    def _points(self, front: Sequence[Option], least: Mapping[int, float]) -> tuple[FrontPoint, ...]:
        points = []
        for index, option in enumerate(front):
            value, step = self._required(option), None
            higher = [o for o in front[index + 1 :] if (o.vmaf or 0) > (option.vmaf or 0)]
            if higher and value > 0 and option.vmaf is not None and higher[0].vmaf is not None:
                step = (self._required(higher[0]) / value - 1) / (higher[0].vmaf - option.vmaf)
            points.append(
                FrontPoint(
                    run_id=option.run_id,
                    scenario=option.scenario,
                    basis=option.basis,
                    # the mean itself, where `value` tells apart what has a 0 in common
                    objective_value=0.0 if 0 in self._weighed(option) else value,
                    vmaf=option.vmaf,
                    validity=option.validity,
                    probability_best=least.get(id(option)),
                    next_vmaf_point_ratio=step,
                )
            )
        return tuple(points)

    def _draws(self, options: Sequence[Option]) -> Floats:
        """Plausible values, shape (draws, options)."""
        share = self._noisy_share
        return (
            plausible_values(
                np.array([self._required(o) for o in options], dtype=float),
                np.array([o.noise_ratio * share for o in options]),
                np.array([o.shared_noise_ratio * share for o in options]),
                [o.basis for o in options],
                [o.noise_degrees for o in options],
                self.seed,
            )
            if options
            else np.empty((0, 0))
        )

    def _knee(self, front: Sequence[Option]) -> tuple[Option | None, dict[int, float]]:
        """The knee of the front, and how probably each option is it; the ends are none."""
        scored = [o for o in front if o.vmaf is not None]
        qualities = np.array([o.vmaf for o in scored], dtype=float)
        knee = knees_of(np.array([[self._required(o) for o in scored]]), qualities)[0]
        knees = knees_of(self._draws(scored), qualities)
        return (
            scored[knee] if knee >= 0 else None,
            {id(o): float((knees == i).mean()) for i, o in enumerate(scored) if len(scored) > 2},
        )

    def _next_runs(
        self, options: Sequence[Option], choice: Option | None, unsure: Sequence[Option]
    ) -> tuple[NextRun, ...]:
        """The runs whose result would change the choice most, on the average over what is plausible.

        Knowing option i exactly is worth the expected amount by which the better of i and the choice is less
        than the choice (expected improvement); knowing the choice itself, the amount by which the next best
        may be less. ``unsure`` lack a value that a constraint needs: they gain what they do if it holds.
        """
        if choice is None:
            cheapest = sorted(unsure, key=self._required)
            return tuple(_next_run(o, self._verdict(o)[1], None) for o in cheapest[:_MOST_NEXT])
        pool = [*options, *unsure]
        values, draws = np.array([self._required(o) for o in pool]), self._draws(pool)
        at = next(i for i, o in enumerate(pool) if o is choice)
        gains = np.maximum(values[at] - draws, 0).mean(axis=0)
        rivals = np.delete(values[: len(options)], at)
        gains[at] = np.maximum(draws[:, at] - rivals.min(), 0).mean() if len(rivals) else 0.0
        if not abs(values[at]) > gains.max() / np.finfo(float).max:  # nothing is a share of nothing
            return ()
        gains /= abs(values[at])
        order = [int(i) for i in np.argsort(-gains, kind="stable") if gains[i] > _LEAST_GAIN][:_MOST_NEXT]
        return tuple(
            _next_run(
                pool[i],
                self._verdict(pool[i])[1] or _why(pool[i], pool[i] is choice),
                round(float(gains[i]), 6),
            )
            for i in order
        )


def _weights(objective: str | Mapping[str, float]) -> dict[str, float]:
    given_weights = {objective: 1.0} if isinstance(objective, str) else objective
    weights: dict[str, Any] = checked(given_weights, dict[str, Any], field="objective")
    for name in weights or ("none",):
        if name not in OBJECTIVES:
            raise InputError(f"expected one of {', '.join(OBJECTIVES)}, got {name!r}", subject="objective")
    return {name: checked(weight, Positive, field=f"objective.{name}") for name, weight in weights.items()}


def _next_run(option: Option, why: str, gain: float | None) -> NextRun:
    return NextRun(run_id=option.run_id, scenario=option.scenario, why=why, expected_gain_ratio=gain)


def _why(option: Option, chosen: bool) -> str:
    what = "chosen" if chosen else "may be better"
    doubt = math.hypot(option.noise_ratio, option.shared_noise_ratio)
    if option.basis == "predicted":
        return f"{what}, and only predicted (give or take {doubt:.0%})"
    return f"{what}, and measured {option.repeats} time(s) (give or take {doubt:.1%})"


def _pick(option: Option, least: Mapping[int, float], knees: Mapping[int, float]) -> Pick:
    return Pick(
        run_id=option.run_id,
        scenario=option.scenario,
        basis=option.basis,
        tier=option.tier,
        values={name: getattr(option, name) for name in (*VALUES, "currency")},
        validity=option.validity,
        probability_best=least.get(id(option)),
        probability_knee=knees.get(id(option)),
    )
