"""The search on one video, or on several together: choose, encode, judge, until it is sure or time is up."""

from __future__ import annotations

import errno
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from advisor.advice.configuration import Option
from advisor.advice.curves import Configuration, Place
from advisor.advice.from_results import options_of
from advisor.advice.samples import needed
from advisor.advice.search import Goal, PredictedTrial, SearchState, Trial, consider
from advisor.common.statistics import MEASURED_NOISE_RATIO
from advisor.cost.model import CostModel
from advisor.errors import WorkError
from runner.stop import StopRequest
from wattframe.tuning.beforehand import objective_of
from wattframe.tuning.clip import Clip, Video, cut, whole
from wattframe.tuning.encodes import NO_SCORE, Encode, Encodes

FIRST_SAMPLES = 12
"""Enough to see how much samples differ; more are taken where the interval is too wide."""
MOST_SAMPLES = 60
_MOST_FAILURES = 3
_USUAL_NOISE_RATIO = 0.03
_BITRATE_NOISE_RATIO = 0.003
"""Encoders with several threads do not always write the same."""
_NOISE_DEGREES = 4
"""How many repeats the usual noise is worth beside those that were measured."""
_WINDOW_SECONDS = 4.0
"""Somewhat more than what a window needs in order to be valid."""
_MOST_LOOPS = 50
_MOST_AGAIN = 2
_MOST_LOOPS_UNSEEN = 3
"""Of an encoder and preset whose speed is only guessed."""


class Task(Struct, frozen=True, kw_only=True):
    """What is looked for, and what is known beforehand."""

    goal: Goal
    options: tuple[Configuration, ...]
    """What may be tried."""
    videos: tuple[Video, ...]
    """The configuration must hold on all of them."""
    baseline: Configuration | None
    """What was usual: encoded first."""
    precision: float
    """VMAF points to which samples may stand for the whole."""
    encode_whole: bool
    sizes: dict[str, str | None]
    """What each video is scaled to, by its name; None for its own size."""
    earlier: tuple[Trial, ...] = ()
    forecasts: tuple[PredictedTrial, ...] = ()


class Deadline:
    """The end of a search: after ``seconds``, or when the user or the whole budget asks for it."""

    def __init__(self, stop: StopRequest, seconds: float) -> None:
        self._stop = stop
        self._end = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """Until the budget is spent."""
        return max(0.0, self._end - time.monotonic())

    @property
    def reached(self) -> Literal["budget", "interrupted"] | None:
        """Why the search has to end now; None where it may go on."""
        if self._stop.interrupted:
            return "interrupted"
        return "budget" if self._stop.asked or not self.seconds_left else None


class Outcome(Struct, frozen=True, kw_only=True):
    """Where a search ended."""

    verdict: SearchState
    stopped: str
    """``sure``, ``budget``, ``interrupted`` or ``hopeless``."""
    trials: tuple[Trial, ...]
    failures: dict[str, int]
    """How many encodes failed, by the reason."""


class Search:
    """One goal on one or several videos; `run` goes on from whatever was encoded before."""

    def __init__(
        self,
        encodes: Encodes,
        task: Task,
        model: CostModel,
        deadline: Deadline,
        say: Callable[[str], object],
    ) -> None:
        self.encodes = encodes
        self.task = task
        self._options = list(task.options)
        self._model = model
        self._deadline = deadline
        self._say = say
        self._failures: dict[str, int] = {}
        self._overheads: list[float] = []
        self.clips = {v.name: whole(v) if task.encode_whole else self._clip(v) for v in task.videos}

    def run(self) -> Outcome:
        """Encode until the answer is sure, hopeless, or something ends the search.

        Raises
        ------
        WorkError
            Every encode fails, or the result file cannot be written.
        """
        baseline = self.task.baseline
        if baseline is not None and not self._known(baseline):
            self._try(baseline)
        while True:
            trials = self.trials()
            verdict = self._consider(trials)
            stopped = self._deadline.reached
            if stopped is not None or verdict.next is None:
                why = stopped or verdict.why
                return Outcome(verdict=verdict, stopped=why, trials=tuple(trials), failures=self._failures)
            if verdict.leader is not None:
                sure = f"{named(verdict.leader)}, {verdict.probability:.0%} sure"
                self._say(f"leads: {sure}; {self._deadline.seconds_left:.0f} s left at most")
            self._try(verdict.next, verdict.next_seconds)

    def _consider(self, trials: Sequence[Trial]) -> SearchState:
        clips = self.clips.values()
        return consider(
            self.task.goal,
            {video.name: video.megapixels for video in self.task.videos},
            self._options,
            trials,
            noise=_BITRATE_NOISE_RATIO if self.task.goal.objective == "bitrate" else self.noise(),
            earlier=self.task.earlier,
            forecasts=self.task.forecasts,
            video_seconds=sum(clip.source.seconds or 0.0 for clip in clips),
            overhead_seconds=statistics.fmean(self._overheads) if self._overheads else 0.0,
            seconds_left=self._deadline.seconds_left,
        )

    def _known(self, configuration: Configuration) -> bool:
        places = {(e.video, e.configuration) for e in self.current()}
        return all((video.name, configuration) in places for video in self.task.videos)

    def current(self) -> list[Encode]:
        """Encodes of the clips that count, at this size."""
        names = {video: clip.path.name for video, clip in self.clips.items()}
        return [
            e
            for e in self.encodes.made
            if names.get(e.video) == e.clip and e.resolution == self.task.sizes.get(e.video)
        ]

    def _try(self, configuration: Configuration, expected_seconds: float = _WINDOW_SECONDS) -> None:
        """Encode every video; what was too quick to be measured again, several times in one go."""
        for video in self.task.videos:
            loops = self._loops(expected_seconds / len(self.task.videos))
            if configuration.family not in {e.configuration.family for e in self.current()}:
                loops = min(loops, _MOST_LOOPS_UNSEEN)
            encode = self._encode(video, configuration, loops)
            for _ in range(_MOST_AGAIN):
                if encode is not None and self._too_short(encode):
                    loops = self._loops((self.encodes.scenario(encode).duration or 0.0) / loops)
                    encode = self._encode(video, configuration, loops)
            if encode is None:
                return
            self._widen(video, encode)

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more may be encoded."""
        return self._deadline.reached is not None

    def encode_at(self, video: Video, configuration: Configuration, resolution: str | None) -> Encode | None:
        """One encode at another size, from before where there is one; None where the search has to stop.

        Raises
        ------
        WorkError
            It failed.
        """
        clip = self.clips[video.name].path.name
        for e in self.encodes.made:
            if (e.video, e.clip, e.configuration, e.resolution) == (
                video.name,
                clip,
                configuration,
                resolution,
            ):
                return e
        encode = self._encode(video, configuration, 1, resolution)
        if encode is None and not self.is_stopped:
            raise WorkError(f"{video.name}: {named(configuration)} at {resolution} cannot be encoded")
        return encode

    def _encode(
        self, video: Video, configuration: Configuration, loops: int, resolution: str | None = None
    ) -> Encode | None:
        if self.is_stopped:
            return None
        began = time.monotonic()
        encode = self.encodes.make(
            self.clips[video.name],
            video.name,
            configuration,
            resolution=resolution or self.task.sizes.get(video.name),
            loops=loops,
        )
        if isinstance(encode, str):
            if not self.is_stopped:
                self._failed(configuration, encode)
            return None
        seconds = self.encodes.scenario(encode).duration or 0.0
        self._overheads.append(max(0.0, time.monotonic() - began - seconds))
        self._say(f"  VMAF {encode.vmaf.mean:.2f}, {encode.kbps.mean:.0f} kbit/s")
        return encode

    def _too_short(self, encode: Encode) -> bool:
        """Whether only the length of its window keeps it from being an answer."""
        short = "too_short" in self.encodes.scenario(encode).validity
        goal = self.task.goal
        return short and goal.objective != "bitrate" and encode.vmaf.mean >= goal.min_vmaf

    def _loops(self, window_seconds: float) -> int:
        """How often a clip is encoded in one go, where one time takes ``window_seconds``."""
        if self.task.goal.objective == "bitrate":
            return 1
        return max(1, min(_MOST_LOOPS, math.ceil(_WINDOW_SECONDS / max(window_seconds, 0.01))))

    def _failed(self, configuration: Configuration, reason: str) -> None:
        """Leave the family out, or where only the score failed what would look worse still."""
        if os.strerror(errno.ENOSPC) in reason:
            raise WorkError(
                f"{self.encodes.folder.parent}: the disk is full; what was encoded before is kept"
            )
        self._say(f"{named(configuration)}: left out: {reason}")
        self._failures[reason] = self._failures.get(reason, 0) + 1
        least = configuration.crf if reason.startswith(NO_SCORE) else -math.inf
        family = configuration.family
        self._options = [o for o in self._options if o.family != family or o.crf < least]
        if not self._options or (sum(self._failures.values()) >= _MOST_FAILURES and not self.encodes.made):
            raise WorkError(f"no encode succeeded: {reason}")

    def _clip(self, video: Video) -> Clip:
        """The samples that were taken before, else the first ones."""
        return self._cut(video, self.encodes.notebook.samples.get(video.name, FIRST_SAMPLES))

    def _cut(self, video: Video, count: int) -> Clip:
        notebook = self.encodes.notebook
        self.encodes.note(replace(notebook, samples={**notebook.samples, video.name: count}))
        number = list(notebook.videos).index(video.name)
        return cut(video, count, self.encodes.folder / f"samples_{number}_{count}.mkv")

    def _widen(self, video: Video, encode: Encode) -> None:
        """Take more samples where the first ones leave VMAF less certain than was asked for."""
        clip = self.clips[video.name]
        half = encode.vmaf.half_width
        if clip.is_whole or half <= self.task.precision or len(clip.samples) >= MOST_SAMPLES:
            return
        if len([e for e in self.current() if e.video == video.name]) > 1:
            return
        count = min(needed(half, self.task.precision, len(clip.samples)), MOST_SAMPLES)
        self._say(f"VMAF is certain to {half:.2f} with {len(clip.samples)} samples: {count} are taken")
        self.clips[video.name] = self._cut(video, count)
        clip.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Delete what was cut."""
        for clip in self.clips.values():
            if clip.path.parent == self.encodes.folder:
                clip.path.unlink(missing_ok=True)

    def trials(self) -> list[Trial]:
        """What was encoded of the clips that count, repeats together."""
        groups: dict[tuple[str, Configuration], list[Encode]] = {}
        for encode in self.current():
            groups.setdefault((encode.video, encode.configuration), []).append(encode)
        sizes = {video.name: video.megapixels for video in self.task.videos}
        return [
            Trial(
                place=Place(video, configuration, sizes[video]),
                vmaf=repeats[-1].vmaf.mean,
                kbps=repeats[-1].kbps.mean,
                seconds=1 / (self.option(repeats).encode_speed_ratio or math.nan),
                objective=self._objective(repeats),
                repeats=len(repeats),
            )
            for (video, configuration), repeats in groups.items()
        ]

    def option(self, repeats: Sequence[Encode]) -> Option:
        """Energy, cost, carbon and speed of some repeats."""
        scenarios = tuple(self.encodes.scenario(encode) for encode in repeats)
        (option,) = options_of([replace(self.encodes.run, scenarios=scenarios)], self._model, {}).options
        return option

    def _objective(self, repeats: Sequence[Encode]) -> float:
        option = self.option(repeats)
        value = objective_of(self.task.goal.objective, option, repeats[-1].kbps.mean)
        if not value:
            raise WorkError(f"the {self.task.goal.objective} of {option.scenario} is unknown: choose another")
        return value

    def noise(self) -> float:
        """Of energy and time in one encode: what repeats showed, and what is usual as far as they are few."""
        groups: dict[tuple[str, Configuration], list[float]] = {}
        for encode in self.current():
            option = self.option([encode])
            value = option.energy_joules_per_video_second or option.encode_speed_ratio
            if value and not option.validity:
                groups.setdefault((encode.video, encode.configuration), []).append(math.log(value))
        squares = sum(statistics.variance(g) * (len(g) - 1) for g in groups.values() if len(g) > 1)
        degrees = sum(len(g) - 1 for g in groups.values())
        pooled = (_NOISE_DEGREES * _USUAL_NOISE_RATIO**2 + squares) / (_NOISE_DEGREES + degrees)
        return max(math.sqrt(pooled), MEASURED_NOISE_RATIO)


def named(configuration: Configuration) -> str:
    """As scenarios are called."""
    return f"{configuration.encoder} {configuration.preset} crf {configuration.crf:g}"
