"""Videos whose encodes follow laws that are known: VMAF, bitrate and time over CRF, drawn at random.

The laws are not those that the search believes in: VMAF is a logistic curve with a ceiling of its own,
bitrate bends, and presets may hardly differ or be in another order than usual.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from advisor.advice.curves import Configuration, Place
from advisor.advice.search import Goal, PredictedTrial, SearchState, Trial, consider, crfs, holds
from advisor.video.encoders import ENCODERS, effort

FAMILIES = (
    *(("libx264", preset) for preset in ("ultrafast", "veryfast", "medium", "slow")),
    *(("libsvtav1", preset) for preset in ("12", "8", "5")),
)
OPTIONS = [Configuration(encoder, preset, crf) for encoder, preset in FAMILIES for crf in crfs(encoder)[::3]]


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

    def trial(self, configuration: Configuration, goal: Goal) -> Trial:
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
        value = {"bitrate": kbps, "speed": seconds, "energy": 20 * seconds}[goal.objective]
        return Trial(
            place=Place("video", configuration, 23.0), vmaf=vmaf, kbps=kbps, seconds=seconds, objective=value
        )

    def best(self, goal: Goal) -> float | None:
        """The least objective of all that hold; None where none does."""
        trials = [self.trial(option, goal) for option in OPTIONS]
        return min((t.objective for t in trials if holds(t, goal)), default=None)


class Found:
    """A search on one law, to its end."""

    def __init__(
        self, law: Law, goal: Goal, most: int = 40, forecasts: Sequence[PredictedTrial] = ()
    ) -> None:
        self.trials: dict[Configuration, Trial] = {}
        self.encodes = 0
        while True:
            self.verdict: SearchState = consider(
                goal,
                {"video": 23.0},
                OPTIONS,
                list(self.trials.values()),
                noise=0.01,
                forecasts=forecasts,
                video_seconds=30.0,
            )
            if self.verdict.next is None:
                break
            self.encodes += 1
            assert self.encodes <= most, "the search does not end"
            self.trials[self.verdict.next] = law.trial(self.verdict.next, goal)

    def above(self, best: float) -> float:
        """How far the leader's objective lies above the best, as a ratio."""
        assert self.verdict.leader is not None
        return self.trials[self.verdict.leader].objective / best - 1
