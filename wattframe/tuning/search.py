"""The search on one video, or on several together: choose, encode, judge, until it is sure or time is up."""

from __future__ import annotations

import errno
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from advisor.advice.configuration import Option
from advisor.advice.curves import Configuration, Place
from advisor.advice.from_results import options_of
from advisor.advice.noise import pooled_noise
from advisor.advice.samples import needed
from advisor.advice.search import Evidence, Goal, SearchState, consider
from advisor.common.statistics import MEASURED_NOISE_RATIO
from advisor.cost.model import CostModel
from advisor.errors import WorkError
from advisor.results.derived import joules_per_video_second
from advisor.video.ffmpeg import Capabilities
from runner.stop import StopRequest
from wattframe.tuning.clip import Clip, Video, cut, whole
from wattframe.tuning.encodes import NO_SCORE, Encode, Encodes

FIRST_SAMPLES = 12
"""Enough to see how much samples differ; more are taken where the interval is too wide."""
MOST_SAMPLES = 60
_MOST_FAILURES = 3
_USUAL_NOISE_RATIO = 0.03
_NOISE_DEGREES = 4
"""How many repeats the usual noise is worth beside those that were measured."""
_WINDOW_SECONDS = 4.0
"""Somewhat more than what a window needs in order to be valid."""
_MOST_LOOPS = 50
_MOST_AGAIN = 2
_MOST_LOOPS_UNSEEN = 3
"""Of an encoder and preset whose speed is only guessed."""


class Task(Struct, frozen=True, kw_only=True):
    """What is looked for on this machine, and what is known beforehand."""

    ffmpeg: Path
    able: Capabilities
    goal: Goal
    options: tuple[Configuration, ...]
    """What may be tried."""
    videos: tuple[Video, ...]
    """The configuration must hold on all of them."""
    baseline: Configuration | None
    """What was usual: encoded first."""
    heights: tuple[int, ...]
    """Of a ladder, the largest first: that one is searched. Empty without one."""
    precision: float
    """VMAF points to which samples may stand for the whole."""
    encode_whole: bool
    budget_seconds: float
    known: tuple[Evidence, ...] = ()
    """What other videos and trained models tell."""

    def size(self, video: Video) -> str | None:
        """What a video is scaled to; None for its own size."""
        return video.size(self.heights[0]) if self.heights else None


class Outcome(Struct, frozen=True, kw_only=True):
    """Where a search ended."""

    verdict: SearchState
    stopped: str
    """``sure``, ``budget``, ``interrupted`` or ``hopeless``."""
    encoded: tuple[Evidence, ...]
    failures: dict[str, int]
    """How many encodes failed, by the reason."""


class Search:
    """One goal on one or several videos, within ``seconds``; `run` goes on from what was encoded before."""

    def __init__(
        self,
        encodes: Encodes,
        task: Task,
        model: CostModel,
        stop: StopRequest,
        seconds: float,
        say: Callable[[str], object],
    ) -> None:
        self.encodes = encodes
        self.task = task
        self._options = list(task.options)
        self._model = model
        self._stop = stop
        self._end = time.monotonic() + seconds
        self._say = say
        self._failures: dict[str, int] = {}
        self._overheads: list[float] = []
        self.clips = {v.name: whole(v) if task.encode_whole else self._cut(v) for v in task.videos}

    def run(self) -> Outcome:
        """Encode until the answer is sure, hopeless, or something ends the search.

        Raises
        ------
        WorkError, OSError
            Every encode fails, or the result file cannot be written.
        """
        baseline = self.task.baseline
        if baseline is not None and any(baseline not in self.current(v) for v in self.task.videos):
            self._try(baseline)
        while True:
            encoded = tuple(self._encoded())
            verdict = self._consider(encoded)
            stopped = self.stopped
            if stopped is not None or verdict.next is None:
                why = stopped or verdict.why
                return Outcome(verdict=verdict, stopped=why, encoded=encoded, failures=self._failures)
            if verdict.leader is not None:
                sure = f"{named(verdict.leader)}, {verdict.probability:.0%} sure"
                self._say(f"leads: {sure}; {self.seconds_left:.0f} s left at most")
            self._try(verdict.next, verdict.next_seconds)

    def _consider(self, encoded: Sequence[Evidence]) -> SearchState:
        return consider(
            self.task.goal,
            {video.name: video.megapixels for video in self.task.videos},
            self._options,
            [*encoded, *self.task.known],
            video_seconds=sum(clip.source.seconds or 0.0 for clip in self.clips.values()),
            overhead_seconds=statistics.fmean(self._overheads) if self._overheads else 0.0,
            seconds_left=self.seconds_left,
        )

    def _encoded(self) -> Iterator[Evidence]:
        """What the encodes of the clips that count say, repeats together."""
        groups = [
            (video, configuration, repeats)
            for video in self.task.videos
            for configuration, repeats in self.current(video).items()
        ]
        noise = self._noise([repeats for _, _, repeats in groups])
        for video, configuration, repeats in groups:
            option, encode = self._option(repeats), repeats[-1]
            value = option.objective(self.task.goal.objective)
            if value is None or value <= 0:
                told = "unknown" if value is None else f"{value:g}"
                what = f"the {self.task.goal.objective} of {option.scenario} is {told}"
                raise WorkError(f"{what}: choose another --objective")
            option = replace(
                option,
                vmaf=encode.vmaf.mean,
                bitrate_kbps=encode.kbps.mean,
                noise_ratio=noise / math.sqrt(len(repeats)),
                repeats=len(repeats),
            )
            yield Evidence(Place(video.name, configuration, video.megapixels), option)

    def current(self, video: Video) -> dict[Configuration, list[Encode]]:
        """Encodes of the clip that counts, at the size that is searched."""
        return self._encodes_at(video, self.task.size(video))

    def _encodes_at(self, video: Video, resolution: str | None) -> dict[Configuration, list[Encode]]:
        clip = self.clips[video.name].path.name
        groups: dict[Configuration, list[Encode]] = {}
        for e in self.encodes.made:
            if (e.video, e.clip, e.resolution) == (video.name, clip, resolution):
                groups.setdefault(e.configuration, []).append(e)
        return groups

    def _try(self, configuration: Configuration, expected_seconds: float = _WINDOW_SECONDS) -> None:
        """Encode every video; what was too quick to be measured again, several times in one go."""
        for video in self.task.videos:
            loops = self._loops(video, expected_seconds / len(self.task.videos))
            size = self.task.size(video)
            if configuration.family not in {c.family for v in self.task.videos for c in self.current(v)}:
                loops = min(loops, _MOST_LOOPS_UNSEEN)
            encode = self._encode(video, configuration, loops, size)
            for _ in range(_MOST_AGAIN):
                if encode is not None and self._too_short(encode):
                    seconds = (self.encodes.scenario(encode).duration or 0.0) / loops
                    loops = self._loops(video, seconds)
                    encode = self._encode(video, configuration, loops, size)
            if encode is None:
                return
            self._widen(video, encode)

    @property
    def seconds_left(self) -> float:
        """Until the budget is spent."""
        return max(0.0, self._end - time.monotonic())

    @property
    def stopped(self) -> Literal["budget", "interrupted"] | None:
        """Why nothing more may be encoded; None where it may."""
        if self._stop.interrupted:
            return "interrupted"
        return "budget" if self._stop.asked or not self.seconds_left else None

    def encode_at(self, video: Video, configuration: Configuration, resolution: str | None) -> Encode | None:
        """One encode at another size, from before where there is one; None where the search has to stop.

        Raises
        ------
        WorkError
            It failed.
        """
        made = self._encodes_at(video, resolution).get(configuration)
        if made is not None:
            return made[0]
        encode = self._encode(video, configuration, 1, resolution)
        if encode is None and not self.stopped:
            raise WorkError(f"{video.name}: {named(configuration)} at {resolution} cannot be encoded")
        return encode

    def _encode(
        self, video: Video, configuration: Configuration, loops: int, resolution: str | None
    ) -> Encode | None:
        if self.stopped:
            return None
        began = time.monotonic()
        clip = self.clips[video.name]
        encode = self.encodes.make(clip, video.name, configuration, resolution=resolution, loops=loops)
        if isinstance(encode, str):
            if not self.stopped:
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
        return short and goal.objective != "bitrate" and encode.vmaf.mean >= (goal.min_vmaf or 0.0)

    def _loops(self, video: Video, window_seconds: float) -> int:
        """How often a clip is encoded in one go, where one time takes ``window_seconds``."""
        if self.task.goal.objective == "bitrate" or not self.clips[video.name].source.loops:
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

    def _cut(self, video: Video, count: int | None = None) -> Clip:
        """So many samples; without ``count`` as many as were taken before, else the first ones."""
        notebook = self.encodes.notebook
        count = count or notebook.samples.get(video.name, FIRST_SAMPLES)
        self.encodes.note(replace(notebook, samples={**notebook.samples, video.name: count}))
        number = list(notebook.videos).index(video.name)
        return cut(video, count, self.encodes.folder / f"samples_{number}_{count}.mkv")

    def _widen(self, video: Video, encode: Encode) -> None:
        """Take more samples where the first ones leave VMAF less certain than was asked for."""
        clip = self.clips[video.name]
        half = encode.vmaf.half_width
        if clip.is_whole or half <= self.task.precision or len(clip.samples) >= MOST_SAMPLES:
            return
        if sum(map(len, self.current(video).values())) > 1:
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

    def _option(self, repeats: Sequence[Encode]) -> Option:
        """Energy, cost, carbon and speed of some repeats."""
        scenarios = tuple(self.encodes.scenario(encode) for encode in repeats)
        (option,) = options_of([replace(self.encodes.run, scenarios=scenarios)], self._model, {}).options
        return option

    def _noise(self, groups: Sequence[Sequence[Encode]]) -> float:
        """Of energy and time in one encode: what repeats showed, and what is usual as far as they are few."""
        values = []
        for repeats in groups:
            scenarios = [s for s in map(self.encodes.scenario, repeats) if not s.validity]
            taken = (joules_per_video_second(s) or (s.encode and s.encode.speed) for s in scenarios)
            values.append([value for value in taken if value])
        noise = pooled_noise(values, _USUAL_NOISE_RATIO, _NOISE_DEGREES)
        return max(MEASURED_NOISE_RATIO, noise.ratio if noise else 0.0)


def named(configuration: Configuration) -> str:
    """As scenarios are called."""
    return f"{configuration.encoder} {configuration.preset} crf {configuration.crf:g}"
