"""What was known when a row was held out, and how far off predictions were then.

An interval holds what it says only in the situation it was calibrated in. Each situation is therefore played
through inside the training data, on rows that were held out:

- ``plain``: nothing of the video is known;
- ``familiar``: training knows other configurations of the video;
- ``probed_1`` to ``probed_3``: so many other runs of the video were measured since (three stand for more);
- ``calibrated_1`` to ``calibrated_3``: the machine is new, and so many runs of other videos on it are known.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from advisor.regression.intervals import conformal_quantile, independent_count
from advisor.regression.offsets import Seen, Spread, corrected
from advisor.regression.validation import fold_numbers, folds, mean_ratio_error

__all__ = [
    "ROWS_FOR_DIFFICULTY",
    "Held",
    "Situation",
    "calibrated",
    "familiar",
    "half_width",
    "named",
    "plain",
    "probed",
]

Floats = NDArray[np.float64]
MOST_TOLD = 3
_LEVEL = 0.9
_SCORES_KEPT = 1000
_ROWS_PLAYED = 800
_FRESH = 0.5
"""What a held-out error is worth beside one of data never touched, where the same errors chose the models and
taught the doubts. At 1, intervals of 90 % held 89.5 % of the energies of new videos in four divisions of a
public data set; at one half 90.3 %."""
ROWS_FOR_DIFFICULTY = 100
"""From which a model's doubts are learned row by row."""


class Situation(Struct, frozen=True):
    """Held-out errors over the doubt that was stated."""

    scores: list[float]
    """Ascending."""
    independent: float
    """How many independent scores would tell as much: those of one group go together."""
    error_ratio: float
    """Mean absolute error."""
    coverage_ratio: float | None
    """Share inside 90 % intervals, each by the scores of other groups; None where they are too few."""


class Held(Struct, frozen=True):
    """One measurement that was held out: where it stands and how far the model was off."""

    group: Hashable
    configuration: int
    """Repeats of one configuration have the same number."""
    hardware: str
    seen: Seen


def named(situation: str, count: int) -> str:
    """The name of a situation with ``count`` measured runs.

    >>> named("probed", 2), named("probed", 9), named("plain", 0)
    ('probed_2', 'probed_3', 'plain')
    """
    if situation in ("plain", "familiar"):
        return situation
    return f"{situation}_{min(max(count, 1), MOST_TOLD)}"


def half_width(situation: Situation, variance: float, level: float) -> float | None:
    """Half of the interval in logarithms, None where the scores are too few for the level."""
    quantile = conformal_quantile(np.array(situation.scores), level, situation.independent)
    return None if quantile is None else quantile * math.sqrt(variance)


class _Result(Struct, frozen=True):
    group: Hashable
    rest: float
    score: float


def _result(held: Held, measured: Sequence[Seen], spread: Spread) -> _Result:
    """The error that remains after the correction, plain and over the doubt that is stated."""
    offset, variance = corrected(held.seen, measured, spread)
    rest = held.seen.error - offset
    return _Result(held.group, rest, abs(rest) / math.sqrt(variance))


def _summed(results: Sequence[_Result]) -> Situation | None:
    if len(results) < 2:
        return None
    raw, groups = np.array([r.score for r in results]), [r.group for r in results]
    scores = np.sort(raw)
    independent = _independent(raw, groups)
    if len(scores) > _SCORES_KEPT:
        scores = np.quantile(scores, np.linspace(0, 1, _SCORES_KEPT))
    return Situation(
        scores=[float(s) for s in scores],
        independent=independent,
        error_ratio=mean_ratio_error(np.array([r.rest for r in results])),
        coverage_ratio=_covered(raw, groups),
    )


def _independent(raw: Floats, groups: Sequence[Hashable]) -> float:
    found = independent_count(raw <= np.quantile(raw, _LEVEL), groups)
    return found if len(raw) < ROWS_FOR_DIFFICULTY else max(1.0, _FRESH * found)


def _covered(raw: Floats, groups: Sequence[Hashable]) -> float | None:
    inside = np.zeros(len(raw), dtype=bool)
    for others, held in folds(fold_numbers(groups, 10)):
        few = _independent(raw[others], [groups[i] for i in others]) if len(others) else 1
        quantile = conformal_quantile(raw[others], _LEVEL, few)
        if quantile is None:
            return None
        inside[held] = raw[held] <= quantile
    return float(inside.mean())


def _made(results: Iterable[tuple[str, Sequence[_Result]]]) -> dict[str, Situation]:
    summed = ((name, _summed(some)) for name, some in results)
    return {name: situation for name, situation in summed if situation is not None}


def plain(held: Sequence[Held], spread: Spread) -> dict[str, Situation]:
    """Rows as they were predicted, nothing measured beside them."""
    return _made([("plain", [_result(h, (), spread) for h in held])])


def familiar(held: Sequence[Held], spread: Spread, seed: int) -> dict[str, Situation]:
    """Rows whose video is known by its other configurations, which tell their errors."""
    by_video = _by_video(held)
    some = np.random.default_rng(seed).permutation(len(held))[:_ROWS_PLAYED]
    results = [_result(held[i], [o.seen for o in _others(held[i], by_video)], spread) for i in some]
    return _made([("familiar", results)])


def _by_video(held: Sequence[Held]) -> dict[str | None, list[Held]]:
    found: dict[str | None, list[Held]] = defaultdict(list)
    for h in held:
        found[h.seen.video].append(h)
    return found


def _others(h: Held, by_video: dict[str | None, list[Held]]) -> list[Held]:
    """Other configurations of the row's video."""
    if h.seen.video is None:
        return []
    return [o for o in by_video[h.seen.video] if o.configuration != h.configuration]


def probed(held: Sequence[Held], spread: Spread, seed: int) -> dict[str, Situation]:
    """Rows with one to three probes of their video, on the same machine where there are such."""
    if spread.video + spread.video_encoder <= 0:
        return {}
    by_video = _by_video(held)
    rng = np.random.default_rng(seed)
    found: list[tuple[str, list[_Result]]] = []
    for count in range(1, MOST_TOLD + 1):
        results = []
        for i in rng.permutation(len(held))[:_ROWS_PLAYED]:
            h = held[i]
            others = _others(h, by_video)
            others = [o for o in others if o.hardware == h.hardware] or others
            if len(others) >= count:
                chosen = rng.choice(len(others), count, replace=False)
                results.append(_result(h, [others[j].seen for j in chosen], spread))
        found.append((named("probed", count), results))
    return _made(found)


def calibrated(
    machines: Sequence[Sequence[Held]], spread: Spread, seed: int, *, differ: bool
) -> dict[str, Situation]:
    """Rows of each machine as if it were new, with one to three runs of other videos on it.

    ``differ``: the errors come from a model that did not know the machine. Else, with a single machine, what
    machines differ by is drawn from what is known of it (`advisor.regression.offsets`).
    """
    rng = np.random.default_rng(seed)
    found: list[tuple[str, list[_Result]]] = []
    for count in range(1, MOST_TOLD + 1):
        results: list[_Result] = []
        for rows in machines:
            calm = _calm(rows)
            for i in rng.permutation(len(rows))[: _ROWS_PLAYED // max(len(machines), 1)]:
                several = [calm[j] for j in rng.permutation(len(calm))[:30]]
                others = [o for o in several if o.group != rows[i].group][:count]
                if len(others) == count:
                    one, *rest = [rows[i], *others] if differ else _moved([rows[i], *others], spread, rng)
                    results.append(_result(one, [o.seen for o in rest], spread))
        found.append((named("calibrated", count), results))
    return _made(found)


def _calm(rows: Sequence[Held]) -> list[Held]:
    """The half that is least in doubt: nobody calibrates a machine with a run of a second."""
    middle = float(np.median([h.seen.variance for h in rows])) if rows else 0.0
    return [h for h in rows if h.seen.variance <= middle]


def _moved(rows: Sequence[Held], spread: Spread, rng: np.random.Generator) -> list[Held]:
    """The same rows on a machine that differs by encoder and by configuration."""
    by_encoder: dict[str, float] = defaultdict(
        lambda: float(rng.normal(0, math.sqrt(spread.machine_encoder)))
    )
    return [
        Held(h.group, h.configuration, h.hardware, _shifted(h.seen, by_encoder[h.seen.encoder], spread, rng))
        for h in rows
    ]


def _shifted(s: Seen, by_encoder: float, spread: Spread, rng: np.random.Generator) -> Seen:
    own = float(rng.normal(0, math.sqrt(spread.machine_noise)))
    return Seen(s.video, s.encoder, s.machine, s.variance, s.error + by_encoder + own)
