"""`wattframe tune` beside what it stands in for.

- **grid**: three clips (the sample, five drawn scenes, one with grain), of each every one of 3 encoders x 3
  presets x 10 CRFs, encoded and scored as a whole. The search then looks for the least bitrate and the least
  energy above four floors: how far what it finds lies above the grid's best, and its share of the grid's
  CPU time.
- **crf**: one encoder and preset, encodes until the CRF is settled, beside an interpolated binary search as
  ab-av1 documents it: the middle of its CRFs first, then where a straight line through the nearest scores
  above and below meets the floor, until a score lies just above it or the next CRF is known to fail.
- **interval**: choices of samples of a clip of sixty scenes, each encoded and scored: how often the whole's
  VMAF and bitrate lie in the interval.
- **learning**: encodes until the answer is sure, without anything, with the encodes of the other two clips,
  and with models that `wattframe retrain` fits to them.

Energy is taken as CPU seconds here: other work shares the machine. Every encode is kept in ``--folder`` and
made once. ::

    python -m benchmarks.tune grid|crf|interval|learning [--folder DIR] [--choices 200] [--json]
"""

from __future__ import annotations

import argparse
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from advisor.advice.configuration import Option
from advisor.advice.curves import Configuration, Place
from advisor.advice.samples import Interval, sampled
from advisor.advice.search import Evidence, Goal, SearchState, consider, crfs
from advisor.cost.model import CostModel
from advisor.errors import WattframeError
from advisor.machine import host
from advisor.quality.frames import Frame
from advisor.quality.measure import measure_all
from advisor.results import EncodeStats, Power, Run, Scenario, write_run
from advisor.video.ffmpeg import capabilities, file_url, find_ffmpeg
from benchmarks.figures import Figure, report
from runner.jobs import SAMPLE
from runner.preflight import look_at_content
from wattframe.planned import planned_scenario
from wattframe.retraining import RetrainOptions, retrain
from wattframe.tuning.answer import command
from wattframe.tuning.beforehand import forecasts
from wattframe.tuning.clip import Clip, Video, cut, look_at_video, whole
from wattframe.tuning.encodes import Encode, by_sample, job_of, packets_of
from wattframe.tuning.search import FIRST_SAMPLES

FLOORS = (85.0, 90.0, 93.0, 95.0)
ENCODERS = {
    "libx264": (("veryfast", "medium", "slow"), range(18, 38, 2)),
    "libx265": (("superfast", "fast", "medium"), range(18, 38, 2)),
    "libsvtav1": (("12", "9", "6"), range(24, 64, 4)),
}
GRID = [
    Configuration(encoder, preset, float(crf))
    for encoder, (presets, numbers) in ENCODERS.items()
    for preset in presets
    for crf in numbers
]
OPTIONS = [
    Configuration(encoder, preset, crf)
    for encoder, (presets, _) in ENCODERS.items()
    for preset in presets
    for crf in crfs(encoder)
]
ALONE = (("libx264", "medium", 46), ("libx265", "fast", 46), ("libsvtav1", "9", 55))
"""Encoder, preset and the highest CRF that ab-av1 tries by default (its change log, 0.6.0; ``--help``)."""
_LOWEST = 10
_DRAWN = (
    "mandelbrot=s=320x180:r=25:start_scale=0.3",
    "testsrc2=s=320x180:r=25",
    "sierpinski=s=320x180:r=25:type=triangle:seed=1:jump=40",
    "cellauto=s=320x180:r=25:rule=110:seed=2",
    "gradients=s=320x180:r=25:seed=3:speed=0.05",
)
_NOISE = 0.03
_DRAWN_CHOICES = 2000
_AGAIN = 7
CLIPS = ("sample", "scenes", "grain")


class Made(Struct, frozen=True):
    """One encode of one clip."""

    clip: str
    encoder: str
    preset: str
    crf: float
    vmaf: float
    """0 where the pictures are too bad to be told apart."""
    kbps: float
    cpu_seconds: float

    @property
    def configuration(self) -> Configuration:
        """What was encoded."""
        return Configuration(self.encoder, self.preset, self.crf)


class Shelf:
    """Clips and their encodes in a folder; what is there already is not made again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.ffmpeg = find_ffmpeg()
        self._file = folder / "made.jsonl"
        lines = self._file.read_bytes().splitlines() if self._file.exists() else []
        made = [msgspec.json.decode(line, type=Made) for line in lines]
        self._made = {(m.clip, m.configuration): m for m in made}
        self.videos: dict[str, Video] = {}

    def video(self, clip: str) -> Video:
        """A clip, drawn when it is first asked for."""
        if clip not in self.videos:
            path = self.folder / f"{clip}.mkv"
            if not path.exists():
                cut = "libx264 -crf 10 -preset veryfast -g 75 -sc_threshold 0"
                coder = cut.split() if clip == "many" else ["ffv1"]
                self._run([*_source(clip), "-an", "-c:v", *coder, "-y", str(path)])
            self.videos[clip] = look_at_video(str(path))
        return self.videos[clip]

    def made(self, clip: str, wanted: Sequence[Configuration]) -> list[Made]:
        """Encodes of a clip; those that are lacking are scored in one pass."""
        lacking = [c for c in dict.fromkeys(wanted) if (clip, c) not in self._made]
        video = self.video(clip)
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            paths = [Path(name) / f"{number}.mp4" for number in range(len(lacking))]
            used = [self._encode(video, c, path) for c, path in zip(lacking, paths, strict=True)]
            outcomes = measure_all(video.name, paths) if paths else []
            for configuration, path, seconds, outcome in zip(lacking, paths, used, outcomes, strict=True):
                if isinstance(outcome, WattframeError):
                    raise outcome
                vmaf = outcome.quality.vmaf
                made = Made(
                    clip,
                    configuration.encoder,
                    configuration.preset,
                    configuration.crf,
                    0.0 if vmaf is None else vmaf.mean,
                    path.stat().st_size * 8 / 1000 / video.seconds,
                    seconds,
                )
                self._made[clip, configuration] = made
                with self._file.open("ab") as file:
                    file.write(msgspec.json.encode(made) + b"\n")
        return [self._made[clip, c] for c in wanted]

    def seconds_ratio(self, clip: str, one: Configuration, other: Configuration) -> float:
        """CPU seconds of one configuration by those of another, each encoded again several times in turn."""
        seconds = [0.0, 0.0]
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            for _ in range(_AGAIN):
                for index, configuration in enumerate((one, other)):
                    seconds[index] += self._encode(self.video(clip), configuration, Path(name) / "again.mp4")
        return seconds[0] / seconds[1]

    def _encode(self, video: Video, configuration: Configuration, path: Path) -> float:
        """CPU seconds of the command that a tune would print."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._run([*command(video, configuration)[1:-1], "-y", str(path)])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def _run(self, arguments: Sequence[str]) -> None:
        subprocess.run([self.ffmpeg, "-v", "error", "-nostdin", *arguments], check=True)


def _source(clip: str) -> list[str]:
    if clip == "sample":
        return ["-i", file_url(SAMPLE), "-vf", "scale=480:270:flags=bicubic,format=yuv420p"]
    if clip == "grain":
        grain = "scale=320:180:flags=bicubic,noise=alls=14:allf=t:all_seed=7,format=yuv420p"
        return ["-i", file_url(SAMPLE), "-vf", grain]
    seconds = {"scenes": 2, "many": 3}[clip]
    drawn = _DRAWN if clip == "scenes" else _many()
    inputs = [part for source in drawn for part in ("-f", "lavfi", "-t", str(seconds), "-i", source)]
    chains = "".join(f"[{n}:v]format=yuv420p,setsar=1[s{n}];" for n in range(len(drawn)))
    joined = "".join(f"[s{n}]" for n in range(len(drawn)))
    return [*inputs, "-filter_complex", f"{chains}{joined}concat=n={len(drawn)}[v]", "-map", "[v]"]


def _many() -> list[str]:
    """Sixty scenes, from still to restless."""
    chance = random.Random(5)
    kinds = []
    for number in range(60):
        source = _DRAWN[number % len(_DRAWN)].replace("s=320x180", "s=128x72")
        blur = f",gblur=sigma={chance.uniform(0, 3):.2f}"
        noise = f",noise=alls={chance.randint(0, 12)}:allf=t:all_seed={number}"
        kinds.append(f"{source}{blur}{noise}")
    chance.shuffle(kinds)
    return kinds


class Search(Struct, frozen=True):
    """What a search came to."""

    verdict: SearchState
    encodes: int
    cpu_seconds: float


def search(
    shelf: Shelf,
    clip: str,
    goal: Goal,
    options: Sequence[Configuration],
    known: Sequence[Evidence] = (),
) -> Search:
    """The loop of `wattframe tune` over encodes of the shelf."""
    made: list[Made] = []
    repeats: dict[Configuration, int] = {}
    video = shelf.video(clip)
    while True:
        encoded = [_evidence(shelf, m, repeats[m.configuration]) for m in made]
        verdict = consider(
            goal,
            {clip: video.megapixels},
            options,
            [*encoded, *known],
            video_seconds=video.seconds,
            overhead_seconds=1.0,
        )
        if verdict.next is None:
            total = sum(m.cpu_seconds * repeats[m.configuration] for m in made)
            return Search(verdict, sum(repeats.values()), total)
        repeats[verdict.next] = repeats.get(verdict.next, 0) + 1
        if repeats[verdict.next] == 1:
            made += shelf.made(clip, [verdict.next])
        if not made[-1].vmaf:
            worst = made.pop().configuration
            options = [o for o in options if o.family != worst.family or o.crf < worst.crf]


def _evidence(shelf: Shelf, made: Made, repeats: int = 1) -> Evidence:
    video = shelf.video(made.clip)
    seconds = made.cpu_seconds / video.seconds
    option = Option(
        run_id=made.clip,
        scenario=_named(made.configuration),
        basis="measured",
        vmaf=made.vmaf,
        bitrate_kbps=made.kbps,
        encode_speed_ratio=(os.cpu_count() or 1) / seconds,
        energy_joules_per_video_second=seconds,
        noise_ratio=_NOISE / math.sqrt(repeats),
        repeats=repeats,
    )
    return Evidence(Place(made.clip, made.configuration, video.megapixels), option)


def grid(shelf: Shelf) -> Iterator[Figure]:
    """The search beside the truth."""
    for clip in CLIPS:
        everything = [m for family in _families(GRID) for m in shelf.made(clip, family)]
        total = sum(m.cpu_seconds for m in everything)
        for objective in ("bitrate", "energy"):
            for floor in FLOORS:
                goal = Goal(objective=objective, min_vmaf=floor)
                truth = {m.configuration: _evidence(shelf, m).option for m in everything}
                truth = {c: option for c, option in truth.items() if goal.verdict(option)[0]}
                found = search(shelf, clip, goal, OPTIONS)
                what = f"{clip}, {objective}, VMAF {floor:g}"
                if not truth or found.verdict.leader is None:
                    sys.stderr.write(f"{what}: grid {len(truth)} hold, found {found.verdict.leader}\n")
                    continue
                values = {c: option.objective(objective) or 0.0 for c, option in truth.items()}
                best = min(values, key=lambda c: values[c])
                (chosen,) = shelf.made(clip, [found.verdict.leader])
                ratio = (_evidence(shelf, chosen).option.objective(objective) or 0.0) / values[best]
                if objective == "energy":
                    # the least of ninety short encodes is the luckiest: both again, one after the other
                    ratio = shelf.seconds_ratio(clip, chosen.configuration, best)
                sys.stderr.write(
                    f"{what}: {_named(chosen.configuration)} VMAF {chosen.vmaf:.2f} after {found.encodes} "
                    f"encodes, {found.cpu_seconds / total:.1%} of the CPU; {ratio - 1:+.1%} to the grid's "
                    f"{_named(best)} VMAF {truth[best].vmaf:.2f}\n"
                )
                yield Figure(f"{what}: above the grid's best", 100 * (ratio - 1), "%", goal=2.0)
                share = 100 * found.cpu_seconds / total
                yield Figure(f"{what}: of the grid's CPU time", share, "%", goal=20.0)


def _families(options: Sequence[Configuration]) -> list[list[Configuration]]:
    return [[o for o in options if o.family == family] for family in dict.fromkeys(o.family for o in options)]


def _named(configuration: Configuration) -> str:
    return f"{configuration.encoder} {configuration.preset} crf {configuration.crf:g}"


def interpolated(floor: float, low: int, high: int, score: Callable[[int], float]) -> tuple[int | None, int]:
    """An interpolated binary search for the largest CRF that holds; it, and how many encodes it took.

    A score above the floor by less than a tolerance ends it; it doubles with every encode, from 0.1 on.
    """
    above: dict[int, float] = {}
    below: dict[int, float] = {}
    crf, encodes = (low + high) // 2, 0
    while True:
        vmaf = score(crf)
        encodes += 1
        (above if vmaf >= floor else below)[crf] = vmaf
        if 0 <= vmaf - floor < 0.1 * 2 ** (encodes - 1):
            return crf, encodes
        good, bad = max(above, default=None), min(below, default=None)
        if bad == low:
            return None, encodes
        if good == high or (good is not None and bad is not None and bad - good == 1):
            return good, encodes
        if good is None:
            crf = low
        elif bad is None:
            crf = high
        else:
            share = (above[good] - floor) / (above[good] - below[bad])
            crf = min(max(good + round((bad - good) * share), good + 1), bad - 1)


def crf(shelf: Shelf) -> Iterator[Figure]:
    """One encoder and preset: encodes and the distance from the floor."""
    totals = [0, 0]
    for clip in CLIPS:
        for encoder, preset, highest in ALONE:
            # both look among the same CRFs
            numbers = range(_LOWEST, highest + 1)
            family = [o for o in OPTIONS if o.family == (encoder, preset) and o.crf in numbers]
            for floor in FLOORS:
                goal = Goal(objective="bitrate", min_vmaf=floor)
                ours = search(shelf, clip, goal, family)

                def score(number: int) -> float:
                    (made,) = shelf.made(clip, [Configuration(encoder, preset, float(number))])  # noqa: B023
                    return made.vmaf

                theirs, encodes = interpolated(floor, _LOWEST, highest, score)
                leader = ours.verdict.leader
                said = "none" if leader is None else f"{leader.crf:g}, {score(int(leader.crf)) - floor:+.2f}"
                other = "none" if theirs is None else f"{theirs}, {score(theirs) - floor:+.2f}"
                what = f"{clip}, {encoder} {preset}, VMAF {floor:g}"
                sys.stderr.write(f"{what}: {ours.encodes} ({said}) beside {encodes} ({other})\n")
                totals = [totals[0] + ours.encodes, totals[1] + encodes]
                yield Figure(f"{what}: encodes", ours.encodes, "", "interpolated", encodes, goal=1.0)
    yield Figure("all: encodes", totals[0], "", "interpolated", totals[1], goal=1.0)


def learning(shelf: Shelf) -> Iterator[Figure]:
    """Encodes without and with those of the other clips, as they are and as models."""
    for objective in ("bitrate", "energy"):
        counts: list[tuple[int, int, int]] = []
        for clip in CLIPS:
            others = [m for c in CLIPS if c != clip for m in shelf.made(c, GRID)]
            predicted = _forecasts(shelf, clip, others)
            for floor in FLOORS:
                goal = Goal(objective=objective, min_vmaf=floor)
                encoded = [_evidence(shelf, m) for m in others]
                counts.append(
                    (
                        search(shelf, clip, goal, OPTIONS).encodes,
                        search(shelf, clip, goal, OPTIONS, encoded).encodes,
                        search(shelf, clip, goal, OPTIONS, predicted).encodes,
                    )
                )
                without, with_others, with_models = counts[-1]
                what = f"{clip}, {objective}, VMAF {floor:g}"
                sys.stderr.write(f"{what}: {without}, with others {with_others}, with models {with_models}\n")
        without, *learned = (statistics.fmean(c) for c in zip(*counts, strict=True))
        for what, mean in zip(("their encodes", "models of them"), learned, strict=True):
            name = f"{objective}: encodes, other videos known by {what}"
            yield Figure(name, mean, "", "without", without, goal=1.0)


def _forecasts(shelf: Shelf, clip: str, others: Sequence[Made]) -> list[Evidence]:
    """What models say of a clip that were trained on the encodes of others."""
    clips = dict.fromkeys((clip, *(m.clip for m in others)))
    sources = {name: shelf.video(name).source for name in clips}
    sources = look_at_content(sources, shelf.ffmpeg, capabilities(shelf.ffmpeg), lambda _line: None)
    began = 1.7e9
    scenarios = []
    for m in others:
        scenarios.append(_scenario(shelf.video(m.clip), sources[m.clip].content or {}, m, began))
        began += scenarios[-1].duration or 0.0
    with tempfile.TemporaryDirectory() as name:
        results, models = Path(name) / "results", Path(name) / "models"
        results.mkdir()
        run = Run(run_id="test_results_20260101_000000", scenarios=tuple(scenarios), host=host())
        write_run(run, results / f"{run.run_id}.json")
        retrain(RetrainOptions(results_dir=results, models_dir=models), lambda _line: None)
        video = shelf.video(clip)
        return forecasts(models, host(), video, OPTIONS, CostModel(), {video.name: sources[clip]})


def _scenario(video: Video, content: Mapping[str, float], made: Made, began: float) -> Scenario:
    """An encode as the runner would have written it, on processors that take a watt each."""
    clip, seconds = whole(video), made.cpu_seconds / (os.cpu_count() or 1)
    planned = planned_scenario(job_of(clip, made.configuration), video.source.media, video.seconds)
    return replace(
        planned,
        content=dict(content),
        start_time=began,
        duration=seconds,
        encode=EncodeStats(speed=video.seconds / seconds, frames=len(video.source.times)),
        power=Power(
            mean_watts=made.cpu_seconds / seconds, total_energy_joules=made.cpu_seconds, tier="modelled"
        ),
    )


def interval(shelf: Shelf, choices: int) -> Iterator[Figure]:
    """How often the whole lies in the interval: of pieces of a whole encode, and of encodes of samples."""
    video = shelf.video("many")
    configuration = Configuration("libx264", "veryfast", 22.0)
    everything = sampled(video.pieces, len(video.pieces))
    all_of_it = replace(whole(video), samples=tuple(everything), of_pieces=len(everything))
    pieces = _scored(shelf, video, all_of_it, configuration)
    truth = pieces.vmaf.mean, pieces.kbps.mean
    by_piece = dict(zip((s.piece for s in pieces.samples), pieces.scores, strict=True))
    for count in (8, FIRST_SAMPLES, 24):
        inside = [0, 0]
        for seed in range(_DRAWN_CHOICES):
            samples = tuple(sampled(video.pieces, count, seed))
            scores = tuple(by_piece[sample.piece] for sample in samples)
            choice = replace(pieces, samples=samples, scores=scores)
            inside = [
                n + _holds(i, t) for n, i, t in zip(inside, (choice.vmaf, choice.kbps), truth, strict=True)
            ]
        for name, number in zip(("VMAF", "bitrate"), inside, strict=True):
            what = f"{count} of {len(everything)} pieces, without encodes: the whole's {name} inside"
            yield Figure(what, 100 * number / _DRAWN_CHOICES, "%", size=_DRAWN_CHOICES, of="choices")
    kept = shelf.folder / "choices.jsonl"
    lines = kept.read_bytes().splitlines() if kept.exists() else []
    found = [msgspec.json.decode(line, type=tuple[Interval, Interval]) for line in lines]
    for seed in range(len(found), choices):
        clip = cut(video, FIRST_SAMPLES, shelf.folder / "samples.mkv", seed)
        encode = _scored(shelf, video, clip, configuration)
        found.append((encode.vmaf, encode.kbps))
        with kept.open("ab") as file:
            file.write(msgspec.json.encode(found[-1]) + b"\n")
    found = found[:choices]
    for index, name in enumerate(("VMAF", "bitrate")):
        share = 100 * statistics.fmean(_holds(pair[index], truth[index]) for pair in found)
        off = statistics.fmean(pair[index].mean for pair in found) - truth[index]
        width = statistics.fmean(pair[index].half_width for pair in found)
        sys.stderr.write(f"{name}: whole {truth[index]:.2f}, mean of choices {off:+.2f}, +- {width:.2f}\n")
        what = f"{FIRST_SAMPLES} samples encoded: the whole's {name} inside"
        yield Figure(what, share, "%", goal=87.0, at_least=True, size=choices, of="choices")


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def _scored(shelf: Shelf, video: Video, clip: Clip, configuration: Configuration) -> Encode:
    path = shelf.folder / "encode.mp4"
    subprocess.run(
        [
            *(shelf.ffmpeg, "-v", "error", "-nostdin", "-i", file_url(clip.path)),
            *(*command(video, configuration)[7:-1], "-y", str(path)),
        ],
        check=True,
    )
    log = shelf.folder / "vmaf.json"
    graph = f"libvmaf=log_fmt=json:log_path={log}"
    pair = ("-i", file_url(path), "-i", file_url(clip.path), "-lavfi", graph, "-f", "null", "-")
    subprocess.run([shelf.ffmpeg, "-v", "error", "-nostdin", *pair], check=True)
    scores = [frame["metrics"]["vmaf"] for frame in msgspec.json.decode(log.read_bytes())["frames"]]
    frames = [_frame(number, vmaf) for number, vmaf in enumerate(scores)]
    return Encode(
        video=video.name,
        clip=clip.path.name,
        configuration=configuration,
        scenario="",
        repeat=1,
        samples=clip.samples,
        scores=by_sample(clip, 1, frames, packets_of(path)),
        of_pieces=clip.of_pieces,
    )


def _frame(number: int, vmaf: float) -> Frame:
    return Frame(
        number=number,
        time_seconds=0.0,
        reference_number=number,
        vmaf=vmaf,
        psnr_decibels=0.0,
        psnr_y_decibels=0.0,
        ssim_ratio=0.0,
        ssim_y_ratio=0.0,
    )


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description="wattframe tune beside what it stands in for")
    parser.add_argument("which", choices=("grid", "crf", "interval", "learning"))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "wattframe-tune")
    parser.add_argument("--choices", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    shelf = Shelf(options.folder)
    work = {"grid": grid, "crf": crf, "learning": learning}.get(options.which)
    figures = interval(shelf, options.choices) if work is None else work(shelf)
    return report(list(figures), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
