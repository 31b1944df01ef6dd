"""Videos whose encodes follow laws that are known: VMAF, bitrate and time over CRF, drawn at random.

The laws are not those that the search believes in: VMAF is a logistic curve with a ceiling of its own,
bitrate bends, and presets may hardly differ or be in another order than usual.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from msgspec.structs import replace

from advisor.advice.configuration import Option
from advisor.advice.curves import Configuration, Place
from advisor.advice.search import Evidence, Goal, SearchState, consider, crfs
from advisor.video.encoders import ENCODERS, effort

FAMILIES = (
    *(("libx264", preset) for preset in ("ultrafast", "veryfast", "medium", "slow")),
    *(("libsvtav1", preset) for preset in ("12", "8", "5")),
)
OPTIONS = [Configuration(encoder, preset, crf) for encoder, preset in FAMILIES for crf in crfs(encoder)[::3]]


def encoded(
    configuration: Configuration, *, vmaf: float, kbps: float, seconds: float, video: str = "video"
) -> Evidence:
    """What an encode of a small video gave, on a machine that draws 20 W."""
    option = Option(
        run_id="run",
        scenario=str(configuration),
        basis="measured",
        vmaf=vmaf,
        bitrate_kbps=kbps,
        encode_speed_ratio=1 / seconds,
        energy_joules_per_video_second=20 * seconds,
        noise_ratio=0.01,
    )
    return Evidence(Place(video, configuration, 23.0), option)


class Law:
    """One video."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.ceiling = chance.uniform(96, 100)
        self.middle = {e: chance.uniform(0.65, 0.95) for e in ("libx264", "libsvtav1")}
        self.width = {e: chance.uniform(0.07, 0.14) for e in ("libx264", "libsvtav1")}
        self.kbps = math.exp(chance.uniform(math.log(300), math.log(30_000)))
        self.bend = chance.uniform(0, 2)
        self.preset = {
            family: (chance.gauss(0, 0.03), chance.gauss(0, 0.08), chance.gauss(0, 0.15))
            for family in FAMILIES
        }
        self.av1_saves = chance.uniform(0.1, 0.5)
        self.machine = math.exp(chance.gauss(0, 1))

    def trial(self, configuration: Configuration, video: str = "video", kbps_factor: float = 1.0) -> Evidence:
        """What an encode gives."""
        best, worst = ENCODERS[configuration.encoder].quality_range
        at = (configuration.crf - best) / (worst - best)
        shift, rate, slow = self.preset[configuration.family]
        speed = effort(*configuration.family) or 0.0
        middle = self.middle[configuration.encoder] - 0.1 * speed + shift
        vmaf = self.ceiling / (1 + math.exp((at - middle) / self.width[configuration.encoder]))
        saved = self.av1_saves if configuration.encoder == "libsvtav1" else 0.0
        kbps = self.kbps * (1 - saved) * math.exp(-5 * at - self.bend * at**2 + rate + 0.2 * speed)
        seconds = self.machine * 0.5 * math.exp(-3 * speed - 0.8 * at + slow)
        return encoded(configuration, vmaf=vmaf, kbps=kbps * kbps_factor, seconds=seconds, video=video)

    def best(self, goal: Goal) -> float | None:
        """The least objective of all that hold; None where none does."""
        options = [self.trial(configuration).option for configuration in OPTIONS]
        values = [option.objective(goal.objective) for option in options if goal.verdict(option)[0]]
        return min((value for value in values if value is not None), default=None)


class Found:
    """A search on one law, to its end."""

    def __init__(self, law: Law, goal: Goal, most: int = 40, known: Sequence[Evidence] = ()) -> None:
        self.goal = goal
        self.trials: dict[Configuration, Evidence] = {}
        self.encodes = 0
        while True:
            self.verdict: SearchState = consider(
                goal,
                {"video": 23.0},
                OPTIONS,
                [*self.trials.values(), *known],
                video_seconds=30.0,
            )
            if self.verdict.next is None:
                break
            self.encodes += 1
            assert self.encodes <= most, "the search does not end"
            trial, before = law.trial(self.verdict.next), self.trials.get(self.verdict.next)
            repeats = 1 + (before.option.repeats if before is not None else 0)
            noise = trial.option.noise_ratio / math.sqrt(repeats)
            option = replace(trial.option, repeats=repeats, noise_ratio=noise)
            self.trials[self.verdict.next] = replace(trial, option=option)

    def above(self, best: float) -> float:
        """How far the leader's objective lies above the best, as a ratio."""
        assert self.verdict.leader is not None
        value = self.trials[self.verdict.leader].option.objective(self.goal.objective)
        assert value is not None
        return value / best - 1
