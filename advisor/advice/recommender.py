"""Which configuration to use: constraints, a front that knows the noise, a choice with its probability.

Pure: options in, a recommendation out. An option is one configuration with what is known of it, measured or
predicted; how sure a value is decides what counts as better. Where the options do not carry a choice there is
none, and a reason.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from advisor.advice.configuration import (
    OBJECTIVES,
    Constraints,
    FrontPoint,
    NextRun,
    Option,
    Pick,
    Recommendation,
)
from advisor.errors import InputError

__all__ = [
    "OBJECTIVES",
    "Constraints",
    "FrontPoint",
    "NextRun",
    "Option",
    "Pick",
    "Recommendation",
    "TranscodingRecommender",
]

_DRAWS = 4000
_MOST_NEXT = 3
_LEAST_GAIN = 1e-4
_CLEAR = 1.645
"""Standard deviations beyond which one value counts as better than another (95 %, one side)."""
Floats = NDArray[np.float64]
_VALUES = (
    *("energy_joules_per_video_second", "net_energy_joules_per_video_second", "cost_per_video_hour"),
    *("carbon_grams_per_video_hour", "bitrate_kbps", "vmaf", "vmaf_p5", "encode_speed_ratio"),
    *("mean_power_watts", "currency"),
)


class TranscodingRecommender:
    """Chooses one configuration.

    Parameters
    ----------
    objective
        ``cost``, ``energy``, ``carbon`` or ``bitrate``; or weights of several, for instance
        ``{"energy": 1, "bitrate": 0.5}``: the weighted geometric mean of the values is then minimised, so
        that units do not matter.
    constraints
        What must hold. A value that is not known does not hold.
    seed
        Of the draws behind probabilities; the same options give the same answer.

    Raises
    ------
    InputError
        The objective is not known, or a weight is not positive.
    """

    def __init__(
        self,
        objective: str | Mapping[str, float] = "energy",
        constraints: Constraints | None = None,
        seed: int = 0,
    ) -> None:
        weights = {objective: 1.0} if isinstance(objective, str) else dict(objective)
        for name, weight in weights.items():
            if name not in OBJECTIVES:
                raise InputError(
                    f"expected one of {', '.join(OBJECTIVES)}, got {name!r}", subject="objective"
                )
            if not (weight > 0 and math.isfinite(weight)):
                raise InputError(
                    f"expected a positive weight, got {weight!r}", subject="objective", field=name
                )
        if not weights:
            raise InputError(f"expected one of {', '.join(OBJECTIVES)}", subject="objective")
        self.weights = weights
        self.objective = "+".join(weights)
        self.constraints = constraints or Constraints()
        self.seed = seed

    def value(self, option: Option) -> float | None:
        """What is minimised: the objective's value, or the weighted geometric mean of several."""
        total = 0.0
        for name, weight in self.weights.items():
            value = getattr(option, OBJECTIVES[name])
            if value is None or value <= 0:
                return None
            total += weight * math.log(value)
        return math.exp(total / sum(self.weights.values()))

    @property
    def _unit(self) -> str:
        names = [OBJECTIVES[name] for name in self.weights]
        return names[0] if len(names) == 1 else "weighted geometric mean"

    def noise(self, option: Option) -> float:
        """Relative standard deviation of `value`; bitrates are known as they are."""
        noisy = sum(weight for name, weight in self.weights.items() if name != "bitrate")
        return option.noise_ratio * noisy / sum(self.weights.values())

    def recommend(self, options: Sequence[Option]) -> Recommendation:
        """The best option that holds the constraints; without a floor of quality the knee of the front."""
        known = [o for o in options if not self._missing(o)]
        verdicts = [(o, *self._verdict(o)) for o in known]
        feasible = [o for o, holds, _ in verdicts if holds]
        front = self._front(feasible)
        choice, reason = self._choice(options, known, feasible, front)
        knee = _knee([(o, self._required(o)) for o in front])
        by_id = dict(zip(map(id, feasible), self._probabilities(feasible), strict=True))
        chosen = by_id if choice is not knee or self._floor else self._knee_probabilities(front)
        return Recommendation(
            objective=self.objective,
            unit=self._unit,
            constraints=self.constraints,
            choice=_pick(choice, chosen) if choice else None,
            reason=reason,
            front=self._points(front, by_id),
            knee=_pick(knee, self._knee_probabilities(front)) if knee else None,
            next_runs=self._next_runs(feasible, choice, [o for o, holds, _ in verdicts if holds is None]),
            left_out=dict(
                Counter(
                    reason
                    for reason in (*map(self._missing, options), *(said for _, _, said in verdicts))
                    if reason
                )
            ),
        )

    @property
    def _floor(self) -> bool:
        return self.constraints.min_vmaf is not None or self.constraints.min_vmaf_p5 is not None

    def _required(self, option: Option) -> float:
        value = self.value(option)
        if value is None:
            raise AssertionError("options without a value were left out")
        return value

    def _missing(self, option: Option) -> str | None:
        if self.value(option) is not None:
            return None
        names = [n for n in self.weights if not getattr(option, OBJECTIVES[n])]
        return f"{' and '.join(names)} not known"

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
                unknown = unknown or f"{name} not known"
            elif limit is not None and value is not None and sign * (value - limit) < 0:
                return False, f"{name} {'below' if sign > 0 else 'above'} {limit:g}"
        return (None, unknown) if unknown else (True, "")

    def _choice(
        self,
        options: Sequence[Option],
        known: Sequence[Option],
        feasible: Sequence[Option],
        front: Sequence[Option],
    ) -> tuple[Option | None, str]:
        if not options:
            return None, "there is nothing to choose from"
        if not known:
            return None, f"{self.objective} is not known of any of {len(options)} scenarios"
        if not self._floor and all(o.vmaf is None for o in known):
            return None, "quality is not known and no floor was given: the least would be the worst picture"
        if not feasible:
            return None, f"none of {len(known)} scenarios holds the constraints"
        best = min(feasible, key=self._required)
        if self._floor:
            return best, f"least {self.objective} of {len(feasible)} that hold the constraints"
        if len(feasible) == 1:
            return None, "only one scenario: there is nothing to choose from"
        if len(front) == 1:
            return front[0], f"least {self.objective} and highest VMAF at once"
        knee = _knee([(o, self._required(o)) for o in front])
        if knee is None:
            return None, "no floor of quality was given and the front has no knee: give --min-vmaf"
        return knee, f"no floor of quality was given: the knee of the front of {self.objective} and VMAF"

    def _clearly_less(self, a: Option, b: Option) -> bool:
        """Whether ``a`` costs less than ``b`` beyond the noise of both."""
        gap = math.log(self._required(b)) - math.log(self._required(a))
        return gap > _CLEAR * math.hypot(self.noise(a), self.noise(b)) and gap > 0

    def _dominates(self, a: Option, b: Option) -> bool:
        """``a`` is no worse in either and better beyond the noise in one."""
        if self._required(a) > self._required(b) or (a.vmaf or 0.0) < (b.vmaf or 0.0):
            return False
        return self._clearly_less(a, b) or (a.vmaf or 0.0) > (b.vmaf or 0.0)

    def _front(self, options: Sequence[Option]) -> list[Option]:
        """Options that none dominates, cheapest first."""
        scored = [o for o in options if o.vmaf is not None] or list(options)
        kept = [o for o in scored if not any(self._dominates(other, o) for other in scored)]
        return sorted(kept, key=self._required)

    def _points(self, front: Sequence[Option], best: Mapping[int, float]) -> tuple[FrontPoint, ...]:
        made = []
        for index, option in enumerate(front):
            value, step = self._required(option), None
            higher = [o for o in front[index + 1 :] if (o.vmaf or 0) > (option.vmaf or 0)]
            if higher and option.vmaf is not None and higher[0].vmaf is not None:
                step = (self._required(higher[0]) / value - 1) / (higher[0].vmaf - option.vmaf)
            made.append(
                FrontPoint(
                    run_id=option.run_id,
                    scenario=option.scenario,
                    basis=option.basis,
                    objective_value=value,
                    vmaf=option.vmaf,
                    probability_best=best.get(id(option)),
                    next_vmaf_point_ratio=step,
                )
            )
        return tuple(made)

    def _draws(self, options: Sequence[Option]) -> Floats:
        """Plausible values, shape (draws, options): log-normal about what is known of each."""
        rng = np.random.default_rng(self.seed)
        logs = np.log([self._required(o) for o in options])
        noise = np.array([self.noise(o) for o in options])
        return np.asarray(logs + noise * rng.standard_normal((_DRAWS, len(options))))

    def _probabilities(self, options: Sequence[Option]) -> list[float]:
        """How probably each option has the least value of all."""
        if not options:
            return []
        wins = np.bincount(self._draws(options).argmin(axis=1), minlength=len(options))
        return [float(p) for p in wins / _DRAWS]

    def _knee_probabilities(self, front: Sequence[Option]) -> dict[int, float]:
        """How probably each option of the front is its knee; the ends are none."""
        scored = [o for o in front if o.vmaf is not None]
        if len(scored) < 3:
            return {}
        x, y = self._draws(scored), np.array([o.vmaf for o in scored], dtype=float)
        spans = np.maximum(x[:, -1:] - x[:, :1], 1e-12)
        heights = (y - y[0]) / max(y[-1] - y[0], 1e-12) - (x - x[:, :1]) / spans
        wins = np.bincount(heights.argmax(axis=1), minlength=len(scored))
        return {id(o): float(p) for o, p in zip(scored, wins / _DRAWS, strict=True)}

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
        draws = self._draws(pool)
        at = next(i for i, o in enumerate(pool) if o is choice)
        logs = np.log([self._required(o) for o in pool])
        gains = np.maximum(logs[at] - draws, 0).mean(axis=0)
        rivals = np.delete(logs[: len(options)], at)
        gains[at] = np.maximum(draws[:, at] - rivals.min(), 0).mean() if len(rivals) else 0.0
        order = [int(i) for i in np.argsort(-gains, kind="stable") if gains[i] > _LEAST_GAIN][:_MOST_NEXT]
        return tuple(
            _next_run(
                pool[i],
                self._verdict(pool[i])[1] or _why(pool[i], pool[i] is choice),
                round(float(gains[i]), 6),
            )
            for i in order
        )


def _next_run(option: Option, why: str, gain: float | None) -> NextRun:
    return NextRun(run_id=option.run_id, scenario=option.scenario, why=why, expected_gain_ratio=gain)


def _why(option: Option, chosen: bool) -> str:
    what = "chosen" if chosen else "may be better"
    if option.basis == "predicted":
        return f"{what}, and only predicted (give or take {option.noise_ratio:.0%})"
    return f"{what}, and measured {option.repeats} time(s) (give or take {option.noise_ratio:.1%})"


def _pick(option: Option, probabilities: Mapping[int, float]) -> Pick:
    return Pick(
        run_id=option.run_id,
        scenario=option.scenario,
        basis=option.basis,
        tier=option.tier,
        values={name: getattr(option, name) for name in _VALUES},
        probability_best=probabilities.get(id(option)),
    )


def _knee(front: Sequence[tuple[Option, float]]) -> Option | None:
    """Where more quality begins to cost more than it did: farthest above the chord of the front's ends.

    Both axes are scaled to the front's range, the objective as a logarithm. None for fewer than three points.
    """
    points = [(o, math.log(value), o.vmaf) for o, value in front if o.vmaf is not None]
    if len(points) < 3:
        return None
    (_, x0, y0), (_, x1, y1) = points[0], points[-1]
    if x1 <= x0 or y1 <= y0:
        return None
    heights = [(y - y0) / (y1 - y0) - (x - x0) / (x1 - x0) for _, x, y in points]
    best = max(range(len(points)), key=heights.__getitem__)
    return points[best][0] if heights[best] > 0 else None
