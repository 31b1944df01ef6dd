"""Which encode to try next, and when the answer is sure enough.

From draws of all curves (`advisor.advice.curves`) follow, for each draw, the CRF that just holds the floor in
every family (encoder and preset) and what it costs there. The family that promises to lower the objective
most for each second of its encode is tried next, at the CRF at which it probably would. The search is over
when the best configuration that was encoded is, in nine of ten draws, within two percent of the best there
is, and on the average within one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from advisor.advice.curves import DRAWS, Configuration, Curve, Place, draws_of, lacking, vmaf_of
from advisor.advice.priors import BITRATE, SECONDS, VMAF, objective_curve
from advisor.video.encoders import ENCODERS

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Why = Literal["sure", "hopeless", "budget", "go on"]
CONFIDENCE = 0.9
_NEAR = 0.02
"""Differences of the objective below this ratio are not worth an encode."""
_MISSED = 0.01
"""What may be missed on the average: one in ten may not be very wrong either."""
_CLOSE = 0.2
"""VMAF points above the floor that are not worth another CRF."""
_MOST_CRFS = 64
_LAST = 1 / 3
"""Probability that the largest CRF of all holds above which it is tried at once."""
_HOPELESS = 0.02
"""Probability that anything holds the floor below which the search ends without an answer."""


class Goal(Struct, frozen=True, kw_only=True):
    """What is to be least, and what must hold."""

    objective: str
    """``energy``, ``cost``, ``carbon``, ``bitrate`` or ``speed``."""
    min_vmaf: float
    max_kbps: float | None = None
    min_speed: float | None = None
    """Seconds of video encoded per second."""


class Trial(Struct, frozen=True, kw_only=True):
    """One configuration as it was encoded on one video; means over its repeats, all positive."""

    place: Place
    vmaf: float
    kbps: float
    seconds: float
    """Wall seconds for each second of video."""
    objective: float
    repeats: int = 1


class PredictedTrial(Struct, frozen=True, kw_only=True):
    """What a trained model predicts of an encode that was not made."""

    place: Place
    seconds: float | None
    objective: float | None
    noise_ratio: float
    """Relative standard deviation of its errors."""


class SearchState(Struct, frozen=True, kw_only=True):
    """What the trials say so far."""

    leader: Configuration | None
    """The best of those that were encoded on every video and hold; None where none does."""
    probability: float
    """That nothing is better than the leader by more than two percent."""
    next: Configuration | None
    """What to encode; None when the search is over."""
    why: Why
    next_seconds: float = 0.0
    """Wall seconds that the next encode probably takes, all videos together."""
    next_vmaf_point_ratio: float | None = None
    """What one more VMAF point costs from the leader on, as a ratio of the objective."""


def crfs(encoder: str) -> list[float]:
    """The CRFs of an encoder that are looked at, best first."""
    best, worst = ENCODERS[encoder].quality_range
    step = max(1, math.ceil((worst - best) / _MOST_CRFS))
    return [float(crf) for crf in range(int(best), int(worst) + 1, step)]


def holds(trial: Trial, goal: Goal) -> bool:
    """Whether a configuration that was encoded keeps to everything that was asked."""
    return (
        trial.vmaf >= goal.min_vmaf
        and (goal.max_kbps is None or trial.kbps <= goal.max_kbps)
        and (goal.min_speed is None or trial.seconds <= 1 / goal.min_speed)
    )


def consider(
    goal: Goal,
    videos: Mapping[str, float],
    options: Sequence[Configuration],
    trials: Sequence[Trial],
    *,
    noise: float,
    earlier: Sequence[Trial] = (),
    forecasts: Sequence[PredictedTrial] = (),
    video_seconds: float = 1.0,
    overhead_seconds: float = 0.0,
    seconds_left: float = math.inf,
) -> SearchState:
    """Judge the trials and choose the next.

    Parameters
    ----------
    videos
        Megapixels of a second of each. The configuration must hold on all, and the objective is the geometric
        mean over them.
    options
        What may be tried.
    noise
        Standard deviation of the objective's logarithm in one encode.
    earlier
        Trials of other videos.
    forecasts
        What trained models say of these videos.
    video_seconds, overhead_seconds, seconds_left
        Seconds of video in one encode, what follows each encode, and what is left of the budget.
    """
    options = sorted(options)
    beliefs = _beliefs(goal, videos, options, [*trials, *earlier], forecasts, noise)
    by_place = {(trial.place.video, trial.place.configuration): trial for trial in trials}
    measured = np.array([all((v, option) in by_place for v in videos) for option in options])
    families = _families(options)
    for part in families:
        for column in range(part.start, part.stop):
            tried = [by_place[place] for v in videos if (place := (v, options[column])) in by_place]
            if any(trial.vmaf < goal.min_vmaf for trial in tried):
                # nor does any larger CRF hold
                beliefs.holds[:, column : part.stop] = False
            elif measured[column]:
                beliefs.holds[:, column] = all(holds(trial, goal) for trial in tried)
    best = np.column_stack([_largest_that_holds(beliefs.holds[:, part]) + part.start for part in families])
    exists = np.column_stack([beliefs.holds[:, part].any(axis=1) for part in families])
    rows = np.arange(DRAWS)[:, None]
    values = np.where(exists, beliefs.value[rows, best], np.inf)
    leader = _leader(beliefs, measured)
    if leader is None and trials and exists.any(axis=1).mean() < _HOPELESS:
        return SearchState(leader=None, probability=0.0, next=None, why="hopeless")
    finite = np.where(np.isfinite(values), values, -np.inf).max(axis=1)
    # where nothing holds yet anything that does is worth more than what the others differ by
    reference = finite + 1 if leader is None else beliefs.value[:, leader]
    gains = np.where(np.isfinite(values), np.clip(reference[:, None] - values, 0, None), 0)
    if leader is not None and all(by_place[v, options[leader]].vmaf - goal.min_vmaf < _CLOSE for v in videos):
        gains[:, _family_of(leader, families)] = 0
    probability = 0.0 if leader is None else float((gains.max(axis=1) <= _NEAR).mean())
    seconds = overhead_seconds + video_seconds * beliefs.seconds
    choice = _next(best, gains, families, measured, seconds, seconds_left)
    if choice is None and not trials:  # what hardly can hold is tried once all the same
        choice = int(beliefs.holds.mean(axis=0).argmax())
    missed = float(gains.max(axis=1).mean())
    settled = leader is not None and probability >= CONFIDENCE and missed <= _MISSED
    if settled and leader is not None:
        choice = _settling(leader, best, families, measured, seconds, seconds_left)
    ended: Why = "sure" if settled else "budget"
    return SearchState(
        leader=None if leader is None else options[leader],
        probability=probability,
        next=None if choice is None else options[choice],
        why=ended if choice is None else "go on",
        next_seconds=0.0 if choice is None else float(video_seconds * beliefs.seconds[choice]),
        next_vmaf_point_ratio=None if leader is None else _next_point_ratio(beliefs, leader),
    )


class _Beliefs(Struct, frozen=True):
    """Draws over the options, shape (DRAWS, options); means over them where a draw does not matter."""

    vmaf: Floats
    """The least over the videos."""
    holds: Flags
    value: Floats
    """Logarithm of the objective, mean over the videos."""
    seconds: Floats
    """Expected wall seconds for each second of video, shape (options,)."""


def _beliefs(
    goal: Goal,
    videos: Mapping[str, float],
    options: Sequence[Configuration],
    trials: Sequence[Trial],
    forecasts: Sequence[PredictedTrial],
    noise: float,
) -> _Beliefs:
    asked = [Place(video, option, size) for video, size in videos.items() for option in options]
    shape = (DRAWS, len(videos), len(options))

    def draws(curve: Curve, name: Literal["kbps", "seconds", "objective"], seed: int) -> Floats:
        measured_values = [
            (t.place, math.log(getattr(t, name)), curve.noise / math.sqrt(t.repeats)) for t in trials
        ]
        # their errors have a part in common, as figures of another video have
        measured_values += [
            (replace(f.place, video=f"predicted {f.place.video}"), math.log(value), f.noise_ratio)
            for f in forecasts
            if (value := getattr(f, name, None)) is not None
        ]
        return draws_of(curve, measured_values, asked, seed).reshape(shape)

    scores = [(t.place, lacking(t.vmaf), VMAF.noise / math.sqrt(t.repeats)) for t in trials]
    lacks = draws_of(VMAF, scores, asked, 1).reshape(shape)
    _falling(lacks, list(videos), options, trials)
    vmaf = vmaf_of(lacks)
    seconds = draws(SECONDS, "seconds", 2)
    enough = vmaf >= goal.min_vmaf
    if goal.max_kbps is not None or goal.objective == "bitrate":
        kbps = draws(BITRATE, "kbps", 3)
        if goal.max_kbps is not None:
            enough &= kbps <= math.log(goal.max_kbps)
    if goal.min_speed is not None:
        enough &= seconds <= -math.log(goal.min_speed)
    if goal.objective == "bitrate":
        value = kbps
    elif goal.objective == "speed":
        value = seconds
    else:
        value = draws(objective_curve(noise), "objective", 4)
    return _Beliefs(vmaf.min(1), np.asarray(enough.all(1)), value.mean(1), np.exp(seconds.mean((0, 1))))


def _falling(
    lacks: Floats, videos: Sequence[str], options: Sequence[Configuration], trials: Sequence[Trial]
) -> None:
    """Let VMAF fall with CRF in every draw, also beside what was measured."""
    families = _families(options)
    for part in families:
        lacks[:, :, part].sort(axis=2)
    columns = {option: column for column, option in enumerate(options)}
    for trial in trials:
        column = columns.get(trial.place.configuration)
        if column is not None and trial.place.video in videos:
            video, part = videos.index(trial.place.video), families[_family_of(column, families)]
            below, above = lacks[:, video, part.start : column], lacks[:, video, column : part.stop]
            np.minimum(below, lacking(trial.vmaf) + VMAF.noise, out=below)
            np.maximum(above, lacking(trial.vmaf) - VMAF.noise, out=above)


def _families(options: Sequence[Configuration]) -> list[slice]:
    """Where each family lies among the sorted options."""
    starts = [i for i, o in enumerate(options) if i == 0 or o.family != options[i - 1].family]
    return [slice(a, b) for a, b in itertools.pairwise([*starts, len(options)])]


def _family_of(column: int, families: Sequence[slice]) -> int:
    return next(i for i, part in enumerate(families) if part.start <= column < part.stop)


def _largest_that_holds(flags: Flags) -> NDArray[np.int64]:
    """Of each draw; the last where none does."""
    return np.asarray(flags.shape[1] - 1 - np.argmax(flags[:, ::-1], axis=1))


def _leader(beliefs: _Beliefs, measured: Flags) -> int | None:
    candidates = np.flatnonzero(measured & beliefs.holds.all(axis=0))
    means = beliefs.value.mean(axis=0)
    return int(candidates[np.argmin(means[candidates])]) if len(candidates) else None


def _next(
    best: NDArray[np.int64],
    gains: Floats,
    families: Sequence[slice],
    measured: Flags,
    seconds: Floats,
    seconds_left: float,
) -> int | None:
    """The option whose family promises most for its time; one that was measured only to measure it again."""
    choices: dict[int, float] = {}
    for family, gain in enumerate(gains.T):
        promising = best[gain > _NEAR, family]
        if not len(promising):
            continue
        unknown = promising[~measured[promising]]
        choice = _probe(unknown if len(unknown) else promising, families[family])
        if seconds[choice] <= seconds_left:
            choices[choice] = float(gain.mean() / seconds[choice])
    return max(choices, key=lambda choice: choices[choice], default=None)


def _probe(columns: NDArray[np.int64], family: slice) -> int:
    """Their median; or the family's last, where that is likely: if it holds nothing larger is to be tried."""
    last: int = family.stop - 1
    if (columns == last).mean() > _LAST:
        return last
    return int(np.sort(columns)[len(columns) // 2])


def _settling(
    leader: int,
    best: NDArray[np.int64],
    families: Sequence[slice],
    measured: Flags,
    seconds: Floats,
    seconds_left: float,
) -> int | None:
    """A larger CRF of the leader's family, where that probably holds too: it is smaller for nothing."""
    larger = best[:, _family_of(leader, families)]
    larger = larger[(larger > leader) & ~measured[larger]]
    if len(larger) <= DRAWS / 2:
        return None
    choice = _probe(larger, families[_family_of(leader, families)])
    return choice if seconds[choice] <= seconds_left else None


def _next_point_ratio(beliefs: _Beliefs, leader: int) -> float | None:
    """What one more VMAF point costs, as a ratio of the leader's objective; None where nothing reaches it."""
    better = beliefs.vmaf >= beliefs.vmaf[:, [leader]] + 1
    price = np.where(better, beliefs.value, np.inf).min(axis=1) - beliefs.value[:, leader]
    median = float(np.median(price))
    return math.expm1(median) if math.isfinite(median) else None
