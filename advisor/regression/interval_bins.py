"""Prediction intervals from errors on held-out rows, by what was known of them (Mondrian conformal).

A *prediction* interval says where one new measurement will fall; it holds what it says only in the situation
it was calibrated in. Each situation is therefore played through inside the training data and is a bin of its
own:

- ``plain``: nothing of the video is known;
- ``familiar``: training knows other configurations of the video;
- ``probed_1`` to ``probed_3``: so many other runs of the video were measured since (three stand for more);
- ``calibrated_1`` to ``calibrated_3``: the machine is new, and so many runs of other videos on it are known.

Rows of one group (a video) go together, so a bin counts as few independent rows.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import stats
from sklearn.model_selection import GroupKFold

from advisor.errors import InputError
from advisor.regression.residual_kriging import ResidualAt, SharedVariances, corrected

Floats = NDArray[np.float64]
_MOST_RUNS = 3
_LEVEL = 0.9
_SCORES_KEPT = 1000
_ROWS_PLAYED = 800
_COVERAGE_FOLDS = 10


def check_level(level: float) -> float:
    """``level`` as given when it lies inside (0, 1), else InputError."""
    if not 0 < level < 1:
        raise InputError(
            f"expected a level between 0 and 1, for instance 0.9, got {level!r}", subject="level"
        )
    return level


def conformal_quantile(scores: Floats, level: float, independent: float | None = None) -> float | None:
    """The score that a new exchangeable one stays below with probability ``level``.

    It is the ceil((n + 1) level)-th smallest of the n held-out scores (split conformal prediction, Vovk et
    al. 2005); None where n is too small to bound the level at all. Scores that come in groups (those of one
    video go together) tell as much as ``independent`` ones: the rank rises as if there were so few.

    >>> conformal_quantile(np.arange(1.0, 20.0), 0.9)
    18.0
    >>> conformal_quantile(np.arange(1.0, 101.0), 0.9), conformal_quantile(np.arange(1.0, 101.0), 0.9, 20)
    (91.0, 95.0)
    >>> conformal_quantile(np.arange(1.0, 6.0), 0.9) is None
    True
    """
    count = len(scores)
    few = count if independent is None else min(max(independent, 1.0), count)
    rank = math.ceil(count * check_level(level) * (1 + 1 / few) - 1e-9) if count else 1
    return float(np.sort(scores)[rank - 1]) if rank <= count else None


def independent_count(inside: NDArray[np.bool_], groups: Sequence[str]) -> float:
    """How many independent rows would tell the share of ``inside`` as well as these rows of some groups do.

    The variance of a share of n independent rows is p (1 - p) / n; that of grouped rows comes from the sums
    of each group (Kish's effective sample size). Between 1 and n.

    >>> independent_count(np.array([True, True, False, False]), ["a", "a", "b", "b"])
    2.0
    """
    share, count = float(inside.mean()), len(inside)
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], inside - share)
    variance = float((sums**2).sum()) / count**2
    return float(count) if variance <= 0 else min(max(share * (1 - share) / variance, 1.0), float(count))


def student_half_width(residuals: Floats, level: float, independent: float | None = None) -> float | None:
    """Half-width of the normal-theory prediction interval; for samples too small for a conformal one.

    ``t((1 + level) / 2, n - 1) * s * sqrt(1 + 1 / n)``, where residuals of groups count as ``independent``
    ones; None without degrees of freedom.
    """
    count = len(residuals) if independent is None else min(independent, len(residuals))
    if count < 2:
        return None
    spread = math.sqrt(float((residuals**2).mean()) * count / (count - 1))
    quantile = float(stats.t.ppf((1 + check_level(level)) / 2, count - 1))
    return quantile * spread * math.sqrt(1 + 1 / count)


def normal_half_width(variance: float, level: float) -> float:
    """Half-width of the interval that holds a normal value of this variance with probability ``level``.

    >>> round(normal_half_width(1.0, 0.9), 4)
    1.6449
    """
    return math.sqrt(variance) * float(stats.norm.ppf((1 + level) / 2))


def mean_ratio_error(log_residuals: Floats, weights: Floats | None = None) -> float:
    """Mean absolute error as a ratio of the measured values, from ``log(measured) - log(predicted)``.

    >>> mean_ratio_error(np.log(np.array([100.0, 100.0])) - np.log(np.array([110.0, 90.0])))
    0.1
    """
    # far beyond any use, and safe from overflow
    errors = np.abs(np.expm1(np.clip(-log_residuals, -50, 50)))
    return round(float(np.average(errors, weights=weights)), 12)


class IntervalBin(Struct, frozen=True):
    """Held-out errors of one situation over the standard deviation that was stated for each."""

    scores: list[float]
    """Ascending."""
    independent: float
    """How many independent scores would tell as much: those of one group go together."""
    error_ratio: float
    """Mean absolute error."""
    coverage_ratio: float | None
    """Share inside 90 % intervals, each by the scores of other groups; None where they are too few."""

    def half_width(self, variance: float, level: float) -> float | None:
        """Half of the interval in logarithms, None where the scores are too few for the level."""
        quantile = conformal_quantile(np.array(self.scores), level, self.independent)
        return None if quantile is None else quantile * math.sqrt(variance)


class HeldOutRow(ResidualAt, frozen=True, kw_only=True):
    """One measurement that was held out: where it stands and how far the model was off."""

    group: str
    configuration: int
    """Repeats of one configuration have the same number."""
    hardware: str


def bin_name(situation: str, count: int) -> str:
    """The name of a situation with ``count`` measured runs.

    >>> bin_name("probed", 2), bin_name("probed", 9), bin_name("plain", 0)
    ('probed_2', 'probed_3', 'plain')
    """
    if situation in ("plain", "familiar"):
        return situation
    return f"{situation}_{min(max(count, 1), _MOST_RUNS)}"


class _Played(Struct, frozen=True):
    """The error that remains after the correction, plain and over the standard deviation that is stated."""

    group: str
    error: float
    score: float


def _played(row: HeldOutRow, measured: Iterable[HeldOutRow], shared: SharedVariances) -> _Played:
    offset, variance = corrected(row, [*measured], shared)
    error = row.error - offset
    return _Played(row.group, error, abs(error) / math.sqrt(variance))


def _bin(name: str, played: Sequence[_Played]) -> dict[str, IntervalBin]:
    if len(played) < 2:
        return {}
    raw, groups = np.array([p.score for p in played]), np.array([p.group for p in played])
    scores = np.sort(raw)
    if len(scores) > _SCORES_KEPT:
        scores = np.quantile(scores, np.linspace(0, 1, _SCORES_KEPT))
    summary = IntervalBin(
        scores=scores.tolist(),
        independent=_independent(raw, groups),
        error_ratio=mean_ratio_error(np.array([p.error for p in played])),
        coverage_ratio=_coverage(raw, groups),
    )
    return {name: summary}


def _independent(scores: Floats, groups: NDArray[np.str_]) -> float:
    return independent_count(scores <= np.quantile(scores, _LEVEL), groups.tolist())


def _coverage(scores: Floats, groups: NDArray[np.str_]) -> float | None:
    folds = min(_COVERAGE_FOLDS, len(np.unique(groups)))
    if folds < 2:
        return None
    inside = np.zeros(len(scores), dtype=bool)
    for others, held in GroupKFold(folds).split(scores, groups=groups):
        quantile = conformal_quantile(scores[others], _LEVEL, _independent(scores[others], groups[others]))
        if quantile is None:
            return None
        inside[held] = scores[held] <= quantile
    return float(inside.mean())


def plain(rows: Sequence[HeldOutRow], shared: SharedVariances) -> dict[str, IntervalBin]:
    """Rows as they were predicted, nothing measured beside them."""
    return _bin("plain", [_played(row, (), shared) for row in rows])


def familiar(rows: Sequence[HeldOutRow], shared: SharedVariances, seed: int) -> dict[str, IntervalBin]:
    """Rows whose video is known by its other configurations, which tell their errors."""
    siblings = _siblings(rows)
    drawn = np.random.default_rng(seed).permutation(len(rows))[:_ROWS_PLAYED]
    return _bin("familiar", [_played(rows[i], siblings(rows[i]), shared) for i in drawn])


def probed(rows: Sequence[HeldOutRow], shared: SharedVariances, seed: int) -> dict[str, IntervalBin]:
    """Rows with one to three probes of their video, on the same machine where there are such."""
    if shared.video + shared.video_encoder <= 0:
        return {}
    siblings = _siblings(rows)
    rng = np.random.default_rng(seed)
    bins: dict[str, IntervalBin] = {}
    for count in range(1, _MOST_RUNS + 1):
        played = []
        for i in rng.permutation(len(rows))[:_ROWS_PLAYED]:
            others = siblings(rows[i])
            others = [o for o in others if o.hardware == rows[i].hardware] or others
            if len(others) >= count:
                probes = rng.choice(len(others), count, replace=False)
                played.append(_played(rows[i], [others[j] for j in probes], shared))
        bins |= _bin(bin_name("probed", count), played)
    return bins


def _siblings(rows: Sequence[HeldOutRow]) -> Callable[[HeldOutRow], list[HeldOutRow]]:
    """Other configurations of a row's video."""
    by_video: dict[str | None, list[HeldOutRow]] = defaultdict(list)
    for row in rows:
        if row.video is not None:
            by_video[row.video].append(row)
    return lambda row: [o for o in by_video[row.video] if o.configuration != row.configuration]


def calibrated(
    machines: Sequence[Sequence[HeldOutRow]], shared: SharedVariances, seed: int, *, differ: bool
) -> dict[str, IntervalBin]:
    """Rows of each machine as if it were new, with one to three runs of other videos on it.

    ``differ``: the errors come from a model that did not know the machine. Else, with a single machine, what
    machines differ by is drawn from what is known of it (`advisor.regression.residual_kriging`).
    """
    rng = np.random.default_rng(seed)
    bins: dict[str, IntervalBin] = {}
    for count in range(1, _MOST_RUNS + 1):
        played: list[_Played] = []
        for rows in machines:
            calm = _calm(rows)
            for i in rng.permutation(len(rows))[: _ROWS_PLAYED // len(machines)]:
                drawn = [calm[j] for j in rng.permutation(len(calm))[:30]]
                runs = [o for o in drawn if o.group != rows[i].group][:count]
                if len(runs) == count:
                    row, *runs = [rows[i], *runs] if differ else _moved([rows[i], *runs], shared, rng)
                    played.append(_played(row, runs, shared))
        bins |= _bin(bin_name("calibrated", count), played)
    return bins


def _calm(rows: Sequence[HeldOutRow]) -> list[HeldOutRow]:
    """The half with least stated variance: nobody calibrates a machine with a run of a second."""
    middle = float(np.median([row.variance for row in rows])) if rows else 0.0
    return [row for row in rows if row.variance <= middle]


def _moved(rows: Sequence[HeldOutRow], shared: SharedVariances, rng: np.random.Generator) -> list[HeldOutRow]:
    """The same rows on a machine that differs by encoder and by configuration."""
    by_encoder: dict[str, float] = defaultdict(lambda: rng.normal(0, math.sqrt(shared.machine_encoder)))
    noise = rng.normal(0, math.sqrt(shared.machine_noise), len(rows)).tolist()
    return [
        msgspec.structs.replace(row, error=row.error + by_encoder[row.encoder] + single)
        for row, single in zip(rows, noise, strict=True)
    ]
