"""Accuracy on public sets of measured encodes, through the commands that users call.

The data are not part of this project and are not shipped. Two sets, metered at the wall, come with the PyPI
package mendevi (AGPL-3; it asks for a newer Python than is needed to unpack it)::

    pip download --no-deps --only-binary=:all: --python-version 3.14 mendevi==1.3.0
    unzip mendevi-*.whl 'dataset/*'
    python benchmarks/accuracy/mendevi.py dataset/duration.json.xz --folds 5 --seed 1
    python benchmarks/accuracy/mendevi.py dataset/x264_vs_openh264.json.xz

The third is ``ugc_x265_rapl.csv`` of Katsenou, Wang, Schien, Bull: "Rate-Quality or Energy-Quality Pareto
Fronts for Adaptive Video Streaming?", 2024.

Videos of 5 s and more become result files, one a video and machine. Videos are split into folds; each fold is
predicted by a model that ``wattframe retrain`` made of the others and ``wattframe predict`` used:

- ``a priori``: nothing of the video is known; beside it what three plain learners make of the same rows;
- ``one probe``: one run of the same video and machine was measured;
- ``new machine``: trained on the other machine only, one calibration run (of another video) is known, the one
  that ``wattframe predict`` asks for;
- ``regret``: what choosing the least predicted energy above a floor of PSNR costs more than the true best.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import plain_learners
from public_sets import Row, read

from advisor.regression.features import case
from advisor.results import Host, Run, Scenario, write_run
from wattframe.cli import main as main_of_wattframe

FLOOR_QUANTILE = 0.5
TARGETS = {"power": "mean_power_watts", "energy": "energy_joules_per_video_second"}


def write(rows: Iterable[Row], folder: Path, *, known: bool) -> list[Path]:
    """Result files, one a video and machine; without ``known`` all that measuring tells is left out."""
    folder.mkdir(parents=True)
    groups: dict[tuple[str, str], list[Scenario]] = collections.defaultdict(list)
    for row in rows:
        s = row.scenario
        bare = msgspec.structs.replace(s, power=None, encode=None, duration=None)
        groups[row.machine, row.video].append(s if known else bare)
    paths = []
    for number, ((machine, _), scenarios) in enumerate(sorted(groups.items())):
        path = folder / f"test_results_20250101_{number:06d}.json"
        host = Host(hardware_id=machine)
        write_run(Run(run_id=path.stem, scenarios=tuple(scenarios), host=host), path)
        paths.append(path)
    return paths


def train(folder: Path, models: Path) -> dict[str, Any]:
    """What ``wattframe retrain --json`` says."""
    return call(["retrain", "--results-dir", str(folder), "--models-dir", str(models), "--json"])


def predict(models: Path, files: Sequence[Path], measured: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """What ``wattframe predict --json`` says."""
    arguments = ["predict", "--models-dir", str(models), "--json"]
    arguments += [part for file in files for part in ("--results", str(file))]
    arguments += [part for file in measured for part in ("--measured", str(file))]
    return call(arguments)


def call(arguments: Sequence[str]) -> Any:
    """What a command prints; called in this process, for dozens of them start in each fold."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main_of_wattframe(list(arguments))
    if code:
        raise SystemExit(err.getvalue())
    return json.loads(out.getvalue())


class Tally:
    """Errors and coverage of one situation."""

    def __init__(self) -> None:
        self.errors: list[float] = []
        self.inside: list[bool] = []
        self.refused = 0

    def add(self, estimate: dict[str, float | None] | None, value: float) -> None:
        """A prediction beside what was measured; one without bounds holds nothing."""
        if estimate is None or estimate["mean"] is None:
            self.refused += 1
            return
        self.errors.append(abs(estimate["mean"] - value) / value)
        if "low" in estimate:
            low, high = estimate["low"], estimate["high"]
            self.inside.append(low is not None and high is not None and low <= value <= high)

    def __str__(self) -> str:
        if not self.errors:
            return "nothing"
        return (
            f"MAPE {statistics.fmean(self.errors):7.2%}"
            + (f"  90 % intervals cover {statistics.fmean(self.inside):6.1%}" if self.inside else "")
            + f"  n {len(self.errors)}"
            + (f", refused {self.refused}" if self.refused else "")
        )


Tallies = dict[tuple[str, str], Tally]


def score(tallies: Tallies, situation: str, rows: Sequence[Row], answers: Sequence[dict[str, Any]]) -> None:
    """Add predictions to the tallies; scenarios are told by name."""
    truth = {row.scenario.name: row.scenario.power for row in rows}
    for p in answers:
        power = truth.get(p["scenario"])
        if power is not None and power.mean_watts and power.total_energy_joules:
            tallies[situation, "power"].add(p["mean_power_watts"], power.mean_watts)
            tallies[situation, "energy"].add(p["total_energy_joules"], power.total_energy_joules)


def score_plain_learners(tallies: Tallies, outside: Sequence[Row], inside: Sequence[Row]) -> None:
    """The same rows by learners that know nothing of this project but its features."""
    known, held = (
        [
            case(r.scenario, Run(run_id="", scenarios=(r.scenario,), host=Host(hardware_id=r.machine)))
            for r in rows
        ]
        for rows in (outside, inside)
    )
    for label, target in TARGETS.items():
        for learner, values in plain_learners.predictions(known, held, target).items():
            for c, value in zip(held, values, strict=True):
                tallies[learner, label].add({"mean": float(value)}, c.targets[target])


def regrets(rows: Sequence[Row], answers: Sequence[dict[str, Any]]) -> list[float]:
    """Extra energy of the choice by prediction, for each video, machine and size with a choice.

    Repeats of one configuration are one option: its energies and PSNR are averaged.
    """
    predicted = {p["scenario"]: p["total_energy_joules"]["mean"] for p in answers}
    groups: dict[tuple[Any, ...], dict[tuple[Any, ...], list[Row]]] = collections.defaultdict(dict)
    for row in rows:
        s = row.scenario
        if row.psnr is not None:
            options = groups[row.machine, row.video, s.resolution]
            options.setdefault((s.encoder, s.preset, s.bitrate, s.crf), []).append(row)
    extra = []
    for options in groups.values():
        quality = {k: statistics.fmean(r.psnr or 0 for r in repeats) for k, repeats in options.items()}
        floor = sorted(quality.values())[int(len(quality) * FLOOR_QUANTILE)]
        allowed = [repeats for k, repeats in options.items() if quality[k] >= floor]
        if len(allowed) > 1:
            true = [statistics.fmean(map(_joules, repeats)) for repeats in allowed]
            guess = [statistics.fmean(predicted[r.scenario.name] for r in repeats) for repeats in allowed]
            extra.append(true[guess.index(min(guess))] / min(true) - 1)
    return extra


def _joules(row: Row) -> float:
    assert row.scenario.power is not None
    assert row.scenario.power.total_energy_joules is not None
    return row.scenario.power.total_energy_joules


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, help="run just so many of the folds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--content", action="store_true", help="with the bits of one fast encode of each video"
    )
    parser.add_argument("--machine", help="take only the rows of this machine")
    options = parser.parse_args()
    rows = read(options.dataset, with_content=options.content)
    rows = [r for r in rows if options.machine in (None, r.machine)]
    machines, videos = sorted({r.machine for r in rows}), sorted({r.video for r in rows})
    print(f"{len(rows)} scenarios, {len(videos)} videos, {len(machines)} machines")
    chance = random.Random(options.seed)
    chance.shuffle(videos)
    tallies: Tallies = collections.defaultdict(Tally)
    extra: list[float] = []
    for fold in range(options.only or options.folds):
        held = set(videos[fold :: options.folds])
        with tempfile.TemporaryDirectory() as folder:
            extra += one_fold(Path(folder), rows, held, machines, tallies, chance)
        print(f"-- after fold {fold + 1} of {options.folds}")
        for (situation, target), tally in sorted(tallies.items()):
            print(f"{situation:<17} {target:<7} {tally}")
        if extra:
            print(f"regret under a floor of PSNR: {statistics.fmean(extra):.2%} over {len(extra)} choices")
        sys.stdout.flush()


def one_fold(
    folder: Path,
    rows: Sequence[Row],
    held: set[str],
    machines: Sequence[str],
    tallies: Tallies,
    chance: random.Random,
) -> list[float]:
    outside, inside = ([r for r in rows if (r.video in held) is side] for side in (False, True))
    score_plain_learners(tallies, outside, inside)
    write(outside, folder / "train", known=True)
    train(folder / "train", folder / "models")
    extra: list[float] = []
    for machine in machines:
        own = [r for r in inside if r.machine == machine]
        files = write(own, folder / f"bare-{machine}", known=False)
        answers = predict(folder / "models", files)
        score(tallies, "a priori", own, answers)
        extra += regrets(own, answers)
        probes = [chance.choice([r for r in own if r.video == v]) for v in sorted({r.video for r in own})]
        probe_files = write(probes, folder / f"probes-{machine}", known=True)
        rest = [r for r in own if r not in probes]
        score(tallies, "one probe", rest, predict(folder / "models", files, probe_files))
        others = [r for r in outside if r.machine != machine]
        if not others:
            continue
        write(others, folder / f"train-{machine}", known=True)
        train(folder / f"train-{machine}", folder / f"models-{machine}")
        models = folder / f"models-{machine}"
        (asked,) = {p["calibrate_with"]["scenario"] for p in predict(models, files)}
        (run,) = (r for r in own if r.scenario.name == asked)
        known = write([run], folder / f"calibration-{machine}", known=True)
        score(tallies, "new machine", [r for r in own if r.video != run.video], predict(models, files, known))
    return extra


if __name__ == "__main__":
    main()
