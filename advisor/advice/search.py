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
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from advisor.advice.configuration import OBJECTIVES, Constraints, Option
from advisor.advice.curves import DRAWS, Configuration, Curve, Place, draws_of, lacking, vmaf_of
from advisor.advice.priors import BITRATE, ENERGY, SECONDS, VMAF, VMAF_NOISE
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


_CURVES = {"vmaf": (VMAF, 1), "seconds_per_video_second": (SECONDS, 2), "bitrate_kbps": (BITRATE, 3)}
"""Of each figure the curve, and the seed of its draws."""
_CURVE_OF_OTHERS = (ENERGY, 4)


class Goal(Constraints, frozen=True, kw_only=True):
    """What is to be least, and what must hold."""

    objective: str
    """One of `advisor.advice.configuration.OBJECTIVES`."""


class Evidence(Struct, frozen=True):
    """What is known of one configuration on one video: encodes of it, or what a trained model predicts."""

    place: Place
    option: Option
    """Means over repeats, all positive."""


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


def consider(
    goal: Goal,
    videos: Mapping[str, float],
    configurations: Sequence[Configuration],
    known: Sequence[Evidence],
    *,
    video_seconds: float = 1.0,
    overhead_seconds: float = 0.0,
    seconds_left: float = math.inf,
) -> SearchState:
    """Judge what is known and choose what to encode next.

    Parameters
    ----------
    videos
        Megapixels of a second of each. The configuration must hold on all, and the objective is the geometric
        mean over them.
    configurations
        What may be tried.
    known
        Of these videos and of others, measured or predicted.
    video_seconds, overhead_seconds, seconds_left
        Seconds of video in one encode, what follows each encode, and what is left of the budget.
    """
    columns = sorted(configurations)
    families = _families(columns)
    trials = {
        (e.place.video, e.place.configuration): e.option
        for e in known
        if e.place.video in videos and e.option.basis == "measured"
    }
    beliefs = _beliefs(goal, videos, columns, known, trials)
    repeats = np.array(
        [min(trials[v, c].repeats if (v, c) in trials else 0 for v in videos) for c in columns]
    )
    for part in families:
        for column in range(part.start, part.stop):
            tried = [trials[place] for v in videos if (place := (v, columns[column])) in trials]
            if any((option.vmaf or 0.0) < _floor(goal) for option in tried):
                # nor does any larger CRF hold
                beliefs.holds[:, column : part.stop] = False
            elif repeats[column]:
                beliefs.holds[:, column] = all(goal.verdict(option)[0] for option in tried)
    best = np.column_stack([_largest_that_holds(beliefs.holds[:, part]) + part.start for part in families])
    exists = np.column_stack([beliefs.holds[:, part].any(axis=1) for part in families])
    values = np.where(exists, np.take_along_axis(beliefs.value, best, axis=1), np.inf)
    leader = _leader(beliefs, repeats > 0)
    if leader is None and trials and exists.any(axis=1).mean() < _HOPELESS:
        return SearchState(leader=None, probability=0.0, next=None, why="hopeless")
    # where nothing holds yet anything that does is worth more than what the others differ by
    dearest = np.where(exists, values, -np.inf).max(axis=1)
    reference = dearest + 1 if leader is None else beliefs.value[:, leader]
    gains = np.where(exists, np.clip(reference[:, None] - values, 0, None), 0)
    if leader is not None and all(
        (trials[video, columns[leader]].vmaf or 0.0) - _floor(goal) < _CLOSE for video in videos
    ):
        gains[:, _family_of(leader, families)] = 0
    probability = 0.0 if leader is None else float((gains.max(axis=1) <= _NEAR).mean())
    seconds = overhead_seconds + video_seconds * beliefs.seconds
    if leader is not None and probability >= CONFIDENCE and gains.max(axis=1).mean() <= _MISSED:
        ended: Why = "sure"
        choice = _settling(leader, best, families, repeats > 0)
        choice = choice if choice is not None and seconds[choice] <= seconds_left else None
    else:
        ended = "budget"
        choice = _next(leader, best, gains, families, repeats, seconds, seconds_left)
    if choice is None and not trials:  # what hardly can hold is tried once all the same
        choice = int(beliefs.holds.mean(axis=0).argmax())
    return SearchState(
        leader=None if leader is None else columns[leader],
        probability=probability,
        next=None if choice is None else columns[choice],
        why=ended if choice is None else "go on",
        next_seconds=0.0 if choice is None else float(video_seconds * beliefs.seconds[choice]),
        next_vmaf_point_ratio=None if leader is None else _next_point_ratio(beliefs, leader),
    )


def _floor(goal: Goal) -> float:
    return goal.min_vmaf or 0.0


class _Beliefs(Struct, frozen=True):
    """Draws over the configurations, shape (DRAWS, configurations)."""

    vmaf: Floats
    """The least over the videos."""
    holds: Flags
    value: Floats
    """Logarithm of the objective, mean over the videos."""
    seconds: Floats
    """Expected wall seconds for each second of video, shape (configurations,)."""


def _beliefs(
    goal: Goal,
    videos: Mapping[str, float],
    columns: Sequence[Configuration],
    known: Sequence[Evidence],
    trials: Mapping[tuple[str, Configuration], Option],
) -> _Beliefs:
    asked = [Place(video, column, size) for video, size in videos.items() for column in columns]
    objective = OBJECTIVES[goal.objective]
    # as the curves take them, all figures are the better the smaller they are
    limits = {"vmaf": lacking(_floor(goal))}
    if goal.max_bitrate_kbps is not None:
        limits["bitrate_kbps"] = math.log(goal.max_bitrate_kbps)
    if goal.min_speed:
        limits["seconds_per_video_second"] = -math.log(goal.min_speed)
    drawn: dict[str, Floats] = {}
    for name in {*limits, "seconds_per_video_second", objective}:
        curve, seed = _CURVES.get(name, _CURVE_OF_OTHERS)
        draws = draws_of(curve, list(_told(name, curve, known)), asked, seed)
        drawn[name] = draws.reshape(DRAWS, len(videos), len(columns))
    _falling(drawn["vmaf"], list(videos), columns, trials)
    return _Beliefs(
        vmaf=vmaf_of(drawn["vmaf"]).min(1),
        holds=np.all([(drawn[name] <= limit).all(1) for name, limit in limits.items()], axis=0),
        value=drawn[objective].mean(1),
        seconds=np.exp(drawn["seconds_per_video_second"].mean((0, 1))),
    )


def _told(name: str, curve: Curve, known: Sequence[Evidence]) -> Iterator[tuple[Place, float, float]]:
    """What is known of one figure: where, its logarithm, and the standard deviation of its noise."""
    for place, option in ((e.place, e.option) for e in known):
        value = getattr(option, name)
        if value is None or (value <= 0 and name != "vmaf"):  # who is paid for energy has no logarithm
            continue
        log = lacking(value) if name == "vmaf" else math.log(value)
        if option.basis == "predicted":
            # their errors have a part in common, as figures of another video have
            yield replace(place, video=f"predicted {place.video}"), log, option.noise_ratio
        else:
            noise = option.noise_ratio
            yield place, log, noise if curve.noise is None else curve.noise / math.sqrt(option.repeats)


def _falling(
    lacks: Floats,
    videos: Sequence[str],
    columns: Sequence[Configuration],
    trials: Mapping[tuple[str, Configuration], Option],
) -> None:
    """Let VMAF fall with CRF in every draw, also beside what was measured."""
    for part in _families(columns):
        lacks[:, :, part].sort(axis=2)
        for column, video in itertools.product(range(part.start, part.stop), range(len(videos))):
            option = trials.get((videos[video], columns[column]))
            if option is not None and option.vmaf is not None:
                below, above = lacks[:, video, part.start : column], lacks[:, video, column : part.stop]
                np.minimum(below, lacking(option.vmaf) + VMAF_NOISE, out=below)
                np.maximum(above, lacking(option.vmaf) - VMAF_NOISE, out=above)


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
    leader: int | None,
    best: NDArray[np.int64],
    gains: Floats,
    families: Sequence[slice],
    repeats: NDArray[np.int64],
    seconds: Floats,
    seconds_left: float,
) -> int | None:
    """The configuration whose family promises most for its time.

    Where all that promises was measured before, noise decides between it and the leader: the one of both that
    was measured less often is measured again.
    """
    choices: dict[int, float] = {}
    for family, gain in enumerate(gains.T):
        promising = best[gain > _NEAR, family]
        if not len(promising):
            continue
        unknown = promising[repeats[promising] == 0]
        choice = _probe(unknown if len(unknown) else promising, families[family])
        if leader is not None and repeats[leader] < repeats[choice]:
            choice = leader
        if seconds[choice] <= seconds_left:
            choices[choice] = float(gain.mean() / seconds[choice])
    return max(choices, key=lambda choice: choices[choice], default=None)


def _probe(columns: NDArray[np.int64], family: slice) -> int:
    """Their median; or the family's last, where that is likely: if it holds nothing larger is to be tried."""
    last: int = family.stop - 1
    if (columns == last).mean() > _LAST:
        return last
    return int(np.sort(columns)[len(columns) // 2])


def _settling(leader: int, best: NDArray[np.int64], families: Sequence[slice], measured: Flags) -> int | None:
    """A larger CRF of the leader's family, where that probably holds too: it is smaller for nothing."""
    larger = best[:, _family_of(leader, families)]
    larger = larger[(larger > leader) & ~measured[larger]]
    return _probe(larger, families[_family_of(leader, families)]) if len(larger) > DRAWS / 2 else None


def _next_point_ratio(beliefs: _Beliefs, leader: int) -> float | None:
    """What one more VMAF point costs, as a ratio of the leader's objective; None where nothing reaches it."""
    better = beliefs.vmaf >= beliefs.vmaf[:, [leader]] + 1
    price = np.where(better, beliefs.value, np.inf).min(axis=1) - beliefs.value[:, leader]
    median = float(np.median(price))
    return math.expm1(median) if math.isfinite(median) else None
