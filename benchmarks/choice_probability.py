"""Is the probability of a choice right? What is said against how often it holds, in every tenth.

Two ways to know the truth:

- **simulated**: configurations whose true energies are drawn, from hardly different to far apart, measured
  once at 5 % of noise, or two to five times at a noise of 1 to 10 % that nobody is told. They are scenarios
  of a run and go through `TranscodingRecommender.from_results`.
- **by video**: the public set of x265 encodes of user-generated videos (Katsenou, Wang, Schien, Bull, 2024;
  not part of this project). Whole videos are held out, their energies are predicted by a model of the others,
  and choices, above a floor of VMAF or among a few that are near, are compared with what was measured.

``before`` is how the probabilities were drawn until version 0.1: every error independent of the others, and a
single run exact to 1.2 %. ::

    python -m benchmarks.choice_probability [--choices 3000] [--ugc ugc_x265_rapl.csv --folds 4] [--json]
"""

from __future__ import annotations

import argparse
import csv
import datetime
import math
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from advisor.advice.configuration import Constraints, Option
from advisor.advice.recommender import TranscodingRecommender
from advisor.common.statistics import MEASURED_NOISE_RATIO
from advisor.results import Host, InputMedia, Output, Power, Run, Scenario, write_run
from benchmarks.figures import Figure, report
from wattframe.retraining import RetrainOptions, retrain

GOAL_POINTS = 5.0
FEWEST = 50
"""A tenth with fewer choices tells nothing: its standard error is beyond the goal."""
FLOORS = (30, 40, 50, 60, 65, 70, 75, 80, 85, 90)
SUBSETS = 60
"""Choices a video among two to five configurations within a factor of two of one."""
VIDEO_SECONDS = 20.0


class Judged(Struct, frozen=True):
    """One choice: how probable it was said to be the least, now and before, and whether it was."""

    said: float
    said_before: float
    right: bool
    video: str = ""
    """Choices of one video go together; simulated ones are each their own."""


def simulated(choices: int, seed: int = 1) -> Iterator[Judged]:
    """Choices among configurations whose true energies are known."""
    rng = np.random.default_rng(seed)
    for _ in range(choices):
        count, repeats = int(rng.integers(2, 11)), int(rng.integers(1, 6))
        noise = 0.05 if repeats == 1 else math.exp(rng.uniform(math.log(0.01), math.log(0.1)))
        spread = math.exp(rng.uniform(math.log(0.03), math.log(0.4)))
        true = 1000 * np.exp(spread * rng.standard_normal(count))
        seen = true[:, None] * np.exp(noise * rng.standard_normal((count, repeats)))
        run = Run(
            run_id="simulated",
            scenarios=tuple(
                _scenario(f"{i}", joules=float(joules), repeat=k + 1, preset=str(i))
                for i, row in enumerate(seen)
                for k, joules in enumerate(row)
            ),
        )
        recommender = TranscodingRecommender.from_results(run, "energy", Constraints(min_vmaf=1))
        spreads = [max(_stdev(row), MEASURED_NOISE_RATIO) / math.sqrt(repeats) for row in seen]
        before = [replace(o, noise_ratio=s) for o, s in zip(recommender.options, spreads, strict=True)]
        energies = dict(zip(map(str, range(count)), true.tolist(), strict=True))
        yield _judged(recommender, recommender.options, before, energies)


def _stdev(row: np.ndarray) -> float:
    return float(row.std(ddof=1) / row.mean()) if len(row) > 1 else 0.0


def _scenario(name: str, *, joules: float, **more: object) -> Scenario:
    return Scenario(
        name=name,
        duration=VIDEO_SECONDS,
        outputs=[Output(duration=VIDEO_SECONDS)],
        power=Power(mean_watts=joules / VIDEO_SECONDS, total_energy_joules=joules, tier="measured"),
        **{"vmaf_score": 90.0, **more},  # type: ignore[arg-type]
    )


def _judged(
    recommender: TranscodingRecommender,
    options: Sequence[Option],
    before: Sequence[Option],
    true: Mapping[str, float],
) -> Judged:
    answer = recommender.recommend(options)
    assert answer.choice is not None
    assert answer.choice.probability_best is not None
    held = [o for o in before if (o.vmaf or 0) >= (recommender.constraints.min_vmaf or 0)]
    logs = np.log([o.energy_joules_per_video_second for o in held])
    draws = logs + np.array([o.noise_ratio for o in held]) * np.random.default_rng(0).standard_normal(
        (4000, len(held))
    )
    at = next(i for i, o in enumerate(held) if o.scenario == answer.choice.scenario)
    said_before = float((draws.argmin(axis=1) == at).mean())
    least = min(held, key=lambda o: true[o.scenario]).scenario
    right = answer.choice.scenario == least
    return Judged(answer.choice.probability_best, said_before, right, options[0].run_id)


def read_ugc(path: Path) -> dict[str, list[Scenario]]:
    """The encodes by source video; those whose energy and time give an impossible power are left out."""
    videos: dict[str, list[Scenario]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            joules, seconds = float(row["target_encode_energy"]), float(row["encoding_elapsed_time"])
            begun, ended = (
                datetime.datetime.fromisoformat(row[f"{edge}_time_encode"]) for edge in ("start", "end")
            )
            wall = (ended - begun).total_seconds() / float(row["duplicate_count"])
            if not (10 < joules / seconds < 200 and 0.6 < wall / seconds < 1.7):
                continue
            video = row["vid"].partition("_downsample")[0]
            scenario = _scenario(
                f"{row['height']} {row['QP']}",
                joules=joules,
                encoder="libx265",
                preset="medium",
                crf=float(row["QP"]),
                fps=float(row["framerate"]),
                resolution=f"{row['width']}x{row['height']}",
                vmaf_score=min(max(float(row["VMAF"]), 0.0), 100.0),
                input=InputMedia(name=video, duration=VIDEO_SECONDS),
            )
            power = replace(scenario.power or Power(), mean_watts=joules / seconds)
            scenario = replace(scenario, duration=seconds, power=power)
            videos.setdefault(video, []).append(scenario)
    return videos


def by_video(path: Path, folds: int) -> Iterator[Judged]:
    """Choices for videos that the model has not seen."""
    videos = read_ugc(path)
    host = Host(hardware_id="ugc", threads=16)
    names = sorted(videos)
    for fold in range(folds):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            for index, name in enumerate(names):
                if index % folds != fold:
                    run = Run(run_id=name, scenarios=tuple(videos[name]), host=host)
                    write_run(run, home / f"test_results_{index:06}.json")
            options = RetrainOptions(results_dir=home, models_dir=home / "models")
            sys.stderr.write(f"fold {fold + 1} of {folds}\n")
            retrain(options, lambda line: None)
            for name in names[fold::folds]:
                yield from _choices(videos[name], name, host, home / "models")


def _choices(scenarios: Sequence[Scenario], name: str, host: Host, models: Path) -> Iterator[Judged]:
    true = {s.name: s.power.total_energy_joules or 0.0 for s in scenarios if s.power}
    plain = tuple(replace(s, power=None, duration=None) for s in scenarios)
    run = Run(run_id=name, scenarios=plain, host=host)
    yield from judged_video(TranscodingRecommender.from_results(run, models_dir=models).options, true)


def judged_video(options: Sequence[Option], true: Mapping[str, float]) -> Iterator[Judged]:
    """Choices above every floor, and among a few configurations that are near one another."""
    rng = random.Random(options[0].run_id)
    sets = [(Constraints(min_vmaf=floor), list(options)) for floor in FLOORS]
    for _ in range(SUBSETS):
        about = rng.choice(options).energy_joules_per_video_second or 0.0
        near = [o for o in options if about / 2 <= (o.energy_joules_per_video_second or 0.0) <= about * 2]
        sets.append((Constraints(min_vmaf=0), rng.sample(near, min(rng.randint(2, 5), len(near)))))
    for constraints, some in sets:
        if sum((o.vmaf or 0) >= (constraints.min_vmaf or 0) for o in some) > 1:
            before = [replace(o, noise_ratio=math.hypot(o.noise_ratio, o.shared_noise_ratio)) for o in some]
            yield _judged(TranscodingRecommender("energy", constraints), some, before, true)


def table(judged: Sequence[Judged], what: str) -> list[Figure]:
    """Points between what is said and what holds, by tenths of what is said, before and now."""
    figures = []
    for when, said in (("before", [j.said_before for j in judged]), ("now", [j.said for j in judged])):
        for tenth in range(10):
            some = [(p, j) for p, j in zip(said, judged, strict=True) if min(int(p * 10), 9) == tenth]
            if len(some) >= FEWEST:
                mean, right = statistics.fmean(p for p, _ in some), statistics.fmean(j.right for _, j in some)
                chance = _standard_error([j for _, j in some], right)
                figures.append(
                    Figure(
                        f"{what}, {when}: said {mean:.0%}, right {right:.0%} +- {chance:.0%}",
                        100 * abs(mean - right),
                        "points",
                        goal=GOAL_POINTS if when == "now" else None,
                        size=len(some),
                        of="choices",
                    )
                )
    return figures


def _standard_error(judged: Sequence[Judged], share: float) -> float:
    """Of the share that was right: the choices of one video (or of one simulation) go together."""
    sums: dict[str, float] = {}
    for number, one in enumerate(judged):
        key = f"{number}" if one.video == "simulated" else one.video
        sums[key] = sums.get(key, 0.0) + one.right - share
    return math.sqrt(math.fsum(s * s for s in sums.values())) / len(judged)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--choices", type=int, default=3000)
    parser.add_argument("--ugc", type=Path, help="ugc_x265_rapl.csv")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = table(list(simulated(options.choices)), "simulated")
    if options.ugc:
        figures += table(list(by_video(options.ugc, options.folds)), "by video")
    return report(figures, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
